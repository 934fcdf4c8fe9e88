/** The physical bound of a mirrored write on this machine: max(local write, round trip + the peer's write), without any of our code. */
import { join } from 'node:path';
import { makeDisk, mib } from '../support/disk.js';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { Link } from '../support/link.js';
import { tool } from '../support/tools.js';
import { waitFor } from '../support/wait.js';

export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export interface Bound {
  readonly localWrite: Latency;
  readonly roundTrip: Latency;
  readonly remoteWrite: Latency;
  /** max of the medians, microseconds. */
  readonly p50: number;
}

const count = 2000;

/** A second pair of hosts with disks of their own, measured between the rounds. */
export class BoundProbe {
  readonly here: Host;
  readonly there: Host;
  readonly link: Link;
  readonly #disks: readonly string[];
  readonly #probe: string;

  private constructor(here: Host, there: Host, link: Link, disks: readonly string[], probe: string) {
    this.here = here;
    this.there = there;
    this.link = link;
    this.#disks = disks;
    this.#probe = probe;
  }

  static async create(lab: Lab, sizeMib: number): Promise<BoundProbe> {
    const here = await Host.create(lab, 'probe-a');
    const there = await Host.create(lab, 'probe-b');
    const disks = [here, there].map((host) => makeDisk(join(host.dir, 'disk'), sizeMib * mib, 'random'));
    return new BoundProbe(here, there, await Link.create(here, there), disks, await tool('link_probe'));
  }

  async #serve(argv: readonly string[]): Promise<void> {
    const server = this.there.spawn([this.#probe, ...argv]);
    let output = '';
    server.stdout?.on('data', (data: Buffer) => (output += data.toString()));
    await waitFor('the probe listens', () => output.includes('listening'));
  }

  async measure(): Promise<Bound> {
    const [local = '', remote = ''] = this.#disks;
    const address = this.link.address.b;
    const localWrite = JSON.parse(await this.here.must([this.#probe, 'disk', local, String(count)])) as Latency;
    await this.#serve(['pong', '7001']);
    const roundTrip = JSON.parse(await this.here.must([this.#probe, 'ping', address, '7001', String(count)])) as Latency;
    await this.#serve(['pong', '7002', remote]);
    const remoteWrite = JSON.parse(await this.here.must([this.#probe, 'ping', address, '7002', String(count)])) as Latency;
    return { localWrite, roundTrip, remoteWrite, p50: Math.max(localWrite.p50, remoteWrite.p50) };
  }

  /** MB/s of a plain copy of one disk to the other over the link. */
  async plainCopy(sizeMib: number): Promise<number> {
    const [local = '', remote = ''] = this.#disks;
    await this.#serve(['receive', '7003', remote]);
    const text = await this.here.must([this.#probe, 'send', this.link.address.b, '7003', local, String(sizeMib * mib)], { timeoutMs: 600_000 });
    return (sizeMib * mib) / 1e6 / (JSON.parse(text) as { seconds: number }).seconds;
  }
}
