/** `~SEQ(NAME, START, STEP, END)` and `~LST(NAME, VALUE, ...)`: a line for each value (pure). */

export interface Sequence {
  readonly names: readonly string[];
  /** a row for each line; null: too many. */
  readonly rows: readonly (readonly string[])[] | null;
  /** the line behind it. */
  readonly rest: string;
}

const integer = /^-?\d{1,15}$/;
const rowsMax = 2000;
const charactersMax = 1024 * 1024;

function sequenceRows(from: number, step: number, to: number, hexadecimal: boolean): string[][] | null {
  if (step === 0 || Math.sign(to - from) * Math.sign(step) < 0) return [];
  if (Math.abs((to - from) / step) >= rowsMax) return null;
  const rows: string[][] = [];
  for (let value = from; step > 0 ? value <= to : value >= to; value += step) rows.push([value.toString(hexadecimal ? 16 : 10)]);
  return rows;
}

/** Values in braces belong together: `~LST({a,b},{1,2},{3,4})`. */
function listRows(inside: string): { names: string[]; rows: string[][] } | null {
  const parts = [...inside.matchAll(/\{([^{}]*)\}|([^,{}]+)/g)].map((match) => (match[1] ?? match[2] ?? '').split(',').map((one) => one.trim()));
  const [names, ...rows] = parts;
  if (names === undefined || rows.some((row) => row.length !== names.length) || rows.length > rowsMax) return null;
  return { names, rows };
}

/** The sequence at the start of a line; a text says what is wrong with it. */
export function findSequence(text: string): Sequence | string {
  const match = /^~(SEQx?|LST)\s*\(([^()]*)\)(.*)$/s.exec(text);
  if (match === null) return `'${text.slice(0, 40)}' is not a sequence`;
  const [, kind = '', inside = '', rest = ''] = match;
  if (kind === 'LST') {
    const list = listRows(inside);
    return list === null ? 'names and values of a list do not fit each other' : { ...list, rest };
  }
  const [name = '', ...numbers] = inside.split(',').map((part) => part.trim());
  if (numbers.length < 1 || numbers.length > 3 || !/^\w+$/.test(name) || numbers.some((number) => !integer.test(number))) return `'~${kind}(${inside.slice(0, 40)})' is not a sequence`;
  const values = numbers.map(Number);
  const to = values.at(-1) ?? 0;
  const from = values.length > 1 ? (values[0] ?? 0) : to < 0 ? -1 : 1;
  const step = values.length > 2 ? (values[1] ?? 1) : to < from ? -1 : 1;
  return { names: [name], rows: sequenceRows(from, step, to, kind === 'SEQx'), rest };
}

function replaceNames(text: string, names: readonly string[], row: readonly string[]): string {
  return text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced: string | undefined, bare: string | undefined) => {
    const at = names.indexOf(braced ?? bare ?? '');
    return at === -1 ? whole : (row[at] ?? '');
  });
}

/** The lines of a sequence, and of those nested behind it; null when there are more than `most`. */
export function expandSequence(sequence: Sequence, most: number): string[] | null {
  let open: Sequence[] = [sequence];
  const done: string[] = [];
  while (open.length > 0) {
    const next: Sequence[] = [];
    let rowsNext = 0;
    for (const { names, rows, rest } of open) {
      if (rows === null || done.length + next.length + rows.length > most || rows.length * rest.length > charactersMax) return null;
      for (const row of rows) {
        const line = replaceNames(rest, names, row).trimStart();
        const nested = line.startsWith('~') ? findSequence(line) : line;
        if (typeof nested === 'string') done.push(line);
        else {
          next.push(nested);
          rowsNext += nested.rows?.length ?? 0;
          if (rowsNext > most) return null;
        }
      }
    }
    open = next;
  }
  return done;
}
