/**
 * `npm run sim:mutants`: does the simulator notice when the core is broken? Each patch of native/sim/mutants breaks one rule; it is built in a scratch
 * copy (native/build/mutants), and lives are played until something is found. Fails if a mutant survives.
 *
 *   npm run sim:mutants -- [--only PART[,PART...]] [--seed N] [--count N] [--minutes M] [--jobs J] [--baseline N] [--json]
 */
import { parseArgs } from 'node:util';
import { align } from '../bench/table.js';
import { buildMutant, prepareScratch, unmutated } from './build.js';
import { hunt, Judge, type Verdict } from './judge.js';
import { type Mutant, mutantFolder, readMutants } from './mutant.js';

const usage = `npm run sim:mutants -- [--only PART[,PART...]] [--seed N] [--count N] [--minutes M] [--jobs J] [--baseline N] [--json]
  --only PART    mutants whose name contains it
  --seed N       first seed (default 1)
  --count N      lives at most per mutant (default 20000)
  --minutes M    time at most per mutant (default 4)
  --jobs J       lives at once (default 2)
  --baseline N   lives of the unmutated core first (default 2000); seeds on which it fails do not count
  --folder DIR   mutants from there (default native/sim/mutants)
  --json         one line of JSON per mutant instead of the table
`;

function fail(text: string): never {
  process.stderr.write(`sim:mutants: ${text}\n${usage}`);
  process.exit(64);
}

function parse() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', default: '' },
        seed: { type: 'string', default: '1' },
        count: { type: 'string', default: '20000' },
        minutes: { type: 'string', default: '4' },
        jobs: { type: 'string', default: '2' },
        baseline: { type: 'string', default: '2000' },
        folder: { type: 'string', default: mutantFolder },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

function number(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) fail(`--${option} expects a number above zero, got '${text}'`);
  return value;
}

const values = parse();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const first = number('seed', values.seed);
const count = number('count', values.count);
const timeoutMs = number('minutes', values.minutes) * 60_000;
const jobs = number('jobs', values.jobs);
const baseline = number('baseline', values.baseline);
const mutants = readMutants(values.only.split(',').filter((part) => part !== ''), values.folder);
if (mutants.length === 0) fail(`no mutant's name contains '${values.only}'`);

const tell = (text: string): void => {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : '');
};
const say = (text: string): void => {
  tell('');
  process.stderr.write(`${text}\n`);
};

prepareScratch();
const judge = new Judge(unmutated);
const found = await judge.learn(first, baseline, jobs, timeoutMs, (lives, so) => tell(`unmutated core: ${lives} lives, ${so} found`));
say(found === 0 ? `unmutated core: clean over ${baseline} lives` : `unmutated core: ${found} findings in ${baseline} lives; a mutant has to stand out from these`);

interface Row {
  readonly mutant: Mutant;
  readonly verdict: Verdict | undefined;
  readonly error: string;
}
const rows: Row[] = [];
for (const [index, mutant] of mutants.entries()) {
  const where = `${index + 1}/${mutants.length} ${mutant.name}`;
  tell(`${where}: builds`);
  let row: Row;
  try {
    const program = await buildMutant(mutant);
    row = { mutant, verdict: await hunt(program, judge, first, count, jobs, timeoutMs, (lives) => tell(`${where}: ${lives} lives`)), error: '' };
  } catch (error) {
    row = { mutant, verdict: undefined, error: error instanceof Error ? error.message : String(error) };
  }
  rows.push(row);
  const { verdict } = row;
  if (verdict === undefined) say(`${where}: NOT BUILT: ${row.error}`);
  else if (verdict.killed) say(`${where}: ${verdict.rule}, ${verdict.lives} lives (seed ${verdict.seed})`);
  else say(`${where}: SURVIVES ${verdict.played} lives${verdict.text === '' ? '' : ` (no more than without it: ${verdict.text})`}`);
  if (values.json) process.stdout.write(`${JSON.stringify({ name: mutant.name, sentence: mutant.sentence, error: row.error, ...verdict })}\n`);
}

const alive = rows.filter(({ verdict }) => verdict?.killed !== true);
if (!values.json) {
  const cells = rows.map(({ mutant, verdict }) => [mutant.name, verdict === undefined ? 'NOT BUILT' : verdict.killed ? verdict.rule : 'SURVIVES',
    verdict === undefined ? '' : String(verdict.killed ? verdict.lives : verdict.played), ` ${mutant.sentence}`]);
  const table = align([['mutant', 'killed by', 'lives'], ...cells.map((row) => row.slice(0, 3))]);
  process.stdout.write(`${table.map((line, row) => (row === 0 ? line : `${line} ${cells[row - 1]?.[3] ?? ''}`)).join('\n')}\n`);
  process.stdout.write(`${rows.length} mutants, ${rows.length - alive.length} killed, ${alive.length} survive or do not build\n`);
}
process.exitCode = alive.length === 0 ? 0 : 1;
