/** Drives outage-client-main.ts from the benchmark. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host } from '../support/host.js';
import { waitFor } from '../support/wait.js';

const main = fileURLToPath(new URL('./outage-client-main.js', import.meta.url));

export class OutageClient {
  readonly #child: ChildProcess;
  readonly #answers: Record<string, unknown>[] = [];

  /** `expected` is in the page. */
  constructor(host: Host, expected: string) {
    this.#child = host.spawn([process.execPath, main, expected], ['pipe', 'pipe', 2]);
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#answers.push(JSON.parse(line) as Record<string, unknown>));
  }

  async #ask(command: string): Promise<Record<string, unknown>> {
    const before = this.#answers.length;
    this.#child.stdin?.write(`${command}\n`);
    return waitFor(`the client answers ${command}`, () => this.#answers[before]);
  }

  /** Fetches the page without end from now on; resolves when it has come often enough. */
  async watch(address: string): Promise<void> {
    this.#child.stdin?.write(`watch ${address}\n`);
    await waitFor(`the page comes from ${address}`, async () => Number((await this.#ask('last'))['count']) >= 30, 60_000);
  }

  /** Resolves when the page has been coming for a while after `sinceMs` and after `moved` resolved. */
  async served(sinceMs: number): Promise<void> {
    let before = 0;
    await waitFor('the page comes again', async () => {
      const { last, count } = await this.#ask('last');
      const steady = Number(last) > sinceMs && before > 0 && Number(count) >= before + 3;
      before = Number(count);
      return steady;
    }, 60_000);
  }

  /** Ends fetching; gives when each page had come, in ms since the epoch, and how many did not come. */
  async count(): Promise<{ successes: number[]; failures: number }> {
    const { successes, failures } = await this.#ask('stop');
    return { successes: successes as number[], failures: failures as number };
  }

  /** Ends fetching; gives when each page had come, in ms since the epoch. */
  async stop(): Promise<number[]> {
    return (await this.count()).successes;
  }
}
