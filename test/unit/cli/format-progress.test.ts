import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatAmounts,
  formatBar,
  formatDuration,
  formatPercent,
  formatSpeed,
  progressPerMille,
} from '../../../src/cli/format-progress.js';
import { makeResync } from './fixtures.js';

// left and total in KiB with the percentage and bar that the kernel's /proc/drbd showed for them
const shown: readonly (readonly [number, number, string, string])[] = [
  [924860, 1048508, '12.2%', '[=>..................]'],
  [65432, 65496, '6.3%', '[>...................]'],
  [63212, 65496, '6.3%', '[>...................]'],
  [60428, 65496, '12.5%', '[=>..................]'],
  [57936, 65496, '12.5%', '[=>..................]'],
  [56512, 65496, '18.8%', '[==>.................]'],
];

for (const [left, total, percent, bar] of shown) {
  test(`${left} of ${total} KiB left is shown as ${percent} ${bar}`, () => {
    const perMille = progressPerMille(left, total);
    assert.equal(formatPercent(perMille), percent);
    assert.equal(formatBar(perMille), bar);
  });
}

test('progress stays between 0 and 100 % whatever the daemon reports', () => {
  assert.equal(progressPerMille(0, 65496), 1000);
  assert.equal(progressPerMille(10 * 65496, 65496), 0);
  assert.equal(progressPerMille(0, 0), 1000);
  assert.equal(formatPercent(1000), '100.0%');
  assert.equal(formatBar(1000), '[===================>]');
  assert.equal(formatBar(0), '[>....................]');
});

test('a volume of 16 TiB has sensible progress', () => {
  const total = 16 * 2 ** 30;
  assert.equal(formatPercent(progressPerMille(total / 2, total)), '50.1%');
});

test('amounts are KiB up to 4 GiB and MiB above', () => {
  assert.equal(formatAmounts(924860, 1048508), '(924860/1048508)K');
  assert.equal(formatAmounts(4194304, 4194304), '(4194304/4194304)K');
  assert.equal(formatAmounts(2097152, 8388608), '(2048/8192)M');
});

test('durations have hours without limit', () => {
  assert.equal(formatDuration(44), '0:00:44');
  assert.equal(formatDuration(163), '0:02:43');
  assert.equal(formatDuration(360000), '100:00:00');
});

test('speed is the line of /proc/drbd; the side that drives adds what it wants', () => {
  assert.equal(formatSpeed(makeResync(), false), 'finish: 0:00:44 speed: 20,608 (20,608) K/sec');
  const target = makeResync({ finishSeconds: 34, speedKibPerS: 1688, averageKibPerS: 1688, wantKibPerS: 2720 });
  assert.equal(formatSpeed(target, true), 'finish: 0:00:34 speed: 1,688 (1,688) want: 2,720 K/sec');
  assert.equal(formatSpeed(makeResync({ stalled: true }), false), 'finish: 0:00:44 speed: 20,608 (20,608) K/sec (stalled)');
});
