/**
 * One machine per group (design "Order"): members start left to right and stop right to left, a failed start is rolled back, a failed stop
 * is escalated and never called a success.
 *
 *            probe                 start                          all run
 *   unknown -------> stopped --------------------> starting ----------------> started
 *      |  \            ^   ^                        |     ^                      |
 *      |   partial     |   | all stopped    failed  |     | restart on the spot  | failed monitor
 *      |     \         |   |                start   v     +----------------------+
 *      +------+--stop--|---+-- stopping <-----------+----------------------------+ (threshold reached, or stop)
 *                      |          |  \
 *            cleanup   |          |   all stopped, but something had failed -> failed --start--> starting
 *                      +----------|-- failed
 *                                 v  the last level failed or nothing answers any more
 *                             stop-failed: selfFence, left by cleanup only
 *
 * What is to be done next follows from the goal and the members' states alone (`plan`), so a plan that changes half-way needs no path of its
 * own. Never two actions of one member at a time: a run that has to make way is aborted and its result awaited.
 */
import type { GroupConfig } from '../config/cluster-types.js';
import { plan } from './group-plan.js';
import {
  abort, abortGraceMs, configOf, countFailure, enter, fail, forgetFailures, leftOver, memberOf, monitored, monitorFailed, note, run, seconds,
  type Step, stopFailed,
} from './group-step.js';
import { type GroupAction, type GroupEvent, type GroupState, type MemberState, type StopLevel, stopLevels, stopLevelsOf } from './group-types.js';

/** A group of which nothing is known. */
export function initialGroup(config: GroupConfig): GroupState {
  return {
    config,
    phase: 'unknown',
    goal: 'rest',
    urgent: false,
    fenceAtMs: null,
    reason: '',
    failure: '',
    failCount: 0,
    lastFailureMs: 0,
    maintenance: false,
    lives: 0,
    members: config.members.map(() => ({ phase: 'unknown', reason: '', running: null, level: 0, nextMonitorMs: 0 })),
  };
}

/** Takes one event; gives the new state (the old one stays as it was) and what is to be done, in order. `nowMs` is monotonic. */
export function step(state: GroupState, event: GroupEvent, nowMs: number): { state: GroupState; actions: GroupAction[] } {
  const members = state.members.map((member) => ({ ...member, running: member.running === null ? null : { ...member.running } }));
  const at: Step = { state: { ...state, members }, actions: [], now: nowMs };
  forgetFailures(at);
  take(at, event);
  watchTime(at);
  plan(at);
  return { state: at.state, actions: at.actions };
}

/** When `tick` is needed next, in ms of the same clock; null when only an event can change anything. */
export function nextTickMs(state: GroupState): number | null {
  const times: number[] = [];
  for (const [index, member] of state.members.entries()) {
    const { running } = member;
    if (running !== null) {
      if (!running.stuck) times.push(running.abortedMs === null ? running.deadlineMs : running.abortedMs + abortGraceMs);
    } else if (monitored(state, index)) times.push(member.nextMonitorMs);
  }
  if (state.fenceAtMs !== null && state.goal === 'stop') times.push(state.fenceAtMs);
  if (state.failCount > 0 && state.config.failureTimeoutMs > 0) times.push(state.lastFailureMs + state.config.failureTimeoutMs);
  return times.length === 0 ? null : Math.min(...times);
}

// --- events

function take(at: Step, event: GroupEvent): void {
  const { state } = at;
  switch (event.kind) {
    case 'probe':
      if (state.goal === 'rest' && !state.maintenance) probeAll(at);
      return;
    case 'start':
      takeStart(at, event.reason);
      return;
    case 'stop':
      takeStop(at, event);
      return;
    case 'memberResult':
      takeResult(at, event);
      return;
    case 'cleanup':
      takeCleanup(at);
      return;
    case 'maintenance':
      takeMaintenance(at, event.on);
      return;
    case 'tick':
      return;
  }
}

function probeAll(at: Step): void {
  for (const [index, member] of at.state.members.entries()) if (member.running === null) run(at, index, 'probe');
}

function takeStart(at: Step, reason: string): void {
  const { state } = at;
  if (state.maintenance || state.goal !== 'rest' || state.phase === 'started' || state.phase === 'stop-failed') return;
  state.goal = 'start';
  state.reason = reason;
  state.failure = '';
  enter(at, 'starting', `is started: ${reason}`);
}

function takeStop(at: Step, event: { reason: string; urgent: boolean; level?: StopLevel; withinMs?: number }): void {
  const { state } = at;
  if (state.maintenance) {
    note(at, 'warn', `is not stopped (${event.reason}): maintenance mode`);
    return;
  }
  if (state.phase === 'stop-failed') return;
  // what a probe that is under way may find makes it `partial`, and then it can be stopped
  if (state.phase === 'stopped' || state.phase === 'failed') return;
  const already = state.goal === 'stop';
  state.goal = 'stop';
  state.reason = event.reason;
  state.urgent ||= event.urgent;
  if (event.withinMs !== undefined) {
    const limit = at.now + event.withinMs;
    state.fenceAtMs = state.fenceAtMs === null ? limit : Math.min(state.fenceAtMs, limit);
  }
  for (const [index, member] of state.members.entries()) {
    if (!already) member.level = 0;
    raiseLevel(at, index, event.level ?? 'orderly');
  }
  enter(at, 'stopping', `is stopped${event.urgent ? ' at once' : ''}: ${event.reason}`);
}

