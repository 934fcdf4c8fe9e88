/** What a cluster manager needs when a node must stop serving: a frozen volume that lets go, and a quick answer to "is the peer there?". */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { ControlClient } from '../../src/control/client.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const limits = { skip, timeout: 120_000 };

test('secondary --force: a frozen volume fails its I/O at once, the mount goes, the node becomes Secondary', limits, () =>
  withLab('cut', async (lab) => {
    // nobody can fence: the Primary stays frozen when it loses its peer
    const pair = await Pair.create(lab, { disk: { fencing: 'resource-and-stonith' }, handlers: { 'fence-peer': '/bin/sh -c "exit 5"' } });
    await pair.upInSync();
    const { a, b } = pair;
    await a.drbdts('primary', 'r0');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    const store = join(a.dir, 'store');
    await a.mount('/dev/drbd0', store);
    await a.sh(`echo before > ${store}/file && sync`);
    await pair.link.cut();
    const writer = a.spawn(['dd', 'if=/dev/zero', `of=${store}/more`, 'bs=4k', 'count=1', 'conv=fsync'], ['ignore', 'ignore', 'pipe']);
    const ended = once(writer, 'exit');
    await waitFor('the Primary is frozen', async () => (await a.running.volume(0)).suspended.includes('fencing'), 60_000);
    // an orderly demotion waits behind the mount, the frozen write hangs: only the cut gets out of that
    const orderly = await a.cli('secondary', 'r0');
    assert.equal(orderly.code, 11);
    const cut = await a.cli('secondary', '--force', 'r0');
    assert.equal(cut.code, 11, 'still mounted');
    assert.match(cut.stderr, /held open|in use/i);
    const [code] = await ended;
    assert.notEqual(code, 0, 'the write that nobody acknowledged has failed');
    await a.umount(store);
    await a.drbdts('secondary', '--force', 'r0');
    assert.equal((await a.running.volume(0)).role, 'Secondary');

    // nothing that was acknowledged is lost: the peer has it, and both become equal again
    await pair.link.restore();
    await pair.inSync();
    await b.drbdts('primary', 'r0');
    const other = join(b.dir, 'store');
    await b.mount('/dev/drbd0', other);
    assert.equal((await b.sh(`cat ${other}/file`)).trim(), 'before');
    await b.umount(other);
    await b.drbdts('secondary', 'r0');
    await pair.assertSameData();
  }),
);

test('check-peer: a peer that is there answers; one that is not ends the connection in the time given', limits, () =>
  withLab('check-peer', async (lab) => {
    const pair = await Pair.create(lab, { net: { 'ping-int': 120, 'ping-timeout': 300 } });
    await pair.upInSync();
    const client = new ControlClient(pair.a.socket);
    const answers = await client.verb('r0', 'check-peer', { timeoutMs: 5000 });
    assert.equal(answers.results[0]?.code, 1);
    await pair.link.cut();
    const silent = await client.verb('r0', 'check-peer', { timeoutMs: 300 });
    assert.equal(silent.results[0]?.code, 2);
    assert.notEqual((await pair.a.running.volume(0)).connection, 'Connected');
    const alone = await client.verb('r0', 'check-peer', {});
    assert.equal(alone.results[0]?.code, 2, 'without a connection the answer comes at once');
    await pair.link.restore();
    await pair.inSync();
  }),
);
