/**
 * Groups of plain commands on two nodes: what a failed start, monitor or stop, a lost outer network and the wishes of a configuration make
 * of them. No volume, so that many groups are seen at once; each command writes down what it does, in the order in which it is done.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { GroupStatus } from '../../src/control/cluster-messages.js';
import { ClusterLab } from '../support/cluster.js';
import type { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 120_000 };
const slow = process.env.DRBDTS_LONG === '1';

/** NAME ACTION: runs as long as its mark is there; `NAME.ACTION.HOST` makes that action fail on the host, `.hangs` makes it hang. */
const script = `#!/bin/sh
dir=$(dirname "$0"); host=$(uname -n); mark="$dir/$1.runs.$host"
if [ "$2" != monitor ]; then echo "$host $1 $2" >>"$dir/journal"; fi
if [ -e "$dir/$1.$2.$host.hangs" ]; then sleep 3600; fi
if [ -e "$dir/$1.$2.$host" ]; then echo "told to fail"; exit 1; fi
case "$2" in
start) : >"$mark" ;;
stop) rm -f "$mark" ;;
monitor) [ -e "$mark" ] || exit 7 ;;
esac
`;

class Services {
  readonly dir: string;

  constructor(lab: Lab) {
    this.dir = lab.dir;
    writeFileSync(join(this.dir, 'service'), script, { mode: 0o755 });
  }

  member(name: string): Record<string, unknown> {
    const command = (action: string): string => `${join(this.dir, 'service')} ${name} ${action}`;
    return { name, command: { start: command('start'), stop: command('stop'), monitor: command('monitor') }, timeouts: { start: '5s', stop: '2s', monitor: '5s', every: '300ms' } };
  }

  fails(name: string, action: string, host: Host, how: '' | '.hangs' = ''): void {
    writeFileSync(join(this.dir, `${name}.${action}.${host.name}${how}`), '');
  }

  mended(name: string, action: string, host: Host): void {
    for (const how of ['', '.hangs']) rmSync(join(this.dir, `${name}.${action}.${host.name}${how}`), { force: true });
  }

  /** It ends by itself, as after a crash. */
  dies(name: string, host: Host): void {
    rmSync(join(this.dir, `${name}.runs.${host.name}`));
  }

  runsOn(name: string, host: Host): boolean {
    return existsSync(join(this.dir, `${name}.runs.${host.name}`));
  }

  journal(...names: string[]): string[] {
    const file = join(this.dir, 'journal');
    const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
    return lines.filter((line) => names.includes(line.split(' ')[1] ?? ''));
  }
}

async function withGroups(
  name: string,
  groups: (services: Services) => Record<string, unknown>,
  body: (cluster: ClusterLab, services: Services) => Promise<void>,
  cluster: Record<string, unknown> = {},
): Promise<void> {
  await withLab(name, async (lab) => {
    const services = new Services(lab);
    const made = await ClusterLab.create(lab, { arbiter: 'none', bytes: 1 << 20, cluster: { initdead: '10s', ...cluster }, groups: () => groups(services) });
    await body(made, services);
  });
}

const groupOf = async (cluster: ClusterLab, host: Host, name: string): Promise<GroupStatus> => {
  const found = (await cluster.clusterd(host).client.status()).groups.find((one) => one.name === name);
  return found ?? assert.fail(`${host.name} does not know ${name}`);
};

async function both(cluster: ClusterLab): Promise<void> {
  await Promise.all([cluster.startClusterd(cluster.a), cluster.startClusterd(cluster.b)]);
}

