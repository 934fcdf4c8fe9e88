/**
 * What the addon (`native/addon`) offers. Types only: `addon.ts` is the one file that loads the binary.
 *
 * Data never passes here. Numbers that can exceed 2^53 are bigint. Options travel under their DRBD names, as the
 * plain number DRBD itself uses (unit in drbd.conf terms: `timeout` 0.1 s, `ping-int` s, `resync-rate` KiB/s,
 * `sndbuf-size` bytes, `c-fill-target` sectors, booleans true/false, enumerations as their word).
 */
import type { ConnectionState, DiskState, Role } from '../shared/terms.js';

export type NativeOptions = Record<string, number | string | boolean>;

export interface NativeVolumeConfig {
  volume: number;
  minor: number;
  /** e.g. `/dev/drbd0`; the node that appears while the volume is Primary. */
  device: string;
  /** links made and removed with the device, e.g. `/dev/drbd/by-res/r0/0`. */
  links: string[];
  /** backing block device, partition or file. */
  disk: string;
  /** `internal`, or the path of the meta-data device/file. */
  metaDisk: string;
  /** `internal` | `flexible` | slot number of an indexed external meta-disk. */
  metaIndex: 'internal' | 'flexible' | number;
  /** disk section: on-io-error, fencing, resync-rate, c-*, al-extents, al-updates, md-flushes, disk-flushes, size (sectors, 0 = all). */
  options: NativeOptions;
  /** 'fuse_loop' in production, 'memory' for tests. */
  frontend: 'fuse_loop' | 'memory';
}

export interface NativeResourceConfig {
  name: string;
  /** own address, `host` numeric. */
  localAddress: { family: 4 | 6; host: string; port: number };
  peerAddress: { family: 4 | 6; host: string; port: number };
  /** name of the peer host in the configuration, for messages. */
  peerName: string;
  /** net section incl. `protocol` ('A'|'B'|'C') and `shared-secret`. */
  options: NativeOptions;
  volumes: NativeVolumeConfig[];
  /** file descriptors a keeper handed over for this resource, by stored name. */
  keptFds: { name: string; fd: number }[];
  /** where to store descriptors (systemd fd store or drbdts-keeper): value of NOTIFY_SOCKET, '' for none. */
  notifySocket: string;
}

/** Result of a command. `code` follows DRBD: 1 done, 2 nothing to do, 3 cluster-wide success, < 0 state refusal (§5.6), 102..170 configuration error (§5.8). */
export interface NativeResult {
  code: number;
  /** one sentence; for refusals DRBD's text. */
  text: string;
  /** why, and what to do; may be empty. */
  detail: string;
}

export interface NativeVolumeSnapshot {
  volume: number;
  minor: number;
  device: string;
  /** true while the block device exists. */
  deviceUp: boolean;
  disk: DiskState;
  peerDisk: DiskState;
  connection: ConnectionState;
  role: Role;
  peerRole: Role;
  /** usable size in sectors of 512 bytes; 0n unknown. */
  sizeSectors: bigint;
  /** four generation identifiers, 16 upper-case hex digits each: current, bitmap, history 0, history 1. */
  uuids: [string, string, string, string];
  /** meta-data flag word as stored (drbd-protocol §4.3). */
  metaFlags: number;
  outOfSyncBits: bigint;
  /** resync/verify progress; zeros while none runs. bits of 4 KiB. */
  resyncTotalBits: bigint;
  resyncLeftBits: bigint;
  resyncFailedBits: bigint;
  /** KiB/s: recent, average, wanted by the rate controller (0 = not shown). */
  resyncSpeedKib: number;
  resyncAverageKib: number;
  resyncWantKib: number;
  /** seconds to go, -1 unknown. */
  resyncFinishSeconds: number;
  resyncStalled: boolean;
  /** the six characters of /proc/drbd, e.g. `r-----`. */
  flags: string;
  suspended: { user: boolean; noData: boolean; fencing: boolean };
  resyncSuspended: { user: boolean; peer: boolean; dependency: boolean };
  /** counters of /proc/drbd in KiB / counts: ns nr dw dr al bm lo pe ua ap ep, oos in KiB. */
  counters: { ns: bigint; nr: bigint; dw: bigint; dr: bigint; al: bigint; bm: bigint; lo: number; pe: number; ua: number; ap: number; ep: number };
  /** b f d n */
  writeOrdering: string;
  /** why the disk is not what one would expect (last refusal or error); '' if nothing to say. */
  diskReason: string;
}

export interface NativeSnapshot {
  name: string;
  /** agreed protocol letter, ' ' when there is no net configuration. */
  protocol: string;
  connection: ConnectionState;
  role: Role;
  peerRole: Role;
  /** one sentence: why the connection is as it is (last failure, refusal); '' if nothing to say. */
  connectionReason: string;
  /** agreed protocol version and feature flags, 0 while not connected. */
  agreedVersion: number;
  features: number;
  volumes: NativeVolumeSnapshot[];
}

