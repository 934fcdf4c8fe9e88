/**
 * Where each group should be (pure): a function of what both nodes say of themselves. Both nodes compute the same from the same two reports;
 * that they may differ for a moment is no danger, for a start needs more than a wish (decide.ts).
 */
import type { GroupConfig } from '../config/cluster-types.js';
import type { GroupPhase } from './group-types.js';
import type { GroupReport, NodeReport, VolumeReport, Wishes } from './report.js';

/** A node as a place for groups. */
export interface Candidate {
  node: string;
  /** null: it is not there. */
  report: NodeReport | null;
}

export interface Placement {
  /** null: it can run nowhere; `why` says it. */
  node: string | null;
  why: string;
}

const runningPhases: readonly GroupPhase[] = ['partial', 'starting', 'started'];

/** Whether a node has the group, or part of it, and is not giving it up. */
export const runs = (group: GroupReport | undefined): boolean => group !== undefined && runningPhases.includes(group.phase);

/** Whether nothing of the group is on the node, as far as it can tell. */
export const isStopped = (group: GroupReport | undefined): boolean => group !== undefined && (group.phase === 'stopped' || group.phase === 'failed');

export const volumesOf = (group: GroupConfig): string[] => group.members.flatMap((member) => (member.kind === 'volume' ? [member.resource] : []));

/** How well a node serves a group; of two that have it the better one keeps it. */
export function servesWell(group: GroupConfig, report: Pick<NodeReport, 'volumes'> & { groups: Record<string, Omit<GroupReport, 'claim'>> }): number {
  const own = report.groups[group.name];
  if (own === undefined || !runningPhases.includes(own.phase)) return 0;
  if (own.phase !== 'started') return 1;
  return !own.held && volumesOf(group).every((name) => report.volumes[name]?.role === 'Primary' && report.volumes[name]?.frozen === false) ? 3 : 2;
}

/** Data that may be served: its own disk is good, or it is Primary and reads from the peer. */
function hasData(volume: VolumeReport | undefined): boolean {
  return volume !== undefined && (volume.disk === 'UpToDate' || (volume.role === 'Primary' && volume.peerDisk === 'UpToDate'));
}

/** Complete in the sense that going back there costs nothing: connected and both disks UpToDate. */
function isComplete(volume: VolumeReport | undefined): boolean {
  return volume !== undefined && volume.connection === 'Connected' && volume.disk === 'UpToDate' && volume.peerDisk === 'UpToDate';
}

/** Why a group can not run on a node; '' when it can. `alone`: nobody else is there to have the data, so a disk of unknown age may be asked for. */
export function obstacle(group: GroupConfig, candidate: Candidate, alone: boolean): string {
  const { report, node } = candidate;
  if (report === null) return `${node} is not there`;
  if (report.leaving) return `${node} is leaving`;
  if (report.standby) return `${node} is in standby`;
  const own = report.groups[group.name];
  if (own === undefined) return `${node} does not know the group`;
  if (own.phase === 'stop-failed') return `${node} could not stop it`;
  if (own.failed) return `it failed on ${node}`;
  for (const name of volumesOf(group)) {
    const volume = report.volumes[name];
    if (volume === undefined) return `volume ${name} is not up on ${node}`;
    if (hasData(volume) || (alone && volume.disk === 'Consistent')) continue;
    return `volume ${name} is ${volume.disk} on ${node}`;
  }
  return '';
}

interface Choice {
  group: GroupConfig;
  /** both nodes, in the order of the configuration. */
  candidates: readonly Candidate[];
  wishes: Wishes;
  /** groups placed before this one. */
  placed: ReadonlyMap<string, string | null>;
  /** nodes that have had fewer ping targets than the other for long enough. */
  worsePing: ReadonlySet<string>;
}

/** The place of one group. */
export function place(choice: Choice): Placement {
  const { group, candidates, wishes, placed, worsePing } = choice;
  const present = candidates.filter(({ report }) => report !== null);
  const obstacles = candidates.map((candidate) => obstacle(group, candidate, present.length === 1));
  let possible = candidates.filter((_, index) => obstacles[index] === '');
  for (const other of group.after) {
    const at = placed.get(other) ?? null;
    if (at === null) return { node: null, why: `group ${other}, which it follows, runs nowhere` };
    possible = possible.filter(({ node }) => node === at);
    if (possible.length === 0) return { node: null, why: `it follows group ${other} to ${at}, but there ${obstacles[candidates.findIndex(({ node }) => node === at)] ?? ''}` };
  }
  const [only] = possible;
  if (only === undefined) return { node: null, why: obstacles.join('; ') };
  if (possible.length === 1) {
    const against = obstacles.find((text) => text !== '') ?? '';
    return { node: only.node, why: against === '' ? `it follows ${group.after.join(', ')}` : against };
  }
  const pin = wishes.pins[group.name]?.value ?? '';
  if (possible.some(({ node }) => node === pin)) return { node: pin, why: 'an operator moved it there' };
  const reachable = possible.filter(({ node }) => !worsePing.has(node));
  const [best] = reachable;
  if (best !== undefined && reachable.length === 1) return { node: best.node, why: `${possible.find((one) => one !== best)?.node ?? 'the other'} has lost its outer network` };
  const home = possible.find(({ node }) => node === group.preferred);
  const goesHome = home !== undefined && group.autoFailback && volumesOf(group).every((name) => isComplete(home.report?.volumes[name]));
  const free = possible.filter(({ node }) => !group.apart.some((other) => placed.get(other) === node));
  const well = (candidate: Candidate): number => (candidate.report === null ? 0 : servesWell(group, candidate.report));
  const [, second] = possible;
  const current = second !== undefined && well(second) > well(only) ? second : only;
  if (well(current) > 0) {
    if (goesHome && home !== current) return { node: home.node, why: 'auto-failback to the preferred node, which is complete again' };
    return { node: current.node, why: 'it runs there' };
  }
  const [apart] = free;
  if (apart !== undefined && free.length === 1) return { node: apart.node, why: `apart from ${group.apart.join(', ')}` };
  // on its way home it must not turn back because the role is given up, or told, a moment later
  if (goesHome) return { node: home.node, why: 'the preferred node' };
  const primary = possible.find(({ report }) => volumesOf(group).some((name) => report?.volumes[name]?.role === 'Primary'));
  if (primary !== undefined) return { node: primary.node, why: 'its volume is Primary there' };
  if (home !== undefined) return { node: home.node, why: 'the preferred node' };
  return { node: only.node, why: 'the first node of the cluster' };
}

/** Groups in an order in which each comes behind those it follows and those it keeps apart from. The configuration has no circles. */
export function inOrder(groups: readonly GroupConfig[]): GroupConfig[] {
  const done = new Set<string>();
  const order: GroupConfig[] = [];
  const visit = (group: GroupConfig): void => {
    if (done.has(group.name)) return;
    done.add(group.name);
    for (const name of [...group.after, ...group.apart]) {
      const other = groups.find((candidate) => candidate.name === name);
      if (other !== undefined) visit(other);
    }
    order.push(group);
  };
  for (const group of groups) visit(group);
  return order;
}

/** The place of every group, with the reason. */
export function placeAll(
  groups: readonly GroupConfig[],
  candidates: readonly Candidate[],
  wishes: Wishes,
  worsePing: ReadonlySet<string>,
): Map<string, Placement> {
  const result = new Map<string, Placement>();
  const placed = new Map<string, string | null>();
  for (const group of inOrder(groups)) {
    const placement = place({ group, candidates, wishes, placed, worsePing });
    result.set(group.name, placement);
    placed.set(group.name, placement.node);
  }
  return result;
}
