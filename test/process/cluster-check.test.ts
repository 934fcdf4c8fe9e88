/** `drbdts cluster check` on a real host: a right set-up has no finding; mistakes planted there are all found, and told at their place. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { CheckFinding } from '../../src/checkup/findings.js';
import { ClusterLab } from '../support/cluster.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 180_000 };

interface Check {
  readonly code: number;
  readonly findings: readonly CheckFinding[];
  readonly notes: readonly string[];
}

async function check(host: Host, ...args: string[]): Promise<Check> {
  const { code, stdout, stderr } = await host.run([
    ...[process.execPath, join(import.meta.dirname, '../../src/cli/main.js'), '--json', '--socket', host.socket, '--cluster-socket', join(host.dir, 'clusterd.sock')],
    ...['--config', host.configFile, 'cluster', 'check', ...args],
  ]);
  assert.equal(stderr, '');
  return { code, ...(JSON.parse(stdout) as Omit<Check, 'code'>) };
}

const codes = ({ findings }: Check): string[] => [...new Set(findings.map(({ code }) => code))].sort();

/** A directory of the host's own in place of one of this machine. */
const own = (host: Host, ...directories: string[]): Promise<string> =>
  host.sh(directories.map((directory) => `mkdir -p ${directory} && mount -t tmpfs -o mode=755 tmpfs ${directory}`).join(' && '));

test('a right set-up has no finding, before the start, while it runs, and on the node that waits', limits, () =>
  withLab('check-right', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    cluster.startWitness();
    const answers = async (): Promise<boolean> => (await check(cluster.a)).findings.every(({ code }) => code !== 'CHECK_ARBITER');
    await waitFor('the witness answers', answers, 30_000);
    const before = await check(cluster.a, '--against', cluster.b.configFile);
    // the lab fences nobody, and its disks are files
    assert.deepEqual(before.findings, []);
    assert.equal(before.code, 0);
    await cluster.stopWitness();
    const active = await cluster.up();
    for (const host of [active, cluster.other(active)]) assert.deepEqual((await check(host)).findings, []);
    await cluster.clusterd(cluster.other(active)).crash();
    assert.deepEqual((await check(cluster.other(active))).findings, [], 'the other node serves');
  }),
);

