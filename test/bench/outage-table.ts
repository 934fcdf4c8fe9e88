/** What an outage is, and the table of the outage benchmark. Pure. */
import { align, median } from './table.js';

/** All outages of one case, in ms, in the order of the rounds. */
export type Outages = Record<string, number[]>;

export interface CaseSpec {
  readonly name: string;
  readonly title: string;
  readonly event: 'planned' | 'kill';
  /** drbdts is judged by these: median and worst, in ms. */
  readonly barMs?: number;
}

/** The longest time without a page that ends after `eventMs`: from the last success before it to the first one after it. */
export function outageMs(successesMs: readonly number[], eventMs: number): number {
  const sorted = [...successesMs].sort((a, b) => a - b);
  let longest = 0;
  for (let at = 1; at < sorted.length; at++) {
    const to = sorted[at] ?? 0;
    if (to > eventMs) longest = Math.max(longest, to - (sorted[at - 1] ?? 0));
  }
  if ((sorted[0] ?? Number.POSITIVE_INFINITY) > eventMs) throw new Error('no page came before the event');
  if ((sorted.at(-1) ?? 0) <= eventMs) throw new Error('no page came after the event');
  return longest;
}

const seconds = (ms: number): string => (Number.isFinite(ms) ? (ms / 1000).toFixed(2) : '-');

/** One line per case; the last column compares the median with that of drbdts at the same event. */
export function outageTable(cases: readonly CaseSpec[], outages: Outages, own: string): string[] {
  const rows: string[][] = [['event', 'cluster manager', 'rounds', 'median s', 'worst s', 'bar s', '', 'x drbdts']];
  for (const event of ['planned', 'kill'] as const) {
    const base = median(outages[`${own}-${event}`] ?? []);
    for (const one of cases.filter((each) => each.event === event)) {
      const values = outages[one.name] ?? [];
      const worst = values.length === 0 ? Number.NaN : Math.max(...values);
      const { barMs } = one;
      rows.push([
        event === 'planned' ? 'planned move' : 'SIGKILL of the node', one.title, String(values.length), seconds(median(values)), seconds(worst),
        barMs === undefined ? '' : seconds(barMs), barMs === undefined || values.length === 0 ? '' : worst <= barMs ? 'pass' : 'FAIL',
        Number.isFinite(base) && values.length > 0 ? (median(values) / base).toFixed(1) : '-',
      ]);
    }
  }
  return align(rows);
}

/** The cases whose bar was missed. */
export function missed(cases: readonly CaseSpec[], outages: Outages): CaseSpec[] {
  return cases.filter(({ name, barMs }) => barMs !== undefined && (outages[name] ?? []).some((value) => value > barMs));
}
