/**
 * A wanted rule set as a script for `nft -f`, which the kernel takes as a whole or not at all. Pure.
 *
 * What depends on the configuration alone (hooks, sets, counters, a chain for each server) is made once; a change of the servers fills three chains
 * of one virtual server anew, so counters, sticky clients and connections stay. A chain whose name holds the digest of the configuration tells the
 * next process whether the tables that it finds are its own.
 *
 *   nat, table inet     prerouting/output -> v0 (who) -> v0_s1 (dnat).      Connection tracking keeps who was chosen.
 *                       forward/input -> v0_live: connections of servers that are out are ended; v0_in: nobody serves, refused.
 *   dr, table netdev    ingress -> v0: known flow -> v0_s1_keep, else v0_new (who) -> v0_s1_new; both -> v0_s1: to the server's link-layer address,
 *                       which the kernel looks up. The flows are kept in a map here, as ingress comes before connection tracking.
 *
 * Rules match only while the address of the virtual server is one of this host (dr: of the interface), so they come into force with the address, in the same
 * moment, and a process that was killed leaves nothing behind that acts without it.
 */
import { createHash } from 'node:crypto';
import type { BalancingSection, VirtualServer } from '../../config/balancing-types.js';
import { type Destination, sorryName, type Wanted } from './machine.js';
import { hashSlots, ranges, turns } from './slots.js';

export const tableName = 'drbdts_lb';
export type NftFamily = 'inet' | 'netdev';

/** as IPVS has them. */
const flowSeconds = { syn: 60, established: 900, closing: 60, udp: 300 };
const flowsMax = 1_048_576;
const clientsMax = 262_144;
const hashSeed = '0x64726264';

export interface NftScene {
  readonly section: BalancingSection;
  readonly node: string;
}

interface Target {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly sorry: boolean;
}

/** In the order of their numbers. */
export function targetsOf(server: VirtualServer): Target[] {
  return [...server.realServers.map(({ name, address, port }) => ({ name, address, port, sorry: false })), ...(server.sorryServer === null ? [] : [{ name: sorryName, ...server.sorryServer, sorry: true }])];
}

export const familyOf = (server: VirtualServer): NftFamily => (server.kind === 'nat' ? 'inet' : 'netdev');
export const familiesOf = (section: BalancingSection): NftFamily[] => (['inet', 'netdev'] as const).filter((family) => section.virtualServers.some((server) => familyOf(server) === family));

/** The name of a counter: `new` connections of a server, or the packets `in` from clients. */
export const counterName = (server: number, target: number, what: 'new' | 'in'): string => `v${server}_s${target}_${what}`;

const ip = (server: VirtualServer): string => (server.family === 6 ? 'ip6' : 'ip');
const chain = (name: string, rules: readonly string[]): string[] => [`  chain ${name} {`, ...rules.map((rule) => `    ${rule}`), '  }'];
const interfacesOf = (server: VirtualServer, node: string): { clients: string; servers: string } => server.interfaces[node] ?? server.interfaces['*'] ?? { clients: '', servers: '' };
const flowKey = (server: VirtualServer): string => `${ip(server)} saddr . ${server.protocol} sport`;
const seconds = (ms: number): string => `${Math.max(1, Math.round(ms / 1000))}s`;

/** Of everything that the fixed part depends on. */
export function structureDigest({ section, node }: NftScene): string {
  const parts = section.virtualServers.map((server) => [server.name, server.address, server.port, server.protocol, server.kind, server.persistenceMs, targetsOf(server), server.kind === 'dr' ? interfacesOf(server, node) : null]);
  return createHash('sha256').update(JSON.stringify(['1', parts])).digest('hex').slice(0, 16);
}
export const structureChain = (scene: NftScene): string => `of_${structureDigest(scene)}`;

function stickySets(server: VirtualServer, id: string): string[] {
  if (server.persistenceMs === 0) return [];
  const type = server.family === 6 ? 'ipv6_addr' : 'ipv4_addr';
  return server.realServers.map((_, index) => `  set ${id}_s${index}_sticky { type ${type}; size ${clientsMax}; flags dynamic,timeout; timeout ${seconds(server.persistenceMs)}; }`);
}
const stick = (server: VirtualServer, id: string, index: number, target: Target): string[] => (server.persistenceMs === 0 || target.sorry ? [] : [`update @${id}_s${index}_sticky { ${ip(server)} saddr }`]);

function natFixed(server: VirtualServer, number: number): string[] {
  const id = `v${number}`;
  const targets = targetsOf(server).flatMap((target, index) => {
    const to = server.family === 6 ? `[${target.address}]:${target.port}` : `${target.address}:${target.port}`;
    return [
      `  counter ${counterName(number, index, 'new')} { }`,
      `  counter ${counterName(number, index, 'in')} { }`,
      ...chain(`${id}_s${index}`, [...stick(server, id, index, target), `counter name ${counterName(number, index, 'new')} meta l4proto ${server.protocol} dnat ${ip(server)} to ${to}`]),
      ...chain(`${id}_s${index}_live`, [`ct direction original counter name ${counterName(number, index, 'in')}`, 'accept']),
    ];
  });
  return [`  # ${server.name}`, ...stickySets(server, id), ...targets, ...chain(id, []), ...chain(`${id}_live`, []), ...chain(`${id}_in`, [])];
}

