/** What `vrrp status` shows of an instance. Pure. */
import { hearingView } from './hearing.js';
import { type MachineState, ownFaults, priorityOf, termsOf } from './machine-state.js';
import { effectivePriority, masterDownMs, skewMs, tickMs } from './rules.js';
import type { Hearing, VrrpConfig, VrrpSnapshot } from './types.js';

/** Only masters speak, so silence means something else in each state. */
function hearingSentence(state: MachineState, hearing: Hearing, text: string): string {
  if (hearing === 'nobody ever' && state.phase === 'master') return 'peer never heard: as it should be while this node is the only master';
  if (hearing === 'nobody ever' && state.phase === 'backup') return 'peer never heard: no advert of any kind has come in for this virtual router';
  return text;
}

export function snapshot(config: VrrpConfig, state: MachineState, nowMs: number): VrrpSnapshot {
  const priority = priorityOf(config, state);
  const terms = termsOf(config, state);
  const downMs = masterDownMs(config, priority, state.masterIntervalMs);
  const { hearing, text, senders } = hearingView(state.hearing, nowMs, downMs);
  const faults = ownFaults(config, state).map((fault) => fault.text);
  return {
    name: config.name,
    state: state.phase,
    sinceMs: state.sinceMs,
    reason: state.reason,
    faults: state.groupFault === null ? faults : [...faults, `${state.groupFault.member} of the same group is in fault`],
    basePriority: config.priority,
    effectivePriority: priority,
    terms: [{ value: config.priority, from: 'base' }, ...terms],
    clamped: effectivePriority(config.priority, terms).clamped,
    master: state.master,
    masterPriority: state.phase === 'master' ? priority : state.masterPriority,
    holdsAddresses: state.held,
    masterIntervalMs: state.masterIntervalMs,
    skewMs: skewMs(config, priority, state.masterIntervalMs),
    masterDownMs: downMs,
    masterDownAtMs: state.phase === 'backup' ? state.downAtMs : null,
    preemptAtMs: state.preemptAtMs !== null && state.preemptAtMs > nowMs ? state.preemptAtMs : null,
    startAtMs: state.startAtMs,
    hearing,
    hearingText: hearingSentence(state, hearing, text),
    senders,
    ...state.stats,
    failoverMs: state.phase === 'backup' ? { min: downMs - state.masterIntervalMs, max: downMs + tickMs(config) } : null,
  };
}
