/** A mutant: a small patch of the core that breaks one rule, with a sentence that says which. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { projectRoot } from '../support/paths.js';

export const mutantFolder = join(projectRoot, 'native/sim/mutants');
/** Those that another rule of the core makes up for. */
export const equivalentFolder = join(mutantFolder, 'equivalent');

export interface Mutant {
  /** `NNN-what-it-breaks`, the file's name without its ending. */
  readonly name: string;
  readonly file: string;
  /** The comment lines at its top, joined, but for the next. */
  readonly sentence: string;
  /** Why no rule can notice it; undefined: it is to be killed. */
  readonly equivalent: string | undefined;
  /** What it changes, relative to native/core. */
  readonly sources: readonly string[];
}

/** Reads a patch; throws an Error with the file and what was expected if it is not one of ours. */
export function readMutant(file: string): Mutant {
  const lines = readFileSync(file, 'utf8').split('\n');
  const comments = lines.filter((line) => line.startsWith('# ')).map((line) => line.slice(2).trim());
  if (comments.length === 0) throw new Error(`${file}: expected a first line '# what it breaks. Noticed by: rule'`);
  const sources = lines.flatMap((line) => /^\+\+\+ b\/native\/core\/(\S+)/.exec(line)?.[1] ?? []);
  if (sources.length === 0) throw new Error(`${file}: expected a unified diff of native/core/*.cc (+++ b/native/core/...)`);
  const header = sources.find((source) => !source.endsWith('.cc'));
  if (header !== undefined) throw new Error(`${file}: changes ${header}; mutants change .cc files only, the simulator itself is built once`);
  const said = 'equivalent: ';
  const equivalent = comments.find((line) => line.startsWith(said))?.slice(said.length);
  return { name: basename(file, '.patch'), file, sentence: comments.filter((line) => !line.startsWith(said)).join(' '), equivalent, sources };
}

/** All mutants whose name contains one of `only` (all without any), by name. */
export function readMutants(only: readonly string[], folder = mutantFolder): Mutant[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.patch')).sort();
  const chosen = files.filter((name) => only.length === 0 || only.some((part) => name.includes(part)));
  return chosen.map((name) => readMutant(join(folder, name)));
}
