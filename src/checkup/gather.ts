/** Looks at this host: everything judge.ts needs to know, and nothing is changed by it. */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { createArbiter } from '../arbiter/create.js';
import { readKeyFile, readSecretFile } from '../arbiter/key-file.js';
import type { ClusterConfig } from '../config/cluster-types.js';
import { clusterDigest } from '../config/digest.js';
import { type Config, sidesOf } from '../config/types.js';
import type { ClusterStatus, HistoryReply } from '../control/cluster-messages.js';
import type { StatusReply } from '../control/messages.js';
import { systemClock } from '../shared/clock.js';
import { asDrbdtsError } from '../shared/errors.js';
import { parseMountTable } from '../shared/mount-table.js';
import type { Facts, FstabEntry, MentionFact, PathFact, UnitFact } from './facts.js';
import { findProgram, listDirectory, look, lookAt, processNames, readText, realPath } from './host.js';
import { agentPath, programOf, scriptPaths } from './judge-services.js';
import { linesWith, mountUnitOf, parseFstab, parseIpAddresses, parseNeighbour, parsePorts } from './parse.js';
import { membersOf } from './scene.js';

/** Who can be asked; each rejects when it is not there. */
export interface Sources {
  drbdtsd(): Promise<StatusReply>;
  clusterd(): Promise<ClusterStatus>;
  history(): Promise<HistoryReply>;
}

/** Where drbdtsd keeps what an arbiter has to remember. */
const registerDirectory = '/var/lib/drbdts/register';

const discardPort = 9;
/** Who has an address answers at once. An old answer is asked for again by the kernel after 5 s, then three times a second apart. */
const neighbourTries = 10;
const confirmTries = 90;
const neighbourPauseMs = 100;

const orNull = <T>(promise: Promise<T>): Promise<T | null> => promise.catch(() => null);

async function mapOf<T>(keys: Iterable<string>, look: (key: string) => Promise<T> | T): Promise<Map<string, T>> {
  return new Map(await Promise.all([...new Set(keys)].filter((key) => key !== '').map(async (key): Promise<[string, T]> => [key, await look(key)])));
}

function fstab(): FstabEntry[] {
  const tags: Record<string, string> = { UUID: 'by-uuid', LABEL: 'by-label', PARTUUID: 'by-partuuid', PARTLABEL: 'by-partlabel' };
  return parseFstab(readText('/etc/fstab')).map((entry) => {
    const [, tag = '', value = ''] = /^(\w+)="?([^"]*)"?$/.exec(entry.source) ?? [];
    const directory = tags[tag];
    return { ...entry, source: directory === undefined ? entry.source : realPath(`/dev/disk/${directory}/${value}`) };
  });
}

const networkFiles = ['/etc/network/interfaces', '/etc/netplan', '/etc/network/interfaces.d', '/etc/NetworkManager/system-connections', '/etc/systemd/network', '/etc/sysconfig/network-scripts'];
const rivals = [
  { by: 'keepalived', process: 'keepalived', files: ['/etc/keepalived', '/etc/keepalived/conf.d'] },
  { by: 'heartbeat', process: 'heartbeat', files: ['/etc/ha.d/haresources', '/etc/heartbeat/haresources'] },
  { by: 'pacemaker', process: 'pacemakerd', files: ['/var/lib/pacemaker/cib/cib.xml'] },
] as const;

/** The files below a directory, or the file itself. */
const filesAt = (path: string): string[] => (lookAt(path).kind === 'directory' ? listDirectory(path).map((name) => `${path}/${name}`) : [path]);

function mentions(addresses: readonly string[]): MentionFact[] {
  const processes = processNames();
  const sources = [
    ...networkFiles.flatMap(filesAt).map((file) => ({ file, by: 'network' as const, running: false })),
    ...rivals.flatMap(({ by, process, files }) => files.flatMap(filesAt).map((file) => ({ file, by, running: processes.has(process) }))),
  ];
  return sources.flatMap(({ file, by, running }) => {
    const text = readText(file);
    return text === '' ? [] : addresses.flatMap((address) => linesWith(text, address).map((line) => ({ address, place: `${file}:${line}`, by, running })));
  });
}

/** Sends something that nobody needs, so that the kernel asks who has the address. */
async function poke(address: string): Promise<void> {
  const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.send('', discardPort, address, () => resolve()));
  socket.close();
}

