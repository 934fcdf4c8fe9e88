/**
 * `npm run sim:mutants`: does the simulator notice when the core is broken? Each patch of native/sim/mutants breaks one rule; it is built in a scratch
 * copy (native/build/mutants). The named scenarios are played with it, then lives, until something is found that the unmutated core does not do. Fails
 * if a mutant survives.
 *
 *   npm run sim:mutants -- [--only PART[,PART...]] [--seed N] [--count N] [--minutes M] [--jobs J] [--baseline N] [--lives-only] [--json] [--report FILE]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { align } from '../bench/table.js';
import { Bench, coreCommit, prepareScratch, unmutated } from './build.js';
import { hunt, Judge, tryScenarios } from './judge.js';
import { type Mutant, mutantFolder, readMutants } from './mutant.js';
import { markdown, needed, type Row } from './report.js';

const usage = `npm run sim:mutants -- [--only PART[,PART...]] [--seed N] [--count N] [--minutes M] [--jobs J] [--baseline N] [--lives-only] [--json] [--report FILE]
  --only PART    mutants whose name contains it
  --seed N       first seed (default 1)
  --count N      lives at most per mutant that no scenario notices (default 20000)
  --minutes M    time at most per mutant (default 4)
  --jobs J       mutants at once (default 2)
  --baseline N   lives of the unmutated core first (default 0); what it finds there has to be exceeded. Seeds on which it fails never count
  --lives-only   no scenarios: what do random lives notice?
  --folder DIR   mutants from there (default native/sim/mutants)
  --json         one line of JSON per mutant instead of the table
  --report FILE  the table also as Markdown, into that file (resources/docs/simulator-mutants.md)
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
        baseline: { type: 'string', default: '0' },
        'lives-only': { type: 'boolean', default: false },
        folder: { type: 'string', default: mutantFolder },
        json: { type: 'boolean', default: false },
        report: { type: 'string', default: '' },
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

function whole(option: string, text: string): number {
  const value = number(option, text);
  if (!Number.isInteger(value)) fail(`--${option} expects a whole number, got '${text}'`);
  return value;
}

function read(): Mutant[] {
  try {
    return readMutants(values.only.split(',').filter((part) => part !== ''), values.folder);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const values = parse();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const first = whole('seed', values.seed);
const count = whole('count', values.count);
const timeoutMs = number('minutes', values.minutes) * 60_000;
const jobs = whole('jobs', values.jobs);
const baseline = values.baseline === '0' ? 0 : whole('baseline', values.baseline);
const mutants = read();
if (mutants.length === 0) fail(values.only === '' ? `no mutants (*.patch) in ${values.folder}` : `no mutant's name contains '${values.only}'`);

const tell = (text: string): void => {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : '');
};
const say = (text: string): void => {
  tell('');
  process.stderr.write(`${text}\n`);
};

const begun = Date.now();
prepareScratch();
const judge = new Judge(unmutated);
if (!values['lives-only']) {
  const failing = await judge.learnScenarios(timeoutMs);
  say(`unmutated core: ${judge.scenarioFiles.length} scenarios hold${failing.length === 0 ? '' : `; these fail and say nothing: ${failing.join(', ')}`}`);
}
if (baseline > 0) {
  const found = await judge.learn(first, baseline, jobs, timeoutMs, (lives, so) => tell(`unmutated core: ${lives} lives, ${so} found`));
  say(found === 0 ? `unmutated core: clean over ${baseline} lives` : `unmutated core: ${found} findings in ${baseline} lives; a mutant has to stand out from these`);
}

async function examine(bench: Bench, mutant: Mutant, where: string): Promise<Row> {
  try {
    const program = await bench.build(mutant);
    const seen = values['lives-only'] ? undefined : await tryScenarios(program, judge, timeoutMs);
    const verdict = seen ?? (await hunt(program, judge, first, count, timeoutMs, (lives) => tell(`${where}: ${lives} lives`)));
    return { mutant, verdict, error: '' };
  } catch (error) {
    return { mutant, verdict: undefined, error: error instanceof Error ? error.message : String(error) };
  }
}

const rows: Row[] = [];
let next = 0;
async function work(bench: Bench): Promise<void> {
  for (let index = next++; index < mutants.length; index = next++) {
    const mutant = mutants[index] as Mutant;
    const where = `${index + 1}/${mutants.length} ${mutant.name}`;
    const row = await examine(bench, mutant, where);
    rows[index] = row;
    const { verdict } = row;
    if (verdict === undefined) say(`${where}: NOT BUILT: ${row.error}`);
    else if (verdict.killed) say(`${where}: ${verdict.rule}, ${verdict.by} (${needed(verdict)})`);
    else say(`${where}: SURVIVES ${verdict.played} lives${verdict.text === '' ? '' : ` (no more than without it: ${verdict.text})`}`);
    if (values.json) process.stdout.write(`${JSON.stringify({ name: mutant.name, sentence: mutant.sentence, error: row.error, ...verdict })}\n`);
  }
}
await Promise.all(Array.from({ length: Math.min(jobs, mutants.length) }, (_, worker) => work(new Bench(`bench-${worker}`))));

const alive = rows.filter(({ verdict }) => verdict?.killed !== true);
if (!values.json) {
  const cells = rows.map(({ mutant, verdict }) => [mutant.name, verdict === undefined ? 'NOT BUILT' : verdict.killed ? verdict.rule : 'SURVIVES', verdict?.by ?? '',
    verdict === undefined ? '' : verdict.killed ? needed(verdict) : `${verdict.played} lives`, ` ${mutant.sentence}`]);
  const table = align([['mutant', 'killed by', 'in', 'needed'], ...cells.map((row) => row.slice(0, 4))]);
  process.stdout.write(`${table.map((line, row) => (row === 0 ? line : `${line} ${cells[row - 1]?.[4] ?? ''}`)).join('\n')}\n`);
  process.stdout.write(`${rows.length} mutants, ${rows.length - alive.length} killed, ${alive.length} survive or do not build, ${Math.round((Date.now() - begun) / 1000)} s\n`);
}
if (values.report !== '') writeFileSync(values.report, markdown(rows, await coreCommit()));
process.exitCode = alive.length === 0 ? 0 : 1;
