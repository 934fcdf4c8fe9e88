/**
 * What this node does with its groups, now (pure). The rules (design "Rules that never bend"):
 *
 * - While both nodes live, a group starts here only after the peer has confirmed that it has read our claim, and in that same report says
 *   that the group is stopped there and not claimed. A claim is kept until the group runs or the wish is gone, so both cannot start.
 * - When the peer is dead, a group with volumes is left to the gate of drbdtsd (promotion asks the arbiter), one without to its own record.
 * - Who serves and has lost sight of the peer goes on only when the arbiter has recorded that it is alone. Until then its addresses are
 *   withdrawn; when it is denied, or nobody can be asked for too long, the group is stopped.
 * - After a pause of this process nothing is touched before it is known what the peer did meanwhile.
 * - In maintenance, or when nodes disagree about the configuration, nothing is started, stopped or moved.
 */
import { waitsToHear } from '../arbiter/register.js';
import type { ClusterConfig, GroupConfig } from '../config/cluster-types.js';
import { connectionStates } from '../shared/terms.js';
import { type Candidate, inOrder, isStopped, type Placement, placeAll, runs, servesWell, volumesOf } from './placement.js';
import type { GroupReport, NodeReport, VolumeReport } from './report.js';

/** What the arbitration says of this node and a volume, or of the record of a group without volumes. */
export type Standing =
  /** there is no arbiter. */
  | 'none'
  /** both nodes are in. */
  | 'together'
  /** the peer is recorded as out. */
  | 'alone'
  /** this node is recorded as out, or was refused. */
  | 'denied'
  /** a question is under way, or nobody can be asked. */
  | 'open';

export type PeerSight = 'unknown' | 'alive' | 'dead' | 'left';

export interface DecideInput {
  cluster: ClusterConfig;
  groups: readonly GroupConfig[];
  self: string;
  nowMs: number;
  /** what our next heartbeat will say, claims aside; also our groups' phases and volumes. */
  own: Omit<NodeReport, 'groups'> & { groups: Record<string, Omit<GroupReport, 'claim'>> };
  /** version that our next report will have. */
  nextVersion: number;
  peer: PeerSight;
  peerReport: NodeReport | null;
  /** the newest version of our report that the peer held when it sent its last heartbeat. */
  confirmedVersion: number;
  /** how old our newest heartbeat is that the peer had received by then. */
  confirmedAgeMs: number;
  /** `peerReport` is the newest that exists, as far as the peer has told. */
  reportIsCurrent: boolean;
  /** two nodes use one name: nothing that they say may be acted on. */
  twins: boolean;
  /** by volume, and by `group/NAME` for groups without volumes. */
  standings: Record<string, Standing>;
  /** volumes whose arbiter does not answer just now. */
  silentArbiter: readonly string[];
  /** by volume: how long ago its engine was asked something that the peer's engine answered; what was never answered is missing. */
  replicationAgeMs: Record<string, number>;
  /** volumes, and `group/NAME`, whose arbiter waits until the peer vouches for the record. */
  unvouched: readonly string[];
  /** false: drbdtsd does not answer; nothing is known of volumes. */
  daemonUp: boolean;
}

export interface DecideMemory {
  /** version of the first report that carries the claim, by group. */
  claims: Record<string, number>;
  /** since when the peer has more outer addresses than we (or we than it). */
  pingDiffers: { worse: string; sinceMs: number } | null;
  /** since when a serving node does not know whether it may, by group. */
  doubtSinceMs: Record<string, number>;
  /** since when a group that is being started waits for an arbiter that does not answer. */
  silentSinceMs: Record<string, number>;
  /** nothing is believed of ourselves before the peer has read a report of this version (after a pause of the process); null: no pause. */
  pausedUntilVersion: number | null;
  pausedAtMs: number;
}

export const freshMemory: DecideMemory = { claims: {}, pingDiffers: null, doubtSinceMs: {}, silentSinceMs: {}, pausedUntilVersion: null, pausedAtMs: 0 };

