/**
 * The control API: JSON over HTTP/1.1 on a unix socket (mode 0600, default /run/drbdts/drbdtsd.sock).
 * Schemas here are the one definition for server, client and documentation.
 *
 *   GET  /v1/status                      -> StatusReply
 *   GET  /v1/status/:resource            -> StatusReply with one resource (404 ERR_UNKNOWN_RESOURCE)
 *   GET  /v1/proc                        -> text/plain, the text of 8.4's /proc/drbd
 *   GET  /v1/sh-status/:resource         -> text/plain, shell assignments per volume (sh-status.ts), for resource agents
 *   GET  /v1/events[?resource=][&now=1]  -> text/event-stream of EventRecord (initial dump, `exists -`, then changes)
 *   POST /v1/resources/:resource/:verb   -> VerbReply; body VerbRequest. Verbs: those of the CLI
 *   GET  /v1/config                      -> the configuration in force (secrets masked)
 *   POST /v1/config/check                -> {problems}
 *   POST /v1/reload                      -> read the configuration again
 *   GET  /v1/version
 *   GET  /v1/register/:key               -> RegisterReply; key `group%2FNAME`: who has a group that has no volume (for drbdts-clusterd)
 *   POST /v1/register/:key/claim         -> RegisterReply; body RegisterRequest. Idempotent; `granted` says whether this node may go on
 *   POST /v1/register/:key/release       -> RegisterReply; body RegisterRequest. This node does not have the group (any more)
 *   POST /v1/confirm-fenced              -> ConfirmReply; body ConfirmRequest. An operator says that the other node is off for good
 * Long verbs (wait-*, resync) may be followed with `Accept: text/event-stream`: progress records, then the reply.
 */
import { z } from 'zod';
import { connectionStates, diskStates, roles } from '../shared/terms.js';

const role = z.enum(roles);
const connectionState = z.enum(connectionStates);
const diskState = z.enum(diskStates);

/** What keeps a volume from being served by two nodes that lost each other (design: "in-sync set register"). */
export const arbitrationStatus = z.object({
  arbiter: z.enum(['witness', 'etcd', 'stonith', 'none']),
  /**
   * none: nobody arbitrates. together, alone, out: as recorded. asking: I/O stands still until the arbiter answers. unreachable: the same,
   * and it does not. denied: this node serves and is told that it is out; its I/O stays frozen.
   */
  state: z.enum(['none', 'together', 'alone', 'out', 'asking', 'unreachable', 'denied']),
  epoch: z.number().int(),
  /** the last request was answered. */
  reachable: z.boolean(),
  /** false: it was restarted, perhaps from an old copy, and grants nothing before both nodes, or one that serves alone, vouched for the record. */
  vouched: z.boolean().default(true),
  sentence: z.string(),
});
export type ArbitrationStatus = z.infer<typeof arbitrationStatus>;

export const volumeStatus = z.object({
  volume: z.number().int(),
  minor: z.number().int(),
  device: z.string(),
  deviceUp: z.boolean(),
  disk: diskState,
  peerDisk: diskState,
  connection: connectionState,
  role,
  peerRole: role,
  sizeKib: z.number(),
  /** mount point and type when the device is mounted in the daemon's or any process's namespace */
  mounted: z.string().nullable(),
  fstype: z.string().nullable(),
  uuids: z.object({ current: z.string(), bitmap: z.string(), history0: z.string(), history1: z.string() }),
  metaFlags: z.number().int(),
  outOfSyncKib: z.number(),
  flags: z.string(),
  suspended: z.array(z.enum(['user', 'no-data', 'fencing'])),
  resyncSuspended: z.array(z.enum(['user', 'peer', 'dependency'])),
  resync: z
    .object({
      kind: z.enum(['resync', 'verify']),
      totalKib: z.number(),
      leftKib: z.number(),
      failedKib: z.number(),
      percent: z.number(),
      speedKibPerS: z.number(),
      averageKibPerS: z.number(),
      wantKibPerS: z.number(),
      finishSeconds: z.number(),
      stalled: z.boolean(),
    })
    .nullable(),
  counters: z.record(z.string(), z.number()),
  writeOrdering: z.string(),
  reason: z.string(),
  /** null without a cluster. */
  arbitration: arbitrationStatus.nullable(),
});
export type VolumeStatus = z.infer<typeof volumeStatus>;

export const resourceStatus = z.object({
  name: z.string(),
  /** false: configured but down */
  up: z.boolean(),
  /** what was up before a restart of drbdtsd is being brought back: role and disks are not yet what they will be. */
  recovering: z.boolean().optional(),
  role,
  peerRole: role,
  peerName: z.string(),
  connection: connectionState,
  connectionReason: z.string(),
  protocol: z.string(),
  agreedVersion: z.number().int(),
  features: z.number().int(),
  volumes: z.array(volumeStatus),
});
export type ResourceStatus = z.infer<typeof resourceStatus>;

export const statusReply = z.object({ node: z.string(), version: z.string(), resources: z.array(resourceStatus) });
export type StatusReply = z.infer<typeof statusReply>;

