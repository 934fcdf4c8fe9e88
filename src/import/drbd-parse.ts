/**
 * drbd.conf of 8.3, 8.4 and 9 as a tree of statements with places (pure). A statement is words, then `;` or a block. What is wrong is
 * reported and mended as far as a reader would: a missing brace, semicolon or quote spoils its own place only.
 */
import type { Place, Report } from './findings.js';
import { isReadable, type Source, type Token } from './sources.js';

export interface Statement {
  readonly words: readonly Token[];
  /** null: ended by `;`. */
  readonly block: readonly Statement[] | null;
}

type Lexeme = Token & { readonly kind: 'word' | '{' | '}' | ';' };

const depthMax = 32;
/** A thousand resources are far below it; what is longer is no configuration. */
const tokensMax = 300_000;
const wordPattern = /[^\s{};"#]+/y;

/** Tokens of a text, one after the other; linear in its length. */
class Lexer {
  readonly #file: string;
  readonly #text: string;
  readonly #report: Report;
  #offset = 0;
  #line = 1;
  #begin = 0;
  /** whether a statement could begin here, so that `//` is meant as a comment. */
  #atStart = true;
  #tokens = 0;

  constructor(source: Source, report: Report) {
    this.#file = source.path;
    this.#text = source.text;
    this.#report = report;
  }

  #place(offset: number): Place {
    return { file: this.#file, line: this.#line, column: offset - this.#begin + 1 };
  }

  #toLineEnd(): void {
    const end = this.#text.indexOf('\n', this.#offset);
    this.#offset = end === -1 ? this.#text.length : end;
  }

  #skipBlanks(): void {
    for (; this.#offset < this.#text.length; ) {
      const character = this.#text[this.#offset];
      if (character === '\n') {
        this.#line += 1;
        this.#begin = this.#offset + 1;
      } else if (character === '#') {
        this.#toLineEnd();
        continue;
      } else if (character !== ' ' && character !== '\t' && character !== '\r') return;
      this.#offset += 1;
    }
  }

  next(): Lexeme | null {
    for (;;) {
      this.#skipBlanks();
      const start = this.#offset;
      const character = this.#text[start];
      if (character === undefined) return null;
      this.#tokens += 1;
      if (this.#tokens > tokensMax) {
        this.#report('IMPORT_TOO_MUCH', this.#place(start), { what: `more than ${tokensMax} words` });
        this.#offset = this.#text.length;
        return null;
      }
      const place = this.#place(start);
      if (character === '{' || character === '}' || character === ';') {
        this.#offset += 1;
        this.#atStart = true;
        return { file: place.file, line: place.line, column: place.column, kind: character, text: character, quoted: false };
      }
      if (character === '/' && this.#text[start + 1] === '/' && (this.#atStart || /[\s{};]/.test(this.#text[start + 2] ?? ' '))) {
        this.#report('IMPORT_SLASH_COMMENT', place, { product: 'DRBD' });
        this.#toLineEnd();
        continue;
      }
      this.#atStart = false;
      if (character === '"') return this.#quoted(start, place);
      wordPattern.lastIndex = start;
      const text = wordPattern.exec(this.#text)?.[0] ?? character;
      this.#offset += text.length;
      return { file: place.file, line: place.line, column: place.column, kind: 'word', text, quoted: false };
    }
  }

  #quoted(start: number, place: Place): Lexeme {
    let text = '';
    let end = start + 1;
    for (; end < this.#text.length; end++) {
      const character = this.#text[end];
      if (character === '"' || character === '\n') break;
      if (character === '\\' && (this.#text[end + 1] === '"' || this.#text[end + 1] === '\\')) end += 1;
      text += this.#text[end] ?? '';
    }
    if (this.#text[end] !== '"') {
      this.#report('IMPORT_QUOTE', place);
      this.#offset = end;
      // what was meant to follow the quote is in it
      return { ...place, kind: 'word', text: text.replace(/;\s*$/, ''), quoted: true };
    }
    this.#offset = end + 1;
    return { ...place, kind: 'word', text, quoted: true };
  }
}

interface Open {
  readonly words: readonly Token[];
  readonly block: Statement[];
}

export interface Shape {
  /** Words that begin a statement, so that a missing semicolon before them shows. */
  isKeyword(word: string): boolean;
  /** Blocks in which a block may be, by the first word; `` for the top; null: anywhere. */
  parentsOf(word: string): readonly string[] | null;
}

class Parser {
  readonly #lexer: Lexer;
  readonly #report: Report;
  readonly #shape: Shape;
  readonly #stack: Open[] = [{ words: [], block: [] }];
  #words: Token[] = [];
  /** depth of braces that are skipped because they are too deep. */
  #buried = 0;

  constructor(source: Source, shape: Shape, report: Report) {
    this.#lexer = new Lexer(source, report);
    this.#report = report;
    this.#shape = shape;
  }

  parse(): readonly Statement[] {
    for (let token = this.#lexer.next(); token !== null; token = this.#lexer.next()) this.#take(token);
    if (this.#words.length > 0) this.#unended();
    while (this.#stack.length > 1) this.#reportOpen();
    return this.#stack[0]?.block ?? [];
  }

  #take(token: Lexeme): void {
    if (this.#buried > 0) {
      if (token.kind === '{') this.#buried += 1;
      else if (token.kind === '}') this.#buried -= 1;
      return;
    }
    switch (token.kind) {
      case 'word':
        this.#word(token);
        return;
      case ';':
        if (this.#words.length > 0) this.#end(null);
        return;
      case '{':
        this.#open(token);
        return;
      case '}':
        if (this.#words.length > 0) this.#unended();
        if (this.#stack.length === 1) this.#report('IMPORT_BRACE_EXTRA', token);
        else this.#close();
    }
  }

  /** A keyword at the start of a line, while another statement is not ended: its semicolon is missing. */
  #word(token: Lexeme): void {
    const last = this.#words.at(-1);
    if (last !== undefined && !token.quoted && token.line > last.line && this.#words.length >= 2 && this.#shape.isKeyword(token.text)) this.#unended();
    this.#words.push(token);
    // nobody writes statements of hundreds of words: do not collect a whole file
    if (this.#words.length > 256) {
      this.#report('IMPORT_TOO_MUCH', token, { what: 'a statement of more than 256 words' });
      this.#words = [];
    }
  }

  #unended(): void {
    const last = this.#words.at(-1);
    if (last === undefined) return;
    const length = last.text.length + (last.quoted ? 2 : 0);
    this.#report('IMPORT_SEMICOLON', { ...last, column: last.column + length }, { word: this.#words.map(({ text }) => text).join(' ') });
    this.#end(null);
  }

  #end(block: Statement[] | null): void {
    this.#stack.at(-1)?.block.push({ words: this.#words, block });
    this.#words = [];
  }

  #open(brace: Lexeme): void {
    const first = this.#words[0];
    if (first === undefined) this.#report('IMPORT_BRACE_UNEXPECTED', brace, { word: '{' });
    else this.#closeForgotten(first.text);
    if (this.#stack.length > depthMax) {
      this.#report('IMPORT_TOO_DEEP', brace, { depth: depthMax });
      this.#words = [];
      this.#buried = 1;
      return;
    }
    const opened = { words: this.#words, block: [] };
    this.#stack.push(opened);
    this.#words = [];
  }

  /** `on` inside of `on`: the first one's brace is missing. */
  #closeForgotten(word: string): void {
    const parents = this.#shape.parentsOf(word);
    if (parents === null) return;
    const names = this.#stack.map((open) => open.words[0]?.text ?? '');
    const at = names.findLastIndex((name) => parents.includes(name));
    if (at === -1) return;
    while (this.#stack.length > at + 1) this.#reportOpen();
  }

  #reportOpen(): void {
    const open = this.#stack.at(-1);
    const first = open?.words[0];
    if (first !== undefined) this.#report('IMPORT_BRACE_OPEN', first, { word: open?.words.map(({ text }) => text).join(' ') ?? '' });
    this.#close();
  }

  #close(): void {
    const done = this.#stack.pop();
    if (done !== undefined) this.#stack.at(-1)?.block.push({ words: done.words, block: done.block });
  }
}

/** The statements of one file. */
export function parseDrbd(source: Source, shape: Shape, report: Report): readonly Statement[] {
  if (!isReadable(source, report)) return [];
  return new Parser(source, shape, report).parse();
}
