/**
 * What no single value shows (pure): inheritance from `common` over resource to volume, both hosts complete, nothing used twice, options
 * that contradict each other. Gives the finished configuration and findings with the path of keys they are about.
 */
import { replicationProtocols } from '../shared/terms.js';
import { buildCluster, buildGroups } from './cluster-check.js';
import type { ArbiterConfig } from './cluster-types.js';
import { defaultsOf, type OptionValues } from './options.js';
import type { KeyPath } from './places.js';
import type { FileConfig, FileHost, FileResource } from './schema.js';
import type { Address, Config, HostConfig, HostVolume, ResourceConfig } from './types.js';
import { formatAddress } from './types.js';
import { buildBalancing } from './balancing-check.js';
import { buildVrrp, namedNodes } from './vrrp-check.js';

export interface Finding {
  severity: 'error' | 'warning';
  code: string;
  path: KeyPath;
  message: string;
  remedy: string;
  at?: 'key' | 'value';
}

type Report = (finding: Finding) => void;

function conflict(report: Report, path: KeyPath, message: string, remedy: string): void {
  report({ severity: 'error', code: 'ERR_CONFIG_CONFLICT', path, message, remedy });
}

function warn(report: Report, path: KeyPath, message: string, remedy: string): void {
  report({ severity: 'warning', code: 'ERR_CONFIG_WARNING', path, message, remedy });
}

function missing(report: Report, path: KeyPath, where: string, key: string, remedy: string): void {
  report({ severity: 'error', code: 'ERR_CONFIG_MISSING_KEY', path, message: `${where}: '${key}' is missing`, remedy, at: 'key' });
}

function given(section: Record<string, unknown> | undefined): OptionValues {
  return Object.fromEntries(Object.entries(section ?? {}).filter(([, value]) => value !== undefined)) as OptionValues;
}

/** `protocol` may stand beside or inside `net`; the nearer level wins, two different ones on one level are an error. */
function netOf(name: string, common: FileConfig['common'], resource: FileResource, report: Report): OptionValues {
  const level = (
    path: KeyPath,
    part: { protocol?: string | undefined; net?: Record<string, unknown> | undefined } | undefined,
  ): OptionValues => {
    const net = given(part?.net);
    if (part?.protocol === undefined) return net;
    if (net.protocol !== undefined && net.protocol !== part.protocol) {
      conflict(
        report,
        [...path, 'net', 'protocol'],
        `protocol ${String(net.protocol)} here and ${part.protocol} beside the section`,
        'Write it once.',
      );
    }
    return { ...net, protocol: part.protocol };
  };
  return { ...defaultsOf('net'), ...level(['common'], common), ...level(['resources', name], resource) };
}

function checkOptions(path: KeyPath, net: OptionValues, disk: OptionValues, report: Report): void {
  const secret = String(net['shared-secret']);
  if (secret !== '' && net['cram-hmac-alg'] === '') {
    conflict(
      report,
      [...path, 'net', 'shared-secret'],
      'shared-secret without cram-hmac-alg: peers would not be authenticated',
      'Add `cram-hmac-alg: sha256`, on both nodes.',
    );
  }
  if (secret === '' && net['cram-hmac-alg'] !== '') {
    conflict(
      report,
      [...path, 'net', 'cram-hmac-alg'],
      'cram-hmac-alg without shared-secret',
      'Add `shared-secret`, the same on both nodes.',
    );
  }
  if (disk.fencing === 'resource-and-stonith' && net.protocol === 'A') {
    conflict(report, [...path, 'disk', 'fencing'], 'fencing resource-and-stonith only with protocol B or C', 'Use protocol C.');
  }
  const timeoutDs = Number(net.timeout);
  for (const other of ['connect-int', 'ping-int']) {
    if (timeoutDs > Number(net[other]) * 10) {
      warn(
        report,
        [...path, 'net', 'timeout'],
        `timeout (${timeoutDs / 10} s) is longer than ${other} (${String(net[other])} s)`,
        `Make timeout shorter than ${other}.`,
      );
    }
  }
  if (Number(disk['c-min-rate']) > Number(disk['c-max-rate'])) {
    warn(report, [...path, 'disk', 'c-min-rate'], 'c-min-rate is above c-max-rate', 'Lower c-min-rate.');
  }
}

