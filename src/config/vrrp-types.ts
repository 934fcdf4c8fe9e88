/** `vrrp:` after defaults, for all nodes of the file: what drbdts-clusterd speaks VRRP with. Plain data; times in milliseconds. */

/** The priority of a node whose own the addresses are. */
export const ownerPriority = 255;

/** What a weight means is keepalived's: 0 is a fault while down; above, it counts while up; below, while down; `reverse` the other way round. */
export interface VrrpWeight {
  weight: number;
  reverse: boolean;
}
export type VrrpTracker = VrrpWeight &
  (
    | { kind: 'script'; script: string }
    | { kind: 'interface'; interface: string }
    | { kind: 'process'; process: string; fullCommand: boolean; quorum: number }
    | { kind: 'file'; file: string }
  );

export interface VrrpScript extends VrrpWeight {
  name: string;
  command: string;
  intervalMs: number;
  timeoutMs: number;
  rise: number;
  fall: number;
  /** starts as failed; otherwise the first result decides. */
  initFail: boolean;
  /** `NAME` or `NAME:GROUP`; '' for that of clusterd. */
  user: string;
}

/** Commands for the shell, '' for none. */
export interface VrrpNotify {
  master: string;
  backup: string;
  fault: string;
  stop: string;
  /** at every change, with four arguments: INSTANCE or GROUP, name, state, priority. */
  any: string;
  /** a master heard another one with a lower priority. */
  masterRxLowerPri: string;
  /** a line for each change is written there. */
  fifo: string;
  /** changes of the effective priority are written there, too. */
  fifoPriorities: boolean;
  user: string;
}

export interface VrrpAddress {
  family: 4 | 6;
  address: string;
  prefix: number;
  /** by node; '' for that of the instance. */
  interfaces: Record<string, string>;
  label: string;
  /** false: held with the others, not named in adverts. */
  advertised: boolean;
}

export interface VrrpAnnounce {
  /** of the burst right after a takeover. */
  frames: number;
  /** between two frames. */
  gapMs: number;
  /** a second burst so long after it; 0: none. */
  repeatAfterMs: number;
  /** the same after another master with a lower priority was heard. */
  lowerFrames: number;
  lowerRepeatAfterMs: number;
  /** announced again and again in this distance; 0: never. */
  refreshMs: number;
  refreshFrames: number;
}

/** What differs between the nodes. */
export interface VrrpNodePart {
  interface: string;
  priority: number;
  /** adverts come from here; '' for the first address of the interface. */
  source: string;
  /** unicast: where adverts go. */
  peers: string[];
}

export interface VrrpInstance {
  name: string;
  routerId: number;
  version: 2 | 3;
  family: 4 | 6;
  /** by node name; `*` when the file names no nodes. */
  nodes: Record<string, VrrpNodePart>;
  intervalMs: number;
  addresses: VrrpAddress[];
  /** '' for none. */
  password: string;
  /** '' with unicast. */
  multicastGroup: string;
  unicast: { ttl: number; minTtl: number | null; checkSource: boolean } | null;
  /** version 3 over IPv4: whether the checksum covers the pseudo header. */
  pseudoHeader: boolean;
  acceptChecksum: 'either' | 'with pseudo header' | 'without pseudo header';
  addressMismatch: 'refuse' | 'log';
  preempt: boolean;
  preemptDelayMs: number;
  startDelayMs: number;
  downAdverts: number;
  answerLower: boolean;
  answerHigher: boolean;
  ownerIgnoresAdverts: boolean;
  /** the own interface without carrier is a fault. */
  trackPrimary: boolean;
  announce: VrrpAnnounce;
  track: VrrpTracker[];
  notify: VrrpNotify;
  /** the group that has to be served here, null for none; weight 0: a fault where it can not be. */
  gate: { group: string; weight: number } | null;
}

export interface VrrpSyncGroup {
  name: string;
  instances: string[];
  track: VrrpTracker[];
  notify: VrrpNotify;
  /** weights of the members' own trackers count. */
  trackingWeight: boolean;
}

export interface VrrpSection {
  instances: VrrpInstance[];
  syncGroups: VrrpSyncGroup[];
  scripts: VrrpScript[];
}

/** The part of `node`, or null when the instance is not for it. */
export function vrrpPartOf(instance: VrrpInstance, node: string): VrrpNodePart | null {
  return instance.nodes[node] ?? instance.nodes['*'] ?? null;
}
