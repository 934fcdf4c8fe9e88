// Lives of two nodes over the real core: a fixed set of seeds, and a few that nobody has seen before.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../support/paths.js';

const sim = join(projectRoot, 'native/build/Release/sim');

function play(seed: number, count: number): { status: number | null; text: string } {
  const run = spawnSync(sim, ['--seed', String(seed), '--count', String(count), '--jobs', '2'], { encoding: 'utf8', maxBuffer: 1 << 26 });
  return { status: run.status, text: `${run.stdout}${run.stderr}` };
}

test('1,500 known lives end without a finding', () => {
  const { status, text } = play(1, 1500);
  assert.equal(status, 0, text);
  assert.match(text, /1500 lives, 0 found/);
});

test('every command, request and fault in every connection state, and every packet that comes late', () => {
  const run = spawnSync(sim, ['--grid'], { encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
  assert.match(run.stdout, /^[1-9][0-9]{3} lives, 0 found$/m);
});

test('every state and event is reached, or it is explained why not', () => {
  const run = spawnSync(sim, ['--seed', '1', '--count', '1', '--tables'], { cwd: projectRoot, encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
});

test('lives of a fresh seed end without a finding', (t) => {
  const seed = 1_000_000 + Math.floor(Math.random() * 1e9);
  t.diagnostic(`seed ${seed}; replay: npm run sim -- --seed ${seed} --count 100`);
  const { status, text } = play(seed, 100);
  assert.equal(status, 0, `npm run sim -- --seed ${seed} --count 100\n${text}`);
});
