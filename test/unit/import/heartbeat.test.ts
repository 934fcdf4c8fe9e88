/** ha.cf, haresources and authkeys: what they become, and each mistake at its place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { parseConfig } from '../../../src/config/load.js';
import { parseTime } from '../../../src/import/ha-cf.js';
import { parseVip } from '../../../src/import/haresources.js';
import { authkeys, drbdConf, haCf, haresources, haresourcesNginx } from './originals.js';
import { checked, host, imported, lines, network, only, short } from './world.js';

const both = { addresses: new Map([['master1/eth1', '10.1.1.1']]) };
const good = {
  'ha.cf': 'keepalive 500ms\ndeadtime 5\nwarntime 2.5\ninitdead 60\nudpport 694\nucast eth1 10.1.1.1\nucast eth1 10.1.1.2\nbcast eth0\nauto_failback off\nnode master1 master2\n',
  haresources: 'master1 drbddisk::r0 Filesystem::/dev/drbd0::/store::ext4::noatime mysql 192.168.42.14/24/eth0\n',
  'drbd.conf': drbdConf,
};
const nodeOne = host({
  networks: [network('eth0', '192.168.42.12/24'), network('eth1', '10.1.1.1/24')],
  paths: { '/etc/init.d/mysql': {} },
});

describe('the set-up with heartbeat and DRBD as its user had it', () => {
  const files = { 'ha.cf': haCf, haresources, authkeys, 'drbd.conf': drbdConf };
  const outcome = imported(files, host({ units: ['nginx'] }), both);
  const result = parse(outcome.yaml) as Record<string, unknown>;

  it('becomes a drbdts.yaml that the check accepts on both nodes', () => {
    assert.equal(outcome.complete, true);
    for (const node of ['master1', 'master2']) {
      const { config, problems } = parseConfig(outcome.yaml, 'drbdts.yaml', node);
      assert.notEqual(config, null, JSON.stringify(problems));
      assert.deepEqual(config?.cluster?.nodes, ['master1', 'master2']);
      const times = [config?.cluster?.keepaliveMs, config?.cluster?.warntimeMs, config?.cluster?.deadtimeMs, config?.cluster?.initdeadMs];
      assert.deepEqual(times, [2000, 10_000, 30_000, 60_000]);
      assert.equal(config?.resources[0]?.volumes[0]?.disk['resync-rate'], 204_800);
      assert.deepEqual(config?.groups[0]?.members.map(({ name }) => name), ['vip 192.168.42.14', 'service nginx.service', 'volume r0', 'filesystem /store']);
      assert.equal(config?.groups[0]?.autoFailback, true);
    }
  });

  it('knows the peer from ucast and itself from what it was told', () => {
    assert.deepEqual((result['cluster'] as Record<string, unknown>)['links'], { eth1: { interface: 'eth1', addresses: { master1: '10.1.1.1', master2: '10.1.1.2' } } });
  });

  it('names every remark that heartbeat takes for values, the key without id, and the order', () => {
    const errors = short(only(outcome.findings, 'error'));
    const slashes = [[1, 29], [2, 25], [4, 13], [5, 13], [6, 13], [7, 13], [8, 13], [9, 21], [10, 18], [11, 14], [13, 19], [14, 47]];
    assert.deepEqual(errors, [...slashes.map(([line, column]) => `ha.cf:${line}:${column} IMPORT_SLASH_COMMENT`), 'authkeys:2:1 IMPORT_AUTH_NO_ID']);
    assert.deepEqual(short(only(outcome.findings, 'lost')), ['authkeys:2:1 IMPORT_KEY_SHORT']);
    const warnings = short(only(outcome.findings, 'warning'));
    for (const wanted of ['ha.cf:9:7 IMPORT_ONE_MEDIUM', 'ha.cf:11:6 IMPORT_NO_ARBITER', 'ha.cf:14:19 IMPORT_PATH_MISSING', 'haresources:1:9 IMPORT_ORDER', 'haresources:1:41 IMPORT_ORDER']) assert.ok(warnings.includes(wanted), `${wanted}\n${lines(outcome.findings)}`);
  });

  it('can be put in order', () => {
    const { yaml } = imported(files, host(), { ...both, reorder: true });
    const members = parseConfig(yaml, 'f', null).config?.groups[0]?.members.map(({ kind }) => kind);
    assert.deepEqual(members, ['volume', 'filesystem', 'service', 'vip']);
  });

  it('with a witness has an arbiter, and nothing is said about none', () => {
    const { yaml, findings } = imported(files, host(), { ...both, witness: '192.168.42.20:7795' });
    assert.equal(parseConfig(yaml, 'f', null).config?.cluster?.arbiter.kind, 'witness');
    assert.ok(!lines(findings).includes('IMPORT_NO_ARBITER'));
  });

  it('without the own address falls back to the addresses of drbd.conf and says so', () => {
    const { yaml, findings, complete } = imported(files, host());
    // this host is master1 by name, so the address of ucast is master2's; its own is not known
    assert.ok(complete);
    assert.deepEqual(parseConfig(yaml, 'f', null).config?.cluster?.links[0]?.addresses, { master1: '192.168.42.12', master2: '192.168.42.13' });
    assert.ok(short(findings).includes('ha.cf:9:7 IMPORT_ADDRESS_UNKNOWN'));
    assert.ok(short(findings).includes('ha.cf:9:7 IMPORT_LINK_FROM_DRBD'));
  });

  it('before DRBD was added: an address and a service', () => {
    const { yaml, findings } = imported({ 'ha.cf': haCf, haresources: haresourcesNginx, 'drbd.conf': drbdConf }, host({ paths: { '/etc/init.d/nginx': {} } }), both);
    assert.deepEqual((parse(yaml) as { groups: unknown }).groups, {
      nginx: { preferred: 'master1', 'auto-failback': 'yes', members: [{ vip: '192.168.42.14/25', interface: 'eth0', label: 'eth0:0' }, { lsb: 'nginx' }] },
    });
    assert.ok(short(findings).includes('haresources:1:47 IMPORT_SLASH_COMMENT'));
  });
});

describe('what nothing is wrong with', () => {
  const outcome = imported(good, nodeOne, { witness: '192.168.42.20:7795' });

  it('loses nothing', () => {
    assert.deepEqual(only(outcome.findings, 'error', 'lost').map(({ message }) => message), []);
    assert.equal(outcome.complete, true);
  });

  it('keeps milliseconds, ports and both ways of heartbeats', () => {
    const { config } = parseConfig(outcome.yaml, 'f', 'master1');
    assert.deepEqual([config?.cluster?.keepaliveMs, config?.cluster?.deadtimeMs, config?.cluster?.warntimeMs], [500, 5000, 2500]);
    assert.deepEqual(config?.cluster?.links.map(({ name, addresses }) => [name, addresses]), [
      ['eth1', { master1: '10.1.1.1', master2: '10.1.1.2' }],
      ['eth0', { master1: '192.168.42.12', master2: '192.168.42.13' }],
    ]);
    assert.equal(config?.groups[0]?.autoFailback, false);
    assert.deepEqual(config?.groups[0]?.members.map(({ name }) => name), ['volume r0', 'filesystem /store', 'service mysql', 'vip 192.168.42.14']);
  });

  it('passes the check', () => assert.deepEqual(short(only(checked(good, nodeOne), 'error')), []));
});

const haCfMistakes: readonly (readonly [string, string, string, RegExp])[] = [
  ['deadtime 10\nwarntime 10\n', '2:10', 'IMPORT_WARNTIME', /deadtime \(10s\) is not above warntime \(10s\)/],
  ['keepalive 2\ndeadtime 4\n', '2:10', 'IMPORT_DEADTIME', /more than twice keepalive/],
  ['deadtime 30\ninitdead 20\n', '2:10', 'IMPORT_INITDEAD', /initdead \(20s\) is below/],
  ['keepalive 2sec\n', '1:11', 'IMPORT_TIME', /2sec/],
  ['deadtimer 10\n', '1:1', 'IMPORT_UNKNOWN_WORD', /Did you mean 'deadtime'/],
  ['auto-failback on\n', '1:1', 'IMPORT_UNKNOWN_WORD', /Did you mean 'auto_failback'/],
  ['auto_failback maybe\n', '1:15', 'IMPORT_VALUE', /neither on nor off/],
  ['nice_failback on\n', '1:1', 'IMPORT_NICE_FAILBACK', /auto_failback/],
  ['udpport 70000\n', '1:9', 'IMPORT_VALUE', /not a port/],
  ['ucast eth1 peer\n', '1:12', 'IMPORT_VALUE', /not a numeric address/],
  ['keepalive\n', '1:1', 'IMPORT_MISSING_VALUE', /keepalive/],
  ['node alpha beta\n', '1:6', 'IMPORT_NODE_NOT_HERE', /this host is 'master1'/],
  ['bcast eth0\nudpport 695\n', '2:1', 'IMPORT_PORT_LATE', /udpport/],
  ['respawn hacluster /usr/lib/heartbeat/ipfail\n', '1:1', 'IMPORT_IPFAIL_ALONE', /ping/],
];
describe('mistakes in ha.cf', () => {
  for (const [text, place, code, words] of haCfMistakes) {
    it(`${code}: ${text.trim().replaceAll('\n', ' / ')}`, () => {
      const findings = checked({ 'ha.cf': text }).filter((found) => found.code === code);
      assert.deepEqual(short(findings), [`ha.cf:${place} ${code}`]);
      assert.match(lines(findings), words);
    });
  }

  it('the files of both nodes differ', () => {
    const a = 'deadtime 10\nnode master1 master2\nucast eth1 10.1.1.2\n';
    const b = 'deadtime 12\nnode master1 master2\nucast eth1 10.1.1.1\n';
    const findings = checked({ 'a/ha.cf': a, 'b/ha.cf': b }).filter(({ code }) => code === 'IMPORT_FILES_DIFFER');
    assert.deepEqual(short(findings), ['b/ha.cf:1:1 IMPORT_FILES_DIFFER']);
    assert.match(lines(findings), /a\/ha\.cf:1:1 has 10/);
  });
});

const authMistakes: readonly (readonly [string, string, string])[] = [
  ['auth 3\nmd5 Hello!\n', '2:1', 'IMPORT_AUTH_NO_ID'],
  ['auth 1\n2 sha1 secret\n', '1:6', 'IMPORT_AUTH_UNKNOWN'],
  ['auth 16\n', '1:6', 'IMPORT_AUTH_ID'],
  ['auth 1\n1 sha256 secret\n', '2:3', 'IMPORT_AUTH_METHOD'],
  ['auth 1\n1 sha1\n', '2:3', 'IMPORT_AUTH_NO_KEY'],
  ['1 sha1 secret\nauth 1\n', '1:1', 'IMPORT_AUTH_ORDER'],
  ['# nothing\n', '1:1', 'IMPORT_AUTH_NONE'],
  ['auth 1\n1 crc\n', '2:3', 'IMPORT_AUTH_CRC'],
];
describe('mistakes in authkeys', () => {
  for (const [text, place, code] of authMistakes) {
    it(`${code}: ${text.trim().replaceAll('\n', ' / ')}`, () => assert.ok(short(checked({ authkeys: text })).includes(`authkeys:${place} ${code}`), lines(checked({ authkeys: text }))));
  }

  it('others may read it', () => {
    const findings = checked({ authkeys: 'auth 1\n1 sha1 secret\n' }, host(), { authkeys: 0o644 });
    assert.deepEqual(short(findings), ['authkeys:1:1 IMPORT_AUTH_OPEN']);
    assert.match(lines(findings), /mode 0644.*chmod 600 authkeys/);
  });

  it('a finding never shows a key', () => {
    const findings = checked({ 'a/authkeys': 'auth 1\n1 sha1 topsecretkey\n', 'b/authkeys': 'auth 1\n1 sha1 othersecretkey\n' });
    assert.deepEqual(short(findings), ['b/authkeys:2:3 IMPORT_FILES_DIFFER']);
    assert.doesNotMatch(lines(findings), /secretkey/);
  });

  it('a long key becomes the text of the key file', () => {
    const outcome = imported({ ...good, authkeys: 'auth 2\n2 sha1 a long key with blanks in it\n' }, nodeOne);
    assert.equal(outcome.key, 'a long key with blanks in it\n');
  });
});

describe('mistakes in haresources', () => {
  const ha = { 'ha.cf': 'node master1 master2\nbcast eth0\n' };
  const find = (text: string): string[] => short(checked({ ...ha, haresources: text })).filter((one) => one.startsWith('haresources'));

  it('a service before its file system, with the right line', () => {
    const text = 'master1 drbddisk::r0 mysql Filesystem::/dev/drbd0::/store::ext4\n';
    assert.deepEqual(find(text), ['haresources:1:22 IMPORT_ORDER']);
    assert.match(lines(checked({ ...ha, haresources: text })), /Write: master1 drbddisk::r0 Filesystem::\/dev\/drbd0::\/store::ext4 mysql/);
  });
  it('a node that is none', () => assert.deepEqual(find('master3 nginx\n'), ['haresources:1:1 IMPORT_RESOURCE_NODE']));
  it('names are compared without regard to case', () => assert.deepEqual(find('MASTER1 nginx\n'), []));
  it('two groups that begin with the same resource', () => assert.deepEqual(find('master1 nginx\nmaster2 nginx\n'), ['haresources:2:9 IMPORT_GROUP_KEY']));
  it('a node without resources', () => assert.deepEqual(find('master1\n'), ['haresources:1:1 IMPORT_EMPTY_GROUP']));
  it('an address that is none', () => assert.deepEqual(find('master1 IPaddr::192.168.42.300/24\n'), ['haresources:1:9 IMPORT_VIP']));
  it('lines that go on, and comments', () => assert.deepEqual(find('# all of it\nmaster1 drbddisk::r0 \\\n  Filesystem::/dev/drbd0::/store::ext4 \\\n  nginx # web\n'), []));
  it('a difference between the nodes', () => {
    const findings = checked({ ...ha, 'a/haresources': 'master1 nginx\n', 'b/haresources': 'master1 apache2\n' });
    assert.ok(short(findings).includes('b/haresources:1:1 IMPORT_FILES_DIFFER'), lines(findings));
  });
});

describe('resources of haresources', () => {
  const member = (resource: string, view = host()): unknown => {
    const { yaml } = imported({ haresources: `master1 ${resource}\n`, 'drbd.conf': drbdConf }, view);
    const { groups } = parse(yaml) as { groups?: Record<string, { members: unknown[] }> };
    return Object.values(groups ?? {})[0]?.members;
  };
  const cases: readonly (readonly [string, unknown])[] = [
    ['192.168.1.1', [{ vip: '192.168.1.1/32' }]],
    ['192.168.1.1/24', [{ vip: '192.168.1.1/24' }]],
    ['IPaddr2::192.168.1.1/24/eth0/192.168.1.255', [{ vip: '192.168.1.1/24', interface: 'eth0' }]],
    ['IPaddr::192.168.1.1/255.255.255.0/eth0:web', [{ vip: '192.168.1.1/24', interface: 'eth0', label: 'eth0:web' }]],
    ['IPv6addr::fd00:0:0:0:0:0:0:1/64/eth0', [{ vip: 'fd00:0:0:0:0:0:0:1/64', interface: 'eth0' }]],
    ['drbddisk', [{ volume: 'r0' }]],
    ['drbddisk::r0', [{ volume: 'r0' }]],
    ['Filesystem::/dev/sdc1::/data::xfs::noatime,nodev', [{ filesystem: '/data', device: '/dev/sdc1', type: 'xfs', options: 'noatime,nodev' }]],
    ['Filesystem::/dev/drbd0::/store', [{ volume: 'r0' }, { filesystem: '/store', device: '/dev/drbd0' }]],
    ['Filesystem::/dev/drbd0::/store drbddisk::r0', [{ volume: 'r0' }, { filesystem: '/store', device: '/dev/drbd0' }]],
    ['MailTo::root@localhost::Takeover', [{ ocf: 'heartbeat:MailTo', parameters: { email: 'root@localhost', subject: 'Takeover' } }]],
    ['LVM::vg0', [{ ocf: 'heartbeat:LVM', parameters: { volgrpname: 'vg0' } }]],
    ['myservice::one::two', [{ lsb: 'myservice', arguments: ['one', 'two'] }]],
    ['SendArp::192.168.1.1/eth0 nginx', [{ lsb: 'nginx' }]],
    ['a::1 a::2', [{ lsb: 'a', arguments: [1] }, { lsb: 'a', arguments: [2], name: 'a-2' }]],
  ];
  for (const [resource, wanted] of cases) {
    it(resource, () => assert.deepEqual(JSON.parse(JSON.stringify(member(resource) ?? null).replaceAll(/"(\d)"/g, '$1')), wanted ?? null));
  }
  it('the prefix of an address is that of the network of this host', () => {
    assert.deepEqual(member('192.168.1.1', host({ networks: [network('eth0', '192.168.1.9/26')] })), [{ vip: '192.168.1.1/26' }]);
  });
  it('a stacked resource is lost by name', () => assert.ok(short(imported({ haresources: 'master1 drbdupper::r0-U\n', 'drbd.conf': drbdConf }).findings).includes('haresources:1:9 IMPORT_AGENT')));
});

describe('times of ha.cf', () => {
  for (const [text, ms] of [['2', 2000], ['1.5', 1500], ['.5', 500], ['200ms', 200], ['200MS', 200], ['3000us', 3], ['0.3', 300]] as const) it(`${text} is ${ms} ms`, () => assert.deepEqual(parseTime(text), { ms }));
  for (const text of ['2s', '5msxyz', '1m', '', '-1', '1e3', '0.0001ms']) it(`'${text}' is none`, () => assert.ok('problem' in parseTime(text)));
});

describe('addresses of haresources', () => {
  it('takes a third field that begins with a digit for the broadcast address', () => {
    assert.deepEqual(parseVip('10.0.0.1/8/10.255.255.255'), { address: '10.0.0.1', family: 4, prefix: 8, interface: '', label: '', broadcast: '10.255.255.255' });
  });
  for (const text of ['10.0.0.1/33', '10.0.0.1/255.0.255.0', '10.0.0/8', 'x', '10.0.0.1/8/eth0/10.1.1.1/x']) it(`'${text}' is none`, () => assert.equal(typeof parseVip(text), 'string'));
});
