/** Status values for tests: a healthy pair, changed by what a test says. */
import type { ResourceStatus, StatusReply, VolumeStatus } from '../../../src/control/messages.js';

export type Resync = NonNullable<VolumeStatus['resync']>;

export function makeVolume(changes: Partial<VolumeStatus> = {}): VolumeStatus {
  return {
    volume: 0,
    minor: 0,
    device: '/dev/drbd0',
    deviceUp: false,
    disk: 'UpToDate',
    peerDisk: 'UpToDate',
    connection: 'Connected',
    role: 'Secondary',
    peerRole: 'Secondary',
    sizeKib: 1048508,
    mounted: null,
    fstype: null,
    uuids: { current: '1334DC39EA5265AC', bitmap: '0000000000000000', history0: 'FDF45E65BE83C9C4', history1: '0000000000000004' },
    metaFlags: 0x015,
    outOfSyncKib: 0,
    flags: 'r-----',
    suspended: [],
    resyncSuspended: [],
    resync: null,
    counters: {},
    writeOrdering: 'f',
    reason: '',
    arbitration: null,
    ...changes,
  };
}

export function makeResource(volumes: readonly VolumeStatus[] = [makeVolume()], changes: Partial<ResourceStatus> = {}): ResourceStatus {
  const first = volumes[0] ?? makeVolume();
  return {
    name: 'r0',
    up: true,
    role: first.role,
    peerRole: first.peerRole,
    peerName: 'master2',
    connection: first.connection,
    connectionReason: '',
    protocol: 'C',
    agreedVersion: 101,
    features: 0xf,
    volumes: [...volumes],
    ...changes,
  };
}

export function makeStatus(resources: readonly ResourceStatus[] = [makeResource()]): StatusReply {
  return { node: 'master1', version: '0.1.0', resources: [...resources] };
}

/** The resync of the sample in drbd-protocol §8.1. */
export function makeResync(changes: Partial<Resync> = {}): Resync {
  return {
    kind: 'resync',
    totalKib: 1048508,
    leftKib: 924860,
    failedKib: 0,
    percent: 12.2,
    speedKibPerS: 20608,
    averageKibPerS: 20608,
    wantKibPerS: 0,
    finishSeconds: 44,
    stalled: false,
    ...changes,
  };
}
