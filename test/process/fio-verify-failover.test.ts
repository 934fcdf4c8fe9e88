/** fio writes with checksums while the Primary dies, and judges the node that took over: every acknowledged write has to be there. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertSameContents, mib } from '../support/disk.js';
import { must } from '../support/exec.js';
import { FioJudge, judgeJobs } from '../support/fio-judge.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { LossyDisk } from '../support/power.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 240_000 };
const blockBytes = 4096;
const bytes = 512 * mib;
/** The part of the device that fio writes: 24 of 128 extents of the activity log. */
const hotBytes = 96 * mib;

/** Takes two written blocks of fio's first job out of a disk: at most one of them was not acknowledged, so at least one loss. */
function loseTwoBlocks(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    const block = Buffer.alloc(blockBytes);
    let lost = 0;
    for (let offset = 0; lost < 2 && offset < hotBytes / judgeJobs; offset += blockBytes) {
      readSync(fd, block, 0, blockBytes, offset);
      if (block.every((byte) => byte === 0)) continue;
      writeSync(fd, Buffer.alloc(blockBytes), 0, blockBytes, offset);
      lost += 1;
    }
    assert.equal(lost, 2, 'the first job wrote blocks');
  } finally {
    closeSync(fd);
  }
}

/** `lossy`: the Primary's disk loses everything that was not flushed. */
async function failover(t: TestContext, name: string, lossy: boolean): Promise<void> {
  const seed = randomInt(1, 1_000_000);
  t.diagnostic(`seed ${seed}`);
  await withLab(name, async (lab) => {
    let disk: LossyDisk | undefined;
    const diskA = async (host: Pair['a']): Promise<string> => {
      disk = await LossyDisk.create(host, 'lossy', bytes);
      return disk.path;
    };
    const pair = await Pair.create(lab, { bytes, ...(lossy && { diskA }) });
    const { a, b } = pair;
    const diskOfB = pair.disks.b[0] ?? '';
    const durableOfA = disk?.backing ?? pair.disks.a[0] ?? '';
    await pair.upInSync({ keeper: true });
    await a.drbdts('primary', 'r0');

    const judge = new FioJudge(join(lab.dir, 'fio'), { bytes: hotBytes, seed });
    judge.start(a, '/dev/drbd0');
    const sentKib = async (): Promise<number> => (await a.running.volume()).counters['ns'] ?? 0;
    await waitFor('fio writes', async () => (await sentKib()) > 4000);
    assert.ok(judge.running, 'fio is not done yet');
    await a.powerOff();
    // a multiple of three: nothing unflushed survives
    const lost = (await disk?.cut(seed * 3))?.lost ?? 0;
    const acknowledged = await judge.ended();
    t.diagnostic(`acknowledged ${acknowledged} writes${lossy ? `, the disk lost ${lost} sectors` : ''}`);
    assert.ok(acknowledged > 500);

    await b.running.waitState({ connection: 'WFConnection', peerRole: 'Unknown' });
    await b.drbdts('primary', 'r0');
    const found = await judge.judge(b, '/dev/drbd0');
    assert.equal(found.failedJobs, 0, `acknowledged writes are lost:\n${found.complaints}`);
    assert.equal(found.checked, acknowledged, 'fio checked every acknowledged write');

    // the judge is able to find a loss: in a copy without two blocks, and on the disk that really lost some
    const damaged = join(lab.dir, 'damaged');
    await must(['cp', diskOfB, damaged]);
    loseTwoBlocks(damaged);
    assert.equal((await judge.judge(b, damaged)).failedJobs, 1);
    if (lossy) {
      assert.ok(lost > 0, 'the power failure cost something');
      assert.notEqual((await judge.judge(b, durableOfA)).failedJobs, 0, 'the disk without its cache lacks acknowledged writes');
    }

    await disk?.powerOn();
    await a.startDaemon({ keeper: true });
    await a.drbdts('up', 'r0');
    await pair.inSync();
    const resyncedKib = (await a.running.volume()).counters['nr'] ?? 0;
    t.diagnostic(`resynced ${resyncedKib} KiB of ${bytes / 1024}`);
    assert.ok(resyncedKib <= hotBytes / 1024, `only hot extents are resynced, not the whole device: ${resyncedKib} KiB`);
    await b.drbdts('secondary', 'r0');
    await disk?.flush();
    assertSameContents(durableOfA, diskOfB, await pair.usableBytes());
    await a.drbdts('primary', 'r0');
    const returned = await judge.judge(a, '/dev/drbd0');
    assert.equal(returned.failedJobs, 0, `the node that came back lacks acknowledged writes:\n${returned.complaints}`);
    assert.equal(returned.checked, acknowledged);
  });
}

test('fio finds every acknowledged write on the peer of a Primary that was killed with SIGKILL', limits, (t) =>
  failover(t, 'fio-kill', false));

test('fio finds every acknowledged write on the peer of a Primary that lost its power and what its disk had not flushed', limits, (t) =>
  failover(t, 'fio-power', true));
