/** `npm run sim:vrrp -- [--count N] [--seed N] [--trace]`: plays N seeds one after the other; ends with 1 at the first violation and prints its seed. */
import { parseArgs } from 'node:util';
import { playSchedule } from './schedule.js';

const { values } = parseArgs({ options: { count: { type: 'string', default: '100000' }, seed: { type: 'string' }, trace: { type: 'boolean', default: false } } });
const count = Number(values.count);
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(first)) {
  console.error('--count and --seed want whole numbers');
  process.exit(2);
}
console.log(`vrrp schedules: seeds ${first} to ${first + count - 1}`);
const begin = performance.now();
let takeovers = 0;
let checks = 0;
for (let seed = first; seed < first + count; seed++) {
  const outcome = playSchedule(seed, undefined, values.trace ? (line) => console.log(line) : null);
  takeovers += outcome.takeovers;
  checks += outcome.checks;
  if (outcome.violation !== null) {
    console.log(`seed ${seed}: ${outcome.violation}`);
    console.log(`replay: npm run sim:vrrp -- --count 1 --seed ${seed} --trace`);
    process.exit(1);
  }
  if ((seed - first + 1) % 10_000 === 0) console.log(`${seed - first + 1} schedules, ${((performance.now() - begin) / 1000).toFixed(0)} s`);
}
console.log(`${count} schedules, ${takeovers} takeovers, ${checks} looks at a settled world, no violation, ${((performance.now() - begin) / 1000).toFixed(1)} s`);
