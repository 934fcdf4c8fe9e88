/** The one interface of all arbiters: whoever keeps the register answers requests, or rejects when nothing is known of what became of one. */
import { drbdtsError } from '../shared/errors.js';
import type { RegisterAnswer, RegisterRequest } from './messages.js';

export type ArbiterKind = 'witness' | 'etcd' | 'stonith' | 'none';

/** What only the one who asks can see; some arbiters need it. Never travels. */
export interface Circumstances {
  /** connected, and both disks UpToDate. */
  readonly together: boolean;
}

export interface Arbiter {
  readonly kind: ArbiterKind;
  /**
   * Compare-and-swap of one record. Rejects with ERR_ARBITER_UNREACHABLE (a swap may have happened, may still happen, or not) or
   * ERR_ARBITER_REFUSED (it did not). Bounded in time by the arbiter's own limit.
   */
  ask(request: RegisterRequest, circumstances: Circumstances): Promise<RegisterAnswer>;
  /** Whether it could do its work if it were asked now; rejects with the reason. Changes nothing. */
  test(): Promise<void>;
  /** Ends what it has open. */
  close(): void;
}

export function unreachable(arbiter: string, reason: string, cause?: unknown): Error {
  return drbdtsError('ERR_ARBITER_UNREACHABLE', { values: { arbiter, reason }, place: arbiter, cause });
}

export function refused(arbiter: string, reason: string, remedy?: string): Error {
  return drbdtsError('ERR_ARBITER_REFUSED', { values: { arbiter, reason }, place: arbiter, ...(remedy === undefined ? {} : { remedy }) });
}
