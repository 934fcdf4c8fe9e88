/**
 * A VRRP advert as bytes: RFC 3768 (version 2) and RFC 9568 (version 3). Pure.
 *
 *   0 version (4 bits), type 1 (4 bits)   1 VRID   2 priority   3 number of addresses
 *   version 2: 4 authentication type (0 none, 1 password), 5 interval in seconds, 6 checksum, 8 addresses, then 8 bytes of authentication
 *   version 3: 4 four zero bits and the interval in centiseconds (12 bits), 6 checksum, 8 addresses
 *
 * The sum of version 2 covers the whole message. That of version 3 covers a pseudo header as well; over IPv4 there are two schools, see
 * `VrrpConfig.pseudoHeader`.
 */
import { ownerPriority } from '../../config/vrrp-types.js';
import { checksum, concat, equal, ipv4Bytes, ipv4Text, ipv6Bytes, ipv6Text } from '../frames.js';
import type { Advert, RejectReason, VrrpConfig } from './types.js';

export const vrrpProtocol = 112;
export const authenticationHeader = 51;
export const vrrpHops = 255;
const headBytes = 8;
const authBytes = 8;
/** An Ethernet frame is never shorter; what is after the message may be padding. */
const paddedBytes = 46;

/** A packet as a raw socket gives it, IP header taken off. */
export interface Received {
  /** 112, or 51 for an authentication header. */
  protocol: number;
  source: string;
  destination: string;
  /** TTL or hop limit. */
  ttl: number;
  payload: Uint8Array;
}

export type ChecksumForm = 'plain' | 'with pseudo header' | 'without pseudo header';

export type Decoded =
  /** `notes`: what differs but is taken all the same. */
  | { ok: true; vrid: number; advert: Advert; addresses: string[]; checksum: ChecksumForm; notes: string[] }
  | Refused;

/** `text` is what comes after `peer heard but rejected: `. */
export interface Refused {
  ok: false;
  reason: RejectReason;
  text: string;
}

function refused(reason: RejectReason, text: string): Refused {
  return { ok: false, reason, text };
}

function addressBytes(text: string, family: 4 | 6): Uint8Array {
  const bytes = family === 4 ? ipv4Bytes(text) : ipv6Bytes(text);
  if (bytes === null) throw new RangeError(`'${text}' is no IPv${family} address`);
  return bytes;
}

function addressText(bytes: Uint8Array, family: 4 | 6): string {
  return family === 4 ? ipv4Text(bytes) : ipv6Text(bytes);
}

/** Is `a` the higher address? Both of one family, as RFC 9568 §6.4.3 compares them. Text that is no address is lower than any. */
export function isHigherAddress(a: string, b: string): boolean {
  const bytes = (text: string): Uint8Array => ipv4Bytes(text) ?? ipv6Bytes(text) ?? new Uint8Array(0);
  const left = bytes(a);
  const right = bytes(b);
  if (left.length !== right.length) return left.length > right.length;
  const at = left.findIndex((byte, index) => byte !== right[index]);
  return at !== -1 && (left[at] ?? 0) > (right[at] ?? 0);
}

/** The 8 bytes of a password; longer ones are cut, as keepalived does. */
export function passwordBytes(password: string): Uint8Array {
  const bytes = new Uint8Array(authBytes);
  bytes.set(new TextEncoder().encode(password).subarray(0, authBytes));
  return bytes;
}

function pseudoHeader(family: 4 | 6, source: Uint8Array, destination: Uint8Array, length: number): Uint8Array {
  const tail = family === 4 ? [0, vrrpProtocol, length >> 8, length & 0xff] : [0, 0, length >> 8, length & 0xff, 0, 0, 0, vrrpProtocol];
  return concat(source, destination, tail);
}

/** The addresses of a configuration that adverts name, in their order. */
export function advertisedAddresses(config: VrrpConfig): string[] {
  return config.addresses.filter((each) => each.advertised).map((each) => each.address);
}

/**
 * The message (without IP header). `source` and `destination` go into the sum of version 3 only: with unicast it is one message per peer.
 * RangeError for an address, VRID, priority or interval that has no place in it: the configuration has checked them.
 */
