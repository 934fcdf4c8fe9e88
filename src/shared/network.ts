/** Arithmetic on IP addresses. No I/O. */
import { BlockList } from 'node:net';

/** Whether `address` lies in the network `network`/`prefix`; both of one family. */
export function isInNetwork(family: 4 | 6, address: string, network: string, prefix: number): boolean {
  const words = family === 4 ? 'ipv4' : 'ipv6';
  const net = new BlockList();
  net.addSubnet(network, prefix, words);
  return net.check(address, words);
}
