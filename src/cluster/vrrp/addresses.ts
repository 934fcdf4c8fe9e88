/**
 * The addresses of one instance in the kernel: held with a lifetime that is renewed, so that a killed or frozen process leaves none behind. All calls
 * are done when they return. Decides nothing: the machine says when.
 */
import type { Log } from '../../shared/log.js';
import { announceAddress } from '../announce.js';
import { broadcastOf } from '../members/subnet.js';
import type { NativeNet, NetAddress, NetLink } from '../net-native.js';

export interface HeldAddress {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
  readonly interface: string;
  readonly label: string;
}

export interface AddressesOptions {
  readonly name: string;
  readonly addresses: readonly HeldAddress[];
  /** the priority is 255: an address that is there for ever is the node's own and stays. */
  readonly owner: boolean;
  readonly validSeconds: number;
  /** between two frames of a burst. */
  readonly gapMs: number;
  readonly net: Pick<NativeNet, 'links' | 'addresses' | 'setAddress' | 'deleteAddress' | 'packetSocket' | 'bootTimeNs'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
}

export class Addresses {
  readonly #options: AddressesOptions;
  #held = false;
  /** when the kernel was last told, on the clock of time since boot. */
  #renewedMs = Number.NEGATIVE_INFINITY;
  #complained = '';
  readonly #frames = new Set<NodeJS.Timeout>();

  constructor(options: AddressesOptions) {
    this.#options = options;
  }

  /** At the start: what a former process has left behind goes, as another node may have it by now. */
  removeLeftovers(): void {
    for (const { wanted, link, found } of this.#present()) {
      if (this.#isOwn(found)) continue;
      const lasting = found.validSeconds === null;
      this.#options.log[lasting ? 'error' : 'info'](
        `${this.#options.name}: ${wanted.address} was on ${wanted.interface} at the start ${lasting ? 'for ever: take it out of the network configuration; it is' : 'and is'} removed`,
      );
      this.#delete(link, found);
    }
  }

  /** Adds all, or gives those that are there a new lifetime. */
  take(): void {
    this.#held = true;
    this.#renewedMs = this.#nowMs();
    const links = new Map(this.#links());
    const present = this.#present(links);
    for (const wanted of this.#options.addresses) {
      const found = present.find((one) => one.wanted === wanted)?.found;
      if (found !== undefined && this.#isOwn(found)) continue;
      this.#set(wanted, links.get(wanted.interface));
    }
  }

  drop(): void {
    this.#held = false;
    this.#stopFrames();
    for (const { link, found } of this.#present()) if (!this.#isOwn(found)) this.#delete(link, found);
  }

  /**
   * Called often. Gives the held addresses a new lifetime when it is time; false when one of them is gone, or may have been gone: then they are not
   * ours until they are taken again.
   */
  renew(): boolean {
    if (!this.#held) return true;
    const lifetimeMs = this.#options.validSeconds * 1000;
    const nowMs = this.#nowMs();
    if (nowMs - this.#renewedMs < Math.min(500, lifetimeMs / 4)) return true;
    if (nowMs - this.#renewedMs >= lifetimeMs) return false;
    const present = this.#present();
    if (present.length < this.#options.addresses.length) return false;
    const links = new Map(this.#links());
    for (const { wanted, found } of present) if (!this.#isOwn(found)) this.#set(wanted, links.get(wanted.interface));
    const late = this.#nowMs() - this.#renewedMs >= lifetimeMs;
    this.#renewedMs = nowMs;
    if (!late) return true;
    // stood still just before the kernel was told: it may be the other node's by now
    for (const { link, found } of this.#present()) if (!this.#isOwn(found)) this.#delete(link, found);
    return false;
  }

  /** Whether all that should be held is there. */
  complete(): boolean {
    return !this.#held || this.#present().length === this.#options.addresses.length;
  }

  /** Those that are there now, held or not. */
  present(): Set<string> {
    return new Set(this.#present().map(({ wanted }) => wanted.address));
  }

  /** So many frames for each address: gratuitous ARP in both forms, or an unsolicited neighbour advertisement. */
  announce(frames: number): void {
    this.#stopFrames();
    const links = new Map(this.#links());
    const once = (): void => {
      for (const each of this.#options.addresses) this.#announceOne(each, links.get(each.interface));
    };
    for (let number = 0; number < frames; number++) {
      if (number === 0 || this.#options.gapMs === 0) {
        once();
        continue;
      }
      const timer = setTimeout(() => {
        this.#frames.delete(timer);
        if (this.#held && this.#nowMs() - this.#renewedMs < this.#options.validSeconds * 1000) once();
      }, number * this.#options.gapMs);
      this.#frames.add(timer);
    }
  }

  close(): void {
    this.#stopFrames();
  }

  #stopFrames(): void {
    for (const timer of this.#frames) clearTimeout(timer);
    this.#frames.clear();
  }

  #nowMs(): number {
    return Number(this.#options.net.bootTimeNs()) / 1e6;
  }

  #isOwn(found: NetAddress): boolean {
    return this.#options.owner && found.validSeconds === null;
  }

  #links(): [string, NetLink][] {
    return this.#options.net.links().map((link) => [link.name, link]);
  }

  #present(links = new Map(this.#links())): { wanted: HeldAddress; link: NetLink; found: NetAddress }[] {
    const all = this.#options.net.addresses();
    return this.#options.addresses.flatMap((wanted) => {
      const link = links.get(wanted.interface);
      const found = link && all.find((one) => one.index === link.index && one.family === wanted.family && one.address === wanted.address);
      return link === undefined || found === undefined ? [] : [{ wanted, link, found }];
    });
  }

  #set(wanted: HeldAddress, link: NetLink | undefined): void {
    const { net, name, log, validSeconds } = this.#options;
    const { family, address, prefix, label } = wanted;
    const broadcast = family === 4 ? broadcastOf(address, prefix) : '';
    try {
      if (link === undefined) throw new Error(`there is no interface ${wanted.interface}`);
      net.setAddress({
        ...{ index: link.index, address, prefix, validSeconds, preferredSeconds: validSeconds },
        ...(label === '' ? {} : { label }),
        ...(broadcast === '' ? {} : { broadcast }),
        ...(family === 6 ? { noDad: true } : {}),
      });
      this.#complained = '';
    } catch (error) {
      const text = `${name}: ${address} could not be set on ${wanted.interface}: ${(error as Error).message}`;
      if (this.#complained !== text) log.error(text);
      this.#complained = text;
    }
  }

  #delete(link: NetLink, found: NetAddress): void {
    try {
      this.#options.net.deleteAddress(link.index, found.address, found.prefix);
    } catch (error) {
      // the kernel removes it within its lifetime
      if ((error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') this.#options.log.error(`${this.#options.name}: ${found.address} could not be removed: ${(error as Error).message}`);
    }
  }

  #announceOne({ address }: HeldAddress, link: NetLink | undefined): void {
    if (link === undefined) return;
    const { net, log, name } = this.#options;
    try {
      announceAddress(net, link, address);
    } catch (error) {
      log.warn(`${name}: ${address} could not be announced on ${link.name}: ${(error as Error).message}`);
    }
  }
}
