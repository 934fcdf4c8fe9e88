/** Whoever follows the event stream or the log has the same picture as somebody who asks for the state. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EventFeed } from '../../src/control/event-feed.js';
import { type EventRecord, eventRecord } from '../../src/control/messages.js';
import { EventStreamReader, encodeEvent } from '../../src/control/sse.js';
import { EventHub } from '../../src/daemon/event-hub.js';
import { diffRecords, dumpRecords } from '../../src/daemon/events.js';
import type { NativeSnapshot } from '../../src/daemon/native-api.js';
import type { Resource } from '../../src/daemon/resource.js';
import { stateLines } from '../../src/daemon/state-lines.js';
import { formatLine } from '../../src/shared/log.js';
import { replay } from './replay.js';
import { resourceOf } from './snapshots.js';

const parameters = replay('events', 300);

/** Up with one to three volumes, or down. */
const someState = (name: string, minor: number): fc.Arbitrary<NativeSnapshot | null> =>
  fc.option(fc.integer({ min: 1, max: 3 }).chain((count) => resourceOf(name, minor, count)), { freq: 6 });

/** What a script makes of the records, in the manner of those around `drbdsetup events2`: objects by their name and volume. */
class Follower {
  objects = new Map<string, Record<string, string>>();
  private dump: Map<string, Record<string, string>> | null = null;
  skipped = 0;

  take({ verb, object, attributes }: EventRecord): void {
    const key = `${object} ${attributes.name} ${attributes.volume ?? ''}`;
    switch (verb) {
      case 'exists':
        if (object === '-') {
          this.objects = this.dump ?? new Map();
          this.dump = null;
          this.skipped += Number(attributes.skipped ?? 0);
        } else {
          this.dump ??= new Map();
          this.dump.set(key, attributes);
        }
        break;
      case 'create':
        this.objects.set(key, attributes);
        break;
      case 'change':
        assert.ok(this.objects.has(key), `change of ${key}, which nobody announced`);
        this.objects.set(key, { ...this.objects.get(key), ...attributes });
        break;
      case 'destroy':
        assert.ok(this.objects.delete(key), `destroy of ${key}, which nobody announced`);
        break;
      default:
        break;
    }
  }
}

/** What the objects are, written down from the states themselves. */
function truth(states: Iterable<NativeSnapshot>): Map<string, Record<string, string>> {
  const follower = new Follower();
  for (const record of dumpRecords([...states], 't')) follower.take(record);
  return follower.objects;
}

const waitingWords = new Set(['Disconnecting', 'Unconnected', 'Timeout', 'BrokenPipe', 'NetworkFailure', 'ProtocolError', 'TearDown', 'WFReportParams', 'StandAlone']);

describe('events', () => {
  // otherwise: a monitoring script believes in a disk state that has passed, or in a volume that is gone
  it('a follower that applies every change has the picture of a fresh dump', () => {
    fc.assert(
      fc.property(fc.array(someState('r0', 0), { minLength: 1, maxLength: 6 }), (states) => {
        const follower = new Follower();
        let before: NativeSnapshot | null = null;
        for (const after of states) {
          const records = diffRecords(before, after, 't');
          for (const record of records) follower.take(eventRecord.parse(record));
          assert.deepEqual(follower.objects, truth(after === null ? [] : [after]));
          assert.deepEqual(diffRecords(after, after, 't'), []);
          before = after;
        }
      }),
      parameters,
    );
  });

  // otherwise: a dump names a state in another word than events2 does
  it('a dump says of each part what the engine says of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }).chain((count) => resourceOf('r0', 4, count)), (state) => {
        const objects = truth([state]);
        assert.equal(objects.size, 2 + 2 * state.volumes.length);
        const word = objects.get('connection r0 ')?.connection ?? '';
        if (waitingWords.has(state.connection)) assert.equal(word, state.connection);
        else assert.equal(word, state.connection === 'WFConnection' ? 'Connecting' : 'Connected');
        for (const volume of state.volumes) {
          const device = objects.get(`device r0 ${volume.volume}`);
          const peer = objects.get(`peer-device r0 ${volume.volume}`);
          assert.equal(device?.disk, volume.disk);
          assert.equal(device?.minor, String(volume.minor));
          assert.equal(peer?.['peer-disk'], volume.peerDisk);
          const off = waitingWords.has(volume.connection) || volume.connection === 'WFConnection';
          assert.equal(peer?.replication, off ? 'Off' : volume.connection === 'Connected' ? 'Established' : volume.connection);
          for (const who of ['user', 'peer', 'dependency'] as const)
            assert.equal(peer?.['resync-suspended']?.split(',').includes(who), volume.resyncSuspended[who]);
        }
        assert.equal(objects.get('resource r0 ')?.suspended === 'no', state.volumes.every(({ suspended }) => !suspended.user && !suspended.noData && !suspended.fencing));
      }),
      parameters,
    );
  });
});

