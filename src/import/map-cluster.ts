/** ha.cf and authkeys to `cluster:` (pure): nodes, times, links, ping targets. What stays unknown is reported, never made up. */
import { heartbeatPort } from '../config/cluster-check.js';
import { isInNetwork } from '../shared/network.js';
import type { AuthKeys } from './authkeys.js';
import type { DrbdDraft } from './drbd-map.js';
import type { Report } from './findings.js';
import { effectiveTimes, type HaCf, type Medium, type TimeName } from './ha-cf.js';
import { type HostView, placeText, type Token } from './sources.js';

/** A key of a configuration and a remark that is written above it. */
export interface Remark {
  readonly path: readonly (string | number)[];
  readonly text: string;
}
export interface ClusterInput {
  /** one, or those of both nodes. */
  readonly haCf: readonly HaCf[];
  readonly authKeys: AuthKeys | null;
  readonly drbd: DrbdDraft;
  readonly host: HostView;
  /** `NODE/INTERFACE` to the address, as the user gave it. */
  readonly addresses: ReadonlyMap<string, string>;
  /** `HOST:PORT` of a witness, '' for none. */
  readonly witness: string;
  /** where the key is to be on the nodes. */
  readonly keyFile: string;
}
export interface ClusterDraft {
  readonly cluster: Record<string, unknown>;
  readonly nodes: readonly string[];
  readonly remarks: Remark[];
  /** text of the key file, '' for none. */
  readonly key: string;
}

const keyBytesMin = 16;
const ranges: Record<TimeName, readonly [number, number]> = {
  keepalive: [10, 60_000],
  warntime: [20, 600_000],
  deadtime: [50, 3_600_000],
  initdead: [50, 3_600_000],
  deadping: [100, 600_000],
};

/** `2s`, `1500ms`: exactly what was meant. */
export const timeText = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);

function takeTimes(file: HaCf, cluster: Record<string, unknown>, remarks: Remark[], report: Report): void {
  const all = effectiveTimes(file.times);
  // what heartbeat refuses or does not notice was reported when the file was read; the result must work
  if (all.deadtime <= 2 * all.keepalive) all.deadtime = 4 * all.keepalive;
  const warntimeGiven = file.times.has('warntime') && all.warntime < all.deadtime;
  if (all.initdead < all.deadtime) all.initdead = 2 * all.deadtime;
  for (const name of ['keepalive', 'warntime', 'deadtime', 'initdead', 'deadping'] as const) {
    if (name === 'warntime' && !warntimeGiven) continue;
    if (name === 'deadping' && file.pings.length === 0) continue;
    const [least, most] = ranges[name];
    const written = Math.min(most, Math.max(least, all[name]));
    const given = file.times.get(name);
    if (written !== all[name] && given !== undefined) {
      report('IMPORT_TIME_RANGE', given, { word: name, value: given.text, range: `${timeText(least)} to ${timeText(most)}`, written: timeText(written) });
    }
    cluster[name] = timeText(written);
    if (given === undefined) remarks.push({ path: ['cluster', name], text: "heartbeat's default; drbdts itself is faster" });
  }
}

/** Addresses of the nodes on an interface, as far as anything tells them. */
class AddressBook {
  readonly #input: ClusterInput;
  readonly #nodes: readonly string[];

  constructor(input: ClusterInput, nodes: readonly string[]) {
    this.#input = input;
    this.#nodes = nodes;
  }

  /** Replication addresses by node: of the first resource that names both. */
  replication(): Map<string, string> {
    for (const { hosts } of this.#input.drbd.resources.values()) {
      const found = new Map<string, string>();
      for (const host of hosts) {
        const node = this.#nodes.find((name) => name.toLowerCase() === host.hostName.toLowerCase());
        if (node !== undefined && host.address !== undefined) found.set(node, host.address.replace(/:\d+$/, '').replace(/^\[|\]$/g, ''));
      }
      if (found.size === 2) return found;
    }
    return new Map();
  }

  on(name: string, media: readonly Medium[]): Map<string, string> {
    const { host, addresses } = this.#input;
    const result = new Map<string, string>();
    const named = [...new Set(media.filter((medium) => medium.address !== '').map((medium) => medium.address))];
    const replication = this.replication();
    for (const node of this.#nodes) {
      const given = addresses.get(`${node}/${name}`);
      const replicated = replication.get(node);
      if (given !== undefined) result.set(node, given);
      else if (replicated !== undefined && named.includes(replicated)) result.set(node, replicated);
    }
    this.#own(name, named, result);
    // two nodes: what is not the one's is the other's
    const [first, second] = this.#nodes;
    for (const [node, other] of [[first, second], [second, first]] as const) {
      if (node === undefined || other === undefined || result.has(node)) continue;
      const rest = named.filter((address) => address !== result.get(other));
      if (result.has(other) && rest.length === 1 && rest[0] !== undefined) result.set(node, rest[0]);
      else if (rest.length === 1 && rest[0] !== undefined && named.length === 1 && node.toLowerCase() !== host.node.toLowerCase() && !this.#isOwn(rest[0]) && this.#knowsHost()) result.set(node, rest[0]);
    }
    this.#besideReplication(name, result);
    return result;
  }

  #knowsHost(): boolean {
    return this.#nodes.some((node) => node.toLowerCase() === this.#input.host.node.toLowerCase());
  }

