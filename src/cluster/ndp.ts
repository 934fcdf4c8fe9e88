/** Neighbour discovery frames (RFC 4861) for an address that moves: unsolicited advertisement, and the question of RFC 4862 §5.4. Pure. */
import { checksum, concat, equal, etherTypeIpv6 } from './frames.js';

const solicitation = 135;
const advertisement = 136;
const unspecified = new Uint8Array(16);
const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export interface Neighbour {
  type: 'solicitation' | 'advertisement';
  /** Ethernet and IPv6 source. */
  fromMac: Uint8Array;
  source: Uint8Array;
  target: Uint8Array;
  /** the link-layer address option, null for none. */
  mac: Uint8Array | null;
  solicited: boolean;
  override: boolean;
}

/** ff02::1:ffXX:XXXX of an address (RFC 4291 §2.7.1). */
export function solicitedNode(address: Uint8Array): Uint8Array {
  return concat([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff], address.subarray(13));
}

function frame(mac: Uint8Array, source: Uint8Array, destination: Uint8Array, type: number, flags: number, target: Uint8Array, option: readonly number[]): Uint8Array {
  const length = 24 + option.length;
  const pseudo = concat(source, destination, [0, 0, length >> 8, length & 0xff, 0, 0, 0, 58]);
  const rest = concat([flags, 0, 0, 0], target, option);
  const sum = checksum(pseudo, concat([type, 0, 0, 0], rest));
  return concat(
    [0x33, 0x33],
    destination.subarray(12),
    mac,
    [etherTypeIpv6 >> 8, etherTypeIpv6 & 0xff, 0x60, 0, 0, 0, length >> 8, length & 0xff, 58, 255],
    source,
    destination,
    [type, 0, sum >> 8, sum & 0xff],
    rest,
  );
}

/** "This address is here now", to all nodes, override set (RFC 4861 §7.2.6). `router`: this node forwards packets. */
export function unsolicitedAdvertisement(mac: Uint8Array, address: Uint8Array, router = false): Uint8Array {
  return frame(mac, address, allNodes, advertisement, router ? 0xa0 : 0x20, address, [2, 1, ...mac]);
}

/** "Does anybody have it?" from the unspecified address (RFC 4862 §5.4.2): an owner answers to all nodes. */
export function duplicateProbe(mac: Uint8Array, address: Uint8Array): Uint8Array {
  return frame(mac, unspecified, solicitedNode(address), solicitation, 0, address, []);
}

/** The frame's neighbour message, or null for anything else or anything that RFC 4861 §7.1 says to ignore. */
export function parseNeighbour(bytes: Uint8Array): Neighbour | null {
  if (bytes.length < 78 || bytes[12] !== 0x86 || bytes[13] !== 0xdd || (bytes[14] ?? 0) >> 4 !== 6 || bytes[20] !== 58 || bytes[21] !== 255) return null;
  const length = ((bytes[18] ?? 0) << 8) | (bytes[19] ?? 0);
  if (length < 24 || bytes.length < 54 + length) return null;
  const message = bytes.subarray(54, 54 + length);
  const type = message[0] === solicitation ? 'solicitation' : message[0] === advertisement ? 'advertisement' : null;
  if (type === null || message[1] !== 0) return null;
  const source = bytes.slice(22, 38);
  const destination = bytes.subarray(38, 54);
  if (checksum(source, destination, Uint8Array.of(0, 0, length >> 8, length & 0xff, 0, 0, 0, 58), message) !== 0) return null;
  const target = message.slice(8, 24);
  if (target[0] === 0xff) return null;
  const solicited = type === 'advertisement' && ((message[4] ?? 0) & 0x40) !== 0;
  if (solicited && destination[0] === 0xff) return null;
  let mac: Uint8Array | null = null;
  for (let at = 24; at < message.length; ) {
    const size = (message[at + 1] ?? 0) * 8;
    if (size === 0 || at + size > message.length) return null;
    if (message[at] === (type === 'advertisement' ? 2 : 1) && size === 8) mac = message.slice(at + 2, at + 8);
    at += size;
  }
  if (type === 'solicitation' && equal(source, unspecified) && (mac !== null || !equal(destination, solicitedNode(target)))) return null;
  return { type, fromMac: bytes.slice(6, 12), source, target, mac, solicited, override: type === 'advertisement' && ((message[4] ?? 0) & 0x20) !== 0 };
}

/** As `arpConflict`: somebody has the address, or asks for it as we do (RFC 4862 §5.4.3, §5.4.4). */
export function neighbourConflict(neighbour: Neighbour, mac: Uint8Array, address: Uint8Array): { kind: 'owned' | 'probed'; mac: Uint8Array } | null {
  if (equal(neighbour.fromMac, mac)) return null;
  const from = neighbour.mac ?? neighbour.fromMac;
  if (equal(neighbour.source, address)) return { kind: 'owned', mac: from };
  if (!equal(neighbour.target, address)) return null;
  if (neighbour.type === 'advertisement') return { kind: 'owned', mac: from };
  return equal(neighbour.source, unspecified) ? { kind: 'probed', mac: from } : null;
}
