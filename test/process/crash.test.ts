/** The Primary dies under load: by SIGKILL, or by a power failure that also drops what its disk had not flushed. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { assertSameContents, mib } from '../support/disk.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { AckWriter } from '../support/load.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, longRun } from '../support/paths.js';
import { LossyDisk } from '../support/power.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const rounds = longRun ? 12 : 3;
const limits = { skip, timeout: 90_000 + rounds * 60_000 };
const bytes = 256 * mib;
/** 4 MiB extents that the activity log may hold hot; small, so that a full resync would be noticed. */
const alExtents = 67;

async function loaded(host: Host): Promise<void> {
  const sent = async (): Promise<number> => (await host.running.volume()).counters['ns'] ?? 0;
  const before = await sent();
  await waitFor('the load runs', async () => (await sent()) > before + 2000, 30_000);
}

test('SIGKILL of the Primary under load: the peer takes over with every acknowledged write; only hot extents are resynced', limits, async (t) => {
  const seed = randomInt(1, 1_000_000);
  t.diagnostic(`seed ${seed}`);
  await withLab('kill', async (lab) => {
    const pair = await Pair.create(lab, { bytes, disk: { 'al-extents': alExtents } });
    await pair.upInSync();
    // blocks in the first 24 MiB: 6 extents of 64
    const writer = new AckWriter(lab.dir, { blocks: 6144, seed });
    let [primary, other]: [Host, Host] = [pair.a, pair.b];
    for (let round = 0; round < rounds; round++) {
      await primary.drbdts('primary', 'r0');
      await writer.start(primary, '/dev/drbd0');
      await loaded(primary);
      await primary.powerOff();
      const { acknowledged, error } = await writer.stop();
      assert.ok(acknowledged > 0);
      assert.notEqual(error, 0, 'the device was really gone');

      await other.running.waitState({ connection: 'WFConnection', peerRole: 'Unknown' });
      await other.drbdts('primary', 'r0');
      await writer.verify(other, '/dev/drbd0');

      await primary.startDaemon();
      await primary.drbdts('up', 'r0');
      await pair.inSync();
      const resyncedKib = (await primary.running.volume()).counters['nr'] ?? 0;
      assert.ok(resyncedKib <= 32 * 1024, `only hot extents are resynced, not the whole device: ${resyncedKib} KiB`);
      await other.drbdts('secondary', 'r0');
      await pair.assertSameData();
      [primary, other] = [other, primary];
    }
  });
});

test('a crashed Primary that comes back before anybody was promoted is the source of the resync', limits, async () => {
  await withLab('kill-back', async (lab) => {
    const pair = await Pair.create(lab, { bytes, disk: { 'al-extents': alExtents } });
    await pair.upInSync();
    const writer = new AckWriter(lab.dir, { blocks: 6144 });
    for (let round = 0; round < rounds; round++) {
      await pair.a.drbdts('primary', 'r0');
      await writer.start(pair.a, '/dev/drbd0');
      await loaded(pair.a);
      await pair.a.powerOff();
      await writer.stop();
      await pair.a.startDaemon();
      await pair.a.drbdts('up', 'r0');
      await pair.inSync();
      await pair.a.drbdts('primary', 'r0');
      await writer.verify(pair.a, '/dev/drbd0');
      await pair.a.drbdts('secondary', 'r0');
      await pair.assertSameData();
    }
  });
});

test('power failure of the Primary: what its disk lost is resynced from the peer', limits, async (t) => {
  const seed = randomInt(1, 1_000_000);
  t.diagnostic(`seed ${seed}`);
  await withLab('power', async (lab) => {
    let lossy: LossyDisk | undefined;
    // twice as many extents as the activity log holds: extents leave it all the time
    const bytes = 536 * mib;
    const pair = await Pair.create(lab, {
      bytes,
      disk: { 'al-extents': alExtents },
      diskA: async (host) => {
        lossy = await LossyDisk.create(host, 'lossy', bytes);
        return lossy.path;
      },
    });
    const disk = lossy as LossyDisk;
    await pair.upInSync();
    const writer = new AckWriter(lab.dir, { blocks: 130_000, seed });
    for (let round = 0; round < rounds; round++) {
      const takeOver = round % 2 === 0;
      await pair.a.drbdts('primary', 'r0');
      // a crashed node that nobody replaced is the source of the resync: of its own, what was flushed is safe
      await writer.start(pair.a, '/dev/drbd0', { sync: !takeOver });
      await loaded(pair.a);
      await pair.a.powerOff();
      const { lost } = await disk.cut(seed + round);
      await writer.stop();
      t.diagnostic(`round ${round}: the disk lost ${lost} sectors`);
      await pair.b.running.waitState({ connection: 'WFConnection' });
      if (takeOver) {
        await pair.b.drbdts('primary', 'r0');
        await writer.verify(pair.b, '/dev/drbd0');
        await pair.b.drbdts('secondary', 'r0');
      }
      await disk.powerOn();
      await pair.a.startDaemon();
      await pair.a.drbdts('up', 'r0');
      await pair.inSync();
      const resynced = (await pair.a.running.volume()).counters;
      const resyncedKib = (resynced['nr'] ?? 0) + (resynced['ns'] ?? 0);
      assert.ok(resyncedKib <= alExtents * 4096, `only hot extents are resynced, not the whole device: ${resyncedKib} KiB`);
      await disk.flush();
      assertSameContents(disk.backing, pair.disks.b[0] ?? '', await pair.usableBytes());
      await pair.a.drbdts('primary', 'r0');
      await writer.verify(pair.a, '/dev/drbd0');
      await pair.a.drbdts('secondary', 'r0');
    }
  });
});

test('power failure of a node without peer: every flushed write is there', limits, async (t) => {
  const seed = randomInt(1, 1_000_000);
  t.diagnostic(`seed ${seed}`);
  await withLab('power-alone', async (lab) => {
    let lossy: LossyDisk | undefined;
    const pair = await Pair.create(lab, {
      diskA: async (host) => {
        lossy = await LossyDisk.create(host, 'lossy', 64 * mib);
        return lossy.path;
      },
    });
    const disk = lossy as LossyDisk;
    await pair.a.startDaemon();
    await pair.a.drbdts('create-md', 'r0');
    await pair.a.drbdts('up', 'r0');
    await pair.a.drbdts('primary', '--force', 'r0');
    const writer = new AckWriter(lab.dir, { blocks: 8192, seed, sync: true });
    for (let round = 0; round < rounds; round++) {
      await writer.start(pair.a, '/dev/drbd0');
      await waitFor('the load runs', async () => ((await pair.a.running.volume()).counters['dw'] ?? 0) > 500);
      await pair.a.powerOff();
      await disk.cut(seed + round);
      await writer.stop();
      await disk.powerOn();
      await pair.a.startDaemon();
      await pair.a.drbdts('up', 'r0');
      await pair.a.drbdts('primary', 'r0');
      await writer.verify(pair.a, '/dev/drbd0');
    }
  });
});
