/** Cables: heartbeats lost, replication lost, the active node cut off from everybody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterLab } from '../support/cluster.js';
import { Journal } from '../support/journal.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 240_000 };
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('heartbeats are lost on every link while replication lives: no fail-over, said loudly; a restart of clusterd changes nothing', limits, () =>
  withLab('cluster-deaf', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const active = await cluster.up();
    const other = cluster.other(active);
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    const begin = Date.now();
    await cluster.cutHeartbeats();
    for (const host of [active, other])
      await cluster.waitStatus(host, 'it is said', (status) => status.warnings.some((text) => text.includes('no heartbeat link to') && text.includes('only the replication link shows that it lives')));
    // several times deadtime
    await pause(3000);
    await journal.grows();
    assert.equal((await cluster.clusterd(active).client.status()).groups[0]?.phase, 'started');
    assert.equal((await cluster.clusterd(other).client.status()).groups[0]?.phase, 'stopped');
    for (const host of [active, other])
      assert.ok((await cluster.history(host)).some(({ level, sentence }) => level === 'error' && sentence.includes('repair the heartbeat links')), 'and is in the history');
    const { awayMs } = await cluster.restartClusterd(active, 'SIGKILL');
    await cluster.runsOn(active);
    await pause(4000);
    // on a machine too busy to start a program within the lifetime of the address the kernel drops it meanwhile
    if (awayMs < 2000) assert.deepEqual(checker.changes('vip', begin), [], cluster.clusterd(active).logTail());
    assert.deepEqual(checker.changes('vip', begin).filter(({ node }) => node === other.name), []);
    assert.deepEqual(checker.changes('role', begin), []);
    await cluster.restoreHeartbeats();
    for (const host of [active, other]) await cluster.waitStatus(host, 'all is well again', (status) => status.warnings.length === 0);
    await journal.stop();
    assert.deepEqual(await journal.lost(active), []);
    assert.deepEqual((await checker.stop()).violations, []);
  }),
);

test('the replication link is cut while heartbeats live: the active node goes on alone by the arbiter, nothing moves, both get in sync again', limits, () =>
  withLab('cluster-replication', async (lab) => {
    const cluster = await ClusterLab.create(lab);
    const active = await cluster.up();
    const other = cluster.other(active);
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    const begin = Date.now();
    await cluster.pair.link.cut();
    await cluster.waitStatus(active, 'the arbiter has recorded it', (status) => Object.values(status.arbiter.standings).includes('alone'), 30_000);
    await journal.grows();
    assert.equal((await cluster.clusterd(other).client.status()).groups[0]?.phase, 'stopped');
    const refused = await cluster.clusterd(active).client.verb('move', { group: 'web', node: other.name }).then(() => '', (error: Error) => error.message);
    assert.match(refused, /r0 is (Outdated|Consistent|DUnknown|UpToDate)|volume r0/, 'a move to old data is refused');
    assert.deepEqual(checker.changes('vip', begin), []);
    assert.deepEqual(checker.changes('mount', begin), []);
    await cluster.pair.link.restore();
    await waitFor('both are in sync again', async () => (await active.running.volume(0)).peerDisk === 'UpToDate', 60_000);
    await cluster.waitStatus(active, 'all is well again', (status) => status.warnings.length === 0 && Object.values(status.arbiter.standings).includes('together'));
    await journal.stop();
    assert.deepEqual(await journal.lost(active), []);
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);

test('the active node is cut off from everybody: the other one takes over, the old one withdraws and cuts its device, no acknowledged line is lost', limits, () =>
  withLab('cluster-isolated', async (lab) => {
    // a service of the group waits for the frozen volume and can not even be killed before the volume is cut
    const service = {
      start: "setsid sh -c 'echo $$ > /run/writer.pid; touch /store/written; while :; do dd if=/dev/zero of=/store/written bs=4k count=1 conv=nocreat,fsync 2>/dev/null; done' </dev/null >/dev/null 2>&1 &",
      stop: 'kill -9 $(cat /run/writer.pid); while pgrep -g $(cat /run/writer.pid) >/dev/null; do sleep 0.05; done',
      monitor: 'pgrep -g $(cat /run/writer.pid) >/dev/null',
    };
    const cluster = await ClusterLab.create(lab, {
      groups: ({ vip, store }) => ({
        web: {
          members: [
            { volume: 'r0' },
            { filesystem: store, type: 'ext4', timeouts: { every: '1s' } },
            { command: service, name: 'writer' },
            { vip: `${vip}/24`, interface: 'eth1', timeouts: { every: '500ms' } },
          ],
        },
      }),
    });
    const active = await cluster.up();
    const other = cluster.other(active);
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    await Promise.all([cluster.pair.link.cut(), cluster.cutLan(active)]);
    await cluster.runsOn(other);
    await other.sh(`echo later > ${cluster.store}/later && sync ${cluster.store}/later`);
    await waitFor('the old node has withdrawn its address', async () => !(await cluster.hasVip(active)));
    await cluster.waitStatus(active, 'the old node has stopped', (status) => status.groups[0]?.phase === 'stopped' || status.groups[0]?.phase === 'failed', 60_000);
    assert.equal(await cluster.hasMount(active), false);
    const history = (await cluster.history(active)).map(({ sentence }) => sentence).join('\n');
    assert.match(history, /addresses of group web are held back/);
    await journal.stop();
    assert.deepEqual(await journal.lost(other), []);

    await cluster.pair.link.restore();
    await cluster.joinLan(active);
    await cluster.together();
    assert.equal((await other.sh(`cat ${cluster.store}/later`)).trim(), 'later');
    await cluster.waitStatus(active, 'it is there again', (status) => status.groups[0]?.node === other.name && status.nodes.every(({ state }) => state === 'online'));
    // the way back works as well
    await cluster.clusterd(other).client.verb('move', { group: 'web', node: active.name });
    await cluster.runsOn(active);
    assert.deepEqual(await journal.lost(active), []);
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);
