/**
 * decide() and placement() alone. Two nodes exchange reports over a way that delays, loses, reorders and repeats; either may be restarted and
 * then remembers nothing; groups take their time to start and stop. While both live, no two nodes may ever have one group.
 * DRBDTS_SCHEDULES sets the number of schedules (5,000), DRBDTS_SEED replays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GroupPhase } from '../../src/cluster/group-types.js';
import { decide, type DecideMemory, freshMemory } from '../../src/cluster/decide.js';
import { type Candidate, placeAll, runs } from '../../src/cluster/placement.js';
import { mergeWishes, type NodeReport, noWishes, type Wishes } from '../../src/cluster/report.js';
import type { ClusterConfig, GroupConfig } from '../../src/config/cluster-types.js';
import { Scheduler } from '../cluster-sim/scheduler.js';
import { replay } from './replay.js';

const schedules = Number(process.env.DRBDTS_SCHEDULES ?? 5000);
const names = ['alpha', 'beta'] as const;
const cluster: ClusterConfig = {
  ...{ name: 'demo', keyFile: '', nodes: [names[0], names[1]] as [string, string], links: [], ping: [], deadpingMs: 5000, arbiter: { kind: 'none' } },
  ...{ keepaliveMs: 100, warntimeMs: 300, deadtimeMs: 600, initdeadMs: 5000, selfFence: { command: '', watchdog: '', reboot: true } },
};
const plain = { members: [], preferred: '', autoFailback: false, migrationThreshold: 3, failureTimeoutMs: 0, after: [], apart: [] };

// --- the claim protocol -------------------------------------------------------------------------------------------------------------

interface Side {
  life: number;
  memory: DecideMemory;
  phase: GroupPhase;
  version: number;
  said: string;
  report: NodeReport | null;
  wishes: Wishes;
  /** what is known of the other one's present life. */
  peer: { life: number; version: number; report: NodeReport | null; announced: number; confirmed: number; confirmedAtMs: number };
}
const nobody = { life: 0, version: 0, report: null, announced: 0, confirmed: 0, confirmedAtMs: Number.NEGATIVE_INFINITY };

class Claims {
  violations: string[] = [];
  starts = 0;
  private readonly scheduler: Scheduler;
  private readonly groups: GroupConfig[];
  private readonly sides: [Side, Side];
  private sentMs = new Map<string, number>();
  private sequence = 0;

  constructor(seed: number) {
    this.scheduler = new Scheduler(seed);
    const { draw } = this.scheduler;
    this.groups = [{ ...plain, name: 'web', preferred: ['', names[0], names[1]][draw(3)] ?? '', autoFailback: draw(2) === 0 }];
    const side = (): Side => ({ life: 1, memory: freshMemory, phase: 'stopped', version: 0, said: '', report: null, wishes: noWishes, peer: nobody });
    this.sides = [side(), side()];
    this.beat(0);
    this.beat(1);
  }

  private side(i: number): Side {
    return this.sides[i === 0 ? 0 : 1];
  }

  private beat(i: number): void {
    this.look(i);
    this.send(i);
    this.scheduler.after(100, () => this.beat(i));
  }

  /** Both live, so both are `alive` to each other from the first word on; a restart is unknown until the other one is heard. */
  private look(i: number): void {
    const side = this.side(i);
    const { now } = this.scheduler;
    const own = {
      ...{ node: names[i] ?? '', version: '1', configDigest: 'same', standby: side.wishes.standby[names[i] ?? '']?.value ?? false, leaving: false, pingLost: 0 },
      ...{ groups: { web: { phase: side.phase, failed: false, failCount: 0, held: false } }, volumes: {}, wishes: side.wishes },
    };
    const decision = decide(
      {
        ...{ cluster, groups: this.groups, self: own.node, nowMs: now, own, nextVersion: side.version + 1, peer: side.peer.life === 0 ? 'unknown' : 'alive' },
        ...{ peerReport: side.peer.report, confirmedVersion: side.peer.confirmed, confirmedAgeMs: now - side.peer.confirmedAtMs },
        ...{ reportIsCurrent: side.peer.report !== null && side.peer.version >= side.peer.announced, twins: false, standings: {}, silentArbiter: [], unvouched: [], replicationAgeMs: {}, daemonUp: true },
      },
      side.memory,
    );
    side.memory = decision.memory;
    for (const order of decision.orders) {
      if (order.kind === 'start' && (side.phase === 'stopped' || side.phase === 'partial')) this.start(i);
      if (order.kind === 'stop' && runs({ phase: side.phase, claim: false, failed: false, failCount: 0, held: false })) this.stop(i);
    }
    const report: NodeReport = { ...own, groups: { web: { phase: side.phase, failed: false, failCount: 0, held: false, claim: decision.claimed.includes('web') } } };
    const text = JSON.stringify(report);
    if (text === side.said) return;
    side.said = text;
    side.report = report;
    side.version += 1;
    this.send(i);
  }

