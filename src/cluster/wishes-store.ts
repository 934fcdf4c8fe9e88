/** The operator's wishes on stable storage: a restart or a boot must not undo a `standby` or a `move`. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { noWishes, wishesSchema } from './report.js';

const stored = z.object({
  wishes: wishesSchema,
  /** stamp of the last cleanup that was carried out here, by group. */
  cleaned: z.record(z.string(), z.number()),
});
export type StoredWishes = z.infer<typeof stored>;

export class WishesStore {
  readonly #file: string;
  constructor(file: string) {
    this.#file = file;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  }

  /** What was stored; nothing when the file is not there or cannot be understood (then `onTrouble` is told: the wishes are lost, nothing else). */
  read(onTrouble: (reason: string) => void): StoredWishes {
    try {
      return stored.parse(JSON.parse(readFileSync(this.#file, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onTrouble(`${this.#file}: ${(error as Error).message}`);
      return { wishes: noWishes, cleaned: {} };
    }
  }

  /** Durable when it returns. */
  write(value: StoredWishes): void {
    const next = `${this.#file}.new`;
    const fd = openSync(next, 'w', 0o600);
    try {
      writeSync(fd, `${JSON.stringify(value)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(next, this.#file);
    const directory = openSync(dirname(this.#file), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }
}
