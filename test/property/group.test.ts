/**
 * The group machine under random requests, results, silence and time. A judge apart from it keeps its own books of what each member is known
 * to be and checks every action against them. DRBDTS_SCHEDULES sets the number of schedules, DRBDTS_SEED replays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GroupAction, GroupEvent, GroupState, MemberAction } from '../../src/cluster/group-types.js';
import { initialGroup, nextTickMs, step } from '../../src/cluster/group.js';
import type { GroupConfig, MemberConfig } from '../../src/config/cluster-types.js';
import { replay } from './replay.js';

const schedules = Number(process.env.DRBDTS_SCHEDULES ?? 2000);

type Outcome = 'ok' | 'fails' | 'hangs' | 'deaf';
type Command =
  | { do: 'send'; event: Exclude<GroupEvent, { kind: 'memberResult' }> }
  | { do: 'deliver'; which: number; outcome: Outcome }
  | { do: 'duplicate'; which: number }
  | { do: 'wait'; ms: number }
  | { do: 'crash'; index: number };

interface Pending {
  index: number;
  action: MemberAction;
  life: number;
  aborted: boolean;
  /** never reports any more. */
  deaf: boolean;
}

const kinds = fc.constantFrom<MemberConfig['kind'][]>('volume', 'filesystem', 'vip', 'service');
const timesArbitrary = fc.record({
  startMs: fc.integer({ min: 1, max: 5000 }),
  stopMs: fc.integer({ min: 1, max: 5000 }),
  monitorMs: fc.integer({ min: 1, max: 5000 }),
  monitorEveryMs: fc.constantFrom(0, 500, 5000),
});
const configArbitrary: fc.Arbitrary<GroupConfig> = fc.record({
  name: fc.constant('g'),
  members: fc.array(fc.tuple(kinds, timesArbitrary), { minLength: 1, maxLength: 5 }).map((list) =>
    list.map(([kind, times], index) => ({ kind, name: `${kind} ${index}`, resource: 'r0', ...times }) as unknown as MemberConfig),
  ),
  preferred: fc.constant(''),
  autoFailback: fc.boolean(),
  migrationThreshold: fc.integer({ min: 0, max: 3 }),
  failureTimeoutMs: fc.constantFrom(0, 3000, 60_000),
  after: fc.constant([]),
  apart: fc.constant([]),
});
const outcome = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Outcome>('ok') },
  { weight: 3, arbitrary: fc.constant<Outcome>('fails') },
  { weight: 1, arbitrary: fc.constant<Outcome>('hangs') },
  { weight: 1, arbitrary: fc.constant<Outcome>('deaf') },
);
const stopEvent = fc
  .record({ urgent: fc.boolean(), level: fc.constantFrom(undefined, 'kill' as const, 'cut' as const), withinMs: fc.constantFrom(undefined, 100, 8000) })
  .map(({ urgent, level, withinMs }): GroupEvent => ({
    kind: 'stop', reason: 'asked', urgent, ...(level === undefined ? {} : { level }), ...(withinMs === undefined ? {} : { withinMs }),
  }));
const request = fc.oneof(
  { weight: 4, arbitrary: fc.constant<GroupEvent>({ kind: 'start', reason: 'asked' }) },
  { weight: 2, arbitrary: stopEvent },
  { weight: 2, arbitrary: fc.constant<GroupEvent>({ kind: 'probe' }) },
  { weight: 1, arbitrary: fc.constant<GroupEvent>({ kind: 'cleanup' }) },
  { weight: 1, arbitrary: fc.boolean().map((on): GroupEvent => ({ kind: 'maintenance', on })) },
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: request.map((event) => ({ do: 'send', event }) as Command) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('deliver' as const), which: fc.nat(9), outcome }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('duplicate' as const), which: fc.nat(9) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 100, 600, 5000, 20_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), index: fc.nat(4) }) },
);

/** Books of what was confirmed, by results alone. */
type Known = 'stopped' | 'started' | 'unsure';

class World {
  state: GroupState;
  now = 0;
  readonly known: Known[];
  readonly runs: boolean[];
  pending: Pending[] = [];
  past: Pending[] = [];
  maintenance = false;
  urgent = false;
  fences = 0;

