/**
 * Numbers with units as DRBD writes them (pure). A plain number is in the option's own unit; a suffix says another one. K, M, G, T are
 * powers of 1024 and `s` is a sector of 512 bytes, as in drbd.conf. Times may also be written `6s` or `500ms`.
 */
export type NumberUnit =
  | 'count'
  /** seconds */
  | 's'
  /** tenths of a second, DRBD's unit of timeout, ping-timeout and c-plan-ahead */
  | 'ds'
  | 'bytes'
  /** 512 bytes */
  | 'sectors'
  /** rates; the suffixes count bytes per second */
  | 'KiB/s';

export type ParsedNumber = { ok: true; value: number } | { ok: false; problem: string };

const sizeFactorBytes: Record<string, number> = { s: 512, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 };
const unitBytes: Record<'bytes' | 'sectors' | 'KiB/s', number> = { bytes: 1, sectors: 512, 'KiB/s': 1024 };

/** In words, for messages and documentation. */
export const unitWords: Record<NumberUnit, string> = {
  count: 'a number',
  s: 'seconds, or with a unit: 6s, 1500ms, 2min',
  ds: 'tenths of a second, or with a unit: 6s, 500ms',
  bytes: 'bytes, or with K, M, G',
  sectors: 'sectors of 512 bytes, or with s, K, M, G, T',
  'KiB/s': 'KiB per second, or with K, M, G (bytes per second)',
};

function parseTime(digits: string, suffix: string, unit: 's' | 'ds'): ParsedNumber {
  const milliseconds: Record<string, number> = { ms: 1, s: 1000, min: 60_000 };
  const factor = milliseconds[suffix];
  if (factor === undefined) return { ok: false, problem: `unknown unit '${suffix}'` };
  const step = unit === 's' ? 1000 : 100;
  const value = (Number(digits) * factor) / step;
  if (!Number.isInteger(value))
    return { ok: false, problem: `${digits}${suffix} is not a whole number of ${unit === 's' ? 'seconds' : 'tenths of a second'}` };
  return { ok: true, value };
}

function parseSize(digits: string, suffix: string, unit: 'bytes' | 'sectors' | 'KiB/s'): ParsedNumber {
  const bare = unit === 'KiB/s' ? suffix.replace(/\/s$/, '') : suffix;
  const key = bare.replace(/(?<=[kmgtp])(ib|b)$/, '');
  const factor = key === 'b' ? 1 : sizeFactorBytes[key];
  if (factor === undefined || (unit !== 'sectors' && key === 's')) return { ok: false, problem: `unknown unit '${suffix}'` };
  const value = (Number(digits) * factor) / unitBytes[unit];
  if (!Number.isSafeInteger(value)) return { ok: false, problem: `${digits}${suffix} is not a whole number of ${unit}` };
  return { ok: true, value };
}

/** `input` as the plain number DRBD itself uses for an option of this unit. */
export function parseNumber(input: number | string, unit: NumberUnit): ParsedNumber {
  if (typeof input === 'number') {
    return Number.isSafeInteger(input) ? { ok: true, value: input } : { ok: false, problem: `${input} is not a whole number` };
  }
  const match = /^\s*(\d+)\s*([A-Za-z/]*)\s*$/.exec(input);
  if (match === null) return { ok: false, problem: `'${input}' is not ${unitWords[unit]}` };
  const digits = match[1] ?? '';
  const suffix = (match[2] ?? '').toLowerCase();
  if (!Number.isSafeInteger(Number(digits))) return { ok: false, problem: `${digits} is too large` };
  if (suffix === '') return { ok: true, value: Number(digits) };
  if (unit === 'count') {
    return { ok: false, problem: `'${input}' has a unit; expected a plain number` };
  }
  return unit === 's' || unit === 'ds' ? parseTime(digits, suffix, unit) : parseSize(digits, suffix, unit);
}

/** A size argument of a command (`resize --size`, `verify --start`) in sectors; a plain number is sectors, as in drbdadm. */
export function parseSectors(input: string): ParsedNumber {
  return parseNumber(input, 'sectors');
}

/** The shortest text that parses back to `value`. */
export function formatNumber(value: number, unit: NumberUnit): string {
  if (unit === 'count' || unit === 'bytes') return String(value);
  if (unit === 's') return `${value}s`;
  if (unit === 'ds') return value % 10 === 0 ? `${value / 10}s` : `${value * 100}ms`;
  if (value === 0) return '0';
  const bytes = value * unitBytes[unit];
  for (const suffix of ['T', 'G', 'M', 'K'] as const) {
    const factor = sizeFactorBytes[suffix.toLowerCase()] ?? 1;
    if (bytes % factor === 0) return `${bytes / factor}${suffix}`;
  }
  return `${value}s`;
}

/** What a time of the cluster sections may look like, for messages. */
export const durationWords = 'a time such as 500ms, 2s or 5min (a plain number counts seconds)';

/** A time of the cluster sections in milliseconds. As in ha.cf a plain number counts seconds and may have decimals. */
export function parseDurationMs(input: number | string): ParsedNumber {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)?\s*$/i.exec(String(input));
  if (match === null) return { ok: false, problem: `'${input}' is not ${durationWords}` };
  const factor = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 }[(match[2] ?? 's').toLowerCase()] ?? 1000;
  const value = Math.round(Number(match[1]) * factor);
  return Number.isSafeInteger(value) ? { ok: true, value } : { ok: false, problem: `${input} is too long` };
}
