/**
 * Heartbeats on the wire: UDP on every link, unicast or multicast. Knows nothing of what it carries.
 *
 * Each link has a socket that is connected to the peer, so the kernel itself keeps everybody else away from it, and a second one on the same
 * port where strangers fall. That one is closed for a second when too much comes: a flood costs a bounded number of wake-ups and can not push
 * the peer's heartbeats out of the queue. Sockets are bound to the link's own address; to its interface as well when `bindSocket` is given
 * (SO_BINDTODEVICE), which keeps two links in one subnet on their own cables.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { LinkConfig } from '../config/cluster-types.js';
import type { Clock } from '../shared/clock.js';

/** Makes a UDP socket bound to an address and an interface; gives its descriptor. */
export type BindSocket = (options: { family: 4 | 6; address: string; port: number; interface: string }) => number;

export interface TransportOptions {
  links: readonly LinkConfig[];
  self: string;
  peer: string;
  clock: Pick<Clock, 'nowMs'>;
  bindSocket?: BindSocket;
  onDatagram: (link: string, datagram: Uint8Array, source: string) => void;
  /** a link's sockets could not be opened, or a link works again; said on change only. */
  onTrouble: (link: string, text: string | null) => void;
}

export interface LinkCounters {
  name: string;
  open: boolean;
  sent: number;
  sendErrors: number;
  /** text of the newest error, '' for none. */
  lastError: string;
  received: number;
  /** from others than the peer's address. */
  strangers: number;
  reopened: number;
}

const strangersPerSecond = 100;
const retryMs = 1000;
/** A socket that hears nothing for so long is made anew: the interface or the multicast membership may have gone. */
const silentMs = 5000;
const failuresBeforeReopen = 5;
const maxQueued = 64;

export class Transport {
  readonly #links: readonly LinkSockets[];

  constructor(options: TransportOptions) {
    this.#links = options.links.map((link) => new LinkSockets(link, options));
  }

