/** The whole check of a node: reads the configuration, looks at the host, judges. Changes nothing, needs no daemon. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { loadConfig } from '../config/load.js';
import { placesIn } from '../config/places.js';
import { type CheckFinding, finding } from './findings.js';
import { gatherFacts, type Sources } from './gather.js';
import { compareFiles, findingOf, inOrder, judge, type Subject } from './judge.js';

export interface CheckupOptions {
  readonly file: string;
  readonly node: string;
  /** the other node's configuration file, to compare with; '' for none. */
  readonly against: string;
  readonly sources: Sources;
}

export interface CheckupResult {
  readonly file: string;
  readonly node: string;
  readonly findings: CheckFinding[];
  /** what could not be looked at, and why. */
  readonly notes: string[];
}

/** Throws ERR_CONFIG_MISSING when a file cannot be read. */
export async function checkup({ file, node, against, sources }: CheckupOptions): Promise<CheckupResult> {
  // whether this host is in it, is judged with the rest
  const { config, problems } = loadConfig(file, null);
  const findings = problems.map(findingOf);
  if (config === null) return { file, node, findings: inOrder(findings), notes: ['the host was not looked at: the configuration has errors'] };
  if (config.cluster === null) return { file, node, findings: inOrder([...findings, finding('CHECK_NO_CLUSTER', file)]), notes: [] };
  const text = readFileSync(file, 'utf8');
  const places = placesIn(text);
  const subject: Subject = {
    ...{ config, node },
    place: (path) => {
      const { line, column } = places(path);
      return `${file}:${line}:${column}`;
    },
  };
  const facts = await gatherFacts(config, config.cluster, node, sources);
  findings.push(...judge(subject, facts));
  if (against !== '') {
    const other = loadConfig(against, null);
    findings.push(...other.problems.filter(({ severity }) => severity === 'error').map(findingOf));
    if (other.config !== null) findings.push(...compareFiles(subject, parse(text), { config: other.config, file: against, raw: parse(readFileSync(against, 'utf8')) }));
  }
  const notes = [
    ...(process.getuid?.() === 0 ? [] : ['not run as root: much of this host could not be looked at']),
    ...(facts.clusterd === null && against === '' ? ['the other node: drbdts-clusterd does not answer here; compare the files with --against'] : []),
    ...(facts.clusterd === null ? ['pauses and gaps: measured by drbdts-clusterd only, which does not answer'] : []),
    ...(facts.drbdtsd === null ? ['volumes: drbdtsd does not answer'] : []),
  ];
  return { file, node, findings: inOrder(findings), notes };
}