export type NativeEvent =
  /** something of the snapshot changed (coalesced): read it again. */
  | { type: 'changed' }
  /** a state change or notable fact, one sentence in DRBD's shape; volume -1 = whole resource. */
  | { type: 'log'; level: 'info' | 'warn' | 'error'; volume: number; message: string }
  /** run a handler; answer with handlerResult(id, exitCode) when `wait` (the engine goes on without an answer otherwise). */
  | { type: 'handler'; id: number; name: string; volume: number; wait: boolean; env: Record<string, string> }
  /** the engine thread ended by itself; text says why. */
  | { type: 'stopped'; text: string };

/** Commands and their arguments. All volumes of the resource unless `volume` is given. Names and meaning are drbdadm's. */
export interface NativeCommandArgs {
  attach: { volume?: number };
  detach: { volume?: number; force?: boolean };
  connect: { discardMyData?: boolean; tentative?: boolean };
  disconnect: { force?: boolean };
  primary: { force?: boolean; /** resume after a restart with a kept device */ recover?: boolean };
  /** `force`: every request of the device fails from now on, at once and beside the queue, then as without. */
  secondary: { force?: boolean };
  invalidate: { volume?: number };
  'invalidate-remote': { volume?: number };
  outdate: { volume?: number };
  'pause-sync': { volume?: number };
  'resume-sync': { volume?: number };
  'new-current-uuid': { volume?: number; clearBitmap?: boolean };
  verify: { volume?: number; startSector?: bigint };
  resize: { volume?: number; sizeSectors?: bigint; assumeClean?: boolean };
  'suspend-io': { volume?: number };
  'resume-io': { volume?: number };
  /** beside the queue; code 1: the peer answers, 2: there is no connection, or it was ended because no answer came in time. */
  'check-peer': { timeoutMs: number };
  'net-options': { options: NativeOptions };
  'disk-options': { volume?: number; options: NativeOptions };
  /** disconnect, secondary, detach, remove the device: everything before the thread may end. */
  down: Record<string, never>;
}
export type NativeCommand = keyof NativeCommandArgs;

export interface NativeResource {
  command<C extends NativeCommand>(name: C, args: NativeCommandArgs[C]): Promise<NativeResult>;
  snapshot(): NativeSnapshot;
  handlerResult(id: number, exitCode: number): void;
  /** end the thread; after `down` nothing is lost; without it the device stays with the keeper (upgrade). */
  stop(): Promise<void>;
}

export interface MetaDataLocation {
  disk: string;
  metaDisk: string;
  metaIndex: 'internal' | 'flexible' | number;
}

/** Offline meta-data tools (the volume must not be attached: a lock on the disk is taken). They throw an Error with `code` (ERR_*), `place`, `remedy`. */
export interface NativeMetaTools {
  /** what create-md would destroy: '' or e.g. "ext4 file system"; `wouldCut` when internal meta-data does not fit behind it. */
  probe(loc: MetaDataLocation): Promise<{ found: string; hasMetaData: boolean; wouldCut: boolean }>;
  /** writes fresh v08 meta-data (§4.6); refuses what probe reports unless force. */
  createMd(loc: MetaDataLocation, opts: { force: boolean; alStripes?: number; alStripeSizeKb?: number; peerMaxBioSize?: number }): Promise<void>;
  /** text as drbdmeta dump-md prints it (body of §4.6, without the comment head). Refuses unclean meta-data unless force. */
  dumpMd(loc: MetaDataLocation, opts: { force: boolean }): Promise<string>;
  /** `CURRENT:BITMAP:H0:H1:c:u:p:n:f:o:x` */
  getGi(loc: MetaDataLocation): Promise<string>;
  /** replay the activity log; returns KiB marked additionally (0 = nothing to do). */
  applyAl(loc: MetaDataLocation): Promise<{ markedKib: bigint; wasClean: boolean }>;
  /** `Inconsistent` | `Outdated` | `Consistent` | `UpToDate` from flags. */
  dstate(loc: MetaDataLocation): Promise<string>;
  outdate(loc: MetaDataLocation): Promise<void>;
  invalidate(loc: MetaDataLocation): Promise<void>;
  wipeMd(loc: MetaDataLocation): Promise<void>;
}

/** Core codecs for tests and tools; filled in by the addon. */
export interface NativeAddon {
  createResource(config: NativeResourceConfig, onEvents: (events: NativeEvent[]) => void): NativeResource;
  meta: NativeMetaTools;
  /** names as the core spells them, to compare with shared/terms.ts */
  names: { roles: string[]; connectionStates: string[]; diskStates: string[]; commands: Record<string, number> };
  /** send a datagram to a NOTIFY_SOCKET (`READY=1`, `STATUS=...`), optionally with descriptors. false if there is no socket. */
  notify(socket: string, message: string, fds?: number[]): boolean;
  core: Record<string, (...args: never[]) => unknown>;
}
