/**
 * What a node tells the other one in its heartbeats: the phase of each group, what it claims, its volumes, its wishes. The schema is strict
 * where a wrong value could move a service, and ignores keys that a newer version may add.
 */
import { z } from 'zod';
import { connectionStates, diskStates, roles } from '../shared/terms.js';
import { groupPhases } from './group-types.js';

const groupReport = z.object({
  phase: z.enum(groupPhases),
  /** this node is about to start the group, as soon as the peer has confirmed that it has read this. */
  claim: z.boolean(),
  /** may not run here until somebody says `cleanup`, or the failure is old. */
  failed: z.boolean(),
  failCount: z.number().int().nonnegative(),
  /** its addresses are withdrawn: this node does not know whether it may serve. */
  held: z.boolean(),
});
export type GroupReport = z.infer<typeof groupReport>;

const volumeReport = z.object({
  role: z.enum(roles),
  disk: z.enum(diskStates),
  peerDisk: z.enum(diskStates),
  connection: z.enum(connectionStates),
  /** I/O waits for the arbiter. */
  frozen: z.boolean(),
});
export type VolumeReport = z.infer<typeof volumeReport>;

/** A wish of an operator, known to both nodes: the one with the higher stamp counts. */
const stamped = <T extends z.ZodType>(value: T) => z.object({ value, stamp: z.number().int().nonnegative() });

export const wishesSchema = z.object({
  maintenance: stamped(z.boolean()),
  /** where an operator wants a group: node name, '' for no wish. */
  pins: z.record(z.string(), stamped(z.string())),
  /** nodes that shall run nothing. */
  standby: z.record(z.string(), stamped(z.boolean())),
  /** `cleanup` of a group was said; the stamp tells when. */
  cleanups: z.record(z.string(), stamped(z.boolean())),
});
export type Wishes = z.infer<typeof wishesSchema>;

export const nodeReport = z.object({
  node: z.string(),
  version: z.string(),
  /** of cluster and groups in the configuration; nodes that differ start nothing. */
  configDigest: z.string(),
  standby: z.boolean(),
  leaving: z.boolean(),
  /** outer addresses that do not answer. */
  pingLost: z.number().int().nonnegative(),
  groups: z.record(z.string(), groupReport),
  volumes: z.record(z.string(), volumeReport),
  wishes: wishesSchema,
});
export type NodeReport = z.infer<typeof nodeReport>;
export interface Stamped<T> {
  value: T;
  stamp: number;
}

export const noWishes: Wishes = { maintenance: { value: false, stamp: 0 }, pins: {}, standby: {}, cleanups: {} };

function newer<T>(a: Stamped<T>, b: Stamped<T> | undefined): Stamped<T> {
  if (b === undefined || a.stamp > b.stamp) return a;
  if (b.stamp > a.stamp) return b;
  // both nodes were told at the same moment: both must come to the same end
  return String(a.value) >= String(b.value) ? a : b;
}

function newerOfEach<T>(a: Record<string, Stamped<T>>, b: Record<string, Stamped<T>>): Record<string, Stamped<T>> {
  const result: Record<string, Stamped<T>> = {};
  for (const name of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    const one = a[name];
    const other = b[name];
    const winner = one === undefined ? other : newer(one, other);
    if (winner !== undefined) result[name] = winner;
  }
  return result;
}

/** Both nodes' wishes as one; the same whoever computes it (a join: commutative, associative, idempotent). */
export function mergeWishes(a: Wishes, b: Wishes): Wishes {
  return {
    maintenance: newer(a.maintenance, b.maintenance),
    pins: newerOfEach(a.pins, b.pins),
    standby: newerOfEach(a.standby, b.standby),
    cleanups: newerOfEach(a.cleanups, b.cleanups),
  };
}

/** The next stamp after everything in `wishes`. */
export function nextStamp(wishes: Wishes): number {
  const records = [wishes.pins, wishes.standby, wishes.cleanups].flatMap((each): { stamp: number }[] => Object.values(each));
  return Math.max(wishes.maintenance.stamp, ...records.map(({ stamp }) => stamp)) + 1;
}
