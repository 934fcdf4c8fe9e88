/** The server of clusterd's control API (paths: cluster-messages.ts). It decides nothing; whoever implements `ClusterHandlers` does. */
import { setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { asDrbdtsError, type DrbdtsError, drbdtsError } from '../shared/errors.js';
import {
  type ClusterReply,
  type ClusterRequest,
  type ClusterStatus,
  type ClusterVerb,
  clusterRequest,
  clusterVerbs,
  type HistoryEntry,
} from './cluster-messages.js';
import { badRequest, closeServer, decode, listenOnSocket, notFound, readBody, sendJson, sendRefusal, startStream } from './http.js';
import { encodeEvent } from './sse.js';
import type { BalancingStatus } from './balancing-messages.js';
import type { VrrpExplanation, VrrpStatus } from './vrrp-messages.js';

export interface ClusterHandlers {
  status(): ClusterStatus;
  /** Calls back at every change; returns the way to stop. */
  subscribe(listener: () => void): () => void;
  history(limit: number): HistoryEntry[];
  verb(verb: ClusterVerb, request: ClusterRequest): Promise<ClusterReply>;
}

export interface VrrpHandlers {
  status(): VrrpStatus;
  explain(): string[];
}

export interface BalancingHandlers {
  status(): Promise<BalancingStatus>;
}

const streamsMax = 32;
const streamBytesMax = 256 * 1024;
const historyDefault = 100;

export class ClusterServer {
  readonly #server: Server;
  readonly #given: ClusterHandlers | null;
  readonly #vrrp: VrrpHandlers | null;
  readonly #balancing: BalancingHandlers | null;
  readonly #onFault: (error: DrbdtsError) => void;
  readonly #ending = new AbortController();
  #streams = 0;

  /** `handlers` null: a node without `cluster:`; `vrrp` null: without `vrrp:`; `balancing` null: without `balancing:`. */
  constructor(handlers: ClusterHandlers | null, onFault: (error: DrbdtsError) => void = () => {}, vrrp: VrrpHandlers | null = null, balancing: BalancingHandlers | null = null) {
    this.#given = handlers;
    this.#vrrp = vrrp;
    this.#balancing = balancing;
    this.#onFault = onFault;
    this.#server = createServer((request, response) => {
      this.#route(request, response).catch((thrown: unknown) => {
        const error = asDrbdtsError(thrown);
        if (error.code === 'ERR_INTERNAL') this.#onFault(error);
        sendRefusal(response, error);
      });
    });
    setMaxListeners(streamsMax, this.#ending.signal);
    this.#server.maxConnections = 64;
    this.#server.requestTimeout = 0;
  }

  get #handlers(): ClusterHandlers {
    if (this.#given === null) throw drbdtsError('ERR_CLUSTER_NOT_CONFIGURED', { values: { file: 'the configuration' } });
    return this.#given;
  }

  async listen(path: string): Promise<void> {
    await listenOnSocket(this.#server, path);
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await closeServer(this.#server);
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://clusterd');
    const [version, area, what, ...rest] = url.pathname
      .split('/')
      .filter((part) => part !== '')
      .map(decode);
    if (version !== 'v1' || area !== 'cluster' || what === undefined || rest.length > 0) throw notFound(url.pathname);
    if (request.method === 'POST') {
      const verb = clusterVerbs.find((candidate) => candidate === what);
      if (verb === undefined) throw drbdtsError('ERR_UNKNOWN_VERB', { values: { verb: what } });
      const parsed = clusterRequest.safeParse(await readBody(request));
      if (!parsed.success) throw badRequest(parsed.error.issues);
      sendJson(response, await this.#handlers.verb(verb, parsed.data));
      return;
    }
    if (request.method !== 'GET') throw notFound(url.pathname);
    switch (what) {
      case 'status':
        sendJson(response, this.#handlers.status());
        return;
      case 'history': {
        const limit = Number(url.searchParams.get('limit') ?? historyDefault);
        if (!Number.isInteger(limit) || limit < 1) throw badRequest([{ path: ['limit'], message: 'expected a number above 0' }]);
        sendJson(response, { entries: this.#handlers.history(limit) });
        return;
      }
      case 'vrrp':
      case 'vrrp-explain': {
        if (this.#vrrp === null) throw drbdtsError('ERR_VRRP_NOT_CONFIGURED');
        sendJson(response, what === 'vrrp' ? this.#vrrp.status() : ({ lines: this.#vrrp.explain() } satisfies VrrpExplanation));
        return;
      }
      case 'balancing':
        if (this.#balancing === null) throw drbdtsError('ERR_BALANCING_NOT_CONFIGURED');
        sendJson(response, await this.#balancing.status());
        return;
      case 'events':
        this.#stream(response);
        return;
      default:
        throw notFound(url.pathname);
    }
  }

  #stream(response: ServerResponse): void {
    const handlers = this.#handlers;
    if (this.#streams >= streamsMax) throw drbdtsError('ERR_TOO_MANY_CLIENTS', { values: { limit: streamsMax } });
    this.#streams += 1;
    startStream(response);
    // a slow reader misses what lies between, never the present state
    let behind = false;
    const send = (): void => {
      behind = response.writableLength > streamBytesMax;
      if (!behind) response.write(encodeEvent('message', handlers.status()));
    };
    const stop = handlers.subscribe(send);
    response.on('drain', () => {
      if (behind) send();
    });
    const end = (): void => {
      response.end();
    };
    this.#ending.signal.addEventListener('abort', end, { once: true });
    response.on('close', () => {
      this.#streams -= 1;
      stop();
      this.#ending.signal.removeEventListener('abort', end);
    });
    send();
  }
}
