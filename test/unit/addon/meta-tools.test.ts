/** Offline meta-data tools on disk images, compared with drbdmeta and with images of real devices. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { loadAddon } from '../../../src/daemon/addon.js';
import type { MetaDataLocation, NativeMetaTools } from '../../../src/daemon/native-api.js';
import { run } from '../../support/exec.js';
import { externalLab } from '../../support/paths.js';

const mib = 1024 * 1024;
const hasDrbdmeta = existsSync('/usr/sbin/drbdmeta') || existsSync('/sbin/drbdmeta');
const noDrbdmeta = hasDrbdmeta ? false : 'drbdmeta (package drbd-utils) is not installed';
const noLoop = process.getuid?.() === 0 && existsSync('/dev/loop-control') ? false : 'needs root and loop devices';
const lab = externalLab();
const images = lab === null ? null : join(lab, 'vectors/metadata');
const noImages = images !== null && existsSync(images) ? false : 'no recorded images: DRBDTS_LAB names no folder with vectors/metadata';

let dir = '';
let meta: NativeMetaTools;
let count = 0;

/** A sparse file; not in /tmp, which may be a tmpfs. */
function image(bytes: number): string {
  const path = join(dir, `disk-${count++}.img`);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

function internal(disk: string): MetaDataLocation {
  return { disk, metaDisk: 'internal', metaIndex: 'internal' };
}

async function patch(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

async function readAt(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
  await file.close();
  return buffer;
}

async function drbdmeta(device: string, index: string, ...command: string[]): Promise<string> {
  const result = await run(['drbdmeta', '--force', '-', 'v08', device, index, ...command]);
  assert.equal(result.code, 0, `${result.command}: ${result.stderr}`);
  return result.stdout;
}

/** dump-md without its comment head, which has the time in it. */
function body(dump: string): string {
  return dump.slice(dump.indexOf('version "v08"')).trim();
}

async function refusal(promise: Promise<unknown>): Promise<{ code: string; message: string; remedy: string; place: string }> {
  try {
    await promise;
  } catch (error) {
    return error as never;
  }
  return assert.fail('it was not refused');
}

before(async () => {
  dir = mkdtempSync('/var/tmp/drbdts-meta-');
  meta = (await loadAddon()).meta;
});
after(() => rmSync(dir, { recursive: true, force: true }));

describe('create-md', () => {
  test('makes what drbdmeta makes', { skip: noDrbdmeta }, async () => {
    for (const bytes of [16 * mib, 128 * mib, 1024 * mib, 1024 * mib + 4096 + 512, 3000 * mib]) {
      const ours = image(bytes);
      const theirs = image(bytes);
      await meta.createMd(internal(ours), { force: false });
      await drbdmeta(theirs, 'internal', 'create-md');
      assert.equal(await meta.getGi(internal(ours)), (await drbdmeta(theirs, 'internal', 'get-gi')).trim());
      const dump = await meta.dumpMd(internal(ours), { force: false });
      assert.equal(dump.trim(), body(await drbdmeta(ours, 'internal', 'dump-md')));
      // drbdadm gives every device an identifier, drbdmeta alone does not
      assert.equal(dump.replace(/device-uuid 0x[0-9A-F]{16}/, 'device-uuid 0x0000000000000000').trim(), body(await drbdmeta(theirs, 'internal', 'dump-md')));
      assert.equal(await meta.dstate(internal(ours)), 'Inconsistent');
    }
  });

  test('external meta-data, flexible and indexed', { skip: noDrbdmeta }, async () => {
    const disk = image(64 * mib);
    const flexible = image(4 * mib);
    const indexed = image(3 * 128 * mib);
    for (const [metaDisk, metaIndex, index] of [[flexible, 'flexible', 'flex-external'], [indexed, 0, '0'], [indexed, 2, '2']] as const) {
      const location: MetaDataLocation = { disk, metaDisk, metaIndex };
      await meta.createMd(location, { force: false });
      assert.equal((await meta.dumpMd(location, { force: false })).trim(), body(await drbdmeta(metaDisk, index, 'dump-md')));
    }
    assert.equal((await refusal(meta.createMd({ disk, metaDisk: indexed, metaIndex: 3 }, { force: false }))).code, 'ERR_META_DATA_TOO_SMALL');
  });

  test('with activity log stripes', { skip: noDrbdmeta }, async () => {
    const disk = image(256 * mib);
    await meta.createMd(internal(disk), { force: false, alStripes: 4, alStripeSizeKb: 64, peerMaxBioSize: 1 << 20 });
    const dump = await meta.dumpMd(internal(disk), { force: false });
    assert.match(dump, /al-stripes 4;\nal-stripe-size-4k 16;/);
    assert.match(dump, /la-peer-max-bio-size 1048576;/);
    assert.equal(dump.trim(), body(await drbdmeta(disk, 'internal', 'dump-md')));
  });

  test('existing meta-data is kept unless forced', async () => {
    const disk = image(64 * mib);
    await meta.createMd(internal(disk), { force: false });
    const before = await meta.dumpMd(internal(disk), { force: false });
    const refused = await refusal(meta.createMd(internal(disk), { force: false }));
    assert.equal(refused.code, 'ERR_META_DATA_EXISTS');
    assert.match(refused.remedy, /--force/);
    assert.equal(await meta.dumpMd(internal(disk), { force: false }), before);
    await meta.createMd(internal(disk), { force: true });
    assert.notEqual(await meta.dumpMd(internal(disk), { force: false }), before);
  });

  test('a file system that would be cut is never overwritten, one that leaves room only when forced', async () => {
    const full = image(256 * mib);
    assert.equal((await run(['mkfs.ext4', '-q', '-F', full])).code, 0);
    assert.deepEqual(await meta.probe(internal(full)), { found: 'ext4 file system', hasMetaData: false, wouldCut: true });
    for (const force of [false, true]) {
      const refused = await refusal(meta.createMd(internal(full), { force }));
      assert.equal(refused.code, 'ERR_WOULD_OVERWRITE_DATA');
      assert.match(refused.message, /ext4 file system/);
    }
    assert.equal((await run(['e2fsck', '-fn', full])).code, 0);

    const part = image(256 * mib);
    assert.equal((await run(['mkfs.ext4', '-q', '-F', part, '200m'])).code, 0);
    assert.deepEqual(await meta.probe(internal(part)), { found: 'ext4 file system', hasMetaData: false, wouldCut: false });
    assert.equal((await refusal(meta.createMd(internal(part), { force: false }))).code, 'ERR_WOULD_OVERWRITE_DATA');
    await meta.createMd(internal(part), { force: true });
    assert.equal((await run(['e2fsck', '-fn', part])).code, 0);
    assert.deepEqual(await meta.probe(internal(part)), { found: 'ext4 file system', hasMetaData: true, wouldCut: false });
  });

  test('other things people keep on disks are recognised', async () => {
    const cases: [string, string[]][] = [
      ['xfs file system', ['mkfs.xfs', '-q']],
      ['ext2 file system', ['mkfs.ext2', '-q', '-F']],
      ['ext3 file system', ['mkfs.ext3', '-q', '-F']],
      ['swap area', ['mkswap', '-q']],
      ['btrfs file system', ['mkfs.btrfs', '-q']],
      ['ntfs file system', ['mkfs.ntfs', '-q', '-F']],
    ];
    for (const [found, argv] of cases) {
      const disk = image(512 * mib);
      const made = await run([...argv, disk]);
      if (made.code === 127) continue; // that tool is not installed
      assert.deepEqual(await meta.probe(internal(disk)), { found, hasMetaData: false, wouldCut: true }, `${made.command}: ${made.stderr}`);
    }
    for (const [found, script] of [['GPT partition table', 'label: gpt\n,,\n'], ['MBR partition table', 'label: dos\n,,\n']] as const) {
      const disk = image(512 * mib);
      const made = await run(['sfdisk', '-q', disk], { input: script });
      if (made.code === 127) continue;
      assert.deepEqual(await meta.probe(internal(disk)), { found, hasMetaData: false, wouldCut: true });
    }
    assert.deepEqual(await meta.probe(internal(image(16 * mib))), { found: '', hasMetaData: false, wouldCut: false });
  });

  test('meta-data of DRBD 9 is refused by name', { skip: noDrbdmeta }, async () => {
    const disk = image(64 * mib);
    const made = await run(['drbdmeta', '--force', '-', 'v09', disk, 'internal', 'create-md', '1']);
    assert.equal(made.code, 0, made.stderr);
    const refused = await refusal(meta.getGi(internal(disk)));
    assert.equal(refused.code, 'ERR_WRONG_META_DATA_VERSION');
    assert.match(refused.message, /09/);
    assert.match((await meta.probe(internal(disk))).found, /another version/);
    assert.equal((await refusal(meta.createMd(internal(disk), { force: false }))).code, 'ERR_WOULD_OVERWRITE_DATA');
  });

  test('a mounted device and a file below a loop device are refused, naming what uses them', { skip: noLoop }, async () => {
    const file = image(64 * mib);
    const attached = await run(['losetup', '-f', '--show', file]);
    assert.equal(attached.code, 0, attached.stderr);
    const device = attached.stdout.trim();
    const point = mkdtempSync(join(dir, 'mount-'));
    try {
      const below = await refusal(meta.createMd(internal(file), { force: true }));
      assert.equal(below.code, 'ERR_BUSY');
      assert.ok(below.message.includes(device), below.message);
      assert.equal((await run(['mkfs.ext4', '-q', device, '32m'])).code, 0);
      assert.equal((await run(['mount', device, point])).code, 0);
      const mounted = await refusal(meta.createMd(internal(device), { force: true }));
      assert.equal(mounted.code, 'ERR_BUSY');
      assert.ok(mounted.message.includes(`mounted on ${point}`), mounted.message);
      assert.equal((await run(['umount', point])).code, 0);
      await meta.createMd(internal(device), { force: true });
      assert.equal((await meta.probe(internal(device))).hasMetaData, true);
    } finally {
      await run(['umount', '-q', point]);
      await run(['losetup', '-d', device]);
    }
  });

  test('a disk in use, a missing one and one too small are refused with a way out', async () => {
    const disk = image(64 * mib);
    const holder = spawn('flock', [disk, 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const busy = await refusal(meta.createMd(internal(disk), { force: true }));
    assert.equal(busy.code, 'ERR_BUSY');
    assert.equal(busy.place, disk);
    assert.match(busy.message, /pid \d+/);
    holder.kill('SIGKILL');
    assert.equal((await refusal(meta.getGi(internal(join(dir, 'none'))))).code, 'ERR_NOT_FOUND');
    assert.equal((await refusal(meta.createMd(internal(image(32 * 1024)), { force: false }))).code, 'ERR_DEVICE_TOO_SMALL');
    assert.equal((await refusal(meta.getGi(internal(image(16 * mib))))).code, 'ERR_NO_META_DATA');
  });
});

describe('dump-md, get-gi and the others', () => {
  test('agree with drbdmeta on any bitmap, identifiers and flags', { skip: noDrbdmeta }, async () => {
    const bytes = 256 * mib;
    const superBlock = bytes - 4096;
    const seed = Date.now() & 0x7fffffff;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ word: fc.nat(1023), run: fc.integer({ min: 1, max: 80 }), value: fc.constantFrom(0n, 1n, 0xffffffffffffffffn, 0x8000000000000001n) }), { maxLength: 12 }),
        fc.array(fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }), { minLength: 4, maxLength: 4 }),
        fc.nat(0x7f),
        async (runs, uuids, flags) => {
          const disk = image(bytes);
          await meta.createMd(internal(disk), { force: false });
          const usable = (superBlock - 32768 - 2 * 4096) / 512;
          const head = Buffer.alloc(40);
          head.writeBigUInt64BE(BigInt(usable), 0);
          uuids.forEach((uuid, i) => {
            head.writeBigUInt64BE(uuid, 8 + 8 * i);
          });
          await patch(disk, superBlock, head);
          const flagWord = Buffer.alloc(4);
          flagWord.writeUInt32BE(flags | 0x80);
          await patch(disk, superBlock + 56, flagWord);
          const words = Buffer.alloc(8192);
          for (const { word, run: length, value } of runs) {
            for (let i = word; i < Math.min(word + length, 1024); i++) words.writeBigUInt64LE(value, i * 8);
          }
          await patch(disk, superBlock - 32768 - 8192, words);
          assert.equal((await meta.dumpMd(internal(disk), { force: false })).trim(), body(await drbdmeta(disk, 'internal', 'dump-md')));
          assert.equal(await meta.getGi(internal(disk)), (await drbdmeta(disk, 'internal', 'get-gi')).trim());
          assert.equal(await meta.dstate(internal(disk)), (await drbdmeta(disk, 'internal', 'dstate')).trim());
          rmSync(disk);
        },
      ),
      { seed, numRuns: 25 },
    );
  });

  test('outdate and invalidate change the flags, wipe-md ends it', async () => {
    const disk = image(64 * mib);
    const at = internal(disk);
    await meta.createMd(at, { force: false });
    assert.match((await refusal(meta.outdate(at))).message, /Device is inconsistent\./);
    const flags = Buffer.alloc(4);
    flags.writeUInt32BE(0x91); // consistent, was up to date, activity log clean
    await patch(disk, 64 * mib - 4096 + 56, flags);
    assert.equal(await meta.dstate(at), 'Consistent');
    await meta.outdate(at);
    assert.equal(await meta.dstate(at), 'Outdated');
    await meta.invalidate(at);
    assert.equal(await meta.dstate(at), 'Inconsistent');
    assert.match(await meta.getGi(at), /:0:0:0:0:1:0:0$/);
    assert.deepEqual(await meta.applyAl(at), { markedKib: 0n, wasClean: true });
    await meta.wipeMd(at);
    assert.equal((await refusal(meta.getGi(at))).code, 'ERR_NO_META_DATA');
    assert.deepEqual(await meta.probe(at), { found: '', hasMetaData: false, wouldCut: false });
  });

  test('images of real devices read as drbdmeta read them, and apply-al leaves the same bytes', { skip: noImages }, async () => {
    const names = readdirSync(images ?? '')
      .filter((name) => /^0\d-.*\.txt$/.test(name))
      .map((name) => name.slice(0, -4));
    assert.ok(names.length > 5);
    const areaOffset = 16736256;
    for (const name of names) {
      const text = readFileSync(join(images ?? '', `${name}.txt`), 'utf8');
      const disk = image(16 * mib);
      await patch(disk, areaOffset, gunzipSync(readFileSync(join(images ?? '', `${name}.bin.gz`))));
      const at = internal(disk);
      const gi = /^[0-9A-F]{16}(:[0-9A-F]{16}){3}(:[01]){7}$/m.exec(text)?.[0];
      assert.equal(await meta.getGi(at), gi, name);
      const unclean = text.includes('Found meta data is "unclean"');
      if (unclean) assert.equal((await refusal(meta.dumpMd(at, { force: false }))).code, 'ERR_UNCLEAN_META_DATA', name);
      const result = await meta.applyAl(at);
      assert.equal(result.wasClean, !unclean, name);
      const marked = /Marked additional (\d+) (KB|MB)/.exec(text);
      assert.equal(result.markedKib, marked === null ? 0n : BigInt(marked[1] ?? 0) * (marked[2] === 'MB' ? 1024n : 1n), name);
      const applied = join(images ?? '', `${name}.after-apply-al.bin.gz`);
      if (existsSync(applied)) {
        const expected = gunzipSync(readFileSync(applied));
        assert.deepEqual(await readAt(disk, areaOffset, expected.length), expected, name);
      }
      const dump = /^version "v08";[\s\S]*?^# bits-set \d+;$/m.exec(text)?.[0];
      assert.equal((await meta.dumpMd(at, { force: false })).trim(), dump, name);
    }
  });

  test('a torn super block and a wrong size are refused', async () => {
    const disk = image(64 * mib);
    await meta.createMd(internal(disk), { force: false });
    await patch(disk, 64 * mib - 4096 + 68, Buffer.from([0, 0, 0, 1])); // activity log somewhere else
    const refused = await refusal(meta.dumpMd(internal(disk), { force: true }));
    assert.equal(refused.code, 'ERR_BAD_SUPER_BLOCK');
    assert.notEqual(refused.remedy, '');
  });
});