/** A follower behind a socket that holds what it has not read. */
interface Line {
  hub: EventHub;
  feed: EventFeed;
  unread: EventRecord[];
  follower: Follower;
  received: number;
}
interface World {
  states: Map<string, NativeSnapshot>;
  /** changes that concern what is followed. */
  changes: number;
}
const unreadMax = 2000;
const sizeOf = (records: readonly EventRecord[]): number => records.reduce((sum, record) => sum + encodeEvent('message', record).length, 0);

class Change implements fc.Command<World, Line> {
  readonly name: string;
  readonly state: NativeSnapshot | null;
  readonly followed: string | null;
  constructor(name: string, state: NativeSnapshot | null, followed: string | null) {
    this.name = name;
    this.state = state;
    this.followed = followed;
  }
  check(): boolean {
    return true;
  }
  run(world: World, line: Line): void {
    const before = world.states.get(this.name) ?? null;
    if (this.state === null) world.states.delete(this.name);
    else world.states.set(this.name, this.state);
    if (this.followed === null || this.followed === this.name) world.changes += diffRecords(before, this.state, 't').length;
    line.hub.changed({ name: this.name } as Resource, before, this.state);
    const dump = sizeOf(line.hub.dump(null));
    assert.ok(sizeOf(line.unread) <= unreadMax + dump + 4000, 'what waits for a slow reader is bounded');
  }
  toString(): string {
    return `${this.name}:${this.state === null ? 'down' : `${this.state.connection},${this.state.volumes.length}`}`;
  }
}

class Read implements fc.Command<World, Line> {
  readonly count: number;
  constructor(count: number) {
    this.count = count;
  }
  check(): boolean {
    return true;
  }
  run(_world: World, line: Line): void {
    for (let index = 0; index < this.count && line.unread.length > 0; index++) {
      const record = line.unread.shift();
      if (record === undefined) break;
      line.follower.take(record);
      if (record.verb !== 'exists') line.received += 1;
      if (line.unread.length === 0) {
        line.feed.drained();
        break;
      }
    }
  }
  toString(): string {
    return `read ${this.count}`;
  }
}