export type Order =
  | { kind: 'start'; group: string; reason: string }
  /** `cut`: I/O of a volume stands still, so whoever uses it cannot be ended politely. */
  | { kind: 'stop'; group: string; reason: string; urgent: boolean; cut: boolean }
  /** addresses of the group are taken away while it is not known whether it may serve; `release` gives them back. */
  | { kind: 'hold'; group: string; reason: string }
  | { kind: 'release'; group: string; reason: string }
  /** this process has only begun and knows nothing: addresses stay as they are and are not renewed, so none lasts longer than without it. */
  | { kind: 'keep-unrenewed'; group: string }
  /** the other cluster manager is dead and its engine connected: whether that answers decides whether the group goes on. */
  | { kind: 'ask-replication'; group: string }
  /** asks for the record of a group without volumes; the peer is gone. */
  | { kind: 'claim-record'; group: string };

export interface Decision {
  memory: DecideMemory;
  orders: Order[];
  /** groups that the next report claims. */
  claimed: string[];
  /** for status: where each group should be and why, or what keeps it from being there. */
  placements: Record<string, { node: string | null; why: string }>;
}

/** How long a serving node holds its addresses back, unheard and undecided, before it stops the group. */
const doubtMs = 3000;
/** How long a start that needs an arbiter is left to find it again. */
const silentMs = 3000;

/** Both engines are joined, whatever is being copied. */
const isReplicated = (volume: VolumeReport | undefined): boolean =>
  volume !== undefined && !volume.frozen && connectionStates.indexOf(volume.connection) >= connectionStates.indexOf('Connected');

const stoppable = (group: Omit<GroupReport, 'claim'> | undefined): boolean => group !== undefined && ['partial', 'starting', 'started'].includes(group.phase);

/** The process stood still for longer than the peer needs to take it for dead: see the fourth rule. `nextVersion`: of the first report after it. */
export function afterPause(memory: DecideMemory, nextVersion: number, nowMs: number): DecideMemory {
  return { ...memory, claims: {}, pausedUntilVersion: nextVersion, pausedAtMs: nowMs };
}

function standingOf(group: GroupConfig, input: DecideInput): Standing {
  const names = volumesOf(group);
  const keys = names.length > 0 ? names : [`group/${group.name}`];
  const all = keys.map((key) => input.standings[key] ?? (input.cluster.arbiter.kind === 'none' ? 'none' : 'open'));
  for (const worst of ['denied', 'open', 'together', 'alone'] as const) if (all.includes(worst)) return worst;
  return 'none';
}

/** Who has had fewer ping targets for longer than a passing disturbance. */
function comparePing(input: DecideInput, memory: DecideMemory): { worse: ReadonlySet<string>; differs: DecideMemory['pingDiffers'] } {
  const { own, peerReport, peer, self, nowMs, cluster } = input;
  if (peer !== 'alive' || peerReport === null || own.pingLost === peerReport.pingLost) return { worse: new Set(), differs: null };
  const worse = own.pingLost > peerReport.pingLost ? self : peerReport.node;
  const sinceMs = memory.pingDiffers?.worse === worse ? memory.pingDiffers.sinceMs : nowMs;
  const settleMs = Math.max(2 * cluster.keepaliveMs, 500);
  return { worse: nowMs - sinceMs >= settleMs ? new Set([worse]) : new Set(), differs: { worse, sinceMs } };
}

/** What a node says of its disks, and what the arbiter knows better: a node that was left out and has not noticed yet still calls its old data good. */
export function corrected(volumes: Record<string, VolumeReport>, standings: Record<string, Standing>, out: Standing): Record<string, VolumeReport> {
  const correct = (volume: VolumeReport): VolumeReport => ({ ...volume, disk: volume.disk === 'UpToDate' ? 'Outdated' : volume.disk, peerDisk: 'DUnknown' });
  return Object.fromEntries(Object.entries(volumes).map(([name, volume]) => [name, standings[name] === out ? correct(volume) : volume]));
}

interface Look {
  input: DecideInput;
  memory: DecideMemory;
  next: DecideMemory;
  placements: Map<string, Placement>;
  orders: Order[];
  notes: Map<string, string>;
}

/** Groups here that follow `name`, directly or not, and are not stopped: they go first. */
function dependants(look: Look, name: string): string[] {
  const { groups, own } = look.input;
  return groups.filter((group) => group.after.includes(name) && !isStopped({ ...(own.groups[group.name] ?? { phase: 'stopped', failed: false, failCount: 0, held: false }), claim: false })).map((group) => group.name);
}

