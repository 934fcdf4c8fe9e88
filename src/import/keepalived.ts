/** keepalived.conf from text to findings (pure): reading, the lint of one and of several files, and what an import has to say about it. */
import type { Report } from './findings.js';
import { readLines } from './keepalived-lines.js';
import { lintKeepalived } from './keepalived-lint.js';
import { type Keepalived, modelOf } from './keepalived-model.js';
import { comparePair, sharedScripts } from './keepalived-pair.js';
import { parseKeepalived } from './keepalived-parse.js';
import type { FileReader, HostView, Source } from './sources.js';

const instancesCompared = 300;

/** Reads one file. Conditions hold for the name of the host, when one of them names it. */
export function readKeepalived(source: Source, files: FileReader, host: HostView, report: Report): Keepalived {
  const reading = readLines(source, files, report);
  const short = host.node.split('.')[0] ?? host.node;
  const known = reading.conditions.has(host.node) ? host.node : reading.conditions.has(short) ? short : null;
  const nodes = parseKeepalived(reading.lines, report);
  if (known === null && reading.conditions.size > 0) report('IMPORT_CONDITION', { file: source.path, line: 1, column: 1 }, { ids: [...reading.conditions].slice(0, 8).join(', @') });
  return modelOf(source.path, nodes, [...reading.conditions], known, report);
}

/** Mistakes of each file and between them. */
export function checkKeepalived(files: readonly Keepalived[], host: HostView, report: Report): void {
  const shared = sharedScripts(files);
  for (const file of files) lintKeepalived(file, shared, host, report);
  files.forEach((b, index) => {
    for (const a of files.slice(0, index)) {
      if (a.instances.length <= instancesCompared && b.instances.length <= instancesCompared) comparePair(a, b, report);
    }
  });
}
