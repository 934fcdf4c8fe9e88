/**
 * `cluster:` and `groups:` put together (pure): defaults, one kind for each member, names that must exist, an order that works, times that
 * fit each other. Single values are checked by cluster-schema.ts.
 */
import { isIP } from 'node:net';
import type { Finding } from './check.js';
import { type FileCluster, type FileGroup, type FileMember, memberKinds } from './cluster-schema.js';
import type { ArbiterConfig, ClusterConfig, GroupConfig, LinkConfig, MemberConfig, MemberTimeouts, ServiceSpec } from './cluster-types.js';
import type { KeyPath } from './places.js';
import { parseAddress } from './schema.js';
import type { ResourceConfig } from './types.js';

export const defaultClusterKeyFile = '/etc/drbdts/cluster.key';
/** heartbeat's port, registered as ha-cluster. */
export const heartbeatPort = 694;
const defaults = { keepaliveMs: 100, deadtimeMs: 600, initdeadMs: 20_000, deadpingMs: 2000 };

type Report = (finding: Finding) => void;

export function findings(report: Report) {
  return {
    conflict: (path: KeyPath, message: string, remedy: string): void =>
      report({ severity: 'error', code: 'ERR_CONFIG_CONFLICT', path, message, remedy }),
    warn: (path: KeyPath, message: string, remedy: string): void =>
      report({ severity: 'warning', code: 'ERR_CONFIG_WARNING', path, message, remedy }),
    missing: (path: KeyPath, where: string, key: string, remedy: string): void =>
      report({ severity: 'error', code: 'ERR_CONFIG_MISSING_KEY', path, message: `${where}: '${key}' is missing`, remedy, at: 'key' }),
  };
}

function buildArbiter(file: FileCluster, keyFile: string, nodes: readonly string[], report: Report): ArbiterConfig | null {
  const { conflict, warn, missing } = findings(report);
  const path: KeyPath = ['cluster', 'arbiter'];
  if (file.arbiter === undefined) {
    missing(
      ['cluster'],
      'cluster',
      'arbiter',
      'Name who decides when the nodes lose sight of each other: `arbiter: { witness: "HOST:7795" }`, etcd or stonith; `arbiter: none` accepts split brain.',
    );
    return null;
  }
  if (file.arbiter === 'none') {
    warn(path, 'arbiter: none: when both nodes lose sight of each other, both will serve (split brain)', 'Set up drbdts-witness on a third host.');
    return { kind: 'none' };
  }
  const { witness, etcd, stonith } = file.arbiter;
  const named = [witness, etcd, stonith].filter((one) => one !== undefined).length;
  if (named !== 1) {
    conflict(path, named === 0 ? 'arbiter: none of witness, etcd, stonith is given' : 'arbiter: there can be only one', 'Write one of `witness:`, `etcd:`, `stonith:`, or `arbiter: none`.');
    return null;
  }
  if (witness !== undefined) {
    const given = typeof witness === 'string' ? { address: witness } : witness;
    const address = parseAddress(given.address);
    if (address === null) {
      conflict([...path, 'witness'], `'${given.address}' is not the numeric address of the witness`, 'Write IPV4:PORT or "[IPV6]:PORT"; a name could not be resolved when it matters.');
      return null;
    }
    return { kind: 'witness', address, keyFile: ('key-file' in given ? given['key-file'] : undefined) ?? keyFile, timeoutMs: ('timeout' in given ? given.timeout : undefined) ?? 1000 };
  }
  if (etcd !== undefined) {
    return {
      kind: 'etcd',
      endpoints: etcd.endpoints,
      prefix: etcd.prefix ?? '/drbdts',
      user: etcd.user ?? '',
      passwordFile: etcd['password-file'] ?? '',
      caFile: etcd['ca-file'] ?? '',
      timeoutMs: etcd.timeout ?? 1000,
    };
  }
  for (const node of nodes) {
    if (stonith?.targets[node] === undefined) {
      conflict([...path, 'stonith', 'targets'], `no parameters to fence ${node}`, `Write \`${node}: { ip: ..., plug: ... }\` as ${stonith?.agent ?? 'the agent'} wants them.`);
    }
  }
  return {
    kind: 'stonith',
    agent: stonith?.agent ?? '',
    targets: stonith?.targets ?? {},
    timeoutMs: stonith?.timeout ?? 60_000,
    testEveryMs: stonith?.['test-every'] ?? 3_600_000,
  };
}