function checkStartup(path: KeyPath, startup: OptionValues, hosts: readonly string[], report: Report): void {
  const wish = String(startup['become-primary-on']);
  if (wish === '') return;
  if (wish === 'both') {
    conflict(
      report,
      [...path, 'startup', 'become-primary-on'],
      'become-primary-on both needs two primaries, which drbdts does not allow',
      'Name one of the two hosts.',
    );
  } else if (!hosts.includes(wish)) {
    conflict(
      report,
      [...path, 'startup', 'become-primary-on'],
      `become-primary-on names '${wish}', which is not a host of the resource`,
      `Name one of: ${hosts.join(', ')}.`,
    );
  }
}

interface VolumeDefaults {
  device?: { device: string; minor: number } | undefined;
  'disk-path'?: string | undefined;
  'meta-disk'?: { metaDisk: string; metaIndex: 'internal' | 'flexible' | number } | undefined;
}

/** Volumes of one host: own values, then those of the volume, then those of the resource (only when there is one volume). */
function hostVolumes(path: KeyPath, resource: FileResource, host: FileHost, report: Report): HostVolume[] {
  const flat = host.device !== undefined || host.disk !== undefined || host['meta-disk'] !== undefined;
  const numbers = new Set([...Object.keys(resource.volumes ?? {}), ...Object.keys(host.volumes ?? {})]);
  if (numbers.size === 0) numbers.add('0');
  const single = numbers.size === 1;
  if (flat && !single) {
    conflict(
      report,
      path,
      'device, disk and meta-disk beside several volumes: which one is meant?',
      'Move them into `volumes: { 0: {...} }` of the host.',
    );
  }
  const result: HostVolume[] = [];
  for (const number of [...numbers].sort((a, b) => Number(a) - Number(b))) {
    const own = host.volumes?.[number];
    const common: VolumeDefaults = resource.volumes?.[number] ?? {};
    const outer: VolumeDefaults = single ? resource : {};
    const where = own === undefined ? path : [...path, 'volumes', number];
    const label = `host ${String(path[path.length - 1])}${single ? '' : ` volume ${number}`}`;
    const device = own?.device ?? (single ? host.device : undefined) ?? common.device ?? outer.device;
    const disk = own?.disk ?? (single ? host.disk : undefined) ?? common['disk-path'] ?? outer['disk-path'];
    const meta = own?.['meta-disk'] ?? (single ? host['meta-disk'] : undefined) ?? common['meta-disk'] ?? outer['meta-disk'];
    if (device === undefined) missing(report, where, label, 'device', 'Write `device: /dev/drbd0`.');
    if (disk === undefined) missing(report, where, label, 'disk', 'Write `disk: /dev/sdb1`.');
    if (meta === undefined) missing(report, where, label, 'meta-disk', 'Write `meta-disk: internal`.');
    if (device === undefined || disk === undefined || meta === undefined) continue;
    if (meta.metaDisk === disk)
      conflict(report, where, `meta-disk and disk of ${label} are the same device`, 'Write `meta-disk: internal`.');
    result.push({ volume: Number(number), ...device, disk, ...meta });
  }
  return result;
}

/** Most volumes of one resource: they share one thread and one connection. */
const volumesMax = 16;
const volumeNumberMax = 65_534;

function checkHosts(name: string, resource: FileResource, report: Report): HostConfig[] {
  const path: KeyPath = ['resources', name];
  const names = Object.keys(resource.on ?? {});
  if (names.length !== 2) {
    report({
      severity: 'error',
      code: 'ERR_CONFIG_MISSING_KEY',
      path: names.length > 2 ? [...path, 'on', names[2] ?? ''] : [...path, 'on'],
      at: 'key',
      message: `resource ${name}: exactly two hosts are expected in 'on', found ${names.length === 0 ? 'none' : names.join(', ')}`,
      remedy: 'Write one `on` entry for each of the two nodes, named as `uname -n` says there.',
    });
  }
  const hosts: HostConfig[] = [];
  for (const hostName of names) {
    const host = resource.on?.[hostName];
    if (host === undefined) continue;
    const hostPath = [...path, 'on', hostName];
    if (host.address === undefined) missing(report, hostPath, `host ${hostName}`, 'address', 'Write `address: 192.168.42.12:7788`.');
    hosts.push({
      name: hostName,
      address: host.address ?? { family: 4, host: '', port: 0 },
      volumes: hostVolumes(hostPath, resource, host, report),
    });
  }
  const volumeNumbers = hosts[0]?.volumes.map((volume) => volume.volume) ?? [];
  if (volumeNumbers.length > volumesMax)
    conflict(report, path, `resource ${name} has ${volumeNumbers.length} volumes; at most ${volumesMax}`, 'Split it into two resources.');
  if (volumeNumbers.some((number) => number > volumeNumberMax))
    conflict(report, path, `resource ${name}: a volume number is above ${volumeNumberMax}`, 'Number volumes from 0.');
  const [a, b] = hosts;
  if (a !== undefined && b !== undefined) {
    const numbers = (host: HostConfig): string => host.volumes.map((volume) => volume.volume).join(', ');
    if (a.volumes.length > 0 && b.volumes.length > 0 && numbers(a) !== numbers(b)) {
      conflict(
        report,
        [...path, 'on'],
        `resource ${name}: ${a.name} has volumes ${numbers(a)}, ${b.name} has ${numbers(b)}`,
        'Give both hosts the same volumes.',
      );
    }
    if (a.address.host !== '' && b.address.host !== '' && a.address.family !== b.address.family) {
      conflict(
        report,
        [...path, 'on', b.name, 'address'],
        `resource ${name}: one host has an IPv4 and the other an IPv6 address`,
        'Use the same family on both.',
      );
    }
  }
  return hosts;
}

