/** drbd.conf to `common:` and `resources:` of drbdts.yaml (pure). Inheritance stays what it is: both products know the same levels. */
import type { OptionValue } from '../config/options.js';
import { parseAddress, parseDevice, parseMetaDisk } from '../config/schema.js';
import { type Options, takeSection } from './drbd-options.js';
import type { Statement } from './drbd-parse.js';
import { blockParents, plainWords, reasonOf, sectionNames } from './drbd-words.js';
import type { Report } from './findings.js';
import { placeText, type Token } from './sources.js';
import { suggestion } from './suggest.js';

export interface VolumeDraft {
  device?: string;
  disk?: string;
  metaDisk?: string;
  options?: Record<string, OptionValue>;
}
export interface HostDraft {
  readonly name: Token;
  /** as in the file, or made up for a floating one. */
  readonly hostName: string;
  address?: string;
  addressPlace?: Token;
  readonly own: VolumeDraft;
  readonly volumes: Map<string, VolumeDraft>;
}
export interface LevelDraft {
  protocol?: string;
  readonly options: Options;
}
export interface ResourceDraft extends LevelDraft {
  readonly name: Token;
  readonly own: VolumeDraft;
  readonly volumes: Map<string, VolumeDraft>;
  hosts: HostDraft[];
  /** also those that were not read. */
  hostCount: number;
}
/** Two are kept; the mistakes of a few more are worth a word. */
const hostsRead = 8;
const volumesRead = 256;
const resourcesRead = 1000;
export interface DrbdDraft {
  readonly common: LevelDraft;
  readonly resources: Map<string, ResourceDraft>;
}

const named = (statement: Statement): string => statement.words.map(({ text }) => text).join(' ').slice(0, 60);

/** What was meant, or what may be written. */
function hintFor(word: string, context: string): string {
  const known = [...Object.keys(blockParents).filter((block) => blockParents[block]?.includes(context)), ...(plainWords[context] ?? [])];
  return suggestion(word, known, `Known here: ${known.join(', ')}.`);
}

/** A word where it is not expected. */
function misfit(context: string, statement: Statement, report: Report): void {
  const [word] = statement.words;
  if (word === undefined) return;
  const where = context === '' ? 'the file' : context;
  const belongs = Object.hasOwn(blockParents, word.text) ? blockParents[word.text] : undefined;
  const homes = belongs?.filter((parent) => parent !== '') ?? Object.keys(plainWords).filter((parent) => parent !== '' && plainWords[parent]?.includes(word.text));
  if (belongs !== undefined || homes.length > 0) {
    report('IMPORT_MISPLACED', word, { word: word.text, where, hint: homes.length === 0 ? 'It belongs to the top of the file.' : `It belongs into ${homes.join(', ')}.` });
    return;
  }
  report('IMPORT_UNKNOWN_WORD', word, { word: word.text, where, hint: () => hintFor(word.text, context) });
}

function takeProtocol(level: LevelDraft, statement: Statement, report: Report): void {
  const [word, value] = statement.words;
  if (word === undefined) return;
  if (value === undefined) report('IMPORT_MISSING_VALUE', word, { word: 'protocol', what: 'A, B or C' });
  else if (!/^[ABC]$/i.test(value.text)) report('IMPORT_VALUE', value, { problem: `unknown protocol '${value.text}'`, hint: 'Values: A, B, C.' });
  else level.protocol = value.text.toUpperCase();
}

