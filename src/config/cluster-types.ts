/** Cluster, arbiter and groups after defaults: what drbdts-clusterd, drbdtsd's arbitration and the witness work with. Plain data. */
import type { Address } from './types.js';

/** Where the in-sync set register is kept (design: "in-sync set register"). */
export type ArbiterConfig =
  | { kind: 'witness'; address: Address; keyFile: string; timeoutMs: number }
  | { kind: 'etcd'; endpoints: string[]; prefix: string; user: string; passwordFile: string; caFile: string; timeoutMs: number }
  | { kind: 'stonith'; agent: string; /** `key=value` parameters of the agent by name of the node that is to be fenced. */ targets: Record<string, Record<string, string>>; timeoutMs: number; /** a test fire (monitor action) that often; 0 never. */ testEveryMs: number }
  | { kind: 'none' };

/** One way on which heartbeats travel. `addresses` by node name are numeric; a multicast link has `group` as well. */
export interface LinkConfig {
  name: string;
  /** '' when the kernel may choose. */
  interface: string;
  port: number;
  addresses: Record<string, string>;
  /** null: unicast. */
  multicast: { group: string; ttl: number } | null;
}

export interface SelfFenceConfig {
  /** run first, '' for none. */
  command: string;
  /** '' for none; otherwise petted while all is well. */
  watchdog: string;
  /** reboot at once (sysrq) when the command did not end the node. */
  reboot: boolean;
}

export interface ClusterConfig {
  name: string;
  /** file with the key of heartbeats, mode 0600. */
  keyFile: string;
  arbiter: ArbiterConfig;
  /** names of exactly two nodes. */
  nodes: [string, string];
  links: LinkConfig[];
  keepaliveMs: number;
  warntimeMs: number;
  deadtimeMs: number;
  initdeadMs: number;
  /** outer addresses that say whether a node still has its service network; empty for none. */
  ping: string[];
  deadpingMs: number;
  selfFence: SelfFenceConfig;
}

export interface MemberTimeouts {
  startMs: number;
  stopMs: number;
  monitorMs: number;
  /** between two monitors; 0 never. */
  monitorEveryMs: number;
}

export interface VolumeMember extends MemberTimeouts {
  kind: 'volume';
  resource: string;
}
export interface FilesystemMember extends MemberTimeouts {
  kind: 'filesystem';
  device: string;
  mountPoint: string;
  type: string;
  /** for mount -o, '' for none. */
  options: string;
  fsck: 'auto' | 'force' | 'no';
  /** how long openers have after SIGTERM before SIGKILL. */
  graceMs: number;
}
export interface VipMember extends MemberTimeouts {
  kind: 'vip';
  family: 4 | 6;
  address: string;
  prefix: number;
  /** '' when the interface is that of the connected route. */
  interface: string;
  /** '' for none; at most 15 characters. */
  label: string;
  /** gratuitous ARP / unsolicited NA: at once that many, `announceGapMs` apart; then again every `refreshMs` (0 never). */
  announceCount: number;
  announceGapMs: number;
  refreshMs: number;
}
export type ServiceSpec =
  | { kind: 'systemd'; unit: string }
  | { kind: 'lsb'; script: string; arguments: string[] }
  | { kind: 'ocf'; provider: string; agent: string; parameters: Record<string, string> }
  | { kind: 'command'; start: string; stop: string; /** '' when there is none: then the member is what start and stop said. */ monitor: string };
export interface ServiceMember extends MemberTimeouts {
  kind: 'service';
  service: ServiceSpec;
}
export type MemberConfig = (VolumeMember | FilesystemMember | VipMember | ServiceMember) & {
  /** unique in the group, for messages: `volume r0`, `vip 192.168.42.14`, `filesystem /store`, `service nginx`. */
  name: string;
};

export interface GroupConfig {
  name: string;
  members: MemberConfig[];
  /** '' for none. */
  preferred: string;
  autoFailback: boolean;
  /** failed monitors before the group moves; restarts on the spot until then. */
  migrationThreshold: number;
  /** a fail count is forgotten after that long without a failure; 0 never. */
  failureTimeoutMs: number;
  /** groups that must run on the same node, and be started before this one. */
  after: string[];
  /** groups that must not run on the same node if there is a choice. */
  apart: string[];
}