test('mistakes on a host and in its configuration are all found', limits, () =>
  withLab('check-wrong', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const { a, b } = cluster;
    const marks = join(lab.dir, 'marks');
    const file = parse(readFileSync(a.configFile, 'utf8')) as { cluster: Record<string, unknown>; groups: Record<string, unknown>; resources: { r0: { on: Record<string, Record<string, unknown>> } } };
    const planted: string[] = [];
    const plant = (...found: string[]): void => void planted.push(...found);

    // the configuration
    plant('CHECK_CONFIG_DIFFERS');
    file.cluster.deadtime = '350ms';
    plant('ERR_CONFIG_WARNING'); // deadtime below four times keepalive; a service before its file system; nothing left to fence with
    file.cluster['self-fence'] = { watchdog: '/dev/watchdog7', reboot: false };
    plant('CHECK_WATCHDOG');
    file.cluster.ping = ['10.200.7.77', '10.200.7.2'];
    plant('CHECK_PING_SILENT', 'CHECK_PING_USELESS');
    file.cluster.arbiter = { witness: { address: '10.200.7.3:7796', 'key-file': join(lab.dir, 'other.key') } };
    writeFileSync(join(lab.dir, 'other.key'), 'another key for tests, 32 bytes or more\n', { mode: 0o600 });
    plant('CHECK_ARBITER');
    (file.cluster.links as Record<string, unknown>).third = { interface: 'eth1', port: 7000, addresses: { [a.name]: '10.200.7.1', [b.name]: '10.200.7.2' } };
    plant('CHECK_LINKS_SHARED');
    (file.cluster.links as Record<string, unknown>).fourth = { interface: 'eth9', addresses: { [a.name]: '10.99.0.1', [b.name]: '10.99.0.2' } };
    plant('CHECK_INTERFACE_MISSING', 'CHECK_LINK_ADDRESS');
    const script = join(a.dir, 'not-executable');
    writeFileSync(script, '#!/bin/sh\n');
    chmodSync(script, 0o644);
    file.groups = {
      web: {
        members: [
          { volume: 'r0' },
          { lsb: script },
          { filesystem: '/store', type: 'ext44' },
          { systemd: 'drbdts-no-such' },
          { systemd: 'drbdts-at-boot' },
          { systemd: 'drbdts-masked' },
          { ocf: 'heartbeat:no-such-agent' },
          { command: { start: '/usr/local/sbin/no-such', stop: 'true' }, name: 'plain' },
          { vip: '10.201.7.100/24', interface: 'eth1' },
          { vip: '10.200.7.101/24', interface: 'eth1' },
          { vip: '10.200.7.102/16', interface: 'eth1' },
          { vip: '10.200.7.254/24', interface: 'eth1' },
          { vip: '10.200.7.103/24', interface: 'dummy0' },
          { vip: '10.200.7.2/24', interface: 'eth1', name: 'node' },
        ],
      },
    };
    plant('CHECK_SCRIPT', 'CHECK_FILESYSTEM_TYPE', 'CHECK_FSCK', 'CHECK_UNIT_MISSING', 'CHECK_AT_BOOT', 'CHECK_UNIT_MASKED', 'CHECK_AGENT', 'CHECK_COMMAND', 'CHECK_NO_MONITOR');
    plant('CHECK_VIP_NETWORK', 'CHECK_VIP_PERMANENT', 'CHECK_VIP_PREFIX', 'CHECK_VIP_IN_USE', 'CHECK_INTERFACE_DOWN', 'CHECK_VIP_IS_NODE');
    file.resources.r0.on[a.name] = { ...file.resources.r0.on[a.name], address: '10.99.1.1:7788', disk: join(a.dir, 'no-such-disk') };
    plant('CHECK_REPLICATION_ADDRESS', 'CHECK_DISK');
    writeFileSync(a.configFile, stringify(file), { mode: 0o600 });

    // the host
    chmodSync(join(lab.dir, 'cluster.key'), 0o644);
    plant('CHECK_KEY_FILE');
    await a.sh('ip address add 10.200.7.101/24 dev eth1 && ip link add dummy0 type veth peer name dummy1');
    await own(a, '/etc/keepalived', '/etc/ha.d', '/etc/systemd/system', '/etc/network', '/store');
    plant('CHECK_MOUNT_TAKEN');
    await a.sh(`cat >/etc/keepalived/keepalived.conf <<'X'
vrrp_instance web {
  virtual_ipaddress {
    10.200.7.102/24 dev eth1
  }
}
X
echo 'alpha 10.200.7.254 IPaddr::10.200.7.254/24/eth1' >/etc/ha.d/haresources
printf 'auto eth1:1\\niface eth1:1 inet static\\n  address 10.200.7.102/24\\n' >/etc/network/interfaces`);
    plant('CHECK_RIVAL_CONFIGURED', 'CHECK_RIVAL_RUNS', 'CHECK_VIP_AT_BOOT');
    await a.sh(`cp "$(command -v sleep)" ${a.dir}/keepalived`);
    a.spawn([`${a.dir}/keepalived`, '3600'], ['ignore', 'ignore', 'ignore']);
    await a.sh(`cd /etc/systemd/system && mkdir multi-user.target.wants
for unit in drbdts-at-boot drbdts-store; do printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' >$unit.service; done
ln -s ../drbdts-at-boot.service multi-user.target.wants/ && ln -s /dev/null drbdts-masked.service`);
    await a.sh(`printf '/dev/drbd0 /store ext4 defaults 0 0\\n' >${marks} && mount --bind ${marks} /etc/fstab`);
    plant('CHECK_MOUNT_IN_FSTAB');
    const socket = ['-e', "require('node:dgram').createSocket('udp4').bind(694, '10.200.7.1')"];
    a.spawn([process.execPath, ...socket], ['ignore', 'ignore', 'ignore']);
    plant('CHECK_PORT_TAKEN');

    await waitFor('the strangers run', async () => {
      const now = codes(await check(a));
      return ['CHECK_RIVAL_RUNS', 'CHECK_PORT_TAKEN'].every((code) => now.includes(code));
    }, 30_000);
    const found = await check(a, '--against', b.configFile);
    assert.deepEqual(codes(found), [...new Set(planted)].sort());
    assert.ok(planted.length >= 20, `${planted.length} mistakes`);
    assert.equal(found.code, 10);
    const placed = (code: string): string[] => found.findings.filter((one) => one.code === code).map(({ place }) => place);
    assert.deepEqual(placed('CHECK_VIP_AT_BOOT'), ['/etc/network/interfaces:3']);
    assert.deepEqual(placed('CHECK_RIVAL_RUNS'), ['/etc/keepalived/keepalived.conf:3']);
    assert.deepEqual(placed('CHECK_MOUNT_IN_FSTAB'), ['/etc/fstab:1']);
    for (const { code, place, remedy } of found.findings) {
      assert.notEqual(remedy, '', code);
      assert.match(place, /^\/.*(:\d+|\.key)$/, code);
    }
    assert.ok(found.findings.some(({ code, message }) => code === 'CHECK_CONFIG_DIFFERS' && message.includes('cluster.deadtime')));
  }),
);