  constructor(config: GroupConfig, running: readonly boolean[]) {
    this.state = initialGroup(config);
    this.known = config.members.map(() => 'unsure');
    this.runs = config.members.map((_, index) => running[index] ?? false);
  }

  send(event: GroupEvent): void {
    if (event.kind === 'maintenance') this.maintenance = event.on;
    if (event.kind === 'stop' && event.urgent) this.urgent = true;
    const before = this.state;
    const frozen = JSON.stringify(before);
    const result = step(before, event, this.now);
    assert.equal(JSON.stringify(before), frozen, 'the state given stays as it was');
    this.state = result.state;
    for (const action of result.actions) this.judge(action);
    if (!['stopping', 'stop-failed'].includes(this.state.phase)) this.urgent = false;
  }

  judge(action: GroupAction): void {
    const { members } = this.state.config;
    if (action.kind === 'run') {
      const { index } = action;
      assert.ok(!this.maintenance, 'nothing is done in maintenance mode');
      assert.ok(!this.pending.some((other) => other.index === index), `two actions of member ${index} at a time`);
      const right = this.known.slice(index + 1);
      if (action.action === 'start') {
        assert.ok(this.known.slice(0, index).every((known) => known === 'started'), `start of ${index} before those left of it run`);
        assert.ok(right.every((known) => known === 'stopped'), `start of ${index} while something right of it runs`);
        assert.ok(!this.pending.some((other) => other.index > index), `start of ${index} while something right of it is busy`);
      }
      if (action.action === 'stop') {
        const exempt = (at: number): boolean => this.urgent || this.state.phase === 'stop-failed' ? members[at]?.kind === 'vip' : false;
        const wrong = right.findIndex((known, at) => known !== 'stopped' && !exempt(index + 1 + at));
        assert.ok(wrong < 0 || exempt(index), `stop of ${index} while ${index + 1 + wrong}, right of it, is ${right[wrong]}`);
      }
      if (action.action === 'monitor') assert.equal(this.state.phase, 'started', 'only what is started is watched');
      if (action.action === 'start' || action.action === 'stop') this.known[index] = 'unsure';
      assert.ok(action.timeoutMs > 0);
      this.pending.push({ index, action: action.action, life: action.life, aborted: false, deaf: false });
    } else if (action.kind === 'abort') {
      const pending = this.pending.find((one) => one.index === action.index);
      assert.ok(pending !== undefined && pending.life === action.life && !pending.aborted, 'only what runs is aborted, once');
      pending.aborted = true;
    } else if (action.kind === 'phase') {
      if (action.to === 'stopped' || action.to === 'failed')
        assert.deepEqual(this.known.filter((known) => known !== 'stopped'), [], `${action.to} only if every member confirmed it`);
      if (action.to === 'started') assert.deepEqual(this.known.filter((known) => known !== 'started'), []);
      assert.ok(action.sentence.length > 10);
    } else if (action.kind === 'selfFence') {
      this.fences += 1;
      assert.equal(this.state.phase, 'stop-failed');
      const silent = this.pending.some((pending) => pending.aborted);
      assert.ok(silent || this.known.some((known) => known !== 'stopped'), 'nobody is fenced when all is stopped');
    }
  }

  deliver(pending: Pending, wanted: Outcome): void {
    if (pending.deaf) return;
    if (wanted === 'deaf') {
      pending.deaf = true;
      return;
    }
    if (wanted === 'hangs' && !pending.aborted) return;
    const { index, action, life } = pending;
    const ok = wanted === 'ok' && (action !== 'monitor' || this.runs[index] === true);
    this.pending = this.pending.filter((one) => one !== pending);
    this.past.push(pending);
    if (action === 'start') this.runs[index] = ok || wanted === 'fails';
    if (action === 'stop' && ok) this.runs[index] = false;
    const found = this.runs[index] === true ? 'started' : 'stopped';
    if (action === 'start') this.known[index] = ok ? 'started' : 'unsure';
    else if (action === 'stop') this.known[index] = ok ? 'stopped' : 'unsure';
    else if (action === 'probe') this.known[index] = ok ? found : 'unsure';
    else if (!ok && !pending.aborted) this.known[index] = 'unsure';
    this.send({ kind: 'memberResult', index, action, life, ok, reason: ok ? '' : 'planted', ...(action === 'probe' && ok ? { found } : {}) });
  }