export const verbs = [
  'create-md', 'dump-md', 'get-gi', 'apply-al', 'wipe-md', 'up', 'down', 'attach', 'detach', 'connect', 'disconnect', 'primary', 'secondary',
  'invalidate', 'invalidate-remote', 'outdate', 'pause-sync', 'resume-sync', 'new-current-uuid', 'verify', 'resize', 'adjust',
  'wait-connect', 'wait-sync', 'suspend-io', 'resume-io', 'check-peer',
] as const;
export type Verb = (typeof verbs)[number];

/** Arguments of all verbs; each verb takes only its own and refuses others by name. */
export const verbRequest = z
  .object({
    volume: z.number().int().nonnegative().optional(),
    force: z.boolean().optional(),
    discardMyData: z.boolean().optional(),
    tentative: z.boolean().optional(),
    clearBitmap: z.boolean().optional(),
    assumeClean: z.boolean().optional(),
    size: z.string().optional(),
    start: z.string().optional(),
    timeoutSeconds: z.number().nonnegative().optional(),
    timeoutMs: z.number().int().positive().max(60_000).optional(),
    alStripes: z.number().int().positive().optional(),
    alStripeSizeKb: z.number().int().positive().optional(),
  })
  .strict();
export type VerbRequest = z.infer<typeof verbRequest>;

export const verbReply = z.object({
  /** lines for stdout, exactly what the CLI prints */
  output: z.array(z.string()),
  /** what was done, for --json */
  results: z.array(z.object({ resource: z.string(), volume: z.number().int().nullable(), code: z.number().int(), text: z.string() })),
});
export type VerbReply = z.infer<typeof verbReply>;

/** Body of every non-2xx reply. `exitCode` is drbdadm's (drbd-protocol §5.8). */
export const errorReply = z.object({
  code: z.string(),
  message: z.string(),
  remedy: z.string(),
  place: z.string(),
  exitCode: z.number().int(),
  /** DRBD's number when there is one: -2, 127, ... */
  drbdCode: z.number().int().nullable(),
  details: z.record(z.string(), z.unknown()),
});
export type ErrorReply = z.infer<typeof errorReply>;

/** One record of the event stream, attributes as `drbdsetup events2` names them (drbd-protocol §8.4). */
export const eventRecord = z.object({
  time: z.string(),
  verb: z.enum(['exists', 'create', 'change', 'destroy', 'call', 'response']),
  object: z.enum(['resource', 'connection', 'device', 'peer-device', 'helper', 'arbitration', '-']),
  attributes: z.record(z.string(), z.string()),
});
export type EventRecord = z.infer<typeof eventRecord>;

/** One finding in a configuration file; lines and columns count from 1. */
export const configProblem = z.object({
  severity: z.enum(['error', 'warning']),
  code: z.string(),
  file: z.string(),
  line: z.number().int(),
  column: z.number().int(),
  message: z.string(),
  remedy: z.string(),
});
export type ConfigProblem = z.infer<typeof configProblem>;

/** Body of `POST /v1/config/check`: a text to check, or nothing for the daemon's own file as it is on disk now. */
export const configCheckRequest = z.object({ text: z.string().optional(), file: z.string().optional() }).strict();
export type ConfigCheckRequest = z.infer<typeof configCheckRequest>;
export const configCheckReply = z.object({ problems: z.array(configProblem) });
export type ConfigCheckReply = z.infer<typeof configCheckReply>;

/** Reply of `POST /v1/reload`: names of the resources whose configuration changed; `adjust` carries the changes out. */
export const reloadReply = z.object({ changed: z.array(z.string()), problems: z.array(configProblem) });
export type ReloadReply = z.infer<typeof reloadReply>;

export const versionReply = z.object({ version: z.string(), protocol: z.object({ min: z.number().int(), max: z.number().int() }), pid: z.number().int() });
export type VersionReply = z.infer<typeof versionReply>;

/** Body of claim and release: whether the peer is gone. false: it is seen, and agrees. */
export const registerRequest = z.object({ peerGone: z.boolean() }).strict();
export type RegisterRequest = z.infer<typeof registerRequest>;

/** Body of `POST /v1/confirm-fenced`: an operator's word that the other node is off for good, and how it is known. */
export const confirmRequest = z.object({ node: z.string(), reason: z.string() }).strict();
export type ConfirmRequest = z.infer<typeof confirmRequest>;
/** One sentence for each record. */
export const confirmReply = z.object({ output: z.array(z.string()) });
export type ConfirmReply = z.infer<typeof confirmReply>;

/** The record of a group without a volume, as this node knows it. */
export const registerReply = arbitrationStatus.extend({
  key: z.string(),
  granted: z.boolean(),
  inSync: z.array(z.string()),
  holder: z.string(),
});
export type RegisterReply = z.infer<typeof registerReply>;

/** `event: progress` of a verb that is followed; the stream ends with `event: reply` (VerbReply) or `event: error` (ErrorReply). */
export const progressRecord = z.object({
  resource: z.string(),
  volume: z.number().int().nullable(),
  connection: connectionState,
  percent: z.number().nullable(),
  leftKib: z.number().nullable(),
  totalKib: z.number().nullable(),
});
export type ProgressRecord = z.infer<typeof progressRecord>;
