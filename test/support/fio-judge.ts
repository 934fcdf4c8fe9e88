/** fio as the judge of a failover: it writes until its device dies, remembers what was acknowledged, and checks that later elsewhere. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { exited } from './exec.js';
import type { Host } from './host.js';

interface FioJob {
  readonly error: number;
  readonly read: { readonly io_bytes: number };
  readonly write: { readonly io_bytes: number };
}

export interface Judgement {
  /** Blocks that fio read and compared. */
  readonly checked: number;
  /** Jobs that found a block without the contents they had written. */
  readonly failedJobs: number;
  /** What fio says about the first bad blocks. */
  readonly complaints: string;
}

export const judgeJobs = 8;
const blockBytes = 4096;

/**
 * Random writes of jobs that each own a region and have one write in flight. fio's verify state tells per job how many writes were issued
 * and which of the last ones completed; with one in flight this is exactly what was acknowledged, so checking it finds every lost write and
 * never blames one that was not acknowledged. (With several in flight fio takes older writes for completed that may still wait.)
 */
export class FioJudge {
  readonly #dir: string;
  readonly #jobBytes: number;
  readonly #seed: number;
  #child: ChildProcess | null = null;

  /** `dir` is made anew for fio's state files; the jobs use the first `bytes` of whatever they are given. */
  constructor(dir: string, options: { readonly bytes: number; readonly seed: number }) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    this.#dir = dir;
    this.#jobBytes = options.bytes / judgeJobs;
    this.#seed = options.seed;
  }

  #arguments(path: string, rw: 'randwrite' | 'randread', report: string): string[] {
    return [
      'fio', '--name=judge', `--filename=${path}`, `--rw=${rw}`, `--bs=${blockBytes}`, '--direct=1', '--ioengine=psync', '--iodepth=1',
      '--thread', `--numjobs=${judgeJobs}`, `--size=${this.#jobBytes}`, `--offset_increment=${this.#jobBytes}`, '--fallocate=none',
      `--randseed=${this.#seed}`, '--verify=crc32c', '--verify_fatal=1', `--aux-path=${this.#dir}`, '--output-format=json', `--output=${report}`,
    ];
  }

  #report(path: string): FioJob[] {
    const text = readFileSync(path, 'utf8');
    return (JSON.parse(text.slice(text.indexOf('{\n'))) as { jobs: FioJob[] }).jobs;
  }

  /** Begins to write. */
  start(host: Host, device: string): void {
    // once over the region: the device has to die before
    const argv = [...this.#arguments(device, 'randwrite', join(this.#dir, 'write.json')), '--do_verify=0', '--verify_state_save=1'];
    this.#child = host.spawn(argv, ['ignore', 'ignore', 'ignore']);
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits until fio ended because its device died; throws when a job came to its end. Returns the number of acknowledged writes. */
  async ended(): Promise<number> {
    if (this.#child === null) throw new Error('fio was not started');
    await exited(this.#child);
    const jobs = this.#report(join(this.#dir, 'write.json'));
    const unharmed = jobs.filter((job) => job.error === 0).length;
    if (jobs.length !== judgeJobs || unharmed > 0) throw new Error(`${unharmed} of ${jobs.length} fio jobs were done before their device died`);
    return jobs.reduce((sum, job) => sum + job.write.io_bytes, 0) / blockBytes;
  }

  /** Reads every acknowledged write back from a device or file. */
  async judge(host: Host, path: string): Promise<Judgement> {
    const report = join(this.#dir, 'verify.json');
    rmSync(report, { force: true });
    const result = await host.run([...this.#arguments(path, 'randread', report), '--verify_state_load=1', '--verify_state_save=0']);
    const jobs = this.#report(report);
    const failedJobs = jobs.filter((job) => job.error !== 0).length;
    if (jobs.length !== judgeJobs || (result.code === 0) !== (failedJobs === 0)) throw new Error(`fio: exit ${result.code}\n${result.stderr}`);
    const complaints = result.stderr.split('\n').slice(0, 8).join('\n');
    return { checked: jobs.reduce((sum, job) => sum + job.read.io_bytes, 0) / blockBytes, failedJobs, complaints };
  }
}
