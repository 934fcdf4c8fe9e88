/** Carries out wait-connect and wait-sync: the limit of wait.ts, progress once a second and at each change. */
import type { ProgressRecord } from '../control/messages.js';
import type { VerbContext } from '../control/server.js';
import { drbdtsError } from '../shared/errors.js';
import type { NativeSnapshot } from './native-api.js';
import { perMille } from './proc-drbd.js';
import type { Resource } from './resource.js';
import { type WaitKind, waitLimit, waitState } from './wait.js';

const progressMs = 1000;
/** setTimeout takes at most 2^31 ms */
const timerSecondsMax = 2_000_000;

function progressOf(snapshot: NativeSnapshot): ProgressRecord[] {
  return snapshot.volumes.map((volume) => {
    const running = volume.resyncTotalBits > 0n;
    return {
      resource: snapshot.name,
      volume: volume.volume,
      connection: volume.connection,
      percent: running ? perMille(volume.resyncLeftBits, volume.resyncTotalBits) / 10 : null,
      leftKib: running ? Number(volume.resyncLeftBits) * 4 : null,
      totalKib: running ? Number(volume.resyncTotalBits) * 4 : null,
    };
  });
}

/** Waits; gives the remarks to print. `timeoutSeconds` overrides the three options (0: for ever). */
export async function followWait(
  resource: Resource,
  kind: WaitKind,
  timeoutSeconds: number | undefined,
  context: VerbContext,
): Promise<string[]> {
  const before = resource.snapshot();
  const peerOutdated = before?.volumes.some((volume) => volume.peerDisk === 'Outdated') ?? false;
  const limit = waitLimit(resource.config.startup, resource.degraded, peerOutdated);
  const seconds = Math.min(timeoutSeconds ?? limit.seconds, timerSecondsMax);
  const expired = new AbortController();
  const timer = seconds > 0 ? setTimeout(() => expired.abort(), seconds * 1000) : null;
  const report = (): void => {
    const snapshot = resource.snapshot();
    if (snapshot !== null) for (const record of progressOf(snapshot)) context.progress(record);
  };
  const ticker = setInterval(report, progressMs);
  try {
    await resource.waitFor((snapshot) => waitState(kind, snapshot) !== 'waiting', AbortSignal.any([context.signal, expired.signal]));
  } catch (error) {
    if (!expired.signal.aborted) throw error;
    throw drbdtsError('ERR_WAIT_TIMEOUT', {
      values: { what: kind === 'wait-connect' ? 'the connection' : 'the resync', resource: resource.name },
      place: resource.name,
    });
  } finally {
    if (timer !== null) clearTimeout(timer);
    clearInterval(ticker);
  }
  report();
  const state = waitState(kind, resource.snapshot());
  if (state === 'stand-alone') throw drbdtsError('ERR_WAIT_STANDALONE', { values: { resource: resource.name }, place: resource.name });
  if (state === 'down') throw drbdtsError('ERR_WAIT_DOWN', { values: { resource: resource.name }, place: resource.name });
  return timeoutSeconds === undefined ? limit.notices : [];
}
