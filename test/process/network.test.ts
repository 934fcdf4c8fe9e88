/** The link fails, the peer hangs, both nodes change data: what is resynced, what is refused, how it is put right. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { withLab } from '../support/lab.js';
import { AckWriter, fioVerify } from '../support/load.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const limits = { skip, timeout: 150_000 };
const write = (host: Pair['a'], offsetMib: number, countMib: number): Promise<string> =>
  host.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=1M', `seek=${offsetMib}`, `count=${countMib}`, 'oflag=direct', 'status=none']);

for (const kind of ['cut', 'unplug'] as const) {
  test(`a link that is ${kind === 'cut' ? 'silently dead' : 'unplugged'} under load: work goes on, and only what changed is copied afterwards`, limits, async () => {
    await withLab('link', async (lab) => {
      const pair = await Pair.create(lab, { bytes: 128 * mib });
      await pair.upInSync();
      await pair.a.drbdts('primary', 'r0');
      const writer = new AckWriter(lab.dir, { blocks: 1024 });
      await writer.start(pair.a, '/dev/drbd0');
      await waitFor('writes reach the peer', async () => ((await pair.b.running.volume()).counters['nr'] ?? 0) > 500);
      await (kind === 'cut' ? pair.link.cut() : pair.link.unplug());
      await pair.a.running.waitState({ connection: 'WFConnection', role: 'Primary', disk: 'UpToDate' }, 60_000);
      await waitFor('writes go on alone', async () => (await pair.a.running.volume()).outOfSyncKib > 400);
      await (kind === 'cut' ? pair.link.restore() : pair.link.plug());
      await pair.inSync();
      assert.equal((await writer.stop()).error, 0);
      await pair.a.drbdts('secondary', 'r0');
      await pair.assertSameData();
      const received = (await pair.b.running.volume()).counters['nr'] ?? 0;
      assert.ok(received < 128 * 1024, `no full resync: ${received} KiB were received`);
      await pair.b.drbdts('primary', 'r0');
      await writer.verify(pair.b, '/dev/drbd0');
    });
  });
}

test('a peer that hangs is dropped within the configured time; its bitmap brings it back', limits, async () => {
  await withLab('hang', async (lab) => {
    const pair = await Pair.create(lab);
    await pair.upInSync();
    await pair.a.drbdts('primary', 'r0');
    pair.b.running.freeze();
    await write(pair.a, 4, 8);
    await pair.a.running.waitState({ connection: 'WFConnection', role: 'Primary' });
    assert.ok((await pair.a.running.volume()).outOfSyncKib >= 4 * 1024);
    pair.b.running.thaw();
    await pair.inSync();
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
  });
});

async function splitBrain(pair: Pair): Promise<void> {
  await pair.upInSync();
  await pair.link.unplug();
  await pair.both((host) => host.running.waitState({ connection: 'WFConnection' }));
  await pair.a.drbdts('primary', 'r0');
  await write(pair.a, 1, 4);
  await pair.a.drbdts('secondary', 'r0');
  await pair.b.drbdts('primary', 'r0');
  await write(pair.b, 3, 4);
  await pair.b.drbdts('secondary', 'r0');
  await pair.link.plug();
}

test('split brain: both refuse to connect and say so; the given-up side follows the other', limits, async () => {
  await withLab('split-brain', async (lab) => {
    const pair = await Pair.create(lab);
    await splitBrain(pair);
    await waitFor('both notice', async () => (await pair.both((host) => host.running.resource())).some(({ connectionReason }) => /split.brain/i.test(connectionReason)), 60_000);
    await waitFor('one of them at least is StandAlone', async () =>
      (await pair.both((host) => host.running.volume())).some(({ connection }) => connection === 'StandAlone'));
    await pair.both((host) => host.cli('disconnect', 'r0'));
    await pair.b.drbdts('connect', '--discard-my-data', 'r0');
    await pair.a.drbdts('connect', 'r0');
    await pair.inSync();
    await pair.assertSameData();
    await pair.b.drbdts('primary', 'r0');
  });
});

test('after-sb-0pri discard-zero-changes solves the split brain where one side changed nothing', limits, async () => {
  await withLab('split-zero', async (lab) => {
    const pair = await Pair.create(lab, { net: { 'after-sb-0pri': 'discard-zero-changes' } });
    await pair.upInSync();
    await pair.link.unplug();
    await pair.both((host) => host.running.waitState({ connection: 'WFConnection' }));
    for (const host of [pair.a, pair.b]) {
      await host.drbdts('primary', 'r0');
      if (host === pair.a) await write(host, 1, 4);
      await host.drbdts('secondary', 'r0');
    }
    await pair.link.plug();
    await pair.inSync();
    await pair.assertSameData();
    await pair.b.drbdts('primary', 'r0');
  });
});

for (const protocol of ['A', 'B', 'C'] as const) {
  test(`protocol ${protocol}: fio verifies, both disks are equal afterwards`, limits, async () => {
    await withLab('protocol', async (lab) => {
      const pair = await Pair.create(lab, { protocol, net: { 'data-integrity-alg': protocol === 'A' ? '' : 'crc32c', 'sndbuf-size': '512K' } });
      await pair.upInSync();
      await pair.a.drbdts('primary', 'r0');
      const result = await fioVerify(pair.a, '/dev/drbd0', { size: '32m', depth: 32, extra: ['--bsrange=512-256k', '--blockalign=512', '--fsync=50'] });
      assert.equal(result.code, 0, result.stdout + result.stderr);
      await pair.a.drbdts('secondary', 'r0');
      await pair.assertSameData();
    });
  });
}

test('online verify finds a difference made behind our back, and a reconnect repairs it', limits, async () => {
  await withLab('verify', async (lab) => {
    const pair = await Pair.create(lab, { net: { 'verify-alg': 'sha256' } });
    await pair.upInSync();
    await pair.b.sh(`printf damage | dd of=${pair.disks.b[0] ?? ''} bs=1 seek=${5 * mib + 123} conv=notrunc,fsync status=none`);
    // a Primary that loses its peer begins a new generation; two Secondaries of one generation would not look at their bitmaps
    await pair.a.drbdts('primary', 'r0');
    await pair.a.drbdts('verify', 'r0');
    await pair.a.drbdts('wait-sync', 'r0');
    await pair.a.running.waitState({ connection: 'Connected' });
    assert.equal((await pair.a.running.volume()).outOfSyncKib, 4);
    assert.match(pair.a.log() + pair.b.log(), /[Oo]ut of sync/);
    await pair.b.drbdts('disconnect', 'r0');
    await pair.b.drbdts('connect', 'r0');
    await pair.inSync();
    await waitFor('nothing is out of sync', async () => (await pair.a.running.volume()).outOfSyncKib === 0);
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
  });
});

test('two volumes share a connection; each is synced and resynced', limits, async () => {
  await withLab('two-volumes', async (lab) => {
    const pair = await Pair.create(lab, { volumes: 2, bytes: 48 * mib });
    await pair.upInSync();
    await pair.a.drbdts('primary', 'r0');
    for (const device of ['/dev/drbd0', '/dev/drbd1']) {
      const result = await fioVerify(pair.a, device, { size: '16m', depth: 8 });
      assert.equal(result.code, 0, result.stdout);
    }
    await pair.b.drbdts('disconnect', 'r0');
    await pair.a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd1', 'bs=1M', 'count=4', 'oflag=direct', 'status=none']);
    await pair.b.drbdts('connect', 'r0');
    await pair.inSync();
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData(0);
    await pair.assertSameData(1);
  });
});
