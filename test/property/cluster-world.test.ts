/**
 * The whole decision code of the cluster layer joined: two nodes with the real membership, manager, decide, placement, group machines, record
 * watch, arbitration agents and register, in a world of faults (test/cluster-sim). Schedules follow from their number alone.
 * DRBDTS_CLUSTER_SCHEDULES sets how many are played (as many as 20 s allow), DRBDTS_SEED the first one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { play, shrink, stepsOf } from '../cluster-sim/play.js';
import { noTotals } from '../cluster-sim/world.js';

const wanted = process.env.DRBDTS_CLUSTER_SCHEDULES === undefined ? null : Number(process.env.DRBDTS_CLUSTER_SCHEDULES);
const budgetMs = 20_000;
const first = Number(process.env.DRBDTS_SEED ?? Date.now() % 2 ** 30);
console.log(`cluster world: DRBDTS_SEED=${first}`);

test('two nodes never both serve, no acknowledged write is lost, and every group runs again when the faults are over', () => {
  const totals = noTotals();
  const began = Date.now();
  let played = 0;
  for (; wanted === null ? Date.now() - began < budgetMs : played < wanted; played += 1) {
    const seed = first + played;
    const result = play(seed, stepsOf(seed), totals);
    assert.equal(result, '', `seed ${seed}: node dist/test/cluster-sim/play.js ${seed} trace ${result === '' ? '' : shrink(seed)}`);
  }
  console.log(`cluster world: ${played} schedules, ${JSON.stringify(totals)}`);
  assert.ok(played < 50 || (totals.moves > 0 && totals.alone > 0 && totals.writes > 0), 'the schedules reach what they are about');
});

for (const breakRule of ['arbiter', 'probe'] as const) {
  test(`the judge notices when the rule about the ${breakRule} is left out`, () => {
    let noticed = '';
    for (let seed = 1; seed < 600 && noticed === ''; seed += 1) noticed = play(seed, stepsOf(seed), null, { breakRule });
    assert.notEqual(noticed, '');
  });
}
