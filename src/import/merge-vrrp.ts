/** What the files of several nodes say of one virtual router, put together: per node what may differ, and a finding for what may not (pure). */
import type { Place, Report } from './findings.js';
import type { Remark } from './map-cluster.js';
import { placeText } from './sources.js';
import type { AddressDraft, InstanceDraft, NamedDraft, NodeDraft, Values } from './vrrp-draft.js';

type Plain = Record<string, unknown>;

interface Side<T> {
  readonly node: string;
  readonly file: string;
  readonly draft: T;
}

/** The order in which one reads an instance, a script, a group. */
const order = [
  ...['interface', 'router-id', 'priority', 'version', 'advert-interval', 'password', 'multicast-group', 'source', 'unicast', 'checksum', 'addresses'],
  ...['preempt', 'preempt-delay', 'start-delay', 'down-adverts', 'answer-lower', 'answer-higher', 'owner-ignores-adverts', 'track-primary', 'announce'],
  ...['command', 'interval', 'timeout', 'weight', 'reverse', 'rise', 'fall', 'init-fail', 'user', 'instances', 'tracking-weight', 'track', 'notify'],
];

function sorted(entries: Iterable<readonly [string, unknown]>): Plain {
  const rank = (key: string): number => order.indexOf(key);
  return Object.fromEntries([...entries].sort(([a], [b]) => rank(a) - rank(b)));
}

/** `a.b` becomes b within a. */
function nested(values: ReadonlyMap<string, unknown>): Map<string, unknown> {
  const result = new Map<string, unknown>();
  for (const [key, value] of values) {
    const [outer = '', inner] = key.split('.');
    if (inner === undefined) result.set(outer, value);
    else result.set(outer, { ...((result.get(outer) as Plain | undefined) ?? {}), [inner]: value });
  }
  return result;
}

const show = (key: string, value: unknown): string => (value === undefined ? 'nothing' : key === 'password' ? 'a password' : typeof value === 'string' ? `'${value}'` : JSON.stringify(value));

/** What all have to have in common: the first one's, and a finding where another one has something else. */
function common(name: string, [first, ...others]: readonly Side<{ readonly values: Values; readonly place: Place }>[], report: Report): Map<string, unknown> {
  if (first === undefined) return new Map();
  for (const { draft, node } of others) {
    for (const key of new Set([...first.draft.values.keys(), ...draft.values.keys()])) {
      const [there, here] = [first.draft.values.get(key), draft.values.get(key)];
      if (JSON.stringify(there?.value) === JSON.stringify(here?.value)) continue;
      const secret = key === 'password' && there !== undefined && here !== undefined;
      report('IMPORT_NODES_DIFFER', here?.place ?? draft.place, { word: key.replace('.', ': '), name, here: secret ? 'one' : show(key, here?.value), there: secret ? 'another' : show(key, there?.value), node, other: first.node, written: first.node });
    }
  }
  return new Map([...first.draft.values].map(([key, { value }]) => [key, value]));
}

/** One value, or one for each node. */
function each<T>(sides: readonly Side<unknown>[], values: readonly T[], always: boolean): unknown {
  const [first] = values;
  if (!always && values.every((value) => value === first)) return first;
  return Object.fromEntries(sides.map(({ node }, index) => [node, values[index]]));
}

function addresses(name: string, sides: readonly Side<InstanceDraft>[], report: Report): unknown[] {
  const [first, ...others] = sides;
  if (first === undefined) return [];
  const all = new Map<string, AddressDraft>();
  for (const { draft } of sides) for (const one of draft.addresses) if (!all.has(one.address)) all.set(one.address, one);
  for (const { draft, node } of others) {
    const different = (one: AddressDraft | undefined, other: AddressDraft | undefined): boolean => one?.prefix !== other?.prefix || one?.label !== other?.label || one?.advertised !== other?.advertised;
    const text = (one: AddressDraft | undefined): string => (one === undefined ? 'nothing' : `${one.address}/${one.prefix}${one.label === '' ? '' : ` ${one.label}`}${one.advertised ? '' : ' (excluded)'}`);
    for (const { address } of all.values()) {
      const [there, here] = [first.draft.addresses.find((one) => one.address === address), draft.addresses.find((one) => one.address === address)];
      if (!different(here, there)) continue;
      const written = there !== undefined ? first.node : here !== undefined ? node : null;
      if (written !== null) report('IMPORT_NODES_DIFFER', here?.place ?? draft.place, { word: `address ${address}`, name, here: text(here), there: text(there), node, other: first.node, written });
    }
  }
  return [...all.values()].map(({ address, prefix, label: given, advertised, place }) => {
    const interfaces = sides.map(({ draft }) => {
      const own = draft.addresses.find((one) => one.address === address);
      return own === undefined ? '' : own.interface;
    });
    const full = `${address}/${prefix}`;
    const apart = interfaces.some((one) => one !== '');
    const whole = sides.map(({ draft }, index) => interfaces[index] || draft.interface);
    const foreign = given === '' ? undefined : whole.find((one) => !`${given}:`.startsWith(`${one}:`));
    if (foreign !== undefined) report('IMPORT_VIP_LABEL', place, { value: given, problem: `on another node the interface is ${foreign}` });
    const label = foreign === undefined ? given : '';
    if (!apart && label === '' && advertised) return full;
    return { address: full, ...(apart ? { interface: each(sides, whole, false) } : {}), ...(label === '' ? {} : { label }), ...(advertised ? {} : { advertised: 'no' }) };
  });
}