export function encodeAdvert(config: VrrpConfig, priority: number, source: string, destination: string): Uint8Array {
  const addresses = advertisedAddresses(config).map((text) => addressBytes(text, config.family));
  const interval = config.version === 2 ? config.intervalMs / 1000 : config.intervalMs / 10;
  const whole = (value: number, low: number, high: number, what: string): number => {
    if (!Number.isInteger(value) || value < low || value > high) throw new RangeError(`${what} ${value} is not in ${low} to ${high}`);
    return value;
  };
  whole(interval, 1, config.version === 2 ? 255 : 4095, config.version === 2 ? 'interval in seconds' : 'interval in centiseconds');
  if (config.family === 6 && config.version === 2) throw new RangeError('IPv6 needs version 3');
  const first = [(config.version << 4) | 1, whole(config.vrid, 1, 255, 'VRID'), whole(priority, 0, 255, 'priority'), whole(addresses.length, 0, 255, 'number of addresses')];
  const middle = config.version === 2 ? [config.password === null ? 0 : 1, interval] : [interval >> 8, interval & 0xff];
  const trailer = config.version === 2 ? [config.password === null ? new Uint8Array(authBytes) : passwordBytes(config.password)] : [];
  const message = concat(first, middle, [0, 0], ...addresses, ...trailer);
  const withPseudo = config.family === 6 || (config.version === 3 && config.pseudoHeader);
  const parts = withPseudo ? [pseudoHeader(config.family, addressBytes(source, config.family), addressBytes(destination, config.family), message.length)] : [];
  const sum = checksum(...parts, message);
  message[6] = sum >> 8;
  message[7] = sum & 0xff;
  return message;
}

/** VRID of a payload before anything else is looked at, to find the instance; null: too short, or hidden behind an authentication header. */
export function vridOf(received: Received): number | null {
  return received.protocol === vrrpProtocol && received.payload.length >= 2 ? (received.payload[1] ?? 0) : null;
}

function checkTtl(config: VrrpConfig, received: Received): Refused | null {
  const hops = config.family === 4 ? 'TTL' : 'hop limit';
  if (config.transport.kind === 'multicast')
    return received.ttl === vrrpHops ? null : refused('ttl', `${hops} ${received.ttl} instead of ${vrrpHops}: the packet came through a router`);
  const peer = config.transport.peers.find((each) => each.address === received.source);
  const low = peer?.minTtl ?? 0;
  return received.ttl >= low ? null : refused('ttl', `${hops} ${received.ttl} is below ${low}: the packet came from farther away than allowed`);
}

function checkDestination(config: VrrpConfig, received: Received): Refused | null {
  const { transport } = config;
  const isGroup = config.family === 4 ? /^2(?:2[4-9]|3\d)\./.test(received.destination) : received.destination.startsWith('ff');
  if (transport.kind === 'multicast')
    return received.destination === transport.group ? null : refused('destination', `sent to ${received.destination}, this instance uses the group ${transport.group}`);
  if (isGroup) return refused('destination', `sent to the group ${received.destination}, this instance has unicast peers`);
  if (transport.checkSource && !transport.peers.some((each) => each.address === received.source)) return refused('source', `${received.source} is not among the unicast peers`);
  return null;
}

function checksumForm(config: VrrpConfig, received: Received, message: Uint8Array): ChecksumForm | null {
  if (config.version === 2) return checksum(message) === 0 ? 'plain' : null;
  const pseudo = pseudoHeader(config.family, addressBytes(received.source, config.family), addressBytes(received.destination, config.family), message.length);
  if (checksum(pseudo, message) === 0 && (config.family === 6 || config.acceptChecksum !== 'without pseudo header')) return 'with pseudo header';
  if (config.family === 4 && config.acceptChecksum !== 'with pseudo header' && checksum(message) === 0) return 'without pseudo header';
  return null;
}

function checkAuthentication(config: VrrpConfig, message: Uint8Array): Refused | null {
  const type = message[4] ?? 0;
  const name = type === 0 ? 'none' : type === 1 ? 'a password (PASS)' : type === 2 ? 'an authentication header (AH)' : `of unknown type ${type}`;
  if (type !== (config.password === null ? 0 : 1))
    return refused('authentication type', `authentication is ${name}, here it is ${config.password === null ? 'none' : 'a password (PASS)'}`);
  if (config.password !== null && !equal(message.subarray(message.length - authBytes), passwordBytes(config.password))) return refused('password', 'the password is another one');
  return null;
}

