/**
 * `npm run bench`: drbdts beside the raw disk, a loop device and a qemu quorum pair. In every round each job runs on each target, one right
 * after the other, and ratios are formed inside a round, because absolute figures of a shared machine move by tens of percent.
 *
 *   npm run bench -- [--rounds 5] [--runtime 3] [--jobs w4k1,sw1m] [--size-mib 1024] [--json FILE] [--no-quorum] [--no-extras]
 */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Lab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { type Bound, BoundProbe } from './bound.js';
import { largeVolume, resyncLatency, resyncSpeed } from './extras.js';
import { jobs as allJobs, measure, type Sample } from './jobs.js';
import { runBench } from './run-bench.js';
import { align, barTable, bars, median, passes, type Results, sampleTable } from './table.js';
import { aloneTarget, connectedTarget, quorumTarget, rawTargets, type Target } from './targets.js';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    runtime: { type: 'string', default: '3' },
    jobs: { type: 'string', default: allJobs.map(({ name }) => name).join(',') },
    'size-mib': { type: 'string', default: '1024' },
    json: { type: 'string' },
    'no-quorum': { type: 'boolean', default: false },
    'no-extras': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write('npm run bench -- [--rounds 5] [--runtime 3] [--jobs w4k1,sw1m] [--size-mib 1024] [--json FILE] [--no-quorum] [--no-extras]\n');
  process.exit(0);
}

const print = (lines: string | readonly string[]): void => {
  process.stdout.write(`${typeof lines === 'string' ? lines : lines.join('\n')}\n`);
};

function latencyTable(bounds: readonly Bound[], results: Results): string[] {
  const of = (pick: (bound: Bound) => number): string => median(bounds.map(pick)).toFixed(1);
  const limit = median(bounds.map(({ p50 }) => p50));
  const connected = (results.get('w4k1')?.get('connected') ?? []).filter((sample) => sample !== null);
  const ours = median(connected.map(({ p50 }) => p50));
  return [
    ...align([
      ['4k write, one at a time', '', 'p50 us', 'p99 us'],
      ['local write', '', of((bound) => bound.localWrite.p50), of((bound) => bound.localWrite.p99)],
      ['round trip (4 KiB out, 32 bytes back)', '', of((bound) => bound.roundTrip.p50), of((bound) => bound.roundTrip.p99)],
      ["round trip + peer's write", '', of((bound) => bound.remoteWrite.p50), of((bound) => bound.remoteWrite.p99)],
      ["bound: max(local, round trip + peer's write)", '', limit.toFixed(1), ''],
      ['drbdts connected, through its device', '', ours.toFixed(1), ''],
    ]),
    `drbdts connected is ${(ours / limit).toFixed(2)} times the physical bound (p50, 4k random write QD1)`,
  ];
}

async function extras(lab: Lab, connected: Awaited<ReturnType<typeof connectedTarget>>, probe: BoundProbe, rounds: number, runtime: number, sizeMib: number): Promise<string[]> {
  const speeds = [];
  const latencies = [];
  for (let round = 0; round < rounds; round++) {
    // as fast as it goes: DRBD's defaults leave a resync to 4 MiB (half of max-buffers) per tenth of a second
    connected.pair.configure({ net: { 'max-buffers': 131072 }, disk: { 'c-plan-ahead': 0, 'resync-rate': '2000M', 'c-max-rate': '4000M', 'c-min-rate': 0 } });
    await connected.pair.both((host) => host.drbdts('adjust', 'r0'));
    speeds.push(await resyncSpeed(connected.pair, probe, sizeMib));
    // resync at the default rate limits, so that it lasts while the application is measured
    connected.pair.configure({ disk: { 'c-max-rate': '40M', 'resync-rate': '20M', 'c-fill-target': 100, 'c-min-rate': '250K' } });
    await connected.pair.both((host) => host.drbdts('adjust', 'r0'));
    latencies.push(await resyncLatency(connected.pair, connected, runtime, sizeMib));
    connected.pair.configure();
    await connected.pair.both((host) => host.drbdts('adjust', 'r0'));
  }
  const large = await largeVolume(lab);
  const ratio = median(speeds.map(({ resyncMbPerS, copyMbPerS }) => resyncMbPerS / copyMbPerS));
  const slower = median(latencies.map(({ idle, busy }) => busy / idle));
  const mark = (good: boolean): string => (good ? 'pass' : 'FAIL');
  return align([
    ['measurement', '', 'measured', 'bar', ''],
    ['resync', 'MB/s', median(speeds.map(({ resyncMbPerS }) => resyncMbPerS)).toFixed(1), '', ''],
    ['plain copy over the same link', 'MB/s', median(speeds.map(({ copyMbPerS }) => copyMbPerS)).toFixed(1), '', ''],
    ['resync / plain copy', '', ratio.toFixed(2), '0.80', mark(ratio >= 0.8)],
    ["application's p99 during / without resync", '', slower.toFixed(2), '2.00', mark(slower <= 2)],
    ['  resync still ran when it was measured', '', `${latencies.filter(({ overlapped }) => overlapped).length} of ${latencies.length}`, '', ''],
    ['attach of a sparse disk of 15.9 TiB', 's', large.attachSeconds.toFixed(2), '2.00', mark(large.attachSeconds < 2)],
    ['memory of that volume', 'MiB', large.memoryMib.toFixed(0), large.allowedMib.toFixed(0), mark(large.memoryMib <= large.allowedMib)],
  ]);
}

