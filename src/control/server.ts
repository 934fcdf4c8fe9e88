/**
 * The control API's server: HTTP/1.1 on a unix socket of mode 0600 (paths: messages.ts). It knows nothing of volumes; whoever implements
 * `ControlHandlers` does. Every refusal leaves as ErrorReply. Everything is bounded: bodies, clients, and what waits for a slow client.
 */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { asDrbdtsError, type DrbdtsError, drbdtsError } from '../shared/errors.js';
import { EventFeed } from './event-feed.js';
import {
  type ConfigCheckReply,
  type ConfigCheckRequest,
  configCheckRequest,
  type EventRecord,
  type ProgressRecord,
  type ReloadReply,
  type StatusReply,
  type Verb,
  type VerbReply,
  type VerbRequest,
  type VersionReply,
  verbRequest,
  verbs,
} from './messages.js';
import { encodeEvent } from './sse.js';

export interface VerbContext {
  /** fires when the client is gone or the daemon ends. */
  signal: AbortSignal;
  progress(record: ProgressRecord): void;
}

export interface EventSource {
  /** Everything as it is now, ending with `exists -`. */
  dump(resource: string | null): EventRecord[];
  /** Changes from now on. Returns the way to stop. */
  subscribe(resource: string | null, listener: (record: EventRecord) => void): () => void;
}

export interface ControlHandlers {
  status(resource: string | null): StatusReply;
  proc(): string;
  verb(resource: string, verb: Verb, request: VerbRequest, context: VerbContext): Promise<VerbReply>;
  events: EventSource;
  config(): unknown;
  checkConfig(request: ConfigCheckRequest): ConfigCheckReply;
  reload(): Promise<ReloadReply>;
  version(): VersionReply;
}

const bodyBytesMax = 1024 * 1024;
const connectionsMax = 128;
const streamsMax = 64;
const lingerMs = 500;
/** beyond this much unsent text a client is behind: changes are dropped and it gets a fresh dump when it has caught up. */
const streamBytesMax = 256 * 1024;

const httpStatus: Record<string, number> = {
  ERR_UNKNOWN_RESOURCE: 404,
  ERR_NOT_FOUND: 404,
  ERR_BAD_REQUEST: 400,
  ERR_UNKNOWN_VERB: 400,
  ERR_REQUEST_TOO_LARGE: 413,
  ERR_TOO_MANY_CLIENTS: 503,
  ERR_INTERNAL: 500,
};

export class ControlServer {
  private readonly server: Server;
  private readonly ending = new AbortController();
  private readonly handlers: ControlHandlers;
  private readonly onFault: (error: DrbdtsError) => void;
  private streams = 0;

  constructor(handlers: ControlHandlers, onFault: (error: DrbdtsError) => void = () => {}) {
    this.handlers = handlers;
    this.onFault = onFault;
    this.server = createServer((request, response) => {
      this.route(request, response).catch((thrown: unknown) => this.fail(response, thrown));
    });
    this.server.maxConnections = connectionsMax;
    // a wait may last for days; the peer is a local process whose end we notice
    this.server.requestTimeout = 0;
  }