function buildLinks(file: FileCluster, nodes: readonly string[], report: Report): LinkConfig[] {
  const { conflict, warn, missing } = findings(report);
  const links: LinkConfig[] = [];
  const seen = new Map<string, string>();
  for (const [name, link] of Object.entries(file.links ?? {})) {
    const path: KeyPath = ['cluster', 'links', name];
    const port = link.port ?? heartbeatPort;
    const addresses = link.addresses ?? {};
    for (const node of nodes) {
      const address = addresses[node];
      if (address === undefined) {
        missing([...path, 'addresses'], `link ${name}`, node, `Write the address of ${node} on this link.`);
        continue;
      }
      const key = `${node} ${address}:${port}`;
      const other = seen.get(key);
      if (other !== undefined) conflict([...path, 'addresses', node], `${node} has ${address}:${port} on link ${other} already`, 'Every link is a way of its own; two on one address break together.');
      seen.set(key, name);
    }
    for (const stranger of Object.keys(addresses).filter((node) => !nodes.includes(node))) {
      conflict([...path, 'addresses', stranger], `'${stranger}' is not a node of the cluster`, `Nodes: ${nodes.join(', ')}.`);
    }
    const families = new Set([...Object.values(addresses), ...(link.multicast === undefined ? [] : [link.multicast])].map((address) => isIP(address)));
    if (families.size > 1) conflict(path, `link ${name} mixes IPv4 and IPv6`, 'Use one family on a link.');
    if (link.ttl !== undefined && link.multicast === undefined) conflict([...path, 'ttl'], 'ttl without multicast does nothing', 'Remove it, or add `multicast:`.');
    links.push({ name, interface: link.interface ?? '', port, addresses, multicast: link.multicast === undefined ? null : { group: link.multicast, ttl: link.ttl ?? 1 } });
  }
  if (links.length === 0) missing(['cluster'], 'cluster', 'links', 'Name at least one network on which heartbeats travel; two independent ones are expected.');
  if (links.length === 1) warn(['cluster', 'links'], 'only one heartbeat link: when it breaks, each node takes the other for dead', 'Add a second one over other cards and cables.');
  return links;
}

function checkTimes(cluster: ClusterConfig, report: Report): void {
  const { conflict, warn } = findings(report);
  const { keepaliveMs, warntimeMs, deadtimeMs, initdeadMs } = cluster;
  if (deadtimeMs <= 2 * keepaliveMs) conflict(['cluster', 'deadtime'], `deadtime (${deadtimeMs}ms) must be more than twice keepalive (${keepaliveMs}ms)`, 'A deadtime of at least four times keepalive forgives lost packets.');
  else if (deadtimeMs < 4 * keepaliveMs) warn(['cluster', 'deadtime'], `deadtime (${deadtimeMs}ms) is less than four times keepalive (${keepaliveMs}ms)`, 'A few lost packets look like a dead node; make deadtime longer.');
  if (warntimeMs >= deadtimeMs) conflict(['cluster', 'warntime'], `warntime (${warntimeMs}ms) is not below deadtime (${deadtimeMs}ms)`, 'Use about half of deadtime.');
  if (warntimeMs < 2 * keepaliveMs) warn(['cluster', 'warntime'], `warntime (${warntimeMs}ms) is less than twice keepalive (${keepaliveMs}ms)`, 'Each lost packet will be reported.');
  if (initdeadMs < deadtimeMs) conflict(['cluster', 'initdead'], `initdead (${initdeadMs}ms) is below deadtime (${deadtimeMs}ms)`, 'Give both nodes time to boot, 20s or more.');
}

