/** HTTP and HTTPS: status, and what the body has to be. */
import { createHash } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { isIP } from 'node:net';
import { runInNewContext } from 'node:vm';
import type { BalancingCheck } from '../../../config/balancing-types.js';
import { version } from '../../../shared/version.js';
import type { CheckTarget } from './checker.js';

type HttpCheck = Extract<BalancingCheck, { type: 'http' | 'ssl' }>;

/** An expression that goes astray must not hold up the manager, heartbeats and all. */
const regexMs = 100;
/** More of a page than that is a failure, not a reason to read on. */
const bodyBytesMax = 1024 * 1024;

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response) {
    parts.push(part as Buffer);
    bytes += (part as Buffer).length;
    if (bytes > bodyBytesMax) throw new Error(`the body is longer than ${bodyBytesMax} bytes`);
  }
  return Buffer.concat(parts);
}

/** null: it took too long. */
function matches(regex: string, text: string): boolean | null {
  try {
    return runInNewContext('new RegExp(regex, "u").test(text)', { regex, text }, { timeout: regexMs }) === true;
  } catch {
    return null;
  }
}

/** Why an answer is not what was asked for; null when it is. Pure. */
export function judgeAnswer(check: HttpCheck, status: number, body: Buffer): string | null {
  if (!check.status.some(({ from, to }) => status >= from && status <= to)) return `status ${status}`;
  const text = body.toString('utf8');
  if (check.contains !== '' && !text.includes(check.contains)) return `status ${status}, but the body does not contain '${check.contains}'`;
  const matched = check.regex === '' ? true : matches(check.regex, text);
  if (matched === null) return `status ${status}, but whether the body matches /${check.regex}/ was not known within ${regexMs} ms`;
  if (!matched) return `status ${status}, but the body does not match /${check.regex}/`;
  const digest = createHash('md5').update(body).digest('hex');
  if (check.digest !== '' && digest !== check.digest) return `status ${status}, but the digest of the body is ${digest}`;
  return null;
}

export function checkHttp(check: HttpCheck, { address, port, signal }: CheckTarget): Promise<string> {
  const name = check.type === 'ssl' ? check.serverName || check.host.replace(/:\d+$/, '') : '';
  const common = { host: address, port, path: check.path, signal, agent: false as const, headers: { Host: check.host || (address.includes(':') ? `[${address}]` : address), 'User-Agent': `drbdts/${version}`, Connection: 'close' } };
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      bodyOf(response).then((body) => {
        const status = response.statusCode ?? 0;
        const wrong = judgeAnswer(check, status, body);
        if (wrong === null) resolve(`status ${status}`);
        else reject(new Error(wrong));
      }, reject);
    };
    const sent = check.type === 'ssl' ? requestTls({ ...common, rejectUnauthorized: check.verify, ...(name === '' || isIP(name) !== 0 ? {} : { servername: name }) }, take) : request(common, take);
    sent.once('error', reject);
    sent.end();
  });
}