  /** Listens on `path`. A socket file nobody answers on is removed; a living one is refused with ERR_SOCKET_IN_USE. */
  async listen(path: string): Promise<void> {
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
        this.server.once('error', reject);
        this.server.listen(path, () => {
          this.server.off('error', reject);
          resolve();
        });
      });
    } finally {
      process.umask(before);
    }
    chmodSync(path, 0o600);
  }

  /** Ends waiting requests with ERR_CANCELLED and closes. */
  async close(): Promise<void> {
    this.ending.abort(drbdtsError('ERR_CANCELLED', { values: { reason: 'the daemon is ending' } }));
    await new Promise<void>((resolve) => {
      // answers under way get a moment; then connections that stay open are cut
      const cut = setTimeout(() => this.server.closeAllConnections(), lingerMs);
      this.server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      this.server.closeIdleConnections();
    });
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://drbdtsd');
    const parts = url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decode);
    const [version, first, second, third] = parts;
    const method = request.method ?? 'GET';
    if (version !== 'v1') throw notFound(url.pathname);
    const shape = `${method} ${first ?? ''} ${parts.length}`;
    switch (shape) {
      case 'GET status 2':
        return sendJson(response, this.handlers.status(null));
      case 'GET status 3':
        return sendJson(response, this.handlers.status(second ?? ''));
      case 'GET proc 2':
        response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
        response.end(this.handlers.proc());
        return;
      case 'GET events 2':
        return this.stream(request, response, url.searchParams.get('resource'), url.searchParams.get('now') === '1');
      case 'GET config 2':
        return sendJson(response, this.handlers.config());
      case 'GET version 2':
        return sendJson(response, this.handlers.version());
      case 'POST reload 2':
        return sendJson(response, await this.handlers.reload());
      case 'POST config 3': {
        if (second !== 'check') throw notFound(url.pathname);
        const parsed = configCheckRequest.safeParse(await readBody(request));
        if (!parsed.success) throw badRequest(parsed.error.issues);
        return sendJson(response, this.handlers.checkConfig(parsed.data));
      }
      case 'POST resources 4':
        return this.verb(request, response, second ?? '', third ?? '');
      default:
        throw notFound(url.pathname);
    }
  }

  private async verb(request: IncomingMessage, response: ServerResponse, resource: string, name: string): Promise<void> {
    const verb = verbs.find((candidate) => candidate === name);
    if (verb === undefined) throw drbdtsError('ERR_UNKNOWN_VERB', { values: { verb: name } });
    const parsed = verbRequest.safeParse(await readBody(request));
    if (!parsed.success) throw badRequest(parsed.error.issues);
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort(drbdtsError('ERR_CANCELLED', { values: { reason: 'the client went away' } }));
    });
    const followed = (request.headers.accept ?? '').includes('text/event-stream');
    if (followed) startStream(response);
    const context: VerbContext = {
      signal: AbortSignal.any([gone.signal, this.ending.signal]),
      progress: (record) => {
        if (followed && response.writableLength < streamBytesMax) response.write(encodeEvent('progress', record));
      },
    };
    if (!followed) return sendJson(response, await this.handlers.verb(resource, verb, parsed.data, context));
    try {
      response.end(encodeEvent('reply', await this.handlers.verb(resource, verb, parsed.data, context)));
    } catch (thrown) {
      response.end(encodeEvent('error', this.refusal(thrown).reply));
    }
  }

  private stream(request: IncomingMessage, response: ServerResponse, resource: string | null, now: boolean): void {
    if (resource !== null) this.handlers.status(resource);
    if (this.streams >= streamsMax) throw drbdtsError('ERR_TOO_MANY_CLIENTS', { values: { limit: streamsMax } });
    const { events } = this.handlers;
    startStream(response);
    if (now) {
      for (const record of events.dump(resource)) response.write(encodeEvent('message', record));
      response.end();
      return;
    }
    this.streams += 1;
    const feed = new EventFeed(
      () => events.dump(resource),
      (record) => response.write(encodeEvent('message', record)),
      () => response.writableLength,
      streamBytesMax,
    );
    const stop = events.subscribe(resource, (record) => feed.offer(record));
    response.on('drain', () => feed.drained());
    const end = (): void => {
      response.end();
    };
    this.ending.signal.addEventListener('abort', end, { once: true });
    request.on('error', end);
    response.on('close', () => {
      this.streams -= 1;
      stop();
      this.ending.signal.removeEventListener('abort', end);
    });
    feed.start();
  }

  private refusal(thrown: unknown): DrbdtsError {
    const error = asDrbdtsError(thrown);
    if (error.code === 'ERR_INTERNAL') this.onFault(error);
    return error;
  }

  private fail(response: ServerResponse, thrown: unknown): void {
    const error = this.refusal(thrown);
    if (response.headersSent) {
      response.end();
      return;
    }
    sendJson(response, error.reply, httpStatus[error.code] ?? 409);
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw notFound(part);
  }
}

function notFound(path: string): DrbdtsError {
  return drbdtsError('ERR_NOT_FOUND', { values: { path } });
}

function badRequest(issues: readonly { path: readonly PropertyKey[]; message: string }[]): DrbdtsError {
  const problem = issues
    .map((issue) => `${issue.path.length > 0 ? `${issue.path.map(String).join('.')}: ` : ''}${issue.message}`)
    .join('; ');
  return drbdtsError('ERR_BAD_REQUEST', { values: { problem } });
}

function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function startStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.flushHeaders();
}

async function readBody(request: IncomingMessage): Promise<unknown> {
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
