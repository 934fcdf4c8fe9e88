/** A veth pair between two hosts: a cable that can be pulled, slowed down and made to lose packets. */
import { randomInt } from 'node:crypto';
import { must } from './exec.js';
import type { Host } from './host.js';

export interface Ends {
  readonly a: string;
  readonly b: string;
}

export class Link {
  readonly a: Host;
  readonly b: Host;
  /** Addresses of both ends. */
  readonly address: Ends;

  private constructor(a: Host, b: Host, address: Ends) {
    this.a = a;
    this.b = b;
    this.address = address;
  }

  /** Joins two hosts. Each may have one link; the interface is eth0 in both. */
  static async create(a: Host, b: Host): Promise<Link> {
    const net = `10.${randomInt(64, 128)}.${randomInt(0, 256)}`;
    const link = new Link(a, b, { a: `${net}.1`, b: `${net}.2` });
    await must(['ip', 'link', 'add', 'eth0', 'netns', String(a.pid), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(b.pid)]);
    for (const [host, address] of [[a, link.address.a], [b, link.address.b]] as const) {
      await host.must(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0']);
      await host.must(['ip', 'link', 'set', 'eth0', 'up']);
    }
    return link;
  }

  /** Packets are dropped in both directions without any notice to the programs, as by a broken switch. */
  async cut(): Promise<void> {
    for (const host of [this.a, this.b]) {
      await host.sh(
        'nft add table ip cut && nft add chain ip cut arrivals "{ type filter hook input priority 0; }" && nft add rule ip cut arrivals iifname eth0 drop',
      );
    }
  }

  async restore(): Promise<void> {
    for (const host of [this.a, this.b]) await host.sh('nft delete table ip cut');
  }

  /** The cable is pulled: no carrier on either side. */
  unplug(): Promise<string> {
    return this.a.must(['ip', 'link', 'set', 'eth0', 'down']);
  }

  plug(): Promise<string> {
    return this.a.must(['ip', 'link', 'set', 'eth0', 'up']);
  }

  /** Limits both directions to a rate in `tc` units, such as 200mbit. */
  async shape(rate: string): Promise<void> {
    for (const host of [this.a, this.b]) {
      await host.must(['tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', 'rate', rate, 'burst', '256k', 'latency', '50ms']);
    }
  }

  async unshape(): Promise<void> {
    for (const host of [this.a, this.b]) await host.must(['tc', 'qdisc', 'del', 'dev', 'eth0', 'root']);
  }
}
