/** Every finding of `drbdts cluster check`: one planted mistake each, and a right set-up without any. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import type { Facts } from '../../../src/checkup/facts.js';
import { type CheckCode, checkKinds } from '../../../src/checkup/findings.js';
import { compareFiles, findingOf, inOrder, judge } from '../../../src/checkup/judge.js';
import { parseConfig } from '../../../src/config/load.js';
import { parseMountTable } from '../../../src/shared/mount-table.js';
import { makeResource, makeStatus, makeVolume } from '../cli/fixtures.js';
import { configured, exampleText, pathFact, rightClusterd, type Right, rightFacts } from './world.js';

type Change = readonly [string, string];
interface Mistake {
  readonly what: string;
  readonly config?: readonly Change[];
  readonly node?: string;
  readonly facts?: (right: Facts, config: Right) => Partial<Facts>;
  /** all codes that are found, this one first. */
  readonly codes: readonly CheckCode[];
  /** what the place begins with. */
  readonly at?: string;
}

/** Where a text of the example stands. */
function inExample(text: string): string {
  const before = exampleText.slice(0, exampleText.indexOf(text)).split('\n');
  return `cluster.yaml:${before.length}:${(before.at(-1) ?? '').length + 1}`;
}

/** A map with one entry replaced. */
const but = <V>(map: ReadonlyMap<string, V> | null, key: string, value: V): Map<string, V> => new Map(map ?? []).set(key, value);
const mounted = (source: string, point: string, device = '7:0') => parseMountTable(`30 1 ${device} / ${point} rw,relatime - ext4 ${source} rw\n`);
const addresses = ({ addresses: list }: Facts, of: string, change: Partial<Facts['addresses'][number]> | null): Partial<Facts> => ({
  addresses: list.flatMap((one) => (one.address !== of ? [one] : change === null ? [] : [{ ...one, ...change }])),
});
const vipHere = (right: Facts, permanent: boolean): Partial<Facts> => ({
  addresses: [...right.addresses, { interface: 'eth0', family: 4, address: '192.168.42.14', prefix: 24, permanent }],
});
const mention = (by: Facts['mentions'][number]['by'], place: string, running = false): Partial<Facts> => ({ mentions: [{ address: '192.168.42.14', by, place, running }] });
const service = (text: string): Change => ['- systemd: nginx', `- ${text}`];
const command = service('command: { start: /usr/local/sbin/web start, stop: /usr/local/sbin/web stop, monitor: /usr/local/sbin/web status }\n        name: web');

/** A virtual router beside the groups. */
const router = (interfaceName: string, address: string): Change => ['\ngroups:', `\nvrrp: { instances: { edge: { interface: ${interfaceName}, router-id: 5, priority: { master1: 150, master2: 100 }, addresses: [${address}] } } }\ngroups:`];

