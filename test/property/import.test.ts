/** Whatever is in a file of another product, reading it ends, never throws, and every finding has a place; the output is bounded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../src/config/load.js';
import type { ImportFinding } from '../../src/import/findings.js';
import { authkeys, drbdConf, haCf, haresources } from '../unit/import/originals.js';
import { checked, host, imported, network } from '../unit/import/world.js';

const seed = Number(process.env.DRBDTS_SEED ?? Date.now() % 2 ** 31);
console.log(`property import: DRBDTS_SEED=${seed}`);
const parameters = { seed, numRuns: 100 };

const names = ['drbd.conf', 'ha.cf', 'haresources', 'authkeys', 'keepalived.conf'] as const;
const view = host({ networks: [network('eth0', '192.168.42.12/24'), network('eth1', '10.1.1.1/24')] });
const keepalivedConf = 'global_defs {\n router_id x\n}\n$A=1\nvrrp_script c {\n script "killall -0 nginx"\n weight -10\n}\nvrrp_instance V {\n state MASTER\n interface eth0\n virtual_router_id 5\n@a priority 100\n authentication {\n auth_type PASS\n auth_pass 1111\n }\n track_script {\n c\n }\n virtual_ipaddress {\n ~SEQ(x, 1, 3) 10.0.0.$x/24\n }\n notify_master "/bin/x y"\n}\nvirtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n TCP_CHECK {\n }\n }\n}\n';
const originals: Readonly<Record<(typeof names)[number], string>> = { 'drbd.conf': drbdConf, 'ha.cf': haCf, haresources, authkeys, 'keepalived.conf': keepalivedConf };

function placed(files: Readonly<Record<string, string>>, findings: readonly ImportFinding[]): void {
  assert.ok(findings.length <= 600);
  for (const found of findings) {
    const text = files[found.file];
    if (text !== undefined) assert.ok(found.line >= 1 && found.line <= text.split('\n').length + 1 && found.column >= 1, JSON.stringify(found));
    assert.ok(found.message !== '' && found.remedy !== '' && found.message.length < 2000, JSON.stringify(found));
    // nothing of a file may steer the terminal it is shown on
    assert.doesNotMatch(found.message + found.remedy, /\p{Cc}/u);
    // a place in our own sentence that was not filled; `${A}` is a word of a file
    assert.doesNotMatch(found.message + found.remedy, /(?<!\$)\{\w+\}$/);
  }
}

function survives(files: Readonly<Record<string, string>>): void {
  placed(files, checked(files, view));
  const { yaml, findings, complete } = imported(files, view);
  placed(files, findings);
  if (yaml !== '') assert.equal(parseConfig(yaml, 'f', null).config !== null, complete);
  else assert.equal(complete, true);
}

/** Pieces of all languages, and what breaks readers. */
const piece = fc.oneof(
  fc.constantFrom('resource r0 {', 'on a {', '}', '{', ';', '"', '\\', '//', '#', '!', '\n', '\r\n', ' ', '@a ', '$A=', '$A', '${A}', '~SEQ(x,1,9) ', '~LST({a,b},{1,2})', 'include x', 'include "drbd.conf";', 'common {', 'net {', 'syncer { rate 1M; }'),
  fc.constantFrom('node a b', 'ucast eth1 10.1.1.2', 'keepalive 1', 'deadtime 3', 'auth 1', '1 md5 x', 'a IPaddr::1.2.3.4/24/eth0', 'drbddisk::r0', 'Filesystem::/dev/drbd0::/m', 'vrrp_instance V {', 'vrrp_sync_group G {', 'vrrp_track_process p {', 'track_file f {', 'global_defs {', 'unicast_peer {', 'authentication {', 'virtual_router_id 5', 'interface eth0', 'weight -5 reverse', 'advert_int 0.3', 'version 3', 'virtual_ipaddress {', 'track_script {', 'priority 1', 'notify_"x"', 'virtual_server 1.2.3.4 80 {', '__proto__', 'constructor', 'toString 1;', '__proto__::x'),
  fc.string({ unit: 'binary', maxLength: 12 }),
);
const soup = fc.array(fc.tuple(piece, fc.constantFrom('', ' ', '\n')), { maxLength: 60 }).map((parts) => parts.flat().join(''));

