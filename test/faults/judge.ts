/** What is said of a played schedule (pure): from what clients, checkers and the two nodes told. Knows nothing of how it came about. */
import type { ClusterStatus } from '../../src/control/cluster-messages.js';
import type { VolumeStatus } from '../../src/control/messages.js';
import { addressTwice, type Reading } from '../support/service-readings.js';
import type { Fault, FaultKind } from './schedule.js';

/** What the client of the row server saw. */
export interface ClientReport {
  /** acknowledged rows as ranges, both ends included. */
  readonly acknowledged: readonly (readonly [number, number])[];
  readonly attempts: number;
  /** longest time without an acknowledged row. */
  readonly longestGapMs: number;
  /** reads that missed rows acknowledged before they were asked for. */
  readonly stale: readonly string[];
}

export function rowText(file: string, number: number): string {
  return `${number} ${file} ${(Math.imul(number ^ 0x5bd1e995, 0x01000193) >>> 0).toString(16)}`;
}

export function countRows(ranges: readonly (readonly [number, number])[]): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** Acknowledged rows that are not in the file as they were written. A torn last line of a row that was never acknowledged is no fault. */
export function lostRows(file: string, contents: string, acknowledged: readonly (readonly [number, number])[]): number[] {
  const present = new Set(contents.split('\n'));
  const lost: number[] = [];
  for (const [first, last] of acknowledged) for (let number = first; number <= last; number++) if (!present.has(rowText(file, number))) lost.push(number);
  return lost;
}

export interface NodeView {
  readonly name: string;
  /** null: drbdtsd does not answer, or has no such volume. */
  readonly volume: VolumeStatus | null;
  /** null: clusterd does not answer. */
  readonly cluster: ClusterStatus | null;
  readonly hasVip: boolean;
}

/** An hour long clusterd says that a pause was longer than deadtime, and is right. */
const isAlert = (warning: string): boolean => !warning.startsWith('deadtime ');

/** What keeps the cluster from being healthy, one sentence each; empty when it is. */
export function ailments(nodes: readonly NodeView[], group: string): string[] {
  const found: string[] = [];
  let started = 0;
  for (const { name, volume, cluster, hasVip } of nodes) {
    if (volume === null) found.push(`${name}: the volume is not up`);
    else {
      const { connection, disk, peerDisk, suspended, arbitration } = volume;
      if (connection !== 'Connected' || disk !== 'UpToDate' || peerDisk !== 'UpToDate') found.push(`${name}: ${connection} ${disk}/${peerDisk}`);
      if (suspended.length > 0) found.push(`${name}: I/O is suspended (${suspended.join(', ')})`);
      if (arbitration?.state !== 'together') found.push(`${name}: recorded ${arbitration?.state ?? 'nowhere'}`);
    }
    if (cluster === null) {
      found.push(`${name}: clusterd does not answer`);
      continue;
    }
    for (const { name: other, state } of cluster.nodes) if (state !== 'online') found.push(`${name}: ${other} is ${state}`);
    const status = cluster.groups.find((each) => each.name === group);
    const isStarted = status?.phase === 'started' && !status.held;
    if (isStarted) started += 1;
    if (isStarted !== hasVip) found.push(`${name}: the group is ${status?.phase ?? 'unknown'}${status?.held === true ? ', held' : ''}, its address is ${hasVip ? 'there' : 'not there'}`);
    if (!isStarted && status?.phase !== 'stopped') found.push(`${name}: the group is ${status?.phase ?? 'unknown'}: ${status?.failure || status?.why}`);
    found.push(...cluster.warnings.filter(isAlert).map((warning) => `${name}: ${warning}`));
  }
  if (started !== 1) found.push(`the group is started on ${started} nodes`);
  return found;
}

/** Something the runner did that a person would have had to do, and the sentence by which the cluster asked for it. */
export interface OperatorAct {
  readonly node: string;
  readonly act: string;
  readonly sentence: string;
}

export interface Unreachable {
  readonly node: string;
  readonly fromMs: number;
  /** an address that was on it may show until then. */
  readonly toMs: number | null;
}

/**
 * When a node that was cut off from the service network until `nowMs` has given up an address that the other one may have taken meanwhile: at
 * once, or, with its cluster manager dead or frozen, when the kernel's lifetime for it is over. Who took it has told the network so.
 */
export function addressGoneMs(nowMs: number, managerRuns: boolean, lifetimeMs: number): number {
  return managerRuns ? nowMs : nowMs + lifetimeMs;
}

/**
 * Whether two nodes served at once, given what the checker saw. An address that two kernels have counts where clients reach both: on a node cut
 * off from the service network whose cluster manager stands still as well it lasts until its lifetime is over, and nobody can use it.
 */
export function servedTwice(what: string, readings: readonly Reading[], unreachable: readonly Unreachable[]): boolean {
  if (what !== addressTwice) return true;
  return !unreachable.some(({ node, fromMs, toMs }) => readings.some((reading) => reading.node === node && reading.atMs >= fromMs && reading.atMs <= (toMs ?? Number.POSITIVE_INFINITY)));
}

/** Faults that may leave a node unable to say that it has stopped; only then it may fence itself. */
const mayFence: readonly FaultKind[] = ['stop-drbdtsd', 'stop-node', 'kill-drbdtsd', 'kill-keeper', 'disk-hangs', 'disk-errors', 'kill-node', 'isolate', 'cut-direct', 'cut-replication', 'cut-replication-to', 'deafen', 'mute'];

export interface Observation {
  readonly faults: readonly Fault[];
  readonly violations: readonly string[];
  readonly client: ClientReport;
  /** null: the file could not be read. */
  readonly lost: readonly number[] | null;
  /** nodes that fenced themselves. */
  readonly fenced: readonly string[];
  readonly operator: readonly OperatorAct[];
  /** since the faults' end, or the last thing an operator was asked to do; null: not within the time. */
  readonly healthyAfterMs: number | null;
  readonly ailments: readonly string[];
  /** first places where both disks differ although both are UpToDate. */
  readonly differing: readonly number[];
  /** what else went wrong while playing. */
  readonly errors: readonly string[];
}

/** What is wrong; empty when the run passes. */
export function verdict(seen: Observation): string[] {
  const wrong: string[] = [];
  if (seen.violations.length > 0) wrong.push(`double service: ${seen.violations[0]}`);
  if (seen.lost === null) wrong.push('the rows could not be read');
  else if (seen.lost.length > 0) wrong.push(`${seen.lost.length} acknowledged rows lost: ${seen.lost.slice(0, 10).join(', ')}`);
  if (seen.client.stale.length > 0) wrong.push(`stale read: ${seen.client.stale[0]}`);
  if (countRows(seen.client.acknowledged) === 0) wrong.push('no row was acknowledged');
  if (seen.healthyAfterMs === null) wrong.push(`not healthy: ${seen.ailments.join('; ')}`);
  if (seen.differing.length > 0) wrong.push(`the disks differ at bytes ${seen.differing.join(', ')}`);
  for (const { node, act, sentence } of seen.operator) if (sentence === '') wrong.push(`${node} needed "${act}" and nothing said so`);
  if (seen.fenced.length > 0 && !seen.faults.some(({ kind }) => mayFence.includes(kind))) wrong.push(`${seen.fenced.join(' and ')} fenced itself, and no fault explains it`);
  wrong.push(...seen.errors);
  return wrong;
}
