/**
 * What the command line needs from drbdtsd's control API: the calls that `src/control/client.ts` offers,
 * as an interface, so that commands are tested against any server or a plain object.
 */
import type { ClusterReply, ClusterRequest, ClusterStatus, ClusterVerb, HistoryReply } from '../control/cluster-messages.js';
import type { ConfirmReply, ErrorReply, EventRecord, ReloadReply, StatusReply, Verb, VerbReply, VerbRequest } from '../control/messages.js';
import type { BalancingStatus } from '../control/balancing-messages.js';
import type { VrrpExplanation, VrrpStatus } from '../control/vrrp-messages.js';

/** Calls of the control API. Each rejects with an error that {@link errorReplyOf} or {@link isUnreachable} knows. */
export interface ControlApi {
  status(resource?: string): Promise<StatusReply>;
  /** The text of 8.4's /proc/drbd. */
  proc(): Promise<string>;
  verb(resource: string, verb: Verb, request: VerbRequest): Promise<VerbReply>;
  /** Initial dump, the record `exists -`, then changes until `signal` fires or the daemon goes away. */
  events(options: EventsOptions): AsyncIterable<EventRecord>;
  /** The configuration in force, secrets masked. */
  config(): Promise<unknown>;
  /** Makes the daemon read its configuration file again; `adjust` carries the changes out. */
  reload(): Promise<ReloadReply>;
  /** An operator's word that the other node is off for good. */
  confirmFenced(node: string, reason: string): Promise<ConfirmReply>;
}

/** Calls of the cluster manager's API, as `src/control/cluster-client.ts` offers them. */
export interface ClusterApi {
  status(): Promise<ClusterStatus>;
  history(limit: number): Promise<HistoryReply>;
  verb(verb: ClusterVerb, request: ClusterRequest): Promise<ClusterReply>;
  vrrp(): Promise<VrrpStatus>;
  vrrpExplain(): Promise<VrrpExplanation>;
  balancing(): Promise<BalancingStatus>;
  /** The status at every change, until `signal` fires or clusterd goes away. */
  watch(signal: AbortSignal): AsyncIterable<ClusterStatus>;
}

export interface EventsOptions {
  readonly resource?: string;
  readonly now?: boolean;
  readonly signal?: AbortSignal;
}

/** The daemon's refusal inside `error`, or null when it is something else. */
export function errorReplyOf(error: unknown): ErrorReply | null {
  if (typeof error !== 'object' || error === null) return null;
  const reply = 'reply' in error ? error.reply : null;
  if (typeof reply !== 'object' || reply === null || !('exitCode' in reply) || !('message' in reply)) return null;
  return reply as ErrorReply;
}

/** Codes of a socket that broke during a call, and of one that could not be connected at all. */
const brokenCodes: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE']);
const connectCodes: ReadonlySet<unknown> = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTSOCK']);

/** True when no answer came from the socket: no daemon, no permission, or the daemon died during the call. */
export function isUnreachable(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  // any other refusal is an answer, whatever caused it
  if (errorReplyOf(error) !== null) return error.code === 'ERR_DAEMON_UNREACHABLE';
  return brokenCodes.has(error.code) || (connectCodes.has(error.code) && 'syscall' in error && error.syscall === 'connect');
}
