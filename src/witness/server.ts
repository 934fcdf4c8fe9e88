/**
 * The witness on the network: a line in, a line out, then the connection ends. Whatever is no request of a known cluster made with its key
 * is dropped without a reply, counted, and said once for each sender. Everything is bounded: length of a line, time for it, connections.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { isGenuine, seal, splitLine } from '../arbiter/mac.js';
import { requestLineBytesMax, type WitnessReply, type WitnessRequest, type WitnessStatus, witnessRequest } from '../arbiter/messages.js';
import type { Address } from '../config/types.js';
import { formatAddress } from '../config/types.js';
import { asDrbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import type { RegisterStore } from './store.js';

export type DropReason = 'garbage' | 'unknown cluster' | 'wrong key' | 'not a request' | 'too long' | 'too slow';

export interface ServedCluster {
  key: Buffer;
  store: RegisterStore;
}

export interface WitnessServerOptions {
  /** a connection that has not sent its line by then is dropped. */
  lineTimeoutMs?: number;
  connectionsMax?: number;
}

/** senders remembered, so that each is spoken of once; then all are forgotten. */
const sendersMax = 1000;
const replyTimeoutMs = 10_000;

export class WitnessServer {
  readonly dropped: Record<string, number> = {};
  private readonly startedAt = new Date().toISOString();
  private readonly servers: Server[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly said = new Set<string>();
  private readonly clusters: ReadonlyMap<string, ServedCluster>;
  private readonly log: Log;
  private readonly lineTimeoutMs: number;
  private readonly connectionsMax: number;

  constructor(clusters: ReadonlyMap<string, ServedCluster>, log: Log, options: WitnessServerOptions = {}) {
    this.clusters = clusters;
    this.log = log;
    this.lineTimeoutMs = options.lineTimeoutMs ?? 3000;
    this.connectionsMax = options.connectionsMax ?? 512;
  }

  /** Listens on `address`; resolves with the port (for port 0). */
  async listen(address: Address): Promise<number> {
    const server = createServer((socket) => this.serve(socket));
    server.maxConnections = this.connectionsMax;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address.host, port: address.port, ipv6Only: address.family === 6 }, resolve);
    });
    server.on('error', (error) => this.log.error(`${formatAddress(address)}: ${error.message}`));
    this.servers.push(server);
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : address.port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }

  private serve(socket: Socket): void {
    const sender = socket.remoteAddress ?? 'somebody';
    const chunks: Buffer[] = [];
    let bytes = 0;
    this.sockets.add(socket);
    const timer = setTimeout(() => drop('too slow'), this.lineTimeoutMs);
    const drop = (reason: DropReason): void => {
      this.drop(sender, reason);
      socket.destroy();
    };
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      this.sockets.delete(socket);
    });
    const onData = (chunk: Buffer): void => {
      const at = chunk.indexOf(10);
      bytes += at < 0 ? chunk.length : at;
      if (bytes > requestLineBytesMax) {
        drop('too long');
        return;
      }
      chunks.push(at < 0 ? chunk : chunk.subarray(0, at));
      if (at < 0) return;
      socket.off('data', onData);
      socket.resume();
      clearTimeout(timer);
      socket.setTimeout(replyTimeoutMs, () => socket.destroy());
      this.answer(Buffer.concat(chunks).toString('utf8'), sender).then(
        (reply) => (reply === null ? socket.destroy() : socket.end(`${reply}\n`)),
        (error: Error) => {
          this.log.error(`internal error: ${error.stack ?? error.message}`);
          socket.destroy();
        },
      );
    };
    socket.on('data', onData);
  }

  private drop(sender: string, reason: DropReason): null {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
    const what = `${sender} ${reason}`;
    if (this.said.size >= sendersMax) this.said.clear();
    if (!this.said.has(what)) this.log.warn(`dropped what ${sender} sent: ${reason}; further ones of this kind are only counted`);
    this.said.add(what);
    return null;
  }

  /** The reply to a line; null when it deserves none. */
  private async answer(text: string, sender: string): Promise<string | null> {
    const line = splitLine(text);
    if (line === null) return this.drop(sender, 'garbage');
    const served = this.clusters.get(line.cluster);
    if (served === undefined) return this.drop(sender, 'unknown cluster');
    if (!isGenuine(served.key, 'request', line)) return this.drop(sender, 'wrong key');
    let value: unknown = null;
    try {
      value = JSON.parse(line.json);
    } catch {
      // who has the key made this; it is dropped below
    }
    const request = witnessRequest.safeParse(value);
    if (!request.success) return this.drop(sender, 'not a request');
    const reply: WitnessReply = { nonce: request.data.nonce, body: await this.carryOut(served, request.data.body) };
    return seal(served.key, 'reply', line.cluster, JSON.stringify(reply));
  }

  private async carryOut(served: ServedCluster, body: WitnessRequest['body']): Promise<WitnessReply['body']> {
    const { store } = served;
    try {
      if (body.op === 'status') return await this.status(store);
      const before = store.incarnation;
      const { answer, refused } = await store.apply(body);
      if (refused !== '') return { error: refused, remedy: 'See `drbdts witness status`, and the names of the nodes in drbdts.yaml.' };
      if (answer.done) {
        const { epoch, inSync, holder } = answer.record;
        this.log.info(
          `${store.cluster} ${body.key} ${body.op === 'vouch' ? 'vouched for' : 'swapped'} by ${body.node}: epoch ${epoch}, in sync ${inSync.join(', ')}${holder === '' ? '' : `, holder ${holder}`}`,
        );
      }
      if (before !== '' && before !== store.incarnation) this.log.warn(`${store.cluster} the register was read again from its file`);
      return answer;
    } catch (thrown) {
      const error = asDrbdtsError(thrown);
      const what = `${store.cluster} ${error.message}`;
      if (!this.said.has(what)) this.log.error(what);
      this.said.add(what);
      return { error: error.message, remedy: error.remedy };
    }
  }

  private async status(store: RegisterStore): Promise<WitnessStatus> {
    const records = await store.records();
    const { cluster, incarnation, requests } = store;
    return { version, cluster, incarnation, startedAt: this.startedAt, requests, dropped: { ...this.dropped }, records };
  }
}
