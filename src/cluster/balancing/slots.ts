/** Which server gets which turn: tables that a packet filter can look up. Pure. */
import { createHash } from 'node:crypto';

export interface Share {
  readonly name: string;
  readonly weight: number;
}

/** A table is never longer than that. */
export const slotsMax = 256;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Weights that add up to `slotsMax` at most, in the same proportion as far as whole numbers allow it; nobody is left out. */
function scaled(shares: readonly Share[]): number[] {
  const divisor = shares.reduce((all, { weight }) => gcd(all, weight), 0);
  const whole = shares.map(({ weight }) => weight / divisor);
  const sum = whole.reduce((a, b) => a + b, 0);
  if (sum <= slotsMax) return whole;
  const room = slotsMax - shares.length;
  return whole.map((weight) => 1 + Math.floor((weight * room) / sum));
}

/** Turns by weight, as evenly mixed as can be (smooth weighted round robin). Shares have a weight above 0; with more than `slotsMax` of them the last get none. */
export function turns(given: readonly Share[], weighted: boolean): string[] {
  const shares = given.filter(({ weight }) => weight > 0).slice(0, slotsMax);
  if (shares.length === 0) return [];
  const weights = weighted ? scaled(shares) : shares.map(() => 1);
  const sum = weights.reduce((a, b) => a + b, 0);
  const credit = weights.map(() => 0);
  return Array.from({ length: sum }, () => {
    weights.forEach((weight, index) => {
      credit[index] = (credit[index] ?? 0) + weight;
    });
    const best = credit.indexOf(Math.max(...credit));
    credit[best] = (credit[best] ?? 0) - sum;
    return shares[best]?.name ?? '';
  });
}

/**
 * Who owns each of `slotsMax` slots of a hash, by weight (rendezvous hashing): when a server goes only its own slots change their owner, and it gets
 * exactly these back. The same on every director with the same servers.
 */
export function hashSlots(given: readonly Share[]): string[] {
  const shares = given.filter(({ weight }) => weight > 0);
  if (shares.length === 0) return [];
  return Array.from({ length: slotsMax }, (_, slot) => {
    const scores = shares.map(({ name, weight }) => {
      const draw = (createHash('md5').update(`${name} ${slot}`).digest().readUInt32BE(0) + 0.5) / 0x1_0000_0000;
      return weight / -Math.log(draw);
    });
    return shares[scores.indexOf(Math.max(...scores))]?.name ?? '';
  });
}

/** Runs of the same owner: `from` to `to`, both included. */
export function ranges(slots: readonly string[]): { from: number; to: number; name: string }[] {
  const found: { from: number; to: number; name: string }[] = [];
  slots.forEach((name, index) => {
    const last = found.at(-1);
    if (last !== undefined && last.name === name) last.to = index;
    else found.push({ from: index, to: index, name });
  });
  return found;
}
