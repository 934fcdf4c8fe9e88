/** The cluster manager on real processes: groups start, move, fail over, and never run twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterLab } from '../support/cluster.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 180_000 };

test('a group starts on one node, moves by hand, and fails over when its node dies', limits, () =>
  withLab('cluster', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const first = await cluster.up();
    const second = cluster.other(first);
    assert.equal(await cluster.hasVip(first), true);
    assert.equal(await cluster.hasMount(first), true);
    assert.equal(await cluster.hasVip(second), false);
    await first.sh('echo one > /store/file && sync');

    await cluster.clusterd(first).client.verb('move', { group: 'web', node: second.name });
    await cluster.runsOn(second);
    assert.equal(await cluster.hasVip(first), false);
    assert.equal(await cluster.hasMount(first), false);
    assert.equal((await second.sh('cat /store/file')).trim(), 'one');
    await second.sh('echo two > /store/file && sync');

    await cluster.powerOff(second);
    await cluster.runsOn(first);
    assert.equal((await first.sh('cat /store/file')).trim(), 'two');
    assert.equal(await cluster.hasVip(first), true);

    await cluster.powerOn(second);
    await waitFor('both are in sync again', async () => (await first.running.volume(0)).peerDisk === 'UpToDate', 30_000);
    assert.equal(await cluster.hasVip(second), false, 'no failback unless it is asked for');
    assert.deepEqual(cluster.fenced(), []);
  }),
);