async function bench(lab: Lab): Promise<boolean> {
  const rounds = Number(values.rounds);
  const runtime = Number(values.runtime);
  const sizeMib = Number(values['size-mib']);
  const names = values.jobs.split(',');
  const jobs = allJobs.filter(({ name }) => names.includes(name));
  const unknown = names.filter((name) => !allJobs.some((job) => job.name === name));
  if (unknown.length > 0 || !(rounds >= 1) || !(runtime > 0)) throw new Error(`bad arguments; jobs are ${allJobs.map(({ name }) => name).join(', ')}`);

  print('preparing the targets');
  const targets: Target[] = await rawTargets(lab, sizeMib);
  targets.push(await aloneTarget(lab, sizeMib));
  const connected = await connectedTarget(lab, sizeMib);
  targets.push(connected);
  const quorum = values['no-quorum'] ? null : await quorumTarget(lab, sizeMib);
  if (quorum !== null) targets.push(quorum);
  else print('no qemu quorum pair (qemu-storage-daemon is not installed, or --no-quorum)');
  const probe = await BoundProbe.create(lab, Math.min(sizeMib, 1024));

  const results: Results = new Map(jobs.map(({ name }) => [name, new Map(targets.map((target) => [target.name, [] as (Sample | null)[]]))]));
  const bounds: Bound[] = [];
  // meta-data take the end of each volume
  const regionMib = Math.floor(sizeMib * 0.9);
  for (let round = 0; round < rounds; round++) {
    bounds.push(await probe.measure());
    for (const job of jobs) {
      for (const target of [...targets.slice(round % targets.length), ...targets.slice(0, round % targets.length)]) {
        let sample: Sample | null = null;
        try {
          sample = await measure(job, target, runtime, regionMib);
        } catch (error) {
          print(`${job.name} on ${target.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
        results.get(job.name)?.get(target.name)?.push(sample);
      }
    }
    print(`round ${round + 1} of ${rounds} done, load ${loadavg()[0]?.toFixed(1) ?? '?'}`);
  }

  const reached = bars(results, jobs, quorum !== null);
  print(['', `Medians of ${rounds} rounds, ${runtime} s each; ratios are formed inside a round.`, '', ...sampleTable(results, jobs, targets), '', ...barTable(reached)]);
  print(['', ...latencyTable(bounds, results)]);
  const more = values['no-extras'] ? [] : await extras(lab, connected, probe, rounds, runtime, Math.min(sizeMib, 1024));
  if (more.length > 0) print(['', ...more]);
  if (values.json !== undefined) {
    const plain = Object.fromEntries([...results].map(([job, byTarget]) => [job, Object.fromEntries(byTarget)]));
    writeFileSync(values.json, `${JSON.stringify({ rounds, runtime, sizeMib, results: plain, bars: reached, bounds, extras: more }, null, 2)}\n`);
  }
  const failed = reached.filter((bar) => !passes(bar)).length + more.filter((line) => line.endsWith('FAIL')).length;
  print(['', failed === 0 ? 'all bars reached' : `${failed} bars not reached`]);
  return failed === 0;
}

await runBench('bench', labUnavailable(), bench);
