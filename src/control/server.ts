/**
 * The control API's server: HTTP/1.1 on a unix socket of mode 0600 (paths: messages.ts). It knows nothing of volumes; whoever implements
 * `ControlHandlers` does. Every refusal leaves as ErrorReply. Everything is bounded: bodies, clients, and what waits for a slow client.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { asDrbdtsError, type DrbdtsError, drbdtsError } from '../shared/errors.js';
import { EventFeed } from './event-feed.js';
import { badRequest, closeServer, decode, listenOnSocket, notFound, readBody, sendJson, sendRefusal, sendText, startStream } from './http.js';
import {
  type ConfigCheckReply,
  type ConfigCheckRequest,
  type ConfirmReply,
  type ConfirmRequest,
  configCheckRequest,
  confirmRequest,
  type EventRecord,
  type ProgressRecord,
  type RegisterReply,
  type RegisterRequest,
  type ReloadReply,
  registerRequest,
  type StatusReply,
  type Verb,
  type VerbReply,
  type VerbRequest,
  type VersionReply,
  verbRequest,
  verbs,
} from './messages.js';
import { formatShStatus } from './sh-status.js';
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
  register(group: string): RegisterReply;
  claim(group: string, request: RegisterRequest): Promise<RegisterReply>;
  release(group: string, request: RegisterRequest): RegisterReply;
  confirmFenced(request: ConfirmRequest): ConfirmReply;
}

const connectionsMax = 128;
const streamsMax = 64;
/** beyond this much unsent text a client is behind: changes are dropped and it gets a fresh dump when it has caught up. */
const streamBytesMax = 256 * 1024;

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
    await listenOnSocket(this.server, path);
  }

  /** Ends waiting requests with ERR_CANCELLED and closes. */
  async close(): Promise<void> {
    this.ending.abort(drbdtsError('ERR_CANCELLED', { values: { reason: 'the daemon is ending' } }));
    await closeServer(this.server);
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
        return sendText(response, this.handlers.proc());
      case 'GET sh-status 3':
        return sendText(response, `${formatShStatus(this.handlers.status(second ?? '')).join('\n')}\n`);
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
      case 'GET register 3':
        return sendJson(response, this.handlers.register(groupOf(second)));
      case 'POST register 4': {
        const parsed = registerRequest.safeParse(await readBody(request));
        if (!parsed.success) throw badRequest(parsed.error.issues);
        if (third === 'claim') return sendJson(response, await this.handlers.claim(groupOf(second), parsed.data));
        if (third === 'release') return sendJson(response, this.handlers.release(groupOf(second), parsed.data));
        throw notFound(url.pathname);
      }
      case 'POST confirm-fenced 2': {
        const parsed = confirmRequest.safeParse(await readBody(request));
        if (!parsed.success) throw badRequest(parsed.error.issues);
        return sendJson(response, this.handlers.confirmFenced(parsed.data));
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
    sendRefusal(response, this.refusal(thrown));
  }
}

/** The group a key is about; volumes are asked for with fence-peer alone. */
function groupOf(key: string | undefined): string {
  const name = key?.startsWith('group/') === true ? key.slice('group/'.length) : '';
  if (name === '') throw notFound(key ?? '');
  return name;
}
