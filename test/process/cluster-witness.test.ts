/**
 * Nobody reaches the witness: alone that changes nothing, together with a dead node it keeps the other one from serving until it is back. A
 * witness whose host was booted meanwhile has to hear from both nodes, or from an operator; one whose process alone was restarted goes on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterLab } from '../support/cluster.js';
import { Journal } from '../support/journal.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 300_000 };
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('witness out of reach: nothing but an alert; then the active node dies: nobody promotes, and says why; witness back: taken over', limits, () =>
  withLab('cluster-witness', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const active = await cluster.up();
    const other = cluster.other(active);
    await cluster.together();
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    const begin = Date.now();
    await cluster.cutLan(cluster.witness);
    for (const host of [active, other])
      await cluster.waitStatus(host, 'it is said that the arbiter is away', (status) => status.warnings.some((text) => /arbiter .*(does not answer|can not be reached)/.test(text)));
    await pause(3000);
    await journal.grows();
    assert.deepEqual(checker.changes('vip', begin), []);
    assert.deepEqual(checker.changes('mount', begin), []);
    assert.deepEqual(checker.changes('role', begin), []);

    await cluster.powerOff(active);
    await journal.stop();
    await cluster.waitStatus(other, 'it is said what is waited for', (status) => /neither the other node nor the arbiter can be asked/.test(status.groups[0]?.why ?? ''));
    await pause(4000);
    assert.equal((await other.running.resource()).role, 'Secondary');
    assert.equal(await cluster.hasVip(other), false);
    assert.ok((await cluster.history(other)).some(({ sentence }) => /neither the other node nor the arbiter can be asked/.test(sentence)), 'and is in the history');

    await cluster.joinLan(cluster.witness);
    await cluster.runsOn(other, 'web', 60_000);
    assert.deepEqual(await journal.lost(other), []);
    await cluster.powerOn(active);
    await cluster.together();

    // now `other` dies; the witness' process is killed at the same moment, and that is all
    await cluster.powerOff(other);
    await cluster.restartWitness();
    await cluster.runsOn(active, 'web', 60_000);
    await cluster.powerOn(other);
    await cluster.together();

    // the witness' host is booted as well: nobody knows what it may have forgotten
    await cluster.powerOff(active);
    await cluster.restartWitness({ boot: true });
    const wayOut = new RegExp(`until ${active.name} vouches .*drbdts confirm-fenced ${active.name} --reason`);
    await cluster.waitStatus(other, 'it is said that the witness has to hear from the other node, and what to do', (status) =>
      wayOut.test(status.groups[0]?.why ?? '') && status.warnings.some((text) => wayOut.test(text)));
    await pause(4000);
    const [group] = (await cluster.clusterd(other).client.status()).groups;
    assert.deepEqual([group?.phase, group?.failCount, (await other.running.resource()).role], ['stopped', 0, 'Secondary']);
    await cluster.powerOn(active);
    await cluster.running('web', 60_000);
    await cluster.together();

    // and once more, with a node that never comes back
    const last = await cluster.running('web');
    const left = cluster.other(last);
    await assert.rejects(left.drbdts('confirm-fenced', last.name, '--reason', 'it only looks so'), /sees it: it is on/);
    await cluster.powerOff(last);
    await cluster.restartWitness({ boot: true });
    await cluster.waitStatus(left, 'it waits', (status) => /confirm-fenced/.test(status.groups[0]?.why ?? ''));
    await left.drbdts('confirm-fenced', last.name, '--reason', 'power supply burnt, disks on my desk');
    await cluster.runsOn(left, 'web', 60_000);
    assert.deepEqual(await journal.lost(left), []);
    await cluster.powerOn(last);
    await cluster.together();
    await waitFor('no alert is left', async () => (await cluster.clusterd(left).client.status()).warnings.every((text) => text.startsWith('deadtime ')));
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);
