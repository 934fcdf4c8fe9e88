/**
 * The machine of a virtual server under random results, beside a reference that keeps nothing but the list of all events and reads from it what has to
 * be so; and the tables of turns. DRBDTS_SCHEDULES sets the number of schedules, DRBDTS_SEED replays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BalancingEvent, initialServer, nextCheckMs, type ServerState, serverStep, wantedOf } from '../../src/cluster/balancing/machine.js';
import { hashSlots, ranges, slotsMax, turns } from '../../src/cluster/balancing/slots.js';
import type { BalancingCheck, VirtualServer } from '../../src/config/balancing-types.js';
import { replay } from './replay.js';

const schedules = Number(process.env.DRBDTS_SCHEDULES ?? 2000);

const checkArbitrary: fc.Arbitrary<BalancingCheck> = fc
  .record({ retries: fc.integer({ min: 0, max: 3 }), everyMs: fc.integer({ min: 50, max: 9000 }), retryDelayMs: fc.integer({ min: 10, max: 9000 }) })
  .map((own) => ({ type: 'tcp', address: '', port: 0, timeoutMs: 100, ...own }));
const serverArbitrary: fc.Arbitrary<VirtualServer> = fc
  .record({
    real: fc.array(fc.record({ weight: fc.integer({ min: 0, max: 4 }), inhibitOnFailure: fc.boolean(), checks: fc.array(checkArbitrary, { maxLength: 2 }) }), { minLength: 1, maxLength: 4 }),
    quorum: fc.integer({ min: 1, max: 5 }),
    hysteresis: fc.integer({ min: 0, max: 4 }),
    sorry: fc.boolean(),
    initFail: fc.boolean(),
    gated: fc.boolean(),
  })
  .map(({ real, quorum, hysteresis, sorry, initFail, gated }) => ({
    ...{ name: 'v', family: 4, address: '10.0.0.100', port: 80, protocol: 'tcp', kind: 'nat', scheduler: 'wrr', interfaces: {}, persistenceMs: 0 },
    ...{ quorum, hysteresis: Math.min(hysteresis, quorum - 1), initFail, gate: gated ? { kind: 'group', name: 'g' } : null, sorryServer: sorry ? { address: '10.0.0.9', port: 81 } : null },
    realServers: real.map((one, index) => ({ name: `r${index}`, address: `10.0.0.${index + 1}`, port: 80, ...one })),
  }));
const eventArbitrary: fc.Arbitrary<BalancingEvent> = fc.oneof(
  { weight: 9, arbitrary: fc.record({ kind: fc.constant('check' as const), real: fc.integer({ min: 0, max: 4 }).map((n) => `r${n}`), check: fc.integer({ min: 0, max: 2 }), ok: fc.boolean(), detail: fc.constant('because'), weight: fc.option(fc.integer({ min: 0, max: 5 }), { freq: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('gate' as const), open: fc.boolean(), reason: fc.constant('so') }) },
);

/** From the whole past, without any state. */
class Reference {
  readonly #config: VirtualServer;
  readonly #past: BalancingEvent[] = [];

  constructor(config: VirtualServer) {
    this.#config = config;
  }

  add(event: BalancingEvent): void {
    this.#past.push(event);
  }

  #checkUp(real: string, check: number, until: number): boolean {
    const results = this.#past.slice(0, until).flatMap((one) => (one.kind === 'check' && one.real === real && one.check === check ? [one.ok] : []));
    const retries = this.#config.realServers.find(({ name }) => name === real)?.checks[check]?.retries ?? 0;
    const lastGood = results.lastIndexOf(true);
    const sinceGood = results.length - 1 - lastGood;
    if (lastGood === -1 && this.#config.initFail) return false;
    return sinceGood <= retries;
  }

