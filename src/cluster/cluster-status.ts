/** What `drbdts cluster status` shows, put together from the manager's parts. */
import { waitsToHear } from '../arbiter/register.js';
import type { ClusterStatus, GroupStatus } from '../control/cluster-messages.js';
import { version } from '../shared/version.js';
import type { GroupRunner } from './group-runner.js';
import type { Manager } from './manager.js';
import { runs } from './placement.js';
import type { NodeReport } from './report.js';

type NodeState = ClusterStatus['nodes'][number]['state'];

function groupStatus(manager: Manager, runner: GroupRunner, peer: NodeReport | null): GroupStatus {
  const { config, state } = runner;
  const { node } = manager.parts;
  const theirs = peer?.groups[config.name];
  const placement = manager.decision.placements[config.name];
  const here = ['partial', 'starting', 'started', 'stopping', 'stop-failed'].includes(state.phase);
  return {
    name: config.name,
    phase: state.phase,
    peerPhase: theirs?.phase ?? '',
    node: here ? node : runs(theirs) ? (peer?.node ?? '') : '',
    target: placement?.node ?? '',
    why: placement?.why ?? '',
    held: manager.isHeld(config.name),
    failCount: state.failCount,
    // a group that could not be stopped has not failed by itself: what is left of it is what a person has to know
    failure: state.failure === '' && state.phase === 'stop-failed' ? `could not be stopped: ${state.reason}` : state.failure,
    pinned: manager.wishes.pins[config.name]?.value ?? '',
    members: state.members.map((member, index) => ({
      name: config.members[index]?.name ?? '',
      kind: config.members[index]?.kind ?? 'service',
      phase: member.phase,
      doing: member.running === null || member.running.action === 'monitor' ? '' : member.running.action,
      reason: member.reason,
    })),
  };
}

export function silentArbiterSentence(volumes: readonly string[]): string {
  return `the arbiter of volume ${volumes.join(', ')} does not answer: a node that loses sight of the other one can not go on or take over`;
}

export function unvouchedSentence(manager: Manager): string {
  const { cluster, node } = manager.parts;
  return `${manager.unvouched.join(', ')}: ${waitsToHear(cluster.nodes.find((name) => name !== node) ?? '')}`;
}

export function clusterStatusOf(manager: Manager): ClusterStatus {
  const { parts } = manager;
  const now = parts.clock.nowMs();
  const view = parts.membership();
  const peer = manager.peerReport;
  const peerName = parts.cluster.nodes.find((name) => name !== parts.node) ?? '';
  const stateOf = (report: { standby: boolean; leaving: boolean }): NodeState => (report.leaving ? 'leaving' : report.standby ? 'standby' : 'online');
  const daemon = parts.daemon();
  const standings: Record<string, string> = { ...daemon.standings };
  const warnings = [...view.warnings];
  if (!daemon.up) warnings.push('drbdtsd does not answer');
  if (peer !== null && peer.configDigest !== parts.configDigest) warnings.push(`the configuration differs from that of ${peerName}: nothing is started or moved`);
  if (parts.cluster.arbiter.kind === 'none') warnings.push('arbiter: none: when both nodes lose sight of each other, both will serve (split brain)');
  if (daemon.silentArbiter.length > 0) warnings.push(silentArbiterSentence(daemon.silentArbiter));
  if (manager.unvouched.length > 0 && view.peer !== 'alive') warnings.push(unvouchedSentence(manager));
  for (const [name, standing] of Object.entries(standings)) {
    if (standing === 'open' && !manager.unvouched.includes(name)) warnings.push(`volume ${name}: the arbiter has not answered yet, or can not be reached`);
    if (standing === 'denied') warnings.push(`volume ${name}: the arbiter has recorded this node as out`);
  }
  return {
    cluster: parts.cluster.name,
    node: parts.node,
    version,
    configDigest: parts.configDigest,
    nodes: parts.cluster.nodes.map((name) =>
      name === parts.node
        ? { name, state: stateOf({ standby: manager.standby, leaving: manager.leaving }), sinceMs: 0, pingLost: parts.pingLost(), sameConfiguration: true }
        : {
            name,
            state: view.peer === 'alive' ? (peer === null ? 'online' : stateOf(peer)) : view.peer,
            sinceMs: Math.max(0, Math.round(now - view.sinceMs)),
            pingLost: peer?.pingLost ?? 0,
            sameConfiguration: peer === null || peer.configDigest === parts.configDigest,
          },
    ),
    links: view.links.map((link) => ({
      name: link.name,
      state: link.state,
      oneWay: link.oneWay,
      silentMs: link.lastHeardMs === null ? null : Math.round(now - link.lastHeardMs),
      gapMaxMs: Math.round(link.gapMaxMs),
      rttMs: link.rttMs === null ? null : Math.round(link.rttMs * 100) / 100,
      lost: link.lost,
    })),
    arbiter: { kind: parts.cluster.arbiter.kind, standings, unvouched: manager.unvouched },
    maintenance: manager.wishes.maintenance.value,
    drbdtsd: daemon.up,
    groups: parts.runners.map((runner) => groupStatus(manager, runner, peer)),
    warnings,
  };
}
