/** The local disk goes away under a mounted file system: reads and writes go to the peer, and no error reaches anybody. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { withLab } from '../support/lab.js';
import { AckWriter, FioRun } from '../support/load.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { LossyDisk } from '../support/power.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const limits = { skip, timeout: 150_000 };

test('detach by hand under a mounted, busy file system', limits, async () => {
  await withLab('detach', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 96 * mib });
    const { a, b } = pair;
    await pair.upInSync();
    await a.drbdts('primary', 'r0');
    const store = join(a.dir, 'store');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await a.mount('/dev/drbd0', store);
    const load = new FioRun(a, join(store, 'file'), { size: '16m', seconds: 8, extra: ['--fsync=8'] });
    await waitFor('fio writes', async () => ((await a.running.volume()).counters['ns'] ?? 0) > 1000);
    await a.drbdts('detach', 'r0');
    await a.running.waitState({ disk: 'Diskless', peerDisk: 'UpToDate', role: 'Primary' });
    await load.finish();
    await a.sh(`echo 3 > /proc/sys/vm/drop_caches || true; sha256sum ${store}/file`);
    // and back: the disk is resynced from the peer
    await a.drbdts('attach', 'r0');
    await pair.inSync();
    await a.umount(store);
    await a.must(['e2fsck', '-fn', '/dev/drbd0']);
    await a.drbdts('secondary', 'r0');
    await pair.assertSameData();
    assert.equal((await b.running.volume()).outOfSyncKib, 0);
  });
});

test('I/O errors of the local disk: it is detached, the application sees none of them', limits, async () => {
  await withLab('io-error', async (lab) => {
    let disk: LossyDisk | undefined;
    const pair = await Pair.create(lab, {
      diskA: async (host) => {
        disk = await LossyDisk.create(host, 'lossy', 64 * mib);
        return disk.path;
      },
    });
    await pair.upInSync();
    await pair.a.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir);
    await writer.start(pair.a, '/dev/drbd0');
    await waitFor('writes reach the peer', async () => ((await pair.b.running.volume()).counters['nr'] ?? 0) > 500);
    await disk?.fail();
    await pair.a.running.waitState({ disk: 'Diskless', peerDisk: 'UpToDate' });
    const before = (await pair.b.running.volume()).counters['nr'] ?? 0;
    await waitFor('writes go on without the disk', async () => ((await pair.b.running.volume()).counters['nr'] ?? 0) > before + 500);
    assert.deepEqual((await writer.stop()).error, 0);
    await writer.verify(pair.a, '/dev/drbd0');
    assert.match(await pair.a.drbdts('status'), /Diskless\/UpToDate/);
    // the peer takes over with everything
    await pair.a.drbdts('secondary', 'r0');
    await pair.b.drbdts('primary', 'r0');
    await writer.verify(pair.b, '/dev/drbd0');
  });
});
