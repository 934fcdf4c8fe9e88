/** haresources: lines of a node and its resources, each with place; the order in which they start (pure). */
import { isIP } from 'node:net';
import type { Report } from './findings.js';
import { lineWords, linesOf } from './ha-cf.js';
import { isReadable, placeText, type Source, type Token } from './sources.js';

export interface HaResource {
  readonly place: Token;
  /** `IPaddr` for an address alone. */
  readonly script: string;
  readonly arguments: readonly string[];
}
export interface HaGroup {
  readonly node: Token;
  readonly resources: readonly HaResource[];
}
export interface HaResources {
  readonly path: string;
  readonly groups: readonly HaGroup[];
}

/** What starts first comes first: storage, file systems, services, addresses, messages. */
export type OrderClass = 1 | 2 | 3 | 4 | 5;
const storage = ['drbddisk', 'drbdupper', 'LVM', 'Raid1', 'ServeRAID', 'ICP'];
const addresses = ['IPaddr', 'IPaddr2', 'IPv6addr', 'IPsrcaddr', 'SendArp', 'portblock'];

export function orderClass(resource: HaResource): OrderClass {
  if (storage.includes(resource.script)) return 1;
  if (resource.script === 'Filesystem') return 2;
  if (addresses.includes(resource.script)) return 4;
  return resource.script === 'MailTo' ? 5 : 3;
}

/** `script::argument::argument`, or an address alone. */
function parseResource(word: Token): HaResource {
  if (/^\d+\.\d+\.\d+\.\d+(?:\/|$)/.test(word.text)) return { place: word, script: 'IPaddr', arguments: [word.text] };
  const [script = '', ...rest] = word.text.split('::');
  return { place: word, script, arguments: rest };
}

interface LogicalLine {
  readonly words: readonly Token[];
}

/** Lines joined where they end in a backslash; comments go before. */
function logicalLines(source: Source, report: Report): LogicalLine[] {
  const result: LogicalLine[] = [];
  let open: Token[] = [];
  linesOf(source, report).forEach((raw, index) => {
    const text = raw.replace(/#.*$/s, '');
    const joined = /\\\s*$/.test(text);
    open.push(...lineWords(source, index + 1, joined ? text.slice(0, text.lastIndexOf('\\')) : text, /\S+/g, report));
    if (joined) return;
    if (open.length > 0) result.push({ words: open });
    open = [];
  });
  if (open.length > 0) result.push({ words: open });
  return result;
}

const shortName = (resource: HaResource): string => resource.place.text.slice(0, 60);

/** The resources of a line as they should start. */
export const inOrder = (resources: readonly HaResource[]): HaResource[] => [...resources].sort((a, b) => orderClass(a) - orderClass(b));

function checkOrder(group: HaGroup, report: Report): void {
  const { resources } = group;
  const line = (): string => [group.node.text, ...inOrder(resources).map(shortName)].join(' ');
  resources.forEach((resource, index) => {
    const own = orderClass(resource);
    const later = resources.slice(index + 1).filter((other) => orderClass(other) < own);
    const missed = own === 5 ? undefined : own === 3 ? (later.find((other) => orderClass(other) === 2) ?? later[0]) : later[0];
    if (missed === undefined) return;
    const why = own === 2 ? 'The volume has to be Primary first' : own === 3 ? 'Its files are not there yet' : 'Clients come before the service is there';
    report('IMPORT_ORDER', resource.place, { first: shortName(resource), second: shortName(missed), hint: () => `${why}. Write: ${line()}` });
  });
}
/** An address as haresources writes it. */
export interface VipParts {
  readonly address: string;
  readonly family: 4 | 6;
  /** null: not given. */
  readonly prefix: number | null;
  readonly interface: string;
  readonly label: string;
  readonly broadcast: string;
}

function prefixOf(text: string, family: 4 | 6): number | null {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= (family === 4 ? 32 : 128)) return Number(text);
  if (family === 6 || isIP(text) !== 4) return null;
  const bits = text.split('.').map((part) => Number(part).toString(2).padStart(8, '0')).join('');
  return /^1+0*$/.test(bits) ? bits.indexOf('0') === -1 ? 32 : bits.indexOf('0') : null;
}