const mistakes: readonly Mistake[] = [
  { what: 'another host name', node: 'backup', facts: () => ({ routes: new Map() }), codes: ['CHECK_NODE_NAME'], at: inExample('[master1') },
  { what: 'the other node has another configuration', facts: (_, { config }) => ({ clusterd: { ...rightClusterd(config, ''), nodes: [{ name: 'master2', state: 'online', sinceMs: 1, pingLost: 0, sameConfiguration: false }] } }), codes: ['CHECK_PEER_CONFIG'] },
  { what: 'clusterd was not reloaded', facts: (_, { config }) => ({ clusterd: { ...rightClusterd(config, ''), configDigest: 'old' } }), codes: ['CHECK_OLD_CONFIG'] },
  { what: 'clusterd complains', facts: (_, { config }) => ({ clusterd: { ...rightClusterd(config, ''), warnings: ['drbdtsd does not answer'] } }), codes: ['CHECK_CLUSTERD_SAYS'] },
  { what: 'a key that others read', facts: () => ({ keys: new Map([['/etc/drbdts/store.key', 'others than its owner may use it (mode 0644)']]) }), codes: ['CHECK_KEY_FILE'], at: '/etc/drbdts/store.key' },
  { what: 'no answer of the witness', facts: () => ({ arbiterProblem: 'no answer within 1000 ms' }), codes: ['CHECK_ARBITER'], at: inExample('arbiter:') },
  { what: 'the witness is on a node', config: [['192.168.42.20:7795', '192.168.42.13:7795']], codes: ['CHECK_ARBITER_ON_NODE'] },
  { what: 'the witness is on this host', config: [['192.168.42.20:7795', '127.0.0.1:7795']], codes: ['CHECK_ARBITER_ON_NODE'] },
  {
    what: 'no fence agent',
    config: [['witness: 192.168.42.20:7795', 'stonith: { agent: fence_ipmilan, targets: { master1: { ip: 192.168.42.30 }, master2: { ip: 192.168.42.31 } } }']],
    facts: ({ programs }) => ({ programs: but(programs, 'fence_ipmilan', ''), arbiterProblem: 'fence_ipmilan: not found' }),
    codes: ['CHECK_FENCE_AGENT'],
  },
  { what: 'gaps longer than deadtime', facts: (_, { config }) => ({ clusterd: { ...rightClusterd(config, ''), links: rightClusterd(config, '').links.map((link) => ({ ...link, gapMaxMs: 700 })) } }), codes: ['CHECK_DEADTIME', 'CHECK_DEADTIME'] },
  { what: 'gaps close to deadtime', facts: (_, { config }) => ({ clusterd: { ...rightClusterd(config, ''), links: rightClusterd(config, '').links.map((link, index) => ({ ...link, gapMaxMs: 100 + 300 * index })) } }), codes: ['CHECK_DEADTIME_CLOSE'] },
  { what: 'a pause longer than deadtime', facts: () => ({ pauses: [{ time: '2026-01-01T00:00:00Z', ms: 900 }, { time: '2026-01-02T00:00:00Z', ms: 400 }] }), codes: ['CHECK_STOOD_STILL'] },
  { what: 'no watchdog', facts: ({ paths }) => ({ paths: but(paths, '/dev/watchdog', pathFact('missing')) }), codes: ['CHECK_WATCHDOG'], at: inExample('/dev/watchdog') },
  { what: 'a file as watchdog', facts: ({ paths }) => ({ paths: but(paths, '/dev/watchdog', pathFact('file')) }), codes: ['CHECK_WATCHDOG'] },
  { what: 'the watchdog is busy', facts: () => ({ watchdogBusy: true }), codes: ['CHECK_WATCHDOG_BUSY'] },
  { what: 'no way to end this node', config: [['{ watchdog: /dev/watchdog }', '{ reboot: yes }']], facts: () => ({ sysrq: false }), codes: ['CHECK_SELF_FENCE'] },
  { what: 'a self-fence command that is not there', config: [['{ watchdog: /dev/watchdog }', '{ command: /sbin/power-off }']], facts: ({ paths }) => ({ paths: but(paths, '/sbin/power-off', pathFact('missing')) }), codes: ['CHECK_COMMAND'] },
  { what: 'keepalived runs with the address', facts: () => mention('keepalived', '/etc/keepalived/keepalived.conf:12', true), codes: ['CHECK_RIVAL_RUNS'], at: '/etc/keepalived/keepalived.conf:12' },
  { what: 'haresources has the address', facts: () => mention('heartbeat', '/etc/ha.d/haresources:1'), codes: ['CHECK_RIVAL_CONFIGURED'] },
  { what: 'a volume without fencing', config: [['witness: 192.168.42.20:7795', 'none'], ['arbiter:\n    none', 'arbiter: none']], codes: ['CHECK_UNFENCED'] },
  { what: 'a virtual router without its interface', config: [router('eth9', '192.168.42.20/24')], codes: ['CHECK_INTERFACE_MISSING'] },
  { what: 'an address of a virtual router in no network', config: [router('eth0', '10.99.0.1/24')], codes: ['CHECK_VIP_NETWORK'] },
  { what: 'an address of a virtual router with another prefix', config: [router('eth0', '192.168.42.21/25')], codes: ['CHECK_VIP_PREFIX'] },
  {
    what: 'an address of a virtual router that is configured on the host',
    config: [router('eth0', '192.168.42.21/24')],
    facts: (right) => ({ addresses: [...right.addresses, { interface: 'eth0', family: 4, address: '192.168.42.21', prefix: 24, permanent: true }] }),
    codes: ['CHECK_VIP_PERMANENT'],
  },
  { what: 'protocol A', config: [['protocol: C', 'protocol: A\n    disk: { fencing: resource-only }']], codes: ['CHECK_PROTOCOL'] },
  { what: 'no interface eth1', facts: ({ interfaces }) => ({ interfaces: interfaces.filter(({ name }) => name !== 'eth1') }), codes: ['CHECK_INTERFACE_MISSING'], at: inExample('eth1,') },
  { what: 'eth1 down', facts: ({ interfaces }) => ({ interfaces: interfaces.map((one) => ({ ...one, up: one.name !== 'eth1' })) }), codes: ['CHECK_INTERFACE_DOWN'] },
  { what: 'eth1 without carrier', facts: ({ interfaces }) => ({ interfaces: interfaces.map((one) => ({ ...one, carrier: one.name !== 'eth1' })) }), codes: ['CHECK_NO_CARRIER'] },
  { what: 'the address of a link is not here', facts: (right) => ({ ...addresses(right, '192.168.42.12', { address: '192.168.42.99' }) }), codes: ['CHECK_LINK_ADDRESS'], at: inExample('192.168.42.12, ') },
  { what: 'the address of a link is elsewhere', facts: (right) => addresses(right, '10.0.0.1', { interface: 'lo' }), codes: ['CHECK_LINK_INTERFACE'] },
  { what: 'both links over one interface', config: [['direct: { interface: eth1', 'direct: { interface: eth0']], facts: (right) => addresses(right, '10.0.0.1', { interface: 'eth0' }), codes: ['CHECK_LINKS_SHARED'] },
  { what: 'both links over VLANs of one card', facts: ({ interfaces }) => ({ interfaces: interfaces.map((one) => (one.name === 'eth1' ? { ...one, over: 'eth0' } : one)) }), codes: ['CHECK_LINKS_SHARED'] },
  { what: 'both links in one network', config: [['10.0.0.1, master2', '192.168.42.52, master2'], ['"10.0.0.1:7788"', '"192.168.42.52:7788"']], facts: (right) => addresses(right, '10.0.0.1', { address: '192.168.42.52' }), codes: ['CHECK_LINKS_SHARED'] },
  { what: 'no route to the peer', facts: ({ routes }) => ({ routes: but(routes, '192.168.42.13', false) }), codes: ['CHECK_NO_ROUTE'] },
  { what: 'port 694 is taken', facts: () => ({ ports: [{ protocol: 'udp', address: '0.0.0.0', port: 694 }] }), codes: ['CHECK_PORT_TAKEN', 'CHECK_PORT_TAKEN'] },
  { what: 'replication over an address of nobody', config: [['"10.0.0.1:7788"', '"10.0.0.7:7788"']], codes: ['CHECK_REPLICATION_ADDRESS'], at: inExample('"10.0.0.1:7788') },
  { what: 'the replication port is taken', facts: () => ({ ports: [{ protocol: 'tcp', address: '10.0.0.1', port: 7788 }] }), codes: ['CHECK_REPLICATION_PORT'] },
  { what: 'an address in no network', config: [['vip: 192.168.42.14/24', 'vip: 192.168.43.14/24']], codes: ['CHECK_VIP_NETWORK'] },
  { what: 'an address of another interface', config: [['interface: eth0\n        label: "eth0:store"', 'interface: eth1']], codes: ['CHECK_VIP_NETWORK'] },
  { what: 'a wrong prefix', config: [['192.168.42.14/24', '192.168.42.14/16']], codes: ['CHECK_VIP_PREFIX'] },
  { what: 'somebody else has the address', facts: () => ({ owners: new Map([['192.168.42.14', '02:00:00:00:00:99']]) }), codes: ['CHECK_VIP_IN_USE'] },
  { what: 'the address is configured here', facts: (right) => vipHere(right, true), codes: ['CHECK_VIP_PERMANENT'] },
  { what: 'the address is in interfaces(5)', facts: () => mention('network', '/etc/network/interfaces:9'), codes: ['CHECK_VIP_AT_BOOT'], at: '/etc/network/interfaces:9' },
  { what: 'the address of a node', config: [['vip: 192.168.42.14/24', 'vip: 192.168.42.13/24']], codes: ['CHECK_VIP_IS_NODE'] },
  { what: 'the router does not answer', facts: () => ({ pings: new Map([['192.168.42.1', false]]) }), codes: ['CHECK_PING_SILENT'] },
  { what: 'the peer as ping target', config: [['ping: [192.168.42.1]', 'ping: [192.168.42.13]']], codes: ['CHECK_PING_USELESS'] },
  { what: 'the own address as ping target', config: [['ping: [192.168.42.1]', 'ping: [192.168.42.14]']], codes: ['CHECK_PING_USELESS'] },
  { what: 'no ping', facts: ({ programs }) => ({ programs: but(programs, 'ping', '') }), codes: ['CHECK_PROGRAM'] },
  { what: 'no disk', facts: ({ paths }) => ({ paths: but(paths, '/dev/sdb1', pathFact('missing')) }), codes: ['CHECK_DISK'] },
  { what: 'a directory as disk', facts: ({ paths }) => ({ paths: but(paths, '/dev/sdb1', pathFact('directory')) }), codes: ['CHECK_DISK'] },
  {
    what: 'no meta-disk',
    config: [['disk: /dev/sdb1, meta-disk: internal }\n      master2', 'disk: /dev/sdb1, meta-disk: "/dev/sdc1[0]" }\n      master2']],
    facts: ({ paths }) => ({ paths: but(paths, '/dev/sdc1', pathFact('missing')) }),
    codes: ['CHECK_DISK'],
  },
  { what: 'the disk is mounted', facts: () => ({ mounts: mounted('/dev/sdb1', '/mnt', '8:17') }), codes: ['CHECK_DISK_MOUNTED'] },
  { what: 'fstab mounts the disk', facts: () => ({ fstab: [{ line: 7, source: '/dev/sdb1', mountPoint: '/data', options: ['defaults'] }] }), codes: ['CHECK_DISK_IN_FSTAB'], at: '/etc/fstab:7' },
  { what: 'a file as mount point', facts: ({ paths }) => ({ paths: but(paths, '/store', pathFact('file')) }), codes: ['CHECK_MOUNT_POINT'] },
  { what: 'files below the mount point', facts: ({ paths }) => ({ paths: but(paths, '/store', pathFact('directory', { entries: ['mysql'] })) }), codes: ['CHECK_MOUNT_NOT_EMPTY'] },
  { what: 'another file system there', facts: () => ({ mounts: mounted('/dev/sdz9', '/store') }), codes: ['CHECK_MOUNT_TAKEN'] },
  { what: 'mounted by hand', facts: () => ({ mounts: mounted('/dev/drbd0', '/store') }), codes: ['CHECK_MOUNTED_ALREADY'] },
  { what: 'fstab mounts it, too', facts: () => ({ fstab: [{ line: 3, source: '/dev/drbd0', mountPoint: '/store', options: ['defaults'] }] }), codes: ['CHECK_MOUNT_IN_FSTAB'], at: '/etc/fstab:3' },
  { what: 'a mount unit', facts: ({ units }) => ({ units: but(units, 'store.mount', { enabled: 'enabled', active: false }) }), codes: ['CHECK_MOUNT_UNIT'] },
  { what: 'an unknown file system type', config: [['type: ext4', 'type: ext44']], facts: () => ({ unknownTypes: new Set(['ext44']) }), codes: ['CHECK_FILESYSTEM_TYPE'] },
  { what: 'no file system', facts: () => ({ signatures: new Map([['/dev/drbd0', '']]) }), codes: ['CHECK_NO_FILESYSTEM'] },
  { what: 'another file system on it', facts: () => ({ signatures: new Map([['/dev/drbd0', 'xfs']]) }), codes: ['CHECK_FILESYSTEM_DIFFERS'] },
  { what: 'no fsck', facts: ({ programs }) => ({ programs: but(programs, 'fsck.ext4', '') }), codes: ['CHECK_FSCK'] },
  { what: 'the volume is down', facts: () => ({ drbdtsd: makeStatus([makeResource([], { up: false })]) }), codes: ['CHECK_VOLUME'] },
  { what: 'the volume is Inconsistent', facts: () => ({ drbdtsd: makeStatus([makeResource([makeVolume({ disk: 'Inconsistent' })])]) }), codes: ['CHECK_VOLUME'] },
  { what: 'the volume is StandAlone', facts: () => ({ drbdtsd: makeStatus([makeResource([makeVolume()], { connection: 'StandAlone', connectionReason: 'split brain' })]) }), codes: ['CHECK_VOLUME'] },
  { what: 'no unit nginx', facts: ({ units }) => ({ units: but(units, 'nginx.service', { enabled: '', active: false }) }), codes: ['CHECK_UNIT_MISSING'] },
  { what: 'no systemd', facts: () => ({ units: null }), codes: ['CHECK_UNIT_MISSING', 'CHECK_UNIT_MISSING'] },
  { what: 'a masked unit', facts: ({ units }) => ({ units: but(units, 'nginx.service', { enabled: 'masked', active: false }) }), codes: ['CHECK_UNIT_MASKED'] },
  { what: 'enabled at boot as well', facts: ({ units }) => ({ units: but(units, 'nginx.service', { enabled: 'enabled', active: false }) }), codes: ['CHECK_AT_BOOT'] },
  { what: 'an init script at boot', config: [service('lsb: apache2')], facts: ({ paths }) => ({ paths: but(paths, '/etc/init.d/apache2', pathFact('file', { executable: true })), bootLinks: new Map([['apache2', '/etc/rc3.d/S01apache2']]) }), codes: ['CHECK_AT_BOOT'] },
  { what: 'it runs already', facts: ({ units }) => ({ units: but(units, 'nginx.service', { enabled: 'disabled', active: true }) }), codes: ['CHECK_SERVICE_RUNS'] },
  { what: 'no init script', config: [service('lsb: apache2')], facts: ({ paths }) => ({ paths: but(but(paths, '/etc/init.d/apache2', pathFact('missing')), '/etc/ha.d/resource.d/apache2', pathFact('missing')) }), codes: ['CHECK_SCRIPT'] },
  { what: 'a script that is not executable', config: [service('lsb: /opt/web')], facts: ({ paths }) => ({ paths: but(paths, '/opt/web', pathFact('file')) }), codes: ['CHECK_SCRIPT'] },
  { what: 'no OCF agent', config: [service('ocf: heartbeat:nginx')], facts: ({ paths }) => ({ paths: but(paths, '/usr/lib/ocf/resource.d/heartbeat/nginx', pathFact('missing')) }), codes: ['CHECK_AGENT'] },
  { what: 'no such command', config: [command], facts: ({ paths }) => ({ paths: but(paths, '/usr/local/sbin/web', pathFact('missing')) }), codes: ['CHECK_COMMAND', 'CHECK_COMMAND', 'CHECK_COMMAND'] },
  { what: 'a command without monitor', config: [service('command: { start: "true", stop: "true" }')], codes: ['CHECK_NO_MONITOR'] },
];

