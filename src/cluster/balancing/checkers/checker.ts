/** One run of a check against one real server. Never rejects, and is over when its time is. */
import type { BalancingCheck } from '../../../config/balancing-types.js';
import { checkUdp } from './datagram.js';
import { checkDns } from './dns.js';
import { checkHttp } from './http.js';
import { checkMisc } from './misc.js';
import { checkSmtp, checkTcp } from './stream.js';

export interface CheckResult {
  readonly ok: boolean;
  /** half a sentence for people: `status 503`, `connection refused`. */
  readonly detail: string;
  /** what a dynamic check wants it to be. */
  readonly weight: number | null;
}

/** What a checker is given. It may reject with an Error of one sentence; `signal` fires when its time is over. */
export interface CheckTarget {
  readonly address: string;
  readonly port: number;
  readonly signal: AbortSignal;
}

const sentences: Record<string, string> = { ECONNREFUSED: 'connection refused', ECONNRESET: 'connection reset', EHOSTUNREACH: 'no route to the host', ENETUNREACH: 'no route to its network', EPIPE: 'connection closed' };

function sentenceOf(thrown: unknown): string {
  const error = thrown as NodeJS.ErrnoException;
  return (sentences[error.code ?? ''] ?? error.message) || 'failed';
}

function start(check: BalancingCheck, target: CheckTarget): Promise<string | { detail: string; weight: number | null }> {
  switch (check.type) {
    case 'tcp':
      return checkTcp(target);
    case 'http':
    case 'ssl':
      return checkHttp(check, target);
    case 'smtp':
      return checkSmtp(check, target);
    case 'udp':
      return checkUdp(check, target);
    case 'dns':
      return checkDns(check, target);
    case 'misc':
      return checkMisc(check, target);
  }
}

/** `real`: where it is asked unless the check names another place. `ending`: gives up at once. */
export async function runCheck(check: BalancingCheck, real: { address: string; port: number }, ending: AbortSignal): Promise<CheckResult> {
  const limit = new AbortController();
  const late = `no answer within ${check.timeoutMs} ms`;
  let timer: NodeJS.Timeout | undefined;
  // a checker that does not listen to its signal is left behind, never waited for
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(late));
      limit.abort();
    }, check.timeoutMs);
    ending.addEventListener('abort', () => {
      reject(new Error('the manager ends'));
      limit.abort();
    }, { signal: limit.signal, once: true });
  });
  over.catch(() => {});
  try {
    const target = { address: check.address || real.address, port: check.port || real.port, signal: limit.signal };
    const answer = await Promise.race([start(check, target), over]);
    return typeof answer === 'string' ? { ok: true, detail: answer, weight: null } : { ok: true, ...answer };
  } catch (thrown) {
    return { ok: false, detail: sentenceOf(thrown), weight: null };
  } finally {
    clearTimeout(timer);
    limit.abort();
  }
}
