/**
 * etcd as arbiter. etcd is durable by itself and orders all changes; what remains is an etcd restored from a snapshot, which says nothing of
 * it. Each node therefore keeps a mark there, a random word that it replaces every few seconds, and remembers the last one. A mark that is
 * not the last one, a cluster of another id or a revision that went back mean that something was lost: who finds that out begins a new
 * incarnation, and every record has to be vouched for as after a restart of a witness.
 *
 * One case stays unseen: an etcd restored to a moment after this node's last mark, when the change that was lost is the peer's. Whoever
 * restores an etcd by hand deletes the key `PREFIX/CLUSTER/incarnation` afterwards, or stops both drbdtsd before.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../shared/clock.js';
import { type Arbiter, refused, unreachable } from './arbiter.js';
import { readDurable, writeDurable } from './durable-file.js';
import { EtcdClient, type EtcdHeader, type EtcdPlace, type EtcdValue } from './etcd-client.js';
import { type RegisterAnswer, type RegisterRequest, registerRecord } from './messages.js';
import { applyRequest, type Cell, newCell, restarted } from './register.js';

/** How often a node replaces its mark. */
const markEveryMs = 5000;
/** Another client was faster so often. */
const triesMax = 8;

const storedCell = z.object({
  incarnation: z.string(),
  nodes: z.tuple([z.string(), z.string()]),
  record: registerRecord,
  vouched: z.boolean(),
  said: z.record(z.string(), registerRecord),
});
const remembered = z.object({
  clusterId: z.string(),
  revision: z.string(),
  /** the marks that may be there: the last that was seen to be, and one whose answer did not come. */
  marks: z.array(z.string()).max(2),
});
type Remembered = z.infer<typeof remembered>;

export interface EtcdOptions extends EtcdPlace {
  /** below it everything is kept: `/drbdts`. */
  prefix: string;
  cluster: string;
  node: string;
  /** folder for what this node remembers of etcd. */
  directory: string;
}

/** The cell in `text`; one of another incarnation is as after a restart. */
function cellOf(text: string | null, incarnation: string, request: RegisterRequest): Cell {
  if (text === null) return newCell(request.nodes);
  let value: unknown = null;
  try {
    value = JSON.parse(text);
  } catch {
    // refused below
  }
  const parsed = storedCell.safeParse(value);
  if (!parsed.success) throw refused('etcd', `the record of ${request.key} is damaged`, 'Look at the key; delete it, and both nodes vouch anew.');
  const { incarnation: written, ...cell } = parsed.data;
  return written === incarnation ? cell : restarted(cell);
}

export class EtcdArbiter implements Arbiter {
  readonly kind = 'etcd';
  private readonly client: EtcdClient;
  private readonly options: EtcdOptions;
  private readonly base: string;
  private readonly file: string;
  private known: Remembered | null;
  private markAtMs = 0;

  constructor(options: EtcdOptions) {
    this.options = options;
    this.client = new EtcdClient(options);
    this.base = `${options.prefix.replace(/\/+$/, '')}/${options.cluster}`;
    this.file = join(options.directory, `etcd-${options.cluster}.json`);
    // who can not read what it remembered can not tell whether something was lost: it begins a new incarnation
    const value = readDurable(this.file);
    const parsed = remembered.safeParse(value);
    this.known = value === null ? null : parsed.success ? parsed.data : { clusterId: '', revision: '0', marks: [] };
  }

  async test(): Promise<void> {
    await this.client.read([`${this.base}/incarnation`]);
  }

  close(): void {
    // nothing stays open
  }

  async ask(request: RegisterRequest): Promise<RegisterAnswer> {
    const incarnationKey = `${this.base}/incarnation`;
    const cellKey = `${this.base}/records/${request.key}`;
    const markKey = `${this.base}/marks/${this.options.node}`;
    for (let attempt = 0; attempt < triesMax; attempt += 1) {
      // requests run side by side: a mark that was right when this one left may have been replaced since
      const { known } = this;
      const { header, values } = await this.client.read([incarnationKey, cellKey, markKey]);
      const [incarnation, stored, mark] = values;
      if (incarnation === undefined || stored === undefined || mark === undefined) throw unreachable('etcd', 'a short reply');
      const lost = [known, this.known].every((marks) => marks !== null && wentBack(marks, header, mark.value));
      if (incarnation.value === null || lost) {
        if (await this.client.put({ [incarnationKey]: incarnation.modRevision }, { [incarnationKey]: randomBytes(12).toString('hex') })) {
          if (lost) this.known = null;
          this.markAtMs = 0;
        }
        continue;
      }
      if (systemClock.nowMs() >= this.markAtMs && !(await this.putMark(markKey, mark, header))) continue;
      const before = cellOf(stored.value, incarnation.value, request);
      const { cell, answer, refused: reason } = applyRequest(before, incarnation.value, request);
      if (reason !== '') throw refused('etcd', reason);
      if (cell === before) return answer;
      const text = JSON.stringify({ incarnation: incarnation.value, ...cell });
      const seen = { [incarnationKey]: incarnation.modRevision, [cellKey]: stored.modRevision };
      if (await this.client.put(seen, { [cellKey]: text })) return answer;
    }
    throw unreachable('etcd', 'others change the record all the time');
  }

  /** Replaces this node's mark; what may be there is remembered before it can be. */
  private async putMark(key: string, old: EtcdValue, { clusterId, revision }: EtcdHeader): Promise<boolean> {
    this.markAtMs = systemClock.nowMs() + markEveryMs;
    const fresh = randomBytes(12).toString('hex');
    const remember = (marks: string[]): void => {
      const known: Remembered = { clusterId, revision: String(revision), marks };
      writeDurable(this.file, known);
      this.known = known;
    };
    remember([fresh, old.value ?? '']);
    const put = await this.client.put({ [key]: old.modRevision }, { [key]: fresh });
    if (put) remember([fresh]);
    else this.markAtMs = 0;
    return put;
  }
}

/** Whether etcd is older than what this node has seen of it. */
function wentBack(known: Remembered, { clusterId, revision }: EtcdHeader, mark: string | null): boolean {
  return known.clusterId !== clusterId || revision < BigInt(known.revision) || !known.marks.includes(mark ?? '');
}
