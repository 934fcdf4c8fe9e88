/**
 * Random fault schedules from a seed (pure): which faults, on whom, when, for how long. The same seed gives the same schedule for ever on the
 * same version of this file. What each fault does is in effects.ts, one entry for each kind.
 */
import { random } from '../cluster-sim/scheduler.js';

/** Whom a fault hits is decided when it begins: who serves then, or the other one. */
export type Target = 'active' | 'passive';

interface KindSpec {
  /** how often it is drawn, relative to the others. */
  readonly weight: number;
  readonly targeted: boolean;
  /** shortest and longest duration; null: it is over at once. */
  readonly lastsMs: readonly [number, number] | null;
  /** `NODE` is replaced by the target. */
  readonly text: string;
}

const second = 1000;

export const faultKinds = {
  'kill-drbdtsd': { weight: 3, targeted: true, lastsMs: null, text: 'drbdtsd of NODE killed' },
  'kill-clusterd': { weight: 3, targeted: true, lastsMs: [0, 5 * second], text: 'clusterd of NODE killed' },
  'kill-keeper': { weight: 2, targeted: true, lastsMs: [0, 3 * second], text: 'keeper and drbdtsd of NODE killed' },
  'kill-node': { weight: 4, targeted: true, lastsMs: [500, 8 * second], text: 'NODE without power' },
  'reload-clusterd': { weight: 1, targeted: true, lastsMs: null, text: 'clusterd of NODE reloaded' },
  'stop-clusterd': { weight: 3, targeted: true, lastsMs: [200, 5 * second], text: 'clusterd of NODE stands still' },
  'stop-drbdtsd': { weight: 3, targeted: true, lastsMs: [200, 5 * second], text: 'drbdtsd of NODE stands still' },
  'stop-node': { weight: 4, targeted: true, lastsMs: [200, 6 * second], text: 'NODE stands still' },
  'cut-replication': { weight: 2, targeted: false, lastsMs: [500, 6 * second], text: 'replication cut' },
  'cut-replication-to': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'replication cut towards NODE only' },
  'cut-heartbeats': { weight: 2, targeted: false, lastsMs: [500, 6 * second], text: 'heartbeats cut on all links' },
  'cut-heartbeats-to': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'heartbeats cut towards NODE only' },
  'cut-direct': { weight: 2, targeted: false, lastsMs: [500, 6 * second], text: 'direct link cut' },
  'cut-lan': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'NODE cut off the service network' },
  'deafen-lan': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'NODE hears nothing on the service network' },
  'mute-lan': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'NODE is not heard on the service network' },
  isolate: { weight: 3, targeted: true, lastsMs: [500, 7 * second], text: 'NODE cut off from everybody' },
  deafen: { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'NODE hears nobody' },
  mute: { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'nobody hears NODE' },
  'kill-witness': { weight: 2, targeted: false, lastsMs: [0, 5 * second], text: 'witness killed' },
  'stop-witness': { weight: 1, targeted: false, lastsMs: [500, 5 * second], text: 'witness stands still' },
  'old-witness': { weight: 1, targeted: false, lastsMs: [0, 2 * second], text: 'witness restored from an old copy' },
  'cut-witness': { weight: 2, targeted: false, lastsMs: [500, 6 * second], text: 'witness cut off from everybody' },
  'cut-witness-from': { weight: 2, targeted: true, lastsMs: [500, 6 * second], text: 'witness cut off from NODE' },
  'disk-errors': { weight: 3, targeted: true, lastsMs: [500, 6 * second], text: 'disk of NODE answers with errors' },
  'disk-hangs': { weight: 2, targeted: true, lastsMs: [300, 4 * second], text: 'disk of NODE does not answer' },
  move: { weight: 3, targeted: false, lastsMs: null, text: 'group moved by hand' },
  standby: { weight: 2, targeted: true, lastsMs: [1 * second, 4 * second], text: 'NODE in standby' },
} as const satisfies Record<string, KindSpec>;

export type FaultKind = keyof typeof faultKinds;
export const kindNames = Object.keys(faultKinds) as FaultKind[];

export interface Fault {
  readonly kind: FaultKind;
  /** null for a fault that hits no node in particular. */
  readonly on: Target | null;
  /** since the beginning of the schedule. */
  readonly atMs: number;
  /** 0 for what is over at once. */
  readonly forMs: number;
}

export interface Schedule {
  readonly seed: number;
  /** ordered by `atMs`. */
  readonly faults: readonly Fault[];
  /** when the last fault is over, by the schedule. */
  readonly endMs: number;
}

/** All faults begin within this time. */
export const beginWithinMs = 4000;
/** No fault lasts beyond this time. */
export const endWithinMs = 9000;

function drawKind(draw: (below: number) => number, among: readonly FaultKind[]): FaultKind {
  let rest = draw(among.reduce((sum, kind) => sum + faultKinds[kind].weight, 0));
  for (const kind of among) {
    rest -= faultKinds[kind].weight;
    if (rest < 0) return kind;
  }
  throw new Error('no kind of fault to draw from');
}

/**
 * Two to four faults, which may overlap in any way. At most one disk fails: the promise is for one disk less, not for none. `only` limits the
 * kinds.
 */
export function drawSchedule(seed: number, only: readonly FaultKind[] = kindNames): Schedule {
  const draw = random(seed);
  const count = 2 + draw(3);
  const faults: Fault[] = [];
  let kinds = only;
  while (faults.length < count && kinds.length > 0) {
    const kind = drawKind(draw, kinds);
    const { targeted, lastsMs } = faultKinds[kind] as KindSpec;
    const atMs = draw(beginWithinMs);
    const on = targeted ? (draw(3) === 0 ? 'passive' : 'active') : null;
    const forMs = lastsMs === null ? 0 : Math.min(lastsMs[0] + draw(lastsMs[1] - lastsMs[0]), endWithinMs - atMs);
    faults.push({ kind, on, atMs, forMs });
    if (kind === 'disk-errors') kinds = kinds.filter((each) => each !== 'disk-errors');
  }
  faults.sort((left, right) => left.atMs - right.atMs);
  return { seed, faults, endMs: Math.max(0, ...faults.map(({ atMs, forMs }) => atMs + forMs)) };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** `NODE without power at 1.2 s for 3.0 s`, with the target's word for NODE. */
export function faultText({ kind, on, atMs, forMs }: Fault): string {
  const text = faultKinds[kind].text.replace('NODE', `the ${on ?? ''} node`);
  return `${text} at ${seconds(atMs)}${forMs > 0 ? ` for ${seconds(forMs)}` : ''}`;
}
