/** Shell patterns, in time bounded by text times pattern. Pure. */

const expansionsMax = 200;

/** `a{b,c}d` as `abd`, `acd`; nested and several ones, up to a few hundred. */
export function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const open = [pattern];
  while (open.length > 0 && done.length < expansionsMax) {
    const next = open.shift() ?? '';
    const match = /\{([^{}]*,[^{}]*)\}/.exec(next);
    if (match === null) done.push(next);
    else for (const choice of (match[1] ?? '').split(',').slice(0, expansionsMax)) open.push(`${next.slice(0, match.index)}${choice}${next.slice(match.index + match[0].length)}`);
  }
  return done;
}

type Piece = 'star' | ((character: string) => boolean);

function pieces(pattern: string): Piece[] {
  const list: Piece[] = [];
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index] ?? '';
    const end = character === '[' ? pattern.indexOf(']', index + 2) : -1;
    if (character === '*') list.push('star');
    else if (character === '?') list.push(() => true);
    else if (end !== -1) {
      const inverted = /[!^]/.test(pattern[index + 1] ?? '');
      const inside = pattern.slice(index + (inverted ? 2 : 1), end);
      list.push((one) => isIn(one, inside) !== inverted);
      index = end;
    } else list.push((one) => one === character);
  }
  return list;
}

function isIn(character: string, set: string): boolean {
  for (let index = 0; index < set.length; index++) {
    const last = set[index + 1] === '-' ? set[index + 2] : undefined;
    if (last !== undefined) {
      if (character >= (set[index] ?? '') && character <= last) return true;
      index += 2;
    } else if (character === set[index]) return true;
  }
  return false;
}

/** Whether `name` is what a pattern of `*`, `?` and `[...]` describes. */
export function matchesWildcards(name: string, pattern: string): boolean {
  const wanted = pieces(pattern);
  let at = 0;
  let star = -1;
  let back = 0;
  for (let index = 0; index < name.length; ) {
    const piece = wanted[at];
    if (piece === 'star') {
      star = at++;
      back = index;
    } else if (piece?.(name[index] ?? '') === true) {
      at += 1;
      index += 1;
    } else if (star !== -1) {
      at = star + 1;
      index = ++back;
    } else return false;
  }
  while (wanted[at] === 'star') at += 1;
  return at === wanted.length;
}
