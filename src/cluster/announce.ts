/** Tells the others on the link who has an address now. */
import { gratuitousArp } from './arp.js';
import { etherTypeArp, etherTypeIpv6, ipv4Bytes, ipv6Bytes, macBytes } from './frames.js';
import type { NativeNet, NetLink } from './net-native.js';
import { unsolicitedAdvertisement } from './ndp.js';

/**
 * Sends gratuitous ARP in both forms, or an unsolicited neighbour advertisement, for `address` out of `link`. Done when it returns; does nothing on a
 * link without hardware addresses. Throws what the socket says.
 */
export function announceAddress(net: Pick<NativeNet, 'packetSocket'>, link: NetLink, address: string): void {
  const mac = macBytes(link.mac);
  const four = ipv4Bytes(address);
  const six = four === null ? ipv6Bytes(address) : null;
  if (mac === null || link.loopback || (four === null && six === null)) return;
  const frames = four !== null ? [gratuitousArp(mac, four, 'request'), gratuitousArp(mac, four, 'reply')] : six !== null ? [unsolicitedAdvertisement(mac, six)] : [];
  const socket = net.packetSocket({ index: link.index, etherType: four === null ? etherTypeIpv6 : etherTypeArp, ...(four === null ? { ndpOnly: true } : {}) }, () => {}, () => {});
  try {
    for (const frame of frames) socket.send(frame);
  } finally {
    socket.close();
  }
}