  private start(i: number): void {
    const side = this.side(i);
    const { life } = side;
    side.phase = 'starting';
    this.starts += 1;
    if (this.side(1 - i).phase !== 'stopped') this.violations.push(`${names[i]} starts while it is ${this.side(1 - i).phase} on ${names[1 - i]}`);
    this.scheduler.after(this.scheduler.between(0, 400), () => {
      if (side.phase !== 'starting' || side.life !== life) return;
      side.phase = 'started';
      this.look(i);
    });
  }

  private stop(i: number): void {
    const side = this.side(i);
    const { life } = side;
    side.phase = 'stopping';
    this.scheduler.after(this.scheduler.between(0, 400), () => {
      if (side.phase !== 'stopping' || side.life !== life) return;
      side.phase = 'stopped';
      this.look(i);
    });
  }

  private send(from: number): void {
    const { scheduler } = this;
    const side = this.side(from);
    const sequence = ++this.sequence;
    this.sentMs.set(`${from} ${sequence}`, scheduler.now);
    const packet = {
      ...{ life: side.life, version: side.version, report: scheduler.draw(4) === 0 ? null : side.report, sequence },
      ...{ echo: { life: side.peer.life, version: side.peer.version, sequence: this.heard[from] ?? 0 } },
    };
    const copies = scheduler.draw(10) === 0 ? 2 : scheduler.draw(5) === 0 ? 0 : 1;
    for (let copy = 0; copy < copies; copy += 1) scheduler.after(scheduler.draw(4) === 0 ? scheduler.draw(500) : scheduler.draw(20), () => this.receive(1 - from, packet));
  }

  /** Highest sequence each side has taken. */
  private readonly heard = [0, 0];

  /** As membership does it: nothing from a former life, nothing overtaken, a confirmation only of what is our own life's. */
  private receive(to: number, packet: { life: number; version: number; report: NodeReport | null; sequence: number; echo: { life: number; version: number; sequence: number } }): void {
    const side = this.side(to);
    if (packet.life < side.peer.life || packet.sequence <= (this.heard[to] ?? 0)) return;
    // life is shown by an echo of our present life only
    if (packet.life > side.peer.life && packet.echo.life !== side.life) {
      if (packet.echo.life < side.life || side.peer.life === 0) {
        side.peer = { ...nobody, life: packet.life };
        this.heard[to] = packet.sequence;
        this.send(to);
      }
      return;
    }
    if (packet.life > side.peer.life) side.peer = { ...nobody, life: packet.life };
    this.heard[to] = packet.sequence;
    const { peer } = side;
    peer.announced = Math.max(peer.announced, packet.version);
    if (packet.report !== null && packet.version > peer.version) {
      peer.report = packet.report;
      peer.version = packet.version;
      side.wishes = mergeWishes(side.wishes, packet.report.wishes);
    }
    if (packet.echo.life === side.life && packet.echo.version > 0) {
      peer.confirmed = Math.max(peer.confirmed, packet.echo.version);
      peer.confirmedAtMs = Math.max(peer.confirmedAtMs, this.sentMs.get(`${1 - to} ${packet.echo.sequence}`) ?? Number.NEGATIVE_INFINITY, this.sentMs.get(`${to} ${packet.echo.sequence}`) ?? Number.NEGATIVE_INFINITY);
    }
    this.look(to);
  }