  up(real: number, until = this.#past.length): boolean {
    const own = this.#config.realServers[real];
    return own?.checks.every((_, check) => this.#checkUp(own.name, check, until)) ?? false;
  }

  weight(real: number, until = this.#past.length): number {
    const own = this.#config.realServers[real];
    const said = this.#past.slice(0, until).flatMap((one) => (one.kind === 'check' && one.real === own?.name && own.checks[one.check] !== undefined && one.ok && one.weight !== null ? [one.weight] : []));
    return said.at(-1) ?? own?.weight ?? 0;
  }

  /** The last moment that settles it: enough for the gain, or too little to keep it. */
  get quorum(): boolean {
    const { quorum, hysteresis, realServers } = this.#config;
    for (let until = this.#past.length; until > 0; until--) {
      const live = realServers.reduce((sum, _, real) => sum + (this.up(real, until) ? this.weight(real, until) : 0), 0);
      if (live === 0 || live < quorum - hysteresis) return false;
      if (live >= quorum + hysteresis) return true;
    }
    const first = realServers.reduce((sum, { weight, checks }) => sum + (this.#config.initFail && checks.length > 0 ? 0 : weight), 0);
    return first >= quorum;
  }

  get open(): boolean {
    const said = this.#past.flatMap((one) => (one.kind === 'gate' ? [one.open] : []));
    return said.at(-1) ?? this.#config.gate === null;
  }
}

test('up and down, quorum, sorry server, weights: as the reference reads them from the past', () => {
  fc.assert(
    fc.property(serverArbitrary, fc.array(eventArbitrary, { maxLength: 40 }), (config, events) => {
      const reference = new Reference(config);
      let state: ServerState = initialServer(config, 0);
      for (const [at, event] of events.entries()) {
        const before = state;
        const stepped = serverStep(config, before, event, at);
        state = stepped.state;
        reference.add(event);
        for (const [real] of config.realServers.entries()) assert.equal(state.real[real]?.up, reference.up(real), `r${real} after ${at}`);
        assert.equal(state.quorum, reference.quorum, `quorum after ${at}`);
        // each change is told, and nothing else
        const changed = JSON.stringify([before.real.map(({ up, weight }) => [up, weight]), before.quorum, before.open]) !== JSON.stringify([state.real.map(({ up, weight }) => [up, weight]), state.quorum, state.open]);
        if (!changed) assert.deepEqual(stepped.lines, []);
        if (JSON.stringify([before.real.map(({ up }) => up), before.quorum, before.open]) !== JSON.stringify([state.real.map(({ up }) => up), state.quorum, state.open])) assert.notEqual(stepped.lines.length, 0);

        const { active, destinations } = wantedOf(config, state);
        assert.equal(active, reference.open);
        const instead = config.sorryServer !== null && !reference.quorum;
        for (const [real, own] of config.realServers.entries()) {
          const found = destinations.find(({ name, sorry }) => name === own.name && !sorry);
          assert.equal(found !== undefined, reference.up(real) || own.inhibitOnFailure);
          // never a new connection to who is down, nor beside the sorry server
          if (found !== undefined) assert.equal(found.weight, reference.up(real) && !instead ? reference.weight(real) : 0);
        }
        assert.equal(destinations.find(({ sorry }) => sorry)?.weight, config.sorryServer === null ? undefined : instead ? 1 : 0);
      }
    }),
    replay('balancing machine', schedules),
  );
});

test('the next check is never later than asked for, and soon while a failure is not settled', () => {
  fc.assert(
    fc.property(serverArbitrary, fc.array(eventArbitrary, { maxLength: 10 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (config, events, random) => {
      let state = initialServer(config, 0);
      for (const event of events) state = serverStep(config, state, event, 0).state;
      for (const [index, real] of config.realServers.entries()) {
        for (const [check, { everyMs, retryDelayMs }] of real.checks.entries()) {
          const own = state.real[index];
          assert.ok(own !== undefined);
          const next = nextCheckMs(real, own, check, random);
          assert.ok(next >= 1 && next <= everyMs);
          if (own.checks[check]?.up === true && own.checks[check].failures > 0) assert.ok(next <= retryDelayMs);
          else assert.ok(next >= Math.floor(everyMs * 0.9));
        }
      }
    }),
    replay('balancing next check', schedules),
  );
});

const sharesArbitrary = fc.uniqueArray(fc.record({ name: fc.integer({ min: 0, max: 99 }).map((n) => `s${n}`), weight: fc.integer({ min: 1, max: 300 }) }), { selector: ({ name }) => name, minLength: 1, maxLength: 8 });

test('turns: everybody gets some, by weight, and never waits longer than its share allows', () => {
  fc.assert(
    fc.property(sharesArbitrary, fc.boolean(), (shares, weighted) => {
      const table = turns(shares, weighted);
      assert.ok(table.length <= slotsMax);
      const sum = shares.reduce((all, { weight }) => all + weight, 0);
      for (const { name, weight } of shares) {
        const own = table.filter((one) => one === name).length;
        const part = weighted ? weight / sum : 1 / shares.length;
        assert.ok(own >= 1);
        assert.ok(Math.abs(own / table.length - part) <= (shares.length + 1) / table.length, `${name}: ${own} of ${table.length}, wanted ${part}`);
        // in the ring
        const doubled = [...table, ...table];
        const longest = doubled.join(' ').split(name === '' ? ' ' : new RegExp(`\\b${name}\\b`)).map((gap) => gap.trim().split(' ').filter((word) => word !== '').length);
        assert.ok(Math.max(...longest) <= Math.ceil(table.length / own) * 2, `${name} waits ${Math.max(...longest)} of ${table.length}`);
      }
      assert.deepEqual(ranges(table).flatMap(({ from, to, name }) => Array.from({ length: to - from + 1 }, () => name)), table);
    }),
    replay('balancing turns', schedules),
  );
});

test('hash slots: who leaves gives only its own slots away, and gets exactly these back', () => {
  fc.assert(
    fc.property(sharesArbitrary, fc.nat(), (shares, pick) => {
      const gone = shares[pick % shares.length]?.name;
      const [before, after] = [hashSlots(shares), hashSlots(shares.filter(({ name }) => name !== gone))];
      assert.equal(before.length, slotsMax);
      if (shares.length === 1) assert.deepEqual(after, []);
      else for (const [slot, name] of before.entries()) assert.equal(after[slot] === name, name !== gone);
    }),
    replay('balancing hash slots', Math.min(schedules, 50)),
  );
});
