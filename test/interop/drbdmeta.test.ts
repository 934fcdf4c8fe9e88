/** drbdmeta and drbdts read the same meta-data and have to say the same, in every state a disk of ours can be in. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { run } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';

const missing = (await run(['drbdmeta', '--help'])).code === 127 ? 'drbdmeta is not installed (package drbd-utils)' : false;
const skip = labUnavailable() || missing;
const limits = { skip, timeout: 150_000 };

/** drbdmeta locks the device in /var/lock, which may be a link into a host's still empty /run. */
const locks = ['sh', '-c', 'mkdir -p "$(readlink -f /var/lock)"'];

/** Meta-data of a volume that is down, by both tools. `place` is drbdmeta's: disk or meta-disk, and internal, flex-external or an index. */
async function compare(host: Host, disk: string, place = 'internal'): Promise<void> {
  await host.must(locks);
  const loop = (await host.must(['losetup', '--find', '--show', disk])).trim();
  try {
    const meta = (...args: string[]) => host.run(['drbdmeta', '--force', '99', 'v08', loop, place, ...args]);
    const gi = await meta('get-gi');
    assert.equal(gi.code, 0, gi.stderr);
    const theirs = (await meta('dump-md')).stdout;
    await host.must(['losetup', '-d', loop]);
    assert.equal(await host.drbdts('get-gi', 'r0'), gi.stdout.trim());
    assert.deepEqual(lines(await host.drbdts('dump-md', '--force', 'r0')), lines(theirs));
  } finally {
    await host.run(['losetup', '-d', loop]);
  }
}

/** What a dump says, without comments and without the flags, which some versions of drbdmeta print as 0. */
function lines(dump: string): string[] {
  return dump
    .split('\n')
    .map((line) => line.replace(/#.*/, '').replace(/flags 0x[0-9a-fA-F]+;/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('This_is'));
}

test('create-md by drbdts, in several states, read by drbdmeta', limits, async () => {
  await withLab('meta', async (lab) => {
    const pair = await Pair.create(lab);
    const { a, b } = pair;
    const compareBoth = async (): Promise<void> => {
      await pair.both((host) => host.drbdts('down', 'r0'));
      await compare(a, pair.disks.a[0] ?? '');
      await compare(b, pair.disks.b[0] ?? '');
    };
    const upAgain = (): Promise<unknown> => pair.both((host) => host.drbdts('up', 'r0'));

    await pair.startDaemons();
    await pair.both((host) => host.drbdts('create-md', 'r0'));
    await compare(a, pair.disks.a[0] ?? '');
    await upAgain();
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
    await compareBoth();

    await upAgain();
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
    await a.drbdts('primary', '--force', 'r0');
    await pair.inSync();
    await a.drbdts('secondary', 'r0');
    await compareBoth();

    // changes while disconnected
    await upAgain();
    await pair.inSync();
    await a.drbdts('primary', 'r0');
    await b.drbdts('disconnect', 'r0');
    await a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=1M', 'seek=3', 'count=5', 'oflag=direct', 'status=none']);
    await a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=4k', 'seek=9000', 'count=1', 'oflag=direct', 'status=none']);
    await a.drbdts('secondary', 'r0');
    await compareBoth();

    // a crashed Primary: the activity log holds hot extents
    await upAgain();
    await pair.inSync();
    await a.drbdts('primary', 'r0');
    await a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=4k', 'seek=100', 'count=3', 'oflag=direct', 'status=none']);
    await a.powerOff();
    await a.startDaemon();
    const unclean = await a.cli('dump-md', 'r0');
    assert.match(unclean.stderr, /"unclean", please apply-al first/);
    await compare(a, pair.disks.a[0] ?? '');
    await a.drbdts('apply-al', 'r0');
    await compare(a, pair.disks.a[0] ?? '');
  });
});

test('the activity log of a crashed Primary is applied alike by both tools', limits, async () => {
  await withLab('meta-al', async (lab) => {
    const pair = await Pair.create(lab);
    await pair.upInSync();
    await pair.a.drbdts('primary', 'r0');
    for (const seek of [0, 2000, 7000, 12_000]) {
      await pair.a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=4k', `seek=${seek}`, 'count=2', 'oflag=direct', 'status=none']);
    }
    await pair.a.powerOff();
    await pair.a.must(locks);
    const disk = pair.disks.a[0] ?? '';
    const copy = join(lab.dir, 'copy');
    await pair.a.must(['cp', disk, copy]);
    const loop = (await pair.a.must(['losetup', '--find', '--show', copy])).trim();
    const applied = await pair.a.run(['drbdmeta', '--force', '99', 'v08', loop, 'internal', 'apply-al']);
    assert.equal(applied.code, 0, applied.stderr);
    const theirs = await pair.a.must(['drbdmeta', '--force', '99', 'v08', loop, 'internal', 'dump-md']);
    await pair.a.must(['losetup', '-d', loop]);
    await pair.a.startDaemon();
    await pair.a.drbdts('apply-al', 'r0');
    assert.deepEqual(lines(await pair.a.drbdts('dump-md', 'r0')), lines(theirs));
  });
});

test('create-md by drbdmeta is adopted by drbdts, external meta-data too', limits, async () => {
  await withLab('meta-adopt', async (lab) => {
    const pair = await Pair.create(lab, { metaBytes: 2 * mib });
    for (const host of [pair.a, pair.b]) {
      await host.must(locks);
      const loop = (await host.must(['losetup', '--find', '--show', join(host.dir, 'meta0')])).trim();
      await host.must(['drbdmeta', '--force', '99', 'v08', loop, 'flex-external', 'create-md']);
      await host.must(['losetup', '-d', loop]);
    }
    await pair.startDaemons();
    await pair.both((host) => host.drbdts('up', 'r0'));
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
    await pair.a.drbdts('primary', '--force', 'r0');
    await pair.inSync();
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
    await pair.both((host) => host.drbdts('down', 'r0'));
    await compare(pair.a, join(pair.a.dir, 'meta0'), 'flex-external');
  });
});