test('places: the preferred node, back to it or not, behind and apart from others; standby and its end', limits, () =>
  withGroups(
    'groups-places',
    (services) => ({
      home: { preferred: 'alpha', 'auto-failback': true, members: [services.member('home')] },
      stays: { preferred: 'alpha', members: [services.member('stays')] },
      follows: { after: ['home'], members: [services.member('follows')] },
      away: { apart: ['home'], members: [services.member('away')] },
    }),
    async (cluster, services) => {
      const { a, b } = cluster;
      await both(cluster);
        const placed = (at: Record<string, Host>): Promise<boolean> =>
        waitFor(`groups are at their places`, async () => {
          for (const [name, host] of Object.entries(at)) if (!services.runsOn(name, host) || services.runsOn(name, cluster.other(host))) return false;
          for (const [name, host] of Object.entries(at)) if ((await groupOf(cluster, host, name)).phase !== 'started') return false;
          return true;
        }, 30_000, () => [...cluster.clusterds.values()].map((each) => each.logTail()).join('\n'));
      await placed({ home: a, stays: a, follows: a, away: b });
      assert.deepEqual(services.journal('home', 'follows').slice(0, 2), ['alpha home start', 'alpha follows start'], 'the one it follows comes first');
      await cluster.clusterd(a).client.verb('standby', { node: 'alpha' });
      await placed({ home: b, stays: b, follows: b, away: b });
      const moved = services.journal('home', 'follows').slice(2);
      assert.deepEqual(moved, ['alpha follows stop', 'alpha home stop', 'beta home start', 'beta follows start'], 'stopped in the opposite order, and started only then');
      await cluster.clusterd(b).client.verb('online', { node: 'alpha' });
      await placed({ home: a, stays: b, follows: a });
    },
  ),
);

test('a failed start is rolled back and goes to the other node; one that hangs too; cleanup allows the way back', limits, () =>
  withGroups(
    'groups-start',
    (services) => ({ web: { preferred: 'alpha', 'auto-failback': true, members: [services.member('one'), services.member('two'), services.member('three')] } }),
    async (cluster, services) => {
      const { a, b } = cluster;
      services.fails('two', 'start', a);
      await both(cluster);
      await cluster.runsOn(b);
      assert.deepEqual(services.journal('one', 'two', 'three'), [
        ...['alpha one start', 'alpha two start', 'alpha two stop', 'alpha one stop'],
        ...['beta one start', 'beta two start', 'beta three start'],
      ]);
      const failed = await groupOf(cluster, a, 'web');
      assert.deepEqual([failed.phase, failed.failCount], ['failed', 1]);
      assert.match(failed.failure, /two did not start: .*told to fail/);
      assert.ok((await cluster.history(a)).some(({ sentence }) => /two did not start: .*told to fail/.test(sentence)));
      services.mended('two', 'start', a);
      services.fails('three', 'start', a, '.hangs');
      await cluster.clusterd(b).client.verb('cleanup', { group: 'web' });
      await cluster.waitStatus(a, 'the start that hangs is ended', (status) => /three did not start: start not done within 5 s/.test(status.groups[0]?.failure ?? ''));
      await cluster.runsOn(b);
      assert.equal(services.runsOn('one', a) || services.runsOn('three', a), false, 'nothing of it is left');
      services.mended('three', 'start', a);
      await cluster.clusterd(a).client.verb('cleanup', { group: 'web' });
      await cluster.runsOn(a);
      assert.equal(services.runsOn('one', b), false);
    },
  ),
);

test('a service that dies is restarted on the spot until the threshold, with what comes after it; then its group moves', limits, () =>
  withGroups(
    'groups-monitor',
    (services) => ({ web: { preferred: 'alpha', 'migration-threshold': 2, members: [services.member('one'), services.member('two'), services.member('three')] } }),
    async (cluster, services) => {
      const { a, b } = cluster;
      await both(cluster);
      await cluster.runsOn(a);
      services.dies('two', a);
      await waitFor('it is restarted', async () => services.journal('three').length === 3 && (await groupOf(cluster, a, 'web')).phase === 'started', 20_000);
      assert.deepEqual(services.journal('one'), ['alpha one start'], 'what comes before it is not touched');
      assert.equal((await groupOf(cluster, a, 'web')).failCount, 1);
      services.dies('two', a);
      await cluster.runsOn(b);
      assert.match((await groupOf(cluster, a, 'web')).failure, /two/);
      // with nowhere to go it is said, and nothing is tried
      services.fails('one', 'start', b);
      services.dies('one', b);
      await cluster.waitStatus(b, 'it can run nowhere', (status) => status.groups[0]?.target === '' && status.groups[0].phase === 'failed');
      assert.match((await groupOf(cluster, b, 'web')).why, /it failed on alpha; it failed on beta/);
      services.mended('one', 'start', b);
      await cluster.clusterd(b).client.verb('cleanup', {});
      await cluster.running('web');
      assert.equal(services.runsOn('one', a) && services.runsOn('one', b), false);
    },
  ),
);

