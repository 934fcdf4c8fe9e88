/** Initial sync, bitmap resync, checksummed resync and sizes with the kernel module, in both directions. */
import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { mib } from '../support/disk.js';
import { waitFor } from '../support/wait.js';
import { kernelScenarios } from './kernel-pair.js';

const diskBytes = 16 * mib;
const scenario = kernelScenarios('k-sync', { bytes: diskBytes });
const slow = { 'resync-rate': '2M' };

scenario('initial full sync from the kernel to us', { contents: 'random' }, async (pair) => {
  await pair.up();
  await pair.peer.sh('drbdadm primary --force r0');
  await pair.inSync();
  await pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=2m');
  await pair.assertSameData();
});

scenario('initial full sync from us to the kernel', { contents: 'random' }, async (pair) => {
  await pair.up();
  await pair.host.drbdts('primary', '--force', 'r0');
  await pair.inSync();
  await pair.ourFio({ size: '2m', depth: 8 });
  await pair.assertSameData();
});

scenario('the kernel writes while it is our sync source', { contents: 'random', disk: slow, long: true }, async (pair) => {
  await pair.up();
  await pair.peer.sh('drbdadm primary --force r0');
  await pair.host.running.waitState({ connection: 'SyncTarget' });
  await pair.guestFio('--rw=randwrite --bsrange=4k-64k --iodepth=8 --size=8m');
  await pair.inSync();
  await pair.assertSameData();
});

scenario('the kernel writes while it is our sync target', { contents: 'random', disk: slow, long: true }, async (pair) => {
  await pair.up();
  await pair.host.drbdts('primary', '--force', 'r0');
  await pair.peer.waitState({ cs: 'SyncTarget' });
  await pair.promoteGuest();
  await pair.guestFio('--rw=randwrite --bsrange=4k-64k --iodepth=8 --size=8m');
  await pair.inSync();
  await pair.assertSameData();
});

for (const [who, us] of [['source', true], ['target', false]] as const) {
  scenario(`we write while we are the sync ${who}`, { contents: 'random', disk: slow, long: true }, async (pair) => {
    const { peer, host } = pair;
    await pair.up();
    if (us) {
      await host.drbdts('primary', '--force', 'r0');
      await peer.waitState({ cs: 'SyncTarget' });
    } else {
      await peer.sh('drbdadm primary --force r0');
      await host.running.waitState({ connection: 'SyncTarget' });
      await pair.promoteUs();
    }
    await pair.ourFio({ size: '8m', depth: 8, extra: ['--bsrange=4k-64k'] });
    await pair.inSync();
    await pair.assertSameData();
  });
}

for (const [name, net, long] of [
  ['with RLE', { 'use-rle': 'yes' }, false],
  ['with plain bitmaps', { 'use-rle': 'no' }, true],
  ['with checksums', { 'csums-alg': 'sha1' }, true],
] as const) {
  scenario(`disconnect and reconnect, kernel Primary, ${name}: only what changed is copied`, { net, long }, async (pair) => {
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.host.drbdts('disconnect', 'r0');
    await pair.guestFio('--rw=randwrite --bs=4k --iodepth=4 --size=2m --offset=4m');
    const before = await pair.counter('nr');
    await pair.host.drbdts('connect', 'r0');
    await pair.inSync();
    const received = (await pair.counter('nr')) - before;
    assert.ok(received >= 2048 && received <= 4096, `bitmap resync, not a full one: ${received} KiB`);
    await pair.assertSameData();
  });

  scenario(`disconnect and reconnect, we are Primary, ${name}: only what changed is copied`, { net, long }, async (pair) => {
    await pair.upInSync();
    await pair.host.drbdts('primary', 'r0');
    await pair.peer.sh('drbdadm disconnect r0');
    await pair.host.running.waitState({ connection: 'WFConnection' });
    await pair.ourFio({ size: '2m', offset: '4m', depth: 8 });
    const before = await pair.counter('ns');
    await pair.peer.sh('drbdadm connect r0');
    await pair.inSync();
    const sent = (await pair.counter('ns')) - before;
    assert.ok(sent >= 2048 && sent <= 4096, `bitmap resync, not a full one: ${sent} KiB`);
    await pair.assertSameData();
  });
}

for (const direction of ['in', 'out']) {
  scenario(`checksummed resync ${direction} of unchanged data moves no data`, { net: { 'csums-alg': 'sha1' }, long: true }, async (pair) => {
    await pair.upInSync();
    const name = direction === 'in' ? 'nr' : 'ns';
    const before = await pair.counter(name);
    if (direction === 'in') await pair.host.drbdts('invalidate', 'r0');
    else await pair.peer.sh('drbdadm invalidate r0');
    await waitFor('the resync ended', async () => (await pair.peer.volume()).oosKib === 0 && (await pair.host.running.volume()).outOfSyncKib === 0);
    await pair.inSync();
    const moved = (await pair.counter(name)) - before;
    assert.ok(moved < 1024, `${moved} KiB moved although all checksums are equal`);
    await pair.assertSameData();
  });
}

