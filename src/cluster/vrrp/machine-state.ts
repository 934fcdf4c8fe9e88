/** What the machine remembers of one instance, and what follows from it without an event. Pure. */
import { heardNobody, type HearingState } from './hearing.js';
import { effectivePriority } from './rules.js';
import { ownerPriority } from '../../config/vrrp-types.js';
import type { Fault, GateState, PriorityTerm, TrackResult, VrrpConfig, VrrpSnapshot, VrrpState } from './types.js';

export interface MachineState {
  readonly phase: VrrpState;
  readonly sinceMs: number;
  readonly reason: string;
  /** a member of a sync group asks before it becomes master. */
  readonly grouped: boolean;
  readonly started: boolean;
  readonly source: string | null;
  readonly tracked: TrackResult;
  readonly gate: { readonly state: GateState; readonly reason: string } | null;
  readonly groupFault: { readonly member: string; readonly quiet: boolean } | null;
  /** Master_Down ended; the rest of the group has to agree. */
  readonly wants: boolean;
  readonly downAtMs: number | null;
  readonly preemptAtMs: number | null;
  readonly startAtMs: number | null;
  readonly heardUntilMs: number;
  /** did already listen longer because it had slept, since the last advert that kept it. */
  readonly listened: boolean;
  readonly master: string | null;
  readonly masterPriority: number | null;
  readonly masterIntervalMs: number;
  /** last advert of the present master that kept this backup; null: none since it is one. */
  readonly keptMs: number | null;
  readonly lastSentMs: number;
  readonly answeredMs: number;
  readonly contentionMs: number;
  readonly burst: { readonly atMs: number; readonly frames: number } | null;
  readonly refreshAtMs: number | null;
  readonly held: boolean;
  /** what the status was told last (notifyPriority). */
  readonly shownPriority: number;
  /** a fault that nobody was told of: a check without a result. */
  readonly quiet: boolean;
  readonly hearing: HearingState;
  readonly stats: Pick<VrrpSnapshot, 'worstSilenceMs' | 'worstSilencePart' | 'worstOwnGapMs' | 'becameMaster' | 'lapses'>;
}

/** Before `start`. `grouped`: it is a member of a sync group and driven by sync.ts. */
export function initialMachine(config: VrrpConfig, nowMs: number, grouped = false): MachineState {
  return {
    phase: 'initialize', sinceMs: nowMs, reason: 'not started', grouped, started: false, source: null,
    tracked: { terms: [], faults: [] }, gate: null, groupFault: null, wants: false, downAtMs: null, preemptAtMs: null, startAtMs: null,
    heardUntilMs: nowMs, listened: false, master: null, masterPriority: null, masterIntervalMs: config.intervalMs, keptMs: null,
    lastSentMs: Number.NEGATIVE_INFINITY, answeredMs: Number.NEGATIVE_INFINITY, contentionMs: Number.NEGATIVE_INFINITY, burst: null, refreshAtMs: null,
    held: false, shownPriority: config.priority, quiet: false, hearing: heardNobody, stats: { worstSilenceMs: 0, worstSilencePart: 0, worstOwnGapMs: 0, becameMaster: 0, lapses: 0 },
  };
}

/** Terms of the effective priority, those of trackers and that of the gate. */
export function termsOf(config: VrrpConfig, state: MachineState): PriorityTerm[] {
  const gate = config.gate !== null && config.gate.weight !== 0 && state.gate?.state === 'refused' ? [{ value: config.gate.weight, from: `group ${config.gate.group}` }] : [];
  return [...state.tracked.terms, ...gate];
}

/** The priority that counts now. */
export function priorityOf(config: VrrpConfig, state: MachineState): number {
  return effectivePriority(config.priority, termsOf(config, state)).value;
}

/** Own faults: those of the sync group are not among them. */
export function ownFaults(config: VrrpConfig, state: MachineState): Fault[] {
  const faults = [...state.tracked.faults];
  if (state.source === null) faults.push({ text: `interface ${config.interface} has no IPv${config.family} address to send from`, quiet: false });
  if (config.gate !== null) {
    if (state.gate === null) faults.push({ text: `group ${config.gate.group}: nothing is known of it yet`, quiet: true });
    else if (state.gate.state === 'refused' && (config.gate.weight === 0 || config.priority === ownerPriority))
      faults.push({ text: `group ${config.gate.group} may not be served here: ${state.gate.reason}`, quiet: false });
  }
  return faults;
}

/** When a timer ends, for a `tick` then; null: none runs. */
export function nextDeadlineMs(state: MachineState): number | null {
  const all = [state.wants ? null : state.downAtMs, state.startAtMs, state.burst?.atMs ?? null, state.refreshAtMs].filter((each) => each !== null);
  return all.length === 0 ? null : Math.min(...all);
}
