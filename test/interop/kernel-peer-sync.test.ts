/** Initial sync, bitmap resync and checksummed resync with the kernel module, in both directions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLab } from '../support/lab.js';
import { fioVerify } from '../support/load.js';
import { vmUnavailable } from '../support/vm.js';
import { KernelPair } from './kernel-pair.js';

const skip = vmUnavailable();
const limits = { skip, timeout: 400_000 };

test('initial full sync from the kernel to us', limits, async () => {
  await withLab('k-sync-in', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.up();
    await pair.peer.sh('drbdadm primary --force r0');
    await pair.inSync();
    await pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=4m');
    await pair.assertSameData();
  });
});

test('initial full sync from us to the kernel', limits, async () => {
  await withLab('k-sync-out', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.host.sh(`dd if=/dev/urandom of=${pair.ourDisks[0] ?? ''} bs=1M count=8 conv=notrunc status=none`);
    await pair.up();
    await pair.host.drbdts('primary', '--force', 'r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

for (const [name, net] of [
  ['with RLE', { 'use-rle': 'yes' }],
  ['with plain bitmaps', { 'use-rle': 'no' }],
  ['with checksums', { 'csums-alg': 'sha1' }],
] as const) {
  test(`disconnect and reconnect, kernel Primary, ${name}: only what changed is copied`, limits, async () => {
    await withLab('k-bitmap-in', async (lab) => {
      const pair = await KernelPair.create(lab, { net });
      await pair.upInSync();
      await pair.peer.sh('drbdadm primary r0');
      await pair.host.drbdts('disconnect', 'r0');
      await pair.guestFio('--rw=randwrite --bs=4k --iodepth=4 --size=2m --offset=4m');
      const before = (await pair.host.running.volume()).counters['nr'] ?? 0;
      await pair.host.drbdts('connect', 'r0');
      await pair.inSync();
      const received = ((await pair.host.running.volume()).counters['nr'] ?? 0) - before;
      assert.ok(received <= 4096, `bitmap resync, not a full one: ${received} KiB`);
      await pair.assertSameData();
    });
  });

  test(`disconnect and reconnect, we are Primary, ${name}: only what changed is copied`, limits, async () => {
    await withLab('k-bitmap-out', async (lab) => {
      const pair = await KernelPair.create(lab, { net });
      await pair.upInSync();
      await pair.host.drbdts('primary', 'r0');
      await pair.peer.sh('drbdadm disconnect r0');
      await pair.host.running.waitState({ connection: 'WFConnection' });
      const result = await fioVerify(pair.host, '/dev/drbd0', { size: '2m', offset: '4m', depth: 8 });
      assert.equal(result.code, 0, result.stdout);
      await pair.peer.sh('drbdadm connect r0');
      await pair.inSync();
      await pair.assertSameData();
    });
  });
}

test('invalidate and invalidate-remote from either side', limits, async () => {
  await withLab('k-invalidate', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.host.drbdts('invalidate', 'r0');
    await pair.inSync();
    await pair.host.drbdts('invalidate-remote', 'r0');
    await pair.inSync();
    await pair.peer.sh('drbdadm invalidate r0');
    await pair.inSync();
    await pair.peer.sh('drbdadm invalidate-remote r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

test('pause and resume of a resync from either side', limits, async () => {
  await withLab('k-pause', async (lab) => {
    const pair = await KernelPair.create(lab, { disk: { 'resync-rate': '2M' } });
    await pair.up();
    await pair.peer.sh('drbdadm primary --force r0');
    await pair.host.running.waitState({ connection: 'SyncTarget' });
    await pair.host.drbdts('pause-sync', 'r0');
    await pair.host.running.waitState({ connection: 'PausedSyncT' });
    await pair.peer.waitState({ cs: 'PausedSyncS' });
    await pair.host.drbdts('resume-sync', 'r0');
    await pair.host.running.waitState({ connection: 'SyncTarget' });
    await pair.peer.sh('drbdadm pause-sync r0');
    await pair.host.running.waitState({ connection: 'PausedSyncT' });
    await pair.peer.sh('drbdadm resume-sync r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});
