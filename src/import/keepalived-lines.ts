/**
 * keepalived.conf as lines of words with places (pure apart from the reader): comments, quotes, braces, includes, `$definitions`,
 * `@conditions`, `~SEQ`. Braces are words of their own here; which block they belong to is the parser's business. Everything is bounded: a
 * definition that doubles itself ends at a limit, not with the memory.
 */
import { Budget, relativeTo } from './drbd-include.js';
import type { Place, Report } from './findings.js';
import { expandSequence, findSequence } from './keepalived-sequence.js';
import { type FileReader, isReadable, type Source, type Token } from './sources.js';

export interface Line {
  readonly words: readonly Word[];
  /** the id after `@`, '' for none; `^` in front: not with it. */
  readonly condition: string;
}
export interface Word extends Token {
  /** a quote stands in it or around it. */
  readonly quoted: boolean;
  /** `notify_"x"`: the quote begins within the word, at this offset. */
  readonly quoteAt: number;
}

const linesMax = 50_000;
const wordsMax = 300_000;
const lineLengthMax = 64 * 1024;
const expansionsMax = 2000;
const expansionDepthMax = 10;

interface Definition {
  readonly value: string;
}

/** Config id, definitions and what was read so far; shared by all includes of one file. */
export class Reading {
  readonly budget = new Budget();
  readonly definitions = new Map<string, Definition>();
  readonly lines: Line[] = [];
  readonly conditions = new Set<string>();
  words = 0;
  full = false;
}

/** The comment ends a line: `#` or `!` outside of quotes, unless a backslash is before it. */
function withoutComment(text: string): string {
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '"') quoted = !quoted;
    else if ((character === '#' || character === '!') && !quoted && text[index - 1] !== '\\') return text.slice(0, index);
  }
  return text;
}

