/** The jobs of the benchmark, the bars they have to reach, and running one of them with fio. */
import { must } from '../support/exec.js';
import { cpuSeconds } from '../support/processes.js';

export interface Job {
  readonly name: string;
  readonly title: string;
  readonly rw: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockSize: string;
  readonly depth: number;
  readonly fsync?: boolean;
  /** Least ratios: drbdts alone and connected to the loop device over the raw disk, connected to the quorum pair. */
  readonly bars?: { readonly alone: number; readonly connected: number; readonly quorum: number };
}

export const jobs: readonly Job[] = [
  { name: 'w4k1', title: '4k random write QD1', rw: 'randwrite', blockSize: '4k', depth: 1, bars: { alone: 0.7, connected: 0.4, quorum: 1.2 } },
  { name: 'w4k8', title: '4k random write QD8', rw: 'randwrite', blockSize: '4k', depth: 8, bars: { alone: 0.7, connected: 0.35, quorum: 1.7 } },
  { name: 'w4k32', title: '4k random write QD32', rw: 'randwrite', blockSize: '4k', depth: 32, bars: { alone: 0.6, connected: 0.33, quorum: 3 } },
  { name: 'fs4k1', title: '4k write + fsync QD1', rw: 'randwrite', blockSize: '4k', depth: 1, fsync: true, bars: { alone: 0.7, connected: 0.4, quorum: 1.3 } },
  { name: 'r4k1', title: '4k random read QD1', rw: 'randread', blockSize: '4k', depth: 1 },
  { name: 'r4k32', title: '4k random read QD32', rw: 'randread', blockSize: '4k', depth: 32, bars: { alone: 0.65, connected: 0.65, quorum: 1.6 } },
  { name: 'sw128k', title: '128k sequential write QD4', rw: 'write', blockSize: '128k', depth: 4, bars: { alone: 0.7, connected: 0.36, quorum: 1.3 } },
  { name: 'sr128k', title: '128k sequential read QD4', rw: 'read', blockSize: '128k', depth: 4 },
  { name: 'sw1m', title: '1M sequential write QD4', rw: 'write', blockSize: '1m', depth: 4, bars: { alone: 0.75, connected: 0.32, quorum: 1.2 } },
  { name: 'sr1m', title: '1M sequential read QD4', rw: 'read', blockSize: '1m', depth: 4 },
];

export interface Sample {
  readonly iops: number;
  readonly mbPerS: number;
  /** Completion latency in microseconds; of write and flush together for a job with fsync. */
  readonly p50: number;
  readonly p99: number;
  /** CPU time of the serving processes per I/O in microseconds; null when no process serves. */
  readonly cpuPerIo: number | null;
}

interface FioSide {
  readonly total_ios: number;
  readonly iops: number;
  readonly bw_bytes: number;
  readonly runtime: number;
  readonly clat_ns: { readonly percentile?: Record<string, number> };
}
interface FioReport {
  readonly jobs: readonly { readonly read: FioSide; readonly write: FioSide; readonly sync?: { readonly lat_ns: { readonly percentile?: Record<string, number> } } }[];
}

const rampS = 0.5;

/** fio's command line for a job on a path; `sizeMib` bounds the region. */
export function fioArguments(job: Job, path: string, seconds: number, sizeMib: number): string[] {
  return [
    'fio', '--name=bench', `--filename=${path}`, '--direct=1', '--ioengine=io_uring', `--rw=${job.rw}`, `--bs=${job.blockSize}`, `--iodepth=${job.depth}`,
    '--time_based', `--runtime=${seconds}`, `--ramp_time=${rampS}`, '--randrepeat=0', '--norandommap', '--fallocate=none', `--size=${sizeMib}m`,
    '--output-format=json', ...(job.fsync === true ? ['--fsync=1'] : []),
  ];
}

/** What fio measured. `cpuS` is what the serving processes used meanwhile, null when there are none. */
export function readReport(text: string, job: Job, cpuS: number | null): Sample {
  const report = JSON.parse(text.slice(text.indexOf('{'))) as FioReport;
  const result = report.jobs[0];
  const side = result === undefined ? undefined : job.rw.includes('write') ? result.write : result.read;
  if (side === undefined || side.total_ios === 0) throw new Error(`${job.name}: fio did no I/O`);
  const percentile = (key: string): number =>
    ((side.clat_ns.percentile?.[key] ?? 0) + (job.fsync === true ? (result?.sync?.lat_ns.percentile?.[key] ?? 0) : 0)) / 1000;
  const seconds = side.runtime / 1000;
  return {
    iops: side.iops,
    mbPerS: side.bw_bytes / 1e6,
    p50: percentile('50.000000'),
    p99: percentile('99.000000'),
    // the processes ran during the ramp, too, whose I/O fio does not count
    cpuPerIo: cpuS === null ? null : (1e6 * cpuS) / (side.total_ios * ((seconds + rampS) / seconds)),
  };
}

/** Runs a job once. `prefix` is put before fio, to run it inside a host. */
export async function measure(
  job: Job,
  target: { readonly path: string; readonly pids: readonly number[]; readonly inside: (argv: readonly string[]) => string[] },
  seconds: number,
  sizeMib: number,
): Promise<Sample> {
  const cpu = (): number => target.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const before = cpu();
  const text = await must(target.inside(fioArguments(job, target.path, seconds, sizeMib)), { timeoutMs: (seconds + 120) * 1000 });
  return readReport(text, job, target.pids.length === 0 ? null : cpu() - before);
}
