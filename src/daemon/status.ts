/** From the engine's snapshot to the reply of the control API. Pure apart from the mounts, which are handed in. */

import type { ResourceConfig } from '../config/types.js';
import { sidesOf } from '../config/types.js';
import type { ArbitrationStatus, ResourceStatus, VolumeStatus } from '../control/messages.js';
import type { Mount } from './mounts.js';
import type { NativeSnapshot, NativeVolumeSnapshot } from './native-api.js';
import { perMille } from './proc-drbd.js';

export type FindMount = (device: string) => Mount | null;

const kibPerBit = 4;
const resyncStates = new Set(['SyncSource', 'SyncTarget', 'PausedSyncS', 'PausedSyncT', 'VerifyS', 'VerifyT']);

function resyncOf(volume: NativeVolumeSnapshot): VolumeStatus['resync'] {
  if (!resyncStates.has(volume.connection)) return null;
  return {
    kind: volume.connection.startsWith('Verify') ? 'verify' : 'resync',
    totalKib: Number(volume.resyncTotalBits) * kibPerBit,
    leftKib: Number(volume.resyncLeftBits) * kibPerBit,
    failedKib: Number(volume.resyncFailedBits) * kibPerBit,
    percent: perMille(volume.resyncLeftBits, volume.resyncTotalBits) / 10,
    speedKibPerS: volume.resyncSpeedKib,
    averageKibPerS: volume.resyncAverageKib,
    wantKibPerS: volume.resyncWantKib,
    finishSeconds: volume.resyncFinishSeconds,
    stalled: volume.resyncStalled,
  };
}

export type FindArbitration = (volume: number) => ArbitrationStatus | null;

export function volumeStatusOf(volume: NativeVolumeSnapshot, findMount: FindMount, arbitration: ArbitrationStatus | null): VolumeStatus {
  const mount = volume.deviceUp ? findMount(volume.device) : null;
  const [current, bitmap, history0, history1] = volume.uuids;
  const suspended: VolumeStatus['suspended'] = [];
  if (volume.suspended.user) suspended.push('user');
  if (volume.suspended.noData) suspended.push('no-data');
  if (volume.suspended.fencing) suspended.push('fencing');
  const resyncSuspended = (['user', 'peer', 'dependency'] as const).filter((who) => volume.resyncSuspended[who]);
  return {
    volume: volume.volume,
    minor: volume.minor,
    device: volume.device,
    deviceUp: volume.deviceUp,
    disk: volume.disk,
    peerDisk: volume.peerDisk,
    connection: volume.connection,
    role: volume.role,
    peerRole: volume.peerRole,
    sizeKib: Number(volume.sizeSectors / 2n),
    mounted: mount?.mountPoint ?? null,
    fstype: mount?.fstype ?? null,
    uuids: { current, bitmap, history0, history1 },
    metaFlags: volume.metaFlags,
    outOfSyncKib: Number(volume.outOfSyncBits) * kibPerBit,
    flags: volume.flags,
    suspended,
    resyncSuspended,
    resync: resyncOf(volume),
    counters: Object.fromEntries(Object.entries(volume.counters).map(([name, value]) => [name, Number(value)])),
    writeOrdering: volume.writeOrdering,
    reason: volume.diskReason,
    arbitration,
  };
}

const noUuid = '0000000000000000';

/** A volume that is configured and down. */
function downVolume(
  volume: { volume: number; minor: number; device: string },
  arbitration: ArbitrationStatus | null,
): VolumeStatus {
  return {
    ...{
      volume: volume.volume,
      minor: volume.minor,
      device: volume.device,
      deviceUp: false,
      disk: 'Diskless',
      peerDisk: 'DUnknown',
      connection: 'StandAlone',
    },
    ...{
      role: 'Secondary',
      peerRole: 'Unknown',
      sizeKib: 0,
      mounted: null,
      fstype: null,
      metaFlags: 0,
      outOfSyncKib: 0,
      flags: '------',
      writeOrdering: 'f',
      reason: '',
    },
    uuids: { current: noUuid, bitmap: noUuid, history0: noUuid, history1: noUuid },
    suspended: [],
    resyncSuspended: [],
    resync: null,
    counters: {},
    arbitration,
  };
}

/** Status of one resource; `snapshot` null when it is down (`why` then says so if it ended by itself). */
export function resourceStatusOf(
  config: ResourceConfig,
  node: string,
  snapshot: NativeSnapshot | null,
  why: string,
  findMount: FindMount,
  findArbitration: FindArbitration = () => null,
): ResourceStatus {
  const sides = sidesOf(config, node);
  const peerName = sides?.peer.name ?? '';
  if (snapshot === null) {
    return {
      name: config.name,
      up: false,
      role: 'Secondary',
      peerRole: 'Unknown',
      peerName,
      connection: 'StandAlone',
      connectionReason: why,
      protocol: config.protocol,
      agreedVersion: 0,
      features: 0,
      volumes: (sides?.self.volumes ?? []).map((volume) => downVolume(volume, findArbitration(volume.volume))),
    };
  }
  return {
    name: snapshot.name,
    up: true,
    role: snapshot.role,
    peerRole: snapshot.peerRole,
    peerName,
    connection: snapshot.connection,
    connectionReason: snapshot.connectionReason,
    protocol: snapshot.protocol,
    agreedVersion: snapshot.agreedVersion,
    features: snapshot.features,
    volumes: snapshot.volumes.map((volume) => volumeStatusOf(volume, findMount, findArbitration(volume.volume))),
  };
}
