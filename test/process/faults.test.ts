/** Random faults on real processes, a few of them; `npm run faults` plays as many as one has time for. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { Arena } from '../faults/arena.js';
import { play, playedLine } from '../faults/play.js';
import { drawSchedule } from '../faults/schedule.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';

const schedules = 2;

test('random faults: no acknowledged row is lost, two nodes never serve, the cluster gets well', { skip: labUnavailable(), timeout: 240_000 }, () =>
  withLab('faults', async (lab) => {
    const first = randomInt(1, 1_000_000_000);
    console.log(`faults: npm run faults -- --seed ${first} --count ${schedules}`);
    const arena = await Arena.create(lab);
    for (let seed = first; seed < first + schedules; seed++) {
      const played = await play(arena, drawSchedule(seed));
      assert.deepEqual(played.wrong, [], `${playedLine(played)}\n${arena.story.join('\n')}`);
      assert.ok(played.rows > 0);
    }
  }),
);
