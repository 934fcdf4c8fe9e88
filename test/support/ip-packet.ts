/** IP packets around VRRP messages, which the kernel makes and takes apart for the program itself. */
import { type Received, vrrpHops, vrrpProtocol } from '../../src/cluster/vrrp/codec.js';
import { checksum, concat, ipv4Bytes, ipv4Text, ipv6Bytes } from '../../src/cluster/frames.js';

/** internetwork control. */
const vrrpTos = 0xc0;

function bytesOf(address: string): Uint8Array {
  return ipv4Bytes(address) ?? ipv6Bytes(address) ?? new Uint8Array(0);
}

/** The whole IP packet, for judges of frames. `identification` is of IPv4. */
export function ipPacket(family: 4 | 6, source: string, destination: string, payload: Uint8Array, hops = vrrpHops, identification = 0): Uint8Array {
  const from = bytesOf(source);
  const to = bytesOf(destination);
  if (family === 6) {
    const head = [0x60 | (vrrpTos >> 4), (vrrpTos & 0xf) << 4, 0, 0, payload.length >> 8, payload.length & 0xff, vrrpProtocol, hops];
    return concat(head, from, to, payload);
  }
  const length = 20 + payload.length;
  const head = concat([0x45, vrrpTos, length >> 8, length & 0xff, (identification >> 8) & 0xff, identification & 0xff, 0, 0, hops, vrrpProtocol, 0, 0], from, to);
  const sum = checksum(head);
  head[10] = sum >> 8;
  head[11] = sum & 0xff;
  return concat(head, payload);
}

/** Takes an IPv4 packet apart, as a raw IPv4 socket gives it; options are allowed. null: a fragment, or a wrong header. */
export function splitIpv4(packet: Uint8Array): Received | null {
  const headLength = ((packet[0] ?? 0) & 0xf) * 4;
  if (packet.length < 20 || (packet[0] ?? 0) >> 4 !== 4 || headLength < 20 || headLength > packet.length) return null;
  const total = ((packet[2] ?? 0) << 8) | (packet[3] ?? 0);
  if (total < headLength || total > packet.length) return null;
  if ((((packet[6] ?? 0) << 8) | (packet[7] ?? 0)) & 0x3fff) return null;
  return {
    protocol: packet[9] ?? 0,
    source: ipv4Text(packet.subarray(12, 16)),
    destination: ipv4Text(packet.subarray(16, 20)),
    ttl: packet[8] ?? 0,
    payload: packet.slice(headLength, total),
  };
}