/** The hardware address of who answers for an address in a connected network; null when nobody does. An old answer is confirmed first. */
async function hardwareOf(address: string): Promise<string | null> {
  let old = false;
  for (let attempt = 0; attempt < (old ? confirmTries : neighbourTries); attempt++) {
    if (attempt % 5 === 0) await poke(address);
    const neighbour = parseNeighbour((await look(['ip', '-json', 'neigh', 'show', 'to', address])).text);
    if (neighbour?.confirmed === true) return neighbour.hardware;
    if (neighbour === null && old) return null;
    old = neighbour !== null;
    await systemClock.sleep(neighbourPauseMs);
  }
  return null;
}

const pingProgram = (address: string): string => (isIP(address) === 6 ? 'ping6' : 'ping');

async function unitFact(unit: string): Promise<UnitFact> {
  const [enabled, active] = await Promise.all([look(['systemctl', 'is-enabled', unit]), look(['systemctl', 'is-active', unit])]);
  const state = enabled.text.trim();
  return { enabled: state === 'not-found' ? '' : state, active: active.text.trim() === 'active' };
}

/** A type that the kernel neither knows nor has a module or helper for. */
async function isUnknownType(type: string): Promise<boolean> {
  if (readText('/proc/filesystems').split('\n').some((line) => line.trim().split(/\s+/).at(-1) === type)) return false;
  if (findProgram(`mount.${type}`) !== '') return false;
  return (await look(['modinfo', '-F', 'filename', `fs-${type}`])).code !== 0 && (await look(['modinfo', '-F', 'filename', type])).code !== 0;
}

async function arbiterProblem(cluster: ClusterConfig, node: string): Promise<string | null> {
  const peer = cluster.nodes.find((name) => name !== node) ?? '';
  const arbiter = createArbiter(cluster.arbiter, { cluster: cluster.name, node, peer, directory: registerDirectory });
  if (arbiter === null) return null;
  try {
    await arbiter.test();
    return null;
  } catch (thrown) {
    const error = asDrbdtsError(thrown);
    // said about the file itself
    return error.code === 'ERR_KEY_FILE' ? null : error.message;
  } finally {
    arbiter.close();
  }
}

function keyProblem(read: () => unknown): string {
  try {
    read();
    return '';
  } catch (thrown) {
    const { message, place } = asDrbdtsError(thrown);
    return message.replace(`can not use the key file ${place}: `, '');
  }
}

function keys(cluster: ClusterConfig): Map<string, string> {
  const { arbiter, keyFile } = cluster;
  const found = new Map([[keyFile, keyProblem(() => readKeyFile(keyFile))]]);
  if (arbiter.kind === 'witness') found.set(arbiter.keyFile, keyProblem(() => readKeyFile(arbiter.keyFile)));
  if (arbiter.kind === 'etcd' && arbiter.passwordFile !== '') found.set(arbiter.passwordFile, keyProblem(() => readSecretFile(arbiter.passwordFile)));
  return found;
}

/** Links that start an init script when the host boots. */
function bootLinks(scripts: readonly string[]): Map<string, string> {
  const links = [2, 3, 5].flatMap((level) => listDirectory(`/etc/rc${level}.d`).map((name) => ({ name, path: `/etc/rc${level}.d/${name}` })));
  return new Map(
    scripts.flatMap((script): [string, string][] => {
      const base = script.split('/').at(-1);
      const link = links.find(({ name }) => name.replace(/^S\d\d/, '') === base && name !== base);
      return link === undefined ? [] : [[script, link.path]];
    }),
  );
}

/** Devices whose contents may be looked at now: the volume where it is Primary, the disk below it where it is known to be good. */
function readable(config: Config, node: string, drbdtsd: StatusReply | null): Map<string, string> {
  const found = new Map<string, string>();
  for (const resource of config.resources) {
    const state = drbdtsd?.resources.find(({ name }) => name === resource.name);
    for (const own of sidesOf(resource, node)?.self.volumes ?? []) {
      const volume = state?.volumes.find((one) => one.volume === own.volume);
      if (volume?.role === 'Primary') found.set(own.device, own.device);
      else if (volume?.disk === 'UpToDate') found.set(own.device, own.disk);
    }
  }
  return found;
}

