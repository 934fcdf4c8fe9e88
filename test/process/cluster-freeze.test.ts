/** A cluster manager, or a whole node, that stands still for longer than deadtime and goes on: it finds out before it touches anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterLab } from '../support/cluster.js';
import { Journal } from '../support/journal.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 240_000 };
/** that deadtime is short for such a pause is said for an hour, and right. */
const isWell = (warnings: readonly string[]): boolean => warnings.every((text) => text.startsWith('deadtime '));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('clusterd of the active node stands still for longer than deadtime: the volume serves on, nobody takes it over, clusterd finds out', limits, () =>
  withLab('cluster-stopped', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const active = await cluster.up();
    const other = cluster.other(active);
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    // shorter and longer than the lifetime of the address
    for (const ms of [1500, 5000]) {
      const { child } = cluster.clusterd(active);
      child.kill('SIGSTOP');
      await pause(ms);
      await journal.grows();
      assert.equal(await cluster.hasMount(other), false);
      child.kill('SIGCONT');
      await waitFor('the address is there', () => cluster.hasVip(active));
      await cluster.waitStatus(active, 'all is well', (status) => status.groups[0]?.phase === 'started' && !status.groups[0].held && isWell(status.warnings));
      await cluster.waitStatus(other, 'all is well there', (status) => status.groups[0]?.node === active.name && isWell(status.warnings));
      await journal.grows();
    }
    assert.ok((await cluster.history(active)).some(({ sentence }) => sentence.includes('stood still')));
    assert.deepEqual(checker.changes('mount').filter(({ node }) => node === other.name), []);
    assert.deepEqual(checker.changes('role'), []);
    await journal.stop();
    assert.deepEqual(await journal.lost(active), []);
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);

test('the active node freezes for seconds: the other one takes over, the returning one gives up before it touches anything', limits, () =>
  withLab('cluster-frozen', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    let active = await cluster.up();
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    for (let round = 0; round < 2; round++) {
      const other = cluster.other(active);
      await journal.start(active);
      cluster.freeze(active);
      await cluster.runsOn(other);
      assert.equal(await cluster.hasVip(other), true);
      await other.sh(`echo ${round} > ${cluster.store}/taken-over && sync ${cluster.store}/taken-over`);
      cluster.thaw(active);
      const back = active;
      await cluster.waitStatus(back, 'the returning node has given up', (status) => status.groups[0]?.phase === 'stopped' && status.groups[0].node === other.name);
      assert.equal(await cluster.hasVip(back), false);
      assert.equal(await cluster.hasMount(back), false);
      await journal.stop();
      assert.deepEqual(await journal.lost(other), []);
      await cluster.together();
      assert.equal((await other.sh(`cat ${cluster.store}/taken-over`)).trim(), String(round));
      active = other;
    }
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);

test('the active node freezes for a moment only: whoever has the group, one has it, and no line is lost', limits, () =>
  withLab('cluster-moment', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    await cluster.up();
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    // around deadtime: the returning node may come back at any point of the other one's take-over
    for (const ms of [300, 620, 700, 800, 1000, 1500]) {
      const active = await cluster.running('web', 60_000);
      await journal.start(active);
      cluster.freeze(active);
      await pause(ms);
      cluster.thaw(active);
      let holder = active;
      await waitFor(`one node serves after ${ms} ms`, async () => {
        const statuses = await Promise.all([cluster.a, cluster.b].map((host) => cluster.clusterd(host).client.status()));
        const phases = statuses.map((status) => status.groups[0]?.phase ?? '');
        holder = phases[0] === 'started' ? cluster.a : cluster.b;
        return phases.includes('started') && phases.includes('stopped') && !statuses.some((status) => status.groups[0]?.held) && (await cluster.hasVip(holder));
      }, 60_000, () => [...cluster.clusterds.values()].map((each) => each.logTail()).join('\n'));
      await journal.stop();
      assert.deepEqual(await journal.lost(holder), [], `after ${ms} ms`);
      await cluster.together();
    }
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);
