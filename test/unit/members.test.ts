/** Small pure parts under the members of groups, and the last means of a node. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { needsCheck } from '../../src/cluster/members/fsck.js';
import type { NetAddress } from '../../src/cluster/members/net.js';
import { isReplica } from '../../src/cluster/members/openers.js';
import { ocfTimeouts, r1Status, serviceKind } from '../../src/cluster/members/service-kinds.js';
import { broadcastOf, connectedInterface } from '../../src/cluster/members/subnet.js';
import { SelfFence } from '../../src/cluster/self-fence.js';
import type { SelfFenceConfig } from '../../src/config/cluster-types.js';
import { systemClock } from '../../src/shared/clock.js';
import { DrbdtsError } from '../../src/shared/errors.js';
import { createLog } from '../../src/shared/log.js';
import { isBelow, mountAt, parseMountTable } from '../../src/shared/mount-table.js';
import { hardAbort, runProgram } from '../../src/shared/run-program.js';

describe('mount table', () => {
  const table = parseMountTable(
    [
      '22 28 7:3 / /with\\040space rw,relatime shared:5 - ext4 /dev/drbd0 rw,errors=continue',
      '23 28 7:4 /sub /store ro master:5 shared:9 - ext4 /dev/loop4 ro',
      '24 23 0:40 / /store rw - tmpfs none rw',
      'garbage',
      '',
    ].join('\n'),
  );
  it('is read with escapes, propagation and options', () => {
    assert.equal(table.length, 3);
    assert.deepEqual([table[0]?.mountPoint, table[0]?.shared, table[0]?.master], ['/with space', 5, 0]);
    assert.deepEqual([table[1]?.root, table[1]?.shared, table[1]?.master, table[1]?.superOptions[0]], ['/sub', 9, 5, 'ro']);
  });
  it('gives the mount on top', () => assert.equal(mountAt(table, '/store')?.id, 24));
  it('knows what is below', () => {
    assert.ok(isBelow('/store/a', '/store'));
    assert.ok(!isBelow('/store', '/store'));
    assert.ok(!isBelow('/store2', '/store'));
    assert.ok(isBelow('/x', '/'));
  });
  it('a replica is a mount of the same thing that ours propagates to', () => {
    const [own] = table;
    assert.ok(own !== undefined);
    assert.ok(isReplica(own, { ...own, id: 99, shared: 0, master: 5 }));
    assert.ok(!isReplica(own, { ...own, id: 99, shared: 0, master: 0 }));
    assert.ok(!isReplica({ ...own, shared: 0 }, { ...own, id: 99, shared: 0, master: 0 }));
  });
});

describe('file system check', () => {
  const superBlock = (state: number, compat: number): Buffer => {
    const bytes = Buffer.alloc(1024);
    bytes.writeUInt16LE(0xef53, 0x38);
    bytes.writeUInt16LE(state, 0x3a);
    bytes.writeUInt32LE(compat, 0x5c);
    return bytes;
  };
  it('only where it is needed', () => {
    assert.equal(needsCheck('auto', 'ext4', superBlock(1, 4)), '');
    assert.match(needsCheck('auto', 'ext4', superBlock(3, 4)), /errors/);
    assert.match(needsCheck('auto', 'ext4', superBlock(1, 0)), /no journal/);
    assert.equal(needsCheck('auto', 'xfs', null), '');
    assert.match(needsCheck('auto', 'vfat', null), /no journal/);
    assert.equal(needsCheck('no', 'vfat', null), '');
    assert.notEqual(needsCheck('force', 'xfs', null), '');
    assert.equal(needsCheck('auto', 'ext4', Buffer.alloc(3)), '');
  });
});

describe('services', () => {
  it('words of heartbeat scripts', () => {
    assert.equal(r1Status('nginx is not running'), 'stopped');
    assert.equal(r1Status('nginx is running...'), 'running');
    assert.equal(r1Status('INFO: Running OK'), 'running');
    assert.equal(r1Status('stopped'), 'stopped');
    assert.equal(r1Status('Not Running'), 'stopped');
  });
  it('codes of LSB status', () => {
    const kind = serviceKind({ kind: 'lsb', script: '/etc/init.d/x', arguments: [] });
    assert.deepEqual([0, 1, 2, 3].map((code) => kind.status(code, '')), ['running', 'stopped', 'stopped', 'stopped']);
    assert.match(kind.status(4, 'what'), /^failed:.*4: what/);
  });
  it('codes of OCF monitor', () => {
    const kind = serviceKind({ kind: 'ocf', provider: 'p', agent: 'a', parameters: {} });
    assert.deepEqual([0, 7, 5, 190].map((code) => kind.status(code, '')), ['running', 'stopped', 'stopped', 'running']);
    assert.match(kind.status(6, ''), /not configured/);
  });
  it('timeouts of OCF meta-data', () => {
    const xml = `<actions><action name="start" timeout="20s" /><action timeout='90' name="stop"/><action name="monitor" depth="0" timeout="20ms" interval="10s"/>
      <action name="monitor" depth="10" timeout="1min"/><action name="meta-data" timeout="x"/></actions>`;
    assert.deepEqual(ocfTimeouts(xml), { startMs: 20_000, stopMs: 90_000, monitorMs: 60_000 });
    assert.deepEqual(ocfTimeouts('no xml <action'), {});
  });
});

describe('networks', () => {
  const at = (name: string, address: string, prefix: number, family: 4 | 6 = 4): NetAddress => ({ interface: name, family, address, prefix, label: '', validSeconds: null });
  const all = [at('eth0', '192.168.0.1', 16), at('eth1', '192.168.42.1', 25), at('eth2', '192.168.42.14', 32), at('eth3', '2001:db8::1', 64, 6)];
  it('the longest prefix wins', () => {
    assert.equal(connectedInterface(all, 4, '192.168.42.14'), 'eth1');
    assert.equal(connectedInterface(all, 4, '192.168.42.200'), 'eth0');
    assert.equal(connectedInterface(all, 4, '10.0.0.1'), '');
    assert.equal(connectedInterface(all, 6, '2001:db8::99'), 'eth3');
  });
  it('broadcast', () => {
    assert.equal(broadcastOf('192.168.42.14', 25), '192.168.42.127');
    assert.equal(broadcastOf('10.1.2.3', 8), '10.255.255.255');
    assert.equal(broadcastOf('10.1.2.3', 31), '');
  });
});

describe('programs', () => {
  it('are over when they end, not when their children close the output', async () => {
    const result = await runProgram(['sh', '-c', 'sleep 30 & echo $!; exit 3']);
    process.kill(Number(result.stdout.toString()), 'SIGKILL');
    assert.equal(result.exitCode, 3);
  });
  it('output has a bound, and the last words are kept', async () => {
    const result = await runProgram(['sh', '-c', 'yes | head -c 3000000; echo the end']);
    assert.equal(result.stdout.length, 65_536);
    assert.match(result.tail, /the end$/);
    assert.ok(result.tail.length <= 4096);
  });
  it('are ended with their group, deaf ones too', async () => {
    for (const reason of [hardAbort, 'time']) {
      const controller = new AbortController();
      const running = runProgram(['sh', '-c', "trap '' TERM; echo $$; while :; do sleep 0.05; done"], { signal: controller.signal, graceMs: 100 });
      setTimeout(() => controller.abort(reason), 100);
      const result = await running;
      assert.equal(result.how, 'aborted');
      assert.throws(() => process.kill(Number(result.stdout.toString()), 0));
    }
  });
  it('what can not be started is said', async () => {
    const result = await runProgram(['/does/not/exist']);
    assert.equal(result.exitCode, 127);
    assert.match(result.tail, /ENOENT/);
  });
});

describe('self-fence', () => {
  const withDir = async (body: (dir: string) => Promise<void>): Promise<void> => {
    const dir = mkdtempSync(join(tmpdir(), 'drbdts-fence-'));
    try {
      await body(dir);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
  const none: SelfFenceConfig = { command: '', watchdog: '', reboot: false };
  const fence = (config: Partial<SelfFenceConfig>, dir: string, healthy = (): boolean => true): SelfFence =>
    new SelfFence({ ...none, ...config }, { log: createLog('error', { stream: process.stderr }), clock: systemClock, stateDir: dir, sysrqTrigger: join(dir, 'sysrq'), healthy });
  const refused = (promise: Promise<never>): Promise<DrbdtsError> =>
    promise.then(() => assert.fail('it came back'), (error: unknown) => (error instanceof DrbdtsError ? error : assert.fail(String(error))));

  it('command, then reboot, and the reason is there before both', () =>
    withDir(async (dir) => {
      const error = await refused(fence({ command: `cp ${dir}/self-fence.json ${dir}/seen; echo "$DRBDTS_REASON"; exit 4`, reboot: true }, dir).fence('web hangs'));
      assert.equal(error.code, 'ERR_SELF_FENCE');
      assert.match(error.message, /web hangs.*exit code 4.*reboot/);
      assert.match(readFileSync(join(dir, 'seen'), 'utf8'), /web hangs/);
      assert.equal(readFileSync(join(dir, 'sysrq'), 'utf8'), 'b');
      const next = fence({}, dir);
      assert.equal(next.lastReason()?.reason, 'web hangs');
      assert.equal(next.lastReason(), null);
    }));
  it('nothing configured is said, and nothing is done', () =>
    withDir(async (dir) => {
      assert.match((await refused(fence({}, dir).fence('x'))).message, /nothing is configured/);
      assert.throws(() => readFileSync(join(dir, 'sysrq')));
    }));
  it('the watchdog is petted while healthy, disarmed at an orderly end, left to bite once fencing began', () =>
    withDir(async (dir) => {
      const watchdog = join(dir, 'watchdog');
      writeFileSync(watchdog, '');
      const orderly = fence({ watchdog }, dir);
      orderly.arm();
      orderly.disarm();
      assert.equal(readFileSync(watchdog, 'utf8'), '\0V');
      const biting = fence({ watchdog }, dir);
      biting.arm();
      assert.match((await refused(biting.fence('x'))).message, /watchdog has not done it yet/);
      biting.disarm();
      assert.equal(readFileSync(watchdog, 'utf8'), '\0');
      const sick = fence({ watchdog }, dir, () => false);
      sick.arm();
      assert.equal(readFileSync(watchdog, 'utf8'), '');
      sick.disarm();
      assert.throws(() => fence({ watchdog: join(dir, 'no', 'such') }, dir).arm(), /watchdog/);
    }));
});
