/** `Net` by the command ip, and python for ARP frames: slow, for tests only; IPv6 is neither probed for nor announced. */
import { z } from 'zod';
import type { Net, NetAddress, NetInterface, NewAddress } from '../../src/cluster/members/net.js';
import { must, run } from './exec.js';

const linkList = z.array(z.object({ ifname: z.string(), ifindex: z.number(), flags: z.array(z.string()) }));
const addressList = z.array(
  z.object({
    ifname: z.string(),
    addr_info: z.array(
      z.object({
        family: z.string().optional(), local: z.string().optional(), prefixlen: z.number().optional(), label: z.string().optional(),
        valid_life_time: z.number().optional(),
      }),
    ),
  }),
);
const forEver = 4294967295;

const arpFrame = `
import socket, sys
name, address = sys.argv[1:3]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((name, 0x0806))
mac, ip = s.getsockname()[4], socket.inet_aton(address)
s.send(b'\\xff' * 6 + mac + bytes.fromhex('0806000108000604' + '0001') + mac + ip + b'\\xff' * 6 + ip)
`;

/** As `arping -D`: no sender address, so that nobody learns anything from the question. */
const arpRequest = `
import socket, sys, time
name, address, wait = sys.argv[1:4]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind((name, 0x0806))
mac, ip = s.getsockname()[4], socket.inet_aton(address)
s.send(b'\\xff' * 6 + mac + bytes.fromhex('0806000108000604' + '0001') + mac + bytes(4) + bytes(6) + ip)
end = time.monotonic() + float(wait)
while (left := end - time.monotonic()) > 0:
    s.settimeout(left)
    try: frame = s.recv(100)
    except TimeoutError: break
    if frame[20:22] == bytes([0, 2]) and frame[28:32] == ip and frame[22:28] != mac:
        print(':'.join('%02x' % b for b in frame[22:28]))
        break
`;

export class IpNet implements Net {
  async interfaces(): Promise<NetInterface[]> {
    const list = linkList.parse(JSON.parse(await must(['ip', '-j', 'link', 'show'])));
    return list.map(({ ifname, ifindex, flags }) => ({
      name: ifname, index: ifindex, up: flags.includes('UP'), carrier: flags.includes('UP') && !flags.includes('NO-CARRIER'),
    }));
  }

  async addresses(): Promise<NetAddress[]> {
    const list = addressList.parse(JSON.parse(await must(['ip', '-j', 'addr', 'show'])));
    return list.flatMap(({ ifname, addr_info }) =>
      addr_info.flatMap((info) =>
        info.local === undefined
          ? []
          : [{
              interface: ifname, family: info.family === 'inet6' ? (6 as const) : (4 as const), address: info.local, prefix: info.prefixlen ?? 32,
              label: info.label ?? '', validSeconds: info.valid_life_time === undefined || info.valid_life_time >= forEver ? null : info.valid_life_time,
            }],
      ),
    );
  }

  async addAddress(a: NewAddress): Promise<void> {
    const life = ['valid_lft', String(a.validSeconds), 'preferred_lft', String(a.validSeconds)];
    const extra = [...(a.label === '' ? [] : ['label', a.label]), ...(a.broadcast === '' ? [] : ['broadcast', a.broadcast]), ...(a.family === 6 ? ['nodad'] : [])];
    await must(['ip', 'addr', 'replace', `${a.address}/${a.prefix}`, 'dev', a.interface, ...extra, ...life]);
  }

  async deleteAddress(a: Pick<NewAddress, 'interface' | 'address' | 'prefix'>): Promise<void> {
    await run(['ip', 'addr', 'del', `${a.address}/${a.prefix}`, 'dev', a.interface]);
  }

  async probe(address: string, networkInterface: string, { waitMs }: { waitMs: number }): Promise<'free' | { mac: string }> {
    if (address.includes(':')) return 'free';
    const mac = (await must(['python3', '-c', arpRequest, networkInterface, address, String(waitMs / 1000)])).trim();
    return mac === '' ? 'free' : { mac };
  }

  async announce(address: string, networkInterface: string): Promise<void> {
    if (!address.includes(':')) await must(['python3', '-c', arpFrame, networkInterface, address]);
  }
}
