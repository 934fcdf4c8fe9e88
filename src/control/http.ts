/**
 * What both control servers share: a unix socket of mode 0600 that nobody else answers on, JSON bodies of bounded size, refusals as ErrorReply.
 */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { type DrbdtsError, drbdtsError } from '../shared/errors.js';

const bodyBytesMax = 1024 * 1024;
const lingerMs = 500;

/** Status codes of refusals that are not simply conflicts (409). */
export const httpStatus: Record<string, number> = {
  ERR_UNKNOWN_RESOURCE: 404,
  ERR_UNKNOWN_GROUP: 404,
  ERR_NOT_FOUND: 404,
  ERR_BAD_REQUEST: 400,
  ERR_UNKNOWN_VERB: 400,
  ERR_REQUEST_TOO_LARGE: 413,
  ERR_TOO_MANY_CLIENTS: 503,
  ERR_INTERNAL: 500,
};

/** Listens on `path`. A socket file nobody answers on is removed; a living one is refused with ERR_SOCKET_IN_USE. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (await answers(path)) throw drbdtsError('ERR_SOCKET_IN_USE', { values: { socket: path }, place: path });
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
}

/** Closes a server: answers under way get a moment; then connections that stay open are cut. */
export async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), lingerMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Writes a refusal, unless the answer has begun: then it just ends. */
export function sendRefusal(response: ServerResponse, error: DrbdtsError): void {
  if (response.headersSent) {
    response.end();
    return;
  }
  sendJson(response, error.reply, httpStatus[error.code] ?? 409);
}

export function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw notFound(part);
  }
}

export function notFound(path: string): DrbdtsError {
  return drbdtsError('ERR_NOT_FOUND', { values: { path } });
}

export function badRequest(issues: readonly { path: readonly PropertyKey[]; message: string }[]): DrbdtsError {
  const problem = issues
    .map((issue) => `${issue.path.length > 0 ? `${issue.path.map(String).join('.')}: ` : ''}${issue.message}`)
    .join('; ');
  return drbdtsError('ERR_BAD_REQUEST', { values: { problem } });
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

export function sendText(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

export function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.flushHeaders();
}

export async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw drbdtsError('ERR_REQUEST_TOO_LARGE', { values: { limit: bodyBytesMax } });
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8').trim();
  if (text === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: `the body is not JSON: ${(error as Error).message}` }, cause: error });
  }
}

/** Whether a process listens on the socket `path`. */
async function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