/** Addresses, devices, minors and disks that two places claim on one host. */
function checkDuplicates(hostsOf: ReadonlyMap<string, readonly HostConfig[]>, report: Report): void {
  const seen = new Map<string, string>();
  const clash = (first: string, path: KeyPath, what: string): void =>
    conflict(report, path, `conflicting use of ${what}: first used by ${first}`, 'Give each its own.');
  const claim = (key: string, path: KeyPath, what: string, place: string): void => {
    const first = seen.get(key);
    if (first === undefined) seen.set(key, place);
    else clash(first, path, what);
  };
  // a device is used as a whole, as disk or flexible meta-disk, or in slots by indexed meta-data; never both ways
  const claimWhole = (host: string, device: string, path: KeyPath, what: string, place: string): void => {
    const slots = seen.get(`${host} slots ${device}`);
    if (slots === undefined) claim(`${host} disk ${device}`, path, what, place);
    else clash(slots, path, what);
  };
  const claimSlot = (host: string, device: string, slot: number, path: KeyPath, place: string): void => {
    const what = `meta-disk '${device}[${slot}]'`;
    const whole = seen.get(`${host} disk ${device}`);
    if (whole !== undefined) {
      clash(whole, path, what);
      return;
    }
    claim(`${host} meta ${device}[${slot}]`, path, what, place);
    if (!seen.has(`${host} slots ${device}`)) seen.set(`${host} slots ${device}`, place);
  };
  for (const [name, hosts] of hostsOf) {
    for (const host of hosts) {
      const path = ['resources', name, 'on', host.name];
      if (host.address.host !== '')
        claim(
          `address ${formatAddress(host.address)}`,
          [...path, 'address'],
          `IP '${formatAddress(host.address)}'`,
          `${name} on ${host.name}`,
        );
      for (const volume of host.volumes) {
        const place = `${name}/${volume.volume} on ${host.name}`;
        claim(`${host.name} minor ${volume.minor}`, path, `device minor ${volume.minor}`, place);
        claim(`${host.name} device ${volume.device}`, path, `device '${volume.device}'`, place);
        // what stands in one volume twice is said where the volume is read
        claimWhole(host.name, volume.disk, path, `disk '${volume.disk}'`, place);
        if (volume.metaDisk === volume.disk) continue;
        if (volume.metaIndex === 'flexible') claimWhole(host.name, volume.metaDisk, path, `meta-disk '${volume.metaDisk}'`, place);
        if (typeof volume.metaIndex === 'number') claimSlot(host.name, volume.metaDisk, volume.metaIndex, path, place);
      }
    }
  }
}

/** With an arbiter a Primary that loses its peer stands still until the arbiter has taken the peer out. */
export function fencingDefault(arbiter: ArbiterConfig['kind']): OptionValues {
  return arbiter === 'none' ? {} : { fencing: 'resource-and-stonith' };
}

