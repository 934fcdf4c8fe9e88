/** A program on a node that appends numbered lines with fsync, and what it was told is on disk. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { exited } from './exec.js';
import type { Host } from './host.js';
import { waitFor } from './wait.js';

const program = (file: string, first: number): string => `
import { openSync, writeSync, fsyncSync } from 'node:fs';
const fd = openSync('${file}', 'a');
for (let i = ${first}; ; i++) { writeSync(fd, i + '\\n'); fsyncSync(fd); process.stdout.write(i + '\\n'); await new Promise((resolve) => setTimeout(resolve, 2)); }
`;

export class Journal {
  readonly file: string;
  /** the highest number that a writer was told is on disk. */
  acknowledged = 0;
  #child: ChildProcess | null = null;

  constructor(file: string) {
    this.file = file;
  }

  /** Starts a writer; waits until it has written something. */
  async start(host: Host): Promise<void> {
    const before = this.acknowledged;
    const child = host.spawn([process.execPath, '--input-type=module', '-e', program(this.file, before + 1)], ['ignore', 'pipe', 'ignore']);
    this.#child = child;
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.acknowledged = Math.max(this.acknowledged, Number(line));
    });
    await waitFor('the writer writes', () => this.acknowledged > before);
  }

  /** Waits for more acknowledged lines. */
  async grows(lines = 20, limitMs = 30_000): Promise<void> {
    const wanted = this.acknowledged + lines;
    await waitFor(`the writer goes on beyond ${wanted}`, () => this.acknowledged >= wanted, limitMs);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    child.kill('SIGKILL');
    child.kill('SIGCONT');
    await exited(child);
  }

  /** Numbers acknowledged and not in the file. */
  async lost(host: Host): Promise<number[]> {
    const found = new Set((await host.must(['cat', this.file], { timeoutMs: 20_000 })).split('\n').map(Number));
    return Array.from({ length: this.acknowledged }, (_, index) => index + 1).filter((number) => !found.has(number));
  }
}
