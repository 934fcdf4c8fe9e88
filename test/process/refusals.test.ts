/** Bad situations on one node: each is refused with a code and a way out, and nothing is changed. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checksum, mib } from '../support/disk.js';
import type { RunResult } from '../support/exec.js';
import { type Lab, withLab } from '../support/lab.js';
import { Pair, type PairOptions } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { LossyDisk } from '../support/power.js';

const skip = labUnavailable();

/** A refusal: that exit code, the text, and a second sentence with a way out. */
function assertRefused(result: RunResult, code: number, text: RegExp): void {
  assert.equal(result.code, code, `${result.command}\n${result.stdout}${result.stderr}`);
  assert.match(result.stderr, text);
  assert.ok(result.stderr.trim().split('\n').length >= 2, `a way out is named:\n${result.stderr}`);
}

function onePair(name: string, options: PairOptions, body: (pair: Pair, lab: Lab) => Promise<void>): () => Promise<void> {
  return () => withLab(name, async (lab) => body(await Pair.create(lab, options), lab));
}

const limits = { skip, timeout: 90_000 };

test('create-md over a file system that fills the disk is refused, with --force too', limits, onePair('over-fs', {}, async (pair) => {
  const disk = pair.disks.a[0] ?? '';
  await pair.a.must(['mkfs.ext4', '-q', '-F', disk]);
  const before = checksum(disk, 64 * mib);
  await pair.a.startDaemon();
  assertRefused(await pair.a.cli('create-md', 'r0'), 40, /ext4/);
  assertRefused(await pair.a.cli('create-md', '--force', 'r0'), 40, /ext4/);
  assert.equal(checksum(disk, 64 * mib), before);
}));

test('create-md over meta-data asks, and without a terminal does nothing', limits, onePair('over-md', {}, async (pair) => {
  const disk = pair.disks.a[0] ?? '';
  await pair.a.startDaemon();
  await pair.a.drbdts('create-md', 'r0');
  const before = checksum(disk, 64 * mib);
  const result = await pair.a.cli('create-md', 'r0');
  assert.equal(result.code, 1);
  assert.match(result.stderr, /Operation cancelled/);
  assert.equal(checksum(disk, 64 * mib), before);
}));

test('up without meta-data is refused', limits, onePair('no-md', {}, async (pair) => {
  await pair.a.startDaemon();
  assertRefused(await pair.a.cli('up', 'r0'), 1, /no valid meta data found|no DRBD magic number/i);
}));

test('a missing disk is refused by name', limits, onePair('no-disk', {}, async (pair) => {
  await pair.a.sh(`rm ${pair.disks.a[0] ?? ''}`);
  await pair.a.startDaemon();
  const result = await pair.a.cli('up', 'r0');
  assert.notEqual(result.code, 0);
  assert.ok(result.stderr.includes(pair.disks.a[0] ?? '?'), result.stderr);
  assert.match(await pair.a.drbdts('status'), /r0/);
}));

test('a disk too small for its meta-data is refused', limits, onePair('tiny-disk', { bytes: 32 * 1024 }, async (pair) => {
  await pair.a.startDaemon();
  const result = await pair.a.cli('create-md', '--force', 'r0');
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /no room for data|too small/i);
}));

test('a second daemon does not take a disk that is in use', limits, onePair('second-daemon', {}, async (pair) => {
  const first = await pair.a.startDaemon();
  await pair.a.drbdts('create-md', 'r0');
  await pair.a.drbdts('up', 'r0');
  await pair.a.drbdts('primary', '--force', 'r0');

  // the same node again: the state directory is locked
  const same = await pair.a.startDaemon({ socket: join(pair.a.dir, 'other.sock'), noWait: true });
  assert.notEqual(await same.wait(), 0);
  assert.match(pair.a.log(), /another drbdtsd holds/);

  // with a state directory of its own it starts, and the disk is refused
  const socket = join(pair.a.dir, 'third.sock');
  const other = await pair.a.startDaemon({ socket, stateDir: join(pair.a.dir, 'other-state') });
  const refused = await pair.a.cli('--socket', socket, 'attach', 'r0');
  const up = await pair.a.cli('--socket', socket, 'up', 'r0');
  assert.ok(refused.code !== 0 && up.code !== 0, `${refused.stdout}${up.stdout}`);
  assert.match(`${refused.stderr}${up.stderr}`, /claimed|in use/);
  const wiped = await pair.a.cli('--socket', socket, 'create-md', '--force', 'r0');
  assert.notEqual(wiped.code, 0);
  await other.stop();

  pair.a.daemon = first;
  await first.waitState({ role: 'Primary', disk: 'UpToDate' });
  await pair.a.must(['dd', 'if=/dev/zero', 'of=/dev/drbd0', 'bs=4k', 'count=1', 'oflag=direct', 'status=none']);
}));

