/** Words of membership: what travels, what is known of the peer, what may happen. Plain data. */

/** What a node says of itself (groups, claims, volumes, ...). Opaque here. */
export type NodeReport = unknown;

/** Of the peer: nothing known yet; heard; silent too long; said goodbye. */
export type PeerState = 'unknown' | 'alive' | 'dead' | 'left';
/** Of a link: nothing ever; heard; silent longer than warntime; silent longer than deadtime. */
export type LinkHealth = 'never' | 'up' | 'late' | 'dead';

/** One datagram's contents without the report. A boot is 128 random bits of one process start as 32 hexadecimal digits. */
export interface Heartbeat {
  cluster: string;
  node: string;
  /** the link it was sent on: one that comes in on another is not taken. */
  link: string;
  boot: string;
  /** grows by one with every heartbeat; the same on all links. */
  sequence: number;
  /** of the sender's present report; 0: none yet. */
  reportVersion: number;
  /** the sender has stopped everything and ends. */
  goodbye: boolean;
  /** what the sender has received of its peer; null: nothing yet. */
  echo: Echo | null;
  /** last heartbeat seen with the sender's own name from another boot: lets two nodes of one name prove each other. */
  rival: { boot: string; sequence: number } | null;
}

export interface Echo {
  boot: string;
  /** microseconds between the arrival of the newest heartbeat on this link and now. */
  heldUs: number;
  /** newest report held. */
  reportVersion: number;
  /** highest sequence that came in on each link. */
  links: { name: string; sequence: number }[];
}

export interface MembershipConfig {
  cluster: string;
  self: string;
  peer: string;
  /** names of the links. */
  links: string[];
  /** between two heartbeats. */
  keepaliveMs: number;
  /** silence that is worth a warning. */
  warntimeMs: number;
  /** silence that means death. */
  deadtimeMs: number;
  /** silence that means death of a peer that was never heard since our own start. */
  initdeadMs: number;
}

export interface LinkView {
  name: string;
  state: LinkHealth;
  /** we hear the peer on it, the peer does not hear us. */
  oneWay: boolean;
  lastHeardMs: number | null;
  /** longest silence in the last hour. */
  gapMaxMs: number;
  rttMs: number | null;
  /** heartbeats of the peer that never came. */
  lost: number;
}

/** Everything membership knows of the peer. Times are those of the `nowMs` given to `step`. */
export interface MembershipView {
  peer: PeerState;
  sinceMs: number;
  /** one process start of the peer's cluster manager; another value: it has forgotten everything. Null: never heard. */
  boot: string | null;
  /** the peer is known to live by the replication link alone: no heartbeat comes in, its report is old. */
  byReplicationOnly: boolean;
  /** heartbeats of the peer come in, but it does not hear ours (or they are old ones replayed): no sign of life. */
  deaf: boolean;
  /** last sign of life. */
  lastHeardMs: number | null;
  report: NodeReport | null;
  reportVersion: number;
  /** no newer report is known to exist: what `report` says is what the peer said last. */
  reportIsCurrent: boolean;
  reportAtMs: number | null;
  /** version of our own report, and the newest that the peer (its present boot) says it holds: a claim counts from `confirmedVersion >= version` on. */
  ownVersion: number;
  confirmedVersion: number;
  /** age of the newest own heartbeat that the peer has received by what it sent last; Infinity: none. */
  confirmedAgeMs: number;
  /** highest own sequence that the peer's present boot has received. */
  confirmedSeq: number;
  links: LinkView[];
  /** another node with our own name, or two with the peer's: nobody may act on what such a peer says. */
  twins: 'none' | 'own name suspected' | 'own name' | 'peer name';
  /** longest silence on all links together in the last hour. */
  gapMaxMs: number;
  warnings: string[];
}

export type MembershipEvent =
  /** an authentic heartbeat came in. `report` is what it carried, null when it carried none or `wantsReport` was false. */
  | { kind: 'packet'; link: string; heartbeat: Heartbeat; report: { value: NodeReport } | null }
  /** to be given at least every `tickMs(config)`. */
  | { kind: 'tick' }
  /** our own report is a new one; `bytes` as encoded. */
  | { kind: 'report'; bytes: number }
  | { kind: 'replication'; sign: 'alive' | 'dead' | 'unknown' }
  /** everything is stopped here; from now on every heartbeat says so. */
  | { kind: 'goodbye' };

export type MembershipAction =
  /** to be sent on all links at once, with or without the present report. */
  | { kind: 'send'; heartbeats: Heartbeat[]; withReport: boolean }
  | { kind: 'log'; level: 'info' | 'warn' | 'error'; text: string }
  /** ask for a sign of the peer on the replication link; answer with a `replication` event. */
  | { kind: 'checkReplication' }
  /** this process did not run for that long: what it believes is old. Serve nothing before having made sure. */
  | { kind: 'stalled'; forMs: number }
  /** a heartbeat was not taken. */
  | { kind: 'refused'; reason: RefusedReason; detail: string }
  | { kind: 'viewChanged' };

export type RefusedReason = 'stranger' | 'own name' | 'wrong link' | 'replay' | 'impossible';
