/** The witness as arbiter: one connection per request, one line there and one back. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { z } from 'zod';
import type { Address } from '../config/types.js';
import { formatAddress } from '../config/types.js';
import { type Arbiter, refused, unreachable } from './arbiter.js';
import { isGenuine, seal, splitLine } from './mac.js';
import {
  type RegisterAnswer,
  type RegisterRequest,
  registerAnswer,
  replyLineBytesMax,
  type WitnessRequest,
  type WitnessStatus,
  witnessReply,
  witnessStatus,
} from './messages.js';

export interface WitnessPlace {
  address: Address;
  cluster: string;
  key: Buffer;
  timeoutMs: number;
}

/** Sends one line and resolves with the line that comes back. */
async function exchange(place: WitnessPlace, line: string): Promise<string> {
  const { address, timeoutMs } = place;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const socket = connect({ host: address.host, port: address.port, family: address.family });
    const end = (result: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      result();
    };
    const fail = (reason: string, cause?: Error): void => end(() => reject(unreachable(formatAddress(address), reason, cause)));
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.setNoDelay(true);
    socket.once('connect', () => socket.write(`${line}\n`));
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > replyLineBytesMax) return fail(`its reply is longer than ${replyLineBytesMax} bytes`);
      const at = chunk.indexOf(10);
      chunks.push(at < 0 ? chunk : chunk.subarray(0, at));
      if (at >= 0) end(() => resolve(Buffer.concat(chunks).toString('utf8')));
    });
    socket.once('error', (error) => fail(error.message, error));
    socket.once('close', () =>
      fail('it closed the connection without a reply: the name of the cluster or its key is not the same there, or it is busy'),
    );
  });
}

/** One request and its reply; a reply that was not made for it, by somebody who has the key, is none. */
async function call<S extends z.ZodType>(place: WitnessPlace, body: WitnessRequest['body'], schema: S): Promise<z.infer<S>> {
  const nonce = randomBytes(16).toString('hex');
  const name = formatAddress(place.address);
  const request: WitnessRequest = { nonce, body };
  const line = splitLine(await exchange(place, seal(place.key, 'request', place.cluster, JSON.stringify(request))));
  if (line === null || line.cluster !== place.cluster || !isGenuine(place.key, 'reply', line))
    throw unreachable(name, 'what came back was not made by a witness that has the key of this cluster');
  let value: unknown;
  try {
    value = JSON.parse(line.json);
  } catch (error) {
    throw unreachable(name, 'its reply is not JSON', error);
  }
  const reply = witnessReply.safeParse(value);
  if (!reply.success || reply.data.nonce !== nonce) throw unreachable(name, 'the reply belongs to another request');
  if ('error' in reply.data.body) throw refused(name, reply.data.body.error, reply.data.body.remedy);
  const parsed = schema.safeParse(reply.data.body);
  if (!parsed.success) throw unreachable(name, 'its reply answers something else');
  return parsed.data;
}

/** What a witness knows of one cluster. Rejects with ERR_ARBITER_UNREACHABLE or ERR_ARBITER_REFUSED. */
export async function askWitnessStatus(place: WitnessPlace): Promise<WitnessStatus> {
  return call(place, { op: 'status' }, witnessStatus);
}

export class WitnessArbiter implements Arbiter {
  readonly kind = 'witness';
  private readonly place: WitnessPlace;

  constructor(place: WitnessPlace) {
    this.place = place;
  }

  async ask(request: RegisterRequest): Promise<RegisterAnswer> {
    return call(this.place, request, registerAnswer);
  }

  async test(): Promise<void> {
    await askWitnessStatus(this.place);
  }

  close(): void {
    // nothing stays open
  }
}
