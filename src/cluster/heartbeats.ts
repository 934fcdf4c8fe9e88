/** Membership at work: codec, state machine and sockets joined, with the timer. Every decision is in membership.ts. */
import { randomBytes } from 'node:crypto';
import type { ClusterConfig } from '../config/cluster-types.js';
import type { Clock } from '../shared/clock.js';
import type { Log } from '../shared/log.js';
import { decodeHeartbeat, decodeReport, encodeHeartbeat, encodeReport, type EncodedReport, heartbeatKey } from './heartbeat-codec.js';
import { initialMembership, type MembershipState, membershipView, stepMembership, tickMs, wantsReport } from './membership.js';
import type { MembershipConfig, MembershipEvent, MembershipView, NodeReport } from './membership-types.js';
import { Rejects } from './rejects.js';
import { type BindSocket, type LinkCounters, Transport } from './transport.js';

export interface HeartbeatsOptions {
  cluster: ClusterConfig;
  self: string;
  /** contents of the key file. */
  key: Uint8Array;
  /** should go on while the machine sleeps. */
  clock: Pick<Clock, 'nowMs'>;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
  bindSocket?: BindSocket;
  onView: (view: MembershipView) => void;
  /** called before anything else happens after this process did not run for that long. */
  onStalled: (forMs: number) => void;
  /** asks for `replicationSign`. */
  onCheckReplication: () => void;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #config: MembershipConfig;
  readonly #key: Uint8Array;
  readonly #transport: Transport;
  readonly #rejects: Rejects;
  #state: MembershipState;
  #report: EncodedReport | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: HeartbeatsOptions) {
    const { cluster, self } = options;
    const peer = cluster.nodes.find((name) => name !== self) ?? '';
    this.#options = options;
    this.#config = {
      cluster: cluster.name,
      self,
      peer,
      links: cluster.links.map(({ name }) => name),
      keepaliveMs: cluster.keepaliveMs,
      warntimeMs: cluster.warntimeMs,
      deadtimeMs: cluster.deadtimeMs,
      initdeadMs: cluster.initdeadMs,
    };
    this.#key = heartbeatKey(options.key);
    this.#rejects = new Rejects((kind, source, detail) => `heartbeat from ${source} refused: ${detail} (${kind})`);
    this.#state = initialMembership(this.#config, randomBytes(16).toString('hex'), options.clock.nowMs());
    this.#transport = new Transport({
      links: cluster.links,
      self,
      peer,
      clock: options.clock,
      ...(options.bindSocket === undefined ? {} : { bindSocket: options.bindSocket }),
      onDatagram: (link, datagram, source) => this.#receive(link, datagram, source),
      onTrouble: (link, text) =>
        text === null
          ? options.log.info(`link ${link}: sockets are open`)
          : options.log.warn(`link ${link}: ${text}; tried again every second`),
    });
  }

  start(): void {
    this.#transport.open();
    // after the timers come the sockets, then setImmediate: what has arrived is looked at before anybody is judged
    this.#timer = setInterval(() => setImmediate(() => this.#tick()), tickMs(this.#config));
  }

  #tick(): void {
    if (this.#timer === null) return;
    this.#step({ kind: 'tick' });
    this.#transport.tend();
  }

  /** What this node says of itself; goes out at once. Returns its version: confirmed when the view's `confirmedVersion` has reached it. */
  setReport(report: NodeReport): number {
    const encoded = encodeReport(report);
    this.#report = encoded;
    this.#step({ kind: 'report', bytes: encoded.bytes.length });
    return this.#state.ownVersion;
  }

  replicationSign(sign: 'alive' | 'dead' | 'unknown'): void {
    this.#step({ kind: 'replication', sign });
  }

  /** Says goodbye on all links; to be called when everything is stopped. The process may end some 50 ms later. */
  goodbye(): void {
    this.#step({ kind: 'goodbye' });
  }

  get view(): MembershipView {
    return membershipView(this.#state, this.#options.clock.nowMs());
  }

  /** This process start, as the peer sees it. */
  get boot(): string {
    return this.#state.boot;
  }

  counters(): { links: LinkCounters[]; refused: Record<string, number> } {
    return { links: this.#transport.counters(), refused: Object.fromEntries(this.#rejects.counts) };
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#transport.close();
  }

  #receive(link: string, datagram: Uint8Array, source: string): void {
    const decoded = decodeHeartbeat(datagram, this.#config.cluster, this.#key);
    if (!decoded.ok) {
      this.#refuse(decoded.kind, source, decoded.detail);
      return;
    }
    const { heartbeat } = decoded;
    let report: { value: NodeReport } | null = null;
    if (decoded.report !== null && wantsReport(this.#state, heartbeat)) {
      const value = decodeReport(decoded.report);
      if (value === null) this.#refuse('report', source, 'its report can not be read');
      else report = { value };
    }
    this.#step({ kind: 'packet', link, heartbeat, report }, source);
  }

  #refuse(kind: string, source: string, detail: string): void {
    const text = this.#rejects.add(kind, source, detail, this.#options.clock.nowMs());
    // a network may copy and overtake; who plays back recordings changes nothing
    if (text !== null && kind !== 'replay') this.#options.log.warn(printableLine(text));
  }

  #step(event: MembershipEvent, source = ''): void {
    const { log } = this.#options;
    const { state, actions } = stepMembership(this.#state, event, this.#options.clock.nowMs());
    this.#state = state;
    for (const action of actions) {
      switch (action.kind) {
        case 'stalled':
          this.#options.onStalled(action.forMs);
          break;
        case 'send': {
          const report = action.withReport ? this.#report : null;
          for (const heartbeat of action.heartbeats) this.#transport.send(heartbeat.link, encodeHeartbeat(heartbeat, report, this.#key));
          break;
        }
        case 'log':
          log[action.level](action.text);
          break;
        case 'checkReplication':
          this.#options.onCheckReplication();
          break;
        case 'refused':
          this.#refuse(action.reason, source, action.detail);
          break;
        case 'viewChanged':
          this.#options.onView(this.view);
          break;
      }
    }
  }
}

/** Names inside were chosen by whoever sent them. */
function printableLine(text: string): string {
  return text.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
}
