/** drbd.conf of 8.3, 8.4 and 9: what it becomes, and each mistake at its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/config/types.js';
import { formatAddress } from '../../../src/config/types.js';
import { drbdConf } from './originals.js';
import { checked, type Files, host, imported, lines, only, short } from './world.js';

function configOf(files: Files, named?: readonly string[]): Config {
  const { yaml, findings } = imported(files, host(), {}, named ?? Object.keys(files));
  const { config, problems } = parseConfig(yaml, 'drbdts.yaml', 'master1');
  assert.notEqual(config, null, `${yaml}\n${JSON.stringify(problems)}\n${lines(findings)}`);
  return config as Config;
}
const on = (name: string, octet: number, body = 'device /dev/drbd0; disk /dev/sdb1; meta-disk internal;'): string => `on ${name} { ${body} address 10.77.0.${octet}:7788; }\n`;
const pair = `${on('master1', 1)}${on('master2', 2)}`;
const resource = (body: string): string => `resource r0 {\n${body}\n${pair}}\n`;

describe('drbd.conf', () => {
  it('of 8.3 as its user had it loses nothing', () => {
    const outcome = imported({ 'drbd.conf': drbdConf });
    assert.deepEqual(short(outcome.findings), ['drbd.conf:12:10 IMPORT_RATE']);
    assert.equal(outcome.complete, true);
    const [r0] = configOf({ 'drbd.conf': drbdConf }).resources;
    assert.deepEqual(r0?.hosts.map((one) => [one.name, formatAddress(one.address), one.volumes[0]?.device, one.volumes[0]?.disk, one.volumes[0]?.metaDisk]), [
      ['master1', '192.168.42.12:7788', '/dev/drbd0', '/dev/sdb1', 'internal'],
      ['master2', '192.168.42.13:7788', '/dev/drbd0', '/dev/sdb1', 'internal'],
    ]);
    assert.deepEqual([r0?.protocol, r0?.net['timeout'], r0?.net['max-epoch-size'], r0?.startup['degr-wfc-timeout'], r0?.volumes[0]?.disk['on-io-error']], ['C', 60, 2048, 120, 'detach']);
  });

  it('of 8.4 with volumes, common and includes', () => {
    const files = {
      '/etc/drbd.conf': 'include "drbd.d/global_common.conf";\ninclude "drbd.d/*.res";\n',
      '/etc/drbd.d/global_common.conf': 'global { usage-count no; }\ncommon {\n  handlers { split-brain "/usr/lib/drbd/notify-split-brain.sh root"; }\n  net { protocol C; cram-hmac-alg sha1; shared-secret "s e c"; after-sb-0pri discard-zero-changes; }\n  disk { c-max-rate 100M; al-extents 3389; }\n}\n',
      '/etc/drbd.d/r1.res': `resource r1 {
        volume 0 { device minor 1; disk /dev/vg/a; meta-disk internal; disk { resync-rate 33M; } }
        volume 1 { device /dev/drbd2 minor 2; disk /dev/vg/b; flexible-meta-disk /dev/vg/meta; }
        net { ping-timeout 10; }
        on master1 { address ipv6 [fd00::1]:7789; }
        on master2 { address ipv6 [fd00::2]:7789; }
      }`,
    };
    const outcome = imported(files, host(), {}, ['/etc/drbd.conf']);
    assert.deepEqual(short(only(outcome.findings, 'error', 'lost')), []);
    const config = configOf(files, ['/etc/drbd.conf']);
    const [r1] = config.resources;
    assert.deepEqual(r1?.hosts[1].volumes.map(({ volume, device, minor, disk, metaDisk }) => [volume, device, minor, disk, metaDisk]), [
      [0, '/dev/drbd1', 1, '/dev/vg/a', 'internal'],
      [1, '/dev/drbd2', 2, '/dev/vg/b', '/dev/vg/meta'],
    ]);
    assert.equal(formatAddress(r1?.hosts[0].address ?? { family: 4, host: '', port: 0 }), '[fd00::1]:7789');
    assert.deepEqual([r1?.volumes[0]?.disk['resync-rate'], r1?.volumes[1]?.disk['resync-rate'], r1?.volumes[0]?.disk['c-max-rate'], r1?.volumes[0]?.disk['al-extents']], [33_792, 250, 102_400, 3389]);
    assert.deepEqual([r1?.net['shared-secret'], r1?.net['ping-timeout'], r1?.net['after-sb-0pri']], ['s e c', 10, 'discard-zero-changes']);
    assert.equal(r1?.handlers['split-brain'], '/usr/lib/drbd/notify-split-brain.sh root');
  });

  it('of 9 with a mesh of two hosts, fencing in net, options', () => {
    const text = `resource r0 {
      net { fencing resource-and-stonith; transport tcp; }
      options { quorum off; auto-promote yes; }
      handlers { fence-peer "/usr/lib/drbd/crm-fence-peer.9.sh"; unfence-peer "/usr/lib/drbd/crm-unfence-peer.9.sh"; }
      on master1 { node-id 0; volume 0 { device /dev/drbd7; disk /dev/sdb1; meta-disk internal; } }
      on master2 { node-id 1; volume 0 { device /dev/drbd7; disk /dev/sdb1; meta-disk internal; } }
      connection { host master1 address 10.0.0.1:7000; host master2 address ipv4 10.0.0.2:7000; net { ping-int 5; } }
    }`;
    const [r0] = configOf({ 'r0.res': text }).resources;
    assert.deepEqual(r0?.hosts.map(({ address }) => formatAddress(address)), ['10.0.0.1:7000', '10.0.0.2:7000']);
    assert.deepEqual([r0?.net['ping-int'], r0?.volumes[0]?.disk['fencing']], [5, 'resource-and-stonith']);
    const lost = only(imported({ 'r0.res': text }).findings, 'lost').map(({ message }) => message.split(' ')[0]);
    assert.deepEqual(lost, ["'transport'", "'quorum'", "'auto-promote'", "'unfence-peer'"]);
  });

  it('device, disk and meta-disk for both hosts, indexed meta-data, names of several words', () => {
    const text = 'resource "r0" { device /dev/drbd_data minor 3; disk "/dev/sdb1"; meta-disk /dev/sdc [2];\n on master1 { address 10.0.0.1:7788; }\n on master2 { address 10.0.0.2:7788; } }';
    const [r0] = configOf({ 'r0.res': text }).resources;
    assert.deepEqual(r0?.hosts[0].volumes[0], { volume: 0, device: '/dev/drbd_data', minor: 3, disk: '/dev/sdb1', metaDisk: '/dev/sdc', metaIndex: 2 });
  });

  it('switches of 8.3 that say no, and bare ones', () => {
    const [r0] = configOf({ 'r0.res': resource('disk { no-disk-flushes; no-md-flushes; no-disk-barrier; } net { no-tcp-cork; } syncer { use-rle; verify-alg sha1; csums-alg md5; al-extents 257; }') }).resources;
    assert.deepEqual([r0?.volumes[0]?.disk['disk-flushes'], r0?.volumes[0]?.disk['md-flushes'], r0?.net['tcp-cork'], r0?.net['use-rle']], [false, false, false, true]);
    assert.deepEqual([r0?.net['verify-alg'], r0?.net['csums-alg'], r0?.volumes[0]?.disk['al-extents']], ['sha1', 'md5', 257]);
  });

  it('an algorithm that is missing takes the secret with it, aloud, and leaves the others theirs', () => {
    const text = `common { net { shared-secret "x"; } }\nresource a {\n net { cram-hmac-alg sha512; }\n${pair}}\nresource b {\n net { cram-hmac-alg sha256; }\n${pair.replaceAll('drbd0', 'drbd1').replaceAll('sdb1', 'sdc1').replaceAll('7788', '7789')}}\n`;
    const outcome = imported({ 'drbd.conf': text });
    assert.deepEqual(short(only(outcome.findings, 'lost')), ['drbd.conf:2:10 IMPORT_UNAUTHENTICATED', 'drbd.conf:3:22 IMPORT_VALUE_UNAVAILABLE']);
    assert.deepEqual(configOf({ 'drbd.conf': text }).resources.map(({ net }) => net['shared-secret']), ['', 'x']);
  });

  it('what is dangerous or missing here is lost by name', () => {
    const text = resource('net { allow-two-primaries; on-congestion pull-ahead; }\nstartup { become-primary-on both; }\nhandlers { outdate-peer "/usr/lib/heartbeat/drbd-peer-outdater -t 5"; }\nproxy { memlimit 100M; }');
    assert.deepEqual(short(only(imported({ 'r0.res': text }).findings, 'error', 'lost')), [
      'r0.res:2:7 IMPORT_NO_EQUIVALENT',
      'r0.res:2:28 IMPORT_NO_EQUIVALENT',
      'r0.res:3:11 IMPORT_TWO_PRIMARIES',
      'r0.res:4:12 IMPORT_OUTDATER',
      'r0.res:5:1 IMPORT_NO_EQUIVALENT',
    ]);
  });

  it('three hosts, floating ones and stacked resources', () => {
    assert.deepEqual(short(only(imported({ 'r0.res': `resource r0 {\n${pair}${on('master3', 3)}}` }).findings, 'lost')), ['r0.res:4:4 IMPORT_HOST_COUNT']);
    const floating = imported({ 'r0.res': 'resource r0 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n floating 10.0.0.1:7788 { }\n floating ipv4 10.0.0.2:7788 { } }' });
    assert.deepEqual(short(only(floating.findings, 'lost')), ['r0.res:2:2 IMPORT_FLOATING', 'r0.res:3:2 IMPORT_FLOATING']);
    assert.equal(floating.complete, true);
    const stacked = imported({ 'r0.res': `resource r0 {\n${pair}}\nresource r0-U { stacked-on-top-of r0 { device /dev/drbd10; address 10.0.0.3:7788; } }` });
    assert.deepEqual(short(only(stacked.findings, 'lost')), ['r0.res:5:17 IMPORT_STACKED']);
  });
});

const mistakes: readonly (readonly [string, string, string, RegExp])[] = [
  [resource('net { max-bufers 2048; }'), '2:7', 'IMPORT_UNKNOWN_WORD', /Did you mean 'max-buffers'/],
  [resource('net { pong-int 10; }'), '2:7', 'IMPORT_UNKNOWN_WORD', /Did you mean 'ping-int'/],
  [resource('netz { timeout 60; }'), '2:1', 'IMPORT_UNKNOWN_WORD', /Did you mean 'net'/],
  [resource('protocol Q;'), '2:10', 'IMPORT_VALUE', /unknown protocol 'Q'/],
  [resource('net { max-buffers 7; }'), '2:19', 'IMPORT_VALUE', /out of range/],
  [resource('disk { on-io-error explode; }'), '2:20', 'IMPORT_VALUE', /unknown value 'explode'.*detach/],
  [resource('net {\n  timeout 60\n  connect-int 10;\n}'), '3:13', 'IMPORT_SEMICOLON', /'timeout 60'/],
  [resource('net { timeout 60 }'), '2:17', 'IMPORT_SEMICOLON', /'timeout 60'/],
  [resource('// a remark'), '2:1', 'IMPORT_SLASH_COMMENT', /#/],
  [resource('net { timeout 60; // a remark\n}'), '2:19', 'IMPORT_SLASH_COMMENT', /#/],
  [resource('handlers { split-brain "/bin/true; }'), '2:24', 'IMPORT_QUOTE', /quote/],
  [resource('net {\n timeout 60;'), '2:1', 'IMPORT_BRACE_OPEN', /'net'/],
  [`resource r0 {\non master1 {\ndevice /dev/drbd0; disk /dev/sdb1; meta-disk internal; address 10.0.0.1:7788;\n${on('master2', 2)}}\n`, '2:1', 'IMPORT_BRACE_OPEN', /'on master1'/],
  [`resource r0 {\n${pair}`, '1:1', 'IMPORT_BRACE_OPEN', /'resource r0'/],
  [`resource r0 {\n${pair}}\n}\n`, '5:1', 'IMPORT_BRACE_EXTRA', /opening/],
  [`${resource('')}resource r0 { }\n`, '6:10', 'IMPORT_DUPLICATE', /drbd\.conf:1:10/],
  [resource('').replace('10.77.0.1:7788', '10.77.0.300:7788'), '3:77', 'IMPORT_VALUE', /not an address/],
  [resource('').replace('device /dev/drbd0', 'device /dev/store'), '3:21', 'IMPORT_VALUE', /minor/],
  [`resource r0 {\n${on('master1', 1)}}\n`, '1:10', 'IMPORT_HOST_MISSING', /one host/],
  [resource('timeout 60;'), '2:1', 'IMPORT_UNKNOWN_WORD', /resource/],
  ['include "/nowhere/r0.res";\n', '1:9', 'IMPORT_INCLUDE', /no such file/],
  [resource('').replaceAll('master', 'other'), '3:4', 'IMPORT_NODE_NOT_HERE', /this host is 'master1'/],
  [resource('').replace('10.77.0.2', '10.77.0.1'), '1:10', 'ERR_CONFIG_CONFLICT', /conflicting use of IP/],
];
describe('mistakes in drbd.conf', () => {
  for (const [text, place, code, words] of mistakes) {
    it(`${code} at ${place}: ${words.source}`, () => {
      const findings = checked({ 'drbd.conf': text });
      const hits = findings.filter((found) => found.code === code);
      assert.deepEqual(short(hits), [`drbd.conf:${place} ${code}`], lines(findings));
      assert.match(lines(hits), words);
    });
  }

  it('a good file has none', () => assert.deepEqual(short(checked({ 'drbd.conf': resource('net { timeout 60; }') })), []));
  it('one missing brace is one finding', () => assert.deepEqual(short(checked({ 'drbd.conf': resource('net {\n timeout 60;') })), ['drbd.conf:2:1 IMPORT_BRACE_OPEN']));

  it('an include that comes back to itself', () => {
    const files = { 'drbd.conf': 'include "a.res";\n', 'a.res': 'include "drbd.conf";\ninclude "a.res";\n' };
    assert.deepEqual(short(checked(files, host(), {}, ['drbd.conf'])), ['a.res:1:9 IMPORT_INCLUDE_LOOP', 'a.res:2:9 IMPORT_INCLUDE_LOOP']);
  });

  it('the files of the nodes differ, at the innermost place', () => {
    const files = { 'a/drbd.conf': resource('net { timeout 60; }'), 'b/drbd.conf': resource('net { timeout 90; }') };
    const findings = checked(files);
    assert.deepEqual(short(findings), ['b/drbd.conf:2:7 IMPORT_FILES_DIFFER']);
    assert.match(lines(findings), /'timeout 90' differs.*a\/drbd\.conf has 'timeout 60'/);
  });
});
