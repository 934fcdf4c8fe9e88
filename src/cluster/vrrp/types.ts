/**
 * Words of VRRP: what an instance is told, what it may do, what it shows. Plain data; the decisions are in machine.ts, sync.ts and track.ts.
 *
 * All times are milliseconds of one monotonic clock (fractions allowed: kernel time stamps are finer). Addresses are text in their one form
 * (RFC 5952 for IPv6, without scope).
 *
 * What carries this out must keep four promises, or the machine's own do not hold:
 *   1. Adverts come with the time the kernel received them, in that order, and a `tick` says up to when they all have been given
 *      (`heardUntilMs`). A timer never fires on what was merely not read yet.
 *   2. Periodic adverts are sent by the thread that got `advertise`. It sends nothing once its own gap is longer than `lapseMs`: it tells nobody,
 *      it stays silent until the next `advertise`.
 *   3. After a pause the first event is `advertised` with the thread's newest time of sending. Without it the machine takes mastership for lapsed.
 *   4. Actions are carried out in their order, each finished before the next.
 */
import type { VrrpAnnounce } from '../../config/vrrp-types.js';

export type VrrpState = 'initialize' | 'backup' | 'master' | 'fault';

export interface VirtualAddress {
  address: string;
  prefixLength: number;
  /** null: the interface of the instance. */
  interface: string | null;
  /** false: held with the others, not named in adverts (keepalived's virtual_ipaddress_excluded). */
  advertised: boolean;
}

export interface UnicastPeer {
  address: string;
  /** lowest TTL or hop limit of what this peer sends; null: not looked at. */
  minTtl: number | null;
}

/** keepalived's garp_*; frames are per address, ARP or neighbour advertisement alike. The gap between them is the carrier's. */
export type AnnounceConfig = Omit<VrrpAnnounce, 'gapMs'>;

export interface VrrpConfig {
  name: string;
  interface: string;
  family: 4 | 6;
  /** IPv6 is always 3. */
  version: 2 | 3;
  /** 1 to 255. */
  vrid: number;
  /** 1 to 255; 255 owns the addresses. */
  priority: number;
  /** version 2: whole seconds; version 3: steps of 10 ms, 10 to 40950. */
  intervalMs: number;
  addresses: readonly VirtualAddress[];
  /** version 2 only; at most 8 bytes of UTF-8. */
  password: string | null;
  transport: { kind: 'multicast'; group: string } | { kind: 'unicast'; peers: readonly UnicastPeer[]; ttl: number; checkSource: boolean };
  /** version 3 over IPv4: the sum of what we send covers the pseudo header (keepalived's default; RFC 9568 leaves it out). */
  pseudoHeader: boolean;
  /** what is taken: `either` learns nothing and refuses nothing that one of the two makes valid. */
  acceptChecksum: 'either' | 'with pseudo header' | 'without pseudo header';
  /** another address list in an advert: `refuse` as RFC 3768 and keepalived 2.2, `log` as RFC 9568 and keepalived 2.4. */
  addressMismatch: 'refuse' | 'log';
  /** takes over from a master with a lower priority. */
  preempt: boolean;
  /** but only so long after one was first heard. */
  preemptDelayMs: number;
  /** stays in initialize for so long after `start`. */
  startDelayMs: number;
  /** 1 to 100: so many intervals of silence, and the skew, make a master dead. */
  downAdverts: number;
  /** a master answers an advert of lower priority at once. */
  answerLower: boolean;
  /** a master that steps back sends one advert before, so that the new one announces again. */
  answerHigher: boolean;
  /** an owner (255) ignores all adverts. */
  ownerIgnoresAdverts: boolean;
  announce: AnnounceConfig;
  /**
   * The group the addresses stand for. They are held only while it is served here. If it may not be served here, the weight (negative) goes into the
   * effective priority; 0: fault.
   */
  gate: { group: string; weight: number } | null;
}

/** A part of the effective priority, in the form it is printed: `-20 script chk_nginx`. The base is the first. */
export interface PriorityTerm {
  value: number;
  /** `base`, `script chk_nginx`, `interface eth1`, `process nginx`, `file load`, `group web`. */
  from: string;
}

export interface Fault {
  /** `script chk_nginx failed (exit status 1)`, `interface eth0 has no carrier`. */
  text: string;
  /** nothing went wrong yet: a check has no result so far. No notification. */
  quiet: boolean;
}

/** What track.ts makes of all trackers of an instance. */
export interface TrackResult {
  terms: readonly PriorityTerm[];
  faults: readonly Fault[];
}

/** Can the group be served here? `promotable`: placement wants it here. `serving`: it is started here. `refused`: it may not be served here now. */
export type GateState = 'promotable' | 'serving' | 'refused';

export interface Advert {
  source: string;
  priority: number;
  /** of the sender. */
  intervalMs: number;
}

