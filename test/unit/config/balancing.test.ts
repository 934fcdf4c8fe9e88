/** `balancing:`: what a whole section becomes, and what each mistake in it is told, with its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.js';
import type { Config, Problem } from '../../../src/config/types.js';

const good = `
vrrp:
  instances:
    vip:
      interface: { alpha: eth0, beta: ens3 }
      router-id: 171
      priority: { alpha: 150, beta: 100 }
      addresses: [192.168.100.10/24]
balancing:
  virtual-servers:
    web:
      address: 192.168.100.10
      port: 80
      kind: dr
      scheduler: rr
      gate: { instance: vip }
      delay-loop: 2s
      timeout: 1s
      persistence-timeout: 50s
      quorum: 2
      hysteresis: 1
      sorry-server: { address: 192.168.100.5 }
      checks: [{ type: http, path: /health, status: [200, "204-206"] }]
      real-servers:
        a: { address: 192.168.100.221 }
        b: { address: 192.168.100.222, retries: 4, inhibit-on-failure: yes }
        c: { address: 192.168.100.223, checks: [{ type: misc, command: [/usr/local/bin/look, "a b"], dynamic: yes }] }
`;

function load(text: string, node: string | null = 'alpha'): { config: Config | null; problems: Problem[] } {
  return parseConfig(text, 'drbdts.yaml', node);
}
const with_ = (from: string, to: string): string => {
  assert.ok(good.includes(from), from);
  return good.replace(from, to);
};

describe('balancing', () => {
  it('defaults, and what is handed down', () => {
    const { config, problems } = load(good);
    assert.deepEqual(problems, []);
    const section = config?.balancing;
    assert.equal(section?.plane, 'nftables');
    const [web] = section?.virtualServers ?? [];
    assert.ok(web !== undefined);
    assert.deepEqual({ ...web, realServers: [] }, {
      ...{ name: 'web', family: 4, address: '192.168.100.10', port: 80, protocol: 'tcp', kind: 'dr', scheduler: 'rr', gate: { kind: 'instance', name: 'vip' } },
      // those of the instance
      interfaces: { alpha: { clients: 'eth0', servers: 'eth0' }, beta: { clients: 'ens3', servers: 'ens3' } },
      ...{ persistenceMs: 50_000, quorum: 2, hysteresis: 1, sorryServer: { address: '192.168.100.5', port: 80 }, initFail: false, realServers: [] },
    });
    const [a, b, c] = web.realServers;
    assert.deepEqual(a?.checks, [
      { type: 'http', address: '', port: 0, timeoutMs: 1000, everyMs: 2000, retries: 1, retryDelayMs: 1000, path: '/health', host: '', status: [{ from: 200, to: 200 }, { from: 204, to: 206 }], contains: '', regex: '', digest: '' },
    ]);
    assert.deepEqual([b?.checks[0]?.retries, b?.inhibitOnFailure, a?.inhibitOnFailure, b?.port], [4, true, false, 80]);
    assert.deepEqual(c?.checks[0], { type: 'misc', address: '', port: 0, timeoutMs: 1000, everyMs: 2000, retries: 0, retryDelayMs: 1000, argv: ['/usr/local/bin/look', 'a b'], user: '', dynamic: true });
  });

  const mistakes: [string, string, RegExp, RegExp][] = [
    ['lc with nftables', with_('scheduler: rr', 'scheduler: lc'), /^drbdts\.yaml:15:18 .*scheduler lc is not possible with nftables: its rules do not know how many connections/, /scheduler: rr.*plane: ipvs/],
    ['wlc with nftables', with_('scheduler: rr', 'scheduler: wlc'), /scheduler wlc is not possible with nftables/, /scheduler: wrr/],
    ['tun with nftables', with_('kind: dr', 'kind: tun'), /:14:13 .*kind tun is not possible with nftables/, /kind: dr.*kind: nat.*plane: ipvs/],
    ['dr over IPv6 with nftables', with_('      address: 192.168.100.10\n', '      address: fd00::10\n'), /kind dr over IPv6 is not possible with nftables/, /kind: nat.*plane: ipvs/],
    ['dr with another port', with_('address: 192.168.100.221', 'address: 192.168.100.221, port: 8080'), /kind dr hands packets on as they are: port 8080 can not take the place of 80/, /kind: nat/],
    ['quorum above all', with_('quorum: 2', 'quorum: 4'), /:20:15 .*quorum 4 is above the weight of all real servers together \(3\)/, /at most 3/],
    ['quorum that never comes back', with_('hysteresis: 1', 'hysteresis: 2'), /is gained at 4, above the weight/, /at most 1/],
    ['the same twice', `${good}    again: { address: 192.168.100.10, port: 80, real-servers: { x: { address: 10.0.0.1, checks: [{ type: tcp }] } } }\n`, /tcp 192\.168\.100\.10 port 80 is the virtual server web already/, /Add the real servers/],
    ['a real server twice', with_('192.168.100.222', '192.168.100.221'), /192\.168\.100\.221 port 80 is the real server a already/, /weight/],
    ['an address that does not come with the instance', with_('      address: 192.168.100.10\n', '      address: 192.168.100.11\n'), /192\.168\.100\.11 is not an address of the instance vip/, /192\.168\.100\.10/],
    ['an unknown instance', with_('instance: vip', 'instance: vop'), /'vop' is not an instance of vrrp/, /Instances: vip/],
    ['an unknown group', with_('instance: vip', 'group: web'), /'web' is not a group/, /Groups: none/],
    ['both families', with_('192.168.100.222', 'fd00::1'), /fd00::1 is not of the family of 192\.168\.100\.10/, /one family/],
    ['a key of another check', with_('path: /health', 'path: /health, query: A'), /'query' belongs to a check of type dns/, /Remove it/],
    ['a misc check in the path', with_('[/usr/local/bin/look, "a b"]', '[look]'), /'look' is not an absolute path/, /no shell/],
    ['a regular expression', with_('path: /health', 'path: /health, regex: "("'), /the regular expression can not be read/, /JavaScript/],
    ['a typing error', with_('persistence-timeout', 'persistence_timeout'), /:19:7 .*persistence_timeout/, /persistence-timeout/],
    ['an interface for nat', with_('kind: dr', 'kind: nat\n      interface: eth0'), /'interface' belongs to kind dr with nftables/, /Remove it/],
    ['dr without an interface', with_('gate: { instance: vip }', 'inhibit-on-failure: no'), /virtual server web: 'interface' is missing/, /kind dr looks at frames there/],
    ['no real servers', good.slice(0, good.indexOf('      real-servers')), /virtual server web: 'real-servers' is missing/, /at least one/],
  ];
  for (const [what, text, message, remedy] of mistakes) {
    it(`refuses: ${what}`, () => {
      const errors = load(text).problems.filter(({ severity }) => severity === 'error');
      const said = errors.map((one) => ({ text: `${one.file}:${one.line}:${one.column} ${one.message}`, remedy: one.remedy }));
      assert.ok(said.some((one) => message.test(one.text) && remedy.test(`${one.remedy} ${one.text}`)), JSON.stringify(said, null, 1));
    });
  }

  it('what ipvs can do is allowed there', () => {
    for (const text of [with_('scheduler: rr', 'scheduler: wlc'), with_('kind: dr', 'kind: tun')]) {
      const { problems } = load(text.replace('balancing:\n', 'balancing:\n  plane: ipvs\n'));
      assert.deepEqual(problems, []);
    }
  });

  it('warns of servers without a check, of weights that nobody looks at, and of timeouts that hide a hanging server', () => {
    const warnings = (text: string): string => load(text).problems.map(({ severity, message }) => `${severity}: ${message}`).join('\n');
    assert.match(warnings(with_('checks: [{ type: http, path: /health, status: [200, "204-206"] }]', 'checks: []')), /warning: real server a has no check/);
    assert.match(warnings(with_('a: { address: 192.168.100.221 }', 'a: { address: 192.168.100.221, weight: 3 }')), /warning: scheduler rr does not look at weights/);
    assert.match(warnings(with_('timeout: 1s', 'timeout: 9s')), /warning: the timeout of the check \(9000ms\) is longer than delay-loop \(2000ms\)/);
  });
});
