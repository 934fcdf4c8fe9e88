/** haresources to `groups:` (pure): one group for each line, its members in the order of the line. */
import { isInNetwork } from '../shared/network.js';
import type { DrbdDraft, VolumeDraft } from './drbd-map.js';
import type { Report } from './findings.js';
import { type HaGroup, type HaResource, type HaResources, inOrder, orderClass, parseVip } from './haresources.js';
import type { Remark } from './map-cluster.js';
import { type HostView, placeText } from './sources.js';

type Member = Record<string, unknown>;

interface Context {
  readonly drbd: DrbdDraft;
  readonly host: HostView;
  readonly report: Report;
}

/** Agents of resource-agents behind scripts of heartbeat: the parameters in the order of the arguments. */
const agents: Readonly<Record<string, readonly string[]>> = {
  MailTo: ['email', 'subject'],
  IPsrcaddr: ['ipaddress'],
  LVM: ['volgrpname'],
  Raid1: ['raidconf', 'raiddev'],
  apache: ['configfile'],
  Delay: ['startdelay', 'stopdelay'],
  db2: ['instance'],
  portblock: ['protocol', 'portno', 'action'],
  ICP: ['driveid', 'device'],
  WinPopup: ['workgroup', 'hostfile'],
};
const withoutAgent: Readonly<Record<string, readonly [string, string]>> = {
  drbdupper: ['stacked resources are not supported', 'Leave it out.'],
  OCF: ['its arguments are a program of their own', 'Write `- ocf: PROVIDER:AGENT` with its parameters.'],
  ServeRAID: ['there is no agent for it any more', 'Leave it out.'],
  WAS: ['there is no agent for it any more', 'Make it a systemd unit.'],
  AudibleAlarm: ['there is no agent for it any more', 'Leave it out.'],
};

function vip(resource: HaResource, { host, report }: Context): Member | null {
  const parts = parseVip(resource.arguments[0] ?? '');
  // reported when the file was read
  if (typeof parts === 'string') return null;
  const { address, family, broadcast } = parts;
  const network = host.networks.find((one) => one.family === family && isInNetwork(family, address, one.address, one.prefix));
  const prefix = parts.prefix ?? network?.prefix ?? (family === 4 ? 32 : 128);
  if (parts.prefix === null && network === undefined) report('IMPORT_VIP_PREFIX', resource.place, { address, prefix });
  const standard = family === 4 ? broadcastOf(address, prefix) : '';
  if (broadcast !== '' && broadcast !== standard) report('IMPORT_VIP_BROADCAST', resource.place, { value: broadcast, network: `${address}/${prefix}` });
  let label = parts.label;
  const problem = label === '' ? '' : family === 6 ? 'IPv6 addresses have none' : label.length > 15 ? 'it is longer than 15 characters' : '';
  if (problem !== '') {
    report('IMPORT_VIP_LABEL', resource.place, { value: label, problem });
    label = '';
  }
  return { vip: `${address}/${prefix}`, ...(parts.interface === '' ? {} : { interface: parts.interface }), ...(label === '' ? {} : { label }) };
}

function broadcastOf(address: string, prefix: number): string {
  const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - prefix);
  const last = Math.floor(number / size) * size + size - 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(last / 2 ** shift) % 256).join('.');
}

/** Devices of a resource, as far as the files say. */
function devicesOf(draft: DrbdDraft, name: string): string[] {
  const resource = draft.resources.get(name);
  if (resource === undefined) return [];
  const all: VolumeDraft[] = [resource.own, ...resource.volumes.values(), ...resource.hosts.flatMap((host) => [host.own, ...host.volumes.values()])];
  return all.flatMap(({ device }) => (device === undefined ? [] : [device.split(' ')[0] ?? device]));
}

function volumes(resource: HaResource, context: Context): Member[] {
  const named = resource.arguments[0];
  const wanted = named === undefined || named === '' || named === 'all' ? [...context.drbd.resources.keys()] : [named];
  if (wanted.length === 0) context.report('IMPORT_VOLUME_UNKNOWN', resource.place, { resource: 'all' });
  return wanted.flatMap((name) => {
    if (context.drbd.resources.has(name)) return [{ volume: name }];
    context.report('IMPORT_VOLUME_UNKNOWN', resource.place, { resource: name });
    return [];
  });
}

function filesystem(resource: HaResource, { report }: Context): Member | null {
  const [device = '', directory = '', type = '', options = ''] = resource.arguments;
  if (!device.startsWith('/') || !directory.startsWith('/')) {
    report('IMPORT_AGENT', resource.place, {
      agent: resource.place.text,
      reason: device.startsWith('/') ? 'the mount point is not an absolute path' : 'the device is not a path',
      hint: 'Write `Filesystem::/dev/drbd0::/store::ext4`; labels, UUIDs and network file systems are not mounted.',
    });
    return null;
  }
  return { filesystem: directory, device, ...(type === '' ? {} : { type }), ...(options === '' ? {} : { options }) };
}

function service(resource: HaResource, { host, report }: Context): Member {
  const { script } = resource;
  const given = resource.arguments.filter((argument) => argument !== '');
  const isHere = ['/etc/ha.d/resource.d', '/etc/init.d'].some((directory) => host.path(`${directory}/${script}`)?.kind === 'file');
  if (given.length === 0 && host.unit(script)) {
    report('IMPORT_SCRIPT_UNIT', resource.place, { script });
    return { systemd: script };
  }
  if (!isHere) report('IMPORT_SCRIPT', resource.place, { script });
  return { lsb: script, ...(given.length === 0 ? {} : { arguments: given }) };
}

