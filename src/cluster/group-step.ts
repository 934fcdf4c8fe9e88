/** What the parts of the group machine share: looking at a state under change and putting down what is to be done. */
import type { MemberConfig } from '../config/cluster-types.js';
import {
  type GroupAction,
  type GroupPhase,
  type GroupState,
  type MemberAction,
  type MemberState,
  type StopLevel,
  stopLevelsOf,
} from './group-types.js';

/** An aborted action has this long to report; one that does not is stuck in the kernel, and so is the member. */
export const abortGraceMs = 5000;
/** Longest time for the levels after the orderly one, which only have to end things. */
const forcedStopMs = 10_000;
/** Least time a level gets when a stop has a limit. */
const levelMinMs = 200;

export interface Step {
  readonly state: GroupState;
  readonly actions: GroupAction[];
  readonly now: number;
}

export function configOf(state: GroupState, index: number): MemberConfig {
  const config = state.config.members[index];
  if (config === undefined) throw new Error(`group ${state.config.name} has no member ${index}`);
  return config;
}

export function memberOf(state: GroupState, index: number): MemberState {
  const member = state.members[index];
  if (member === undefined) throw new Error(`group ${state.config.name} has no member ${index}`);
  return member;
}

export function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

export function enter(at: Step, to: GroupPhase, sentence: string): void {
  const from = at.state.phase;
  if (from === to) return;
  at.state.phase = to;
  at.actions.push({ kind: 'phase', from, to, sentence: `group ${at.state.config.name}: ${sentence}` });
}

export function note(at: Step, level: 'info' | 'warn' | 'error', sentence: string): void {
  at.actions.push({ kind: 'note', level, sentence: `group ${at.state.config.name}: ${sentence}` });
}

/** A stop that gets out of the way of a limit: the rest of the time, shared by the levels that are left. */
export function timeoutOf(at: Step, index: number, action: MemberAction, level: StopLevel): number {
  const config = configOf(at.state, index);
  if (action === 'start') return config.startMs;
  if (action !== 'stop') return config.monitorMs;
  const own = level === 'orderly' ? config.stopMs : Math.min(config.stopMs, forcedStopMs);
  if (at.state.fenceAtMs === null) return own;
  const levelsLeft = stopLevelsOf[config.kind].length - memberOf(at.state, index).level;
  return Math.min(own, Math.max(levelMinMs, (at.state.fenceAtMs - at.now) / Math.max(1, levelsLeft)));
}

export function run(at: Step, index: number, action: MemberAction): void {
  const member = memberOf(at.state, index);
  const level: StopLevel = action === 'stop' ? (stopLevelsOf[configOf(at.state, index).kind][member.level] ?? 'orderly') : 'orderly';
  const timeoutMs = timeoutOf(at, index, action, level);
  at.state.lives += 1;
  const life = at.state.lives;
  member.running = { action, level, life, sinceMs: at.now, deadlineMs: at.now + timeoutMs, abortedMs: null, overdue: false, stuck: false };
  // from now on neither is sure, until the result
  if (action === 'start' || action === 'stop') member.phase = 'failed';
  if (action === 'start') member.reason = '';
  at.actions.push({ kind: 'run', index, action, level, life, timeoutMs });
}

export function abort(at: Step, index: number): void {
  const { running } = memberOf(at.state, index);
  if (running === null || running.abortedMs !== null) return;
  running.abortedMs = at.now;
  at.actions.push({ kind: 'abort', index, life: running.life, hard: at.state.goal === 'stop' && at.state.urgent });
}

/** Not surely stopped, or something is done with it. A probe that hangs changes nothing of what was known before. */
export function mayRun(member: MemberState): boolean {
  if (member.phase !== 'stopped') return true;
  return member.running !== null && !(member.running.stuck && member.running.action === 'probe');
}

/** The members' names and reasons that are not surely stopped, for sentences; '' when all are. */
export function leftOver(state: GroupState): string {
  return state.members
    .flatMap((member, index) =>
      !mayRun(member) ? [] : [configOf(state, index).name + (member.reason === '' ? '' : ` (${member.reason})`)],
    )
    .join(', ');
}

export function stopFailed(at: Step, reason: string): void {
  const { state } = at;
  if (state.phase === 'stop-failed' || state.maintenance) return;
  state.reason = reason;
  state.goal = 'stop';
  // nobody is served from here any more: what can still be withdrawn, is
  state.urgent = true;
  state.fenceAtMs = null;
  enter(at, 'stop-failed', `could not be stopped: ${reason}; the node has to be fenced`);
  at.actions.push({ kind: 'selfFence', reason: `group ${state.config.name} could not be stopped: ${reason}` });
}

/** Everything is stopped, then the group is `failed` for `failure`. */
export function fail(at: Step, failure: string): void {
  const { state } = at;
  if (state.phase === 'stop-failed') return;
  state.failure = failure;
  state.goal = 'stop';
  state.urgent = false;
  state.fenceAtMs = null;
  state.reason = failure;
  for (const member of state.members) member.level = 0;
  enter(at, 'stopping', `stops what was started: ${failure}`);
}

export function countFailure(at: Step): void {
  at.state.failCount += 1;
  at.state.lastFailureMs = at.now;
}

/** Failures older than failureTimeoutMs do not count any more. */
export function forgetFailures(at: Step): void {
  const { state } = at;
  const { failureTimeoutMs } = state.config;
  if (state.failCount === 0 || failureTimeoutMs === 0 || at.now - state.lastFailureMs < failureTimeoutMs) return;
  state.failCount = 0;
  if (state.phase === 'failed' && !state.maintenance) {
    state.failure = '';
    enter(at, 'stopped', `may be started here again: no failure for ${seconds(failureTimeoutMs)}`);
  }
}

export function monitorFailed(at: Step, name: string, reason: string): void {
  const { state } = at;
  if (state.goal === 'stop') return;
  countFailure(at);
  const { migrationThreshold } = state.config;
  const why = `${name} failed: ${reason}`;
  if (migrationThreshold > 0 && state.failCount >= migrationThreshold) {
    const count = migrationThreshold > 1 ? ` (failure ${state.failCount} of ${migrationThreshold})` : '';
    fail(at, `${why}${count}`);
    return;
  }
  state.goal = 'start';
  state.reason = why;
  const of = migrationThreshold > 0 ? ` of ${migrationThreshold}` : '';
  note(at, 'warn', `${why}; restarts on the spot (failure ${state.failCount}${of})`);
  enter(at, 'starting', `${name} and what follows it are restarted`);
}

export function monitored(state: GroupState, index: number): boolean {
  const member = memberOf(state, index);
  return state.phase === 'started' && !state.maintenance && member.phase === 'started' && configOf(state, index).monitorEveryMs > 0;
}
