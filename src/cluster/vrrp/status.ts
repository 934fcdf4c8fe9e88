/** The machines' snapshots and what is known around them as the control API tells it. Pure. */
import type { VrrpInstanceStatus, VrrpStatus } from '../../control/vrrp-messages.js';
import { version } from '../../shared/version.js';
import type { MachineState } from './machine-state.js';
import type { ScriptResult } from './notify.js';
import { priorityText } from './rules.js';
import { snapshot } from './snapshot.js';
import type { TrackState } from './track.js';
import type { CheckView } from './trackers.js';
import type { Unit } from './unit.js';

export interface StatusInput {
  readonly node: string;
  readonly nowMs: number;
  readonly units: readonly { unit: Unit; state: MachineState; gate: string }[];
  readonly groups: readonly { name: string; state: string; instances: string[]; scripts: ScriptResult[] }[];
  readonly track: TrackState;
  readonly checks: readonly CheckView[];
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

function instanceStatus({ unit, state, gate }: StatusInput['units'][number], track: TrackState, nowMs: number): VrrpInstanceStatus {
  const { config, uses, instance } = unit.own;
  const shown = snapshot(config, state, nowMs);
  const counters = unit.counters();
  const inMs = (at: number | null): number | null => (at === null ? null : round(Math.max(0, at - nowMs)));
  const ago = (at: number | null): number | null => (at === null ? null : round(Math.max(0, nowMs - at)));
  const present = unit.addresses.present();
  return {
    name: shown.name,
    interface: config.interface,
    routerId: config.vrid,
    version: config.version,
    family: config.family,
    state: shown.state,
    forMs: Math.round(nowMs - shown.sinceMs),
    reason: shown.reason,
    faults: shown.faults,
    priorityText: priorityText(shown.basePriority, shown.terms.slice(1)),
    basePriority: shown.basePriority,
    effectivePriority: shown.effectivePriority,
    master: shown.master ?? '',
    masterPriority: shown.masterPriority,
    source: unit.source ?? '',
    addresses: config.addresses.map(({ address, prefixLength, interface: own }) => ({ address, prefix: prefixLength, interface: own ?? config.interface, present: present.has(address) })),
    holdsAddresses: shown.holdsAddresses,
    gate: instance.gate?.group ?? '',
    gateState: gate,
    intervalMs: config.intervalMs,
    masterIntervalMs: shown.masterIntervalMs,
    skewMs: round(shown.skewMs),
    masterDownMs: round(shown.masterDownMs),
    masterDownInMs: inMs(shown.masterDownAtMs),
    preemptInMs: inMs(shown.preemptAtMs),
    startInMs: inMs(shown.startAtMs),
    hearing: shown.hearing,
    hearingText: shown.hearingText,
    senders: shown.senders.map((one) => ({
      ...{ source: one.source, taken: one.taken, priority: one.lastPriority, rejected: one.rejected, rejectedBy: { ...one.rejectedBy }, lastReason: one.lastReason ?? '' },
      takenMsAgo: ago(one.lastTakenMs),
      rejectedMsAgo: ago(one.lastRejectedMs),
    })),
    worstSilenceMs: round(shown.worstSilenceMs),
    worstSilencePart: Math.round(shown.worstSilencePart * 1000) / 1000,
    worstOwnGapMs: round(shown.worstOwnGapMs),
    failoverMs: shown.failoverMs === null ? null : { min: round(shown.failoverMs.min), max: round(shown.failoverMs.max) },
    becameMaster: shown.becameMaster,
    lapses: shown.lapses,
    sent: counters?.sent ?? 0,
    sendErrors: counters?.failed ?? 0,
    lastSendError: counters?.lastError ?? '',
    worstLateMs: round(counters?.worstLateMs ?? 0),
    tracked: uses.map(({ kind, name, weight, reverse }) => {
      const result = track.find((one) => one.kind === kind && one.name === name);
      return { kind, name, weight, reverse, up: result?.up ?? null, detail: result?.detail ?? '' };
    }),
    scripts: unit.notifier.results,
    scriptsWaiting: unit.notifier.waiting,
  };
}

export function statusOf({ node, nowMs, units, groups, track, checks }: StatusInput): VrrpStatus {
  return {
    ...{ node, version },
    instances: units.map((each) => instanceStatus(each, track, nowMs)),
    syncGroups: groups.map(({ name, state, instances, scripts }) => ({ name, state, instances, scripts })),
    checks: [...checks],
  };
}