function stop(look: Look, group: GroupConfig, reason: string, urgent: boolean): void {
  const waiting = dependants(look, group.name);
  for (const name of waiting) {
    const dependant = look.input.groups.find((candidate) => candidate.name === name);
    if (dependant !== undefined) stop(look, dependant, `${group.name} stops: ${reason}`, urgent);
  }
  const own = look.input.own.groups[group.name];
  // one that stops politely may be told to hurry
  if (!stoppable(own) && !(urgent && own?.phase === 'stopping')) return;
  if ((waiting.length === 0 || urgent) && !look.orders.some((order) => order.kind === 'stop' && order.group === group.name)) {
    const cut = urgent && volumesOf(group).some((name) => look.input.own.volumes[name]?.frozen === true);
    look.orders.push({ kind: 'stop', group: group.name, reason, urgent, cut });
  }
}

/** Whether this node knows that nobody else may serve the group. */
function isSure(look: Look, standing: Standing): boolean {
  const { peer } = look.input;
  const paused = look.next.pausedUntilVersion !== null;
  if (peer === 'alive') return !paused;
  return standing === 'none' ? !paused || peer !== 'unknown' : standing === 'alone' || peer === 'left';
}

/** Addresses that were withdrawn in doubt come back only where the group can be served, and not while the other node has it, too. */
function giveBack(look: Look, group: GroupConfig): void {
  const { own, peer, peerReport, reportIsCurrent, daemonUp } = look.input;
  if (own.groups[group.name]?.held !== true) return;
  if (peer === 'alive' && (!reportIsCurrent || runs(peerReport?.groups[group.name]))) return;
  const volumes = volumesOf(group);
  if (volumes.length > 0 && (!daemonUp || !volumes.every((name) => own.volumes[name]?.role === 'Primary'))) return;
  look.orders.push({ kind: 'release', group: group.name, reason: 'it is known again that this node may serve' });
}

/** A group that runs here: may it go on? Returns false when it is to be stopped or held. */
function mayGoOn(look: Look, group: GroupConfig): boolean {
  const { input, memory, next } = look;
  const standing = standingOf(group, input);
  const { peer, peerReport, self, nowMs } = input;
  const theirs = peerReport?.groups[group.name];
  const paused = next.pausedUntilVersion !== null;
  if (standing === 'denied') {
    stop(look, group, `the arbiter has recorded ${peerReport?.node ?? 'the other node'} as the one that serves`, true);
    return false;
  }
  const ours = input.own.groups[group.name];
  // the arbiter has decided, or is about to: whom it refuses stops
  const left = standing === 'alone' || (standing === 'open' && ours?.phase === 'starting' && volumesOf(group).length > 0);
  if (peer === 'alive' && !paused && peerReport !== null && runs(theirs) && !left) {
    // Both run it: the network was cut, `none` has let both serve, or somebody's hand did. One gives it up, the same one on both sides.
    const better = servesWell(group, peerReport) - servesWell(group, input.own);
    if (better < 0 || (better === 0 && self === input.cluster.nodes[0])) return true;
    stop(look, group, `${peerReport?.node ?? 'the peer'} runs it, too`, true);
    return false;
  }
  // before the promotion there is nothing that could be served twice: the gate of drbdtsd decides
  const volumes = volumesOf(group);
  if (volumes.length > 0 && ours?.phase !== 'started' && !volumes.some((name) => input.own.volumes[name]?.role === 'Primary')) return true;
  // the other node is not heard, or not yet, but its engine is connected to ours: it can not have been promoted
  const replicated = !paused && volumes.length > 0 && volumes.every((name) => isReplicated(input.own.volumes[name]));
  // asked also while this node is recorded alone: when the other's disk is taken in, its cluster manager may not be there yet, or never come
  if (replicated && peer === 'dead') look.orders.push({ kind: 'ask-replication', group: group.name });
  const answers = volumes.every((name) => (input.replicationAgeMs[name] ?? Number.POSITIVE_INFINITY) <= input.cluster.deadtimeMs);
  if (replicated && standing === 'together' && (peer === 'unknown' || (peer === 'dead' && answers))) return true;
  if (isSure(look, standing)) return true;
  const sinceMs = memory.doubtSinceMs[group.name] ?? nowMs;
  next.doubtSinceMs[group.name] = sinceMs;
  if (peer === 'unknown' && !paused && nowMs - sinceMs < input.cluster.deadtimeMs) {
    look.orders.push({ kind: 'keep-unrenewed', group: group.name });
    return false;
  }
  const why = paused && peer === 'alive' ? 'this node stood still and does not know yet what the other did' : 'neither the other node nor the arbiter says that it may serve';
  if (nowMs - sinceMs >= doubtMs && !(paused && peer === 'alive')) stop(look, group, why, true);
  else look.orders.push({ kind: 'hold', group: group.name, reason: why });
  return false;
}

