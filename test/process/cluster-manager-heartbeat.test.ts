/** Debian's heartbeat in haresources mode with the classic drbddisk script, both unchanged, over the drbdadm of drbdts. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Boot, installCopy, installFile, installForClusterManagers, powerOff } from '../support/boot.js';
import { describe } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, originalConfigs, programsUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const heartbeat = '/usr/libexec/heartbeat/heartbeat';
/** As its users have it; else the one of Debian's drbd-utils, which differs in comments. */
const drbddisk = [join(originalConfigs() ?? '/nonexistent', 'heartbeat-drbd/drbddisk'), '/etc/ha.d/resource.d/drbddisk'].find((file) => existsSync(file));
const noScript = drbddisk === undefined && 'needs drbddisk: apt-get install drbd-utils';
const skip = labUnavailable() || noScript;
const skipHeartbeat = skip || programsUnavailable(heartbeat, '/usr/bin/cl_status', '/etc/ha.d/resource.d/Filesystem', '/etc/ha.d/resource.d/IPaddr');

const drbddiskPath = '/etc/ha.d/resource.d/drbddisk';

function install(host: Host): void {
  host.socket = '/run/drbdts/drbdtsd.sock';
  installForClusterManagers(host);
  installFile(host, '/etc/drbdts/drbdts.yaml', readFileSync(host.configFile, 'utf8'));
  installCopy(host, drbddiskPath, drbddisk ?? '');
}

test('drbddisk: what it prints and returns in every state', { skip, timeout: 240_000 }, async () => {
  await withLab('drbddisk', async (lab) => {
    const pair = await Pair.create(lab);
    const { a, b } = pair;
    for (const host of [a, b]) install(host);
    const boot = await Boot.start(a);
    const expect = async (action: string, code: number, says: string): Promise<void> => {
      const result = await boot.run([drbddiskPath, 'r0', action]);
      assert.equal(result.code, code, describe(result));
      assert.equal(result.stdout, says, describe(result));
    };
    await pair.upInSync({ keeper: true });
    await pair.both((host) => host.drbdts('down', 'r0'));
    await expect('status', 3, 'stopped (Unconfigured)\n');
    await pair.both((host) => host.drbdts('up', 'r0'));
    await pair.inSync();
    await expect('status', 3, 'stopped (Secondary)\n');
    await expect('start', 0, '');
    await expect('status', 0, 'running (Primary)\n');
    await boot.sh('mkfs.ext4 -q /dev/drbd0 && mkdir -p /var/store && mount /dev/drbd0 /var/store');
    await expect('stop', 1, '');
    await expect('status', 0, 'running (Primary)\n');

    // a daemon that gives no answer while the device is in use must not look like a volume that is stopped
    a.running.freeze();
    await expect('status', 0, 'running (Primary)\n');
    a.running.thaw();
    // nor one that was restarted and is taking the device over
    const crashed = a.running.crash();
    for (let asked = 0; asked < 5; asked++) await expect('status', 0, 'running (Primary)\n');
    await crashed;
    await a.running.waitState({ role: 'Primary', connection: 'Connected' });

    await boot.must(['umount', '/var/store']);
    await expect('stop', 0, '');
    await expect('stop', 0, '');
    await a.running.kill();
    await expect('status', 3, 'stopped (Unconfigured)\n');
  });
});

const interfaceOf = 'eth0';

/** A node's part of the configuration, times that make the test quick. */
function configureHeartbeat(host: Host, pair: Pair, vip: string): void {
  const { a, b, link } = pair;
  const peer = host === a ? link.address.b : link.address.a;
  installFile(
    host,
    '/etc/ha.d/ha.cf',
    [
      `logfile ${join(host.dir, 'ha-log')}`, 'keepalive 500ms', 'deadtime 4', 'warntime 2', 'initdead 20', 'udpport 694',
      `ucast ${interfaceOf} ${peer}`, 'auto_failback off', `node ${a.name}`, `node ${b.name}`, 'realtime off', '',
    ].join('\n'),
  );
  installFile(host, '/etc/ha.d/authkeys', 'auth 1\n1 sha1 a-key-of-the-test\n', 0o600);
  installFile(
    host,
    '/etc/ha.d/haresources',
    `${a.name} drbddisk::r0 Filesystem::/dev/drbd0::/var/store::ext4 IPaddr::${vip}/24/${interfaceOf}:0\n`,
  );
}

