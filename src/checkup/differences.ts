/** Which keys of two configurations differ. Pure. */
import type { KeyPath } from '../config/places.js';

export interface Difference {
  readonly path: KeyPath;
  /** undefined: it is not there. */
  readonly here: unknown;
  readonly there: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** The innermost keys that differ; the order of keys does not count, that of lists does. */
export function differences(here: unknown, there: unknown, path: KeyPath = []): Difference[] {
  if (!isObject(here) || !isObject(there) || Array.isArray(here) !== Array.isArray(there)) return Object.is(here, there) ? [] : [{ path, here, there }];
  const keys = [...new Set([...Object.keys(here), ...Object.keys(there)])];
  return keys.flatMap((key) => differences(here[key], there[key], [...path, Array.isArray(here) ? Number(key) : key]));
}
