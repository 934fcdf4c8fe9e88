/** What the first user types, in order, and what has to come out. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';

const skip = labUnavailable();

test('two hosts become a mirrored /store that moves to the other node', { skip, timeout: 180_000 }, async () => {
  await withLab('by-hand', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 128 * mib });
    const { a, b } = pair;
    await pair.startDaemons();

    await a.drbdts('create-md', 'r0');
    await b.drbdts('create-md', 'r0');
    await a.drbdts('up', 'r0');
    await b.drbdts('up', 'r0');
    await a.drbdts('wait-connect', 'r0');
    await a.running.waitState({ connection: 'Connected' });
    assert.match(await a.drbdts('status'), /^0:r0 +Connected +Secondary\/Secondary +Inconsistent\/Inconsistent +C\b/m);
    assert.equal(await a.drbdts('role', 'r0'), 'Secondary/Secondary');
    assert.equal(await a.drbdts('cstate', 'r0'), 'Connected');
    assert.equal(await a.drbdts('dstate', 'r0'), 'Inconsistent/Inconsistent');

    const refused = await b.cli('primary', 'r0');
    assert.equal(refused.code, 17);
    assert.match(refused.stderr, /\(-2\) Need access to UpToDate data/);

    // slow enough to be seen
    pair.configure({ disk: { 'c-max-rate': '30M', 'resync-rate': '30M' } });
    await pair.both((host) => host.drbdts('adjust', 'r0'));
    await a.drbdts('primary', '--force', 'r0');
    await b.running.waitState({ connection: 'SyncTarget', disk: 'Inconsistent', peerDisk: 'UpToDate' });
    assert.match(await a.drbdts('status'), /SyncSource[\s\S]*\d+\.\d%/);
    await b.drbdts('wait-sync', 'r0');
    await pair.inSync();
    assert.match(await a.drbdts('status'), /^0:r0 +Connected +Primary\/Secondary +UpToDate\/UpToDate +C\b/m);

    const store = join(a.dir, 'store');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await a.mount('/dev/drbd0', store);
    assert.match(await a.drbdts('status'), new RegExp(`UpToDate/UpToDate +C +${store} +ext4`));
    await a.must(['cp', '-a', '/usr/share/perl5', store]).catch(() => a.must(['cp', '-a', '/etc', store]));
    const list = 'find . -type f -print0 | sort -z | xargs -0 sha256sum';
    const before = await a.sh(`cd ${store} && ${list}`);
    assert.ok(before.split('\n').length > 20, 'some files were copied');

    const busy = await a.cli('secondary', 'r0');
    assert.equal(busy.code, 11);
    assert.match(busy.stderr, /\(-12\) Device is held open by someone/);
    assert.ok(busy.stderr.includes(store), `the refusal names the mount point:\n${busy.stderr}`);

    await a.umount(store);
    await a.drbdts('secondary', 'r0');
    assert.equal((await a.run(['test', '-e', '/dev/drbd0'])).code, 1, 'no device while Secondary');
    await b.drbdts('primary', 'r0');
    const other = join(b.dir, 'store');
    await b.mount('/dev/drbd0', other);
    assert.equal((await b.sh('readlink -f /dev/drbd/by-res/r0/0')).trim(), '/dev/drbd0');
    assert.equal(await b.sh(`cd ${other} && ${list}`), before);
    assert.match(await b.sh('grep drbd0 /proc/mounts'), /^\/dev\/drbd0 /);

    const two = await a.cli('primary', 'r0');
    assert.equal(two.code, 11);
    assert.match(two.stderr, /\(-1\) Multiple primaries not allowed by config/);

    await b.umount(other);
    await b.drbdts('down', 'r0');
    await a.drbdts('down', 'r0');
  });
});
