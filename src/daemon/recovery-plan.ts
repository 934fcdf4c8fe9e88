/**
 * What a resource was, for the record, and from the record what is done to bring it back after the daemon was killed or replaced
 * (pure; recover.ts carries it out).
 */
import type { ResourceConfig } from '../config/types.js';
import { connectionStates } from '../shared/terms.js';
import { fenceExit as exits } from './arbitration.js';
import type { NativeSnapshot } from './native-api.js';
import type { ResourceRecord } from './run-state.js';

const connected = connectionStates.indexOf('Connected');

/** The record of a resource that is up. */
export function recordOf(config: ResourceConfig, snapshot: Pick<NativeSnapshot, 'role' | 'connection'>, degraded: boolean): ResourceRecord {
  return {
    config,
    role: snapshot.role,
    connected: connectionStates.indexOf(snapshot.connection) >= connected,
    networked: snapshot.connection !== 'StandAlone',
    degraded,
  };
}

export interface RecoveryPlan {
  connect: boolean;
  /** give the peer time to say that it took over, before this node is Primary again. */
  askPeer: boolean;
  /** become Primary with the device that was kept. */
  promote: boolean;
  /** it was Primary, and its device is gone: say so. */
  deviceLost: boolean;
}

/** `record` null: nothing is known but that the keeper has a device (`deviceKept`). */
export function recoveryPlan(record: Pick<ResourceRecord, 'role' | 'connected' | 'networked'> | null, deviceKept: boolean): RecoveryPlan {
  return {
    connect: record === null || record.networked,
    askPeer: deviceKept && (record === null || (record.networked && record.connected)),
    promote: deviceKept,
    deviceLost: !deviceKept && record?.role === 'Primary',
  };
}

/**
 * Whether a refusal to become Primary again means that the peer goes on without this node: then what was kept can never go on. Other refusals may
 * pass. `fenceExit`: of the last fence-peer, null when it was not asked.
 */
export function peerTookOver(code: string, fenceExit: number | null): boolean {
  return code === 'ERR_STATE_TWO_PRIMARIES' || fenceExit === exits.weAreOut;
}
