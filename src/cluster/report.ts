/**
 * What a node tells the other one in its heartbeats: the phase of each group, what it claims, its volumes, its wishes. The schema is strict
 * where a wrong value could move a service, and ignores keys that a newer version may add.
 */
import { z } from 'zod';
import { connectionStates, diskStates, roles } from '../shared/terms.js';

/** Phases of a group on one node (group.ts). `unknown` before the first look, `partial` when only some members run. */
export const groupPhases = ['unknown', 'stopped', 'partial', 'starting', 'started', 'stopping', 'failed', 'stop-failed'] as const;
export type GroupPhase = (typeof groupPhases)[number];

const groupReport = z.object({
  phase: z.enum(groupPhases),
  /** this node is about to start the group, as soon as the peer has confirmed that it has read this. */
  claim: z.boolean(),
  /** may not run here until somebody says `cleanup`, or the failure is old. */
  failed: z.boolean(),
  failCount: z.number().int().nonnegative(),
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
  wishes: z.object({
    maintenance: stamped(z.boolean()),
    /** where an operator wants a group: node name, '' for no wish. */
    pins: z.record(z.string(), stamped(z.string())),
  }),
});
export type NodeReport = z.infer<typeof nodeReport>;
export type Wishes = NodeReport['wishes'];
export interface Stamped<T> {
  value: T;
  stamp: number;
}

export const noWishes: Wishes = { maintenance: { value: false, stamp: 0 }, pins: {} };

function newer<T>(a: Stamped<T>, b: Stamped<T> | undefined): Stamped<T> {
  if (b === undefined || a.stamp > b.stamp) return a;
  if (b.stamp > a.stamp) return b;
  // both nodes were told at the same moment: both must come to the same end
  return String(a.value) >= String(b.value) ? a : b;
}

/** Both nodes' wishes as one; the same whoever computes it (a join: commutative, associative, idempotent). */
export function mergeWishes(a: Wishes, b: Wishes): Wishes {
  const names = new Set([...Object.keys(a.pins), ...Object.keys(b.pins)]);
  const pins: Wishes['pins'] = {};
  for (const name of [...names].sort()) {
    const one = a.pins[name];
    const other = b.pins[name];
    const pin = one === undefined ? other : newer(one, other);
    if (pin !== undefined) pins[name] = pin;
  }
  return { maintenance: newer(a.maintenance, b.maintenance), pins };
}

/** The next stamp after everything in `wishes`. */
export function nextStamp(wishes: Wishes): number {
  return Math.max(wishes.maintenance.stamp, ...Object.values(wishes.pins).map(({ stamp }) => stamp)) + 1;
}
