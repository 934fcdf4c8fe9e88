/**
 * What tells a witness that its process alone was restarted: a marker in a tmpfs, written after each change of the register and before the
 * answer. It says which bytes the register's file has, and what the file does not hold: the incarnation and who has vouched. A boot empties
 * the tmpfs; a file restored from a copy has other bytes. Either way there is no marker that fits, and the nodes have to vouch
 * (resources/docs/decisions/0009-witness-marker.md).
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { registerRecord } from '../arbiter/messages.js';
import { drbdtsError } from '../shared/errors.js';

/** What a register knows that its file does not hold. */
const volatilePart = z.object({
  incarnation: z.string().min(1),
  cells: z.record(z.string(), z.object({ vouched: z.boolean(), said: z.record(z.string(), registerRecord) }).strict()),
});
export type VolatilePart = z.infer<typeof volatilePart>;
const format = volatilePart.extend({ version: z.literal(1), bootId: z.string(), file: z.string(), digest: z.string() }).strict();

export interface Marker {
  /** The volatile part that belongs to a file with this text; null: there is none, so the text may be an old copy. */
  read(text: string): VolatilePart | null;
  /** From now on `text` is what the file has. One that can not be written is no harm: the nodes vouch after the next start. */
  write(text: string, part: VolatilePart): void;
  /** Before the file changes. Throws ERR_IO: then the file must not change. */
  remove(): void;
}

/** For who has no place for one: nothing is ever believed after a start. */
export const noMarker: Marker = { read: () => null, write: () => {}, remove: () => {} };

const bootIdFile = '/proc/sys/kernel/random/boot_id';
/** file systems that no boot survives, and no copy of a disk contains. */
const memoryFileSystems = new Set([0x0102_1994, 0x8584_58f6]);

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export class RunMarker implements Marker {
  private readonly path: string;
  private readonly file: string;
  private readonly bootId: string;

  constructor(path: string, file: string, bootId: string) {
    this.path = path;
    this.file = file;
    this.bootId = bootId;
  }

  read(text: string): VolatilePart | null {
    let value: unknown;
    try {
      value = JSON.parse(readFileSync(this.path, 'utf8'));
    } catch {
      return null;
    }
    const parsed = format.safeParse(value);
    if (!parsed.success) return null;
    const { bootId, file, digest, incarnation, cells } = parsed.data;
    return bootId === this.bootId && file === this.file && digest === digestOf(text) ? { incarnation, cells } : null;
  }

  write(text: string, part: VolatilePart): void {
    const { path, file, bootId } = this;
    try {
      writeFileSync(`${path}.new`, JSON.stringify({ version: 1, bootId, file, digest: digestOf(text), ...part }), { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch {
      // what an older one says is true as well, or it was removed before
    }
  }

  remove(): void {
    try {
      rmSync(this.path, { force: true });
    } catch (error) {
      throw drbdtsError('ERR_IO', { values: { reason: `${this.path}: ${(error as Error).message}` }, place: this.path, cause: error });
    }
  }
}

/**
 * Makes `runDir` and gives the marker of a cluster's register kept in `file`, or why there can be none: only a file system in memory
 * is known to be empty after a boot.
 */
export function createMarker(runDir: string, cluster: string, file: string): { marker: Marker; problem: string } {
  try {
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    if (!memoryFileSystems.has(statfsSync(runDir).type)) return { marker: noMarker, problem: `${runDir} is on no tmpfs` };
    return { marker: new RunMarker(join(runDir, `${cluster}.marker`), file, readFileSync(bootIdFile, 'utf8').trim()), problem: '' };
  } catch (error) {
    return { marker: noMarker, problem: (error as Error).message };
  }
}
