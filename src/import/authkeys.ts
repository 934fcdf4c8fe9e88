/** authkeys: the key that is used, and what is wrong with the file (pure). */
import type { Report } from './findings.js';
import { lineWords, linesOf } from './ha-cf.js';
import { isReadable, placeText, type Source, type Token } from './sources.js';
import { suggestion } from './suggest.js';

export interface AuthKey {
  readonly id: number;
  readonly method: string;
  readonly key: string;
  readonly place: Token;
}
export interface AuthKeys {
  readonly path: string;
  /** null: none that could be used. */
  readonly active: AuthKey | null;
}

const methods: readonly string[] = ['crc', 'md5', 'sha1'];

interface Draft {
  auth: { readonly id: number; readonly place: Token } | null;
  readonly keys: Map<number, AuthKey>;
}

function takeKey(draft: Draft, id: number, idWord: Token, words: readonly Token[], rest: string, report: Report): void {
  const [method] = words;
  if (method === undefined) {
    report('IMPORT_MISSING_VALUE', idWord, { word: idWord.text, what: 'a method and a key' });
    return;
  }
  if (!methods.includes(method.text)) {
    report('IMPORT_AUTH_METHOD', method, { word: method.text, hint: () => suggestion(method.text, methods, 'Methods: crc, md5, sha1.') });
    return;
  }
  const key = rest.trim();
  if (method.text !== 'crc' && key === '') {
    report('IMPORT_AUTH_NO_KEY', method, { method: method.text });
    return;
  }
  const before = draft.keys.get(id);
  if (before !== undefined) {
    report('IMPORT_DUPLICATE', idWord, { word: `key ${id}`, first: placeText(before.place) });
    return;
  }
  if (draft.auth === null) report('IMPORT_AUTH_ORDER', idWord);
  draft.keys.set(id, { id, method: method.text, key: method.text === 'crc' ? '' : key, place: method });
}

function parseId(word: Token, report: Report): number | null {
  if (/^\d{1,2}$/.test(word.text) && Number(word.text) <= 15) return Number(word.text);
  report('IMPORT_AUTH_ID', word, { word: word.text });
  return null;
}

/** One line. `text` is the whole of it: a key goes to the end of the line, blanks and all. */
function takeLine(draft: Draft, words: readonly Token[], text: string, report: Report): void {
  const [first, second, third] = words;
  if (first === undefined) return;
  const after = (word: Token | undefined): string => (word === undefined ? '' : text.slice(word.column - 1 + word.text.length));
  if (first.text === 'auth') {
    if (second === undefined) {
      report('IMPORT_MISSING_VALUE', first, { word: 'auth', what: 'the id of a key' });
      return;
    }
    if (third !== undefined) report('IMPORT_EXTRA_VALUE', third, { word: 'auth', what: 'one id', extra: third.text });
    const id = parseId(second, report);
    if (id === null) return;
    if (draft.auth !== null) report('IMPORT_DUPLICATE', first, { word: 'auth', first: placeText(draft.auth.place) });
    draft.auth = { id, place: second };
    return;
  }
  if (methods.includes(first.text)) {
    const id = draft.auth?.id ?? null;
    report('IMPORT_AUTH_NO_ID', first, { word: first.text, hint: `Write \`${id ?? 1} ${first.text} KEY\`${id === null || draft.keys.has(id) ? '.' : '; the import takes it so.'}` });
    // with one key there is no doubt which id was meant
    if (id !== null && !draft.keys.has(id)) takeKey(draft, id, first, words, after(first), report);
    return;
  }
  const id = parseId(first, report);
  if (id !== null) takeKey(draft, id, first, words.slice(1), after(second), report);
}

/** Reads one authkeys. */
export function readAuthKeys(source: Source, report: Report): AuthKeys {
  const top = { file: source.path, line: 1, column: 1 };
  if (source.mode !== null && (source.mode & 0o077) !== 0) report('IMPORT_AUTH_OPEN', top, { mode: source.mode.toString(8).padStart(4, '0'), file: source.path });
  if (!isReadable(source, report)) return { path: source.path, active: null };
  const draft: Draft = { auth: null, keys: new Map() };
  linesOf(source, report).forEach((text, index) => {
    const bare = text.replace(/#.*$/s, '');
    takeLine(draft, lineWords(source, index + 1, bare, /\S+/g, report), bare.replace(/\s\/\/.*$/s, ''), report);
  });
  if (draft.auth === null) report('IMPORT_AUTH_NONE', top);
  else if (!draft.keys.has(draft.auth.id)) report('IMPORT_AUTH_UNKNOWN', draft.auth.place, { id: draft.auth.id });
  const active = draft.auth === null ? null : (draft.keys.get(draft.auth.id) ?? null);
  if (active?.method === 'crc') report('IMPORT_AUTH_CRC', active.place);
  return { path: source.path, active };
}

export function compareAuthKeys(a: AuthKeys, b: AuthKeys, report: Report): void {
  if (a.active === null || b.active === null) return;
  const same = a.active.id === b.active.id && a.active.method === b.active.method && a.active.key === b.active.key;
  // the keys themselves are secret
  if (!same) report('IMPORT_FILES_DIFFER', b.active.place, { what: 'the key', other: placeText(a.active.place), value: 'another id, method or key' });
}
