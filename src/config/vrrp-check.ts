/**
 * `vrrp:` put together (pure): defaults, what differs between the nodes, names that must exist, and what makes two nodes disagree or stand still.
 * Single values are checked by vrrp-schema.ts.
 */
import { isIP } from 'node:net';
import type { Finding } from './check.js';
import { edgesOf, findings } from './cluster-check.js';
import type { GroupConfig } from './cluster-types.js';
import type { KeyPath } from './places.js';
import { checkTogether } from './vrrp-relations.js';
import { type FileVrrp, type FileVrrpInstance, type FileVrrpNotify, type FileVrrpTrack, trackKinds } from './vrrp-schema.js';
import { ownerPriority, type VrrpAddress, type VrrpAnnounce, type VrrpInstance, type VrrpNodePart, type VrrpNotify, type VrrpScript, type VrrpSection, type VrrpSyncGroup, type VrrpTracker } from './vrrp-types.js';

type Report = (finding: Finding) => void;

const passwordBytesMax = 8;
/** printed in every example: everybody knows them. */
const samplePasswords: readonly string[] = ['1111', '1234', '12345678', 'password', 'secret'];
const v3IntervalMsMax = 40_950;

export interface Place {
  readonly path: KeyPath;
  readonly nodes: readonly string[];
  readonly report: Report;
}

/** The value of each node; what a map leaves out is reported. */
export function byNode<T>(value: T | Record<string, T> | undefined, otherwise: T, key: string, at: Place): Record<string, T> {
  const { conflict, missing } = findings(at.report);
  if (typeof value !== 'object' || value === null) return Object.fromEntries(at.nodes.map((node) => [node, (value as T | undefined) ?? otherwise]));
  const map = value as Record<string, T>;
  for (const name of Object.keys(map)) if (!at.nodes.includes(name)) conflict([...at.path, key, name], `'${name}' is not a node`, `Nodes: ${at.nodes.join(', ')}.`);
  return Object.fromEntries(
    at.nodes.map((node) => {
      if (map[node] === undefined) missing([...at.path, key], `${String(at.path.at(-1))} ${key}`, node, `Write the value of ${node}, or one for all nodes.`);
      return [node, map[node] ?? otherwise];
    }),
  );
}

/** One spelling for an address. */
export const plainAddress = (address: string): string => (isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);

function buildAddress(given: NonNullable<FileVrrpInstance['addresses']>[number], index: number, at: Place): VrrpAddress | null {
  const { conflict } = findings(at.report);
  const path: KeyPath = [...at.path, 'addresses', index];
  const full = typeof given === 'string' ? { address: given } : given;
  const [address = '', prefixText = ''] = full.address.split('/');
  const family = isIP(address);
  const prefix = Number(prefixText);
  if ((family !== 4 && family !== 6) || prefix < 1 || prefix > (family === 4 ? 32 : 128)) {
    conflict(path, `'${full.address}' is not ADDRESS/PREFIX`, 'Write the prefix of the network, such as 192.168.42.14/24.');
    return null;
  }
  const [first, last] = family === 4 ? edgesOf(address, prefix) : ['', ''];
  if (address === first || address === last) conflict(path, `${address} is the ${address === first ? 'name of the network' : 'broadcast address'}, which no host can have`, `Write an address between ${first} and ${last}.`);
  const label = ('label' in full ? full.label : undefined) ?? '';
  if (label !== '' && family === 6) conflict([...path, 'label'], 'IPv6 addresses have no labels', 'Remove `label`.');
  return {
    ...{ family, address: plainAddress(address), prefix, label },
    interfaces: byNode('interface' in full ? full.interface : undefined, '', 'interface', { ...at, path }),
    advertised: ('advertised' in full ? full.advertised : undefined) ?? true,
  };
}

