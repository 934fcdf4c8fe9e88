/** Errors of the command line itself, and how refusals of the daemon are shown: cause and remedy after DRBD's own first line. */
import type { ErrorReply } from '../control/messages.js';
import { errorEntry } from '../shared/errors.js';
import { errorReplyOf, isUnreachable } from './api.js';
import { type CliContext, printJson, printLines } from './context.js';
import { exitCodes } from './exit-codes.js';

/** An error that ends the command: lines for stderr and an exit code. */
export class CliError extends Error {
  readonly lines: readonly string[];
  readonly exitCode: number;

  constructor(lines: readonly string[], exitCode: number) {
    super(lines[0] ?? '');
    this.name = 'CliError';
    this.lines = lines;
    this.exitCode = exitCode;
  }
}

/**
 * A refusal as lines: first what drbdadm prints (`<object>: State change failed: (-2) Need access to UpToDate data`,
 * `<object>: Failure: (162) ...`), then cause and remedy. `object` names what the command was about when the reply names no place.
 */
export function formatRefusal(reply: ErrorReply, object: string): string[] {
  const message = reply.message.trim();
  const where = reply.place === '' ? object : reply.place;
  const first = firstLine(reply, message, where);
  const entry = errorEntry(reply.code);
  // the table's cause explains DRBD's terse texts; our own messages are sentences already
  const cause = reply.drbdCode === null || entry === undefined || entry.explain.startsWith(entry.message) ? '' : entry.explain;
  const advice = [cause, reply.remedy.replaceAll('RESOURCE', object === '' ? 'RESOURCE' : resourceOf(object))];
  const text = advice
    .filter((part) => part.trim() !== '')
    .map(sentence)
    .join(' ');
  return text === '' ? [first] : [first, `  ${text}`];
}

function firstLine(reply: ErrorReply, message: string, where: string): string {
  if (reply.drbdCode !== null && !/: (State change failed|Failure): \(/.test(message)) {
    return `${where}: ${reply.drbdCode <= 0 ? 'State change failed' : 'Failure'}: (${reply.drbdCode}) ${message}`;
  }
  const namesItself = reply.drbdCode !== null || where === '' || message.includes(where) || drbdadmTexts.has(reply.code);
  return namesItself ? message : `${where}: ${message}`;
}

/** Refusals whose first line scripts know from drbdadm, word for word and without an object before it. */
const drbdadmTexts: ReadonlySet<string> = new Set([
  'ERR_UNKNOWN_RESOURCE',
  'ERR_NO_RESOURCES',
  'ERR_NO_META_DATA',
  'ERR_UNCLEAN_META_DATA',
  'ERR_DEVICE_CONFIGURED',
  'ERR_CREATE_MD_REFUSED',
]);

const resourceOf = (object: string): string => object.split('/')[0] ?? object;

function sentence(text: string): string {
  const trimmed = text.trim();
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** No answer on the socket, as lines with the remedy. */
export function formatUnreachable(error: unknown, socket: string): string[] {
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return [`drbdts: ${socket}: drbdtsd is not running`, '  start drbdtsd: systemctl start drbdts (or name its socket with --socket).'];
    case 'EACCES':
    case 'EPERM':
      return [`drbdts: ${socket}: permission denied`, '  The control socket is for root. Run the command as root: sudo drbdts ...'];
    case 'ENOTSOCK':
      return [`drbdts: ${socket}: not a socket`, '  Name the control socket of drbdtsd with --socket.'];
    default:
      return [
        `drbdts: ${socket}: drbdtsd went away during the call`,
        '  Whether it took effect is not known: see `drbdts status` and `journalctl -u drbdts`.',
      ];
  }
}

/** The system's code, innermost cause first: a client may wrap the error of the socket. */
function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const inner = 'cause' in error && error.cause !== error ? codeOf(error.cause) : '';
  if (inner !== '') return inner;
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Shows any error on stderr and returns the exit code. `object` names what the command was about, '' for none. */
export function reportFailure(context: Pick<CliContext, 'stderr' | 'options'>, error: unknown, object = ''): number {
  if (error instanceof CliError) {
    printLines(context.stderr, error.lines);
    return error.exitCode;
  }
  const reply = errorReplyOf(error);
  // a client that makes a reply of its own for a dead socket must not hide that nobody answered
  if (reply !== null && !isUnreachable(error)) {
    if (context.options.json === true) printJson(context.stderr, { error: reply });
    else printLines(context.stderr, formatRefusal(reply, object));
    return reply.exitCode === 0 ? exitCodes.internal : reply.exitCode;
  }
  if (isUnreachable(error)) {
    printLines(context.stderr, formatUnreachable(error, context.options.socket));
    return exitCodes.internal;
  }
  const text = error instanceof Error ? error.message : String(error);
  printLines(context.stderr, [`drbdts: ${text}`]);
  if (context.options.verbose === true && error instanceof Error) printLines(context.stderr, [error.stack ?? '']);
  return exitCodes.internal;
}
