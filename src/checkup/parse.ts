/** Texts of the system, parsed. Pure. */
import { unescapeField } from '../shared/mount-table.js';
import type { AddressFact, FstabEntry, InterfaceFact, PortFact } from './facts.js';

interface IpAddress {
  family?: string;
  local?: string;
  prefixlen?: number;
  valid_life_time?: number;
}
interface IpLink {
  ifname?: string;
  flags?: string[];
  link?: string;
  linkinfo?: { info_kind?: string };
  addr_info?: IpAddress[];
}
const forever = 4294967295;

/** Kinds of interfaces that share the cable of another one, their `link`. */
const laidOver = new Set(['vlan', 'macvlan', 'ipvlan', 'macsec']);

/** `ip -details -json address show`. */
export function parseIpAddresses(json: string): { interfaces: InterfaceFact[]; addresses: AddressFact[] } {
  const links = JSON.parse(json) as IpLink[];
  return {
    interfaces: links.map(({ ifname, flags = [], link, linkinfo }) => ({
      ...{ name: ifname ?? '', up: flags.includes('UP'), carrier: flags.includes('LOWER_UP') },
      ...(link !== undefined && laidOver.has(linkinfo?.info_kind ?? '') ? { over: link } : {}),
    })),
    addresses: links.flatMap(({ ifname, addr_info = [] }) =>
      addr_info.flatMap(({ family, local, prefixlen, valid_life_time }): AddressFact[] =>
        family !== 'inet' && family !== 'inet6'
          ? []
          : [{ interface: ifname ?? '', family: family === 'inet' ? 4 : 6, address: local ?? '', prefix: prefixlen ?? 0, permanent: (valid_life_time ?? forever) === forever }],
      ),
    ),
  };
}

/** `ip -json neigh show to ADDRESS`: who has it, and whether that was confirmed just now; null: nobody as far as is known. */
export function parseNeighbour(json: string): { hardware: string; confirmed: boolean } | null {
  const list = JSON.parse(json === '' ? '[]' : json) as { lladdr?: string; state?: string[] }[];
  const known = list.flatMap(({ lladdr, state = [] }) => (lladdr === undefined || state.includes('FAILED') ? [] : [{ hardware: lladdr, confirmed: state.includes('REACHABLE') || state.includes('PERMANENT') }]));
  return known.find(({ confirmed }) => confirmed) ?? known[0] ?? null;
}

/** fstab(5); lines that are no entries are left out. */
export function parseFstab(text: string): FstabEntry[] {
  return text.split('\n').flatMap((line, index) => {
    const [source = '', mountPoint = '', , options = ''] = line.trim().split(/\s+/);
    if (source === '' || source.startsWith('#') || mountPoint === '') return [];
    return [{ line: index + 1, source: unescapeField(source), mountPoint: unescapeField(mountPoint), options: options.split(',') }];
  });
}

/** An address as the kernel prints it: bytes of each 32-bit word in the order of a little-endian machine. */
function parseKernelAddress(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.');
  const words: string[] = [];
  for (let at = 0; at < bytes.length; at += 2) words.push(`${bytes[at]}${bytes[at + 1]}`);
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

/** /proc/net/{udp,udp6,tcp,tcp6}; of TCP only sockets that listen. */
export function parsePorts(text: string, protocol: 'tcp' | 'udp'): PortFact[] {
  return text.split('\n').flatMap((line): PortFact[] => {
    const match = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line);
    if (match === null || (protocol === 'tcp' && match[3] !== '0A')) return [];
    return [{ protocol, address: parseKernelAddress(match[1] ?? ''), port: Number.parseInt(match[2] ?? '', 16) }];
  });
}

/** Lines (from 1) in which an address is written, comments left out. */
export function linesWith(text: string, address: string): number[] {
  // haresources writes IPaddr::ADDRESS
  const around = address.includes(':') ? '[^0-9A-Za-z.:]' : '[^0-9A-Za-z.]';
  const word = new RegExp(`(^|${around})${address.replace(/[.]/g, '\\.')}($|${around})`, 'i');
  return text.split('\n').flatMap((line, index) => (word.test(line.replace(/^\s*[#;!].*|\s#.*/, '')) ? [index + 1] : []));
}

/** The unit that systemd makes of a mount point (systemd.unit(5), "string escaping"). */
export function mountUnitOf(mountPoint: string): string {
  const path = mountPoint.replace(/^\/+|\/+$/g, '');
  if (path === '') return '-.mount';
  const hex = (char: string): string => [...new TextEncoder().encode(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  const escaped = [...path].map((char, index) => (char === '/' ? '-' : /[A-Za-z0-9:_]/.test(char) || (char === '.' && index > 0) ? char : hex(char)));
  return `${escaped.join('')}.mount`;
}