describe('the event stream', () => {
  // otherwise: `drbdts events` on a busy terminal stays wrong after a burst, or the daemon's memory grows behind a stopped reader
  it('a reader of any speed costs a bounded amount, and knows the present state whenever it has caught up', () => {
    const filter = fc.constantFrom(null, 'r0');
    fc.assert(
      fc.property(
        filter.chain((followed) =>
          fc.tuple(
            fc.constant(followed),
            fc.commands(
              [
                someState('r0', 0).map((state) => new Change('r0', state, followed)),
                someState('r1', 8).map((state) => new Change('r1', state, followed)),
                fc.integer({ min: 1, max: 12 }).map((count) => new Read(count)),
              ],
              { maxCommands: 60 },
            ),
          ),
        ),
        ([followed, commands]) => {
          const states = new Map<string, NativeSnapshot>();
          const hub = new EventHub(() => [...states.values()]);
          const unread: EventRecord[] = [];
          const feed = new EventFeed(
            () => hub.dump(followed),
            (record) => unread.push(record),
            () => sizeOf(unread),
            unreadMax,
          );
          const world: World = { states, changes: 0 };
          const line: Line = { hub, feed, unread, follower: new Follower(), received: 0 };
          hub.subscribe(followed, (record) => feed.offer(record));
          feed.start();
          fc.modelRun(() => ({ model: world, real: line }), commands);
          while (unread.length > 0) new Read(1000).run(world, line);
          assert.deepEqual(line.follower.objects, truth([...states.values()].filter(({ name }) => followed === null || name === followed)));
          assert.equal(line.received + line.follower.skipped, world.changes, 'every change is received or counted as skipped');
        },
      ),
      { ...parameters, numRuns: 200 },
    );
  });

  // otherwise: a client misses or doubles an event where the kernel happened to cut the stream
  it('events arrive whole however the text is cut and whichever line ends it has', () => {
    const event = fc.record({ event: fc.constantFrom('message', 'progress', 'reply', 'error'), data: fc.jsonValue() });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), fc.infiniteStream(fc.integer({ min: 1, max: 20 })), fc.boolean(), (events, cuts, carriage) => {
        let text = events.map(({ event: name, data }) => encodeEvent(name, data)).join('');
        if (carriage) text = text.replaceAll('\n', '\r\n');
        const reader = new EventStreamReader();
        const got: { event: string; data: unknown }[] = [];
        while (text !== '') {
          const length = cuts.next().value as number;
          for (const { event: name, data } of reader.push(text.slice(0, length))) got.push({ event: name, data: JSON.parse(data) as unknown });
          text = text.slice(length);
        }
        assert.deepEqual(got, JSON.parse(JSON.stringify(events)));
      }),
      parameters,
    );
  });
});

describe('the log', () => {
  // otherwise: who reads the log to find out what happened misses a step, or sees one that did not happen
  it('the lines of state changes tell the way from one state to the next', () => {
    const pair = fc
      .integer({ min: 1, max: 3 })
      .chain((count) => fc.tuple(resourceOf('r0', 0, count), fc.array(resourceOf('r0', 0, count), { minLength: 1, maxLength: 4 })));
    fc.assert(
      fc.property(pair, ([first, rest]) => {
        const words = ({ role, peerRole, connection, volumes }: NativeSnapshot): unknown => ({
          role, peerRole, connection, volumes: volumes.map((volume) => ({ conn: volume.connection, disk: volume.disk, pdsk: volume.peerDisk })),
        });
        const told = structuredClone(words(first)) as { role: string; peerRole: string; connection: string; volumes: Record<string, string>[] };
        const step = (place: Record<string, string>, word: string, from: string, to: string): void => {
          assert.equal(place[word], from, `${word}: the line starts elsewhere than the last one ended`);
          place[word] = to;
        };
        let before = first;
        for (const after of rest) {
          for (const line of stateLines(before, after)) {
            assert.ok(!line.includes('\n'));
            const [, volume, text = ''] = /^r0(?:\/(\d+))?((?: \w+\(\w+ -> \w+\))+)(?: reason=".*")?$/.exec(line) ?? assert.fail(line);
            for (const [, word = '', from = '', to = ''] of text.matchAll(/ (\w+)\((\w+) -> (\w+)\)/g)) {
              if (volume !== undefined) step(told.volumes[Number(volume)] ?? assert.fail(line), word, from, to);
              else if (word === 'conn') {
                // volumes go with the connection they share, unless a line of their own says otherwise
                for (const own of told.volumes) if (own.conn === from) own.conn = to;
                step(told as never, 'connection', from, to);
                before.volumes.forEach(({ connection }, index) => {
                  const now = after.volumes[index]?.connection;
                  const own = told.volumes[index];
                  if (own !== undefined && connection === from && now !== to) own.conn = from;
                });
              } else step(told as never, word === 'peer' ? 'peerRole' : word, from, to);
            }
          }
          assert.deepEqual(told, words(after));
          before = after;
        }
      }),
      parameters,
    );
  });

  // otherwise: journald shows a made-up line of its own with a made-up priority
  it('one event is one line, whatever is in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }), fc.boolean(), (msg, rest, journal) => {
        const line = formatLine(JSON.stringify({ ...rest, level: 40, time: 1, msg: `${msg}\n<0>forged` }), journal, new Date(0));
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.ok(line.startsWith(journal ? '<4>' : '1970-01-01T00:00:00.000Z '));
      }),
      parameters,
    );
  });
});