/** Why the arbiter can not say now that this node may take the group from a peer that is gone; '' when it can be asked. */
function arbiterObstacle(look: Look, group: GroupConfig): string {
  const { cluster, peer, self, silentArbiter, unvouched } = look.input;
  if (peer === 'alive') return '';
  const names = volumesOf(group);
  if (names.some((name) => silentArbiter.includes(name))) return 'neither the other node nor the arbiter can be asked';
  if ([...names, `group/${group.name}`].some((name) => unvouched.includes(name))) return waitsToHear(cluster.nodes.find((node) => node !== self) ?? '');
  return '';
}

/** A start that waits for an arbiter is taken back before it fails for its time: nothing is wrong with the group, it goes on by itself later. */
function takeBack(look: Look, group: GroupConfig): boolean {
  const { input, memory, next } = look;
  const names = volumesOf(group);
  if (input.own.groups[group.name]?.phase !== 'starting' || names.length === 0 || names.some((name) => input.own.volumes[name]?.role === 'Primary')) return false;
  const obstacle = arbiterObstacle(look, group);
  if (obstacle === '') return false;
  if (!names.some((name) => input.unvouched.includes(name))) {
    const sinceMs = memory.silentSinceMs[group.name] ?? input.nowMs;
    next.silentSinceMs[group.name] = sinceMs;
    if (input.nowMs - sinceMs < silentMs) return false;
  }
  stop(look, group, obstacle, false);
  return true;
}

/** A group that shall run here and does not: starts it, or says what it waits for ('' for nothing). */
function bring(look: Look, group: GroupConfig, why: string): string {
  const { input, memory, next, orders } = look;
  const { peer, peerReport } = input;
  if (next.pausedUntilVersion !== null) return 'waiting: this node stood still and listens first';
  if (group.after.some((other) => input.own.groups[other]?.phase !== 'started')) return `waiting for group ${group.after.join(', ')}`;
  const standing = standingOf(group, input);
  if (standing === 'denied') return 'the arbiter has recorded this node as out: its data may be old';
  if (peer === 'unknown') return 'waiting for the other node, or for initdead to pass';
  if (peer !== 'alive') {
    const obstacle = arbiterObstacle(look, group);
    if (volumesOf(group).length === 0 && standing !== 'none' && standing !== 'alone') {
      orders.push({ kind: 'claim-record', group: group.name });
      return obstacle === '' ? 'asking the arbiter for the group' : `waiting: ${obstacle}`;
    }
    if (volumesOf(group).length > 0 && obstacle !== '') return `waiting: ${obstacle}`;
    orders.push({ kind: 'start', group: group.name, reason: `${why}; ${peer === 'left' ? 'the other node has left' : 'the other node is dead'}` });
    return '';
  }
  const theirs = peerReport?.groups[group.name];
  if (peerReport === null || theirs === undefined) return 'waiting for what the other node says of it';
  const since = memory.claims[group.name] ?? input.nextVersion;
  next.claims[group.name] = since;
  if (!isStopped(theirs)) return `waiting for ${peerReport.node} to stop it (${theirs.phase} there)`;
  if (theirs.claim) {
    // Both want it; one steps back, the same one on both sides.
    if (input.self !== input.cluster.nodes[0]) delete next.claims[group.name];
    return `${peerReport.node} claims it, too`;
  }
  // An old confirmation is worth nothing: the peer may have taken us for dead since.
  if (input.confirmedVersion < since || !input.reportIsCurrent || input.confirmedAgeMs * 2 > input.cluster.deadtimeMs) return `waiting for ${peerReport.node} to confirm`;
  orders.push({ kind: 'start', group: group.name, reason: why });
  return '';
}