scenario('invalidate and invalidate-remote from either side', { long: true }, async (pair) => {
  const { host, peer } = pair;
  await pair.upInSync();
  /** Runs one of them and waits for a whole resync in the direction `counter` tells. */
  const resynced = async (counter: 'nr' | 'ns', start: () => Promise<unknown>): Promise<void> => {
    const before = await pair.counter(counter);
    await start();
    await waitFor('everything was copied', async () => (await pair.counter(counter)) - before >= 15 * 1024, 90_000);
    await pair.inSync();
  };
  await resynced('nr', () => host.drbdts('invalidate', 'r0'));
  await resynced('ns', () => host.drbdts('invalidate-remote', 'r0'));
  await resynced('ns', () => peer.sh('drbdadm invalidate r0'));
  await resynced('nr', () => peer.sh('drbdadm invalidate-remote r0'));
  await pair.assertSameData();
});

for (const [who, us] of [['the kernel', false], ['we', true]] as const) {
  scenario(`pause and resume of a resync from either side, ${who} are the source`, { disk: slow, contents: 'random', long: true }, async (pair) => {
    const { host, peer } = pair;
    const [ours, theirs] = us ? (['S', 'T'] as const) : (['T', 'S'] as const);
    const running = us ? 'SyncSource' : 'SyncTarget';
    await pair.up();
    if (us) await host.drbdts('primary', '--force', 'r0');
    else await peer.sh('drbdadm primary --force r0');
    await host.running.waitState({ connection: running });
    await host.drbdts('pause-sync', 'r0');
    await host.running.waitState({ connection: `PausedSync${ours}` });
    await peer.waitState({ cs: `PausedSync${theirs}` });
    await host.drbdts('resume-sync', 'r0');
    await host.running.waitState({ connection: running });
    await peer.sh('drbdadm pause-sync r0');
    await host.running.waitState({ connection: `PausedSync${ours}` });
    await peer.sh('drbdadm resume-sync r0');
    await pair.inSync();
    await pair.assertSameData();
  });
}

for (const [who, us] of [['the kernel', false], ['us', true]] as const) {
  scenario(`a full sync from ${who} is cut in the middle and goes on where it was`, { disk: slow, contents: 'random', long: true }, async (pair) => {
    const { host, peer } = pair;
    await pair.up();
    if (us) await host.drbdts('primary', '--force', 'r0');
    else await peer.sh('drbdadm primary --force r0');
    const counter = us ? 'ns' : 'nr';
    await waitFor('half is copied', async () => (await pair.counter(counter)) > 6 * 1024, 60_000);
    await peer.unplug();
    await host.running.waitState({ connection: 'WFConnection' });
    await peer.waitState({ cs: 'WFConnection' });
    const before = await pair.counter(counter);
    await peer.plug();
    await pair.inSync();
    const again = (await pair.counter(counter)) - before;
    assert.ok(again < 12 * 1024, `the rest, not all again: ${again} KiB`);
    await pair.assertSameData();
  });
}

for (const [who, us] of [['the kernel', false], ['us', true]] as const) {
  scenario(`both disks grow, resize by ${who}`, { guestDisk: '/dev/mapper/grow', long: true }, async (pair) => {
    const { host, peer } = pair;
    const small = diskBytes / 2;
    const table = (bytes: number): string => `echo "0 ${bytes / 512} linear /dev/vdb 0" | dmsetup`;
    truncateSync(pair.ourDisks[0] ?? '', small);
    await peer.sh(`modprobe dm-mod; ${table(small)} create grow && mkdir -p /dev/mapper && dmsetup mknodes`);
    await pair.upInSync();
    if (us) await host.drbdts('primary', 'r0');
    else await peer.sh('drbdadm primary r0');
    const writer = us ? await pair.startWriter(256) : null;
    const before = (await host.running.volume()).sizeKib;
    truncateSync(pair.ourDisks[0] ?? '', diskBytes);
    await peer.sh(`${table(diskBytes)} reload grow && dmsetup resume grow`);
    if (us) await host.drbdts('resize', 'r0');
    else await peer.sh('drbdadm resize r0');
    await waitFor('our device has grown', async () => (await host.running.volume()).sizeKib > before + 7 * 1024);
    if (writer !== null) assert.equal((await writer.stop()).error, 0);
    await pair.inSync();
    if (writer !== null) {
      await pair.ourFio({ size: '1m', offset: '12m' });
      await writer.verify(host, '/dev/drbd0');
    } else await pair.guestFio('--rw=write --bs=64k --size=1m --offset=12m');
    await pair.assertSameData();
  });
}
