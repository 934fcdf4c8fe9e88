/** `cluster:` and `groups:`: what a whole file becomes, and what each mistake in it is told. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.js';
import type { Config, Problem } from '../../../src/config/types.js';

const good = `
resources:
  r0:
    device: /dev/drbd0
    disk-path: /dev/sdb1
    meta-disk: internal
    on:
      a: { address: 10.0.0.1:7788 }
      b: { address: 10.0.0.2:7788 }
cluster:
  name: web
  nodes: [a, b]
  links:
    direct: { interface: eth1, addresses: { a: 10.1.0.1, b: 10.1.0.2 } }
    lan: { addresses: { a: 10.0.0.1, b: 10.0.0.2 }, multicast: 239.0.0.42 }
  arbiter: { witness: "10.0.0.3:7795" }
  ping: [10.0.0.254]
groups:
  web:
    preferred: a
    members:
      - volume: r0
      - filesystem: /store
        type: ext4
        options: noatime
      - systemd: mariadb
      - ocf: heartbeat:nginx
        parameters: { port: 8080 }
      - vip: 10.0.0.100/24
        interface: eth0
        label: eth0:0
`;

function load(text: string): { config: Config | null; problems: Problem[] } {
  return parseConfig(text, 'drbdts.yaml', 'a');
}

/** The file with one piece of text replaced. */
function changed(from: string, to: string): string {
  assert.ok(good.includes(from), from);
  return good.replace(from, to);
}

describe('a cluster with a group', () => {
  const { config, problems } = load(good);
  it('has nothing to complain about', () => assert.deepEqual(problems, []));

  it('gets the defaults', () => {
    assert.equal(config?.cluster?.deadtimeMs, 600);
    assert.equal(config?.cluster?.warntimeMs, 300);
    assert.equal(config?.cluster?.links[0]?.port, 694);
    assert.equal(config?.groups[0]?.autoFailback, false);
  });

  it('takes the device of the volume before a file system without one', () => {
    const filesystem = config?.groups[0]?.members[1];
    assert.equal(filesystem?.kind === 'filesystem' ? filesystem.device : '', '/dev/drbd0');
  });

  it('understands every kind of member', () => {
    assert.deepEqual(
      config?.groups[0]?.members.map((member) => member.name),
      ['volume r0', 'filesystem /store', 'service mariadb.service', 'service nginx', 'vip 10.0.0.100'],
    );
  });
});

describe('times', () => {
  it('count seconds without a unit, as in ha.cf, and may have decimals', () => {
    const { config } = load(changed('  name: web\n', '  name: web\n  deadtime: 2.5\n  keepalive: 0.2\n  initdead: 1min\n'));
    assert.deepEqual([config?.cluster?.deadtimeMs, config?.cluster?.keepaliveMs, config?.cluster?.initdeadMs], [2500, 200, 60_000]);
  });
});