/** What is found in the example with changes. */
function check({ config: changes = [], node = 'master1', facts }: Pick<Mistake, 'config' | 'node' | 'facts'>) {
  const right = configured(...changes);
  const base = rightFacts(right.config);
  return judge({ ...right.subject, node }, { ...base, ...facts?.(base, right) });
}

describe('a right set-up has no finding', () => {
  it('before the first start', () => {
    assert.deepEqual(configured().problems, []);
    assert.deepEqual(check({}), []);
  });
  it('while the group runs here', () => {
    const findings = check({
      facts: (right, { config }) => ({
        ...vipHere(right, false),
        clusterd: rightClusterd(config, 'master1'),
        drbdtsd: makeStatus([makeResource([makeVolume({ role: 'Primary' })])]),
        mounts: mounted('/dev/drbd0', '/store'),
        paths: but(right.paths, '/store', pathFact('directory', { entries: ['mysql'] })),
        ports: [{ protocol: 'udp', address: '10.0.0.1', port: 694 }, { protocol: 'tcp', address: '10.0.0.1', port: 7788 }],
        signatures: new Map([['/dev/drbd0', 'ext4']]),
        units: new Map([...(right.units ?? [])].map(([unit, fact]) => [unit, { ...fact, active: true }])),
        watchdogBusy: true,
      }),
    });
    assert.deepEqual(findings, []);
  });
  it('while the other node serves and this one is about to join', () => {
    assert.deepEqual(check({ facts: () => ({ owners: new Map([['192.168.42.14', '02:00:00:00:00:02']]) }) }), []);
  });
  it('with what is on the file system of the group while that is not mounted', () => {
    const missing = pathFact('missing');
    const commands = service('command: { start: /store/bin/web start, stop: /store/bin/web stop, monitor: /store/bin/web status }');
    assert.deepEqual(check({ config: [commands], facts: ({ paths }) => ({ paths: but(paths, '/store/bin/web', missing) }) }), []);
    assert.deepEqual(check({ config: [service('lsb: /store/web')], facts: ({ paths }) => ({ paths: but(paths, '/store/web', missing) }) }), []);
  });
  it('with noauto in fstab, and with what could not be looked at', () => {
    assert.deepEqual(check({ facts: () => ({ fstab: [{ line: 1, source: '/dev/drbd0', mountPoint: '/store', options: ['noauto'] }] }) }), []);
    assert.deepEqual(check({ facts: () => ({ paths: new Map(), routes: new Map(), owners: new Map(), pings: new Map(), programs: new Map() }) }), []);
  });
});

