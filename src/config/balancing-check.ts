/**
 * `balancing:` put together (pure): defaults, what is handed down from virtual to real servers, names that must exist, and what a data plane can
 * not do. Single values are checked by balancing-schema.ts.
 */
import { isIP } from 'node:net';
import type { FileBalancing, FileBalancingCheck, FileRealServer, FileVirtualServer } from './balancing-schema.js';
import type { BalancingCheck, BalancingPlane, BalancingSection, HttpExpectation, RealServer, VirtualServer } from './balancing-types.js';
import type { Finding } from './check.js';
import { findings } from './cluster-check.js';
import type { GroupConfig } from './cluster-types.js';
import type { KeyPath } from './places.js';
import { byNode, plainAddress } from './vrrp-check.js';
import type { VrrpSection } from './vrrp-types.js';

type Report = (finding: Finding) => void;

interface Scene {
  readonly plane: BalancingPlane;
  readonly nodes: readonly string[];
  readonly groups: readonly GroupConfig[];
  readonly vrrp: VrrpSection | null;
  readonly report: Report;
}

const pathOf = (name: string): KeyPath => ['balancing', 'virtual-servers', name];

/** Keys that belong to some types of checks only. */
const keysOf: Record<BalancingCheck['type'], readonly (keyof FileBalancingCheck)[]> = {
  tcp: [],
  http: ['path', 'host', 'status', 'contains', 'regex', 'digest'],
  ssl: ['path', 'host', 'status', 'contains', 'regex', 'digest', 'verify', 'server-name'],
  smtp: ['helo'],
  udp: ['payload', 'require-reply', 'reply'],
  dns: ['name', 'query'],
  misc: ['command', 'user', 'dynamic'],
};
const commonKeys: readonly string[] = ['type', 'address', 'port', 'timeout', 'delay-loop', 'retries', 'retry-delay'];

function httpOf(given: FileBalancingCheck): HttpExpectation {
  const ranges = given.status === undefined ? ['200-299'] : Array.isArray(given.status) ? given.status : [given.status];
  const status = ranges.map((range) => {
    const [from = 0, to = from] = String(range).split('-').map(Number);
    return { from, to };
  });
  return { path: given.path ?? '/', host: given.host ?? '', status, contains: given.contains ?? '', regex: given.regex ?? '', digest: (given.digest ?? '').toLowerCase() };
}

type Cadence = Pick<FileVirtualServer, 'timeout' | 'delay-loop' | 'retries' | 'retry-delay'>;

function buildCheck(given: FileBalancingCheck, above: readonly Cadence[], path: KeyPath, report: Report): BalancingCheck | null {
  const { conflict, missing, warn } = findings(report);
  const { type } = given;
  if (type === undefined) {
    missing(path, 'check', 'type', 'Write `type: tcp`, http, ssl, smtp, udp, dns or misc.');
    return null;
  }
  for (const key of Object.keys(given) as (keyof FileBalancingCheck)[]) {
    if (given[key] === undefined || commonKeys.includes(key) || keysOf[type].includes(key)) continue;
    const owners = Object.entries(keysOf).flatMap(([other, keys]) => (keys.includes(key) ? [other] : []));
    conflict([...path, key], `'${key}' belongs to a check of type ${owners.join(' or ')}`, 'Remove it, or write another type.');
  }
  const pick = (key: keyof Cadence, otherwise: number): number => [given, ...above].map((one) => one[key]).find((value) => value !== undefined) ?? otherwise;
  const common = {
    address: given.address === undefined ? '' : plainAddress(given.address),
    port: given.port ?? 0,
    timeoutMs: pick('timeout', 5000),
    everyMs: pick('delay-loop', 6000),
    retries: pick('retries', type === 'misc' ? 0 : type === 'dns' ? 3 : 1),
    retryDelayMs: pick('retry-delay', 1000),
  };
  if (common.timeoutMs > common.everyMs) warn(path, `the timeout of the check (${common.timeoutMs}ms) is longer than delay-loop (${common.everyMs}ms): a hanging server is noticed later than it looks`, 'Make `timeout` no longer than `delay-loop`.');
  if (given.regex !== undefined) {
    try {
      new RegExp(given.regex, 'u');
    } catch (error) {
      conflict([...path, 'regex'], `the regular expression can not be read: ${(error as Error).message}`, 'Write it as JavaScript has it, without delimiters.');
    }
  }
  for (const [index, range] of httpOf(given).status.entries()) if (range.from > range.to) conflict([...path, 'status'], `range ${index + 1} of status is empty: ${range.from}-${range.to}`, 'Write the lower end first.');
  switch (type) {
    case 'tcp':
      return { type, ...common };
    case 'http':
      return { type, ...common, ...httpOf(given) };
    case 'ssl':
      return { type, ...common, ...httpOf(given), verify: given.verify ?? false, serverName: given['server-name'] ?? '' };
    case 'smtp':
      return { type, ...common, helo: given.helo ?? 'localhost' };
    case 'udp':
      return { type, ...common, payload: given.payload ?? '', requireReply: given['require-reply'] ?? given.reply !== undefined, reply: (given.reply ?? '').toLowerCase() };
    case 'dns':
      return { type, ...common, name: given.name ?? '.', query: given.query ?? 'SOA' };
    case 'misc': {
      const argv = typeof given.command === 'string' ? [given.command] : (given.command ?? []);
      if (given.command === undefined) missing(path, 'check of type misc', 'command', 'Write the program, or a list of it and its arguments.');
      else if (!(argv[0] ?? '').startsWith('/')) conflict([...path, 'command'], `'${argv[0]}' is not an absolute path`, 'Write the whole path of the program; no shell looks for it.');
      return { type, ...common, argv, user: given.user ?? '', dynamic: given.dynamic ?? false };
    }
  }
}

