/** Plays schedules from the command line: `node play.js FIRST COUNT`, or one with its sentences: `node play.js SEED trace [only N steps]`. */
import { random } from './scheduler.js';
import { ClusterWorld, noTotals, type Totals, type WorldOptions } from './world.js';

export type Step = readonly [what: number, a: number, b: number, ms: number];

export function stepsOf(seed: number): Step[] {
  const draw = random(seed ^ 0x5bd1e995);
  // a few faults with time between them, or many upon each other
  const storm = draw(6) === 0;
  const count = storm ? 10 + draw(25) : 1 + draw(8);
  return Array.from({ length: count }, () => [draw(ClusterWorld.kinds), draw(1000), draw(10_000), draw(3) === 0 ? draw(200) : draw(storm ? 1000 : 4000)] as const);
}

/** Plays one schedule. Returns what went wrong; ''. */
export function play(seed: number, steps: readonly Step[], totals: Totals | null, options: WorldOptions = {}): string {
  const world = new ClusterWorld(seed, options);
  world.run(steps.length % 4 === 0 ? 1200 : 2600);
  for (const [what, a, b, ms] of steps) {
    world.happen(what, a, b);
    world.run(ms);
    if (world.violations.length > 0) return world.violations[0] ?? '';
  }
  const result = world.heal();
  if (totals !== null) {
    for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] = key === 'slowestMs' ? Math.max(totals[key], world.totals[key]) : totals[key] + world.totals[key];
  }
  return result;
}

/** Indices of the steps without which it still goes wrong. */
export function shrink(seed: number): string {
  const steps = stepsOf(seed);
  const out = new Set<number>();
  for (let index = steps.length - 1; index >= 0; index--) {
    out.add(index);
    let fails = true;
    try {
      fails = play(seed, steps.filter((_, at) => !out.has(at)), null) !== '';
    } catch {
      // it still goes wrong
    }
    if (!fails) out.delete(index);
  }
  return [...out].sort((a, b) => a - b).join();
}

function main(): void {
  const [first, second] = process.argv.slice(2);
  const seed = Number(first);
  if (second === 'trace') {
    const skip = new Set((process.argv[4] ?? '').split(',').filter((text) => text !== '').map(Number));
    const steps = stepsOf(seed).filter((_, index) => !skip.has(index));
    console.log(play(seed, steps, null, { trace: true }));
    return;
  }
  const count = Number(second ?? 100);
  const totals = noTotals();
  const began = Date.now();
  let failed = 0;
  for (let i = seed; i < seed + count; i++) {
    let result: string;
    try {
      result = play(i, stepsOf(i), totals);
    } catch (error) {
      result = (error as Error).stack ?? String(error);
    }
    if (result === '') continue;
    failed += 1;
    console.log(`seed ${i}: ${result.slice(0, 420)} [steps left out: ${shrink(i)}]`);
  }
  console.log(`${count} schedules, ${failed} failed, ${((Date.now() - began) / count).toFixed(1)} ms each, ${JSON.stringify(totals)}`);
}

if (process.argv[1]?.endsWith('play.js') === true) main();