/** The cluster, or null when it is not usable. */
export function buildCluster(file: FileCluster, node: string | null, report: Report): ClusterConfig | null {
  const { conflict, warn, missing } = findings(report);
  const [first, second] = file.nodes ?? [];
  if (first === undefined || second === undefined) {
    missing(['cluster'], 'cluster', 'nodes', 'Write `nodes: [node1, node2]`, named as `uname -n` prints them.');
    return null;
  }
  if (first === second) conflict(['cluster', 'nodes'], `both nodes are called ${first}`, 'Nodes need different names.');
  const nodes: [string, string] = [first, second];
  if (node !== null && !nodes.includes(node)) {
    warn(['cluster', 'nodes'], `the cluster is not for this host: neither ${first} nor ${second} is '${node}'`, 'Name the nodes as `uname -n` prints them.');
  }
  const keyFile = file['key-file'] ?? defaultClusterKeyFile;
  const arbiter = buildArbiter(file, keyFile, nodes, report);
  const deadtimeMs = file.deadtime ?? defaults.deadtimeMs;
  const keepaliveMs = file.keepalive ?? defaults.keepaliveMs;
  const cluster: ClusterConfig = {
    name: file.name ?? [...nodes].sort().join('-'),
    keyFile,
    arbiter: arbiter ?? { kind: 'none' },
    nodes,
    links: buildLinks(file, nodes, report),
    keepaliveMs,
    warntimeMs: file.warntime ?? Math.max(Math.round(deadtimeMs / 2), Math.min(2 * keepaliveMs, deadtimeMs - 1)),
    deadtimeMs,
    initdeadMs: file.initdead ?? Math.max(defaults.initdeadMs, 2 * deadtimeMs),
    ping: file.ping ?? [],
    deadpingMs: file.deadping ?? defaults.deadpingMs,
    selfFence: {
      command: file['self-fence']?.command ?? '',
      watchdog: file['self-fence']?.watchdog ?? '',
      reboot: file['self-fence']?.reboot ?? true,
    },
  };
  checkTimes(cluster, report);
  const fence = cluster.selfFence;
  if (fence.command === '' && fence.watchdog === '' && !fence.reboot) {
    warn(['cluster', 'self-fence'], 'nothing is left for a group that cannot be stopped: no command, no watchdog, no reboot', 'Allow `reboot: yes`, or name a command that ends the node.');
  }
  return cluster;
}

const kindTimeouts: Record<(typeof memberKinds)[number], MemberTimeouts> = {
  volume: { startMs: 60_000, stopMs: 60_000, monitorMs: 10_000, monitorEveryMs: 2000 },
  filesystem: { startMs: 60_000, stopMs: 60_000, monitorMs: 20_000, monitorEveryMs: 10_000 },
  vip: { startMs: 20_000, stopMs: 20_000, monitorMs: 5000, monitorEveryMs: 2000 },
  systemd: { startMs: 100_000, stopMs: 100_000, monitorMs: 20_000, monitorEveryMs: 10_000 },
  lsb: { startMs: 60_000, stopMs: 60_000, monitorMs: 20_000, monitorEveryMs: 10_000 },
  ocf: { startMs: 60_000, stopMs: 60_000, monitorMs: 20_000, monitorEveryMs: 10_000 },
  command: { startMs: 60_000, stopMs: 60_000, monitorMs: 20_000, monitorEveryMs: 10_000 },
};

/** Keys that belong to one kind only. */
const keysOf: Record<(typeof memberKinds)[number], readonly string[]> = {
  volume: [],
  filesystem: ['device', 'type', 'options', 'fsck', 'grace'],
  vip: ['interface', 'label', 'announce'],
  systemd: [],
  lsb: ['arguments'],
  ocf: ['parameters'],
  command: [],
};
const keysOfAll = ['name', 'timeouts'];

