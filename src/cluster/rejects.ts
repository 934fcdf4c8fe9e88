/**
 * Datagrams that were not taken: counted by kind, and said at most once per minute for each kind and source. Bounded, however many sources
 * somebody invents. Pure.
 */

const sayEveryMs = 60_000;
/** Sources remembered; beyond that a kind speaks once per minute for all the others together. */
const maxSources = 64;

export class Rejects {
  readonly counts = new Map<string, number>();
  readonly #said = new Map<string, number>();
  readonly #describe: (kind: string, source: string, detail: string) => string;

  constructor(describe: (kind: string, source: string, detail: string) => string) {
    this.#describe = describe;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Counts one; gives the sentence to log, or null when it has just been said. `source` is an address without port. */
  add(kind: string, source: string, detail: string, nowMs: number): string | null {
    const count = (this.counts.get(kind) ?? 0) + 1;
    this.counts.set(kind, count);
    const key = `${kind} ${source}`;
    const last = this.#said.get(key);
    if (last !== undefined && nowMs - last < sayEveryMs) return null;
    if (last === undefined && this.#said.size >= maxSources && !this.#forget(nowMs)) return null;
    this.#said.set(key, nowMs);
    return `${this.#describe(kind, source, detail)}${count > 1 ? ` (${count} of this kind so far)` : ''}`;
  }

  /** Makes room; false when everything was said within the last minute. The map is in order of first saying only, so all are looked at. */
  #forget(nowMs: number): boolean {
    for (const [key, atMs] of this.#said) if (nowMs - atMs >= sayEveryMs) this.#said.delete(key);
    return this.#said.size < maxSources;
  }
}
