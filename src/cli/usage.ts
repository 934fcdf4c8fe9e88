/** Values of options, checked where they are typed. */
import { InvalidArgumentError } from 'commander';

/** A commander parser for a whole number of at least `least`. */
export function parseOption(name: string, least = 0): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`${name} takes a whole number of at least ${least}.`);
    }
    return value;
  };
}

/**
 * `--watch` takes an interval or none, so `status --watch r0` would read r0 as the interval: gives a bare --watch the default one.
 * Arguments after `--` stay as they are.
 */
export function fillWatchInterval(args: readonly string[], defaultSeconds: number): string[] {
  const end = args.indexOf('--');
  const last = end === -1 ? args.length : end;
  return args.map((arg, index) => {
    const bare = index < last && (arg === '--watch' || arg === '-w');
    return bare && !/^\d/.test(args[index + 1] ?? '') ? `--watch=${defaultSeconds}` : arg;
  });
}

/** Interval of `status --watch` when none is given. */
export const defaultWatchSeconds = 2;
