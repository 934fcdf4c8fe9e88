/**
 * What one virtual server does with the results of its checks. Pure: event in, state and sentences out; what has to be in force follows from the
 * state alone (wantedOf).
 *
 *   check         up      down        A check that is up goes down at its (retries+1)th failure in a row; one success brings it up again.
 *   real server   up      down        Up while all of its checks are up; without checks always.
 *   quorum        there   lost        Gained at `quorum + hysteresis` of weight that is up, lost below `quorum - hysteresis` or at none at all.
 *   gate          open    closed      Closed: nothing is balanced here, the checks go on.
 *
 *   real server       quorum there, or no sorry server     quorum lost, sorry server instead
 *   up, weight > 0    serves                               keeps its connections, gets no new ones
 *   up, weight 0      keeps its connections                keeps its connections
 *   down, inhibit     keeps its connections                keeps its connections
 *   down              out: its connections are ended       out
 */
import type { RealServer, VirtualServer } from '../../config/balancing-types.js';

export interface CheckState {
  readonly up: boolean;
  /** failures in a row. */
  readonly failures: number;
  /** false: there was no result yet. */
  readonly seen: boolean;
  readonly detail: string;
}

export interface RealState {
  readonly name: string;
  readonly checks: readonly CheckState[];
  readonly up: boolean;
  /** set by a dynamic check, null for that of the configuration. */
  readonly weight: number | null;
  readonly sinceMs: number;
}

export interface ServerState {
  readonly real: readonly RealState[];
  readonly quorum: boolean;
  readonly quorumSinceMs: number;
  readonly open: boolean;
  readonly gateReason: string;
}

export type BalancingEvent =
  /** `check`: which of the real server's. `weight`: what a dynamic check says, null for nothing. */
  | { kind: 'check'; real: string; check: number; ok: boolean; detail: string; weight: number | null }
  | { kind: 'gate'; open: boolean; reason: string };

/** Who gets packets. The sorry server is `sorry: true`. */
export interface Destination {
  readonly name: string;
  readonly sorry: boolean;
  readonly address: string;
  readonly port: number;
  /** 0: keeps its connections, gets no new ones. */
  readonly weight: number;
}

export interface Wanted {
  /** false: nothing is in force. */
  readonly active: boolean;
  /** who is missing here has its connections ended. */
  readonly destinations: readonly Destination[];
}

export const sorryName = 'sorry-server';

export const weightOf = (config: RealServer, state: RealState): number => state.weight ?? config.weight;

/** Weight that is up. */
export function liveWeight(config: VirtualServer, state: Pick<ServerState, 'real'>): number {
  return config.realServers.reduce((sum, real, index) => {
    const own = state.real[index];
    return own?.up === true ? sum + weightOf(real, own) : sum;
  }, 0);
}

function quorumNext(config: VirtualServer, before: boolean, live: number): boolean {
  const { quorum, hysteresis } = config;
  return before ? live > 0 && live >= quorum - hysteresis : live >= quorum + hysteresis;
}

/** `nowMs` on any clock that later calls use, too. */
export function initialServer(config: VirtualServer, nowMs: number): ServerState {
  const real = config.realServers.map((one): RealState => {
    const up = !config.initFail || one.checks.length === 0;
    const check: CheckState = { up, failures: 0, seen: false, detail: up ? 'no result yet' : 'down until it succeeds (init-fail)' };
    return { name: one.name, checks: one.checks.map(() => check), up, weight: null, sinceMs: nowMs };
  });
  const live = liveWeight(config, { real });
  return { real, quorum: live > 0 && live >= config.quorum, quorumSinceMs: nowMs, open: config.gate === null, gateReason: config.gate === null ? 'no gate' : 'not known yet' };
}

function checkNext(before: CheckState, retries: number, ok: boolean, detail: string): CheckState {
  if (ok) return { up: true, failures: 0, seen: true, detail };
  const failures = before.failures + 1;
  return { up: before.up && failures <= retries, failures, seen: true, detail };
}

const placeOf = (one: { address: string; port: number }): string => (one.address.includes(':') ? `[${one.address}]:${one.port}` : `${one.address}:${one.port}`);

