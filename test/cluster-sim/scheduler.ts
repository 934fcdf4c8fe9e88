/** Virtual time and its random numbers: everything that happens in a schedule happens here, one event after the other. */

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** mulberry32: small, fast, the same everywhere. */
export function random(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

export class Scheduler {
  now = 0;
  readonly draw: (below: number) => number;
  private readonly heap: Entry[] = [];
  private order = 0;

  constructor(seed: number) {
    this.draw = random(seed);
  }

  after(ms: number, run: () => void): void {
    const entry = { at: this.now + Math.max(0, ms), order: this.order++, run };
    const { heap } = this;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Entry;
      if (!before(entry, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = entry;
  }

  /** A number of ms between `from` and `to`. */
  between(from: number, to: number): number {
    return from + this.draw(Math.max(1, to - from));
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (let next = this.heap[0]; next !== undefined && next.at <= end; next = this.heap[0]) {
      this.pop();
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      if (!before(heap[child] as Entry, last)) break;
      heap[i] = heap[child] as Entry;
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