function buildTracks(list: readonly FileVrrpTrack[] | undefined, scripts: readonly VrrpScript[], at: Place): VrrpTracker[] {
  const { conflict } = findings(at.report);
  return (list ?? []).flatMap((given, index): VrrpTracker[] => {
    const path: KeyPath = [...at.path, 'track', index];
    const kinds = trackKinds.filter((kind) => given[kind] !== undefined);
    const [kind] = kinds;
    if (kind === undefined || kinds.length > 1) {
      conflict(path, kind === undefined ? 'nothing is named here' : `one thing is tracked by an entry: here are ${kinds.join(' and ')}`, `Each entry names one of ${trackKinds.join(', ')}.`);
      return [];
    }
    for (const key of ['quorum', 'full-command'] as const) {
      if (given[key] !== undefined && kind !== 'process') conflict([...path, key], `'${key}' belongs to a process`, 'Remove it.');
    }
    const own = scripts.find(({ name }) => name === given.script);
    if (kind === 'script' && own === undefined) {
      conflict([...path, 'script'], `'${given.script}' is not a script of this section`, `Scripts: ${scripts.map(({ name }) => name).join(', ') || 'none'}.`);
      return [];
    }
    const weight = given.weight ?? own?.weight ?? (kind === 'file' ? 1 : 0);
    const common = { weight, reverse: given.reverse ?? own?.reverse ?? false };
    if (given.script !== undefined) return [{ kind: 'script', script: given.script, ...common }];
    if (given.interface !== undefined) return [{ kind: 'interface', interface: given.interface, ...common }];
    if (given.file !== undefined) return [{ kind: 'file', file: given.file, ...common }];
    return [{ kind: 'process', process: given.process ?? '', fullCommand: given['full-command'] ?? false, quorum: given.quorum ?? 1, ...common }];
  });
}

function buildNotify(given: FileVrrpNotify): VrrpNotify {
  return {
    master: given?.master ?? '',
    backup: given?.backup ?? '',
    fault: given?.fault ?? '',
    stop: given?.stop ?? '',
    any: given?.any ?? '',
    masterRxLowerPri: given?.['master-rx-lower-pri'] ?? '',
    fifo: given?.fifo ?? '',
    fifoPriorities: given?.['fifo-priorities'] ?? false,
    user: given?.user ?? '',
  };
}

function buildAnnounce(given: FileVrrpInstance['announce']): VrrpAnnounce {
  const frames = given?.count ?? 5;
  const repeatAfterMs = given?.repeat ?? 5000;
  return {
    ...{ frames, repeatAfterMs },
    gapMs: given?.gap ?? 0,
    lowerFrames: given?.['lower-count'] ?? frames,
    lowerRepeatAfterMs: given?.['lower-repeat'] ?? repeatAfterMs,
    refreshMs: given?.refresh ?? 60_000,
    refreshFrames: given?.['refresh-count'] ?? 1,
  };
}

/** Version, interval, password: what version 2 has and version 3 has not, and the other way round. */
function checkVersion(file: FileVrrpInstance, instance: VrrpInstance, at: Place): void {
  const { conflict, warn } = findings(at.report);
  const { version, family, intervalMs, password } = instance;
  if (version === 2 && family === 6) conflict([...at.path, 'version'], 'version 2 knows IPv4 only', 'Write `version: 3`.');
  if (version === 2 && intervalMs % 1000 !== 0) conflict([...at.path, 'advert-interval'], `version 2 counts whole seconds: ${intervalMs}ms can not be said`, 'Write whole seconds, or `version: 3` on all nodes.');
  if (version === 3 && (intervalMs % 10 !== 0 || intervalMs > v3IntervalMsMax)) conflict([...at.path, 'advert-interval'], `version 3 counts steps of 10ms up to 40.95s: ${intervalMs}ms can not be said`, 'Round it.');
  if (password === '') return;
  if (version === 3) conflict([...at.path, 'password'], 'version 3 has no authentication', 'Remove `password`, or write `version: 2` on all nodes.');
  const bytes = Buffer.byteLength(password);
  if (bytes > passwordBytesMax) conflict([...at.path, 'password'], `the password has ${bytes} bytes; an advert carries ${passwordBytesMax}`, `Shorten it to ${passwordBytesMax} bytes on all nodes: what follows would be cut off.`);
  else if (samplePasswords.includes(password)) warn([...at.path, 'password'], 'the password is that of the examples: everybody has it', 'Choose another one; it keeps out mistakes, not attackers: it travels in clear text.');
  if (file.checksum !== undefined) conflict([...at.path, 'checksum'], 'version 2 has one way to count the checksum', 'Remove `checksum`.');
}

