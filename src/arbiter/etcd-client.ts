/** The few calls of etcd's v3 JSON gateway (etcd 3.4 and later) that a register needs. Keys and values are texts. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { z } from 'zod';
import { systemClock } from '../shared/clock.js';
import { unreachable } from './arbiter.js';

export interface EtcdPlace {
  /** `http://192.168.42.14:2379`; tried in turn. */
  endpoints: string[];
  /** '' for none. */
  user: string;
  password: string;
  /** PEM of the authority of https endpoints; null for the system's. */
  ca: Buffer | null;
  timeoutMs: number;
}

/** A key as it was found; null value: there is none, revision '0'. */
export interface EtcdValue {
  value: string | null;
  modRevision: string;
}

export interface EtcdHeader {
  clusterId: string;
  revision: bigint;
}

const text = z.string().default('');
const header = z.object({ cluster_id: z.string(), revision: z.string().default('0') });
const kv = z.object({ key: z.string(), value: text, mod_revision: z.string() });
const txnReply = z.object({
  header,
  succeeded: z.boolean().default(false),
  responses: z.array(z.object({ response_range: z.object({ kvs: z.array(kv).default([]) }).optional() })).default([]),
});
const authReply = z.object({ token: z.string() });

const replyBytesMax = 1024 * 1024;
const encode = (plain: string): string => Buffer.from(plain, 'utf8').toString('base64');
const decode = (coded: string): string => Buffer.from(coded, 'base64').toString('utf8');

export class EtcdClient {
  private readonly place: EtcdPlace;
  private token = '';
  /** the endpoint that answered last is asked first. */
  private first = 0;

  constructor(place: EtcdPlace) {
    this.place = place;
  }

  /** The keys as they are at one moment. */
  async read(keys: readonly string[]): Promise<{ header: EtcdHeader; values: EtcdValue[] }> {
    const success = keys.map((key) => ({ request_range: { key: encode(key) } }));
    const reply = await this.call('/v3/kv/txn', { compare: [], success, failure: [] }, txnReply);
    const values = keys.map((_, index): EtcdValue => {
      const found = reply.responses[index]?.response_range?.kvs[0];
      return found === undefined ? { value: null, modRevision: '0' } : { value: decode(found.value), modRevision: found.mod_revision };
    });
    return { header: { clusterId: reply.header.cluster_id, revision: BigInt(reply.header.revision) }, values };
  }

  /** Puts `values` if every key of `unchanged` still has the revision it was seen with. */
  async put(unchanged: Readonly<Record<string, string>>, values: Readonly<Record<string, string>>): Promise<boolean> {
    const compare = Object.entries(unchanged).map(([key, revision]) => ({
      ...{ key: encode(key), target: 'MOD', result: 'EQUAL' },
      mod_revision: revision,
    }));
    const success = Object.entries(values).map(([key, value]) => ({ request_put: { key: encode(key), value: encode(value) } }));
    return (await this.call('/v3/kv/txn', { compare, success, failure: [] }, txnReply)).succeeded;
  }

  private async call<S extends z.ZodType>(path: string, body: unknown, schema: S): Promise<z.infer<S>> {
    const { endpoints, timeoutMs } = this.place;
    const deadline = systemClock.nowMs() + timeoutMs;
    let last: Error = unreachable('etcd', 'no endpoint is configured');
    for (let turn = 0; turn < endpoints.length; turn += 1) {
      const index = (this.first + turn) % endpoints.length;
      const endpoint = endpoints[index] ?? '';
      // the ones that follow get their share of the time
      const limitMs = Math.max(50, (deadline - systemClock.nowMs()) / (endpoints.length - turn));
      try {
        const reply = await this.ask(endpoint, path, body, limitMs);
        this.first = index;
        const parsed = schema.safeParse(reply);
        if (parsed.success) return parsed.data;
        last = unreachable(endpoint, 'its reply is not that of etcd 3.4 or later');
      } catch (error) {
        last = error as Error;
      }
    }
    throw last;
  }

  private async ask(endpoint: string, path: string, body: unknown, limitMs: number): Promise<unknown> {
    const { user, password } = this.place;
    if (user !== '' && this.token === '') {
      const { status, value } = await this.post(endpoint, '/v3/auth/authenticate', { name: user, password }, limitMs);
      const parsed = authReply.safeParse(value);
      if (status !== 200 || !parsed.success) throw unreachable(endpoint, `the user ${user} was not let in: ${messageOf(value)}`);
      this.token = parsed.data.token;
    }
    const { status, value } = await this.post(endpoint, path, body, limitMs);
    if (status === 200) return value;
    // the next request logs in anew
    this.token = '';
    throw unreachable(endpoint, `it answered ${status}: ${messageOf(value)}`);
  }

  private async post(endpoint: string, path: string, body: unknown, limitMs: number): Promise<{ status: number; value: unknown }> {
    return new Promise((resolve, reject) => {
      const fail = (reason: string, cause?: Error): void => reject(unreachable(endpoint, reason, cause));
      let url: URL;
      try {
        url = new URL(path, endpoint);
      } catch (error) {
        fail('it is no URL', error as Error);
        return;
      }
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const payload = JSON.stringify(body);
      const headers = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(payload),
        ...(this.token === '' ? {} : { authorization: this.token }),
      };
      const signal = AbortSignal.timeout(Math.ceil(limitMs));
      const { ca } = this.place;
      const request = send(url, { method: 'POST', headers, signal, agent: false, ...(ca === null ? {} : { ca }) }, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > replyBytesMax) request.destroy(new Error(`its reply is longer than ${replyBytesMax} bytes`));
          else chunks.push(chunk);
        });
        response.on('error', (error) => fail(error.message, error));
        response.on('end', () => {
          const reply = Buffer.concat(chunks).toString('utf8');
          try {
            resolve({ status: response.statusCode ?? 0, value: JSON.parse(reply) });
          } catch {
            fail(`it answered ${response.statusCode}, not in JSON`);
          }
        });
      });
      request.on('error', (error) => fail(signal.aborted ? `no answer within ${Math.ceil(limitMs)} ms` : error.message, error));
      request.end(payload);
    });
  }
}

function messageOf(value: unknown): string {
  const parsed = z.object({ message: z.string() }).or(z.object({ error: z.string() })).safeParse(value);
  if (!parsed.success) return 'no reason given';
  return 'message' in parsed.data ? parsed.data.message : parsed.data.error;
}
