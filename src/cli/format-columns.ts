/** Tables as `column -t` draws them: columns as wide as their widest cell, two blanks between, no blanks at the end of a line. */
import { stripVTControlCharacters } from 'node:util';

const visibleWidth = (cell: string): number => stripVTControlCharacters(cell).length;

/** Aligns rows. Colour codes inside cells do not count as width. Rows may have different numbers of cells. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, visibleWidth(cell));
    });
  }
  return rows.map((row) => {
    const last = row.findLastIndex((cell) => cell !== '');
    const used = row.slice(0, last + 1);
    return used.map((cell, index) => (index === last ? cell : cell + ' '.repeat((widths[index] ?? 0) - visibleWidth(cell)))).join('  ');
  });
}