test('a full disk under a sparse backing file is an I/O error of that disk, not of the volume', limits, async () => {
  await withLab('full-disk', async (lab) => {
    const small = join(lab.dir, 'small');
    const pair = await Pair.create(lab, {
      diskA: async (host) => {
        await host.sh(`mkdir ${small} && mount -t tmpfs -o size=12m tmpfs ${small}`);
        return `${small}/disk`;
      },
    });
    // made inside the host: the tmpfs is its own
    await pair.a.sh(`truncate -s ${64 * mib} ${small}/disk`);
    await pair.upInSync();
    await pair.a.drbdts('primary', 'r0');
    await pair.a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=1M', 'count=32', 'oflag=direct', 'status=none']);
    await pair.a.running.waitState({ disk: 'Diskless', peerDisk: 'UpToDate', role: 'Primary' });
    await pair.a.must(['dd', 'if=/dev/drbd0', 'of=/dev/null', 'bs=1M', 'count=32', 'iflag=direct', 'status=none']);
    assert.match(await pair.a.drbdts('status'), /Diskless\/UpToDate/);
  });
});

test('damaged meta-data are refused and left alone', limits, onePair('damaged-md', {}, async (pair) => {
  const disk = pair.disks.a[0] ?? '';
  await pair.a.startDaemon();
  await pair.a.drbdts('create-md', 'r0');
  // bytes inside the last 4 KiB, which is the super block of internal meta-data
  const fields = [[60, 'magic number'], [64, 'size'], [68, 'activity log offset'], [76, 'bitmap offset'], [80, 'bytes per bit']] as const;
  for (const [offset, name] of fields) {
    const good = join(pair.a.dir, `good-${offset}`);
    await pair.a.sh(`tail -c 4096 ${disk} > ${good}`);
    await pair.a.sh(`printf '\\377\\377\\377\\377' | dd of=${disk} bs=1 seek=${64 * mib - 4096 + offset} conv=notrunc status=none`);
    const before = checksum(disk, 64 * mib);
    const result = await pair.a.cli('up', 'r0');
    assert.notEqual(result.code, 0, `damaged ${name}`);
    assert.ok(result.stderr.trim().split('\n').length >= 2, `damaged ${name}, a way out is named:\n${result.stderr}`);
    assert.equal(checksum(disk, 64 * mib), before);
    await pair.a.cli('down', 'r0');
    await pair.a.sh(`dd if=${good} of=${disk} bs=4096 seek=${64 * mib / 4096 - 1} conv=notrunc status=none`);
  }
  await pair.a.drbdts('up', 'r0');
}));

/** Where the blocks of the activity log of a 64 MiB disk with internal meta-data are, newest transaction first. */
function transactions(disk: string): { at: number; number: number }[] {
  const blockBytes = 4096;
  const blocks = 8;
  const begin = 64 * mib - blockBytes - blocks * blockBytes;
  const ring = Buffer.alloc(blocks * blockBytes);
  const fd = openSync(disk, 'r');
  assert.equal(readSync(fd, ring, 0, ring.length, begin), ring.length);
  closeSync(fd);
  return Array.from({ length: blocks }, (_, index) => {
    assert.equal(ring.readUInt32BE(index * blockBytes), 0x69cb65a2, 'an activity log block');
    return { at: begin + index * blockBytes, number: ring.readUInt32BE(index * blockBytes + 4) };
  }).sort((x, y) => y.number - x.number);
}

