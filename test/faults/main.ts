/** `npm run faults`: random faults on real processes, judged from outside. `--help` says how; resources/docs/faults.md explains it. */
import { randomInt } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { Lab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { Arena } from './arena.js';
import { type Played, play, playedLine } from './play.js';
import { drawSchedule, type FaultKind, faultText, kindNames } from './schedule.js';

interface Options {
  readonly count: number;
  readonly seed?: number;
  readonly minutes?: number;
  readonly perLab: number;
  readonly only: readonly FaultKind[];
  readonly print: boolean;
  readonly json?: string;
}

function whole(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('a whole number is expected.');
  return Number(text);
}

function positive(text: string): number {
  const value = whole(text);
  if (value === 0) throw new InvalidArgumentError('more than 0 is expected.');
  return value;
}

function kindsOf(text: string): FaultKind[] {
  return text.split(',').map((name) => {
    const found = kindNames.find((kind) => kind === name);
    if (found === undefined) throw new InvalidArgumentError(`there is no fault "${name}"; there are: ${kindNames.join(', ')}.`);
    return found;
  });
}

const command = new Command('npm run faults --')
  .description('Plays random schedules of faults on a cluster of real processes and judges what clients saw.')
  .option('--count <n>', 'how many schedules', positive, 10)
  .option('--seed <s>', 'seed of the first schedule, the others follow; default: a random one, printed', whole)
  .option('--minutes <m>', 'begin no schedule after this time', positive)
  .option('--per-lab <n>', 'schedules until the cluster is built anew', positive, 20)
  .option('--only <kinds>', 'faults to draw from, with commas between', kindsOf, kindNames)
  .option('--print', 'print the schedules and play none', false)
  .option('--json <file>', 'write a summary for programs')
  .allowExcessArguments(false)
  .showHelpAfterError('(--help lists the options)');

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** In a cluster of its own for every `perLab` schedules, and after a failure. */
async function playAll(seeds: readonly number[], options: Options, keepDir: () => string, deadlineMs: number): Promise<Played[]> {
  const all: Played[] = [];
  const left = [...seeds];
  while (left.length > 0 && performance.now() < deadlineMs) {
    const lab = new Lab('faults');
    const first = left[0] ?? 0;
    try {
      const arena = await Arena.create(lab);
      let failed = false;
      for (let index = 0; index < options.perLab && left.length > 0 && !failed && performance.now() < deadlineMs; index++) {
        const seed = left.shift() ?? 0;
        const played = await play(arena, drawSchedule(seed, options.only));
        all.push(played);
        print(playedLine(played));
        failed = played.wrong.length > 0;
        if (!failed) continue;
        const dir = join(keepDir(), `seed-${seed}`);
        await arena.keep(dir);
        print(`       logs: ${dir}; again: npm run faults -- --seed ${seed} --count 1${seed === first ? '' : `, or with what went before: --seed ${first} --count ${seed - first + 1}`}`);
      }
      if (failed) continue;
      const wrong = await arena.lastLook().catch((error: Error) => [error.message]);
      const last = all.at(-1);
      if (wrong.length === 0 || last === undefined) continue;
      all[all.length - 1] = { ...last, wrong };
      const dir = join(keepDir(), `after-seed-${last.seed}`);
      await arena.keep(dir);
      print(`FAILED after seed ${last.seed}: ${wrong.join('; ')}; logs: ${dir}; again: npm run faults -- --seed ${first} --count ${last.seed - first + 1}`);
    } catch (error) {
      throw lab.explain(error);
    } finally {
      await lab.close();
    }
  }
  return all;
}

function summary(all: readonly Played[]): Record<string, unknown> {
  const kinds: Record<string, number> = {};
  for (const kind of all.flatMap((played) => played.kinds)) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const outages = all.map(({ outageMs }) => outageMs).sort((left, right) => left - right);
  const healthy = all.map(({ healthyAfterMs }) => healthyAfterMs ?? Number.POSITIVE_INFINITY).sort((left, right) => left - right);
  const acts: Record<string, number> = {};
  for (const { act } of all.flatMap(({ operator }) => operator)) acts[act] = (acts[act] ?? 0) + 1;
  return {
    runs: all.length,
    failed: all.filter(({ wrong }) => wrong.length > 0).map(({ seed, wrong }) => ({ seed, wrong })),
    seeds: all.length === 0 ? [] : [all[0]?.seed, all.at(-1)?.seed],
    rows: all.reduce((sum, { rows }) => sum + rows, 0),
    faults: kinds,
    outageMs: { median: outages[Math.floor(outages.length / 2)], max: outages.at(-1) },
    healthyAfterMs: { median: healthy[Math.floor(healthy.length / 2)], max: healthy.at(-1) },
    operator: acts,
    selfFenced: all.reduce((sum, { fenced }) => sum + fenced.length, 0),
    minutes: Number((all.reduce((sum, { tookMs }) => sum + tookMs, 0) / 60_000).toFixed(1)),
  };
}

async function main(): Promise<number> {
  const options = command.parse().opts<Options>();
  const first = options.seed ?? randomInt(1, 1_000_000_000);
  const seeds = Array.from({ length: options.count }, (_, index) => first + index);
  print(`seeds ${first} to ${seeds.at(-1)}`);
  if (options.print) {
    for (const seed of seeds) print(`seed ${seed}: ${drawSchedule(seed, options.only).faults.map(faultText).join(', ')}`);
    return 0;
  }
  const unavailable = labUnavailable();
  if (unavailable !== false) {
    process.stderr.write(`can not run here: ${unavailable}\n`);
    return 2;
  }
  let dir = '';
  const keepDir = (): string => (dir ||= mkdtempSync(join(tmpdir(), 'drbdts-faults-kept-')));
  const deadlineMs = options.minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.minutes * 60_000;
  const all = await playAll(seeds, options, keepDir, deadlineMs);
  const result = summary(all);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ ...result, runsInFull: all }, null, 1)}\n`);
  for (const [name, value] of Object.entries(result)) print(`${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
  const failed = all.filter(({ wrong }) => wrong.length > 0).length;
  print(`${all.length - failed} passed, ${failed} failed`);
  return failed === 0 && all.length > 0 ? 0 : 1;
}

process.exitCode = await main();