/** What this host is like, as far as `config` asks for it. */
export async function gatherFacts(config: Config, cluster: ClusterConfig, node: string, sources: Sources): Promise<Facts> {
  const members = [...membersOf(config)].map(({ member }) => member);
  const vips = members.flatMap((member) => (member.kind === 'vip' ? [member] : []));
  const filesystems = members.flatMap((member) => (member.kind === 'filesystem' ? [member] : []));
  const services = members.flatMap((member) => (member.kind === 'service' ? [member.service] : []));
  const scripts = services.flatMap((service) => (service.kind === 'lsb' ? [service.script] : []));
  const peer = cluster.nodes.find((name) => name !== node) ?? '';
  const own = config.resources.flatMap((resource) => sidesOf(resource, node) ?? []);
  const peers = [...cluster.links.map((link) => link.addresses[peer] ?? ''), ...own.map((sides) => sides.peer.address.host)];
  const types = filesystems.flatMap(({ type }) => (type === 'auto' ? [] : [type]));
  const commands = [...services.flatMap((service) => (service.kind === 'command' ? [service.start, service.stop, service.monitor] : [])), cluster.selfFence.command];
  const paths = [
    ...own.flatMap(({ self }) => self.volumes.flatMap((volume) => [volume.disk, ...(volume.metaIndex === 'internal' ? [] : [volume.metaDisk])])),
    ...filesystems.flatMap(({ mountPoint, device }) => [mountPoint, device]),
    ...scripts.flatMap(scriptPaths),
    ...services.flatMap((service) => (service.kind === 'ocf' ? [agentPath(service.provider, service.agent)] : [])),
    ...commands.map(programOf),
    cluster.selfFence.watchdog,
  ];
  const units = [...services.flatMap((service) => (service.kind === 'systemd' ? [service.unit] : [])), ...filesystems.map(({ mountPoint }) => mountUnitOf(mountPoint))];
  const [drbdtsd, clusterd, history, ip] = await Promise.all([orNull(sources.drbdtsd()), orNull(sources.clusterd()), orNull(sources.history()), look(['ip', '-details', '-json', 'address', 'show'])]);
  const host = ip.code === 0 ? parseIpAddresses(ip.text) : { interfaces: [], addresses: [] };
  const present = new Set(host.addresses.map(({ address }) => address));
  const probed = vips.filter(({ address }) => !present.has(address));
  const [routes, owners, peerMacs, pings, pathFacts, unitFacts, unknown, signatures, problem] = await Promise.all([
    mapOf(peers, async (address) => (await look(['ip', '-json', 'route', 'get', address])).code === 0),
    mapOf(probed.map(({ address }) => address), hardwareOf),
    mapOf(peers, hardwareOf),
    mapOf(cluster.ping, async (address) => (await look([pingProgram(address), '-n', '-c', '3', '-i', '0.3', '-W', '1', address])).code === 0),
    mapOf<PathFact>(paths, lookAt),
    findProgram('systemctl') === '' ? null : mapOf(units, unitFact),
    mapOf(types, isUnknownType),
    mapOf(readable(config, node, drbdtsd).keys(), async (device) => {
      const { code, text } = await look(['blkid', '-p', '-u', 'filesystem', '-s', 'TYPE', '-o', 'value', readable(config, node, drbdtsd).get(device) ?? device]);
      // 2: nothing was found; anything else says nothing
      return code === 0 ? text.trim() : code === 2 ? '' : null;
    }),
    arbiterProblem(cluster, node),
  ]);
  const watchdog = realPath(cluster.selfFence.watchdog).split('/').at(-1) ?? '';
  const programs = [...cluster.ping.map(pingProgram), ...types.map((type) => `fsck.${type}`), ...(cluster.arbiter.kind === 'stonith' ? [cluster.arbiter.agent] : [])];
  return {
    ...host,
    ...{ routes, owners, pings, drbdtsd, clusterd, units: unitFacts, paths: pathFacts, arbiterProblem: problem },
    ports: [...['udp', 'udp6'].flatMap((name) => parsePorts(readText(`/proc/net/${name}`), 'udp')), ...['tcp', 'tcp6'].flatMap((name) => parsePorts(readText(`/proc/net/${name}`), 'tcp'))],
    peerHardware: new Set([...peerMacs.values()].filter((mac): mac is string => mac !== null)),
    mentions: mentions(vips.map(({ address }) => address)),
    mounts: parseMountTable(readText('/proc/self/mountinfo')),
    fstab: fstab(),
    programs: await mapOf(programs, findProgram),
    unknownTypes: new Set([...unknown].filter(([, isUnknown]) => isUnknown).map(([type]) => type)),
    signatures: new Map([...signatures].filter((entry): entry is [string, string] => entry[1] !== null)),
    bootLinks: bootLinks(scripts),
    keys: keys(cluster),
    sysrq: lookAt('/proc/sysrq-trigger').kind !== 'missing',
    watchdogBusy: readText(`/sys/class/watchdog/${watchdog}/state`).trim() === 'active',
    pauses: (history?.entries ?? []).flatMap(({ time, sentence }) => {
      const ms = Number(/stood still for (\d+) ms/.exec(sentence)?.[1] ?? Number.NaN);
      return Number.isNaN(ms) ? [] : [{ time, ms }];
    }),
    digest: clusterDigest(cluster, config.groups),
  };
}