interface Place {
  group: string;
  path: KeyPath;
  node: string | null;
  resources: readonly ResourceConfig[];
  /** members built so far, in their order. */
  before: readonly MemberConfig[];
}

/** Devices of a resource's volumes on any of its hosts. */
const devicesOf = (resource: ResourceConfig): string[] => resource.hosts.flatMap((host) => host.volumes.map((volume) => volume.device));

function buildFilesystem(member: FileMember, mountPoint: string, timeouts: MemberTimeouts, at: Place, report: Report): MemberConfig | null {
  const { missing } = findings(report);
  const volume = at.before.findLast((other) => other.kind === 'volume');
  const resource = volume?.kind === 'volume' ? at.resources.find(({ name }) => name === volume.resource) : undefined;
  const device = member.device ?? (resource === undefined ? undefined : devicesOf(resource)[0]);
  if (device === undefined) {
    missing(at.path, `filesystem ${mountPoint}`, 'device', 'Write `device: /dev/drbd0`, or name the volume before the file system.');
    return null;
  }
  return {
    kind: 'filesystem',
    name: member.name ?? `filesystem ${mountPoint}`,
    device,
    mountPoint: mountPoint.length > 1 ? mountPoint.replace(/\/+$/, '') : mountPoint,
    type: member.type ?? 'auto',
    options: member.options ?? '',
    fsck: member.fsck ?? 'auto',
    graceMs: member.grace ?? 3000,
    ...timeouts,
  };
}

/** First and last address of an IPv4 network, which are not for hosts; '' where all are (prefix 31 and 32). */
export function edgesOf(address: string, prefix: number): [string, string] {
  if (prefix > 30) return ['', ''];
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const hosts = 2 ** (32 - prefix);
  const first = Math.floor(number / hosts) * hosts;
  const text = (value: number): string => [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
  return [text(first), text(first + hosts - 1)];
}

function buildVip(member: FileMember, vip: string, timeouts: MemberTimeouts, at: Place, report: Report): MemberConfig | null {
  const { conflict } = findings(report);
  const [address = '', prefixText, ...rest] = vip.split('/');
  const family = isIP(address);
  const prefix = Number(prefixText);
  if ((family !== 4 && family !== 6) || rest.length > 0 || prefixText === undefined || !/^\d+$/.test(prefixText) || prefix < 1 || prefix > (family === 4 ? 32 : 128)) {
    conflict([...at.path, 'vip'], `'${vip}' is not ADDRESS/PREFIX`, 'Write the prefix of the network, such as 192.168.42.14/24.');
    return null;
  }
  const [first, last] = family === 4 ? edgesOf(address, prefix) : ['', ''];
  if (address === first || address === last) {
    conflict([...at.path, 'vip'], `${address} is the ${address === first ? 'name of the network' : 'broadcast address'}, which no host can have`, `Write an address between ${first} and ${last}.`);
  }
  const label = member.label ?? '';
  if (label !== '' && family === 6) conflict([...at.path, 'label'], 'IPv6 addresses have no labels', 'Remove `label`.');
  if (label !== '' && member.interface !== undefined && label !== member.interface && !label.startsWith(`${member.interface}:`)) {
    conflict([...at.path, 'label'], `the label '${label}' does not begin with '${member.interface}:'`, `Write \`label: ${member.interface}:0\`.`);
  }
  return {
    kind: 'vip',
    name: member.name ?? `vip ${address}`,
    family,
    address: family === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address,
    prefix,
    interface: member.interface ?? '',
    label,
    announceCount: member.announce?.count ?? 5,
    announceGapMs: member.announce?.gap ?? 200,
    refreshMs: member.announce?.refresh ?? 5000,
    ...timeouts,
  };
}

function buildMember(member: FileMember, at: Place, report: Report): MemberConfig | null {
  const { conflict } = findings(report);
  const kinds = memberKinds.filter((kind) => member[kind] !== undefined);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    conflict(at.path, kind === undefined ? 'a member without a kind' : `a member is one thing: here are ${kinds.join(' and ')}`, `Each entry of the list names exactly one of ${memberKinds.join(', ')}.`);
    return null;
  }
  for (const key of Object.keys(member)) {
    if (key === kind || keysOfAll.includes(key) || keysOf[kind].includes(key)) continue;
    conflict([...at.path, key], `'${key}' does not belong to a ${kind}`, `A ${kind} takes ${[...keysOf[kind], ...keysOfAll].join(', ')}.`);
  }
  const usual = kindTimeouts[kind];
  const timeouts: MemberTimeouts = {
    startMs: member.timeouts?.start ?? usual.startMs,
    stopMs: member.timeouts?.stop ?? usual.stopMs,
    monitorMs: member.timeouts?.monitor ?? usual.monitorMs,
    monitorEveryMs: member.timeouts?.every ?? usual.monitorEveryMs,
  };
  if (member.filesystem !== undefined) return buildFilesystem(member, member.filesystem, timeouts, at, report);
  if (member.vip !== undefined) return buildVip(member, member.vip, timeouts, at, report);
  if (member.volume !== undefined) {
    if (!at.resources.some(({ name }) => name === member.volume)) {
      conflict([...at.path, 'volume'], `'${member.volume}' is not a resource of this file`, `Resources: ${at.resources.map(({ name }) => name).join(', ') || 'none'}.`);
      return null;
    }
    return { kind: 'volume', name: member.name ?? `volume ${member.volume}`, resource: member.volume, ...timeouts };
  }
  const service = serviceOf(member, at.path, report);
  if (service === null) return null;
  const plain = service.kind === 'systemd' ? service.unit : service.kind === 'lsb' ? service.script : service.kind === 'ocf' ? service.agent : 'command';
  return { kind: 'service', name: member.name ?? `service ${plain}`, service, ...timeouts };
}