function checkPreempt(file: FileVrrpInstance, instance: VrrpInstance, at: Place): void {
  const { conflict, warn } = findings(at.report);
  const owner = Object.values(instance.nodes).some(({ priority }) => priority === ownerPriority);
  if (!instance.preempt && owner) conflict([...at.path, 'preempt'], 'the owner (priority 255) always preempts', 'Remove `preempt: no`, or lower the priority.');
  if (!instance.preempt && file['preempt-delay'] !== undefined) conflict([...at.path, 'preempt-delay'], 'preempt-delay without preemption does nothing', 'Remove one of the two.');
  const weighted = instance.track.findIndex(({ weight }) => weight !== 0);
  if (weighted !== -1 && owner) conflict([...at.path, 'track', weighted, 'weight'], 'the priority of an owner (255) is never changed by a weight', 'Lower the priority, or write `weight: 0`.');
  else if (weighted !== -1 && !instance.preempt) warn([...at.path, 'preempt'], 'without preemption a weight does not move the addresses: the other node waits as long as a master speaks', 'Write `weight: 0` (a fault) for what has to move them, or allow preemption.');
}

/** Where adverts go. */
function transportOf(file: FileVrrpInstance, family: 4 | 6, at: Place): { group: string; unicast: VrrpInstance['unicast']; source(node: string): string; peers(node: string): string[] } {
  const { conflict, missing } = findings(at.report);
  const sources = byNode<string>(file.source, '', 'source', at);
  for (const [node, source] of Object.entries(sources)) if (source !== '' && isIP(source) !== family) conflict([...at.path, 'source'], `${source} (${node}) is not of the family of the addresses`, 'Use one family in an instance.');
  const { unicast } = file;
  if (unicast === undefined) {
    const group = plainAddress(file['multicast-group'] ?? (family === 4 ? '224.0.0.18' : 'ff02::12'));
    if (isIP(group) !== family) conflict([...at.path, 'multicast-group'], `${group} is not of the family of the addresses`, 'Use one family in an instance.');
    return { group, unicast: null, source: (node) => plainAddress(sources[node] ?? ''), peers: () => [] };
  }
  if (file['multicast-group'] !== undefined) conflict([...at.path, 'multicast-group'], 'multicast-group beside unicast', 'Remove one of the two.');
  const own = unicast.addresses ?? {};
  const others = unicast.peers ?? [];
  for (const name of Object.keys(own)) if (!at.nodes.includes(name)) conflict([...at.path, 'unicast', 'addresses', name], `'${name}' is not a node`, `Nodes: ${at.nodes.join(', ')}.`);
  if (unicast.addresses !== undefined) for (const node of at.nodes) if (own[node] === undefined) missing([...at.path, 'unicast', 'addresses'], 'unicast', node, `Write the address of ${node}.`);
  for (const address of [...Object.values(own), ...others]) if (isIP(address) !== family) conflict([...at.path, 'unicast'], `${address} is not of the family of the addresses`, 'Use one family in an instance.');
  for (const address of others) if (Object.values(own).includes(address) || Object.values(sources).includes(address)) conflict([...at.path, 'unicast', 'peers'], `${address} is an address of a node of this file`, 'Name here only peers that are none.');
  const peersOf = (node: string): string[] => [...Object.entries(own).flatMap(([name, address]) => (name === node ? [] : [plainAddress(address)])), ...others.map(plainAddress)];
  if (at.nodes.some((node) => peersOf(node).length === 0)) missing([...at.path, 'unicast'], 'unicast', 'addresses', 'Write the address of each node, or `peers:`.');
  return {
    ...{ group: '', source: (node) => plainAddress(own[node] ?? sources[node] ?? ''), peers: peersOf },
    unicast: { ttl: unicast.ttl ?? 255, minTtl: unicast['min-ttl'] ?? null, checkSource: unicast['check-source'] ?? true },
  };
}

