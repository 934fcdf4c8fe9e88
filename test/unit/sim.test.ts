// Lives of two nodes over the real core: a fixed set of seeds, and a few that nobody has seen before.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const sim = fileURLToPath(new URL('../../../native/build/Release/sim', import.meta.url));

function play(seed: number, count: number): { status: number | null; text: string } {
  const run = spawnSync(sim, ['--seed', String(seed), '--count', String(count), '--jobs', '2'], { encoding: 'utf8', maxBuffer: 1 << 26 });
  return { status: run.status, text: `${run.stdout}${run.stderr}` };
}

test('1,500 known lives end without a finding', () => {
  const { status, text } = play(1, 1500);
  assert.equal(status, 0, text);
  assert.match(text, /1500 lives, 0 found/);
});

test('lives of a fresh seed end without a finding', (t) => {
  const seed = 1_000_000 + Math.floor(Math.random() * 1e9);
  t.diagnostic(`seed ${seed}; replay: npm run sim -- --seed ${seed} --count 200`);
  const { status, text } = play(seed, 200);
  assert.equal(status, 0, `npm run sim -- --seed ${seed} --count 200\n${text}`);
});