test('what can not be stopped ends the node, and never starts elsewhere before a person has looked', limits, () =>
  withGroups(
    'groups-stop',
    (services) => ({ web: { preferred: 'alpha', members: [services.member('one'), services.member('two')] } }),
    async (cluster, services) => {
      const { a, b } = cluster;
      await both(cluster);
      await cluster.runsOn(a);
      services.fails('one', 'stop', a);
      await cluster.clusterd(a).client.verb('move', { group: 'web', node: 'beta' });
      await waitFor('the node is told to end itself', async () => cluster.fenced().includes('alpha'), 40_000, () => cluster.clusterd(a).logTail());
      const stuck = await groupOf(cluster, a, 'web');
      assert.equal(stuck.phase, 'stop-failed');
      assert.deepEqual(cluster.fenced(), ['alpha']);
      const sentences = (await cluster.history(a)).map(({ sentence }) => sentence);
      assert.ok(sentences.some((text) => /one did not stop \(orderly\): .*next: kill/.test(text)), 'more force was tried first');
      const seen = await groupOf(cluster, b, 'web');
      assert.deepEqual([seen.phase, seen.peerPhase], ['stopped', 'stop-failed']);
      assert.deepEqual(services.journal('one').filter((line) => line.startsWith('beta')), [], 'nothing was started there');
      // the hook of this lab ends nothing: a person mends it and says so
      services.mended('one', 'stop', a);
      services.dies('one', a);
      await cluster.clusterd(a).client.verb('cleanup', { group: 'web' });
      await cluster.runsOn(b);
      assert.equal(services.runsOn('one', a), false);
    },
  ),
);

test('the node that lost its outer network gives its groups up to the one that has it, and only then', limits, () =>
  withGroups(
    'groups-ping',
    (services) => ({ web: { members: [services.member('one')] } }),
    async (cluster, services) => {
      await both(cluster);
      const active = await cluster.running('web');
      const other = cluster.other(active);
      await cluster.cutLan(active);
      await cluster.runsOn(other);
      assert.ok((await cluster.history(active)).some(({ sentence }) => sentence.includes(`${active.name} has lost its outer network`)));
      assert.equal(services.runsOn('one', active), false);
      // now both have lost it: no reason to move anywhere
      await cluster.cutLan(other);
      await cluster.waitStatus(other, 'both have lost it', (status) => status.nodes.every(({ pingLost }) => pingLost === 1));
      await cluster.joinLan(other);
      await cluster.waitStatus(other, 'it has it again', (status) => status.nodes.find(({ name }) => name === other.name)?.pingLost === 0);
      assert.deepEqual(services.journal('one').filter((line) => line.endsWith('start')).map((line) => line.split(' ')[0]), [active.name, other.name]);
    },
    { ping: ['10.200.7.254'], deadping: '1s' },
  ),
);

test('two nodes with one name: said on both, and nothing is started', { ...limits, skip: limits.skip || !slow }, () =>
  withGroups(
    'groups-twins',
    (services) => ({ web: { members: [services.member('one')] } }),
    async (cluster, services) => {
      await Promise.all([cluster.startClusterd(cluster.a), cluster.startClusterd(cluster.b, ['--node', 'alpha'])]);
      for (const host of [cluster.a, cluster.b])
        await cluster.waitStatus(host, 'it is said', (status) => status.warnings.some((text) => /same name|own name|called alpha/.test(text)));
      assert.deepEqual(services.journal('one'), []);
    },
  ),
);