  apply(one: Command): void {
    if (one.do === 'send') this.send(one.event);
    else if (one.do === 'deliver') {
      const pending = this.pending[one.which % Math.max(1, this.pending.length)];
      if (pending !== undefined) this.deliver(pending, one.outcome);
    } else if (one.do === 'duplicate') {
      const old = this.past[one.which % Math.max(1, this.past.length)];
      if (old !== undefined) this.send({ kind: 'memberResult', index: old.index, action: old.action, life: old.life, ok: true, reason: '' });
    } else if (one.do === 'wait') {
      this.now += one.ms;
      this.send({ kind: 'tick' });
    } else if (this.runs[one.index] !== undefined) this.runs[one.index] = false;
  }

  /** Lets everything take its course until `done`. */
  settle(what: string, done: () => boolean): void {
    for (let turn = 0; turn < 400; turn++) {
      if (done()) return;
      const pending = this.pending.find((one) => !one.deaf);
      if (pending !== undefined) {
        this.deliver(pending, turn % 3 === 2 ? 'fails' : 'ok');
        continue;
      }
      const next = nextTickMs(this.state);
      assert.ok(next !== null, `${what}: nothing is under way and nothing is waited for in ${this.state.phase}`);
      this.now = Math.max(this.now + 1, next);
      this.send({ kind: 'tick' });
    }
    assert.fail(`${what} never ends: ${JSON.stringify(this.state)}`);
  }
}

test(`${schedules} schedules: order, no two actions at a time, stopped only if confirmed, every path ends`, () => {
  const counts = new Map<string, number>();
  fc.assert(
    fc.property(configArbitrary, fc.array(fc.boolean(), { maxLength: 5 }), fc.array(command, { maxLength: 60 }), (config, running, commands) => {
      const world = new World(config, running);
      for (const one of commands) world.apply(one);
      world.send({ kind: 'maintenance', on: false });
      world.send({ kind: 'probe' });
      const quiet = (): boolean => !world.state.members.some((member) => member.running !== null && !member.running.stuck);
      world.settle('probe', () => quiet() && !['unknown', 'starting', 'stopping'].includes(world.state.phase));
      world.send({ kind: 'stop', reason: 'the end', urgent: true });
      const ends = ['stopped', 'failed', 'stop-failed'];
      world.settle('stop', () => ends.includes(world.state.phase));
      assert.ok(world.state.phase === 'stop-failed' || world.known.every((known) => known === 'stopped'), 'ends as what it is');
      counts.set(world.state.phase, (counts.get(world.state.phase) ?? 0) + 1);
    }),
    replay('group', schedules),
  );
  console.log(`ends: ${[...counts].map(([phase, count]) => `${phase} ${count}`).join(', ')}`);
  for (const phase of ['stopped', 'failed', 'stop-failed']) assert.ok((counts.get(phase) ?? 0) > 0, `some schedule ends ${phase}`);
});

test('once what it calls works again, a group that was failed or half-started can be started', () => {
  fc.assert(
    fc.property(configArbitrary, fc.array(command, { maxLength: 30 }), (config, commands) => {
      const world = new World(config, []);
      for (const one of commands) if (one.do !== 'crash') world.apply(one);
      for (const pending of world.pending) pending.deaf = false;
      world.send({ kind: 'maintenance', on: false });
      world.send({ kind: 'cleanup' });
      let turn = 0;
      while (world.state.phase !== 'started') {
        assert.ok(turn++ < 400, `never started: ${JSON.stringify(world.state)}`);
        world.send({ kind: 'cleanup' });
        world.send({ kind: 'start', reason: 'asked' });
        const pending = world.pending[0];
        if (pending !== undefined) world.deliver(pending, 'ok');
      }
      assert.ok(world.runs.every(Boolean));
    }),
    replay('group recovers', Math.ceil(schedules / 4)),
  );
});
