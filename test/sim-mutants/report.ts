/** What a run of the mutants says: how much each needed, and the table in resources/docs. */
import type { Verdict } from './judge.js';
import { equivalentFolder, type Mutant, readMutants } from './mutant.js';

export interface Row {
  readonly mutant: Mutant;
  /** Undefined if it could not be built. */
  readonly verdict: Verdict | undefined;
  readonly error: string;
}

/** Scenarios or lives that were played until it was noticed, in words. */
export function needed(verdict: Verdict): string {
  const noun = verdict.by.startsWith('seed ') ? ['life', 'lives'] : ['scenario', 'scenarios'];
  return `${verdict.needed} ${noun[verdict.needed === 1 ? 0 : 1]}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function outcome({ verdict, error }: Row): string[] {
  if (verdict === undefined) return ['**not built**', cell(error.split('\n')[0] ?? ''), ''];
  return verdict.killed ? [verdict.rule, cell(verdict.by), needed(verdict)] : ['**survives**', '', `${verdict.played} lives`];
}

/** The document: a row for each mutant that was tried, and why the equivalent ones are. `commit`: of the core that was mutated. */
export function markdown(rows: readonly Row[], commit: string): string {
  const killed = rows.filter(({ verdict }) => verdict?.killed === true).length;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    '# Mutants of the core',
    '',
    'Each patch in `native/sim/mutants` breaks one rule of the core. `npm run sim:mutants` builds the simulator around each, plays the named scenarios and',
    'then lives from seed 1, and fails if nothing is noticed (simulator.md). This table is the output of `npm run sim:mutants -- --report',
    'resources/docs/simulator-mutants.md`. A scenario that killed is tried first with the mutants after it, so that numbers of scenarios vary from run to run.',
    '',
    `${rows.length} mutants, ${killed} killed. Last change of the core: ${commit}.`,
    '',
    line(['Mutant', 'What it breaks', 'Killed by rule', 'In', 'Needed']),
    line(['---', '---', '---', '---', '---']),
    ...rows.map((row) => line([`\`${row.mutant.name}\``, cell(row.mutant.sentence), ...outcome(row)])),
    '',
    '## Equivalent',
    '',
    'Changes that no rule can notice, as another part of the core makes up for them (`native/sim/mutants/equivalent`).',
    '',
    line(['Change', 'What it does', 'Why nobody can tell']),
    line(['---', '---', '---']),
    ...readMutants([], equivalentFolder).map((mutant) => line([`\`${mutant.name}\``, cell(mutant.sentence), cell(mutant.equivalent ?? '')])),
    '',
  ].join('\n');
}