  #isOwn(address: string): boolean {
    return this.#input.host.networks.some((network) => network.address === address);
  }

  /** What this host has on the interface, when it is one of the nodes. */
  #own(name: string, named: readonly string[], result: Map<string, string>): void {
    const { host } = this.#input;
    const node = this.#nodes.find((one) => one.toLowerCase() === host.node.toLowerCase());
    if (node === undefined || result.has(node)) return;
    const here = host.networks.filter((network) => network.interface === name && !/^fe80:/i.test(network.address));
    const own = here.find((network) => named.includes(network.address)) ?? here.find((network) => named.some((address) => isSame(network, address))) ?? here.find((network) => network.family === 4) ?? here[0];
    if (own !== undefined) result.set(node, own.address);
  }

  /** The peer's replication address, when it is in the network of this interface. */
  #besideReplication(name: string, result: Map<string, string>): void {
    const { host } = this.#input;
    const replication = this.replication();
    for (const node of this.#nodes) {
      const address = replication.get(node);
      if (result.has(node) || address === undefined) continue;
      if (host.networks.some((network) => network.interface === name && isSame(network, address))) result.set(node, address);
    }
  }
}

function isSame(network: { family: 4 | 6; address: string; prefix: number }, address: string): boolean {
  return (network.family === 6) === address.includes(':') && isInNetwork(network.family, address, network.address, network.prefix);
}

function takeLinks(input: ClusterInput, nodes: readonly string[], remarks: Remark[], report: Report): Record<string, unknown> {
  const media = input.haCf.flatMap((file) => file.media);
  const book = new AddressBook(input, nodes);
  const links: Record<string, unknown> = {};
  for (const name of new Set(media.map((medium) => medium.interface.text))) {
    const own = media.filter((medium) => medium.interface.text === name);
    const [first] = own;
    if (first === undefined) continue;
    const addresses = book.on(name, own);
    const missing = nodes.filter((node) => !addresses.has(node));
    if (missing.length > 0) {
      report('IMPORT_ADDRESS_UNKNOWN', first.interface, { nodes: missing.join(' and '), interface: name, node: missing[0] ?? '' });
      continue;
    }
    const multicast = own.find((medium) => medium.kind === 'mcast');
    if (multicast === undefined && own.every((medium) => medium.kind === 'bcast')) report('IMPORT_BROADCAST', first.interface);
    const port = (multicast ?? first).port;
    links[name] = {
      interface: name,
      addresses: Object.fromEntries(nodes.map((node) => [node, addresses.get(node)])),
      ...(port === heartbeatPort ? {} : { port }),
      ...(multicast === undefined ? {} : { multicast: multicast.group, ...(multicast.ttl === 1 ? {} : { ttl: multicast.ttl }) }),
    };
    remarks.push({ path: ['cluster', 'links', name], text: `from ${placeText(first.interface)}` });
  }
  const replication = book.replication();
  const place = media[0]?.interface ?? input.haCf[0]?.nodes[0];
  if (Object.keys(links).length === 0 && replication.size === 2) {
    links['replication'] = { addresses: Object.fromEntries(nodes.map((node) => [node, replication.get(node)])) };
    if (place !== undefined) report('IMPORT_LINK_FROM_DRBD', place);
    remarks.push({ path: ['cluster', 'links', 'replication'], text: 'the addresses of drbd.conf, because those of ha.cf are not known for both nodes' });
  }
  return links;
}

function takeKey(input: ClusterInput, report: Report): string {
  const active = input.authKeys?.active;
  if (active === null || active === undefined || active.method === 'crc') return '';
  const bytes = new TextEncoder().encode(active.key).length;
  if (bytes < keyBytesMin) {
    report('IMPORT_KEY_SHORT', active.place, { bytes, least: keyBytesMin, file: input.keyFile });
    return '';
  }
  report('IMPORT_KEY', active.place, { file: input.keyFile });
  return `${active.key}\n`;
}

/** The two nodes, spelt as ha.cf does. */
export function nodesOf(haCf: readonly HaCf[], drbd: DrbdDraft, report: Report): readonly string[] {
  const words: Token[] = [];
  for (const word of haCf[0]?.nodes ?? []) if (!words.some((one) => one.text.toLowerCase() === word.text.toLowerCase())) words.push(word);
  const extra = words[2];
  if (extra !== undefined) report('IMPORT_NODE_COUNT', extra, { node: extra.text });
  if (words.length > 0) return words.slice(0, 2).map(({ text }) => text);
  const hosts = [...drbd.resources.values()].find((resource) => resource.hosts.length === 2)?.hosts ?? [];
  return hosts.map(({ hostName }) => hostName);
}

/** The cluster section. */
export function mapCluster(input: ClusterInput, nodes: readonly string[], report: Report): ClusterDraft {
  const [file] = input.haCf;
  const remarks: Remark[] = [];
  const cluster: Record<string, unknown> = {};
  if (file?.cluster !== null && file?.cluster !== undefined && /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(file.cluster.text)) cluster['name'] = file.cluster.text;
  cluster['nodes'] = [...nodes];
  const key = takeKey(input, report);
  if (input.authKeys !== null) cluster['key-file'] = input.keyFile;
  if (file !== undefined) takeTimes(file, cluster, remarks, report);
  cluster['links'] = takeLinks(input, nodes, remarks, report);
  const pings = [...new Set(file?.pings.map(({ text }) => text) ?? [])];
  if (pings.length > 0) cluster['ping'] = pings;
  if (input.witness === '') {
    cluster['arbiter'] = 'none';
    remarks.push({ path: ['cluster', 'arbiter'], text: 'as with heartbeat both nodes serve when they lose sight of each other; `{ witness: "HOST:PORT" }` prevents that' });
    const place = file?.nodes[0];
    if (place !== undefined && file?.stonith === null) report('IMPORT_NO_ARBITER', place);
  } else cluster['arbiter'] = { witness: input.witness };
  if (file?.watchdog !== null && file?.watchdog !== undefined) cluster['self-fence'] = { watchdog: file.watchdog.text };
  return { cluster, nodes, remarks, key };
}
