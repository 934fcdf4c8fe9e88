/** Medians, ratios inside a round, and tables in plain text. */
import type { Job, Sample } from './jobs.js';

export type Results = Map<string, Map<string, (Sample | null)[]>>;

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? Number.NaN) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Ratios of IOPS of `target` to `base` in each round both were measured in. */
export function ratios(results: Results, job: string, target: string, base: string): number[] {
  const mine = results.get(job)?.get(target) ?? [];
  const theirs = results.get(job)?.get(base) ?? [];
  return mine.flatMap((sample, round) => {
    const other = theirs[round];
    return sample === null || other === null || other === undefined ? [] : [sample.iops / other.iops];
  });
}

export function align(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ').trimEnd());
}

const number = (value: number, digits = 0): string => (Number.isNaN(value) ? '-' : value.toFixed(digits));

/** One row per job and target: medians over the rounds. */
export function sampleTable(results: Results, jobs: readonly Job[], targets: readonly { name: string; title: string }[]): string[] {
  const rows: string[][] = [['job', 'target', 'IOPS', 'MB/s', 'p50 us', 'p99 us', 'cpu us/io', 'x loop', '(min..max)']];
  for (const job of jobs) {
    for (const target of targets) {
      const samples = (results.get(job.name)?.get(target.name) ?? []).filter((sample) => sample !== null);
      const of = (pick: (sample: Sample) => number | null): number => median(samples.map(pick).filter((value) => value !== null));
      const ratio = ratios(results, job.name, target.name, 'loop');
      rows.push([
        job.title, target.title, number(of((sample) => sample.iops)), number(of((sample) => sample.mbPerS), 1), number(of((sample) => sample.p50), 1),
        number(of((sample) => sample.p99), 1), number(of((sample) => sample.cpuPerIo), 1), number(median(ratio), 2),
        ratio.length === 0 ? '' : `(${Math.min(...ratio).toFixed(2)}..${Math.max(...ratio).toFixed(2)})`,
      ]);
    }
  }
  return align(rows);
}

export interface Bar {
  readonly job: string;
  readonly what: string;
  readonly ratio: number;
  readonly bar: number;
}

/** Every bar of the given jobs with what was measured; a ratio without samples is NaN. */
export function bars(results: Results, jobs: readonly Job[], withQuorum: boolean): Bar[] {
  return jobs.flatMap((job) => {
    if (job.bars === undefined) return [];
    const of = (what: string, target: string, base: string, bar: number): Bar => ({ job: job.title, what, bar, ratio: median(ratios(results, job.name, target, base)) });
    return [
      of('drbdts alone / loop over raw', 'alone', 'loop', job.bars.alone),
      of('drbdts connected / loop over raw', 'connected', 'loop', job.bars.connected),
      ...(withQuorum ? [of('drbdts connected / qemu quorum pair', 'connected', 'quorum', job.bars.quorum)] : []),
    ];
  });
}

export const passes = (bar: Bar): boolean => bar.ratio >= bar.bar;

export function barTable(all: readonly Bar[]): string[] {
  return align([
    ['job', 'ratio', 'measured', 'bar', ''],
    ...all.map((bar) => [bar.job, bar.what, number(bar.ratio, 2), bar.bar.toFixed(2), passes(bar) ? 'pass' : 'FAIL']),
  ]);
}