/** device, disk, meta-disk and flexible-meta-disk; true when the statement was one of them. */
function takePath(into: VolumeDraft, statement: Statement, report: Report): boolean {
  const [word, ...values] = statement.words;
  if (word === undefined || statement.block !== null || !['device', 'disk', 'meta-disk', 'flexible-meta-disk'].includes(word.text)) return false;
  const [first] = values;
  if (first === undefined) {
    report('IMPORT_MISSING_VALUE', word, { word: word.text, what: 'a path' });
    return true;
  }
  const text = values.map((value) => value.text).join(' ');
  if (word.text === 'device') {
    const device = parseDevice(text);
    if (device === null) report('IMPORT_VALUE', first, { problem: `device '${text}' has no minor number`, hint: 'Write `/dev/drbd0`, or `/dev/NAME minor 0`.' });
    else into.device = device.device === `/dev/drbd${device.minor}` ? device.device : `${device.device} minor ${device.minor}`;
    return true;
  }
  if (word.text === 'disk') {
    if (text === 'none') report('IMPORT_NO_EQUIVALENT', first, { word: 'disk none', reason: 'both nodes have a disk', hint: 'Name a disk; a node whose disk failed goes on without it.' });
    else if (!text.startsWith('/')) report('IMPORT_VALUE', first, { problem: `disk '${text}' is not a path`, hint: 'Write `/dev/sdb1`.' });
    else into.disk = text;
    return true;
  }
  const meta = parseMetaDisk(text.replace(/\s+\[/, '['));
  if (meta === null) report('IMPORT_VALUE', first, { problem: `${word.text} '${text}' is neither internal nor a path`, hint: 'Write `internal`, `/dev/sdc1` or `/dev/sdc1[0]`.' });
  else into.metaDisk = typeof meta.metaIndex === 'number' ? `${meta.metaDisk}[${meta.metaIndex}]` : meta.metaDisk;
  return true;
}

function takeVolumes(volumes: Map<string, VolumeDraft>, statement: Statement, inHost: boolean, report: Report): void {
  const [word, number] = statement.words;
  if (word === undefined) return;
  if (statement.block === null) {
    report('IMPORT_BRACE_MISSING', word, { word: 'volume' });
    return;
  }
  if (number === undefined || !/^\d{1,5}$/.test(number.text)) {
    report('IMPORT_VALUE', number ?? word, { problem: 'a volume has a number', hint: 'Write `volume 0 {`.' });
    return;
  }
  const key = String(Number(number.text));
  if (volumes.size >= volumesRead && !volumes.has(key)) {
    report('IMPORT_TOO_MUCH', number, { what: `more than ${volumesRead} volumes` });
    return;
  }
  const volume = volumes.get(key) ?? {};
  volumes.set(key, volume);
  for (const inner of statement.block) {
    if (takePath(volume, inner, report)) continue;
    const [first] = inner.words;
    if (first?.text === 'disk' && inner.block !== null && !inHost) {
      const options: Options = {};
      takeSection('disk', inner.block, options, report);
      volume.options = { ...volume.options, ...options.disk };
    } else if (first?.text === 'disk' && inner.block !== null) {
      report('IMPORT_NO_EQUIVALENT', first, { word: 'disk', reason: 'options hold for both hosts', hint: 'Put the section into the resource, or into its `volume`.' });
    } else misfit('volume', inner, report);
  }
}

function takeAddress(host: HostDraft, values: readonly Token[], report: Report): void {
  const [first] = values;
  if (first === undefined) return;
  const text = values.map((value) => value.text).join(' ');
  if (/^(?:ssocks|sdp)\b/.test(text)) report('IMPORT_NO_EQUIVALENT', first, { word: first.text, reason: 'TCP over IPv4 or IPv6 is the transport', hint: 'Write an IP address.' });
  else {
    const address = parseAddress(text);
    if (address === null) {
      report('IMPORT_VALUE', first, { problem: `'${text}' is not an address and port`, hint: 'Write `192.168.42.12:7788` or `ipv6 [fd00::1]:7788`.' });
      return;
    }
    host.address = address.family === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
    host.addressPlace = first;
  }
}

function takeHostBody(host: HostDraft, block: readonly Statement[], context: string, report: Report): void {
  for (const inner of block) {
    const [word, ...values] = inner.words;
    if (word === undefined || takePath(host.own, inner, report)) continue;
    const why = reasonOf(context, word.text);
    if (word.text === 'address' && inner.block === null) {
      if (values.length === 0) report('IMPORT_MISSING_VALUE', word, { word: 'address', what: 'an address and port' });
      else takeAddress(host, values, report);
    } else if (word.text === 'volume') takeVolumes(host.volumes, inner, true, report);
    else if (word.text === 'disk' && inner.block !== null) {
      report('IMPORT_NO_EQUIVALENT', word, { word: 'disk', reason: 'options hold for both hosts', hint: 'Put the section into the resource.' });
    } else if (why !== null) report('IMPORT_NOTHING_LOST', word, { word: word.text, reason: why.reason });
    else if (word.text === 'proxy') report('IMPORT_NO_EQUIVALENT', word, { word: 'proxy', reason: 'DRBD Proxy is not available', hint: 'Connect the nodes directly.' });
    else misfit(context, inner, report);
  }
}

function takeHosts(resource: ResourceDraft, statement: Statement, report: Report): void {
  const [word, ...names] = statement.words;
  if (word === undefined || statement.block === null) return;
  if (names.length === 0) {
    report('IMPORT_NAME_MISSING', word, { word: word.text });
    return;
  }
  for (const name of word.text === 'floating' ? names.slice(0, 1) : names) {
    const known = resource.hosts.find((host) => host.name.text === name.text && word.text === 'on');
    if (known !== undefined) {
      report('IMPORT_DUPLICATE', name, { word: `on ${name.text}`, first: placeText(known.name) });
      continue;
    }
    resource.hostCount += 1;
    if (resource.hosts.length >= hostsRead) continue;
    const hostName = word.text === 'on' ? name.text : `floating-${resource.hosts.length + 1}`;
    const host: HostDraft = { name, hostName, own: {}, volumes: new Map() };
    if (word.text === 'floating') {
      report('IMPORT_FLOATING', word, { name: hostName });
      takeAddress(host, names, report);
    }
    takeHostBody(host, statement.block, word.text, report);
    resource.hosts.push(host);
  }
}

/** Connections of DRBD 9 between the two hosts: addresses, options and which hosts there are. */
function takeConnection(resource: ResourceDraft, statement: Statement, addresses: Map<string, Token[]>, report: Report): void {
  for (const inner of statement.block ?? []) {
    const [word, name, ...rest] = inner.words;
    if (word === undefined) continue;
    if (word.text === 'net' && inner.block !== null) takeSection('net', inner.block, resource.options, report);
    else if (word.text === 'path' && inner.block !== null) takeConnection(resource, { words: inner.words, block: inner.block }, addresses, report);
    else if (word.text === 'host' && name !== undefined) {
      const at = rest.findIndex(({ text }) => text === 'address');
      if (at !== -1) addresses.set(name.text, rest.slice(at + 1).filter(({ text }, index, all) => text !== 'port' && all[index - 1]?.text !== 'port'));
    } else if (word.text === 'hosts') continue;
    else if (['volume', 'disk', 'proxy'].includes(word.text)) report('IMPORT_NO_EQUIVALENT', word, { word: word.text, reason: 'there is one connection only', hint: 'Put what is in it into the resource.' });
    else misfit(statement.words[0]?.text ?? 'connection', inner, report);
  }
}

function takeResource(statement: Statement, name: Token, report: Report): ResourceDraft | null {
  const resource: ResourceDraft = { name, own: {}, volumes: new Map(), hosts: [], hostCount: 0, options: {} };
  const addresses = new Map<string, Token[]>();
  for (const inner of statement.block ?? []) {
    const [word] = inner.words;
    if (word === undefined || takePath(resource.own, inner, report)) continue;
    if (word.text === 'protocol') takeProtocol(resource, inner, report);
    else if (word.text === 'stacked-on-top-of') {
      report('IMPORT_STACKED', word, { resource: name.text, lower: inner.words[1]?.text ?? '?' });
      return null;
    } else if (word.text === 'on' || word.text === 'floating') {
      if (inner.block === null) report('IMPORT_BRACE_MISSING', word, { word: named(inner) });
      else takeHosts(resource, inner, report);
    } else if (word.text === 'volume') takeVolumes(resource.volumes, inner, false, report);
    else if (word.text === 'connection' || word.text === 'connection-mesh') takeConnection(resource, inner, addresses, report);
    else if (!takeLevelWord(resource, inner, 'resource', report)) misfit('resource', inner, report);
  }
  for (const host of resource.hosts) {
    const given = addresses.get(host.name.text);
    if (host.address === undefined && given !== undefined) takeAddress(host, given, report);
  }
  if (resource.hosts.length > 2) {
    const kept = resource.hosts.slice(0, 2);
    report('IMPORT_HOST_COUNT', resource.hosts[2]?.name ?? name, { resource: name.text, count: resource.hostCount, kept: kept.map(({ hostName }) => hostName).join(', ') });
    resource.hosts = kept;
  } else if (resource.hosts.length < 2) report('IMPORT_HOST_MISSING', name, { resource: name.text });
  return resource;
}

/** Sections of options, and words that a level has without equivalent. */
function takeLevelWord(level: LevelDraft, statement: Statement, context: string, report: Report): boolean {
  const [word] = statement.words;
  if (word === undefined) return true;
  const why = reasonOf(context, word.text);
  if (word.text === 'skip') report('IMPORT_SKIPPED', word);
  else if (word.text === 'proxy' || why !== null) {
    report('IMPORT_NO_EQUIVALENT', word, { word: word.text, reason: why?.reason ?? 'DRBD Proxy is not available', hint: why?.hint ?? 'Connect the nodes directly.' });
  } else if (!sectionNames.includes(word.text) || word.text === 'global') return false;
  else if (statement.block === null) report('IMPORT_BRACE_MISSING', word, { word: word.text });
  else takeSection(word.text, statement.block, level.options, report);
  return true;
}

function takeTop(draft: DrbdDraft, statement: Statement, report: Report): void {
  const [word, name] = statement.words;
  if (word === undefined) return;
  if (word.text === 'skip') {
    report('IMPORT_SKIPPED', word);
    return;
  }
  if (['global', 'common', 'resource'].includes(word.text) && statement.block === null) {
    report('IMPORT_BRACE_MISSING', word, { word: named(statement) });
    return;
  }
  if (word.text === 'global') {
    takeSection('global', statement.block ?? [], {}, report);
    return;
  }
  if (word.text === 'common') {
    for (const inner of statement.block ?? []) {
      if (inner.words[0]?.text === 'protocol') takeProtocol(draft.common, inner, report);
      else if (!takeLevelWord(draft.common, inner, 'common', report)) misfit('common', inner, report);
    }
    return;
  }
  if (word.text !== 'resource') {
    misfit('', statement, report);
    return;
  }
  if (name === undefined) {
    report('IMPORT_NAME_MISSING', word, { word: 'resource' });
    return;
  }
  if (!/^(?!all$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(name.text)) {
    report('IMPORT_VALUE', name, { problem: `'${name.text}' can not be the name of a resource`, hint: 'Use letters, digits, `_`, `.` and `-`, at most 64, and not `all`.' });
    return;
  }
  const first = draft.resources.get(name.text);
  if (first !== undefined) {
    report('IMPORT_DUPLICATE', name, { word: `resource ${name.text}`, first: placeText(first.name) });
    return;
  }
  if (draft.resources.size >= resourcesRead) {
    report('IMPORT_TOO_MUCH', name, { what: `more than ${resourcesRead} resources` });
    return;
  }
  const resource = takeResource(statement, name, report);
  if (resource !== null) draft.resources.set(name.text, resource);
}

const given = (value: OptionValue | undefined): boolean => value !== undefined && value !== '';

/** Secret and algorithm belong together: one that is left alone would be refused, or would pretend protection. */
const isHalfSecret = (net: Record<string, OptionValue>): boolean => given(net['shared-secret']) !== given(net['cram-hmac-alg']);

/** Takes everything over that has an equivalent; each of the rest is reported. */
export function mapDrbd(statements: readonly Statement[], report: Report): DrbdDraft {
  const draft: DrbdDraft = { common: { options: {} }, resources: new Map() };
  for (const statement of statements) takeTop(draft, statement, report);
  for (const resource of draft.resources.values()) {
    // what common gives to the others stays theirs
    const net = { ...draft.common.options.net, ...resource.options.net };
    if (isHalfSecret(net)) {
      report('IMPORT_UNAUTHENTICATED', resource.name, { word: given(net['shared-secret']) ? 'cram-hmac-alg' : 'shared-secret' });
      resource.options.net = { ...resource.options.net, 'shared-secret': '', 'cram-hmac-alg': '' };
    }
  }
  return draft;
}