/** The address of each node in a unicast instance: as it says, or that which all the others name as a peer and it does not. '' where it is not clear. */
function unicastAddresses(sides: readonly Side<InstanceDraft>[]): string[] {
  return sides.map((side) => {
    if (side.draft.source !== '') return side.draft.source;
    const others = sides.filter((one) => one !== side);
    const [first] = others;
    const taken = others.map(({ draft }) => draft.source);
    const found = (first?.draft.peers ?? []).filter((peer) => others.every(({ draft }) => draft.peers?.includes(peer)) && !side.draft.peers?.includes(peer) && !taken.includes(peer));
    return found.length === 1 ? (found[0] ?? '') : '';
  });
}

function transport(name: string, sides: readonly Side<InstanceDraft>[], values: Map<string, unknown>, report: Report): void {
  const [first, ...others] = sides;
  if (first === undefined) return;
  if (first.draft.peers === null) {
    const sources = sides.map(({ draft }) => draft.source);
    if (sources.every((source) => source !== '')) values.set('source', each(sides, sources, true));
    else if (sources.some((source) => source !== '')) {
      const at = sides.find(({ draft }) => draft.source !== '') ?? first;
      report('IMPORT_LEFT_OUT', at.draft.place, { what: `mcast_src_ip of ${name}`, reason: 'not every node has one', hint: 'Write it for all nodes and import again, or leave it out.' });
    }
    return;
  }
  for (const { draft, node } of others) if (draft.peers === null) report('IMPORT_NODES_DIFFER', draft.place, { word: 'unicast_peer', name, here: 'nothing', there: first.draft.peers.join(', '), node, other: first.node, written: first.node });
  const own = unicastAddresses(sides);
  const known = own.every((address) => address !== '');
  const peers = [...new Set(sides.flatMap(({ draft }) => draft.peers ?? []))].filter((peer) => !known || !own.includes(peer));
  if (known) values.set('unicast.addresses', Object.fromEntries(sides.map(({ node }, index) => [node, own[index]])));
  if (!known && sides.length > 1) {
    report('IMPORT_LEFT_OUT', first.draft.place, { what: `the source address of each node in ${name}`, reason: 'the peers do not tell which address is whose', hint: 'Add unicast_src_ip on all nodes and import again: otherwise each has all addresses as peers, its own too.' });
  }
  if (peers.length > 0) values.set('unicast.peers', peers);
}

function instance(sides: readonly Side<InstanceDraft>[], report: Report): Plain {
  const [first] = sides;
  const values = common(first?.draft.name ?? '', sides, report);
  const { name = '', routerId = null } = first?.draft ?? {};
  for (const { draft, node } of sides.slice(1)) {
    if (draft.routerId !== routerId) report('IMPORT_NODES_DIFFER', draft.place, { word: 'virtual_router_id', name, here: String(draft.routerId), there: String(routerId), node, other: first?.node ?? '', written: first?.node ?? '' });
  }
  values.set('router-id', routerId);
  const interfaces = sides.map(({ draft }) => draft.interface);
  if (interfaces.every((one) => one !== '')) values.set('interface', each(sides, interfaces, false));
  // by name, so that the configuration is for these nodes only
  values.set('priority', each(sides, sides.map(({ draft }) => draft.priority), true));
  transport(name, sides, values, report);
  values.set('addresses', addresses(name, sides, report));
  return sorted(nested(values));
}