function checkAddresses(config: VrrpConfig, priority: number, theirs: readonly string[]): { refusal: Refused | null; note: string | null } {
  const ours = advertisedAddresses(config);
  const same = ours.length === theirs.length && [...ours].sort().join() === [...theirs].sort().join();
  if (same) return { refusal: null, note: null };
  const text = `its addresses are ${theirs.join(', ') || 'none'}, here ${ours.join(', ') || 'none'} are configured`;
  // RFC 3768 §7.1: the owner of the addresses is believed.
  return config.addressMismatch === 'refuse' && priority !== ownerPriority ? { refusal: refused('address list', text), note: null } : { refusal: null, note: text };
}

/**
 * All checks of a receiver: VRID, then the order of RFC 3768 §7.1 and RFC 9568 §7.1 (hops, version, length, sum, authentication, addresses,
 * interval), so that damaged bytes are called damaged and not a wrong password. Never throws, whatever the bytes are.
 */
export function decodeAdvert(config: VrrpConfig, received: Received): Decoded {
  const { payload } = received;
  if (received.protocol === authenticationHeader) return refused('authentication header', 'it uses an authentication header (auth_type AH), which is not supported: use PASS or none on both nodes');
  if (received.protocol !== vrrpProtocol) return refused('not IP', `IP protocol ${received.protocol} instead of ${vrrpProtocol}`);
  const isAddress = config.family === 4 ? ipv4Bytes : ipv6Bytes;
  if (isAddress(received.source) === null || isAddress(received.destination) === null) return refused('not IP', `not an IPv${config.family} packet`);
  if (payload.length < headBytes) return refused('length', `${payload.length} bytes, an advert has at least ${headBytes}`);
  const [first = 0, vrid = 0, priority = 0, count = 0] = payload;
  if (vrid !== config.vrid) return refused('vrid', `virtual router id ${vrid}, here it is ${config.vrid}`);
  const hops = checkTtl(config, received);
  if (hops !== null) return hops;
  if (first >> 4 !== config.version) return refused('version', `VRRP version ${first >> 4}, here it is ${config.version}`);
  if ((first & 0xf) !== 1) return refused('type', `type ${first & 0xf}, only 1 (advertisement) is known`);
  const size = config.family === 4 ? 4 : 16;
  const length = headBytes + size * count + (config.version === 2 ? authBytes : 0);
  if (payload.length < length) return refused('length', `${payload.length} bytes, with ${count} addresses it must be ${length}`);
  const isPadding = payload.length <= paddedBytes && payload.subarray(length).every((byte) => byte === 0);
  if (payload.length > length && !isPadding) return refused('length', `${payload.length - length} bytes after the advert (a signed trailer, auth_hmac, is not supported)`);
  const message = payload.subarray(0, length);
  const form = checksumForm(config, received, message);
  if (form === null) return refused('checksum', `the checksum is wrong${config.version === 3 && config.family === 4 && config.acceptChecksum !== 'either' ? ` (it is expected ${config.acceptChecksum})` : ''}`);
  const destination = checkDestination(config, received);
  if (destination !== null) return destination;
  if (config.version === 2) {
    const authentication = checkAuthentication(config, message);
    if (authentication !== null) return authentication;
  }
  const addresses = Array.from({ length: count }, (_, index) => addressText(message.subarray(headBytes + size * index, headBytes + size * (index + 1)), config.family));
  const list = checkAddresses(config, priority, addresses);
  if (list.refusal !== null) return list.refusal;
  const intervalMs = config.version === 2 ? (message[5] ?? 0) * 1000 : ((((message[4] ?? 0) & 0xf) << 8) | (message[5] ?? 0)) * 10;
  if (intervalMs === 0 || (config.version === 2 && intervalMs !== config.intervalMs))
    return refused('interval', `its interval is ${intervalMs / 1000} s, here it is ${config.intervalMs / 1000} s${config.version === 2 ? ' (version 2 wants them equal)' : ''}`);
  const notes = list.note === null ? [] : [list.note];
  if (intervalMs !== config.intervalMs) notes.push(`its interval is ${intervalMs / 1000} s, here it is ${config.intervalMs / 1000} s: the timers follow the master`);
  return { ok: true, vrid, advert: { source: received.source, priority, intervalMs }, addresses, checksum: form, notes };
}
