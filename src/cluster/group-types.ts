/**
 * What the group machine (group.ts) takes and gives. One machine per group; it owns no clock, no process and no timer: results come in as
 * events, everything it wants done goes out as actions.
 */
import type { GroupConfig, MemberConfig } from '../config/cluster-types.js';

/**
 * unknown      not yet probed, nothing may be concluded
 * stopped      every member said so
 * partial      the probe found some members running; the owner decides: `start` completes it, `stop` ends it
 * starting     members are started left to right (or restarted after a failed monitor)
 * started      every member runs and is monitored
 * stopping     members are stopped right to left
 * failed       all stopped again after a failed start or too many failed monitors; `failure` says why
 * stop-failed  a member could not be stopped by any means: it may still run, the node has to be fenced; only `cleanup` leads out
 */
export const groupPhases = ['unknown', 'stopped', 'partial', 'starting', 'started', 'stopping', 'failed', 'stop-failed'] as const;
export type GroupPhase = (typeof groupPhases)[number];

/** How hard a stop is: politely; by ending what still runs; by cutting it off from what it uses. */
export const stopLevels = ['orderly', 'kill', 'cut'] as const;
export type StopLevel = (typeof stopLevels)[number];

/** The levels that make sense for each kind of member, in the order in which they are tried. */
export const stopLevelsOf: Readonly<Record<MemberConfig['kind'], readonly StopLevel[]>> = {
  volume: ['orderly', 'cut'],
  filesystem: ['orderly', 'kill', 'cut'],
  vip: ['orderly', 'kill'],
  // a process that waits for frozen I/O is not even ended by SIGKILL: its volumes are cut
  service: ['orderly', 'kill', 'cut'],
};

export type MemberAction = 'probe' | 'start' | 'stop' | 'monitor';

/** `failed` is "neither surely running nor surely stopped", also during its start and stop: it is stopped before anything else is done with it. */
export type MemberPhase = 'unknown' | 'stopped' | 'started' | 'failed';

/** An action of a member that is under way. */
export interface RunningAction {
  readonly action: MemberAction;
  readonly level: StopLevel;
  /** tells its result from the result of any other run. */
  readonly life: number;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  /** when it was told to end, null while it may go on. */
  abortedMs: number | null;
  /** ended for its time, not because of another plan. */
  overdue: boolean;
  /** told to end and did not report within the grace: given up, its result still counts if it ever comes. */
  stuck: boolean;
}

export interface MemberState {
  phase: MemberPhase;
  /** why it is `failed`, '' otherwise. */
  reason: string;
  running: RunningAction | null;
  /** index into stopLevelsOf of the next stop; counts up while stops fail. */
  level: number;
  nextMonitorMs: number;
}

export interface GroupState {
  readonly config: GroupConfig;
  phase: GroupPhase;
  /** what the machine works on; `rest` also while started. */
  goal: 'rest' | 'start' | 'stop';
  /** stop: virtual addresses go first and at once. */
  urgent: boolean;
  /** stop: when it has to be over (then the node is fenced), null for no limit but the members' own. */
  fenceAtMs: number | null;
  /** reason of the last request or event that made the machine do something. */
  reason: string;
  /** why the group is or will be `failed`, '' otherwise. */
  failure: string;
  failCount: number;
  lastFailureMs: number;
  maintenance: boolean;
  lives: number;
  members: MemberState[];
}

export type GroupEvent =
  /** find out what runs. Ignored while members are started or stopped. */
  | { kind: 'probe' }
  /** ignored while it stops and in `stop-failed`; who still wants it asks again. */
  | { kind: 'start'; reason: string }
  /**
   * `urgent`: virtual addresses are withdrawn first, in parallel with the rest. `level`: begin with that (cut: the device is frozen, politeness
   * would only wait). `withinMs`: fence the node when it is not stopped by then.
   */
  | { kind: 'stop'; reason: string; urgent: boolean; level?: StopLevel; withinMs?: number }
  /** `found` belongs to a probe with ok. `reason` is a sentence when not ok. */
  | {
      kind: 'memberResult';
      index: number;
      action: MemberAction;
      life: number;
      ok: boolean;
      reason: string;
      found?: 'started' | 'stopped';
    }
  /** forgets failures; in `stop-failed` looks again at what runs. */
  | { kind: 'cleanup' }
  | { kind: 'maintenance'; on: boolean }
  /** time passed; nextTickMs says when it is needed. */
  | { kind: 'tick' };

export type GroupAction =
  | { kind: 'run'; index: number; action: MemberAction; level: StopLevel; life: number; timeoutMs: number }
  /** end that run; its result is still awaited. `hard`: without grace. */
  | { kind: 'abort'; index: number; life: number; hard: boolean }
  | { kind: 'phase'; from: GroupPhase; to: GroupPhase; sentence: string }
  | { kind: 'note'; level: 'info' | 'warn' | 'error'; sentence: string }
  | { kind: 'selfFence'; reason: string };
