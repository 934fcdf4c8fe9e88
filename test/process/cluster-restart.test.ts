/** The cluster manager's own process ends, is upgraded or stands still, and what it manages runs on. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ClusterLab } from '../support/cluster.js';
import { exited } from '../support/exec.js';
import { Journal } from '../support/journal.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 240_000 };

const calls = (cluster: ClusterLab): string[] => {
  const file = join(cluster.lab.dir, 'calls');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
};

/** With a service that writes down each of its starts and stops. */
const groups = (cluster: ClusterLab): Record<string, unknown> => ({
  web: {
    members: [
      { volume: 'r0' },
      { filesystem: cluster.store, type: 'ext4', timeouts: { every: '1s' } },
      {
        command: {
          start: `echo "start $(hostname)" >> ${cluster.lab.dir}/calls; touch /run/service`,
          stop: `echo "stop $(hostname)" >> ${cluster.lab.dir}/calls; rm -f /run/service`,
          monitor: 'test -e /run/service',
        },
        name: 'noted',
        timeouts: { every: '500ms' },
      },
      { vip: `${cluster.vip}/24`, interface: 'eth1', timeouts: { every: '500ms' } },
    ],
  },
});

test('clusterd is killed, restarted and upgraded under load: nothing stops, nothing starts twice, the address stays', limits, () =>
  withLab('cluster-restart', async (lab) => {
    const cluster = await ClusterLab.create(lab, { groups });
    const active = await cluster.up();
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    const begin = Date.now();
    let longestMs = 0;
    for (const how of ['SIGKILL', 'SIGKILL', 'SIGHUP', 'SIGUSR2'] as const) {
      for (const host of [active, cluster.other(active)]) {
        const { code, awayMs } = await cluster.restartClusterd(host, how);
        longestMs = Math.max(longestMs, awayMs);
        if (how !== 'SIGKILL') assert.equal(code, 75, 'whoever keeps it alive starts the next one');
        await cluster.runsOn(active);
        await cluster.waitStatus(host, 'both see each other', (status) => status.nodes.every(({ state }) => state === 'online'));
      }
      await journal.grows();
    }
    const adopted = (await cluster.history(active)).filter(({ sentence }) => sentence.includes('runs here already and is taken over as it is'));
    assert.equal(adopted.length, 4);
    assert.deepEqual(calls(cluster), [`start ${active.name}`]);
    // on a machine too busy to start a program within the lifetime of the address the kernel drops it meanwhile
    if (longestMs < 2000) assert.deepEqual(checker.changes('vip', begin), []);
    assert.deepEqual(checker.changes('mount', begin), []);
    assert.deepEqual(checker.changes('role', begin), []);
    await journal.stop();
    assert.deepEqual(await journal.lost(active), []);
    const { violations, readings } = await checker.stop();
    assert.deepEqual(violations, []);
    assert.ok(readings > 100);
    assert.deepEqual(cluster.fenced(), []);
  }),
);

test('clusterd that is killed and stays away: its address goes by itself, the rest is left to drbdtsd; the next one puts it right', limits, () =>
  withLab('cluster-gone', async (lab) => {
    const cluster = await ClusterLab.create(lab, { groups });
    const active = await cluster.up();
    const checker = await cluster.check();
    const journal = new Journal(`${cluster.store}/journal`);
    await journal.start(active);
    await cluster.clusterd(active).crash();
    await waitFor('the kernel drops the address', async () => !(await cluster.hasVip(active)), 10_000);
    // the replication link shows that the node lives: nobody takes what it holds
    await cluster.waitStatus(cluster.other(active), 'the other one says what it sees', (status) => status.warnings.some((text) => text.includes('only the replication link shows that it lives')));
    await journal.grows();
    assert.equal(await cluster.hasVip(cluster.other(active)), false);
    await cluster.startClusterd(active);
    await cluster.runsOn(active);
    await waitFor('the address is back', () => cluster.hasVip(active));
    assert.equal(calls(cluster).filter((line) => line.endsWith(cluster.other(active).name)).length, 0);
    await journal.stop();
    assert.deepEqual((await checker.stop()).violations, []);
    assert.deepEqual(cluster.fenced(), []);
  }),
);

test('a second clusterd on a node ends at once and touches nothing', limits, () =>
  withLab('cluster-second', async (lab) => {
    const cluster = await ClusterLab.create(lab, { groups });
    const active = await cluster.up();
    const checker = await cluster.check();
    const begin = Date.now();
    const first = cluster.clusterd(active);
    const second = active.spawn([...first.argv], ['ignore', 'ignore', 'ignore']);
    assert.notEqual(await exited(second), 0);
    await first.client.status();
    assert.deepEqual(calls(cluster), [`start ${active.name}`]);
    assert.deepEqual(checker.changes('vip', begin), []);
    assert.deepEqual((await checker.stop()).violations, []);
  }),
);