/** Takes one event. `lines`: a sentence with the reason for each thing that became another. */
export function serverStep(config: VirtualServer, state: ServerState, event: BalancingEvent, nowMs: number): { state: ServerState; lines: string[] } {
  if (event.kind === 'gate') {
    const { open, reason } = event;
    const lines = open === state.open ? [] : [open ? `is in force: ${reason}` : `is not in force: ${reason}`];
    return { state: { ...state, open, gateReason: reason }, lines };
  }
  const index = config.realServers.findIndex(({ name }) => name === event.real);
  const [own, before] = [config.realServers[index], state.real[index]];
  const check = own?.checks[event.check];
  const checkBefore = before?.checks[event.check];
  if (own === undefined || before === undefined || check === undefined || checkBefore === undefined) return { state, lines: [] };
  const lines: string[] = [];
  const checks = before.checks.map((one, at) => (at === event.check ? checkNext(one, check.retries, event.ok, event.detail) : one));
  const up = checks.every((one) => one.up);
  const weight = event.ok && event.weight !== null ? event.weight : before.weight;
  const real: RealState = { ...before, checks, up, weight, sinceMs: up === before.up ? before.sinceMs : nowMs };
  const where = `real server ${own.name} (${placeOf(own)})`;
  const failures = checks[event.check]?.failures ?? 0;
  if (up !== before.up) {
    const what = up ? `is up: check ${check.type}: ${event.detail}` : `is down: check ${check.type} failed ${failures === 1 ? 'once' : `${failures} times`}: ${event.detail}`;
    lines.push(`${where} ${what}${up ? '' : own.inhibitOnFailure ? '; its connections go on' : '; its connections are ended'}`);
  }
  if (weightOf(own, real) !== weightOf(own, before)) lines.push(`${where} has weight ${weightOf(own, real)} instead of ${weightOf(own, before)}: check ${check.type} says so`);
  const all = state.real.map((one, at) => (at === index ? real : one));
  const live = liveWeight(config, { real: all });
  const quorum = quorumNext(config, state.quorum, live);
  if (quorum !== state.quorum) {
    const limit = quorum ? config.quorum + config.hysteresis : Math.max(1, config.quorum - config.hysteresis);
    const sorry = config.sorryServer;
    const then = sorry === null ? '' : quorum ? '; the real servers take over from the sorry server' : `; the sorry server ${placeOf(sorry)} takes over`;
    lines.push(`quorum ${quorum ? 'is there' : 'is lost'}: weight ${live} is up, ${quorum ? 'enough from' : 'needed are'} ${limit}${then}`);
  }
  return { state: { ...state, real: all, quorum, quorumSinceMs: quorum === state.quorum ? state.quorumSinceMs : nowMs }, lines };
}

/** What has to be in force. */
export function wantedOf(config: VirtualServer, state: ServerState): Wanted {
  const sorry = config.sorryServer;
  const instead = sorry !== null && !state.quorum;
  const real = config.realServers.flatMap((own, index): Destination[] => {
    const one = state.real[index];
    if (one === undefined || (!one.up && !own.inhibitOnFailure)) return [];
    return [{ name: own.name, sorry: false, address: own.address, port: own.port, weight: one.up && !instead ? weightOf(own, one) : 0 }];
  });
  // connections that it has go on to their end
  const last: Destination[] = sorry === null ? [] : [{ name: sorryName, sorry: true, ...sorry, weight: instead ? 1 : 0 }];
  return { active: state.open, destinations: [...real, ...last] };
}

/** When the next run of a check begins, counted from the start of the last one; in milliseconds. `random` in [0, 1). */
export function nextCheckMs(config: RealServer, state: RealState, check: number, random: number): number {
  const [own, now] = [config.checks[check], state.checks[check]];
  if (own === undefined || now === undefined) return 0;
  if (now.up && now.failures > 0) return Math.min(own.retryDelayMs, own.everyMs);
  // never later than asked for, and not all at the same moment
  return Math.max(1, Math.round(own.everyMs * (0.9 + 0.1 * random)));
}