const checksums = { either: 'either', 'pseudo-header': 'with pseudo header', rfc9568: 'without pseudo header' } as const;

function buildInstance(name: string, file: FileVrrpInstance, scripts: readonly VrrpScript[], groups: readonly GroupConfig[], at: Place): VrrpInstance | null {
  const { conflict, missing } = findings(at.report);
  const where = `instance ${name}`;
  if (file.interface === undefined) missing(at.path, where, 'interface', 'Write `interface: eth0`, or one for each node.');
  if (file['router-id'] === undefined) missing(at.path, where, 'router-id', 'Write `router-id: 51`, the same on all nodes, different from other routers on the network.');
  if (file.addresses === undefined) missing(at.path, where, 'addresses', 'List the addresses that move, with their prefix.');
  const addresses = (file.addresses ?? []).flatMap((each, index) => buildAddress(each, index, at) ?? []);
  const family = addresses.find(({ advertised }) => advertised)?.family ?? addresses[0]?.family;
  if (file.interface === undefined || file['router-id'] === undefined || family === undefined) return null;
  addresses.forEach((address, index) => {
    if (address.advertised && address.family !== family) conflict([...at.path, 'addresses', index], 'an advert names addresses of one family', 'Make a second instance for the other family, or write `advertised: no`.');
  });
  const version = file.version ?? 3;
  const transport = transportOf(file, family, at);
  const interfaces = byNode<string>(file.interface, '', 'interface', at);
  const priorities = byNode<number>(file.priority, 100, 'priority', at);
  const part = (node: string): VrrpNodePart => ({ interface: interfaces[node] ?? '', priority: priorities[node] ?? 100, source: transport.source(node), peers: transport.peers(node) });
  const preempt = file.preempt ?? true;
  const gate = typeof file.gate === 'string' ? { group: file.gate } : file.gate;
  const instance: VrrpInstance = {
    ...{ name, version, family, addresses, preempt },
    routerId: file['router-id'],
    nodes: Object.fromEntries(at.nodes.map((node) => [node, part(node)])),
    intervalMs: file['advert-interval'] ?? 1000,
    password: file.password ?? '',
    multicastGroup: transport.group,
    unicast: transport.unicast,
    pseudoHeader: (file.checksum ?? 'pseudo-header') === 'pseudo-header',
    acceptChecksum: checksums[file['accept-checksum'] ?? 'either'],
    addressMismatch: file['address-mismatch'] ?? 'refuse',
    preemptDelayMs: file['preempt-delay'] ?? 0,
    startDelayMs: file['start-delay'] ?? 0,
    downAdverts: file['down-adverts'] ?? 3,
    answerLower: file['answer-lower'] ?? true,
    answerHigher: file['answer-higher'] ?? false,
    ownerIgnoresAdverts: file['owner-ignores-adverts'] ?? false,
    trackPrimary: file['track-primary'] ?? true,
    announce: buildAnnounce(file.announce),
    track: buildTracks(file.track, scripts, at),
    notify: buildNotify(file.notify),
    // the lowest priority, so that the node that serves wins; where nobody preempts only a fault gives way
    gate: gate === undefined ? null : { group: gate.group, weight: ('weight' in gate ? gate.weight : undefined) ?? (preempt && (file['preempt-delay'] ?? 0) === 0 ? -253 : 0) },
  };
  checkVersion(file, instance, at);
  checkPreempt(file, instance, at);
  for (const [index, { label, interfaces: own }] of addresses.entries()) {
    const wrong = label === '' ? undefined : at.nodes.find((node) => !`${label}:`.startsWith(`${own[node] || interfaces[node]}:`));
    if (wrong !== undefined) conflict([...at.path, 'addresses', index, 'label'], `the label '${label}' does not begin with '${own[wrong] || interfaces[wrong]}:'`, `Write \`label: ${own[wrong] || interfaces[wrong]}:0\`.`);
  }
  if (instance.gate !== null && !groups.some((group) => group.name === instance.gate?.group)) {
    conflict([...at.path, 'gate'], `'${instance.gate.group}' is not a group of this file`, `Groups: ${groups.map((group) => group.name).join(', ') || 'none'}.`);
  }
  return instance;
}

