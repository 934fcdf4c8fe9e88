/**
 * What an instance watches: scripts, interfaces, processes, files. Results come in as events, out come terms of the effective priority and faults.
 * Pure; who runs the scripts and reads the files is elsewhere.
 *
 *   weight of the use      up      down           A script counts in 0 ... rise+fall-1 and is up from `rise` on: `fall` failures in a row turn it
 *   0                      nothing fault          down, `rise` successes in a row up, one contrary result starts the count again. At first one
 *   +w                     +w      nothing        result decides, unless `initFail` says that it has failed until `rise` successes.
 *   -w                     nothing -w             Without a result it contributes nothing; with weight 0 it is a quiet fault.
 *   reverse                signs change places; weight 0: fault while up
 *
 * A file adds its number times the weight; with weight 0 any number but 0 is a fault, and so is a product of -254 or less.
 */
import { ownerPriority } from '../../config/vrrp-types.js';
import type { Fault, PriorityTerm, TrackResult } from './types.js';

export type TrackKind = 'script' | 'interface' | 'process' | 'file';

export interface ScriptRule {
  kind: 'script';
  name: string;
  rise: number;
  fall: number;
  initFail: boolean;
}
export interface ProcessRule {
  kind: 'process';
  name: string;
  /** up while at least so many run. */
  quorum: number;
}
export type TrackRule = ScriptRule | ProcessRule | { kind: 'interface'; name: string } | { kind: 'file'; name: string };

/** An instance looks at it, with its own weight. */
export interface TrackUse {
  kind: TrackKind;
  name: string;
  /** -253 to 253; of a file -254 to 254. */
  weight: number;
  reverse: boolean;
}

export type TrackEvent =
  /** `detail`: `exit status 1`, `killed after 3 s`. */
  | { kind: 'script'; name: string; ok: boolean; detail: string }
  /** `detail`: `no carrier`, `is down`, `does not exist`. */
  | { kind: 'interface'; name: string; up: boolean; detail: string }
  | { kind: 'process'; name: string; running: number }
  /** null: there is no number to be read; `detail` says why. */
  | { kind: 'file'; name: string; value: number | null; detail: string };

export interface Tracked {
  readonly kind: TrackKind;
  readonly name: string;
  /** null: no result yet. */
  readonly up: boolean | null;
  /** of a script: where its count stands; of a file: its number. */
  readonly count: number;
  readonly detail: string;
}
export type TrackState = readonly Tracked[];

export function initialTrack(rules: readonly TrackRule[]): TrackState {
  return rules.map((rule) => {
    const failed = rule.kind === 'script' && rule.initFail;
    const count = rule.kind === 'script' && !rule.initFail ? rule.rise - 1 : 0;
    return { kind: rule.kind, name: rule.name, up: failed ? false : null, count, detail: failed ? 'failed until it succeeds (init_fail)' : 'no result yet' };
  });
}

function scriptStep(rule: ScriptRule, before: Tracked, ok: boolean): number {
  const { rise, fall } = rule;
  if (ok) return before.count < rise - 1 ? before.count + 1 : rise + fall - 1;
  return before.count > rise ? before.count - 1 : 0;
}

function next(rule: TrackRule, before: Tracked, event: TrackEvent): Tracked {
  if (event.kind === 'script' && rule.kind === 'script') {
    const count = scriptStep(rule, before, event.ok);
    return { ...before, count, up: count >= rule.rise, detail: event.detail };
  }
  if (event.kind === 'interface') return { ...before, up: event.up, detail: event.detail };
  if (event.kind === 'process' && rule.kind === 'process') {
    return { ...before, up: event.running >= rule.quorum, count: event.running, detail: `${event.running} running` };
  }
  if (event.kind === 'file') return { ...before, up: event.value === null ? null : event.value === 0, count: event.value ?? 0, detail: event.value === null ? event.detail : `number ${event.value}` };
  return before;
}

/** Takes one result. `changes`: a line for each thing that became up or down. Results of what is not in `rules` change nothing. */
export function trackStep(rules: readonly TrackRule[], state: TrackState, event: TrackEvent): { state: TrackState; changes: string[] } {
  const rule = rules.find((each) => each.kind === event.kind && each.name === event.name);
  const before = state.find((each) => each.kind === event.kind && each.name === event.name);
  if (rule === undefined || before === undefined) return { state, changes: [] };
  const after = next(rule, before, event);
  const changes = after.up === before.up && (after.kind !== 'file' || after.count === before.count) ? [] : [`${after.kind} ${after.name} ${after.kind === 'file' ? 'changed' : after.up ? 'is up' : 'is down'}: ${after.detail}`];
  return { state: state.map((each) => (each === before ? after : each)), changes };
}

/** What a weight adds when the thing is up or down. */
export function contribution(weight: number, up: boolean, reverse: boolean): number {
  const plain = weight > 0 ? (up ? weight : 0) : up ? 0 : weight;
  return plain === 0 ? 0 : reverse ? -plain : plain;
}

function fileResult(use: TrackUse, tracked: Tracked): { term: number; fault: string | null } {
  if (tracked.up === null) return { term: 0, fault: null };
  if (use.weight === 0) return { term: 0, fault: (tracked.count !== 0) !== use.reverse ? `file ${use.name} holds ${tracked.count}` : null };
  const product = tracked.count * use.weight * (use.reverse ? -1 : 1);
  if (product <= -254) return { term: 0, fault: `file ${use.name} holds ${tracked.count}, times its weight ${use.weight} that is ${product}` };
  return { term: Math.min(254, product === 0 ? 0 : product), fault: null };
}

/**
 * Terms and faults of one instance. Weights do nothing for an owner (base 255), nor with `ignoreWeights` (members of a sync group unless it says
 * otherwise); things with weight 0 are faults all the same.
 */
export function trackResult(uses: readonly TrackUse[], state: TrackState, base: number, ignoreWeights = false): TrackResult {
  const terms: PriorityTerm[] = [];
  const faults: Fault[] = [];
  const weightless = base === ownerPriority || ignoreWeights;
  for (const use of uses) {
    const from = `${use.kind} ${use.name}`;
    const tracked = state.find((each) => each.kind === use.kind && each.name === use.name);
    if (tracked === undefined || tracked.up === null) {
      if (use.weight === 0 && use.kind !== 'file') faults.push({ text: `${from}: ${tracked?.detail ?? 'is not watched'}`, quiet: tracked !== undefined });
      continue;
    }
    if (use.kind === 'file') {
      const { term, fault } = fileResult(use, tracked);
      if (fault !== null && (use.weight === 0 || !weightless)) faults.push({ text: fault, quiet: false });
      else if (term !== 0 && !weightless) terms.push({ value: term, from });
    } else if (use.weight === 0) {
      if (tracked.up === use.reverse) faults.push({ text: `${from} is ${tracked.up ? 'up' : 'down'} (${tracked.detail})`, quiet: false });
    } else {
      const value = contribution(use.weight, tracked.up, use.reverse);
      if (value !== 0 && !weightless) terms.push({ value, from });
    }
  }
  return { terms, faults };
}
