/** The daemon is killed while its device is in use: the keeper starts a new one, all requests complete, nobody sees an error. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { exited } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { AckWriter, FioRun } from '../support/load.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, longRun } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const kills = longRun ? 50 : 6;
const limits = { skip, timeout: 120_000 + kills * 20_000 };

/** The number of I/O requests that a block device completed. */
async function completed(host: Host): Promise<number> {
  const loop = (await host.sh('printf %d 0x$(stat -c %T /dev/drbd0)')).trim();
  const fields = (await host.sh(`cat /sys/block/loop${loop}/stat`)).trim().split(/\s+/).map(Number);
  return (fields[0] ?? 0) + (fields[4] ?? 0);
}

/** Kills the daemon and waits until the next one serves: I/O goes on and it answers. */
async function killOnce(host: Host): Promise<void> {
  const old = host.running.pid;
  const before = await completed(host);
  await waitFor('I/O is running', async () => (await completed(host)) > before + 20, 30_000);
  await host.running.crash();
  await waitFor('the keeper started a new daemon', () => host.running.pid !== 0 && host.running.pid !== old, 30_000, () => host.logTail());
  const after = await completed(host);
  await waitFor('I/O goes on', async () => (await completed(host)) > after + 20, 60_000, () => host.logTail());
  await host.running.waitState({ role: 'Primary', disk: 'UpToDate' }, 60_000);
}

async function upWithStore(lab: Lab): Promise<{ a: Host; b: Host; store: string }> {
  const pair = await Pair.create(lab);
  const { a, b } = pair;
  await pair.upInSync({ keeper: true });
  const store = join(a.dir, 'store');
  await a.drbdts('primary', 'r0');
  await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
  await a.mount('/dev/drbd0', store);
  return { a, b, store };
}

test('fio with verification over daemon restarts: no error', limits, async () => {
  await withLab('restart-fio', async (lab) => {
    const pair = await Pair.create(lab);
    await pair.upInSync({ keeper: true });
    await pair.a.drbdts('primary', 'r0');
    const small = new FioRun(pair.a, '/dev/drbd0', { size: '1m', depth: 16, seconds: 100_000 });
    const large = new FioRun(pair.a, '/dev/drbd0', { size: '24m', offset: '32m', blockSize: '1m', depth: 4, seconds: 100_000, rw: 'write' });
    for (let kill = 0; kill < kills; kill++) {
      await killOnce(pair.a);
      assert.ok(small.running && large.running, `fio ended after kill ${kill + 1}:\n${small.output()}${large.output()}`);
    }
    for (const load of [small, large]) load.child.kill('SIGINT');
    await waitFor('fio ends', () => !small.running && !large.running, 60_000);
    assert.doesNotMatch(small.output() + large.output(), /error=|verify: bad|bad magic|err= *[1-9]/);
    assert.match(small.output(), /read: IOPS/, 'the small blocks were read back and verified, too');
    await pair.inSync();
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
  });
});

test('a mounted file system with fsync load over daemon restarts: no error, e2fsck is clean', limits, async () => {
  await withLab('restart-ext4', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 96 * mib });
    await pair.upInSync({ keeper: true });
    const { a, b } = pair;
    await a.drbdts('primary', 'r0');
    const store = join(a.dir, 'store');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await a.mount('/dev/drbd0', store, 'errors=remount-ro');
    const loop = `
      import { writeFileSync, openSync, writeSync, fsyncSync, closeSync, readFileSync } from 'node:fs';
      let i = 0, stop = false; process.on('SIGTERM', () => { stop = true; });
      const step = () => {
        const name = '${store}/f' + (i % 50), text = String(i).repeat(2000);
        const fd = openSync(name, 'w'); writeSync(fd, text); fsyncSync(fd); closeSync(fd);
        if (readFileSync(name, 'utf8') !== text) { console.log('WRONG', name); process.exit(4); }
        i += 1;
        if (stop) { console.log('files', i); process.exit(0); }
        setImmediate(step);
      };
      step();`;
    const writer = a.spawn([process.execPath, '--input-type=module', '-e', loop]);
    let output = '';
    for (const stream of [writer.stdout, writer.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()));
    for (let kill = 0; kill < kills; kill++) {
      await killOnce(a);
      assert.equal(writer.exitCode, null, `the writer ended after kill ${kill + 1}: ${output}`);
    }
    writer.kill('SIGTERM');
    await waitFor('the writer ends', () => writer.exitCode !== null, 60_000);
    assert.equal(writer.exitCode, 0, output);
    await a.umount(store);
    await a.must(['e2fsck', '-fn', '/dev/drbd0']);
    await pair.inSync();
    await a.drbdts('secondary', 'r0');
    await pair.assertSameData();
    await b.drbdts('primary', 'r0');
    await b.must(['e2fsck', '-fn', '/dev/drbd0']);
  });
});

