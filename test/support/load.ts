/** Loads: fio with verification, and a writer that knows which of its writes were acknowledged. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { exited, type RunResult } from './exec.js';
import type { Host } from './host.js';
import { tool } from './tools.js';
import { waitFor } from './wait.js';

/** Collects the standard output of a child. */
function collect(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (text += data.toString()));
  return () => text;
}

export interface FioOptions {
  readonly rw?: string;
  readonly blockSize?: string;
  readonly depth?: number;
  readonly size: string;
  readonly offset?: string;
  /** Loop over the region for this time; otherwise once over it. */
  readonly seconds?: number;
  readonly extra?: readonly string[];
}

function fioArguments(path: string, options: FioOptions): string[] {
  return [
    'fio', '--name=load', `--filename=${path}`, '--direct=1', '--ioengine=io_uring', `--rw=${options.rw ?? 'randwrite'}`,
    `--bs=${options.blockSize ?? '4k'}`, `--iodepth=${options.depth ?? 16}`, `--size=${options.size}`, '--fallocate=none',
    '--verify=crc32c', '--verify_fatal=1', '--randrepeat=0',
    ...(options.offset === undefined ? [] : [`--offset=${options.offset}`]),
    ...(options.seconds === undefined ? [] : ['--time_based', `--runtime=${options.seconds}`]),
    ...(options.extra ?? []),
  ];
}

/** fio that writes and reads back with a checksum in every block; any error or mismatch makes the code nonzero. */
export function fioVerify(host: Host, path: string, options: FioOptions): Promise<RunResult> {
  return host.run(fioArguments(path, options), { timeoutMs: ((options.seconds ?? 60) + 120) * 1000 });
}

/** The same in the background. */
export class FioRun {
  readonly child: ChildProcess;
  readonly output: () => string;

  constructor(host: Host, path: string, options: FioOptions) {
    this.child = host.spawn(fioArguments(path, options));
    this.output = collect(this.child);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Waits for its end; throws when it saw an error. */
  async finish(): Promise<void> {
    const code = await exited(this.child);
    if (code !== 0) throw new Error(`fio: exit ${code}\n${this.output()}`);
  }
}

export interface AckOptions {
  /** Number of 4 KiB blocks; default 2048. */
  readonly blocks?: number;
  readonly threads?: number;
  readonly seed?: number;
  /** Every write is flushed before it counts as acknowledged. */
  readonly sync?: boolean;
  /** Keep to that many blocks per thread for a while. */
  readonly hot?: number;
}

/**
 * A writer whose journal outlives every crash. After one, `verify` tells whether an acknowledged write was lost; the same journal may be
 * continued on another node.
 */
export class AckWriter {
  readonly journal: string;
  readonly #options: AckOptions;
  #host: Host | null = null;
  #child: ChildProcess | null = null;
  #output: () => string = () => '';

  constructor(dir: string, options: AckOptions = {}) {
    this.journal = join(dir, 'ack-journal');
    this.#options = options;
  }

  /** Begins to write, or goes on with what the journal says. `options` hold for this run; blocks and seed belong to the journal. */
  async start(host: Host, device: string, options: Pick<AckOptions, 'sync' | 'hot'> = {}): Promise<void> {
    const { blocks = 2048, threads = 4, seed = 1, sync = false, hot } = { ...this.#options, ...options };
    const child = host.spawn([
      await tool('ack_writer'), 'write', device, this.journal, '--blocks', String(blocks), '--threads', String(threads), '--seed', String(seed),
      ...(sync ? ['--sync'] : []), ...(hot === undefined ? [] : ['--hot', String(hot)]),
    ]);
    this.#host = host;
    this.#child = child;
    this.#output = collect(child);
    await waitFor('the writer started', () => {
      if (child.exitCode !== null) throw new Error(this.#output());
      return this.#output().includes('writing');
    });
  }

  /** True while it writes: no error so far. */
  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Ends it, after an error too. Returns how many writes were acknowledged and the errno that ended it, 0 for none. */
  async stop(): Promise<{ acknowledged: number; error: number }> {
    const child = this.#child;
    if (child === null) throw new Error('the writer was not started');
    child.kill('SIGTERM');
    await exited(child);
    const match = /acknowledged (\d+) error (\d+)/.exec(this.#output());
    if (match === null) throw new Error(`the writer ended badly: ${this.#output()}`);
    return { acknowledged: Number(match[1]), error: Number(match[2]) };
  }

  /** Reads everything back; throws with the blocks that lost an acknowledged write. Returns the number of blocks checked. */
  async verify(host: Host, device: string): Promise<number> {
    const output = await host.must([await tool('ack_writer'), 'verify', device, this.journal]);
    const checked = Number(/checked (\d+)/.exec(output)?.[1] ?? 0);
    if (checked === 0) throw new Error('nothing was written, so nothing was checked');
    return checked;
  }

  get host(): Host | null {
    return this.#host;
  }
}
