/** What the group machine does next, from its goal and the members' states alone. Called after each event. */
import {
  abort, configOf, countFailure, enter, fail, leftOver, mayRun, memberOf, monitored, monitorFailed, run, type Step, stopFailed,
} from './group-step.js';
import { type GroupState, type MemberState, stopLevelsOf } from './group-types.js';

export function plan(at: Step): void {
  const { state } = at;
  if (state.maintenance) return;
  if (state.goal === 'start') planStart(at);
  else if (state.goal === 'stop') planStop(at);
  if (state.goal === 'rest') planRest(at);
}

function probeUnknown(at: Step): void {
  for (const [index, member] of at.state.members.entries()) if (member.phase === 'unknown' && member.running === null) run(at, index, 'probe');
}

function planStart(at: Step): void {
  const { state } = at;
  const unknown = state.members.some((member) => member.phase === 'unknown');
  if (unknown) {
    // a start before the first probe: see what runs
    probeUnknown(at);
    return;
  }
  if (state.members.some((member) => member.running?.action === 'probe' && !member.running.stuck)) return;
  const first = state.members.findIndex((member) => member.phase !== 'started');
  if (first < 0) {
    state.goal = 'rest';
    enter(at, 'started', 'started');
    return;
  }
  // what is right of the gap must not run while the gap is filled
  const right = state.members.findLastIndex((member, index) => index > first && (member.phase !== 'stopped' || member.running !== null));
  const index = right < 0 ? first : right;
  const member = memberOf(state, index);
  if (member.running?.stuck === true) {
    countFailure(at);
    fail(at, `${configOf(state, index).name}: ${member.reason}`);
    planStop(at);
    return;
  }
  if (member.running !== null) {
    if (member.running.action === 'monitor' || (member.running.action === 'start' && index !== first)) abort(at, index);
    return;
  }
  run(at, index, member.phase === 'stopped' ? 'start' : 'stop');
}

function givenUp(state: GroupState): boolean {
  return state.phase === 'stop-failed';
}

/** Stops a member that is next in line; what it does otherwise makes way first. */
function stopMember(at: Step, index: number): void {
  const member = memberOf(at.state, index);
  if (member.running === null) {
    if (member.level < stopLevelsOf[configOf(at.state, index).kind].length) run(at, index, 'stop');
  } else if (member.running.stuck) stopFailed(at, `${configOf(at.state, index).name}: ${member.reason}`);
  else if (member.running.action !== 'stop') abort(at, index);
}

function planStop(at: Step): void {
  const { state } = at;
  const isVip = (index: number): boolean => configOf(state, index).kind === 'vip';
  // nothing may begin to run while the rest stops, wherever it stands
  for (const [index, member] of state.members.entries()) if (member.running?.action === 'start') abort(at, index);
  if (state.urgent) for (const [index, member] of state.members.entries()) if (isVip(index) && mayRun(member)) stopMember(at, index);
  if (givenUp(state)) return;
  const next = state.members.findLastIndex((member, index) => mayRun(member) && !(state.urgent && isVip(index)));
  if (next >= 0) {
    stopMember(at, next);
    // once more for the addresses, which are still withdrawn when the rest has failed
    if (givenUp(state)) planStop(at);
    return;
  }
  if (state.members.some(mayRun)) return;
  state.goal = 'rest';
  state.urgent = false;
  state.fenceAtMs = null;
  if (state.failure === '') enter(at, 'stopped', `stopped: ${state.reason}`);
  else enter(at, 'failed', `stopped and not tried here again: ${state.failure}`);
}

function planRest(at: Step): void {
  const { state } = at;
  const probing = state.members.some((member) => member.running?.action === 'probe' && !member.running.stuck);
  if (!probing) conclude(at);
  if (state.goal !== 'rest') {
    plan(at);
    return;
  }
  for (const [index, member] of state.members.entries()) {
    if (member.running === null && monitored(state, index) && at.now >= member.nextMonitorMs) run(at, index, 'monitor');
  }
}

/** All that was asked has been answered: what is the group? */
function conclude(at: Step): void {
  const { state } = at;
  if (state.phase === 'unknown' && state.members.some((member) => member.phase === 'unknown')) {
    // a probe that had to make way for a plan given up meanwhile; before the first one nothing is done unasked
    if (state.lives > 0) probeUnknown(at);
    return;
  }
  const count = (phase: MemberState['phase']): number => state.members.filter((member) => member.phase === phase).length;
  if (state.phase !== 'started') {
    settle(at, count('started'), count('stopped'), state.members.length);
    return;
  }
  const index = state.members.findIndex((member) => member.phase !== 'started');
  if (index < 0) return;
  // a probe of a running group that does not find all of it is as good as a failed monitor
  const { reason } = memberOf(state, index);
  monitorFailed(at, configOf(state, index).name, reason === '' ? 'the probe found it stopped' : reason);
}

/** What a probe of a group that was not known to run says about it. */
function settle(at: Step, started: number, stopped: number, all: number): void {
  const { state } = at;
  if (started === all) {
    state.failure = '';
    enter(at, 'started', 'runs here already and is taken over as it is');
  } else if (stopped === all) {
    if (state.failure === '') enter(at, 'stopped', 'does not run here');
    else enter(at, 'failed', `does not run here and is not tried: ${state.failure}`);
  } else enter(at, 'partial', `runs here in part: ${leftOver(state)}`);
}
