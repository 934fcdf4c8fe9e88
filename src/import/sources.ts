/** Files that are read, and what is known of the host: the seams between reading (pure) and the system (host.ts). */
import type { Place, Report } from './findings.js';

export interface Source {
  readonly path: string;
  readonly text: string;
  /** permission bits; null when there is no file behind it. */
  readonly mode: number | null;
}

export interface FileReader {
  /** The file, or why it can not be read. */
  read(path: string): Source | { readonly problem: string };
  /** Files that a shell pattern names, sorted; a pattern without wildcards names itself. */
  glob(pattern: string): readonly string[];
}

export interface HostNetwork {
  readonly interface: string;
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
}

export interface PathView {
  readonly kind: 'file' | 'directory' | 'other';
  readonly executable: boolean;
  /** the part of the path that others than root may write, '' for none. */
  readonly insecure: string;
}

/** What of a host a configuration is compared with. */
export interface HostView {
  /** as `uname -n` prints it, or as `--node` says. */
  readonly node: string;
  readonly interfaces: readonly string[];
  readonly networks: readonly HostNetwork[];
  /** null: not there. */
  path(path: string): PathView | null;
  /** Where a program is in PATH, null for nowhere. */
  program(name: string): string | null;
  /** Whether systemd has a unit of that name. */
  unit(name: string): boolean;
}

/** A word with its place. */
export interface Token extends Place {
  readonly text: string;
  readonly quoted: boolean;
}

/** Reports what makes a file useless as text; false: do not read it. */
export function isReadable(source: Source, report: Report): boolean {
  const nul = source.text.indexOf('\0');
  if (nul !== -1) {
    report('IMPORT_BINARY', placeAt(source.path, source.text, nul));
    return false;
  }
  return true;
}

/** One pass over the text up to `offset`; for findings, not for every word. */
export function placeAt(file: string, text: string, offset: number): Place {
  let line = 1;
  let begin = 0;
  for (let next = text.indexOf('\n'); next !== -1 && next < offset; next = text.indexOf('\n', next + 1)) {
    line += 1;
    begin = next + 1;
  }
  return { file, line, column: offset - begin + 1 };
}

/** More than that no line has: the rest of it is rubbish, and what is left is reported. */
export const wordsOfLineMax = 2000;

/** A line split at blanks (and commas, as ha.cf does), each word with its column. */
export function wordsOf(file: string, line: number, text: string, separators: RegExp): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(separators)) {
    if (tokens.length >= wordsOfLineMax) break;
    tokens.push({ file, line, column: match.index + 1, text: match[0], quoted: false });
  }
  return tokens;
}

/** `file:line:column`, for sentences that name a second place. */
export const placeText = (place: Place): string => `${place.file}:${place.line}:${place.column}`;