async function startHeartbeat(boot: Boot): Promise<void> {
  await boot.sh(
    'install -d -o hacluster -g haclient -m 750 /run/heartbeat /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd && ' +
      'install -d -m 1777 /run/heartbeat/rsctmp && install -d -m 755 /run/resource-agents',
  );
  await boot.must([heartbeat]);
}

const serves = async (boot: Boot, vip: string): Promise<boolean> =>
  (await boot.run(['mountpoint', '-q', '/var/store'])).code === 0 && (await boot.must(['ip', '-4', 'address', 'show'])).includes(`${vip}/24`);

test('haresources: the group starts on its node, moves on hb_standby, and is taken over when the node dies', { skip: skipHeartbeat, timeout: 400_000 }, async () => {
  await withLab('heartbeat', async (lab) => {
    const pair = await Pair.create(lab, { names: ['node1', 'node2'] });
    const { a, b, link } = pair;
    const vip = link.address.a.replace(/\d+$/, '100');
    for (const host of [a, b]) {
      install(host);
      configureHeartbeat(host, pair, vip);
      lab.note(() => tail(join(host.dir, 'ha-log')));
    }
    await pair.upInSync();
    await a.drbdts('primary', 'r0');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await a.drbdts('secondary', 'r0');
    const boots = { a: await Boot.start(a), b: await Boot.start(b) };
    await Promise.all([startHeartbeat(boots.a), startHeartbeat(boots.b)]);

    await waitFor('node1 serves', () => serves(boots.a, vip), 90_000);
    // both have to be done with one move before they take an order for the next
    const settled = (): Promise<boolean> =>
      waitFor('both heartbeats are settled', async () => {
        const states = await Promise.all([boots.a, boots.b].map((boot) => boot.run(['cl_status', 'rscstatus'])));
        return states.every(({ code, stdout }) => code === 0 && /^(none|local|foreign|all)$/.test(stdout.trim()));
      }, 60_000);
    const onlyOther = async (boot: Boot): Promise<void> => {
      await settled();
      assert.equal((await boot.run(['mountpoint', '-q', '/var/store'])).code === 0, false);
      assert.equal((await boot.host.running.resource()).role, 'Secondary');
    };
    await onlyOther(boots.b);
    await boots.a.sh('echo first >/var/store/file && sync');

    await boots.a.must(['/usr/share/heartbeat/hb_standby', 'all']);
    await waitFor('node2 serves', () => serves(boots.b, vip), 60_000);
    await onlyOther(boots.a);
    assert.equal(await boots.b.must(['cat', '/var/store/file']), 'first\n');
    await boots.b.sh('echo second >/var/store/file2 && sync');

    await boots.a.must(['/usr/share/heartbeat/hb_takeover', 'all']);
    await waitFor('node1 serves again', () => serves(boots.a, vip), 60_000);
    await onlyOther(boots.b);
    assert.equal(await boots.a.must(['cat', '/var/store/file2']), 'second\n');
    await boots.a.sh('echo third >/var/store/file3 && sync');

    await link.unplug();
    await powerOff(boots.a);
    await waitFor('node2 takes over', () => serves(boots.b, vip), 60_000);
    assert.equal(await boots.b.must(['cat', '/var/store/file3']), 'third\n');
    assert.equal((await b.running.resource()).role, 'Primary');
  });
});

function tail(file: string): string {
  return existsSync(file) ? `--- ${file}\n${readFileSync(file, 'utf8').trimEnd().split('\n').slice(-40).join('\n')}` : '';
}
