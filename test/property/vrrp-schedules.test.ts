/** Schedules of two or three routers under trouble (test/vrrp-sim): none breaks a rule, and every wrong machine is found. The long run is `npm run sim:vrrp`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mutants } from '../vrrp-sim/mutants.js';
import { playSchedule } from '../vrrp-sim/schedule.js';

const first = Number(process.env.DRBDTS_SEED ?? Date.now() % 2 ** 31);
const count = process.env.DRBDTS_LONG === '1' ? 20_000 : 1000;
/** Seeds of the mutants are fixed: whether one is found is no matter of luck. */
const mutantSeeds = 300;

describe('VRRP schedules', () => {
  it(`${count} of them break no rule`, () => {
    console.log(`VRRP schedules: DRBDTS_SEED=${first}`);
    let checks = 0;
    let takeovers = 0;
    for (let seed = first; seed < first + count; seed++) {
      const outcome = playSchedule(seed);
      checks += outcome.checks;
      takeovers += outcome.takeovers;
      assert.equal(outcome.violation, null, `npm run sim:vrrp -- --count 1 --seed ${seed} --trace`);
    }
    assert.ok(takeovers > count && checks > 50 * count, `${takeovers} takeovers, ${checks} looks at a settled world`);
  });
  it('a seed gives the same schedule again', () => {
    const lines = (): string[] => {
      const all: string[] = [];
      playSchedule(7, undefined, (line) => all.push(line));
      return all;
    };
    assert.ok(lines().length > 20);
    assert.deepEqual(lines(), lines());
  });
  for (const { name, stepper } of mutants)
    it(`found: ${name}`, () => {
      for (let seed = 0; seed < mutantSeeds; seed++) if (playSchedule(seed, stepper).violation !== null) return;
      assert.fail(`${mutantSeeds} schedules found nothing`);
    });
});