test('a restart of the Secondary\'s daemon under load: the Primary goes on and both end equal', limits, async () => {
  await withLab('restart-peer', async (lab) => {
    const pair = await Pair.create(lab);
    await pair.upInSync({ keeper: true });
    await pair.a.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir);
    await writer.start(pair.a, '/dev/drbd0');
    for (let kill = 0; kill < Math.ceil(kills / 4); kill++) {
      const before = await completed(pair.a);
      const old = pair.b.running.pid;
      await pair.b.running.crash();
      await waitFor('a new daemon runs', () => pair.b.running.pid !== 0 && pair.b.running.pid !== old);
      await waitFor('I/O goes on', async () => (await completed(pair.a)) > before + 100);
      await pair.inSync();
    }
    assert.equal((await writer.stop()).error, 0);
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
    await pair.b.drbdts('primary', 'r0');
    await writer.verify(pair.b, '/dev/drbd0');
  });
});

test('the peer took over while there was no daemon: whoever has the kept device open gets errors, and the node can follow', limits, async () => {
  await withLab('restart-late', async (lab) => {
    const { a, b, store } = await upWithStore(lab);
    const keeper = a.running.child;
    keeper.kill('SIGSTOP');
    await a.running.crash();
    await b.running.waitState({ connection: 'WFConnection' });
    await b.drbdts('primary', 'r0');
    const writer = a.spawn(['dd', 'if=/dev/zero', `of=${store}/file`, 'bs=4k', 'count=1', 'oflag=direct'], ['ignore', 'ignore', 'ignore']);
    keeper.kill('SIGCONT');
    assert.notEqual(await exited(writer), 0, 'it waited, and got an error');
    await a.umount(store);
    await a.running.waitState({ connection: 'Connected', role: 'Secondary', disk: 'UpToDate' });
    await b.drbdts('secondary', 'r0');
    await a.drbdts('primary', 'r0');
    await a.mount('/dev/drbd0', store);
    await a.umount(store);
  });
});

/** A Primary whose daemon dies while the peer is cut off, and comes back; `fence-peer` on it ends with `fenceExit`. Gives the writer that waits. */
async function backWithoutPeer(lab: Lab, fenceExit: number): Promise<{ pair: Pair; store: string; ended: Promise<number> }> {
  const fence = join(lab.dir, 'fence-peer');
  writeFileSync(fence, `#!/bin/sh\nexit ${fenceExit}\n`, { mode: 0o755 });
  const pair = await Pair.create(lab, { disk: { fencing: 'resource-and-stonith' }, handlers: { 'fence-peer': fence } });
  const { a } = pair;
  await pair.upInSync({ keeper: true });
  await a.drbdts('primary', 'r0');
  await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
  const store = join(a.dir, 'store');
  await a.mount('/dev/drbd0', store);
  const keeper = a.running.child;
  keeper.kill('SIGSTOP');
  await a.running.crash();
  await pair.link.cut();
  const writer = a.spawn(['dd', 'if=/dev/zero', `of=${store}/file`, 'bs=4k', 'count=1', 'oflag=direct'], ['ignore', 'ignore', 'ignore']);
  keeper.kill('SIGCONT');
  return { pair, store, ended: exited(writer) };
}

test('the peer is recorded to go on alone: whoever has the kept device open gets errors, and the node can follow', limits, async () => {
  await withLab('restart-out', async (lab) => {
    const { pair, store, ended } = await backWithoutPeer(lab, 6);
    assert.notEqual(await ended, 0);
    await pair.a.umount(store);
    await pair.link.restore();
    await pair.inSync();
    assert.equal((await pair.a.running.volume(0)).role, 'Secondary');
  });
});

test('secondary --force gives up a kept device that nobody may serve', limits, async () => {
  await withLab('restart-cut', async (lab) => {
    const { pair, store, ended } = await backWithoutPeer(lab, 5);
    await waitFor('it was tried', () => pair.a.log().includes('could not be brought back as it was'), 60_000);
    await pair.a.drbdts('secondary', '--force', 'r0');
    assert.notEqual(await ended, 0);
    await pair.a.umount(store);
    await pair.link.restore();
    await pair.inSync();
  });
});

test('a keeper that gets no daemon back ends the device instead of hanging the host', { skip, timeout: 120_000 }, async () => {
  await withLab('restart-abort', async (lab) => {
    const pair = await Pair.create(lab);
    // a module that every start needs, so that it can be taken away
    const needed = join(lab.dir, 'needed.cjs');
    writeFileSync(needed, '');
    await pair.upInSync({ keeper: true, abortAfterS: 3, nodeArgs: ['--require', needed] });
    await pair.a.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir);
    await writer.start(pair.a, '/dev/drbd0');
    rmSync(needed);
    await pair.a.running.crash();
    await waitFor('the writer is told', () => !writer.running, 60_000);
    assert.notEqual((await writer.stop()).error, 0);
    await pair.b.running.waitState({ peerRole: 'Unknown' });
    await pair.b.drbdts('primary', 'r0');
    await writer.verify(pair.b, '/dev/drbd0');
  });
});