function buildRealServer(name: string, given: FileRealServer, server: FileVirtualServer, path: KeyPath, report: Report): RealServer | null {
  const { missing } = findings(report);
  const own: KeyPath = [...path, 'real-servers', name];
  if (given.address === undefined) missing(own, `real server ${name}`, 'address', 'Write where it is.');
  const from = given.checks === undefined ? server.checks : given.checks;
  const at: KeyPath = given.checks === undefined ? path : own;
  const checks = (from ?? []).flatMap((each, index) => buildCheck(each, [given, server], [...at, 'checks', index], report) ?? []);
  if (given.address === undefined || server.port === undefined) return null;
  return { name, address: plainAddress(given.address), port: given.port ?? server.port, weight: given.weight ?? 1, inhibitOnFailure: given['inhibit-on-failure'] ?? server['inhibit-on-failure'] ?? false, checks };
}

/** What the chosen plane can not do is refused, never done in another way. */
function checkPlane(server: VirtualServer, scene: Scene): void {
  const { conflict, warn } = findings(scene.report);
  const path = pathOf(server.name);
  const { kind, scheduler } = server;
  if (scene.plane === 'nftables') {
    if (scheduler === 'lc' || scheduler === 'wlc') conflict([...path, 'scheduler'], `scheduler ${scheduler} is not possible with nftables: its rules do not know how many connections a server has`, `Write \`scheduler: ${scheduler === 'lc' ? 'rr' : 'wrr'}\`, or \`plane: ipvs\` on a kernel that has ip_vs.`);
    // nft 1.0.6 of Debian 12 aborts on a map from an IPv6 address with a port that packets fill
    if (kind === 'dr' && server.family === 6) conflict([...path, 'address'], 'kind dr over IPv6 is not possible with nftables: nft can not keep flows by IPv6 address and port', 'Write `kind: nat`, or `plane: ipvs` on a kernel that has ip_vs.');
    if (kind === 'tun') conflict([...path, 'kind'], 'kind tun is not possible with nftables: its rules can not wrap a packet for a server', 'Write `kind: dr` where the servers are on the same network, `kind: nat`, or `plane: ipvs` on a kernel that has ip_vs.');
  }
  if (kind !== 'nat') {
    const targets = [...server.realServers.map(({ name, port }) => ({ at: [...path, 'real-servers', name, 'port'], port })), ...(server.sorryServer === null ? [] : [{ at: [...path, 'sorry-server', 'port'], port: server.sorryServer.port }])];
    for (const { at, port } of targets) if (port !== server.port) conflict(at, `kind ${kind} hands packets on as they are: port ${port} can not take the place of ${server.port}`, `Let the server listen on port ${server.port}, or write \`kind: nat\`.`);
  }
  if (scheduler === 'rr' || scheduler === 'lc') {
    const weights = new Set(server.realServers.filter(({ weight }) => weight > 0).map(({ weight }) => weight));
    if (weights.size > 1) warn([...path, 'scheduler'], `scheduler ${scheduler} does not look at weights, and the weights differ`, `Write \`scheduler: w${scheduler}\`.`);
  }
}

