/** Disks that lose what was not flushed when the power fails, hang, or answer with errors: a FUSE server of our own over a file. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { makeDisk } from './disk.js';
import { exited } from './exec.js';
import type { Host } from './host.js';
import { tool } from './tools.js';

export class LossyDisk {
  /** What the daemon is given as its disk. It exists inside the host only. */
  readonly path: string;
  /** The file that holds what is durable; readable from outside. */
  readonly backing: string;
  readonly #host: Host;
  #server: ChildProcess | null = null;
  #lines: Interface | null = null;
  /** the command under way: answers come in the order of the questions. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(host: Host, path: string, backing: string) {
    this.#host = host;
    this.path = path;
    this.backing = backing;
  }

  static async create(host: Host, name: string, bytes: number): Promise<LossyDisk> {
    const disk = new LossyDisk(host, join(host.dir, name), makeDisk(join(host.dir, `${name}.durable`), bytes));
    writeFileSync(disk.path, '');
    await disk.powerOn();
    return disk;
  }

  async powerOn(): Promise<void> {
    // an unmount may not have happened when users of the file outlived the server
    await this.#host.run(['umount', '-l', this.path]);
    const server = this.#host.spawn([await tool('lossy_disk'), this.path, this.backing], ['pipe', 'pipe', 'ignore']);
    this.#server = server;
    this.#lines = createInterface({ input: server.stdout as NodeJS.ReadableStream });
    await this.#answer('ready');
  }

  #answer(expected: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`the lossy disk of ${this.#host.name} ended`));
      // not the exit of its process: what it said last may still be on its way
      this.#lines?.once('close', ended);
      this.#lines?.once('line', (line) => {
        this.#lines?.off('close', ended);
        if (line.startsWith(expected)) resolve(line);
        else reject(new Error(`the lossy disk of ${this.#host.name} says: ${line}`));
      });
    });
  }

  #ask(command: string): Promise<string> {
    const answer = this.#turn.then(() => {
      const answered = this.#answer('ok');
      this.#server?.stdin?.write(`${command}\n`);
      return answered;
    });
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  /** The process inside the host that stands for the disk; 0 while it has no power. */
  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** Sectors written and not durable yet. */
  async pendingSectors(): Promise<number> {
    return Number((await this.#ask('pending')).split(' ')[1]);
  }

  async flush(): Promise<void> {
    await this.#ask('flush');
  }

  /** Every read and write that touches the range fails with EIO from now on. */
  async fail(offsetBytes = 0, lengthBytes = Number.MAX_SAFE_INTEGER): Promise<void> {
    await this.#ask(`fail ${offsetBytes} ${lengthBytes}`);
  }

  async heal(): Promise<void> {
    await this.#ask('fail 0 0');
  }

  /** Requests are left unanswered until `release`. */
  async hold(): Promise<void> {
    await this.#ask('hold');
  }

  async release(): Promise<void> {
    await this.#ask('release');
  }

  /** Power failure of the disk: returns how many unflushed sectors survived and how many are lost. */
  async cut(seed: number): Promise<{ kept: number; lost: number }> {
    const server = this.#server;
    const [, , kept, , lost] = (await this.#ask(`cut ${seed}`)).split(' ');
    if (server !== null) await exited(server);
    this.#server = null;
    return { kept: Number(kept), lost: Number(lost) };
  }
}

/**
 * Power failure of a node: its daemon (and keeper) ends without warning and its disks lose what was not flushed. What the daemon had in
 * flight may or may not arrive, as in a real disk.
 */
export async function powerFailure(host: Host, disks: readonly LossyDisk[], seed: number): Promise<void> {
  await host.running.kill();
  for (const disk of disks) await disk.cut(seed);
}