function serviceOf(member: FileMember, path: KeyPath, report: Report): ServiceSpec | null {
  const { missing } = findings(report);
  if (member.systemd !== undefined) return { kind: 'systemd', unit: member.systemd.includes('.') ? member.systemd : `${member.systemd}.service` };
  if (member.lsb !== undefined) return { kind: 'lsb', script: member.lsb, arguments: member.arguments ?? [] };
  if (member.ocf !== undefined) {
    const [provider = '', agent = ''] = member.ocf.replace(/^ocf:/, '').split(':');
    return { kind: 'ocf', provider, agent, parameters: member.parameters ?? {} };
  }
  const { start, stop, monitor } = member.command ?? {};
  if (start === undefined) missing([...path, 'command'], 'command', 'start', 'Write the command that starts it.');
  if (stop === undefined) missing([...path, 'command'], 'command', 'stop', 'Write the command that stops it.');
  return start === undefined || stop === undefined ? null : { kind: 'command', start, stop, monitor: monitor ?? '' };
}

/** Whether a mount point lies below another one. */
const isInside = (path: string, above: string): boolean => path !== above && path.startsWith(above === '/' ? above : `${above}/`);

/** A block device that is no volume. */
function checkForeignDevice(device: string, path: KeyPath, resources: readonly ResourceConfig[], report: Report): void {
  const { conflict, warn } = findings(report);
  const backed = resources.find((resource) => resource.hosts.some((host) => host.volumes.some((volume) => volume.disk === device || volume.metaDisk === device)));
  if (backed !== undefined) {
    const own = devicesOf(backed)[0] ?? '';
    conflict(path, `${device} is a disk of resource ${backed.name}: written past the volume, both copies are lost`, `Write \`device: ${own}\`, and \`- volume: ${backed.name}\` before it.`);
  } else if (device.startsWith('/dev/')) {
    warn(path, `${device} is no volume: nothing copies it to the other node, and nothing keeps both from mounting it`, 'Name a volume of this file, or be sure that it is meant.');
  }
}

