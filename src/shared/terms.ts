/**
 * The field's words, spelled as DRBD prints them. One place for every name that
 * appears in code, logs, API, CLI and metrics; the addon exports the same lists and
 * a test compares both.
 */

export const roles = ['Unknown', 'Primary', 'Secondary'] as const;
export type Role = (typeof roles)[number];

/** Connection states, indexed by their wire number (drbd-protocol §5.2). */
export const connectionStates = [
  'StandAlone', 'Disconnecting', 'Unconnected', 'Timeout', 'BrokenPipe', 'NetworkFailure', 'ProtocolError', 'TearDown',
  'WFConnection', 'WFReportParams', 'Connected', 'StartingSyncS', 'StartingSyncT', 'WFBitMapS', 'WFBitMapT', 'WFSyncUUID',
  'SyncSource', 'SyncTarget', 'VerifyS', 'VerifyT', 'PausedSyncS', 'PausedSyncT', 'Ahead', 'Behind',
] as const;
export type ConnectionState = (typeof connectionStates)[number];

/** Disk states, indexed by their wire number (drbd-protocol §5.3). */
export const diskStates = [
  'Diskless', 'Attaching', 'Failed', 'Negotiating', 'Inconsistent', 'Outdated', 'DUnknown', 'Consistent', 'UpToDate',
] as const;
export type DiskState = (typeof diskStates)[number];

export const replicationProtocols = ['A', 'B', 'C'] as const;
export type ReplicationProtocol = (typeof replicationProtocols)[number];

/** Handlers the engine may call (drbd.conf section `handlers`). */
export const handlerNames = [
  'fence-peer', 'before-resync-target', 'after-resync-target', 'before-resync-source', 'split-brain', 'initial-split-brain',
  'pri-lost', 'pri-lost-after-sb', 'pri-on-incon-degr', 'local-io-error', 'out-of-sync',
] as const;
export type HandlerName = (typeof handlerNames)[number];
