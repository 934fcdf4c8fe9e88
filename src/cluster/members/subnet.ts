/** Which network an address lies in. Pure. */
import { isInNetwork } from '../../shared/network.js';
import type { NetAddress } from './net.js';

/** Name of the interface on whose connected network `address` lies, the one with the longest prefix; '' when there is none. */
export function connectedInterface(addresses: readonly NetAddress[], family: 4 | 6, address: string): string {
  let best: NetAddress | null = null;
  for (const own of addresses) {
    if (own.family !== family || own.address === address || own.prefix === (family === 4 ? 32 : 128)) continue;
    if (isInNetwork(family, address, own.address, own.prefix) && (best === null || own.prefix > best.prefix)) best = own;
  }
  return best?.interface ?? '';
}

/** Broadcast address of an IPv4 network; '' where there is none (prefix 31 and 32). */
export function broadcastOf(address: string, prefix: number): string {
  if (prefix > 30) return '';
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const hosts = 2 ** (32 - prefix);
  const last = Math.floor(number / hosts) * hosts + hosts - 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}
