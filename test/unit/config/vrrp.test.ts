/** `vrrp:`: what a whole section becomes, and what each mistake in it is told, with its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.js';
import type { Config, Problem } from '../../../src/config/types.js';

const good = `
vrrp:
  scripts:
    nginx: { command: "pidof nginx", interval: 2s, weight: -60, fall: 2, rise: 2 }
  instances:
    inside:
      interface: { alpha: eth0, beta: ens3 }
      router-id: 171
      priority: { alpha: 150, beta: 100 }
      version: 2
      password: renwole0
      multicast-group: 224.0.0.111
      addresses:
        - 10.16.8.100/24
        - { address: 10.16.8.101/24, interface: { alpha: eth1, beta: ens4 }, advertised: no }
      track:
        - script: nginx
        - interface: eth1
        - { process: nginx, weight: -60 }
        - { file: /run/drain, weight: -1 }
      notify: { any: /usr/local/bin/notify.sh, fifo: /run/vrrp.fifo }
    outside:
      interface: eth2
      router-id: 172
      priority: { alpha: 150, beta: 100 }
      advert-interval: 1s
      addresses: ["fe80::6001/64", "FD00:16::0100/64"]
      unicast: { addresses: { alpha: "fd00::1", beta: "fd00::2" }, min-ttl: 255 }
  sync-groups:
    both: { instances: [inside, outside] }
`;

function load(text: string, node: string | null = 'alpha'): { config: Config | null; problems: Problem[] } {
  return parseConfig(text, 'drbdts.yaml', node);
}

describe('a file with VRRP only', () => {
  const { config, problems } = load(good);
  it('has nothing to complain about', () => assert.deepEqual(problems, []));

  it('gives each node its own values', () => {
    const [inside, outside] = config?.vrrp?.instances ?? [];
    assert.deepEqual(inside?.nodes, {
      alpha: { interface: 'eth0', priority: 150, source: '', peers: [] },
      beta: { interface: 'ens3', priority: 100, source: '', peers: [] },
    });
    assert.deepEqual(outside?.nodes['beta'], { interface: 'eth2', priority: 100, source: 'fd00::2', peers: ['fd00::1'] });
    assert.equal(outside?.family, 6);
    assert.equal(outside?.addresses[1]?.address, 'fd00:16::100');
    assert.equal(inside?.multicastGroup, '224.0.0.111');
    assert.deepEqual(inside?.addresses[1]?.interfaces, { alpha: 'eth1', beta: 'ens4' });
  });

  it('takes the weight of a script where it is tracked', () => {
    assert.deepEqual(config?.vrrp?.instances[0]?.track[0], { kind: 'script', script: 'nginx', weight: -60, reverse: false });
    assert.deepEqual(config?.vrrp?.scripts[0]?.timeoutMs, 2000);
  });

  it('is not for a third host', () => {
    const found = load(good, 'gamma').problems;
    assert.equal(found.length, 1);
    assert.match(found[0]?.message ?? '', /not for this host/);
  });
});

const at = (from: string, to: string): string => {
  assert.ok(good.includes(from), from);
  return good.replace(from, to);
};

/** Each mistake: the changed file, what is said, and the line it is said of (a piece of that line). */
const mistakes: readonly [name: string, text: string, message: RegExp, line: string, severity?: string][] = [
  ['a misspelt keyword', good.replace('notify: { any', 'notfiy: { any'), /unknown key 'notfiy'/, 'notfiy'],
  ['a router-id used twice', at('router-id: 172', 'router-id: 171').replace('interface: eth2', 'interface: { alpha: eth0, beta: ens9 }').replace(/addresses: \["fe80.*\n.*unicast.*\n/, 'addresses: [10.9.9.9/24]\n'), /router-id 171 is that of instance inside on eth0 already/, 'router-id: 171\n      priority: { alpha: 150, beta: 100 }\n      advert-interval'],
  ['a router-id out of range', at('router-id: 171', 'router-id: 256'), /router-id out of range/, 'router-id: 256'],
  ['equal priorities', at('priority: { alpha: 150, beta: 100 }\n      version', 'priority: 100\n      version'), /alpha and beta have the same priority \(100\)/, 'priority: 100', 'warning'],
  ['a weight that moves nothing', at('weight: -60, fall', 'weight: -10, fall'), /weight -10 is too small to move the addresses: 150 of alpha stays above 100 of beta/, '- script: nginx', 'warning'],
  ['a password of nine bytes', at('renwole0', 'renwole01'), /the password has 9 bytes/, 'password'],
  ['the password of the examples', at('renwole0', '"1111"'), /that of the examples/, 'password', 'warning'],
  ['a password with version 3', at('version: 2', 'version: 3'), /version 3 has no authentication/, 'password'],
  ['version 2 below a second', at('version: 2', 'version: 2\n      advert-interval: 100ms'), /version 2 counts whole seconds/, 'advert-interval'],
  ['version 2 with IPv6', at('advert-interval: 1s', 'version: 2'), /version 2 knows IPv4 only/, 'version: 2\n      addresses: ["fe80'],
  ['two families', at('- 10.16.8.100/24', '- 10.16.8.100/24\n        - "fd00::9/64"'), /addresses of one family/, 'fd00::9'],
  ['an address twice', at('advertised: no }', 'advertised: no }\n        - 10.16.8.100/24'), /10.16.8.100 belongs to this instance already/, '- 10.16.8.100/24\n      track'],
  ['a network instead of an address', at('10.16.8.100/24', '10.16.8.0/24'), /10.16.8.0 is the name of the network/, '10.16.8.0'],
  ['a node without a value', at('{ alpha: eth0, beta: ens3 }', '{ alpha: eth0 }'), /'beta' is missing/, 'interface: { alpha'],
  ['a script that is not there', at('- script: nginx', '- script: ngnix'), /'ngnix' is not a script of this section/, 'ngnix'],
  ['a script nobody tracks', at('        - script: nginx\n', ''), /script nginx is tracked by nobody/, 'nginx: { command', 'warning'],
  ['two things in one entry', at('- interface: eth1', '- interface: eth1\n          file: /run/x'), /here are interface and file/, '- interface: eth1'],
  ['a label of another interface', at('advertised: no', 'label: "eth7:0"'), /does not begin with 'eth1:'/, 'eth7'],
  ['the owner with a weight', at('alpha: 150, beta: 100 }\n      version', 'alpha: 255, beta: 100 }\n      version'), /priority of an owner \(255\) is never changed/, '- script: nginx'],
  ['nopreempt with a weight', at('version: 2', 'version: 2\n      preempt: no'), /without preemption a weight does not move/, 'preempt: no', 'warning'],
  ['nopreempt with a delay', at('advert-interval: 1s', 'preempt: no\n      preempt-delay: 5s'), /does nothing/, 'preempt-delay'],
  ['unicast without an address', at('alpha: "fd00::1", beta: "fd00::2"', 'alpha: "fd00::1"'), /'beta' is missing/, 'unicast'],
  ['a group that is not there', at('advert-interval: 1s', 'gate: web'), /'web' is not a group of this file/, 'gate'],
  ['members with different priorities', at('alpha: 150, beta: 100 }\n      advert', 'alpha: 140, beta: 100 }\n      advert'), /move together and have different priorities/, 'instances: [inside', 'warning'],
  ['a sync group with a stranger', at('[inside, outside]', '[inside, outsied]'), /'outsied' is not an instance/, 'outsied'],
  ['no addresses', at('      addresses: ["fe80::6001/64", "FD00:16::0100/64"]\n', ''), /'addresses' is missing/, 'outside:'],
];

describe('mistakes of VRRP', () => {
  for (const [name, text, message, line, severity = 'error'] of mistakes) {
    it(name, () => {
      const { problems } = load(text);
      const found = problems.find((problem) => message.test(problem.message));
      assert.ok(found !== undefined, JSON.stringify(problems, null, 1));
      assert.equal(found.severity, severity);
      assert.ok(found.remedy.length > 5);
      assert.equal(found.line, text.slice(0, text.indexOf(line)).split('\n').length, `line ${found.line}: ${text.split('\n')[found.line - 1]}`);
      assert.ok(found.column > 1);
    });
  }
});

describe('with a cluster', () => {
  const clustered = `
resources:
  r0: { device: /dev/drbd0, disk-path: /dev/sdb1, meta-disk: internal, on: { a: { address: "10.0.0.1:7788" }, b: { address: "10.0.0.2:7788" } } }
cluster:
  nodes: [a, b]
  links: { one: { addresses: { a: 10.1.0.1, b: 10.1.0.2 } }, two: { addresses: { a: 10.2.0.1, b: 10.2.0.2 } } }
  arbiter: { witness: "10.0.0.3:7795" }
groups:
  web: { members: [{ volume: r0 }] }
vrrp:
  instances:
    web: { interface: eth0, router-id: 5, priority: { a: 120, b: 100 }, addresses: [10.0.0.100/24], gate: web }
`;
  it('a gated instance lowers its priority where the group can not be served', () => {
    const { config, problems } = load(clustered, 'a');
    assert.deepEqual(problems, []);
    assert.deepEqual(config?.vrrp?.instances[0]?.gate, { group: 'web', weight: -253 });
    assert.deepEqual(load(clustered.replace('gate: web', 'gate: web, preempt: no'), 'a').config?.vrrp?.instances[0]?.gate, { group: 'web', weight: 0 });
  });

  it('an address follows its group or its instance, not both', () => {
    const { problems } = load(clustered.replace('[{ volume: r0 }]', '[{ volume: r0 }, { vip: 10.0.0.100/24 }]'), 'a');
    assert.match(problems[0]?.message ?? '', /10.0.0.100 belongs to group web/);
  });

  it('nodes are those of the cluster', () => {
    const { problems } = load(clustered.replace('{ a: 120, b: 100 }', '{ a: 120, c: 100 }'), 'a');
    assert.deepEqual(problems.map(({ message }) => message).sort(), ["'c' is not a node", "web priority: 'b' is missing"]);
  });
});
