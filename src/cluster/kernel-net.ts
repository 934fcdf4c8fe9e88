/** The network of the kernel as virtual addresses need it (members/net.ts), over the native part and pure frames. */
import type { Clock } from '../shared/clock.js';
import { announceAddress } from './announce.js';
import { arpConflict, arpProbe, parseArp } from './arp.js';
import { etherTypeArp, etherTypeIpv6, ipv4Bytes, ipv6Bytes, macBytes, macText } from './frames.js';
import type { Net, NetAddress, NetInterface, NewAddress } from './members/net.js';
import { duplicateProbe, neighbourConflict, parseNeighbour } from './ndp.js';
import type { NativeNet, NetLink } from './net-native.js';

/** Questions asked in the time given: one may be lost. */
const questions = 3;

export class KernelNet implements Net {
  readonly #native: NativeNet;
  readonly #clock: Pick<Clock, 'sleep'>;

  constructor(native: NativeNet, clock: Pick<Clock, 'sleep'>) {
    this.#native = native;
    this.#clock = clock;
  }

  async interfaces(): Promise<NetInterface[]> {
    return this.#native.links().map(({ name, index, up, carrier }) => ({ name, index, up, carrier }));
  }

  async addresses(): Promise<NetAddress[]> {
    const names = new Map(this.#native.links().map(({ index, name }) => [index, name]));
    return this.#native.addresses().map(({ index, family, address, prefix, label, validSeconds }) => ({
      interface: names.get(index) ?? '',
      family,
      address,
      prefix,
      label,
      validSeconds,
    }));
  }

  async addAddress(address: NewAddress): Promise<void> {
    const link = this.#link(address.interface);
    this.#native.setAddress({
      index: link.index,
      address: address.address,
      prefix: address.prefix,
      validSeconds: address.validSeconds,
      preferredSeconds: address.validSeconds,
      ...(address.label === '' ? {} : { label: address.label }),
      ...(address.broadcast === '' ? {} : { broadcast: address.broadcast }),
      // it was asked for on the network before
      ...(address.family === 6 ? { noDad: true } : {}),
    });
  }

  async deleteAddress(address: Pick<NewAddress, 'interface' | 'family' | 'address' | 'prefix'>): Promise<void> {
    try {
      this.#native.deleteAddress(this.#link(address.interface).index, address.address, address.prefix);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') throw error;
    }
  }

  async probe(address: string, networkInterface: string, options: { waitMs: number }): Promise<'free' | { mac: string }> {
    const link = this.#link(networkInterface);
    const mac = macBytes(link.mac);
    const four = ipv4Bytes(address);
    const wanted = four ?? ipv6Bytes(address);
    // nobody can be asked on an interface without hardware addresses
    if (mac === null || wanted === null || link.loopback) return 'free';
    let owner = '';
    const heard = (frame: Uint8Array): void => {
      const arp = four === null ? null : parseArp(frame);
      const neighbour = four === null ? parseNeighbour(frame) : null;
      const conflict = arp !== null ? arpConflict(arp, mac, wanted) : neighbour !== null ? neighbourConflict(neighbour, mac, wanted) : null;
      if (conflict?.kind === 'owned') owner = macText(conflict.mac);
    };
    let broken: Error | null = null;
    const socket = this.#native.packetSocket(
      { index: link.index, etherType: four === null ? etherTypeIpv6 : etherTypeArp, ...(four === null ? { ndpOnly: true } : {}) },
      heard,
      (error) => {
        broken = error;
      },
    );
    try {
      for (let asked = 0; asked < questions && owner === ''; asked++) {
        socket.send(four === null ? duplicateProbe(mac, wanted) : arpProbe(mac, wanted));
        await this.#clock.sleep(options.waitMs / questions);
        if (broken !== null) throw broken;
      }
    } finally {
      socket.close();
    }
    return owner === '' ? 'free' : { mac: owner };
  }

  async announce(address: string, networkInterface: string): Promise<void> {
    announceAddress(this.#native, this.#link(networkInterface), address);
  }

  #link(name: string): NetLink {
    const found = this.#native.links().find((link) => link.name === name);
    if (found === undefined) throw Object.assign(new Error(`there is no interface ${name}`), { code: 'ENODEV' });
    return found;
  }
}