describe('reading of other configurations', () => {
  for (const name of names) {
    it(`survives rubbish in ${name}`, () => fc.assert(fc.property(soup, (text) => survives({ [name]: text })), parameters));

    it(`survives a good ${name} with something cut out or put in`, () => {
      const text = originals[name];
      const edit = fc.tuple(fc.nat(text.length), fc.nat(20), fc.oneof(piece, fc.constant('')));
      fc.assert(fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => survives({ [name]: edits.reduce((before, [at, length, put]) => before.slice(0, at) + put + before.slice(at + length), text) })), parameters);
    });
  }

  it('survives all of them together', () => {
    fc.assert(fc.property(fc.record({ 'drbd.conf': soup, 'ha.cf': soup, haresources: soup, 'keepalived.conf': soup, 'b.keepalived.conf': soup }), survives), { ...parameters, numRuns: 50 });
  });

  it('two nodes with any choice of good lines make a configuration that passes the check', () => {
    const line = fc.constantFrom(
      ...['nopreempt', 'preempt_delay 3', 'advert_int 2', 'version 3', 'version 2', 'down_timer_adverts 4', 'garp_master_delay 2', 'garp_master_repeat 3', 'garp_lower_prio_repeat 0', 'dont_track_primary', 'use_vmac', 'smtp_alert', 'lower_prio_no_advert', 'higher_prio_send_advert off', 'strict_mode'],
      ...['authentication {\nauth_type PASS\nauth_pass abc\n}', 'track_interface {\neth1 weight -20\neth2\n}', 'track_script {\nc weight 5\n}', 'track_script {\nnone\n}', 'track_file {\nt\n}', 'virtual_ipaddress_excluded {\nfd00::1/64 dev eth1\n}', 'virtual_ipaddress {\n10.0.0.2 label eth0:1\n}', 'notify "/x y" web', 'notify_fault /x', 'virtual_routes {\n10.0.0.0/8 dev eth0\n}', 'unicast_peer {\n10.1.0.9\n}'],
    );
    const node = fc.record({ lines: fc.uniqueArray(line, { maxLength: 8 }), priority: fc.integer({ min: 1, max: 254 }), state: fc.constantFrom('MASTER', 'BACKUP'), device: fc.constantFrom('eth0', 'ens3') });
    const text = ({ lines, priority, state, device }: { lines: string[]; priority: number; state: string; device: string }): string =>
      `vrrp_script c {\nscript /x\n}\ntrack_file t {\nfile /y\n}\nvrrp_instance V {\nstate ${state}\ninterface ${device}\nvirtual_router_id 7\npriority ${priority}\nvirtual_ipaddress {\n10.0.0.1/24\n}\n${lines.join('\n')}\n}\n`;
    fc.assert(
      fc.property(node, node, (one, two) => {
        const { yaml, complete, findings } = imported({ 'one.keepalived.conf': text(one), 'two.keepalived.conf': text(two) }, view);
        assert.ok(complete, findings.map(({ message }) => message).join('\n'));
        const nodes = parseConfig(yaml, 'f', null).config?.vrrp?.instances[0]?.nodes;
        assert.deepEqual([nodes?.['one']?.priority, nodes?.['two']?.priority, nodes?.['one']?.interface, nodes?.['two']?.interface], [one.priority, two.priority, one.device, two.device]);
      }),
      parameters,
    );
  });

  it('takes every value of ha.cf over to the millisecond', () => {
    const ms = fc.integer({ min: 50, max: 500 });
    fc.assert(
      fc.property(ms, fc.integer({ min: 5, max: 60 }), fc.boolean(), (keepalive, factor, unit) => {
        const deadtime = keepalive * factor;
        const write = (value: number): string => (unit ? `${value}ms` : `${value / 1000}`);
        const text = `keepalive ${write(keepalive)}\ndeadtime ${write(deadtime)}\nwarntime ${write(keepalive * 3)}\ninitdead 120\nnode a b\nucast eth1 10.1.1.1\nucast eth1 10.1.1.2\n`;
        const { yaml } = imported({ 'ha.cf': text }, view, { addresses: new Map([['a/eth1', '10.1.1.1']]) });
        const cluster = parseConfig(yaml, 'f', null).config?.cluster;
        assert.deepEqual([cluster?.keepaliveMs, cluster?.deadtimeMs, cluster?.warntimeMs], [keepalive, deadtime, keepalive * 3], yaml);
      }),
      parameters,
    );
  });

  /** Each of these once made, or could make, a reader work without end. */
  const deep: Readonly<Record<string, string>> = {
    'open braces': '{ '.repeat(20_000),
    'nested blocks': 'vrrp_instance a { '.repeat(5_000),
    'nested resources': 'resource r { on a { '.repeat(5_000),
    'open quotes': '" '.repeat(20_000),
    'one long line': 'x'.repeat(200_000),
    'many words': 'node a '.repeat(10_000),
    'many unknown words': 'timeot 60;\n'.repeat(5_000),
    'slashes': '// '.repeat(10_000),
    'sequences of sequences': '~SEQ(x,1,1999) ~SEQ(y,1,1999) a$x b$y\n'.repeat(20),
    'definitions of definitions': `${Array.from({ length: 30 }, (_, index) => `$A${index}=${`$A${index + 1} `.repeat(50)}\n`).join('')}x $A0\n`,
    'empty lines': '\n'.repeat(50_000),
    'groups of one name': 'a nginx::x\n'.repeat(2_000),
  };
  for (const [what, text] of Object.entries(deep)) it(`ends with ${what}`, () => survives(Object.fromEntries(names.map((name) => [name, text]))));
});
