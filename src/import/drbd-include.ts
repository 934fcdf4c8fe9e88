/** `include` of drbd.conf: files in place of the statement, without loops, up to a bound. Pure apart from the reader it is given. */
import { parseDrbd, type Statement } from './drbd-parse.js';
import { drbdShape } from './drbd-words.js';
import type { Report } from './findings.js';
import type { FileReader, Source, Token } from './sources.js';

const filesMax = 500;
const bytesMax = 64 * 1024 * 1024;

/** Counts what is read, over all includes of one run. */
export class Budget {
  files = 0;
  bytes = 0;

  /** false: enough. */
  take(source: Source): boolean {
    this.files += 1;
    this.bytes += source.text.length;
    return this.files <= filesMax && this.bytes <= bytesMax;
  }
}

/** A path of an include, seen from the file it stands in. */
export function relativeTo(file: string, path: string): string {
  if (path.startsWith('/') || !file.includes('/')) return path;
  return `${file.slice(0, file.lastIndexOf('/'))}/${path}`;
}

function includeOne(path: string, word: Token, files: FileReader, budget: Budget, trail: readonly string[], report: Report): readonly Statement[] {
  if (trail.includes(path)) {
    report('IMPORT_INCLUDE_LOOP', word, { file: path });
    return [];
  }
  const source = files.read(path);
  if ('problem' in source) {
    report('IMPORT_INCLUDE', word, { pattern: word.text, reason: source.problem });
    return [];
  }
  if (!budget.take(source)) {
    report('IMPORT_TOO_MUCH', word, { what: 'too many or too large included files' });
    return [];
  }
  return readDrbd(source, files, budget, report, [...trail, path]);
}

/** All statements of a file and of those it includes. */
export function readDrbd(source: Source, files: FileReader, budget: Budget, report: Report, trail: readonly string[] = [source.path]): readonly Statement[] {
  return parseDrbd(source, drbdShape, report).flatMap((statement): readonly Statement[] => {
    const [word, pattern, extra] = statement.words;
    if (word?.text !== 'include' || word.quoted || statement.block !== null) return [statement];
    if (pattern === undefined) {
      report('IMPORT_MISSING_VALUE', word, { word: 'include', what: 'the path of a file' });
      return [];
    }
    if (extra !== undefined) report('IMPORT_EXTRA_VALUE', extra, { word: 'include', what: 'one path', extra: extra.text });
    const wanted = relativeTo(source.path, pattern.text);
    // a pattern that names nothing is no error, a path is
    return files.glob(wanted).flatMap((path) => includeOne(path, pattern, files, budget, trail, report));
  });
}