export type RejectReason =
  | 'vrid'
  | 'authentication header'
  | 'length'
  | 'ttl'
  | 'version'
  | 'authentication type'
  | 'password'
  | 'interval'
  | 'type'
  | 'checksum'
  | 'destination'
  | 'address list'
  | 'source'
  | 'not IP';

export type VrrpEvent =
  /** `source`: the address adverts are sent from; null: the interface has none of the family yet, which is a fault. */
  | { kind: 'start'; source: string | null }
  /** clean end: addresses are dropped, then priority 0 is sent. */
  | { kind: 'stop' }
  /** every advert that the kernel received up to then has been given. At least every `tickMs`, and at `nextDeadlineMs`. */
  | { kind: 'tick'; heardUntilMs: number }
  | { kind: 'advert'; receivedMs: number; advert: Advert }
  /** a packet for this VRID that was not taken. */
  | { kind: 'rejected'; receivedMs: number; source: string; reason: RejectReason; text: string }
  /** of the sending thread: newest time of sending, and the longest time between two since it was asked last. */
  | { kind: 'advertised'; lastMs: number; longestGapMs: number }
  | { kind: 'tracked'; result: TrackResult }
  | { kind: 'source'; source: string | null }
  | { kind: 'gate'; state: GateState; reason: string }
  /** an address was taken away by somebody else, or the link came back: hold and announce again. */
  | { kind: 'addressesLost'; reason: string }
  /** of sync.ts only: all members want to be master; another member is not master any more; another member is in fault, or all are well again. */
  | { kind: 'permitted' }
  | { kind: 'groupYields'; member: string }
  | { kind: 'groupFault'; member: string | null; quiet: boolean };

export type VrrpAction =
  /** send one advert at once if `atOnce`, then one every `intervalMs` from then on, as promise 2 says. Replaces an earlier one. */
  | { kind: 'advertise'; priority: number; intervalMs: number; lapseMs: number; atOnce: boolean }
  /** no more periodic adverts. */
  | { kind: 'silence' }
  /** one advert with priority 0. */
  | { kind: 'resign' }
  | { kind: 'takeAddresses' }
  | { kind: 'dropAddresses'; reason: string }
  /** so many frames per address, of ARP in both forms or unsolicited neighbour advertisements. */
  | { kind: 'announce'; frames: number; reason: string }
  /** for notify scripts, FIFO, mail and the group that the instance gates. `stop` is the last one. */
  | { kind: 'notify'; state: 'master' | 'backup' | 'fault' | 'stop'; priority: number; reason: string }
  /** a master heard one with a lower priority (notify_master_rx_lower_pri). */
  | { kind: 'notifyLower'; priority: number; source: string }
  /** the effective priority is another one (notify_priority_changes). */
  | { kind: 'notifyPriority'; priority: number }
  | { kind: 'log'; level: 'info' | 'warn' | 'error'; text: string };

/** What is known of one sender of this VRID. */
export interface SenderView {
  source: string;
  /** adverts taken. */
  taken: number;
  lastTakenMs: number | null;
  lastPriority: number | null;
  /** adverts not taken, and why the last one was not: `peer heard but rejected: ...`. */
  rejected: number;
  lastRejectedMs: number | null;
  rejectedBy: Partial<Record<RejectReason, number>>;
  lastReason: string | null;
}

/** Only masters speak: a master that hears nobody is well, a backup that never heard one is not. */
export type Hearing = 'nobody ever' | 'heard' | 'silent' | 'heard but rejected';

export interface VrrpSnapshot {
  name: string;
  state: VrrpState;
  sinceMs: number;
  /** why it is in this state, a sentence. */
  reason: string;
  faults: string[];
  basePriority: number;
  effectivePriority: number;
  /** terms of it, base first; `clamped` when the sum was outside of 1 to 254. */
  terms: PriorityTerm[];
  clamped: boolean;
  /** source of the present master, our own if we are; null: none known. */
  master: string | null;
  masterPriority: number | null;
  holdsAddresses: boolean;
  /** interval that counts for the timers: of the master heard last (version 3), else our own. */
  masterIntervalMs: number;
  skewMs: number;
  masterDownMs: number;
  /** when Master_Down, the preempt delay or the start delay ends; null: not running. */
  masterDownAtMs: number | null;
  preemptAtMs: number | null;
  startAtMs: number | null;
  hearing: Hearing;
  hearingText: string;
  senders: SenderView[];
  /** longest silence between two adverts of a living master, and which part of Master_Down that was (1 would have been a takeover). */
  worstSilenceMs: number;
  worstSilencePart: number;
  /** longest time between two own adverts while master. */
  worstOwnGapMs: number;
  /** if the master dies now without a word: shortest and longest time until this instance is master; null: it will not become one. */
  failoverMs: { min: number; max: number } | null;
  becameMaster: number;
  lapses: number;
}
