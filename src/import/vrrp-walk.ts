/** Walking a block of keepalived.conf so that nothing is overlooked: what was not taken is left over, and gets its finding. Pure. */
import type { Place, Report } from './findings.js';
import { reportLosses } from './keepalived-losses.js';
import type { Word } from './keepalived-lines.js';
import type { KeepalivedNode } from './keepalived-parse.js';

/** What all parts of a mapping share. */
export interface Walk {
  readonly report: Report;
  /** the statements that were taken over. */
  readonly mapped: Place[];
}

export class Section {
  readonly #walk: Walk;
  readonly #left: Set<KeepalivedNode>;
  readonly #byWord = new Map<string, KeepalivedNode[]>();

  constructor(nodes: readonly KeepalivedNode[], walk: Walk) {
    this.#walk = walk;
    this.#left = new Set(nodes);
    for (const node of nodes) {
      const same = this.#byWord.get(node.word.text);
      if (same === undefined) this.#byWord.set(node.word.text, [node]);
      else same.push(node);
    }
  }

  /** All statements of that word, which count as taken over. */
  all(word: string): readonly KeepalivedNode[] {
    const nodes = this.#byWord.get(word) ?? [];
    for (const node of nodes) if (this.#left.delete(node)) this.#walk.mapped.push(node.word);
    return nodes;
  }

  /** The first of them: keepalived reports a second one, and so does the lint. */
  first = (word: string): KeepalivedNode | null => this.all(word)[0] ?? null;
  value = (word: string): Word | null => this.first(word)?.values[0] ?? null;

  /** The lines of all blocks of that word. */
  lines(word: string): readonly (readonly Word[])[] {
    return this.all(word).flatMap(({ block }) => (block ?? []).map((line) => {
      this.#walk.mapped.push(line.word);
      return [line.word, ...line.values];
    }));
  }

  /** null: not there. */
  flag(word: string): boolean | null {
    const node = this.first(word);
    return node === null ? null : !['off', 'false', 'no'].includes(node.values[0]?.text ?? 'on');
  }

  /** A whole number within bounds; null where there is none or keepalived would not take it. One that is out of what drbdts takes is cut to it. */
  number(word: string, least: number, most: number): number | null {
    const value = this.value(word);
    if (value === null || !/^-?\d{1,12}$/.test(value.text)) return null;
    return bounded(word, value, Number(value.text), least, most, this.#walk.report);
  }

  /** Milliseconds, from seconds. */
  time(word: string, leastMs: number, mostMs: number): number | null {
    const value = this.value(word);
    if (value === null || !/^\d{1,9}(?:\.\d{1,6})?$/.test(value.text)) return null;
    return bounded(word, value, Number(value.text) * 1000, leastMs, mostMs, this.#walk.report, duration);
  }

  /** Names what was not taken. A switch that is off has said nothing. */
  end(): void {
    const off = [...this.#left].filter(({ word, values }) => switches.has(word.text) && ['off', 'false', 'no'].includes(values[0]?.text ?? ''));
    for (const node of off) {
      this.#left.delete(node);
      this.#walk.mapped.push(node.word);
    }
    reportLosses([...this.#left], this.#walk.report);
  }
}

const switches = new Set(['smtp_alert', 'smtp_alert_vrrp', 'smtp_alert_checker', 'strict_mode', 'use_symlink_paths']);

/** As it is written in drbdts.yaml. */
export const duration = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${Math.round(ms)}ms`);

export function bounded(word: string, place: Word, given: number, least: number, most: number, report: Report, show: (value: number) => string = String): number {
  const value = Math.min(most, Math.max(least, Math.round(given)));
  if (value !== given) report('IMPORT_TIME_RANGE', place, { word, value: place.text, range: `${show(least)} to ${show(most)}`, written: show(value) });
  return value;
}

/** `weight N [reverse|noreverse]` behind something, from `words[index]` on; `next` is the first word behind it. */
export function weightAt(words: readonly Word[], index: number, report: Report): { readonly weight: number | null; readonly reverse: boolean; readonly next: number } {
  let [weight, reverse, next]: [number | null, boolean, number] = [null, false, index];
  if (words[next]?.text === 'weight') {
    const value = words[next + 1];
    if (value !== undefined && /^-?\d{1,6}$/.test(value.text)) weight = bounded('weight', value, Number(value.text), -253, 253, report);
    next += 2;
  }
  if (/^(?:no)?reverse$/.test(words[next]?.text ?? '')) {
    reverse = words[next]?.text === 'reverse';
    next += 1;
  }
  return { weight, reverse, next };
}

const nameLengthMax = 64;

/** The name as drbdts.yaml takes it. */
export function nameOf(given: Word | undefined, report: Report): string {
  const text = given?.text ?? '';
  const plain = text.replace(/[^A-Za-z0-9_.:-]/g, '_').replace(/^[^A-Za-z0-9_]/, '_').slice(0, nameLengthMax);
  const written = plain === '' || plain === '__proto__' ? `unnamed${plain}` : plain;
  if (given !== undefined && written !== text) report('IMPORT_NAME_CHANGED', given, { name: text, written });
  return written;
}
