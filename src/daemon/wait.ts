/** wait-connect and wait-sync: which of the three time limits counts, and when the wait is over (pure). */
import type { OptionValues } from '../config/options.js';
import { connectionStates } from '../shared/terms.js';
import type { NativeSnapshot } from './native-api.js';

export interface WaitLimit {
  /** 0 is for ever. */
  seconds: number;
  /** which option it comes from. */
  option: 'wfc-timeout' | 'degr-wfc-timeout' | 'outdated-wfc-timeout';
  /** drbdsetup's remarks about limits that had to be adapted. */
  notices: string[];
}

function shorter(wanted: number, outer: number): boolean {
  return outer === 0 || (wanted !== 0 && wanted <= outer);
}

/**
 * degr-wfc-timeout may not be longer than wfc-timeout, nor outdated-wfc-timeout longer than that; longer ones are cut as drbdsetup does.
 * The peer's being outdated comes before this node's having been alone.
 */
export function waitLimit(startup: OptionValues, degraded: boolean, peerOutdated: boolean): WaitLimit {
  const notices: string[] = [];
  const wfc = Number(startup['wfc-timeout']);
  let degr = Number(startup['degr-wfc-timeout']);
  let outdated = Number(startup['outdated-wfc-timeout']);
  if (!shorter(degr, wfc)) {
    degr = wfc;
    notices.push('degr-wfc-timeout has to be shorter than wfc-timeout', `degr-wfc-timeout implicitly set to wfc-timeout (${wfc}s)`);
  }
  if (!shorter(outdated, degr)) {
    outdated = degr;
    notices.push(
      'outdated-wfc-timeout has to be shorter than degr-wfc-timeout',
      `outdated-wfc-timeout implicitly set to degr-wfc-timeout (${degr}s)`,
    );
  }
  if (peerOutdated) return { seconds: outdated, option: 'outdated-wfc-timeout', notices };
  if (degraded) return { seconds: degr, option: 'degr-wfc-timeout', notices };
  return { seconds: wfc, option: 'wfc-timeout', notices };
}

export type WaitKind = 'wait-connect' | 'wait-sync';
export type WaitState = 'waiting' | 'done' | 'stand-alone' | 'down';

const connected = connectionStates.indexOf('Connected');

/** Where a wait stands. wait-sync ends when no volume resyncs or verifies any more. */
export function waitState(kind: WaitKind, snapshot: NativeSnapshot | null): WaitState {
  if (snapshot === null) return 'down';
  if (snapshot.connection === 'StandAlone') return 'stand-alone';
  const states = [snapshot.connection, ...snapshot.volumes.map((volume) => volume.connection)];
  if (states.some((state) => connectionStates.indexOf(state) < connected)) return 'waiting';
  if (kind === 'wait-connect') return 'done';
  return states.every((state) => state === 'Connected') ? 'done' : 'waiting';
}
