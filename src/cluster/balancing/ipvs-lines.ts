/** A wanted rule set as lines for `ipvsadm --restore`, and back from what `ipvsadm --save` says. Pure. */
import type { VirtualServer } from '../../config/balancing-types.js';
import type { Wanted } from './machine.js';

const methods = { nat: '-m', dr: '-g', tun: '-i' } as const;

const place = (address: string, port: number): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
export const serviceOf = (server: VirtualServer): string => `${server.protocol === 'tcp' ? '-t' : '-u'} ${place(server.address, server.port)}`;

/** What is in force for one service: its destinations with their weights. */
export type Present = ReadonlyMap<string, number>;

/** Services of `ipvsadm --save --numeric`, by `-t ADDRESS:PORT`. */
export function parseSaved(text: string): Map<string, Map<string, number>> {
  const services = new Map<string, Map<string, number>>();
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [command, flag = '', address = ''] = words;
    const key = `${flag} ${address}`;
    if (command === '-A') services.set(key, services.get(key) ?? new Map());
    if (command !== '-a') continue;
    const own = services.get(key) ?? new Map<string, number>();
    const after = (word: string): string => words[words.indexOf(word) + 1] ?? '';
    own.set(after('-r'), words.includes('-w') ? Number(after('-w')) : 1);
    services.set(key, own);
  }
  return services;
}

/** Lines that bring one service from `present` (null: not there) to what is wanted. */
export function ipvsLines(server: VirtualServer, present: Present | null, wanted: Wanted): string[] {
  const service = serviceOf(server);
  if (!wanted.active) return present === null ? [] : [`-D ${service}`];
  const persistent = server.persistenceMs === 0 ? '' : ` -p ${Math.max(1, Math.round(server.persistenceMs / 1000))}`;
  const lines = [`${present === null ? '-A' : '-E'} ${service} -s ${server.scheduler}${persistent}`];
  const next = new Map(wanted.destinations.map(({ address, port, weight }) => [place(address, port), weight]));
  for (const real of present?.keys() ?? []) if (!next.has(real)) lines.push(`-d ${service} -r ${real}`);
  for (const [real, weight] of next) {
    const before = present?.get(real);
    if (before !== weight) lines.push(`${before === undefined ? '-a' : '-e'} ${service} -r ${real} ${methods[server.kind]} -w ${weight}`);
  }
  return lines;
}

export interface IpvsCounters {
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
}

/** Of `ipvsadm --list --numeric --stats --exact`, by service and destination: `-t ADDRESS:PORT ADDRESS:PORT`. */
export function parseStats(text: string): Map<string, IpvsCounters> {
  const found = new Map<string, IpvsCounters>();
  let service = '';
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words[0] === 'TCP' || words[0] === 'UDP') service = `${words[0] === 'TCP' ? '-t' : '-u'} ${words[1]}`;
    if (words[0] !== '->' || !/^\d+$/.test(words[2] ?? '')) continue;
    found.set(`${service} ${words[1]}`, { connections: Number(words[2]), packets: Number(words[3]), bytes: Number(words[5]) });
  }
  return found;
}
