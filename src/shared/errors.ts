/**
 * Refusals as values with a stable code. The table is error-table.ts; here are the class every part of drbdts throws, the two message
 * forms of drbdsetup (drbd-protocol §5.8) and the text of `drbdts explain`.
 */
import { type ErrorEntry, errorEntries, stateExitCode } from './error-table.js';

export type { ErrorEntry } from './error-table.js';

/** Every code with its sentence, remedy and exit code. */
export const errorTable: readonly ErrorEntry[] = errorEntries;

const byCode = new Map(errorTable.map((entry) => [entry.code, entry]));
const byDrbdCode = new Map(errorTable.filter((entry) => entry.drbdCode !== undefined).map((entry) => [entry.drbdCode, entry]));

/** The plain form that travels over the control socket; equal to `ErrorReply` of control/messages.ts. */
export interface ErrorFields {
  code: string;
  message: string;
  remedy: string;
  /** file:line:column, device, resource/volume, or ''. */
  place: string;
  exitCode: number;
  drbdCode: number | null;
  details: Record<string, unknown>;
}

export class DrbdtsError extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly place: string;
  readonly exitCode: number;
  readonly drbdCode: number | null;
  readonly details: Record<string, unknown>;

  constructor(fields: ErrorFields, cause?: unknown) {
    super(fields.message, cause === undefined ? undefined : { cause });
    this.name = 'DrbdtsError';
    this.code = fields.code;
    this.remedy = fields.remedy;
    this.place = fields.place;
    this.exitCode = fields.exitCode;
    this.drbdCode = fields.drbdCode;
    this.details = fields.details;
  }

  /** What goes over the control socket. */
  get reply(): ErrorFields {
    const { code, message, remedy, place, exitCode, drbdCode, details } = this;
    return { code, message, remedy, place, exitCode, drbdCode, details };
  }
}

export interface ErrorContext {
  /** Values for the `{name}` places of message and remedy. */
  values?: Record<string, string | number>;
  place?: string;
  details?: Record<string, unknown>;
  /** Replaces the table's remedy. */
  remedy?: string;
  exitCode?: number;
  cause?: unknown;
}

function fill(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** The table's entry for `ERR_...`, or undefined. */
export function errorEntry(code: string): ErrorEntry | undefined {
  return byCode.get(code);
}

/** An error of the table. An unknown code is a fault of the caller and becomes ERR_INTERNAL, never a second fault. */
export function drbdtsError(code: string, context: ErrorContext = {}): DrbdtsError {
  const entry = byCode.get(code);
  if (entry === undefined) return drbdtsError('ERR_INTERNAL', { ...context, values: { reason: `error code ${code} is not in the table` } });
  const values = context.values ?? {};
  return new DrbdtsError(
    {
      code,
      message: fill(entry.message, values),
      remedy: context.remedy ?? fill(entry.remedy, values),
      place: context.place ?? '',
      exitCode: context.exitCode ?? entry.exitCode,
      drbdCode: entry.drbdCode ?? null,
      details: context.details ?? {},
    },
    context.cause,
  );
}

/** The engine's detail as a sentence, then the table's remedy unless the detail names a command itself. */
function remedyFor(detail: string, remedy: string): string {
  if (detail === '') return remedy;
  const sentence = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}${/[.!?]$/.test(detail) ? '' : '.'}`;
  return detail.includes('drbdts ') ? sentence : `${sentence} ${remedy}`;
}

/**
 * Turns a result code of the engine into drbdsetup's message for `object` (a minor for device commands, the resource's name otherwise):
 * `0: State change failed: (-2) Need access to UpToDate data` or `r0: Failure: (102) Local address(port) already in use.`
 * `text` and `detail` are the engine's; its text wins over the table's, its detail over the table's remedy.
 */
export function errorForDrbdCode(
  drbdCode: number,
  object: string,
  text = '',
  detail = '',
  details: Record<string, unknown> = {},
): DrbdtsError {
  const entry = byDrbdCode.get(drbdCode);
  const sentence = text !== '' ? text : (entry?.message ?? 'Unknown error');
  const stateChange = drbdCode <= 0;
  return new DrbdtsError({
    code: entry?.code ?? 'ERR_INTERNAL',
    message: stateChange ? `${object}: State change failed: (${drbdCode}) ${sentence}` : `${object}: Failure: (${drbdCode}) ${sentence}`,
    remedy: remedyFor(detail, entry?.remedy ?? 'Look at the log of drbdtsd.'),
    place: object,
    exitCode: entry?.exitCode ?? (stateChange ? stateExitCode(drbdCode) : 10),
    drbdCode,
    details,
  });
}

/** Whatever was thrown, as a DrbdtsError: an error of the addon keeps its code, place and remedy; anything else becomes ERR_INTERNAL. */
export function asDrbdtsError(thrown: unknown, place = ''): DrbdtsError {
  if (thrown instanceof DrbdtsError) return thrown;
  if (!(thrown instanceof Error)) return drbdtsError('ERR_INTERNAL', { values: { reason: String(thrown) }, place });
  const fields = thrown as Error & { code?: unknown; place?: unknown; remedy?: unknown };
  const entry = typeof fields.code === 'string' ? byCode.get(fields.code) : undefined;
  if (entry === undefined) return drbdtsError('ERR_INTERNAL', { values: { reason: thrown.message }, place, cause: thrown });
  return new DrbdtsError(
    {
      code: entry.code,
      message: thrown.message !== '' ? thrown.message : entry.message,
      remedy: typeof fields.remedy === 'string' && fields.remedy !== '' ? fields.remedy : fill(entry.remedy, {}),
      place: typeof fields.place === 'string' && fields.place !== '' ? fields.place : place,
      exitCode: entry.exitCode,
      drbdCode: entry.drbdCode ?? null,
      details: {},
    },
    thrown,
  );
}

/**
 * The text of `drbdts explain CODE`, or null for an unknown one. Takes `ERR_NO_META_DATA`, DRBD's numbers as `-2`, `(-2)` or `127`, and
 * codes without regard to case or the leading `ERR_`.
 */
export function explain(code: string): string | null {
  const asked = code.trim().replace(/^\((.*)\)$/, '$1');
  const entry = /^-?\d+$/.test(asked)
    ? byDrbdCode.get(Number(asked))
    : (byCode.get(asked.toUpperCase()) ?? byCode.get(`ERR_${asked.toUpperCase()}`));
  if (entry === undefined) return null;
  const number = entry.drbdCode === undefined ? '' : ` (DRBD ${entry.drbdCode})`;
  return `${entry.code}${number}, exit code ${entry.exitCode}\n\n${entry.message}\n\n${entry.explain}\n\nWhat to do: ${entry.remedy}\n`;
}