function buildScripts(file: FileVrrp, report: Report): VrrpScript[] {
  const { missing, warn } = findings(report);
  return Object.entries(file.scripts ?? {}).map(([name, given]) => {
    const path: KeyPath = ['vrrp', 'scripts', name];
    if (given.command === undefined) missing(path, `script ${name}`, 'command', 'Write the command; exit status 0 means that all is well.');
    const intervalMs = given.interval ?? 1000;
    const timeoutMs = given.timeout ?? intervalMs;
    if (timeoutMs > intervalMs) warn([...path, 'timeout'], `timeout (${timeoutMs}ms) is longer than interval (${intervalMs}ms): a hanging check is noticed later than it looks`, 'Make it no longer than the interval.');
    return {
      ...{ name, intervalMs, timeoutMs },
      command: given.command ?? '',
      weight: given.weight ?? 0,
      reverse: given.reverse ?? false,
      rise: given.rise ?? 1,
      fall: given.fall ?? 1,
      initFail: given['init-fail'] ?? false,
      user: given.user ?? '',
    };
  });
}

function buildSyncGroups(file: FileVrrp, scripts: readonly VrrpScript[], nodes: readonly string[], report: Report): VrrpSyncGroup[] {
  const { missing } = findings(report);
  return Object.entries(file['sync-groups'] ?? {}).map(([name, given]) => {
    const path: KeyPath = ['vrrp', 'sync-groups', name];
    if (given.instances === undefined) missing(path, `sync group ${name}`, 'instances', 'List the instances that move together.');
    return {
      ...{ name, instances: given.instances ?? [], notify: buildNotify(given.notify), trackingWeight: given['tracking-weight'] ?? false },
      track: buildTracks(given.track, scripts, { path, nodes, report }),
    };
  });
}

/** Nodes that some value of the section is given for. */
export function namedNodes(file: FileVrrp): string[] {
  const maps = Object.values(file.instances ?? {}).flatMap(({ interface: own, priority, source, unicast }) => [own, priority, source, unicast?.addresses]);
  return [...new Set(maps.flatMap((map) => (typeof map === 'object' ? Object.keys(map) : [])))].sort();
}

/** The section of a file. `clusterNodes`: of `cluster:`, empty without it. */
export function buildVrrp(file: FileVrrp, clusterNodes: readonly string[], groups: readonly GroupConfig[], node: string | null, report: Report): VrrpSection {
  const { warn } = findings(report);
  const named = clusterNodes.length > 0 ? clusterNodes : namedNodes(file);
  const nodes = named.length > 0 ? named : ['*'];
  if (node !== null && clusterNodes.length === 0 && !nodes.includes('*') && !nodes.includes(node)) warn(['vrrp', 'instances'], `the instances are not for this host: none of ${nodes.join(', ')} is '${node}'`, 'Name the nodes as `uname -n` prints them.');
  const scripts = buildScripts(file, report);
  const instances = Object.entries(file.instances ?? {}).flatMap(([name, given]) => buildInstance(name, given, scripts, groups, { path: ['vrrp', 'instances', name], nodes, report }) ?? []);
  const section: VrrpSection = { instances, scripts, syncGroups: buildSyncGroups(file, scripts, nodes, report) };
  if (instances.length === 0 && Object.keys(file.instances ?? {}).length === 0) warn(['vrrp'], 'no instances defined', 'Add one below `instances:`.');
  checkTogether(section, nodes, groups, report);
  return section;
}