function membersOf(resource: HaResource, context: Context): Member[] {
  const { script } = resource;
  const one = (member: Member | null): Member[] => (member === null ? [] : [member]);
  if (['IPaddr', 'IPaddr2', 'IPv6addr'].includes(script)) return one(vip(resource, context));
  if (script === 'drbddisk') return volumes(resource, context);
  if (script === 'Filesystem') return one(filesystem(resource, context));
  if (script === 'SendArp') {
    context.report('IMPORT_NOTHING_LOST', resource.place, { word: 'SendArp', reason: 'an address announces itself' });
    return [];
  }
  if (Object.hasOwn(withoutAgent, script)) {
    const [reason = '', hint = ''] = withoutAgent[script] ?? [];
    context.report('IMPORT_AGENT', resource.place, { agent: script, reason, hint });
    return [];
  }
  const names = Object.hasOwn(agents, script) ? agents[script] : undefined;
  if (names !== undefined && (resource.arguments.length > 0 || script !== 'apache')) {
    const parameters = Object.fromEntries(resource.arguments.map((value, index) => [names[index] ?? `argument${index + 1}`, value]));
    return [{ ocf: `heartbeat:${script}`, ...(resource.arguments.length === 0 ? {} : { parameters }) }];
  }
  if (script === '' || /\s|^[-.]/.test(script)) return [];
  return [service(resource, context)];
}

interface Placed {
  readonly resource: HaResource;
  readonly member: Member;
}

/** A mounted volume must be Primary before; drbdts does not begin a group that is otherwise. */
function volumesFirst(placed: Placed[], context: Context): Placed[] {
  const result = [...placed];
  for (const item of placed) {
    const device = item.member['device'];
    if (typeof device !== 'string') continue;
    const owner = [...context.drbd.resources.keys()].find((name) => devicesOf(context.drbd, name).includes(device));
    if (owner === undefined) continue;
    const at = result.indexOf(item);
    const volumeAt = result.findIndex(({ member }) => member['volume'] === owner);
    if (volumeAt === -1) {
      context.report('IMPORT_VOLUME_ADDED', item.resource.place, { device, volume: owner });
      result.splice(at, 0, { resource: item.resource, member: { volume: owner } });
    } else if (volumeAt > at) {
      const [late] = result.splice(volumeAt, 1);
      if (late !== undefined) result.splice(at, 0, late);
      context.report('IMPORT_ORDER_FIXED', item.resource.place, { first: item.resource.place.text, second: late?.resource.place.text ?? owner });
    }
  }
  return result;
}

/** A name that says what the group is for. */
function groupName(group: HaGroup, taken: ReadonlySet<string>): string {
  const pick =
    group.resources.find(({ script }) => script === 'drbddisk')?.arguments[0] ??
    group.resources.find((resource) => orderClass(resource) === 3)?.script ??
    `group-${taken.size + 1}`;
  const plain = pick.replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/^[^A-Za-z0-9_]+/, '').slice(0, 48) || `group-${taken.size + 1}`;
  let name = plain;
  for (let number = 2; taken.has(name); number++) name = `${plain}-${number}`;
  return name;
}

export interface GroupsDraft {
  readonly groups: Record<string, unknown>;
  readonly remarks: Remark[];
}

/**
 * The groups. `reorder` puts storage before file systems, those before services, and addresses last, as they should have been; otherwise
 * the order of the line stays but for a volume that comes after its file system.
 */
export function mapGroups(file: HaResources, nodes: readonly string[], autoFailback: boolean | null, reorder: boolean, drbd: DrbdDraft, host: HostView, report: Report): GroupsDraft {
  const context: Context = { drbd, host, report };
  const groups: Record<string, unknown> = {};
  const remarks: Remark[] = [];
  const taken = new Set<string>();
  const seen = new Set<string>();
  for (const line of file.groups) {
    const resources = reorder ? inOrder(line.resources) : line.resources;
    let placed = resources.flatMap((resource) => membersOf(resource, context).map((member): Placed => ({ resource, member })));
    placed = volumesFirst(placed, context).filter(({ resource, member }) => {
      // twice the same: the group would not be accepted
      const key = JSON.stringify(member['volume'] ?? member['filesystem'] ?? member['vip'] ?? null);
      if (key === 'null' || !seen.has(key)) {
        seen.add(key);
        return true;
      }
      report('IMPORT_DUPLICATE', resource.place, { word: resource.place.text, first: `${file.path}, in another place` });
      return false;
    });
    if (placed.length === 0) continue;
    const name = groupName(line, taken);
    taken.add(name);
    const preferred = nodes.find((node) => node.toLowerCase() === line.node.text.toLowerCase());
    const counts = new Map<string, number>();
    const members = placed.map(({ member }) => named(member, counts));
    groups[name] = {
      ...(preferred === undefined ? {} : { preferred }),
      ...(autoFailback === null ? {} : { 'auto-failback': autoFailback ? 'yes' : 'no' }),
      members,
    };
    remarks.push({ path: ['groups', name], text: `from ${placeText(line.node)}` });
  }
  return { groups, remarks };
}

/** Two members of one kind and name need names of their own. */
function named(member: Member, counts: Map<string, number>): Member {
  const what = String(member['systemd'] ?? member['lsb'] ?? member['ocf'] ?? '');
  if (what === '') return member;
  const key = what.replace(/^heartbeat:/, '').replace(/\.service$/, '').replace(/[^A-Za-z0-9_.:-]+/g, '-').slice(0, 50);
  const count = (counts.get(key) ?? 0) + 1;
  counts.set(key, count);
  return count === 1 ? member : { ...member, name: `${key.replace(/^[^A-Za-z0-9_]+/, '')}-${count}` };
}
