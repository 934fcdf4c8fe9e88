/** One member of a group as the machine sees it: four actions, each idempotent, each ending soon after its signal fires. */
import type { ControlClient } from '../../control/client.js';
import type { MemberConfig } from '../../config/cluster-types.js';
import type { Clock } from '../../shared/clock.js';
import { type DrbdtsError, drbdtsError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { hardAbort, type ProgramResult } from '../../shared/run-program.js';
import type { MemberAction, StopLevel } from '../group-types.js';
import type { Net } from './net.js';

export type ProbeResult = 'started' | 'stopped' | `failed:${string}`;

/**
 * Actions reject with a DrbdtsError and never run at the same time. After the signal they end within seconds, whatever hangs: what could not be
 * ended is said in the error. The signal's reason `hardAbort` asks for an end without grace.
 */
export interface Member {
  readonly config: MemberConfig;
  /**
   * The group is about to start and this member is stopped: asks now what `start` would have to wait for, while those left of it start. Changes
   * nothing; an answer older than `aheadValidMs` does not count any more.
   */
  prepare?(): void;
  /** Looks without touching; takes up what needs care (the lifetime of an address) only when it runs. */
  probe(signal: AbortSignal): Promise<ProbeResult>;
  /** Resolves when it really works; at once when it did already. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves only when it is surely stopped; at once when it was already. */
  stop(level: StopLevel, signal: AbortSignal): Promise<void>;
  monitor(signal: AbortSignal): Promise<void>;
  /** Takes away at once what clients see of it, and gives it back, without being stopped. Only what has such a thing. */
  hold?(on: boolean): void;
  /** Ends timers of its own; touches nothing. */
  close(): void;
}

/** For how long an answer that `prepare` got is as good as a new one. */
export const aheadValidMs = 2000;

/** What members get from the process around them. */
export interface MemberContext {
  readonly node: string;
  readonly group: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly control: Pick<ControlClient, 'status' | 'verb'>;
  readonly net: Net;
  /** resources of the volumes that come before it in its group. */
  readonly volumes: readonly string[];
  /** for what must survive a restart of this process but not a boot; 0700, exists. */
  readonly runDir: string;
  /** below the cgroup v2 root: where services get groups of their own. */
  readonly cgroupParent: string;
  /** false: this node has lost sight of the others, so the lifetime of an address is not renewed. */
  mayServe(): boolean;
}

/** The first pause of a wait is that part of its longest. */
const firstPauses = 16;

const codes: Record<MemberAction, string> = {
  probe: 'ERR_MEMBER_MONITOR',
  start: 'ERR_MEMBER_START',
  stop: 'ERR_MEMBER_STOP',
  monitor: 'ERR_MEMBER_MONITOR',
};

/** The error of an action that did not work. */
export function memberError(member: string, action: MemberAction, reason: string, cause?: unknown): DrbdtsError {
  return drbdtsError(codes[action], { values: { member, reason }, place: member, ...(cause === undefined ? {} : { cause }) });
}

/** The error of an action that was told to end. */
export function timeError(member: string, action: MemberAction, reason: string): DrbdtsError {
  return drbdtsError('ERR_MEMBER_TIME', { values: { member, action, reason: reason === '' ? 'no answer' : reason }, place: member });
}

/** Something that the member needs is not on this node. */
export function setupError(member: string, reason: string): DrbdtsError {
  return drbdtsError('ERR_MEMBER_SETUP', { values: { member, reason }, place: member });
}

/** What a program said, in one line, for a reason. */
export function saying(result: ProgramResult): string {
  const text = result.tail.split('\n').slice(-3).join(' | ').trim();
  const end = result.how === 'hangs' ? 'it hangs in the kernel' : result.exitCode === 128 ? 'ended by a signal' : `exit code ${result.exitCode}`;
  return text === '' ? end : `${text} (${end})`;
}

export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Resolves as `work` does, or rejects as soon as the signal fires: for work that can not be ended. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason === hardAbort ? new Error('ended at once') : signal.reason);
    if (signal.aborted) {
      onAbort();
      work.catch(() => undefined);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Tries `attempt` until it gives true. It returns what it waits for otherwise, and throws when waiting is no use. When the signal fires the
 * error tells what was waited for last; `underway` says what the very first attempt is at. Most waits are short: the first pauses are, too, and
 * grow to `pauseMs`.
 */
export async function retryUntil(
  member: string,
  action: MemberAction,
  clock: Clock,
  signal: AbortSignal,
  pauseMs: number,
  attempt: () => Promise<true | string>,
  underway: () => string = () => '',
): Promise<void> {
  let last = '';
  let waitMs = pauseMs / firstPauses;
  while (!signal.aborted) {
    let outcome: true | string;
    try {
      outcome = await orAborted(attempt(), signal);
    } catch (error) {
      if (signal.aborted) break;
      throw error;
    }
    if (outcome === true) return;
    last = outcome;
    try {
      await clock.sleep(waitMs, signal);
    } catch {
      break;
    }
    waitMs = Math.min(pauseMs, waitMs * 2);
  }
  throw timeError(member, action, last === '' ? underway() : last);
}