function interfacesOf(name: string, given: FileVirtualServer, scene: Scene): VirtualServer['interfaces'] {
  const { conflict, missing } = findings(scene.report);
  const path = pathOf(name);
  const at = { path, nodes: scene.nodes, report: scene.report };
  if (given.kind !== 'dr' || scene.plane !== 'nftables') {
    for (const key of ['interface', 'server-interface'] as const) if (given[key] !== undefined) conflict([...path, key], `'${key}' belongs to kind dr with nftables`, 'Remove it.');
    return {};
  }
  const instance = scene.vrrp?.instances.find((one) => one.name === given.gate?.instance);
  const address = instance?.addresses.find((one) => one.address === plainAddress(given.address ?? ''));
  const fallback = (node: string): string => address?.interfaces[node] || (instance?.nodes[node] ?? instance?.nodes['*'])?.interface || '';
  if (given.interface === undefined && instance === undefined) missing(path, `virtual server ${name}`, 'interface', 'Write the interface on which clients come in: kind dr looks at frames there.');
  const clients = given.interface === undefined ? Object.fromEntries(scene.nodes.map((node) => [node, fallback(node)])) : byNode<string>(given.interface, '', 'interface', at);
  const servers = given['server-interface'] === undefined ? clients : byNode<string>(given['server-interface'], '', 'server-interface', at);
  return Object.fromEntries(scene.nodes.map((node) => [node, { clients: clients[node] ?? '', servers: servers[node] ?? '' }]));
}

function gateOf(name: string, given: FileVirtualServer, scene: Scene): VirtualServer['gate'] {
  const { conflict } = findings(scene.report);
  const path: KeyPath = [...pathOf(name), 'gate'];
  if (given.gate === undefined) return null;
  const { instance, group } = given.gate;
  if ((instance === undefined) === (group === undefined)) {
    conflict(path, 'a gate is one instance or one group', 'Write `gate: { instance: NAME }` or `gate: { group: NAME }`.');
    return null;
  }
  if (group !== undefined) {
    if (!scene.groups.some((one) => one.name === group)) conflict([...path, 'group'], `'${group}' is not a group of this file`, `Groups: ${scene.groups.map((one) => one.name).join(', ') || 'none'}.`);
    return { kind: 'group', name: group };
  }
  const found = scene.vrrp?.instances.find((one) => one.name === instance);
  if (found === undefined) conflict([...path, 'instance'], `'${instance}' is not an instance of vrrp in this file`, `Instances: ${scene.vrrp?.instances.map((one) => one.name).join(', ') || 'none'}.`);
  else if (given.address !== undefined && !found.addresses.some(({ address }) => address === plainAddress(given.address ?? ''))) {
    conflict([...pathOf(name), 'address'], `${given.address} is not an address of the instance ${found.name}: it would not come and go with it`, `Addresses of ${found.name}: ${found.addresses.map(({ address }) => address).join(', ')}.`);
  }
  return { kind: 'instance', name: instance ?? '' };
}