/** `ip[/bits[/nic[:label]][/broadcast]]`; a text says what is wrong. */
export function parseVip(text: string): VipParts | string {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family !== 4 && family !== 6) return `'${address}' is not an IP address`;
  const prefix = bits === undefined || bits === '' ? null : prefixOf(bits, family);
  if (bits !== undefined && bits !== '' && prefix === null) return `'${bits}' is not the length of a prefix`;
  // a field that begins with a digit is the broadcast address
  const broadcast = rest.find((field) => /^\d/.test(field)) ?? '';
  const nic = rest.find((field) => !/^\d/.test(field)) ?? '';
  if (rest.length > 2) return `'${rest.slice(2).join('/')}' is too much`;
  if (broadcast !== '' && isIP(broadcast) !== 4) return `'${broadcast}' is not a broadcast address`;
  const colon = nic.indexOf(':');
  return { address, family, prefix, interface: colon === -1 ? nic : nic.slice(0, colon), label: colon === -1 ? '' : nic, broadcast };
}

function checkResource(resource: HaResource, report: Report): void {
  if (resource.script === '') {
    report('IMPORT_VALUE', resource.place, { problem: `'${resource.place.text}' has no name before '::'`, hint: 'Write SCRIPT::ARGUMENT.' });
    return;
  }
  if (!['IPaddr', 'IPaddr2', 'IPv6addr'].includes(resource.script)) return;
  const parsed = parseVip(resource.arguments[0] ?? '');
  if (typeof parsed === 'string') report('IMPORT_VIP', resource.place, { value: resource.place.text, problem: parsed });
}

const groupsMax = 200;
const resourcesMax = 256;

/** Reads one haresources; `nodes` as ha.cf names them, empty when there is none. */
export function readHaResources(source: Source, nodes: readonly Token[], report: Report): HaResources {
  if (!isReadable(source, report)) return { path: source.path, groups: [] };
  const groups: HaGroup[] = [];
  const keys = new Map<string, Token>();
  const names = new Set(nodes.map((node) => node.text.toLowerCase()));
  for (const { words } of logicalLines(source, report)) {
    const [node, ...rest] = words;
    if (node === undefined) continue;
    if (names.size > 0 && !names.has(node.text.toLowerCase())) {
      report('IMPORT_RESOURCE_NODE', node, { node: node.text, nodes: nodes.slice(0, 8).map(({ text }) => text).join(', ') });
    }
    if (groups.length >= groupsMax || rest.length > resourcesMax) {
      report('IMPORT_TOO_MUCH', node, { what: groups.length >= groupsMax ? `more than ${groupsMax} groups` : `more than ${resourcesMax} resources in a group` });
      if (groups.length >= groupsMax) break;
    }
    const resources = rest.slice(0, resourcesMax).map(parseResource);
    const [key] = rest;
    if (key === undefined) {
      report('IMPORT_EMPTY_GROUP', node);
      continue;
    }
    const first = keys.get(key.text);
    if (first === undefined) keys.set(key.text, key);
    else report('IMPORT_GROUP_KEY', key, { key: key.text, first: placeText(first) });
    for (const resource of resources) checkResource(resource, report);
    const group = { node, resources };
    checkOrder(group, report);
    groups.push(group);
  }
  return { path: source.path, groups };
}

/** The file must be the same on both nodes. */
export function compareHaResources(a: HaResources, b: HaResources, report: Report): void {
  const text = (group: HaGroup): string => [group.node, ...group.resources.map(({ place }) => place)].map((word) => word.text).join(' ');
  for (let index = 0; index < Math.max(a.groups.length, b.groups.length); index++) {
    const [mine, theirs] = [a.groups[index], b.groups[index]];
    const [left, right] = [mine === undefined ? 'nothing' : text(mine), theirs === undefined ? 'nothing' : text(theirs)];
    if (left === right) continue;
    const place = theirs?.node ?? mine?.node;
    const other = theirs === undefined ? b.path : mine === undefined ? a.path : placeText(mine.node);
    if (place !== undefined) report('IMPORT_FILES_DIFFER', place, { what: 'this group', other, value: theirs === undefined ? right : left });
    return;
  }
}