describe('every planted mistake is found, and nothing else', () => {
  for (const mistake of mistakes) {
    it(`${mistake.what}: ${mistake.codes[0]}`, () => {
      const findings = check(mistake);
      assert.deepEqual(findings.map(({ code }) => code), mistake.codes, JSON.stringify(findings, null, 2));
      for (const { message, remedy, place } of findings) {
        // no value of a text was forgotten
        assert.doesNotMatch(`${message} ${remedy}`, /\{[a-z]+\}/);
        assert.ok(place.startsWith(mistake.at ?? ''), `${place} is not ${mistake.at}`);
      }
    });
  }
  it('every code has its mistake', () => {
    const planted = new Set([...mistakes.flatMap(({ codes }) => codes), 'CHECK_NO_CLUSTER', 'CHECK_CONFIG_DIFFERS']);
    assert.deepEqual(Object.keys(checkKinds).filter((code) => !planted.has(code)), []);
  });
  it('a file without a cluster', () => {
    const { config } = parseConfig('resources: {}\n', 'file', null);
    assert.ok(config !== null);
    const right = configured();
    assert.deepEqual(judge({ ...right.subject, config }, rightFacts(right.config)).map(({ code }) => code), ['CHECK_NO_CLUSTER']);
  });
});

describe('the other node\'s file', () => {
  const compare = (...changes: Change[]) => {
    const here = configured();
    const there = configured(...changes);
    return compareFiles(here.subject, here.raw, { config: there.config, file: 'other.yaml', raw: there.raw });
  };
  it('the same, also when it is written otherwise', () => {
    assert.deepEqual(compare(), []);
    assert.deepEqual(compare(['    auto-failback: no\n', ''], ['key-file:', 'deadtime: 0.6s\n  key-file:']), []);
  });
  it('names the keys and both values', () => {
    const findings = compare(['preferred: master1', 'preferred: master2'], ['options: noatime', 'options: ro']);
    assert.deepEqual(findings.map(({ message, place }) => [message, place]), [
      ['\'groups.web.preferred\' differs: "master1" here, "master2" in other.yaml', inExample('master1\n    auto')],
      ['\'groups.web.members.1.options\' differs: "noatime" here, "ro" in other.yaml', inExample('noatime')],
    ]);
  });
  it('tells no secrets', () => {
    const net = (secret: string): Change => ['protocol: C', `protocol: C\n    net: { cram-hmac-alg: sha256, shared-secret: ${secret} }`];
    const here = configured(net('rosebud'));
    const there = configured(net('xanadu'));
    const findings = compareFiles(here.subject, here.raw, { config: there.config, file: 'other.yaml', raw: there.raw });
    assert.equal(findings.length, 1);
    assert.doesNotMatch(JSON.stringify(findings), /rosebud|xanadu/);
  });
  it('says so when only the order of groups differs', () => {
    const twice = (names: string[]) => {
      const right = configured();
      const raw = structuredClone(right.raw) as { groups: Record<string, unknown> };
      raw.groups = Object.fromEntries(names.map((name) => [name, name === 'web' ? raw.groups.web : { members: [{ command: { start: 'true', stop: 'true' } }] }]));
      const { config } = parseConfig(stringify(raw), 'file', null);
      assert.ok(config !== null);
      return { ...right, config, raw };
    };
    const here = twice(['web', 'mail']);
    const there = twice(['mail', 'web']);
    assert.deepEqual(compareFiles({ ...here.subject, config: here.config }, here.raw, { config: there.config, file: 'other.yaml', raw: there.raw }).map(({ code }) => code), ['CHECK_CONFIG_DIFFERS']);
  });
});

describe('order', () => {
  it('errors come first, and each finding once', () => {
    const problem = { severity: 'warning', code: 'A', file: 'f', line: 1, column: 2, message: 'm', remedy: 'r' } as const;
    const findings = inOrder([findingOf(problem), findingOf({ ...problem, severity: 'error', code: 'B' }), findingOf(problem)]);
    assert.deepEqual(findings.map(({ code, place }) => `${code} ${place}`), ['B f:1:2', 'A f:1:2']);
  });
});