/** The order on which a group lives: volume, then its file system, then what uses it. */
function checkOrder(members: readonly MemberConfig[], path: KeyPath, resources: readonly ResourceConfig[], report: Report): void {
  const { conflict, warn } = findings(report);
  const names = new Set<string>();
  members.forEach((member, index) => {
    const at: KeyPath = [...path, 'members', index];
    if (names.has(member.name)) conflict(at, `two members are called '${member.name}'`, 'Give one of them a `name`.');
    names.add(member.name);
    if (member.kind === 'filesystem') {
      const owner = resources.find((resource) => devicesOf(resource).includes(member.device));
      const late = owner !== undefined && members.findIndex((other) => other.kind === 'volume' && other.resource === owner.name);
      if (late !== false && (late === -1 || late > index)) {
        conflict(
          at,
          late === -1 ? `${member.device} belongs to ${owner?.name}, which is not in the group` : `${member.mountPoint} is mounted before its volume ${owner?.name} is Primary`,
          `Put \`- volume: ${owner?.name}\` before it.`,
        );
      }
      if (owner === undefined) checkForeignDevice(member.device, [...at, 'device'], resources, report);
      const cover = members.slice(index + 1).find((other) => other.kind === 'filesystem' && isInside(member.mountPoint, other.mountPoint));
      if (cover?.kind === 'filesystem') {
        conflict(at, `${member.mountPoint} is mounted before ${cover.mountPoint}, which then hides it`, `Put the file system of ${cover.mountPoint} before it.`);
      }
    }
    const laterStorage = members.slice(index + 1).find((other) => other.kind === 'filesystem');
    if (member.kind === 'service' && laterStorage !== undefined) {
      warn(at, `${member.name} starts before ${laterStorage.name} is mounted`, 'Move it behind the file system unless it needs nothing there.');
    }
    if (member.kind === 'vip' && members.slice(index + 1).some((other) => other.kind !== 'vip')) {
      warn(at, `${member.name} is up before what it leads to`, 'Move addresses to the end: clients come when the service is there.');
    }
  });
}

function checkRelations(groups: readonly GroupConfig[], nodes: readonly string[], report: Report): void {
  const { conflict, warn } = findings(report);
  const owners = new Map<string, string>();
  const names = groups.map(({ name }) => name);
  for (const group of groups) {
    const path: KeyPath = ['groups', group.name];
    if (group.preferred !== '' && !nodes.includes(group.preferred)) conflict([...path, 'preferred'], `'${group.preferred}' is not a node of the cluster`, `Nodes: ${nodes.join(', ')}.`);
    if (group.autoFailback && group.preferred === '') warn([...path, 'auto-failback'], 'auto-failback without a preferred node does nothing', 'Add `preferred:`.');
    const leader = groups.find(({ name, preferred }) => group.after.includes(name) && preferred !== '');
    if (leader !== undefined && group.preferred !== '' && group.preferred !== leader.preferred) {
      warn([...path, 'preferred'], `it goes where group ${leader.name} is, which prefers ${leader.preferred}: ${group.preferred} means nothing`, 'Leave it out.');
    }
    for (const member of group.members) {
      if (member.kind !== 'filesystem') continue;
      const above = groups.find((other) => other !== group && other.members.some((one) => one.kind === 'filesystem' && isInside(member.mountPoint, one.mountPoint)));
      if (above !== undefined && !group.after.includes(above.name)) {
        conflict([...path, 'members', group.members.indexOf(member)], `${member.mountPoint} lies below a mount point of group ${above.name}, which may be elsewhere, or come later`, `Add \`after: [${above.name}]\`.`);
      }
    }
    for (const [key, list] of [['after', group.after], ['apart', group.apart]] as const) {
      for (const other of list) {
        if (!names.includes(other) || other === group.name) conflict([...path, key], `'${other}' is not another group`, `Groups: ${names.filter((name) => name !== group.name).join(', ') || 'none'}.`);
        else if (key === 'after' && group.apart.includes(other)) conflict([...path, 'apart'], `${group.name} must be with and apart from ${other}`, 'Name it once.');
      }
    }
    group.members.forEach((member, index) => {
      const what =
        member.kind === 'volume' ? `volume ${member.resource}` : member.kind === 'vip' ? `address ${member.address}` : member.kind === 'filesystem' ? `mount point ${member.mountPoint}` : null;
      if (what === null) return;
      const first = owners.get(what);
      if (first !== undefined) conflict([...path, 'members', index], `${what} is in ${first === group.name ? 'this group twice' : `group ${first} already`}`, 'It can follow one group only.');
      else owners.set(what, group.name);
    });
  }
  for (const group of groups) {
    const seen = new Set<string>();
    const queue = [...group.after];
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (next === group.name) {
        conflict(['groups', group.name, 'after'], `group ${group.name} comes after itself`, 'Break the circle.');
        break;
      }
      if (seen.has(next)) continue;
      seen.add(next);
      queue.push(...(groups.find(({ name }) => name === next)?.after ?? []));
    }
  }
}