/** One group in its place or out of it. */
function settle(look: Look, group: GroupConfig): void {
  const { input, notes, placements, orders } = look;
  const own = input.own.groups[group.name];
  const placement = placements.get(group.name) ?? { node: null, why: '' };
  if (own === undefined) return;
  if (own.phase === 'stopping') {
    // until it is stopped it serves
    mayGoOn(look, group);
    return;
  }
  if (!stoppable(own)) {
    if (placement.node !== input.self || !isStopped({ ...own, claim: false })) return;
    const note = bring(look, group, placement.why);
    if (note !== '') notes.set(group.name, note);
    return;
  }
  if (!mayGoOn(look, group) || takeBack(look, group)) return;
  giveBack(look, group);
  // the arbiter is being asked: who is to have it follows from the answer, not from what both have said before
  const undecided = volumesOf(group).length > 0 && standingOf(group, input) === 'open';
  // an own obstacle is no reason to leave everything down: who runs goes on until somebody can take over
  if (input.own.leaving) stop(look, group, 'this node is leaving', false);
  else if (placement.node !== null && placement.node !== input.self && !undecided) stop(look, group, `it goes to ${placement.node}: ${placement.why}`, false);
  else if (input.own.standby) stop(look, group, 'this node is in standby', false);
  else if (own.phase === 'partial') orders.push({ kind: 'start', group: group.name, reason: 'only a part of it runs' });
}

/** One look at everything. Called at every change and at every heartbeat interval. */
export function decide(input: DecideInput, memory: DecideMemory): Decision {
  const { own, peer, peerReport, self, groups } = input;
  const { worse, differs } = comparePing(input, memory);
  const next: DecideMemory = { claims: {}, pingDiffers: differs, doubtSinceMs: {}, silentSinceMs: {}, pausedUntilVersion: memory.pausedUntilVersion, pausedAtMs: memory.pausedAtMs };
  if (next.pausedUntilVersion !== null) {
    const heard = peer === 'alive' && input.confirmedVersion >= next.pausedUntilVersion && input.reportIsCurrent;
    const nobody = (peer === 'dead' || peer === 'left') && input.nowMs - next.pausedAtMs > input.cluster.deadtimeMs;
    if (heard || nobody) next.pausedUntilVersion = null;
  }
  const present = (peer === 'alive' ? peerReport : null) ?? null;
  const mine: Candidate = { node: self, report: { ...own, volumes: corrected(own.volumes, input.standings, 'denied'), groups: Object.fromEntries(Object.entries(own.groups).map(([name, group]) => [name, { ...group, claim: false }])) } };
  const other: Candidate = { node: input.cluster.nodes.find((node) => node !== self) ?? '', report: present === null ? null : { ...present, volumes: corrected(present.volumes, input.standings, 'alone') } };
  const candidates = input.cluster.nodes[0] === self ? [mine, other] : [other, mine];
  const placements = placeAll(groups, candidates, own.wishes, worse);
  const look: Look = { input, memory, next, placements, orders: [], notes: new Map() };
  const differ = present !== null && present.configDigest !== own.configDigest;
  const standstill = input.twins ? 'two nodes use the same name' : own.wishes.maintenance.value ? 'maintenance' : differ ? `the configuration differs from that of ${present.node}` : !input.daemonUp ? 'drbdtsd does not answer' : '';
  if (standstill === '') {
    for (const group of inOrder(groups)) settle(look, group);
  } else {
    for (const group of groups) {
      look.notes.set(group.name, standstill);
      // safety is no matter of configuration: who was denied stops serving all the same
      const phase = own.groups[group.name]?.phase;
      if (phase === 'stopping' && !own.wishes.maintenance.value) mayGoOn(look, group);
      if (!stoppable(own.groups[group.name])) continue;
      if (own.wishes.maintenance.value) {
        // nothing is touched, but what was taken away in doubt is given back
        const standing = standingOf(group, input);
        if (standing !== 'denied' && isSure(look, standing)) giveBack(look, group);
      } else if (mayGoOn(look, group)) giveBack(look, group);
    }
  }
  return {
    memory: next,
    orders: look.orders,
    claimed: Object.keys(next.claims),
    placements: Object.fromEntries([...placements].map(([name, { node, why }]) => [name, { node, why: look.notes.get(name) ?? why }])),
  };
}
