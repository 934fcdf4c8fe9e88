/**
 * The registers of one cluster on stable storage: one small file, replaced as a whole and flushed, folder included, before an answer is
 * given. What it held at the start may be an old copy, unless the marker (marker.ts) says that it is what this host's last process left:
 * every other start is an incarnation of its own. A damaged file is never replaced.
 */
import { createHash, randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { keysMax, type RegisterAnswer, type RegisterRequest, registerRecord, type WitnessStatus } from '../arbiter/messages.js';
import { applyRequest, type Cell, mustBeStored, newCell, restarted } from '../arbiter/register.js';
import { drbdtsError } from '../shared/errors.js';
import { type Marker, noMarker } from './marker.js';

const formatVersion = 1;
const cells = z.record(z.string(), z.object({ nodes: z.tuple([z.string(), z.string()]), record: registerRecord }).strict());
const file = z.object({ version: z.literal(formatVersion), cluster: z.string(), digest: z.string(), cells }).strict();

function digestOf(cluster: string, stored: unknown): string {
  return createHash('sha256').update(`${cluster}\n${JSON.stringify(stored)}`).digest('hex');
}

function format(cluster: string, all: ReadonlyMap<string, Cell>): string {
  const stored = Object.fromEntries([...all].map(([key, { nodes, record }]) => [key, { nodes, record }]));
  return `${JSON.stringify({ version: formatVersion, cluster, digest: digestOf(cluster, stored), cells: stored }, null, 1)}\n`;
}

function parse(path: string, cluster: string, text: string): Map<string, Cell> {
  const fail = (reason: string): Error => drbdtsError('ERR_REGISTER_FILE', { values: { file: path, reason }, place: path });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail((error as Error).message);
  }
  const parsed = file.safeParse(value);
  if (!parsed.success) throw fail(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
  if (parsed.data.cluster !== cluster) throw fail(`it belongs to the cluster ${parsed.data.cluster}`);
  // of the text as it stands: a schema may put keys in another order
  if (parsed.data.digest !== digestOf(cluster, (value as { cells: unknown }).cells)) throw fail('its contents do not match their digest');
  return new Map(Object.entries(parsed.data.cells).map(([key, cell]) => [key, restarted({ ...cell, vouched: false, said: {} })]));
}

export class RegisterStore {
  readonly cluster: string;
  requests = 0;
  readonly path: string;
  private readonly directory: string;
  private readonly marker: Marker;
  private incarnation_ = '';
  /** what the file has, as last read or written; '' there is none. */
  private text = '';
  private continued_ = false;
  /** null: to be read (again) from the file. */
  private cells: Map<string, Cell> | null = null;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string, cluster: string, marker: (file: string) => Marker = () => noMarker) {
    this.cluster = cluster;
    this.directory = directory;
    this.path = join(directory, `${cluster}.json`);
    this.marker = marker(this.path);
  }

  get incarnation(): string {
    return this.incarnation_;
  }

  /** It is what the last process on this host left, and goes on as if that had only paused. */
  get continued(): boolean {
    return this.continued_;
  }

  /** Reads the file; rejects with ERR_REGISTER_FILE when it is damaged. */
  async load(): Promise<void> {
    await this.exclusively(() => this.read());
  }

  /** Carries out a request: what it changed is on stable storage when this resolves. */
  async apply(request: RegisterRequest): Promise<{ answer: RegisterAnswer; refused: string }> {
    return this.exclusively(async () => {
      this.requests += 1;
      const all = await this.read();
      const before = all.get(request.key);
      if (before === undefined && all.size >= keysMax)
        return { answer: applyRequest(newCell(request.nodes), this.incarnation_, request).answer, refused: `it keeps ${keysMax} records of this cluster already` };
      const { cell, answer, refused } = applyRequest(before ?? newCell(request.nodes), this.incarnation_, request);
      if (refused !== '') return { answer, refused };
      const after = new Map(all).set(request.key, cell);
      if (mustBeStored(before, cell)) await this.write(after);
      this.cells = after;
      if (before !== cell) this.mark(after);
      return { answer, refused };
    });
  }

  async records(): Promise<WitnessStatus['records']> {
    return this.exclusively(async () =>
      [...(await this.read())].map(([key, { nodes, vouched, record }]) => ({ key, nodes: [nodes[0], nodes[1]] as [string, string], vouched, record })),
    );
  }

  private async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(work, work);
    this.queue = turn.catch(() => {});
    return turn;
  }

  private async read(): Promise<Map<string, Cell>> {
    if (this.cells !== null) return this.cells;
    let text: string | null = null;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        throw drbdtsError('ERR_REGISTER_FILE', { values: { file: this.path, reason: (error as Error).message }, place: this.path, cause: error });
    }
    const found = text === null ? new Map<string, Cell>() : parse(this.path, this.cluster, text);
    const kept = text === null ? null : this.marker.read(text);
    if (kept === null) this.marker.remove();
    else for (const [key, cell] of found) found.set(key, { ...cell, ...kept.cells[key] });
    this.text = text ?? '';
    this.continued_ = kept !== null;
    this.incarnation_ = kept?.incarnation ?? randomBytes(12).toString('hex');
    this.cells = found;
    if (kept === null && text !== null) this.mark(found);
    return found;
  }

  private mark(all: ReadonlyMap<string, Cell>): void {
    const cells = Object.fromEntries([...all].map(([key, { vouched, said }]) => [key, { vouched, said: { ...said } }]));
    this.marker.write(this.text, { incarnation: this.incarnation_, cells });
  }

  private async write(all: ReadonlyMap<string, Cell>): Promise<void> {
    const fresh = `${this.path}.new`;
    // until all is done nothing says that the file is what we know: a start in between is one of an unknown copy
    this.marker.remove();
    const text = format(this.cluster, all);
    try {
      const handle = await open(fresh, 'w', 0o600);
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(fresh, this.path);
      const folder = await open(this.directory, 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
      this.text = text;
    } catch (error) {
      // nobody knows which of the two a crash would leave: as after a restart, those who must know vouch again
      this.cells = null;
      throw drbdtsError('ERR_IO', { values: { reason: `${this.path}: ${(error as Error).message}` }, place: this.path, cause: error });
    }
  }
}
