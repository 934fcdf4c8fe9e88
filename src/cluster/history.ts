/**
 * The journal of decisions: one JSON object per line, so that it can be read when everything else is gone. Kept to two files of bounded size.
 * A journal that cannot be written is said once and never keeps a decision from being carried out.
 */
import { appendFileSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type HistoryEntry, historyEntry } from '../control/cluster-messages.js';

const fileBytesMax = 4 * 1024 * 1024;
const keptEntries = 2000;

export interface HistoryOptions {
  file: string;
  node: string;
  now(): Date;
  /** the journal could not be written. */
  onTrouble(reason: string): void;
}

function readEntries(file: string): HistoryEntry[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  // a line cut short by a loss of power is left out
  return text.split('\n').flatMap((line) => {
    try {
      const parsed = historyEntry.safeParse(JSON.parse(line));
      return parsed.success ? [parsed.data] : [];
    } catch {
      return [];
    }
  });
}

export class History {
  readonly #options: HistoryOptions;
  #entries: HistoryEntry[];
  #troubled = false;

  constructor(options: HistoryOptions) {
    this.#options = options;
    const { file } = options;
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    this.#entries = [...readEntries(`${file}.old`), ...readEntries(file)].slice(-keptEntries);
    this.#endLine();
  }

  /** What was cut short must not take the next entry with it. */
  #endLine(): void {
    const { file } = this.#options;
    try {
      if (!/(^|\n)$/.test(readFileSync(file, 'utf8').slice(-1))) appendFileSync(file, '\n');
    } catch {
      // there is none yet, or it can not be written: add() says so
    }
  }

  add(level: HistoryEntry['level'], group: string, sentence: string): void {
    const { file, node, now, onTrouble } = this.#options;
    const entry: HistoryEntry = { time: now().toISOString(), node, group, level, sentence };
    this.#entries.push(entry);
    if (this.#entries.length > keptEntries) this.#entries = this.#entries.slice(-keptEntries);
    try {
      appendFileSync(file, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
      if (statSync(file).size > fileBytesMax) renameSync(file, `${file}.old`);
      this.#troubled = false;
    } catch (error) {
      if (!this.#troubled) onTrouble((error as Error).message);
      this.#troubled = true;
    }
  }

  /** The last `limit` entries, oldest first. */
  last(limit: number): HistoryEntry[] {
    return this.#entries.slice(-limit);
  }
}
