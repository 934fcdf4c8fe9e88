/** Where in the YAML text a path of keys is (pure): line and column of the key or of the value, counted from 1. */
import { type Document, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';

export type KeyPath = readonly (string | number)[];
export interface Place {
  line: number;
  column: number;
}

function findPair(node: unknown, key: string | number): Pair | undefined {
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === String(key));
}

/** Place of the value at `path`, of the key itself with `at: 'key'`, or of the nearest ancestor that exists. */
export function placeOf(document: Document, lines: LineCounter, path: KeyPath, at: 'key' | 'value' = 'value'): Place {
  let node: unknown = document.contents;
  let offset = rangeStart(node) ?? 0;
  for (const [index, key] of path.entries()) {
    const last = index === path.length - 1;
    const pair = findPair(node, key);
    const child = pair !== undefined ? pair.value : isSeq(node) ? node.items[Number(key)] : undefined;
    const keyStart = rangeStart(pair?.key);
    if (pair === undefined && child === undefined) break;
    // an ancestor is shown by its key: that is where one looks for what is missing below it
    offset = (last && at === 'value' && !isMap(child) ? rangeStart(child) : undefined) ?? keyStart ?? rangeStart(child) ?? offset;
    node = child;
  }
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

/** A way to ask for many places in one text. */
export function placesIn(text: string): (path: KeyPath, at?: 'key' | 'value') => Place {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  return (path, at) => placeOf(document, lines, path, at);
}
