/** A question to a name server. That it has nothing of the kind asked for is an answer, too. */
import { NODATA, NOTFOUND, REFUSED, SERVFAIL } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { BalancingCheck } from '../../../config/balancing-types.js';
import type { CheckTarget } from './checker.js';

const sentences: Record<string, string> = { [NOTFOUND]: 'no such name', [REFUSED]: 'refused', [SERVFAIL]: 'server failure' };

export async function checkDns(check: Extract<BalancingCheck, { type: 'dns' }>, { address, port, signal }: CheckTarget): Promise<string> {
  // one question: when it is asked again is decided elsewhere
  const resolver = new Resolver({ timeout: check.timeoutMs, tries: 1 });
  resolver.setServers([address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`]);
  signal.addEventListener('abort', () => resolver.cancel(), { once: true });
  try {
    await resolver.resolve(check.name, check.query);
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    if (code === NODATA) return 'answered';
    // what has no word here (no route, refused by the host) has its own sentence
    const sentence = sentences[code];
    if (sentence === undefined) throw thrown;
    throw new Error(`the name server says: ${sentence}`);
  }
  return 'answered';
}
