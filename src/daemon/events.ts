/**
 * Records in the manner of `drbdsetup events2` (pure; drbd-protocol §8.4): the dump of everything, and the difference of two states.
 */
import type { ArbitrationStatus, EventRecord } from '../control/messages.js';
import { connectionStates } from '../shared/terms.js';
import type { NativeSnapshot, NativeVolumeSnapshot } from './native-api.js';

type ObjectKind = 'resource' | 'connection' | 'device' | 'peer-device';

interface Entry {
  object: ObjectKind;
  /** attributes that name the object; printed always. */
  identity: Record<string, string>;
  /** attributes that change; after the dump only those that did are printed. */
  attributes: Record<string, string>;
}

const connected = connectionStates.indexOf('Connected');

function atLeastConnected(volume: Pick<NativeVolumeSnapshot, 'connection'>): boolean {
  return connectionStates.indexOf(volume.connection) >= connected;
}

function suspendedWords(flags: Record<string, boolean>, words: Record<string, string>): string {
  const set = Object.entries(words)
    .filter(([flag]) => flags[flag] === true)
    .map(([, word]) => word);
  return set.length === 0 ? 'no' : set.join(',');
}

const suspendedNames = { user: 'user', noData: 'no-data', fencing: 'fencing' };
const resyncSuspendedNames = { user: 'user', peer: 'peer', dependency: 'dependency' };

function connectionWord(snapshot: NativeSnapshot): string {
  if (connectionStates.indexOf(snapshot.connection) >= connected) return 'Connected';
  return snapshot.connection === 'WFConnection' ? 'Connecting' : snapshot.connection;
}

function replicationWord(volume: NativeVolumeSnapshot): string {
  if (!atLeastConnected(volume)) return 'Off';
  return volume.connection === 'Connected' ? 'Established' : volume.connection;
}

/** Whether the peer has a name yet: from the moment there is a net configuration. */
function hasNet(snapshot: NativeSnapshot): boolean {
  return snapshot.protocol.trim() !== '';
}

function entriesOf(snapshot: NativeSnapshot): Entry[] {
  const { name } = snapshot;
  const peer: Record<string, string> = { name, 'peer-node-id': '0', ...(hasNet(snapshot) ? { 'conn-name': 'peer' } : {}) };
  const any = { user: false, noData: false, fencing: false };
  for (const volume of snapshot.volumes) {
    any.user ||= volume.suspended.user;
    any.noData ||= volume.suspended.noData;
    any.fencing ||= volume.suspended.fencing;
  }
  const entries: Entry[] = [
    { object: 'resource', identity: { name }, attributes: { role: snapshot.role, suspended: suspendedWords(any, suspendedNames) } },
    { object: 'connection', identity: peer, attributes: { connection: connectionWord(snapshot), role: snapshot.peerRole } },
  ];
  for (const volume of snapshot.volumes) {
    entries.push({
      object: 'device',
      identity: { name, volume: String(volume.volume), minor: String(volume.minor) },
      attributes: { disk: volume.disk },
    });
  }
  for (const volume of snapshot.volumes) {
    entries.push({
      object: 'peer-device',
      identity: { ...peer, volume: String(volume.volume) },
      attributes: {
        replication: replicationWord(volume),
        'peer-disk': volume.peerDisk,
        'resync-suspended': suspendedWords(volume.resyncSuspended, resyncSuspendedNames),
      },
    });
  }
  return entries;
}

function keyOf(entry: Entry): string {
  return `${entry.object} ${JSON.stringify(entry.identity)}`;
}

/** Everything as it is: per resource its parts, and `exists -` at the very end. */
export function dumpRecords(snapshots: readonly NativeSnapshot[], time: string): EventRecord[] {
  const records: EventRecord[] = snapshots
    .flatMap(entriesOf)
    .map((entry) => ({ time, verb: 'exists', object: entry.object, attributes: { ...entry.identity, ...entry.attributes } }));
  records.push({ time, verb: 'exists', object: '-', attributes: {} });
  return records;
}

function stillThere(snapshot: NativeSnapshot, entry: Entry): boolean {
  return snapshot.volumes.some((volume) => String(volume.volume) === entry.identity.volume);
}

/** What happened to one resource between two snapshots; null is "down". Destroyed parts come first, innermost first. */
export function diffRecords(before: NativeSnapshot | null, after: NativeSnapshot | null, time: string): EventRecord[] {
  const old = new Map((before === null ? [] : entriesOf(before)).map((entry) => [keyOf(entry), entry]));
  const fresh = after === null ? [] : entriesOf(after);
  const freshKeys = new Set(fresh.map(keyOf));
  // when the peer gets its name, events2 creates the named objects and says nothing about the nameless ones
  const named = before !== null && after !== null && !hasNet(before) && hasNet(after);
  const records: EventRecord[] = [];
  for (const [key, entry] of [...old].reverse()) {
    const renamed = named && (entry.object === 'connection' || (entry.object === 'peer-device' && stillThere(after, entry)));
    if (!freshKeys.has(key) && !renamed) records.push({ time, verb: 'destroy', object: entry.object, attributes: entry.identity });
  }
  for (const entry of fresh) {
    const previous = old.get(keyOf(entry));
    if (previous === undefined) {
      records.push({ time, verb: 'create', object: entry.object, attributes: { ...entry.identity, ...entry.attributes } });
      continue;
    }
    const changed = Object.entries(entry.attributes).filter(([name, value]) => previous.attributes[name] !== value);
    if (changed.length > 0)
      records.push({ time, verb: 'change', object: entry.object, attributes: { ...entry.identity, ...Object.fromEntries(changed) } });
  }
  return records;
}

/** `call helper` and `response helper`. */
export function helperRecord(snapshot: NativeSnapshot, volume: number, helper: string, status: number | null, time: string): EventRecord {
  const found = snapshot.volumes.find((candidate) => candidate.volume === volume);
  const attributes: Record<string, string> = { name: snapshot.name, 'peer-node-id': '0' };
  if (hasNet(snapshot)) attributes['conn-name'] = 'peer';
  if (found !== undefined) {
    attributes.volume = String(found.volume);
    attributes.minor = String(found.minor);
  }
  attributes.helper = helper;
  if (status !== null) attributes.status = String(status);
  return { time, verb: status === null ? 'call' : 'response', object: 'helper', attributes };
}

/** `exists arbitration` (nothing before), or `change arbitration` with what differs. Without a difference the verb stays `exists`. */
export function arbitrationRecord(
  resource: string,
  volume: number,
  before: ArbitrationStatus | null,
  after: ArbitrationStatus,
  time: string,
): EventRecord {
  const wordsOf = (status: ArbitrationStatus): Record<string, string> => ({
    arbiter: status.arbiter,
    state: status.state,
    epoch: String(status.epoch),
    reachable: status.reachable ? 'yes' : 'no',
    vouched: status.vouched ? 'yes' : 'no',
  });
  const old = before === null ? {} : wordsOf(before);
  const changed = Object.entries(wordsOf(after)).filter(([name, value]) => old[name] !== value);
  const verb = before === null || changed.length === 0 ? 'exists' : 'change';
  return { time, verb, object: 'arbitration', attributes: { name: resource, volume: String(volume), ...Object.fromEntries(changed) } };
}