/** Words of a line; quotes keep blanks together, also inside of a word; braces stand alone. */
export function splitWords(place: Place, text: string, report: Report): Word[] {
  const words: Word[] = [];
  let index = 0;
  while (index < text.length) {
    const character = text[index];
    if (character === ' ' || character === '\t' || character === '\r' || character === '\f' || character === '\v') {
      index += 1;
      continue;
    }
    const at: Place = { file: place.file, line: place.line, column: place.column + index };
    if (character === '{' || character === '}') {
      words.push({ ...at, text: character, quoted: false, quoteAt: -1 });
      index += 1;
      continue;
    }
    const start = index;
    let value = '';
    let quoteAt = -1;
    for (; index < text.length; index++) {
      const one = text[index] ?? '';
      if (one === '"') {
        const end = text.indexOf('"', index + 1);
        if (quoteAt === -1) quoteAt = index - start;
        if (end === -1) {
          report('IMPORT_QUOTE', { file: place.file, line: place.line, column: place.column + index });
          value += text.slice(index + 1);
          index = text.length;
          break;
        }
        value += text.slice(index + 1, end);
        index = end;
      } else if (one === '\\' && /[#!]/.test(text[index + 1] ?? '')) value += text[++index] ?? '';
      else if (/[\s{}]/.test(one) && !isVariableBrace(text, index)) break;
      else value += one;
    }
    words.push({ ...at, text: value, quoted: quoteAt !== -1, quoteAt });
  }
  return words;
}

/** `${NAME}`, which was not replaced because nobody defined it, is no block. */
function isVariableBrace(text: string, index: number): boolean {
  if (text[index] === '{') return text[index - 1] === '$';
  if (text[index] !== '}') return false;
  const open = text.lastIndexOf('{', index);
  return open > 0 && text[open - 1] === '$' && index - open < 64;
}

const name = /^[A-Za-z_]\w*$/;

/** Values of definitions in place of their names, in values, too. */
function expand(text: string, reading: Reading, place: Place, report: Report, depth = 0): string {
  if (!text.includes('$') || depth > expansionDepthMax) {
    if (depth > expansionDepthMax) report('IMPORT_TOO_MUCH', place, { what: `definitions within definitions, more than ${expansionDepthMax} deep` });
    return text;
  }
  let changed = false;
  let room = lineLengthMax - text.length;
  const result = text.replace(/\$(?:\{(\w{1,64})\}|(\w{1,64})(?=[\s,/)"}]|$))/g, (whole, braced: string | undefined, bare: string | undefined) => {
    const found = reading.definitions.get(braced ?? bare ?? '');
    if (found === undefined) return whole;
    changed = true;
    room -= found.value.length;
    return room < 0 ? '' : found.value;
  });
  if (room < 0) {
    report('IMPORT_TOO_MUCH', place, { what: `a line of more than ${lineLengthMax} characters` });
    return '';
  }
  return changed ? expand(result, reading, place, report, depth + 1) : result;
}

const includeWord = /^\s*(include[rmwba]?)\s+(\S.*)$/;

class FileLines {
  readonly #source: Source;
  readonly #reading: Reading;
  readonly #files: FileReader;
  readonly #report: Report;
  readonly #trail: readonly string[];
  /** a definition of several lines that goes on. */
  #open: { readonly name: string; parts: string[] } | null = null;

  constructor(source: Source, reading: Reading, files: FileReader, report: Report, trail: readonly string[]) {
    this.#source = source;
    this.#reading = reading;
    this.#files = files;
    this.#report = report;
    this.#trail = trail;
  }

  read(): void {
    const { text, path } = this.#source;
    let line = 1;
    for (let begin = 0; begin < text.length && !this.#reading.full; line++) {
      const end = text.indexOf('\n', begin);
      const raw = text.slice(begin, end === -1 ? text.length : end);
      begin = end === -1 ? text.length : end + 1;
      const place = { file: path, line, column: 1 };
      if (raw.length > lineLengthMax) this.#report('IMPORT_TOO_MUCH', place, { what: `a line of more than ${lineLengthMax} characters` });
      else this.#line(place, raw.endsWith('\r') ? raw.slice(0, -1) : raw);
    }
  }

  #line(place: Place, raw: string): void {
    if (this.#open !== null) {
      this.#goOn(place, raw);
      return;
    }
    const text = withoutComment(raw);
    if (text.trim() === '') return;
    const include = includeWord.exec(text);
    if (include !== null) {
      this.#include(include[1] ?? '', (include[2] ?? '').trim().replaceAll('"', ''), { ...place, column: text.indexOf(include[2] ?? '') + 1 });
      return;
    }
    const definition = /^\s*\$(\w+)\s*=(.*)$/.exec(text);
    if (definition !== null) {
      this.#define(definition[1] ?? '', (definition[2] ?? '').trim(), place, text.indexOf('$') + 1);
      return;
    }
    const condition = /^(\s*)@(\^?[^\s]+)(\s|$)/.exec(text);
    const skipped = condition === null ? 0 : condition[0].length;
    const id = condition?.[2] ?? '';
    if (id !== '') this.#reading.conditions.add(id.replace('^', ''));
    this.#statement({ ...place, column: skipped + 1 }, text.slice(skipped), id);
  }

  #goOn(place: Place, raw: string): void {
    const open = this.#open;
    if (open === null) return;
    const more = /\\\s*$/.test(raw);
    open.parts.push(more ? raw.slice(0, raw.lastIndexOf('\\')) : raw);
    if (open.parts.length > 1000) this.#report('IMPORT_TOO_MUCH', place, { what: 'a definition of more than 1000 lines' });
    else if (more) return;
    this.#reading.definitions.set(open.name, { value: open.parts.join('\n') });
    this.#open = null;
  }

  #define(word: string, value: string, place: Place, column: number): void {
    if (!name.test(word)) {
      this.#report('IMPORT_VALUE', { ...place, column }, { problem: `'$${word}' is not a name`, hint: 'Names begin with a letter and hold letters, digits and `_`.' });
      return;
    }
    if (value === '' || value === '\\') {
      this.#open = { name: word, parts: [] };
      return;
    }
    this.#reading.definitions.set(word, { value: value.replace(/^"(.*)"$/, '$1') });
  }

  #statement(place: Place, text: string, condition: string): void {
    const expanded = expand(text, this.#reading, place, this.#report);
    // what a definition brings in can not be told apart by columns: it is where its name stands
    for (const part of expanded.split('\n')) this.#sequences(place, part, condition, expanded === text);
  }

  #sequences(place: Place, text: string, condition: string, original: boolean): void {
    const begin = text.trimStart();
    if (!begin.startsWith('~')) {
      this.#push(place, text, condition, original);
      return;
    }
    const column = original ? place.column + text.length - begin.length : place.column;
    const sequence = findSequence(begin);
    if (typeof sequence === 'string') {
      this.#report('IMPORT_SEQUENCE', { ...place, column }, { problem: sequence });
      return;
    }
    const lines = expandSequence(sequence, expansionsMax);
    if (lines === null) {
      this.#report('IMPORT_SEQUENCE', { ...place, column }, { problem: `the sequence gives more than ${expansionsMax} lines` });
      // what was tried counts, or many of them would take for ever
      this.#reading.words += expansionsMax;
      if (this.#reading.words > wordsMax) this.#stop(place);
      return;
    }
    for (const line of lines) {
      if (this.#reading.full) return;
      this.#push({ ...place, column }, line, condition, false);
    }
  }

  #push(place: Place, text: string, condition: string, original: boolean): void {
    let words = splitWords(original ? place : { ...place, column: 1 }, text, this.#report);
    if (!original) words = words.map((word) => ({ ...word, line: place.line, column: place.column }));
    const slashes = words.findIndex((word) => !word.quoted && word.text.startsWith('//'));
    const at = words[slashes];
    if (at !== undefined) {
      this.#report('IMPORT_SLASH_COMMENT', at, { product: 'keepalived' });
      words = words.slice(0, slashes);
    }
    if (words.length === 0) return;
    this.#reading.words += words.length;
    if (this.#reading.lines.length >= linesMax || this.#reading.words > wordsMax) {
      this.#stop(place);
      return;
    }
    this.#reading.lines.push({ words, condition });
  }

  #stop(place: Place): void {
    this.#report('IMPORT_TOO_MUCH', place, { what: `more than ${linesMax} lines or ${wordsMax} words` });
    this.#reading.full = true;
  }

  #include(word: string, pattern: string, place: Place): void {
    // a plain include is silent about what is not there; r and a are not
    const strict = word === 'includer' || word === 'includea' || word === 'includem';
    const wanted = relativeTo(this.#source.path, pattern);
    const paths = this.#files.glob(wanted);
    if (paths.length === 0 && strict) this.#report('IMPORT_INCLUDE', place, { pattern, reason: 'it names no file' });
    for (const path of paths) {
      if (this.#reading.full) return;
      this.#includeOne(path, pattern, place);
    }
  }

  #includeOne(path: string, pattern: string, place: Place): void {
    if (this.#trail.includes(path)) {
      this.#report('IMPORT_INCLUDE_LOOP', place, { file: path });
      return;
    }
    const source = this.#files.read(path);
    if ('problem' in source) this.#report('IMPORT_INCLUDE', place, { pattern, reason: source.problem });
    else if (!this.#reading.budget.take(source)) {
      this.#report('IMPORT_TOO_MUCH', place, { what: 'too many or too large included files' });
      this.#reading.full = true;
    } else if (isReadable(source, this.#report)) new FileLines(source, this.#reading, this.#files, this.#report, [...this.#trail, path]).read();
  }
}

/** All lines of a file and of what it includes. */
export function readLines(source: Source, files: FileReader, report: Report): Reading {
  const reading = new Reading();
  if (isReadable(source, report)) new FileLines(source, reading, files, report, [source.path]).read();
  return reading;
}