  open(): void {
    for (const link of this.#links) link.open();
  }

  send(link: string, datagram: Uint8Array): void {
    this.#links.find(({ counters }) => counters.name === link)?.send(datagram);
  }

  /** To be called about ten times per second: repairs what is broken. */
  tend(): void {
    for (const link of this.#links) link.tend();
  }

  counters(): LinkCounters[] {
    return this.#links.map(({ counters }) => ({ ...counters }));
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}

class LinkSockets {
  readonly counters: LinkCounters;
  readonly #config: LinkConfig;
  readonly #options: TransportOptions;
  readonly #own: string;
  readonly #peer: string;
  /** Connected to the peer. For multicast it only receives. */
  #friend: Socket | null = null;
  #sender: Socket | null = null;
  #strangers: Socket | null = null;
  #generation = 0;
  #openedMs = 0;
  #heardMs = 0;
  #failures = 0;
  #trouble: string | null = null;
  #strangerSecond = 0;
  #strangersInSecond = 0;
  #closed = false;

  constructor(config: LinkConfig, options: TransportOptions) {
    this.#config = config;
    this.#options = options;
    this.#own = config.addresses[options.self] ?? '';
    this.#peer = config.addresses[options.peer] ?? '';
    this.counters = { name: config.name, open: false, sent: 0, sendErrors: 0, lastError: '', received: 0, strangers: 0, reopened: 0 };
  }

  open(): void {
    this.#closeSockets();
    const generation = ++this.#generation;
    this.#openedMs = this.#heardMs = this.#options.clock.nowMs();
    this.#failures = 0;
    void this.#openAll(generation).then(
      () => {
        if (generation === this.#generation) this.#say(null);
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        this.#closeSockets();
        this.#say((error as Error).message);
      },
    );
  }

  async #openAll(generation: number): Promise<void> {
    const { multicast, port } = this.#config;
    const receiveOn = multicast?.group ?? this.#own;
    const keep = async (opening: Promise<Socket>, place: (socket: Socket) => void): Promise<Socket> => {
      const socket = await opening;
      // closed or opened again meanwhile
      if (generation !== this.#generation) {
        socket.close();
        throw new Error('superseded');
      }
      place(socket);
      return socket;
    };
    const friend = await keep(this.#bind(receiveOn), (socket) => (this.#friend = socket));
    this.#listen(friend, generation, (source) => source === bare(this.#peer));
    if (multicast !== null) friend.addMembership(multicast.group, this.#membershipInterface());
    await new Promise<void>((resolve, reject) => {
      friend.connect(port, this.#peer, (error?: Error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
    if (multicast !== null) {
      const sender = await keep(this.#bind(this.#own), (socket) => (this.#sender = socket));
      sender.on('error', (error) => this.#failed(error));
      sender.setMulticastTTL(multicast.ttl);
      sender.setMulticastLoopback(false);
      sender.setMulticastInterface(this.#membershipInterface());
    }
    this.counters.open = true;
    await this.#openStrangers(generation);
  }

  /** IPv4 names the interface by its address, IPv6 by its name. */
  #membershipInterface(): string {
    return isIPv6(this.#own) && this.#config.interface !== '' ? `::%${this.#config.interface}` : this.#own;
  }

  async #openStrangers(generation: number): Promise<void> {
    const socket = await this.#bind(this.#config.multicast?.group ?? this.#own);
    if (generation !== this.#generation || !this.counters.open) {
      socket.close();
      return;
    }
    this.#strangers = socket;
    if (this.#config.multicast !== null) socket.addMembership(this.#config.multicast.group, this.#membershipInterface());
    socket.setRecvBufferSize(64 * 1024);
    // multicast comes to both sockets
    const alsoToFriend = (source: string, port: number): boolean => this.#config.multicast !== null && source === bare(this.#peer) && port === this.#config.port;
    this.#listen(socket, generation, (source, port) => !alsoToFriend(source, port) && this.#admitStranger());
  }

  #listen(socket: Socket, generation: number, take: (source: string, port: number) => boolean): void {
    socket.on('error', (error) => this.#failed(error));
    socket.on('message', (datagram, { address, port }) => {
      if (generation !== this.#generation || !take(bare(address), port)) return;
      this.counters.received++;
      if (socket === this.#friend) this.#heardMs = this.#options.clock.nowMs();
      this.#options.onDatagram(this.#config.name, datagram, bare(address));
    });
  }

  /** False, and deaf for strangers for the rest of the second, when there are too many. */
  #admitStranger(): boolean {
    this.counters.strangers++;
    const second = Math.floor(this.#options.clock.nowMs() / 1000);
    this.#strangersInSecond = second === this.#strangerSecond ? this.#strangersInSecond + 1 : 1;
    this.#strangerSecond = second;
    if (this.#strangersInSecond <= strangersPerSecond) return true;
    this.#strangers?.close();
    this.#strangers = null;
    return false;
  }

  #bind(address: string): Promise<Socket> {
    const family = isIPv6(bare(address)) ? 6 : 4;
    const { port, interface: device } = this.#config;
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', reuseAddr: true });
      const fail = (error: Error): void => {
        socket.close();
        reject(error);
      };
      socket.once('error', fail);
      const bound = (): void => {
        socket.off('error', fail);
        resolve(socket);
      };
      try {
        if (this.#options.bindSocket !== undefined && device !== '')
          socket.bind({ fd: this.#options.bindSocket({ family, address, port, interface: device }), exclusive: true }, bound);
        else socket.bind({ port, address, exclusive: true }, bound);
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  send(datagram: Uint8Array): void {
    const { multicast, port } = this.#config;
    const socket = multicast === null ? this.#friend : this.#sender;
    if (socket === null || !this.counters.open) {
      this.counters.sendErrors++;
      return;
    }
    const done = (error: Error | null): void => {
      if (error === null) {
        this.counters.sent++;
        this.#failures = 0;
      } else this.#failed(error);
    };
    try {
      if (socket.getSendQueueCount() >= maxQueued) this.#failed(new Error('the queue of the socket is full'));
      else if (multicast === null) socket.send(datagram, done);
      else socket.send(datagram, port, multicast.group, done);
    } catch (error) {
      this.#failed(error as Error);
    }
  }

  #failed(error: Error): void {
    this.counters.sendErrors++;
    this.counters.lastError = error.message;
    // the peer's node answers that nothing listens there: the link is well
    if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') this.#failures++;
  }

  tend(): void {
    if (this.#closed) return;
    const now = this.#options.clock.nowMs();
    if (now - this.#openedMs >= retryMs && (!this.counters.open || this.#failures >= failuresBeforeReopen)) this.#reopen();
    else if (now - Math.max(this.#heardMs, this.#openedMs) >= silentMs) this.#reopen();
    else if (this.counters.open && this.#strangers === null && Math.floor(now / 1000) !== this.#strangerSecond) {
      this.#strangerSecond = Math.floor(now / 1000);
      this.#strangersInSecond = 0;
      this.#openStrangers(this.#generation).catch(() => undefined);
    }
  }

  #reopen(): void {
    if (this.#failures >= failuresBeforeReopen) this.#say(this.counters.lastError);
    this.counters.reopened++;
    this.open();
  }

  #say(trouble: string | null): void {
    if (trouble !== null) this.counters.lastError = trouble;
    if (trouble !== this.#trouble) this.#options.onTrouble(this.#config.name, trouble);
    this.#trouble = trouble;
  }

  #closeSockets(): void {
    this.#generation++;
    this.counters.open = false;
    for (const socket of [this.#friend, this.#sender, this.#strangers]) socket?.close();
    this.#friend = this.#sender = this.#strangers = null;
  }

  close(): void {
    this.#closed = true;
    this.#closeSockets();
  }
}

/** An address without its scope. */
function bare(address: string): string {
  return address.replace(/%.*$/, '');
}
