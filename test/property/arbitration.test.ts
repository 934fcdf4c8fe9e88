/**
 * Arbitration under lost, late and repeated messages, crashes, pauses, full disks and registers restored from old copies. DRBDTS_SCHEDULES
 * sets how many schedules are played (2,000).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ArbitrationWorld } from './arbitration-world.js';
import { replay } from './replay.js';

const schedules = Number(process.env.DRBDTS_SCHEDULES ?? 2000);

const step = fc.tuple(fc.nat(19), fc.nat(9999), fc.nat(9999), fc.nat(2500));
const schedule = fc.tuple(fc.nat(0x7fff_ffff), fc.array(step, { minLength: 3, maxLength: 40, size: 'max' }));

interface Totals {
  served: number;
  denials: number;
  swaps: number;
}

function play([seed, steps]: [number, [number, number, number, number][]], breakRule: string, totals: Totals | null): ArbitrationWorld {
  const world = new ArbitrationWorld(seed, breakRule);
  world.run(50);
  for (const [what, a, b, ms] of steps) {
    world.happen(what, a, b);
    world.pass(ms);
    if (world.violations.length > 0) break;
  }
  if (totals !== null) {
    totals.served += world.served;
    totals.denials += world.denials;
    totals.swaps += world.swaps;
  }
  return world;
}

describe('arbitration', () => {
  it('no acknowledged write is lost, two nodes never both go on, and it heals', () => {
    const totals: Totals = { served: 0, denials: 0, swaps: 0 };
    fc.assert(
      fc.property(schedule, (drawn) => {
        const world = play(drawn, '', totals);
        assert.deepEqual(world.violations, []);
        assert.equal(world.heal(), '');
        assert.deepEqual(world.violations, []);
      }),
      replay('arbitration', schedules),
    );
    console.log(`arbitration: ${schedules} schedules, ${totals.swaps} swaps, ${totals.served} times on alone, ${totals.denials} times denied`);
    assert.ok(totals.served > schedules / 10 && totals.denials > schedules / 100, 'the schedules reach what they are about');
  });

  it('a register that forgets that it may be old is noticed', () => {
    const broken = fc.check(
      fc.property(schedule, (drawn) => play(drawn, 'vouching', null).violations.length === 0),
      { seed: 4711, numRuns: 20_000, endOnFailure: true },
    );
    assert.equal(broken.failed, true);
  });
});