function checkServers(server: VirtualServer, given: FileVirtualServer, report: Report): void {
  const { conflict, warn, missing } = findings(report);
  const path = pathOf(server.name);
  const sum = server.realServers.reduce((total, { weight }) => total + weight, 0);
  const { quorum, hysteresis } = server;
  if (given['real-servers'] === undefined || Object.keys(given['real-servers']).length === 0) missing(path, `virtual server ${server.name}`, 'real-servers', 'Name at least one real server.');
  else if (quorum > sum) conflict([...path, given.quorum === undefined ? 'real-servers' : 'quorum'], `quorum ${quorum} is above the weight of all real servers together (${sum}): it could never be reached`, `Write at most ${sum}, or more servers.`);
  else if (quorum + hysteresis > sum) conflict([...path, 'hysteresis'], `quorum ${quorum} with hysteresis ${hysteresis} is gained at ${quorum + hysteresis}, above the weight of all real servers together (${sum}): once lost it would never come back`, `Write at most ${sum - quorum}.`);
  if (hysteresis >= quorum && hysteresis > 0) conflict([...path, 'hysteresis'], `hysteresis ${hysteresis} is not below quorum ${quorum}: the quorum would never be lost`, `Write at most ${quorum - 1}.`);
  if (server.protocol === 'udp' && server.scheduler !== 'sh' && server.persistenceMs === 0 && server.kind === 'dr') warn([...path, 'scheduler'], 'answers to one client may come from several servers', 'That is right for DNS; else write `scheduler: sh` or `persistence-timeout`.');
  const seen = new Map<string, string>();
  for (const { name, address, port, checks } of server.realServers) {
    const at: KeyPath = [...path, 'real-servers', name];
    const first = seen.get(`${address} ${port}`);
    if (first !== undefined) conflict(at, `${address} port ${port} is the real server ${first} already`, 'Give it a weight instead of naming it twice.');
    seen.set(`${address} ${port}`, name);
    if (isIP(address) !== server.family) conflict([...at, 'address'], `${address} is not of the family of ${server.address}`, 'Use one family in a virtual server.');
    if (address === server.address) conflict([...at, 'address'], `${address} is the address of the virtual server`, 'Write the own address of the real server.');
    if (name === 'sorry-server') conflict(at, 'the name sorry-server is that of the server which stands in', 'Choose another name.');
    if (checks.length === 0) warn(at, `real server ${name} has no check: it gets connections also while it is dead`, 'Write `checks: [{ type: tcp }]` here, or for the whole virtual server.');
  }
  const sorry = server.sorryServer;
  if (sorry !== null && isIP(sorry.address) !== server.family) conflict([...path, 'sorry-server', 'address'], `${sorry.address} is not of the family of ${server.address}`, 'Use one family in a virtual server.');
  if (sorry !== null && seen.has(`${sorry.address} ${sorry.port}`)) conflict([...path, 'sorry-server'], `the sorry server is the real server ${seen.get(`${sorry.address} ${sorry.port}`)}`, 'Name another one: it has to be there when the real servers are not.');
}

function buildVirtualServer(name: string, given: FileVirtualServer, scene: Scene): VirtualServer | null {
  const { report } = scene;
  const { missing } = findings(report);
  const path = pathOf(name);
  const where = `virtual server ${name}`;
  if (given.address === undefined) missing(path, where, 'address', 'Write the address that clients connect to.');
  if (given.port === undefined) missing(path, where, 'port', 'Write the port that clients connect to.');
  if (given['sorry-server'] !== undefined && given['sorry-server'].address === undefined) missing([...path, 'sorry-server'], 'sorry-server', 'address', 'Write where it is.');
  const realServers = Object.entries(given['real-servers'] ?? {}).flatMap(([each, value]) => buildRealServer(each, value, given, path, report) ?? []);
  const gate = gateOf(name, given, scene);
  const interfaces = interfacesOf(name, given, scene);
  if (given.address === undefined || given.port === undefined) return null;
  const sorry = given['sorry-server'];
  const server: VirtualServer = {
    ...{ name, gate, interfaces, realServers },
    family: isIP(given.address) === 6 ? 6 : 4,
    address: plainAddress(given.address),
    port: given.port,
    protocol: given.protocol ?? 'tcp',
    kind: given.kind ?? 'nat',
    scheduler: given.scheduler ?? 'wrr',
    persistenceMs: given['persistence-timeout'] ?? 0,
    quorum: given.quorum ?? 1,
    hysteresis: given.hysteresis ?? 0,
    sorryServer: sorry?.address === undefined ? null : { address: plainAddress(sorry.address), port: sorry.port ?? given.port },
    initFail: given['init-fail'] ?? false,
  };
  checkServers(server, given, report);
  checkPlane(server, scene);
  return server;
}

/** The section of a file. `nodes`: of `cluster:` or of `vrrp:`, `*` when the file names none. */
export function buildBalancing(file: FileBalancing, nodes: readonly string[], groups: readonly GroupConfig[], vrrp: VrrpSection | null, report: Report): BalancingSection {
  const { conflict, warn } = findings(report);
  const scene: Scene = { plane: file.plane ?? 'nftables', nodes, groups, vrrp, report };
  const virtualServers = Object.entries(file['virtual-servers'] ?? {}).flatMap(([name, given]) => buildVirtualServer(name, given, scene) ?? []);
  if (virtualServers.length === 0 && Object.keys(file['virtual-servers'] ?? {}).length === 0) warn(['balancing'], 'no virtual servers defined', 'Add one below `virtual-servers:`.');
  const seen = new Map<string, string>();
  for (const { name, address, port, protocol } of virtualServers) {
    const key = `${protocol} ${address} ${port}`;
    const first = seen.get(key);
    if (first !== undefined) conflict(pathOf(name), `${protocol} ${address} port ${port} is the virtual server ${first} already`, 'Add the real servers to that one.');
    else seen.set(key, name);
  }
  return { plane: scene.plane, virtualServers };
}
