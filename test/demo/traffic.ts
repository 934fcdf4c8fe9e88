/** The client's two processes, and what they have told so far. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host } from '../support/host.js';
import { waitFor } from '../support/wait.js';
import type { Operation } from './account.js';

const main = fileURLToPath(new URL('./traffic-main.js', import.meta.url));

export class Traffic {
  readonly pages: Operation[] = [];
  readonly rows: Operation[] = [];
  readonly #children: ChildProcess[] = [];

  constructor(client: Host, address: string) {
    for (const [what, list] of [['rows', this.rows], ['pages', this.pages]] as const) {
      const child = client.spawn([process.execPath, main, what, address], ['ignore', 'pipe', 2]);
      this.#children.push(child);
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
        const [beginMs, endMs, error, row, node] = JSON.parse(line) as [number, number, string, number, string];
        list.push({ beginMs, endMs, error, row, node });
      });
    }
    client.lab.defer('client', () => this.stop());
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  /** Waits until both pages and rows, begun from now on, have succeeded `times` times. */
  async flows(times = 10, limitMs = 60_000): Promise<void> {
    const sinceMs = Date.now();
    const good = (list: readonly Operation[]): number => {
      let count = 0;
      for (let i = list.length - 1; i >= 0 && (list[i]?.endMs ?? 0) >= sinceMs; i--) if (list[i]?.error === '') count += 1;
      return count;
    };
    await waitFor('the client is served', () => {
      if (this.#children.some(({ exitCode }) => exitCode !== null)) throw new Error('the client has ended');
      return good(this.pages) >= times && good(this.rows) >= times;
    }, limitMs, () => `last page: ${JSON.stringify(this.pages.at(-1))}\nlast row: ${JSON.stringify(this.rows.at(-1))}`);
  }
}