  /** One thing that happens. */
  happen(what: number, a: number): void {
    const i = a % 2;
    const side = this.side(i);
    const stamp = 1 + this.scheduler.now;
    switch (what % 4) {
      case 0: // a new process: it finds what runs, and half-done things are as they are found
        Object.assign(side, { life: side.life + 1, memory: freshMemory, version: 0, said: '', report: null, peer: nobody });
        if (side.phase === 'starting' || side.phase === 'stopping') side.phase = 'partial';
        this.heard[i] = 0;
        return;
      case 1:
      case 2:
        side.wishes = { ...side.wishes, pins: { web: { value: names[a % 3 === 0 ? 0 : 1] ?? '', stamp } } };
        break;
      default:
        side.wishes = { ...side.wishes, standby: { ...side.wishes.standby, [names[i] ?? '']: { value: a % 4 < 2, stamp } } };
    }
    this.look(i);
  }

  run(ms: number): void {
    this.scheduler.run(ms);
  }

  /** Where it runs when all is quiet. */
  get place(): string {
    return this.sides.map(({ phase }) => phase).join('/');
  }

  awake(): void {
    for (const [i, name] of names.entries()) this.side(i).wishes = { ...this.side(i).wishes, standby: { [name]: { value: false, stamp: 1e9 } } };
  }
}

test('while both live no two nodes ever have one group, whatever becomes of what they tell each other', () => {
  let starts = 0;
  fc.assert(
    fc.property(
      fc.nat(0x7fff_ffff),
      fc.array(fc.tuple(fc.nat(3), fc.nat(999), fc.nat(900)), { minLength: 1, maxLength: 12 }),
      (seed, steps) => {
        const claims = new Claims(seed);
        for (const [what, a, ms] of steps) {
          claims.run(ms);
          claims.happen(what, a);
        }
        claims.awake();
        claims.run(4000);
        assert.deepEqual(claims.violations, []);
        starts += claims.starts;
        const { place } = claims;
        if (place !== 'started/stopped' && place !== 'stopped/started') claims.run(4000);
        assert.match(claims.place, /^(started\/stopped|stopped\/started)$/, 'it runs at one place in the end');
        const settled = claims.starts;
        claims.run(3000);
        assert.equal(claims.starts, settled, 'and stays there');
      },
    ),
    replay('claims', schedules),
  );
  console.log(`claims: ${schedules} schedules, ${starts} starts`);
});

// --- placement ------------------------------------------------------------------------------------------------------------------------

const phase = fc.constantFrom<GroupPhase[]>('unknown', 'stopped', 'partial', 'starting', 'started', 'stopping', 'failed', 'stop-failed');
const volume = fc.record({
  role: fc.constantFrom('Primary' as const, 'Secondary' as const),
  disk: fc.constantFrom('UpToDate' as const, 'Consistent' as const, 'Outdated' as const, 'Inconsistent' as const),
  peerDisk: fc.constantFrom('UpToDate' as const, 'DUnknown' as const, 'Inconsistent' as const),
  connection: fc.constantFrom('Connected' as const, 'SyncTarget' as const, 'WFConnection' as const),
  frozen: fc.boolean(),
});
const groupNames = ['one', 'two', 'three'] as const;
const groupState = fc.record({ phase, claim: fc.boolean(), failed: fc.boolean(), failCount: fc.nat(3), held: fc.boolean() });
const reportOf = (node: string): fc.Arbitrary<NodeReport> =>
  fc.record({
    ...{ node: fc.constant(node), version: fc.constant('1'), configDigest: fc.constant('same'), standby: fc.boolean(), leaving: fc.boolean(), pingLost: fc.nat(2) },
    groups: fc.record({ one: groupState, two: groupState, three: groupState }),
    ...{ volumes: fc.record({ r0: volume, r1: volume }), wishes: fc.constant(noWishes) },
  });