function inetTable(scene: NftScene): string[] {
  const { virtualServers } = scene.section;
  const own = [...virtualServers.entries()].filter(([, server]) => server.kind === 'nat');
  const local = (server: VirtualServer): string => `${ip(server)} daddr ${server.address} ${server.protocol} dport ${server.port} fib daddr type local`;
  return [
    `table inet ${tableName} {`,
    ...chain(structureChain(scene), []),
    ...own.flatMap(([number, server]) => natFixed(server, number)),
    ...chain('choose', own.map(([number, server]) => `${local(server)} goto v${number}`)),
    ...chain('live', own.map(([number, server]) => `ct original ${ip(server)} daddr ${server.address} meta l4proto ${server.protocol} ct original proto-dst ${server.port} goto v${number}_live`)),
    ...chain('closed', own.map(([number, server]) => `${local(server)} goto v${number}_in`)),
    ...chain('prerouting', ['type nat hook prerouting priority -101; policy accept;', 'jump choose']),
    ...chain('output', ['type nat hook output priority -101; policy accept;', 'jump choose']),
    ...chain('forward', ['type filter hook forward priority -5; policy accept;', 'ct status dnat jump live']),
    ...chain('input', ['type filter hook input priority -5; policy accept;', 'ct status dnat jump live', 'jump closed']),
    '}',
  ];
}

function drFixed(server: VirtualServer, number: number, node: string): string[] {
  const id = `v${number}`;
  const key = flowKey(server);
  const keep = (index: number, time: number): string => `update @${id}_flows { ${key} timeout ${time}s : ${index + 1} }`;
  const tcp = server.protocol === 'tcp';
  const address = server.family === 6 ? 'ipv6_addr' : 'ipv4_addr';
  const targets = targetsOf(server).flatMap((target, index) => {
    const to = `${id}_s${index}`;
    const closing = [`tcp flags & (fin | rst) != 0x0 update @${id}_closing { ${key} timeout ${flowSeconds.closing}s }`, `tcp flags & (fin | rst) != 0x0 ${keep(index, flowSeconds.closing)}`, `${key} @${id}_closing goto ${to}`];
    return [
      `  counter ${counterName(number, index, 'new')} { }`,
      `  counter ${counterName(number, index, 'in')} { }`,
      ...chain(to, [`counter name ${counterName(number, index, 'in')} fwd ${ip(server)} to ${target.address} device "${interfacesOf(server, node).servers}"`]),
      ...chain(`${to}_keep`, [...(tcp ? closing : []), keep(index, tcp ? flowSeconds.established : flowSeconds.udp), `goto ${to}`]),
      ...chain(`${to}_new`, [
        ...stick(server, id, index, target),
        // an update leaves the server of a flow that is known already
        `delete @${id}_flows { ${key} : ${index + 1} }`,
        ...(tcp ? [`delete @${id}_closing { ${key} }`] : []),
        keep(index, tcp ? flowSeconds.syn : flowSeconds.udp),
        `counter name ${counterName(number, index, 'new')} goto ${to}`,
      ]),
    ];
  });
  return [
    `  # ${server.name}`,
    ...stickySets(server, id),
    `  map ${id}_flows { type ${address} . inet_service : mark; size ${flowsMax}; flags dynamic,timeout; timeout ${flowSeconds.established}s; }`,
    ...(tcp ? [`  set ${id}_closing { type ${address} . inet_service; size ${flowsMax}; flags dynamic,timeout; timeout ${flowSeconds.closing}s; }`] : []),
    ...targets,
    ...chain(`${id}_new`, []),
    ...chain(id, []),
  ];
}

function netdevTable(scene: NftScene): string[] {
  const { virtualServers } = scene.section;
  const own = [...virtualServers.entries()].filter(([, server]) => server.kind === 'dr');
  const devices = [...new Set(own.map(([, server]) => interfacesOf(server, scene.node).clients))];
  const ingress = devices.flatMap((device, index) =>
    chain(`ingress${index}`, [
      `type filter hook ingress device "${device}" priority 0; policy accept;`,
      ...own.filter(([, server]) => interfacesOf(server, scene.node).clients === device).map(([number, server]) => `${ip(server)} daddr ${server.address} ${server.protocol} dport ${server.port} fib daddr . iif type local goto v${number}`),
    ]),
  );
  return [`table netdev ${tableName} {`, ...chain(structureChain(scene), []), ...own.flatMap(([number, server]) => drFixed(server, number, scene.node)), ...ingress, '}'];
}

const absent = (family: NftFamily): string[] => [`table ${family} ${tableName}`, `delete table ${family} ${tableName}`];

/** Takes everything away, whether it is there or not. */
export const removeScript = (): string => `${[...absent('inet'), ...absent('netdev')].join('\n')}\n`;

