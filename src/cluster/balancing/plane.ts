/** A data plane: it carries out what is wanted and counts; it decides nothing. */
import type { Wanted } from './machine.js';

export interface TargetCounters {
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
}

export interface PlaneLook {
  /** false: what was put in force is not there any more, or was not of this configuration. */
  readonly intact: boolean;
  /** by virtual server (its number) and target (`real server` or `sorry-server`). */
  readonly counters: ReadonlyMap<number, ReadonlyMap<string, TargetCounters>>;
}

export interface Plane {
  /** Whether this host has what the plane needs. Throws a DrbdtsError with the way out. */
  ready(): Promise<void>;
  /** Throws an Error when it can not be known. */
  look(): Promise<PlaneLook>;
  /** `anew`: nothing of what is there is kept. All of `numbers` come to what `wanted` says. Throws an Error with a sentence; then nothing of it is in force. */
  apply(wanted: readonly Wanted[], numbers: readonly number[], anew: boolean): Promise<void>;
  /** Nothing of it is left. */
  remove(): Promise<void>;
}