const someName = fc.constantFrom('', ...names);
const groupsArbitrary = fc
  .tuple(fc.array(fc.tuple(someName, fc.boolean(), fc.constantFrom('', 'r0', 'r1')), { minLength: 3, maxLength: 3 }), fc.boolean(), fc.boolean(), fc.boolean())
  .map(([each, follows, apart, chain]): GroupConfig[] =>
    each.map(([preferred, autoFailback, resource], index) => ({
      ...plain,
      ...{ name: groupNames[index] ?? '', preferred, autoFailback, members: (resource === '' ? [] : [{ kind: 'volume', name: 'v', resource }]) as unknown as GroupConfig['members'] },
      after: index === 1 && follows ? ['one'] : index === 2 && chain ? ['two'] : [],
      apart: index === 2 && apart && !chain ? ['one'] : [],
    })),
  );
const pins = fc.record({ one: someName, two: someName, three: someName });

test('both nodes come to the same place, it is one that can be, and once there a group stays', () => {
  fc.assert(
    fc.property(groupsArbitrary, reportOf('alpha'), reportOf('beta'), pins, fc.constantFrom<(string | null)[]>(null, 'alpha', 'beta'), fc.constantFrom('both', 'alpha', 'beta'), (groups, a, b, pinned, worse, present) => {
      const wishes: Wishes = { ...noWishes, pins: Object.fromEntries(Object.entries(pinned).map(([name, value]) => [name, { value, stamp: 1 }])) };
      const worsePing = new Set(worse === null ? [] : [worse]);
      const candidates: Candidate[] = [
        { node: 'alpha', report: present === 'beta' ? null : a },
        { node: 'beta', report: present === 'alpha' ? null : b },
      ];
      const place = (from: readonly Candidate[]) => placeAll(groups, from, wishes, worsePing);
      const first = place(candidates);
      // what a node computes from its own report and the one it received is what the other one computes
      assert.deepEqual(place(JSON.parse(JSON.stringify(candidates)) as Candidate[]), first);
      for (const { name, after } of groups) {
        const placement = first.get(name);
        assert.ok(placement !== undefined && placement.why !== '', `${name} has a reason`);
        for (const other of after) if (placement.node !== null) assert.equal(placement.node, first.get(other)?.node, `${name} is where ${other} is`);
        if (placement.node === null) continue;
        const { report } = candidates.find(({ node }) => node === placement.node) ?? { report: null };
        assert.ok(report !== null && !report.standby && !report.leaving, `${name} goes only to a node that is there and takes groups`);
        assert.ok(!report.groups[name]?.failed && report.groups[name]?.phase !== 'stop-failed', `${name} goes only where it has not failed`);
      }
      // carried out: each runs where it was to, and nothing else changed
      const settled = candidates.map(({ node, report }): Candidate => ({
        node,
        report: report === null ? null : {
          ...report,
          groups: Object.fromEntries(Object.entries(report.groups).map(([name, group]) => [name, {
            ...group,
            ...(first.get(name)?.node === node ? { phase: 'started' as const, held: false } : runs(group) || group.phase === 'stopping' ? { phase: 'stopped' as const } : {}),
          }])),
        },
      }));
      const homeward = new Set(groups.filter(({ autoFailback }) => autoFailback).map(({ name }) => name));
      for (const [name, { node }] of place(settled)) {
        // what follows another one, or flees from it, goes with it
        if (node === null || first.get(name)?.node === null || homeward.size > 0 || groups.some(({ after, apart }) => after.length + apart.length > 0)) continue;
        assert.equal(node, first.get(name)?.node, `${name} stays`);
      }
      const again = place(settled);
      for (const [name, { node }] of again) {
        if (node === null || first.get(name)?.node === null) continue;
        const moved = place(settled.map((candidate) => ({
          ...candidate,
          report: candidate.report === null ? null : {
            ...candidate.report,
            groups: Object.fromEntries(Object.entries(candidate.report.groups).map(([each, group]) => [each, {
              ...group,
              ...(again.get(each)?.node === candidate.node ? { phase: 'started' as const, held: false } : runs(group) ? { phase: 'stopped' as const } : {}),
            }])),
          },
        })));
        assert.equal(moved.get(name)?.node, node, `${name} does not go back and forth`);
      }
    }),
    replay('placement', schedules),
  );
});
