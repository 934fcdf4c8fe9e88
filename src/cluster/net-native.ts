/**
 * The only file that loads the native network part, `native/build/Release/drbdts_net.node`: what Node can not do by itself. Errors carry `code`
 * (ENODEV, EADDRNOTAVAIL, EPERM, ...), `place` and `remedy`. Nothing in it decides anything.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { drbdtsError } from '../shared/errors.js';

const binary = fileURLToPath(new URL('../../../native/build/Release/drbdts_net.node', import.meta.url));

export interface NetLink {
  name: string;
  index: number;
  up: boolean;
  /** a cable with somebody at its other end. */
  carrier: boolean;
  loopback: boolean;
  /** `02:11:22:33:44:55`, '' for none. */
  mac: string;
  mtu: number;
}

export interface NetAddress {
  index: number;
  family: 4 | 6;
  address: string;
  prefix: number;
  /** '' for none (IPv6 has none). */
  label: string;
  /** null: for ever. */
  validSeconds: number | null;
  preferredSeconds: number | null;
  noPrefixRoute: boolean;
  /** IPv6 duplicate address detection: still running, or somebody else has it. */
  tentative: boolean;
  dadFailed: boolean;
}

export interface NewAddress {
  index: number;
  address: string;
  prefix: number;
  label?: string;
  broadcast?: string;
  /** the kernel removes it when that long nobody set it again; absent: for ever. */
  validSeconds?: number;
  preferredSeconds?: number;
  noPrefixRoute?: boolean;
  /** IPv6: usable at once, without asking the network first. */
  noDad?: boolean;
}

export interface PacketSocket {
  /** A whole Ethernet frame. */
  send(frame: Uint8Array): void;
  /** Frames that nobody took in time. */
  dropped(): number;
  close(): void;
}

/** One VRRP message as it came in. */
export interface VrrpPacket {
  source: string;
  destination: string;
  /** TTL or hop limit on arrival. */
  ttl: number;
  /** when the kernel got it, on the clock of `bootTimeNs`. */
  receivedMs: number;
  /** what follows the IP header. */
  data: Uint8Array;
}

export interface VrrpSocket {
  /** Gives what has come in at once, and says up to when all of it was given (clock of `bootTimeNs`). */
  drain(): number;
  close(): void;
}

export interface AdvertPacket {
  /** numeric address of the family. */
  to: string;
  data: Uint8Array;
}

/**
 * Sends the adverts of one instance from a thread of its own (one for all instances). A schedule ends by itself when its lease is not renewed in
 * time, or when it could not be kept (the process or the machine stood still): then others may have taken over, and `renew`
 * says false.
 */
export interface Advertiser {
  /** Every `intervalMs` from now on, until `stop` or the next `run`; not any more once the gap between two was longer than `lapseMs`. `now`, or when nothing runs: the first one at once; otherwise at the next turn. */
  run(options: { packets: readonly AdvertPacket[]; intervalMs: number; lapseMs: number; leaseMs: number; now: boolean }): void;
  /** At once, besides the schedule. */
  once(packets: readonly AdvertPacket[]): void;
  /** Whether the schedule runs on. */
  renew(leaseMs: number): boolean;
  /** Ends the schedule, then sends these at once. */
  stop(packets: readonly AdvertPacket[]): void;
  /** `lastMs`: newest time of sending, on the clock of `bootTimeNs`. `longestGapMs`: between two of the schedule, since this was asked last. */
  state(): { running: boolean; ended: '' | 'lease' | 'pause'; lastMs: number; longestGapMs: number; sent: number; failed: number; /** name of an errno, '' for none. */ lastError: string; worstLateMs: number };
  close(): void;
}

export interface NetMonitor {
  close(): void;
}

export interface NativeNet {
  /** A UDP socket bound to an address and an interface; its descriptor belongs to the caller. */
  udpSocket(options: { family: 4 | 6; address: string; port: number; interface: string }): number;
  /** Frames of one ethertype (0x0806 ARP, 0x86dd IPv6) on one interface, whole, as they came in. With `ndpOnly` the kernel passes neighbour discovery only. */
  packetSocket(options: { index: number; etherType: number; ndpOnly?: boolean }, onFrame: (frame: Uint8Array) => void, onError: (error: Error) => void): PacketSocket;
  /** VRRP on one interface: what is sent to it, and to these groups. What this host sends is not heard. */
  vrrpSocket(options: { index: number; family: 4 | 6; groups: readonly string[] }, onPacket: (packet: VrrpPacket) => void, onError: (error: Error) => void): VrrpSocket;
  /** From `source`, out of the interface; `hops`: TTL or hop limit, default 255. */
  advertiser(options: { index: number; source: string; hops?: number }): Advertiser;
  /** SCHED_RR (1..99) for the thread that sends adverts. */
  advertPriority(priority: number): void;
  links(): NetLink[];
  addresses(): NetAddress[];
  /** Adds the address or, when it is there, sets its lifetime again. */
  setAddress(address: NewAddress): void;
  /** EADDRNOTAVAIL when it is not there. */
  deleteAddress(index: number, address: string, prefix: number): void;
  /** Called with `true` when messages were lost and everything is to be read again. */
  monitor(onChange: (lost: boolean) => void, onError: (error: Error) => void): NetMonitor;
  /** SCHED_RR (1..99) for the thread that runs JavaScript; programs and threads started by it do not inherit it. */
  setRealtime(priority: number): void;
  /** Program and libraries stay in memory once used. The heap can not be locked (V8 ends the process): run with MemorySwapMax=0. */
  lockProgram(): void;
  /** CLOCK_BOOTTIME in nanoseconds: goes on while the machine sleeps. */
  bootTimeNs(): bigint;
}

/** Loads it, or fails with ERR_ADDON saying what to do. */
export function loadNet(): NativeNet {
  try {
    return createRequire(import.meta.url)(binary) as NativeNet;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0] ?? '';
    throw drbdtsError('ERR_ADDON', { values: { file: binary, reason }, place: binary, cause: error });
  }
}
