/** What happens to the cluster, one fault after the other: each is done, waited for, and healed. */
import type { ClusterLab } from '../support/cluster.js';
import type { Host } from '../support/host.js';
import { processesInNetworkOf } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

export interface Fault {
  /** for `--only`. */
  readonly name: string;
  readonly title: string;
  /** what is done, told before it is done. */
  does(active: Host, other: Host): string;
  strike(cluster: ClusterLab, active: Host): void | Promise<void>;
  /** resolves when the cluster has decided; throws after a while. */
  decided(cluster: ClusterLab, active: Host, other: Host): Promise<void>;
  /** where the group may be then. */
  expected(active: Host, other: Host): Host[];
  /** what mends it, and how that is told; '' when there is nothing to mend. */
  readonly healing: string;
  heal(cluster: ClusterLab, active: Host): void | Promise<void>;
}

const decisionMs = 60_000;

/** Every process on the host at once, and none of its kernel: the one that holds its namespaces stays. */
function killAll(host: Host): void {
  // once more for what was started meanwhile
  for (let round = 0; round < 3; round++) {
    for (const pid of processesInNetworkOf(host.pid).filter((each) => each !== host.pid)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    }
  }
}

const alone = async (cluster: ClusterLab, host: Host): Promise<boolean> => {
  const status = await cluster.clusterd(host).client.status();
  return Object.values(status.arbiter.standings).includes('alone') && status.groups.some(({ name, phase }) => name === 'web' && phase === 'started');
};

export const faults: readonly Fault[] = [
  {
    name: 'move',
    title: 'planned move',
    does: (_active, other) => `drbdts cluster move web ${other.name}`,
    strike: async (cluster, active) => {
      await cluster.clusterd(active).client.verb('move', { group: 'web', node: cluster.other(active).name });
    },
    decided: (cluster, _active, other) => cluster.runsOn(other, 'web', decisionMs),
    expected: (_active, other) => [other],
    healing: '',
    heal: () => undefined,
  },
  {
    name: 'kill',
    title: 'everything on the active node is killed',
    does: (active) => `SIGKILL to every process on ${active.name}: mariadbd, nginx, drbdts-clusterd, drbdtsd, its keeper`,
    strike: (_cluster, active) => killAll(active),
    decided: (cluster, _active, other) => cluster.runsOn(other, 'web', decisionMs),
    expected: (_active, other) => [other],
    healing: 'the node boots',
    heal: async (cluster, active) => {
      await cluster.powerOff(active);
      await active.sh('rm -rf /run/demo');
      await active.sh('ip link set eth0 up && ip link set eth1 up');
      await Promise.all([active.startDaemon({ keeper: true }), cluster.startClusterd(active)]);
      await active.drbdts('up', 'r0');
    },
  },
  {
    name: 'replication',
    title: 'the replication link is cut',
    does: () => 'every packet on the direct link (eth0: replication and one of two heartbeats) is dropped',
    strike: (cluster) => cluster.pair.link.cut(),
    decided: (cluster, active) => waitFor('the active node goes on alone, by the witness', () => alone(cluster, active), decisionMs).then(() => undefined),
    expected: (active) => [active],
    healing: 'the link works again',
    heal: (cluster) => cluster.pair.link.restore(),
  },
  {
    name: 'heartbeats',
    title: 'the heartbeat links are cut',
    does: () => 'every heartbeat on both links is dropped; replication works',
    strike: (cluster) => cluster.cutHeartbeats(),
    decided: async (cluster, active, other) => {
      for (const host of [active, other]) await cluster.waitStatus(host, `${host.name} has noticed`, ({ warnings }) => warnings.some((text) => text.includes('no heartbeat link to')), decisionMs);
    },
    expected: (active) => [active],
    healing: 'heartbeats arrive again',
    heal: (cluster) => cluster.restoreHeartbeats(),
  },
  {
    name: 'both',
    title: 'replication and heartbeats are cut',
    does: () => 'every packet on the direct link and every heartbeat on the other one is dropped: neither node can tell whether the other one lives',
    strike: async (cluster) => {
      await Promise.all([cluster.pair.link.cut(), cluster.cutHeartbeats()]);
    },
    decided: (cluster, active, other) =>
      waitFor('one of both goes on alone, by the witness', async () => (await alone(cluster, active)) || (await alone(cluster, other)), decisionMs).then(() => undefined),
    expected: (active, other) => [active, other],
    healing: 'both links work again',
    heal: async (cluster) => {
      await Promise.all([cluster.pair.link.restore(), cluster.restoreHeartbeats()]);
    },
  },
  {
    name: 'freeze',
    title: 'the active node freezes',
    does: (active) => `SIGSTOP to every process on ${active.name}; its kernel goes on, and has the address`,
    strike: (cluster, active) => cluster.freeze(active),
    decided: (cluster, _active, other) => cluster.runsOn(other, 'web', decisionMs),
    expected: (_active, other) => [other],
    healing: 'the node goes on (SIGCONT), and has to find out what happened',
    heal: (cluster, active) => cluster.thaw(active),
  },
];