test('a torn activity-log transaction: the newest is left out, an older one is refused with a way out that works', limits, onePair('torn-al', {}, async (pair) => {
  const { a, b } = pair;
  const disk = pair.disks.a[0] ?? '';
  await pair.upInSync();
  await a.drbdts('primary', 'r0');
  for (const extent of [0, 2, 4, 6, 8]) {
    await a.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=4k', 'count=8', `seek=${extent * 1024}`, 'oflag=direct', 'status=none']);
  }
  await a.powerOff();
  await b.running.waitState({ connection: 'WFConnection' });
  const good = join(a.dir, 'good');
  await a.must(['cp', '--sparse=always', disk, good]);
  const tear = async (position: number): Promise<void> => {
    const { at } = transactions(good)[position] as { at: number };
    await a.sh(`dd if=/dev/urandom of=${disk} bs=512 seek=${(at + 2048) / 512} count=4 conv=notrunc status=none`);
  };

  await tear(0);
  await a.startDaemon();
  await a.drbdts('up', 'r0');
  await pair.inSync();
  await a.drbdts('down', 'r0');
  await pair.assertSameData(0, b);

  await a.must(['cp', '--sparse=always', good, disk]);
  await tear(2);
  const refused = await a.cli('up', 'r0');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /damaged/);
  assert.match(refused.stderr, /invalidate/);
  await a.cli('down', 'r0');
  await a.drbdts('invalidate', 'r0');
  await a.drbdts('up', 'r0');
  await pair.inSync();
  await pair.assertSameData();
}));

test('a bitmap that does not fit: external meta-data cut short are refused', limits, onePair('short-bitmap', { metaBytes: mib }, async (pair) => {
  await pair.a.startDaemon();
  await pair.a.drbdts('create-md', '--force', 'r0');
  // super block and activity log are still there
  await pair.a.sh(`truncate -s 36K ${join(pair.a.dir, 'meta0')}`);
  const refused = await pair.a.cli('up', 'r0');
  assert.notEqual(refused.code, 0);
  assert.ok(refused.stderr.trim().split('\n').length >= 2, `a way out is named:\n${refused.stderr}`);
  await pair.a.cli('down', 'r0');
  assert.equal((await pair.a.running.volume()).disk, 'Diskless');
}));

test('a configuration with an error is refused with line and column, a running daemon keeps the old one', limits, onePair('bad-config', {}, async (pair) => {
  await pair.a.startDaemon();
  await pair.a.drbdts('create-md', 'r0');
  await pair.a.drbdts('up', 'r0');
  writeFileSync(pair.a.configFile, 'resources:\n  r0:\n    net:\n      max-buffers: 7\n');
  const check = await pair.a.cli('config', 'check');
  assert.equal(check.code, 10);
  assert.match(`${check.stdout}${check.stderr}`, /:4:\d+.*max-buffers/);
  assert.notEqual((await pair.a.cli('adjust', 'r0')).code, 0);
  await pair.a.running.waitState({ disk: 'Inconsistent' });
}));

test('a disk that answers with errors during attach is refused', limits, async () => {
  await withLab('bad-disk', async (lab) => {
    let disk: LossyDisk | null = null;
    const pair = await Pair.create(lab, {
      diskA: async (host) => {
        disk = await LossyDisk.create(host, 'lossy', 64 * mib);
        return disk.path;
      },
    });
    await pair.a.startDaemon();
    await pair.a.drbdts('create-md', 'r0');
    await (disk as LossyDisk | null)?.fail();
    const result = await pair.a.cli('up', 'r0');
    assert.notEqual(result.code, 0);
    await pair.a.cli('down', 'r0');
    await (disk as LossyDisk | null)?.heal();
    await pair.a.drbdts('up', 'r0');
  });
});

test('the meta-data of an attached volume are out of reach', limits, onePair('attached-md', {}, async (pair) => {
  await pair.a.startDaemon();
  await pair.a.drbdts('create-md', 'r0');
  await pair.a.drbdts('up', 'r0');
  assertRefused(await pair.a.cli('create-md', '--force', 'r0'), 20, /is configured!/);
  assertRefused(await pair.a.cli('dump-md', 'r0'), 20, /is configured!/);
}));