/** The arbiter answers fence-peer; a handler beside it would be a second opinion. */
export function checkArbitration(
  path: KeyPath,
  arbiter: ArbiterConfig['kind'],
  disk: OptionValues,
  handlers: Record<string, string>,
  report: Report,
): void {
  if (arbiter === 'none') return;
  if ((handlers['fence-peer'] ?? '') !== '') {
    conflict(
      report,
      [...path, 'handlers', 'fence-peer'],
      `handler fence-peer beside the arbiter ${arbiter}: the arbiter decides, the handler would never run`,
      'Remove the handler, or write `arbiter: none`.',
    );
  }
  if (disk.fencing !== 'resource-and-stonith') {
    warn(
      report,
      [...path, 'disk', 'fencing'],
      `fencing ${String(disk.fencing)} with the arbiter ${arbiter}: writes go on without asking it, and both nodes may come to serve`,
      'Remove `fencing`: with an arbiter resource-and-stonith is the default.',
    );
  }
}

function buildResource(
  name: string,
  file: FileConfig,
  resource: FileResource,
  hosts: HostConfig[],
  arbiter: ArbiterConfig['kind'],
  report: Report,
): ResourceConfig | null {
  const path: KeyPath = ['resources', name];
  const net = netOf(name, file.common, resource, report);
  const disk = { ...defaultsOf('disk'), ...fencingDefault(arbiter), ...given(file.common?.disk), ...given(resource.disk) };
  const startup = { ...defaultsOf('startup'), ...given(file.common?.startup), ...given(resource.startup) };
  const handlers = { ...given(file.common?.handlers), ...given(resource.handlers) } as Record<string, string>;
  checkOptions(path, net, disk, report);
  checkStartup(
    path,
    startup,
    hosts.map((host) => host.name),
    report,
  );
  checkArbitration(path, arbiter, disk, handlers, report);
  if (arbiter === 'none' && disk.fencing !== 'dont-care' && (handlers['fence-peer'] ?? '') === '') {
    warn(
      report,
      [...path, 'disk', 'fencing'],
      `fencing ${String(disk.fencing)} without a fence-peer handler: a Primary that loses its peer stays frozen or refuses`,
      'Add `handlers: { fence-peer: ... }`.',
    );
  }
  const [first, second] = hosts;
  if (first === undefined || second === undefined) return null;
  const protocol = replicationProtocols.find((letter) => letter === net.protocol) ?? 'C';
  const volumes = first.volumes.map(({ volume }) => ({ volume, disk: { ...disk, ...given(resource.volumes?.[String(volume)]?.disk) } }));
  return { name, protocol, startup, net, handlers, volumes, hosts: [first, second] };
}

/**
 * The finished configuration of a file whose single values are right. `node` is this host's name, or null when nobody's in particular
 * (then nothing is said about it).
 */
export function checkConfig(file: FileConfig, fileName: string, node: string | null, report: Report): Config {
  const cluster = file.cluster === undefined ? null : buildCluster(file.cluster, node, report);
  const resources: ResourceConfig[] = [];
  const hostsOf = new Map<string, readonly HostConfig[]>();
  for (const [name, resource] of Object.entries(file.resources ?? {})) {
    const hosts = checkHosts(name, resource, report);
    hostsOf.set(name, hosts);
    if (node !== null && hosts.length === 2 && !hosts.some((host) => host.name === node)) {
      warn(
        report,
        ['resources', name, 'on'],
        `'${name}' is not for this host: neither ${hosts.map((host) => host.name).join(' nor ')} is '${node}'`,
        'Name one `on` entry as `uname -n` says, or start drbdtsd with --node.',
      );
    }
    const built = buildResource(name, file, resource, hosts, cluster?.arbiter.kind ?? 'none', report);
    if (built !== null) resources.push(built);
  }
  checkDuplicates(hostsOf, report);
  if (resources.length === 0 && hostsOf.size === 0 && file.vrrp === undefined && file.balancing === undefined) warn(report, ['resources'], 'no resources defined!', 'Add one below `resources:`.');
  const groups = buildGroups(file.groups ?? {}, cluster, file.cluster !== undefined, node, resources, report);
  const vrrp = file.vrrp === undefined ? null : buildVrrp(file.vrrp, cluster?.nodes ?? [], groups, node, report);
  const nodes = cluster?.nodes ?? namedNodes(file.vrrp ?? {});
  return {
    file: fileName,
    global: { logLevel: file.global?.['log-level'] ?? 'info', handlerTimeoutS: file.global?.['handler-timeout'] ?? 120 },
    resources,
    cluster,
    groups,
    vrrp,
    balancing: file.balancing === undefined ? null : buildBalancing(file.balancing, nodes.length > 0 ? nodes : ['*'], groups, vrrp, report),
  };
}

/** Whether two addresses are the same place. */
export function sameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.host === b.host && a.port === b.port;
}