/** The groups of a file. `cluster` null: its section is missing or wrong. */
export function buildGroups(
  file: Record<string, FileGroup>,
  cluster: ClusterConfig | null,
  clusterGiven: boolean,
  node: string | null,
  resources: readonly ResourceConfig[],
  report: Report,
): GroupConfig[] {
  const { missing, conflict } = findings(report);
  const groups: GroupConfig[] = [];
  if (!clusterGiven && Object.keys(file).length > 0) {
    report({ severity: 'error', code: 'ERR_CONFIG_MISSING_KEY', path: ['groups'], at: 'key', message: 'groups without a `cluster:` section', remedy: 'Add `cluster:` with nodes, links and arbiter.' });
  }
  for (const [name, group] of Object.entries(file)) {
    const path: KeyPath = ['groups', name];
    if (group.members === undefined) missing(path, `group ${name}`, 'members', 'List what belongs to it, in the order of the start.');
    const members: MemberConfig[] = [];
    (group.members ?? []).forEach((member, index) => {
      const at: Place = { group: name, path: [...path, 'members', index], node, resources, before: members };
      const built = buildMember(member, at, report);
      if (built !== null) members.push(built);
      if (built?.kind === 'volume' && cluster !== null) {
        const resource = resources.find(({ name }) => name === built.resource);
        const promoted = String(resource?.startup['become-primary-on'] ?? '');
        if (promoted !== '') {
          report({
            ...{ severity: 'warning', code: 'ERR_CONFIG_WARNING', path: ['resources', built.resource, 'startup', 'become-primary-on'] },
            message: `become-primary-on: ${promoted} promotes ${built.resource} although group ${name} may belong elsewhere`,
            remedy: `Remove it: the cluster manager promotes. Write \`preferred: ${promoted}\` in the group if that node shall have it.`,
          });
        }
        const hosts = resource?.hosts.map((host) => host.name) ?? [];
        if (hosts.some((host) => !cluster.nodes.includes(host))) {
          conflict([...at.path, 'volume'], `${built.resource} lives on ${hosts.join(' and ')}, the cluster on ${cluster.nodes.join(' and ')}`, 'Use the same names.');
        }
      }
    });
    checkOrder(members, path, resources, report);
    groups.push({
      name,
      members,
      preferred: group.preferred ?? '',
      autoFailback: group['auto-failback'] ?? false,
      migrationThreshold: group['migration-threshold'] ?? 3,
      failureTimeoutMs: group['failure-timeout'] ?? 600_000,
      after: group.after ?? [],
      apart: group.apart ?? [],
    });
  }
  checkRelations(groups, cluster?.nodes ?? [], report);
  return groups;
}