const mistakes: [what: string, text: string, expected: { line: number; message: RegExp; remedy?: RegExp; severity?: 'warning' }][] = [
  ['no arbiter', changed('  arbiter: { witness: "10.0.0.3:7795" }\n', ''), { line: 10, message: /'arbiter' is missing/, remedy: /arbiter: none/ }],
  ['arbiter none', changed('{ witness: "10.0.0.3:7795" }', 'none'), { line: 16, message: /both will serve/, severity: 'warning' }],
  ['two arbiters', changed('{ witness: "10.0.0.3:7795" }', '{ witness: "10.0.0.3:7795", etcd: { endpoints: ["http://x:1"] } }'), { line: 16, message: /only one/ }],
  ['a witness by name', changed('10.0.0.3:7795', 'witness:7795'), { line: 16, message: /not the numeric address/ }],
  ['one link', changed('    lan: { addresses: { a: 10.0.0.1, b: 10.0.0.2 }, multicast: 239.0.0.42 }\n', ''), { line: 13, message: /only one heartbeat link/, severity: 'warning' }],
  ['a link without an address', changed('{ a: 10.1.0.1, b: 10.1.0.2 }', '{ a: 10.1.0.1 }'), { line: 14, message: /link direct: 'b' is missing/ }],
  ['one address on two links', changed('a: 10.1.0.1', 'a: 10.0.0.1'), { line: 15, message: /10.0.0.1:694 on link direct already/ }],
  ['unicast as multicast', changed('239.0.0.42', '10.0.0.42'), { line: 15, message: /multicast address/ }],
  ['deadtime too short', changed('  name: web\n', '  name: web\n  deadtime: 150ms\n'), { line: 12, message: /more than twice keepalive/ }],
  ['warntime above deadtime', changed('  name: web\n', '  name: web\n  warntime: 2s\n'), { line: 12, message: /not below deadtime/ }],
  ['a time without sense', changed('  name: web\n', '  name: web\n  deadtime: 2sec\n'), { line: 12, message: /is not a time/ }],
  ['three nodes', changed('nodes: [a, b]', 'nodes: [a, b, c]'), { line: 12, message: /exactly two nodes/ }],
  ['twice the same node', changed('nodes: [a, b]', 'nodes: [a, a]'), { line: 12, message: /both nodes are called a/ }],
  ['an unknown key of the cluster', changed('  name: web\n', '  name: web\n  dedtime: 2s\n'), { line: 12, message: /unknown key 'dedtime' in cluster/, remedy: /deadtime/ }],
  ['an unknown key of a member', changed('        type: ext4\n', '        fstype: ext4\n'), { line: 24, message: /unknown key 'fstype'/ }],
  ['a key of another kind', changed('      - systemd: mariadb\n', '      - systemd: mariadb\n        label: eth0\n'), { line: 27, message: /'label' does not belong to a systemd/ }],
  ['two kinds in one member', changed('      - systemd: mariadb\n', '      - systemd: mariadb\n        lsb: mysql\n'), { line: 26, message: /systemd and lsb/ }],
  ['no such resource', changed('- volume: r0', '- volume: r1'), { line: 22, message: /'r1' is not a resource/ }],
  ['mounted before Primary', changed('      - volume: r0\n      - filesystem: /store\n        type: ext4\n        options: noatime\n', '      - filesystem: /store\n        device: /dev/drbd0\n      - volume: r0\n'), { line: 22, message: /mounted before its volume/ }],
  ['a service before the file system', changed('      - volume: r0\n', '      - volume: r0\n      - lsb: mysql\n'), { line: 23, message: /starts before filesystem/, severity: 'warning' }],
  ['an address without prefix', changed('10.0.0.100/24', '10.0.0.100'), { line: 29, message: /ADDRESS\/PREFIX/ }],
  ['a label of another interface', changed('label: eth0:0', 'label: eth1:0'), { line: 31, message: /does not begin with 'eth0:'/ }],
  ['a label that is too long', changed('label: eth0:0', 'label: eth0:0123456789ab'), { line: 31, message: /at most 15/ }],
  ['a preferred node that is none', changed('preferred: a', 'preferred: c'), { line: 20, message: /'c' is not a node/ }],
  ['a command without stop', changed('      - systemd: mariadb\n', '      - command: { start: x }\n'), { line: 26, message: /'stop' is missing/ }],
  ['groups without cluster', good.replace(/cluster:[\s\S]*groups:/, 'groups:'), { line: 10, message: /without a `cluster:`/ }],
  ['the same address twice', changed('        label: eth0:0\n', '        label: eth0:0\n      - vip: 10.0.0.100/24\n        name: again\n'), { line: 32, message: /address 10.0.0.100 is in this group twice/ }],
  ['a circle', `${good}    after: [db]\n  db:\n    after: [web]\n    members: [{ lsb: x }]\n`, { line: 32, message: /comes after itself/ }],
  ['a mount point hidden by a later one', changed('      - filesystem: /store\n', '      - filesystem: /store/data\n        device: /dev/sdz1\n      - filesystem: /store\n'), { line: 23, message: /\/store\/data is mounted before \/store, which then hides it/ }],
  ['a mount point below one of another group', `${good}  db:\n    members: [{ filesystem: /store/db, device: /dev/sdz1 }]\n`, { line: 33, message: /below a mount point of group web/, remedy: /after: \[web\]/ }],
  ['the backing disk mounted instead of the volume', changed('        type: ext4\n', '        device: /dev/sdb1\n'), { line: 24, message: /\/dev\/sdb1 is a disk of resource r0/, remedy: /device: \/dev\/drbd0/ }],
  ['a device that is no volume', changed('        type: ext4\n', '        device: /dev/sdc1\n'), { line: 24, message: /is no volume/, severity: 'warning' }],
  ['auto-failback to nowhere', changed('    preferred: a\n', '    auto-failback: yes\n'), { line: 20, message: /without a preferred node/, severity: 'warning' }],
  ['a follower that prefers another node', `${good}  db:\n    preferred: b\n    after: [web]\n    members: [{ lsb: x }]\n`, { line: 33, message: /goes where group web is, which prefers a/, severity: 'warning' }],
  ['the broadcast address', changed('10.0.0.100/24', '10.0.0.255/24'), { line: 29, message: /10.0.0.255 is the broadcast address/, remedy: /between 10.0.0.0 and 10.0.0.255/ }],
  ['the name of the network', changed('10.0.0.100/24', '10.0.0.96/28'), { line: 29, message: /10.0.0.96 is the name of the network/ }],
  ['drbdtsd promotes by itself', changed('    meta-disk: internal\n', '    meta-disk: internal\n    startup: { become-primary-on: b }\n'), { line: 7, message: /become-primary-on: b promotes r0/, severity: 'warning' }],
  ['nodes that are not those of the volume', changed('nodes: [a, b]', 'nodes: [a, c]').replaceAll(/b: (10\.[01]\.0\.2)(?= )/g, 'c: $1'), { line: 22, message: /lives on a and b, the cluster on a and c/ }],
];

describe('a mistake', () => {
  for (const [what, text, expected] of mistakes) {
    it(`${what}: line, cause and remedy`, () => {
      const { config, problems } = load(text);
      const found = problems.find((problem) => expected.message.test(problem.message));
      assert.ok(found, JSON.stringify(problems, null, 1));
      assert.equal(found.line, expected.line);
      assert.ok(found.column >= 1 && found.remedy.length > 5);
      if (expected.remedy !== undefined) assert.match(found.remedy, expected.remedy);
      assert.equal(found.severity, expected.severity ?? 'error');
      assert.equal(config === null, expected.severity !== 'warning');
    });
  }
});