/** Instances of the nodes that are one virtual router: the same name, else the same router id on what may be the same network. */
function routers(nodes: readonly NodeDraft[]): Side<InstanceDraft>[][] {
  const result: Side<InstanceDraft>[][] = [];
  for (const { node, file, instances } of nodes) {
    for (const draft of instances) {
      const free = result.filter((sides) => sides.every((side) => side.node !== node));
      const first = (sides: Side<InstanceDraft>[]): InstanceDraft | undefined => sides[0]?.draft;
      const same = free.filter((sides) => first(sides)?.routerId === draft.routerId);
      const own = same.find((sides) => first(sides)?.name === draft.name) ?? same.find((sides) => first(sides)?.interface === draft.interface && !instances.some(({ name }) => name === first(sides)?.name)) ?? free.find((sides) => first(sides)?.name === draft.name);
      if (own === undefined) result.push([{ node, file, draft }]);
      else own.push({ node, file, draft });
    }
  }
  return result;
}

/** Scripts or groups of the same name. `renamed` are the instances of a node that are called otherwise in the result. */
function byName(nodes: readonly NodeDraft[], of: (node: NodeDraft) => readonly NamedDraft[]): Side<NamedDraft>[][] {
  const result = new Map<string, Side<NamedDraft>[]>();
  for (const node of nodes) for (const draft of of(node)) result.set(draft.name, [...(result.get(draft.name) ?? []), { node: node.node, file: node.file, draft }]);
  return [...result.values()];
}

/** Members of groups under the names that the instances have in the result. */
function renamed(nodes: readonly NodeDraft[], all: readonly Side<InstanceDraft>[][]): NodeDraft[] {
  return nodes.map((node) => {
    const names = new Map(all.flatMap((sides) => sides.filter((side) => side.node === node.node).map(({ draft }): [string, string] => [draft.name, sides[0]?.draft.name ?? draft.name])));
    const groups = node.groups.map((group) => {
      const members = group.values.get('instances');
      if (members === undefined) return group;
      return { ...group, values: new Map(group.values).set('instances', { ...members, value: (members.value as string[]).map((name) => names.get(name) ?? name) }) };
    });
    return { ...node, groups };
  });
}

/** `vrrp:` of all nodes; null without an instance. An instance that one node lacks stays incomplete, so that nobody starts it half. */
export function mergeNodes(given: readonly NodeDraft[], report: Report): { readonly section: Plain | null; readonly remarks: Remark[] } {
  const all = routers(given);
  if (all.length === 0) return { section: null, remarks: [] };
  const nodes = renamed(given, all);
  const named = (draft: { readonly name: string }): string => draft.name;
  const used = new Set<string>();
  const instances = all.flatMap((sides) => {
    const draft = sides[0]?.draft;
    if (draft === undefined) return [];
    let name = named(draft);
    // two virtual routers of one name on two nodes
    for (let number = 2; used.has(name); number++) name = `${named(draft)}-${number}`;
    used.add(name);
    if (name !== draft.name) report('IMPORT_NAME_CHANGED', draft.place, { name: draft.name, written: name });
    const missing = given.find(({ node }) => sides.every((side) => side.node !== node));
    if (missing !== undefined) report('IMPORT_PEER_MISSING', draft.place, { name, vrid: draft.routerId ?? '?', interface: draft.interface, other: missing.file });
    return [[name, instance(sides, report), draft.place] as const];
  });
  const scripts = byName(nodes, ({ scripts: own }) => own).map((sides) => [sides[0]?.draft.name ?? '', sorted(nested(common(`vrrp_script ${sides[0]?.draft.name}`, sides, report)))] as const);
  const groups = byName(nodes, ({ groups: own }) => own).map((sides) => [sides[0]?.draft.name ?? '', sorted(nested(common(`vrrp_sync_group ${sides[0]?.draft.name}`, sides, report)))] as const);
  return {
    section: {
      ...(scripts.length === 0 ? {} : { scripts: Object.fromEntries(scripts) }),
      instances: Object.fromEntries(instances.map(([name, value]) => [name, value])),
      ...(groups.length === 0 ? {} : { 'sync-groups': Object.fromEntries(groups) }),
    },
    remarks: instances.map(([name, , place]) => ({ path: ['vrrp', 'instances', name], text: `from ${placeText(place)}` })),
  };
}
