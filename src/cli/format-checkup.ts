/** What `drbdts cluster check` prints: two lines for each finding, then what was not looked at, then the sum. */
import type { CheckupResult } from '../checkup/checkup.js';
import { type Painter, plainPainter } from './color.js';

export function formatCheckup({ file, node, findings, notes }: CheckupResult, paint: Painter = plainPainter): string[] {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.length - errors;
  return [
    ...findings.flatMap(({ severity, place, code, message, remedy }) => [
      `${paint(severity === 'error' ? 'bad' : 'busy', severity)}: ${place}: ${message} [${code}]`,
      `  ${remedy}`,
    ]),
    ...notes.map((note) => `not checked: ${note}`),
    findings.length === 0 ? `${file}: ${paint('good', 'OK')} on ${node}` : `${errors} errors, ${warnings} warnings on ${node}`,
  ];
}
