/** What the client's history says: outages, errors, rows, who answered; and the table of it all (pure). */

/** One thing that the client tried. */
export interface Operation {
  /** wall clock, when it began and when it ended. */
  readonly beginMs: number;
  readonly endMs: number;
  /** '' for a success. */
  readonly error: string;
  /** number of the row; 0 for a page. */
  readonly row: number;
  /** the node that answered, '' when the answer does not say. */
  readonly node: string;
}

export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Outage {
  readonly ms: number;
  /** when the last success before it ended. */
  readonly beginMs: number;
}

const succeeded = ({ error }: Operation): boolean => error === '';

/**
 * The longest time without a success inside the window. It begins with the last success before the window, and a window that ends without a
 * success counts to its end.
 */
export function longestOutage(operations: readonly Operation[], { fromMs, toMs }: Window): Outage {
  const ends = operations.filter(succeeded).map(({ endMs }) => endMs).filter((endMs) => endMs <= toMs).sort((a, b) => a - b);
  let last = ends.findLast((endMs) => endMs < fromMs) ?? fromMs;
  let longest: Outage = { ms: 0, beginMs: last };
  for (const endMs of [...ends.filter((each) => each >= fromMs), toMs]) {
    if (endMs - last > longest.ms) longest = { ms: endMs - last, beginMs: last };
    last = endMs;
  }
  return longest;
}

/** How often each error occurred in the window, the most frequent first. */
export function errorsIn(operations: readonly Operation[], { fromMs, toMs }: Window): [error: string, times: number][] {
  const times = new Map<string, number>();
  for (const { endMs, error } of operations) if (error !== '' && endMs >= fromMs && endMs <= toMs) times.set(error, (times.get(error) ?? 0) + 1);
  return [...times].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
}

/** Numbers of the rows whose writing was acknowledged until `toMs`. */
export function acknowledged(operations: readonly Operation[], toMs = Number.POSITIVE_INFINITY): number[] {
  return operations.filter((each) => succeeded(each) && each.row > 0 && each.endMs <= toMs).map(({ row }) => row);
}

/** Acknowledged rows that were not found. */
export function rowsLost(wanted: readonly number[], found: readonly number[]): number[] {
  const there = new Set(found);
  return wanted.filter((row) => !there.has(row));
}

/**
 * How often the answering node changed inside the window. A request counts after another only when it began after that one was answered, so
 * that two on their way at the same time are no change.
 */
export function changesOfNode(operations: readonly Operation[], { fromMs, toMs }: Window): string[] {
  const answers = operations.filter((each) => succeeded(each) && each.node !== '' && each.endMs >= fromMs && each.endMs <= toMs).sort((a, b) => a.endMs - b.endMs);
  const changes: string[] = [];
  let present = answers[0];
  for (const answer of answers) {
    if (present === undefined || answer.node === present.node) present = answer;
    else if (answer.beginMs >= present.endMs) {
      changes.push(`${present.node} -> ${answer.node}`);
      present = answer;
    }
  }
  return changes;
}

/** What is known of a case when it is over. */
export interface CaseResult {
  readonly name: string;
  readonly title: string;
  readonly from: string;
  readonly to: string;
  /** where the group may be afterwards. */
  readonly expected: readonly string[];
  readonly pagesOutageMs: number;
  readonly rowsOutageMs: number;
  readonly errors: readonly [error: string, times: number][];
  readonly rowsAcknowledged: number;
  readonly rowsLost: readonly number[];
  readonly changes: readonly string[];
  readonly violations: readonly string[];
}

/** What did not hold; empty when all did. */
export function problemsOf(result: CaseResult): string[] {
  const { rowsLost: lost, violations, changes, to, expected, rowsAcknowledged } = result;
  return [
    ...(lost.length > 0 ? [`${lost.length} acknowledged rows are lost: ${lost.slice(0, 10).join(', ')}${lost.length > 10 ? ', ...' : ''}`] : []),
    ...(rowsAcknowledged === 0 ? ['no row was acknowledged, so nothing was checked'] : []),
    ...violations,
    ...(changes.length > 1 ? [`the client was answered by one node, the other, and the first again: ${changes.join(', ')}`] : []),
    ...(expected.includes(to) ? [] : [`the group is on ${to === '' ? 'no node' : to} and belongs on ${expected.join(' or ')}`]),
  ];
}

/** Lines of a table; the first row is the head. Columns that hold only numbers below their head are right-aligned. */
export function tableOf(rows: readonly (readonly string[])[]): string[] {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const numeric = head.map((_, column) => body.length > 0 && body.every((row) => /^[\d ]+(ms)?$/.test(row[column] ?? '')));
  const line = (row: readonly string[]): string => widths.map((width, column) => (numeric[column] === true ? (row[column] ?? '').padStart(width) : (row[column] ?? '').padEnd(width))).join('  ').trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...body.map(line)];
}

/** The table of a demo. */
export function summaryOf(results: readonly CaseResult[]): string[] {
  return tableOf([
    ['case', 'node', 'pages out', 'rows out', 'errors', 'rows', 'lost', 'both served', ''],
    ...results.map((result) => [
      result.title,
      result.from === result.to ? `stays on ${result.to}` : `${result.from} -> ${result.to}`,
      `${Math.round(result.pagesOutageMs)} ms`,
      `${Math.round(result.rowsOutageMs)} ms`,
      String(result.errors.reduce((sum, [, times]) => sum + times, 0)),
      String(result.rowsAcknowledged),
      String(result.rowsLost.length),
      result.violations.length === 0 && result.changes.length <= 1 ? 'never' : 'YES',
      problemsOf(result).length === 0 ? 'ok' : 'FAILED',
    ]),
  ]);
}