/** The next stop of a member is at least that hard; a milder one that runs makes way. */
function raiseLevel(at: Step, index: number, level: StopLevel): void {
  const member = memberOf(at.state, index);
  const levels = stopLevelsOf[configOf(at.state, index).kind];
  const wanted = levels.findLastIndex((own) => stopLevels.indexOf(own) <= stopLevels.indexOf(level));
  if (wanted <= member.level) return;
  member.level = wanted;
  if (member.running?.action === 'stop' && levels.indexOf(member.running.level) < wanted) abort(at, index);
}

function takeCleanup(at: Step): void {
  const { state } = at;
  if (state.maintenance) return;
  state.failCount = 0;
  state.failure = '';
  if (state.phase === 'failed') enter(at, 'stopped', 'may be started here again: failures are forgotten by command');
  if (state.phase !== 'stop-failed') return;
  restLooking(at, 'is looked at again by command');
}

/** Back to the beginning: nothing is believed until it is probed. */
function restLooking(at: Step, sentence: string): void {
  const { state } = at;
  state.goal = 'rest';
  state.urgent = false;
  state.fenceAtMs = null;
  for (const member of state.members) {
    member.level = 0;
    if (member.running?.stuck !== true) member.phase = 'unknown';
  }
  enter(at, 'unknown', sentence);
  probeAll(at);
}

function takeMaintenance(at: Step, on: boolean): void {
  const { state } = at;
  if (state.maintenance === on) return;
  state.maintenance = on;
  if (on) {
    state.fenceAtMs = null;
    note(at, 'warn', 'maintenance mode: nothing is watched, started or stopped');
    return;
  }
  note(at, 'info', 'maintenance mode ends');
  if (state.phase === 'stop-failed') return;
  restLooking(at, 'is looked at again after maintenance');
}

// --- results

function takeResult(at: Step, event: Extract<GroupEvent, { kind: 'memberResult' }>): void {
  const { state } = at;
  const member = state.members[event.index];
  const running = member?.running;
  // a run that was given up, or one of an earlier life
  if (member === undefined || running == null || running.life !== event.life || running.action !== event.action) return;
  member.running = null;
  const { name, monitorEveryMs } = configOf(state, event.index);
  const after = seconds(running.deadlineMs - running.sinceMs);
  const reason = running.overdue ? `${event.action} not done within ${after}${event.reason === '' ? '' : `: ${event.reason}`}` : event.reason;
  const set = (phase: MemberState['phase'], why = ''): void => {
    member.phase = phase;
    member.reason = why;
  };
  switch (event.action) {
    case 'probe':
      if (event.ok) set(event.found ?? 'stopped');
      else if (running.abortedMs === null || running.overdue) set('failed', reason);
      else set('unknown');
      if (member.phase === 'started') member.nextMonitorMs = at.now + monitorEveryMs;
      return;
    case 'start':
      if (event.ok) {
        set('started');
        member.nextMonitorMs = at.now + monitorEveryMs;
        return;
      }
      set('failed', reason);
      // told to make way: by a stop, or by a restart of something left of it
      if (state.goal !== 'start' || state.maintenance || (running.abortedMs !== null && !running.overdue)) return;
      countFailure(at);
      fail(at, `${name} did not start: ${reason}`);
      return;
    case 'stop':
      if (event.ok) {
        set('stopped');
        member.level = 0;
        return;
      }
      set('failed', reason);
      stopDidNotWork(at, event.index, running.level, reason);
      return;
    case 'monitor':
      member.nextMonitorMs = at.now + monitorEveryMs;
      if (event.ok || state.maintenance || (running.abortedMs !== null && !running.overdue)) return;
      set('failed', reason);
      monitorFailed(at, name, reason);
      return;
  }
}

function stopDidNotWork(at: Step, index: number, level: StopLevel, reason: string): void {
  const { state } = at;
  const member = memberOf(state, index);
  const config = configOf(state, index);
  const levels = stopLevelsOf[config.kind];
  // a milder stop that had to make way says nothing about the harder one
  if (levels.indexOf(level) >= member.level) member.level += 1;
  if (state.phase === 'stop-failed' || state.goal === 'rest') return;
  const next = levels[member.level];
  if (next === undefined) stopFailed(at, `${config.name}: ${reason}`);
  else note(at, 'error', `${config.name} did not stop (${level}): ${reason}; next: ${next}`);
}

// --- time

function watchTime(at: Step): void {
  const { state, now } = at;
  for (const [index, member] of state.members.entries()) {
    const { running } = member;
    if (running === null || running.stuck) continue;
    if (running.abortedMs === null && now >= running.deadlineMs) {
      running.overdue = true;
      abort(at, index);
    } else if (running.abortedMs !== null && now >= running.abortedMs + abortGraceMs) stuck(at, index);
  }
  if (state.goal === 'stop' && state.fenceAtMs !== null && now >= state.fenceAtMs && state.phase !== 'stop-failed') {
    const left = leftOver(state);
    if (left !== '') stopFailed(at, `not done in time: ${left}`);
  }
}

/** A run that does not even end: whatever the member does, nobody knows it. Whoever has to stop it then fences the node. */
function stuck(at: Step, index: number): void {
  const member = memberOf(at.state, index);
  if (member.running === null) return;
  member.running.stuck = true;
  member.reason = `its ${member.running.action} hangs and can not be ended`;
  note(at, 'error', `${configOf(at.state, index).name}: ${member.reason}`);
  if (member.running.action === 'probe' && member.phase === 'stopped') return;
  member.phase = 'failed';
  if (at.state.phase === 'started' && !at.state.maintenance) {
    countFailure(at);
    fail(at, `${configOf(at.state, index).name}: ${member.reason}`);
  }
}