/** Makes the fixed part anew; nothing is in force until a fillScript of the same transaction says so. */
export function createScript(scene: NftScene): string {
  const families = familiesOf(scene.section);
  return `${[...absent('inet'), ...absent('netdev'), ...(families.includes('inet') ? inetTable(scene) : []), ...(families.includes('netdev') ? netdevTable(scene) : [])].join('\n')}\n`;
}

interface Numbered {
  readonly destination: Destination;
  readonly number: number;
}

function numbered(server: VirtualServer, wanted: Wanted): Numbered[] {
  const targets = targetsOf(server);
  return wanted.destinations.map((destination) => ({ destination, number: targets.findIndex(({ name, sorry }) => name === destination.name && sorry === destination.sorry) }));
}

/** Who gets a new connection. `suffix` of the chains of the servers. */
function choice(server: VirtualServer, id: string, present: readonly Numbered[], suffix: string): string[] {
  const serving = present.filter(({ destination }) => destination.weight > 0);
  const shares = serving.map(({ destination, number }) => ({ name: String(number), weight: destination.weight, key: `${destination.name} ${destination.address}` }));
  if (shares.length === 0) return [];
  const sticky = server.persistenceMs === 0 ? [] : serving.filter(({ destination }) => !destination.sorry).map(({ number }) => `${ip(server)} saddr @${id}_s${number}_sticky goto ${id}_s${number}${suffix}`);
  const hashed = server.scheduler === 'sh';
  const slots = hashed ? hashSlots(shares.map(({ key, weight }) => ({ name: key, weight }))).map((key) => shares.find((share) => share.key === key)?.name ?? '') : turns(shares, server.scheduler !== 'rr');
  const elements = ranges(slots).map(({ from, to, name }) => `${from === to ? from : `${from}-${to}`} : goto ${id}_s${name}${suffix}`);
  const index = hashed ? `jhash ${ip(server)} saddr mod ${slots.length} seed ${hashSeed}` : `numgen inc mod ${slots.length}`;
  return [...sticky, slots.length === 1 ? `goto ${id}_s${slots[0]}${suffix}` : `${index} vmap { ${elements.join(', ')} }`];
}

const refuse = (server: VirtualServer): string => (server.protocol === 'tcp' ? 'meta l4proto tcp reject with tcp reset' : 'drop');

function natFill(server: VirtualServer, id: string, wanted: Wanted): Map<string, string[]> {
  const present = numbered(server, wanted);
  const live = present.map(({ destination, number }) => `meta l4proto ${server.protocol} ct reply ${ip(server)} saddr ${destination.address} ct reply proto-src ${destination.port} goto ${id}_s${number}_live`);
  const closed = server.protocol === 'tcp' ? refuse(server) : `reject with icmpx port-unreachable`;
  return new Map([
    [id, wanted.active ? choice(server, id, present, '') : []],
    [`${id}_live`, wanted.active ? [...live, refuse(server)] : []],
    [`${id}_in`, wanted.active ? [closed] : []],
  ]);
}

function drFill(server: VirtualServer, id: string, wanted: Wanted): Map<string, string[]> {
  const present = numbered(server, wanted);
  const known = present.map(({ number }) => `${number + 1} : goto ${id}_s${number}_keep`);
  // who is chosen by a hash is the same on the other director: connections outlive a move of the address
  const first = server.protocol === 'udp' || server.scheduler === 'sh' ? `goto ${id}_new` : `tcp flags & (syn | ack | fin | rst) == syn goto ${id}_new`;
  const rules = [
    'meta mark set 0x0',
    `meta mark set ${flowKey(server)} map @${id}_flows`,
    ...(known.length === 0 ? [] : [`meta mark vmap { ${known.join(', ')} }`]),
    'meta mark set 0x0',
    first,
    refuse(server),
  ];
  return new Map([
    [id, wanted.active ? rules : []],
    [`${id}_new`, wanted.active ? [...choice(server, id, present, '_new'), refuse(server)] : []],
  ]);
}

/** Brings one virtual server to what is wanted; run after createScript, or on tables with the same structure. */
export function fillScript({ section }: NftScene, number: number, wanted: Wanted): string {
  const server = section.virtualServers[number];
  if (server === undefined) throw new Error(`there is no virtual server ${number}`);
  const id = `v${number}`;
  const family = familyOf(server);
  const chains = server.kind === 'nat' ? natFill(server, id, wanted) : drFill(server, id, wanted);
  // a client of a server that takes none belongs to whom it is given next, also when that server is back
  const serving = numbered(server, wanted).filter(({ destination }) => destination.weight > 0);
  const forgotten = server.persistenceMs === 0 ? [] : server.realServers.flatMap((_, index) => (serving.some((one) => one.number === index) ? [] : [`flush set ${family} ${tableName} ${id}_s${index}_sticky`]));
  const lines = [...forgotten, ...[...chains.keys()].map((name) => `flush chain ${family} ${tableName} ${name}`), `table ${family} ${tableName} {`, ...[...chains].flatMap(([name, rules]) => chain(name, rules)), '}'];
  return `${lines.join('\n')}\n`;
}
