/** A client of a daemon's unix socket: JSON over HTTP/1.1, refusals as DrbdtsError, no answer at all as the given code. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { DrbdtsError, drbdtsError } from '../shared/errors.js';
import { errorReply } from './messages.js';
import { EventStreamReader } from './sse.js';

export class SocketClient {
  protected readonly socket: string;
  private readonly unreachableCode: string;

  constructor(socket: string, unreachableCode: string) {
    this.socket = socket;
    this.unreachableCode = unreachableCode;
  }

  protected async json<S extends z.ZodType>(
    method: string,
    path: string,
    schema: S,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<z.infer<S>> {
    const text = await readText(await this.open(method, path, body, signal));
    const parsed = schema.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
    throw drbdtsError('ERR_INTERNAL', {
      values: { reason: `the daemon's reply does not fit: ${parsed.error.message}` },
      remedy: 'Update drbdtsd and drbdts together.',
    });
  }

  protected unreachable(cause: Error): DrbdtsError {
    const reason = (cause as NodeJS.ErrnoException).code ?? cause.message;
    return drbdtsError(this.unreachableCode, { values: { socket: this.socket, reason }, place: this.socket, cause });
  }

  protected async open(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
    accept = 'application/json',
  ): Promise<IncomingMessage> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { accept, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
      const request = httpRequest({
        socketPath: this.socket,
        method,
        path,
        headers,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
      });
      request.once('response', resolve);
      request.once('error', (error) => reject(signal?.aborted === true ? error : this.unreachable(error)));
      request.end(text);
    });
    if (response.statusCode === 200) return response;
    const reply = await readText(response);
    const parsed = errorReply.safeParse(safeJson(reply));
    if (parsed.success) throw new DrbdtsError(parsed.data);
    throw drbdtsError('ERR_INTERNAL', { values: { reason: `the daemon answered ${response.statusCode}: ${reply.slice(0, 200)}` } });
  }
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export async function readText(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response as AsyncIterable<string>) text += chunk;
  return text;
}

export async function* readEvents(response: IncomingMessage): AsyncGenerator<{ event: string; data: string }, void, undefined> {
  const reader = new EventStreamReader();
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) yield* reader.push(chunk);
}
