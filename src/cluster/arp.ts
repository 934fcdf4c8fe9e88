/** ARP frames (RFC 826), as a new owner of an address sends them and as a careful one asks first (RFC 5227). Pure. */
import { concat, equal, etherTypeArp } from './frames.js';

const broadcast = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const zeroMac = [0, 0, 0, 0, 0, 0];
const zeroAddress = [0, 0, 0, 0];

export interface Arp {
  operation: 'request' | 'reply';
  senderMac: Uint8Array;
  sender: Uint8Array;
  targetMac: Uint8Array;
  target: Uint8Array;
}

function frame(from: Uint8Array, operation: 1 | 2, sender: readonly number[], targetMac: readonly number[], target: Uint8Array): Uint8Array {
  return concat(broadcast, from, [etherTypeArp >> 8, etherTypeArp & 0xff, 0, 1, 8, 0, 6, 4, 0, operation], from, sender, targetMac, target);
}

/**
 * "This address is here now", to everybody: the request form is what keepalived sends and all stacks take; some routers take only the reply form.
 * Send both.
 */
export function gratuitousArp(mac: Uint8Array, address: Uint8Array, form: 'request' | 'reply'): Uint8Array {
  return frame(mac, form === 'request' ? 1 : 2, [...address], broadcast, address);
}

/** "Does anybody have it?" without saying that we do: sender address zero (RFC 5227 §2.1.1). */
export function arpProbe(mac: Uint8Array, address: Uint8Array): Uint8Array {
  return frame(mac, 1, zeroAddress, zeroMac, address);
}

/** The frame's ARP for Ethernet and IPv4, or null. Padding to the shortest Ethernet frame is allowed. */
export function parseArp(bytes: Uint8Array): Arp | null {
  if (bytes.length < 42 || !equal(bytes.subarray(12, 20), Uint8Array.of(etherTypeArp >> 8, etherTypeArp & 0xff, 0, 1, 8, 0, 6, 4)) || bytes[20] !== 0) return null;
  const operation = bytes[21] === 1 ? 'request' : bytes[21] === 2 ? 'reply' : null;
  if (operation === null) return null;
  return { operation, senderMac: bytes.slice(22, 28), sender: bytes.slice(28, 32), targetMac: bytes.slice(32, 38), target: bytes.slice(38, 42) };
}

/**
 * What a frame says about an address that we (`mac`) want: `owned` by whose MAC, `probed` by somebody who wants it as well (RFC 5227 §2.1.1), or
 * nothing. Our own frames that come back say nothing.
 */
export function arpConflict(arp: Arp, mac: Uint8Array, address: Uint8Array): { kind: 'owned' | 'probed'; mac: Uint8Array } | null {
  if (equal(arp.senderMac, mac)) return null;
  if (equal(arp.sender, address)) return { kind: 'owned', mac: arp.senderMac };
  const isProbe = arp.operation === 'request' && equal(arp.sender, Uint8Array.from(zeroAddress)) && equal(arp.target, address);
  return isProbe ? { kind: 'probed', mac: arp.senderMac } : null;
}
