/** Two hosts with a link, disks and one configuration: what nearly every test starts from. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConfigSpec, renderConfig } from './config.js';
import type { DaemonOptions } from './daemon.js';
import { assertSameContents, type Contents, makeDisk, mib } from './disk.js';
import { Host } from './host.js';
import type { Lab } from './lab.js';
import { Link } from './link.js';

export interface PairOptions extends Omit<ConfigSpec, 'hosts'> {
  /** Size of each disk; default 64 MiB. */
  readonly bytes?: number;
  readonly volumes?: number;
  readonly contents?: Contents;
  readonly names?: readonly [string, string];
  /** Disks of host b that are of another size. */
  readonly bytesB?: number;
  /** External meta-data of this size next to each disk. */
  readonly metaBytes?: number;
  /** A host's disk of volume 0 instead of a plain file. */
  readonly diskA?: (host: Host) => Promise<string>;
  readonly diskB?: (host: Host) => Promise<string>;
}

/** Times that make tests quick: a lost peer is noticed within seconds. */
export const quickNet = { 'connect-int': 2, 'ping-int': 2, 'ping-timeout': 10, timeout: 15 } as const;
/** Resync at full speed. */
export const quickDisk = { 'resync-rate': '100M', 'c-max-rate': '1G', 'c-min-rate': 0, 'c-fill-target': '1M' } as const;

const port = 7788;

export class Pair {
  readonly lab: Lab;
  readonly a: Host;
  readonly b: Host;
  readonly link: Link;
  readonly options: PairOptions;
  /** Disks by host and volume. */
  readonly disks: { readonly a: string[]; readonly b: string[] };

  private constructor(lab: Lab, a: Host, b: Host, link: Link, options: PairOptions, disks: { a: string[]; b: string[] }) {
    this.lab = lab;
    this.a = a;
    this.b = b;
    this.link = link;
    this.options = options;
    this.disks = disks;
  }

  static async create(lab: Lab, options: PairOptions = {}): Promise<Pair> {
    const [nameA, nameB] = options.names ?? ['alpha', 'beta'];
    const a = await Host.create(lab, nameA);
    const b = await Host.create(lab, nameB);
    const link = await Link.create(a, b);
    const bytes = options.bytes ?? 64 * mib;
    const disks = { a: [] as string[], b: [] as string[] };
    for (let number = 0; number < (options.volumes ?? 1); number++) {
      const special = number === 0 ? options : {};
      disks.a.push((await special.diskA?.(a)) ?? makeDisk(join(a.dir, `disk${number}`), bytes, options.contents));
      disks.b.push((await special.diskB?.(b)) ?? makeDisk(join(b.dir, `disk${number}`), options.bytesB ?? bytes, options.contents));
      if (options.metaBytes !== undefined) {
        makeDisk(join(a.dir, `meta${number}`), options.metaBytes);
        makeDisk(join(b.dir, `meta${number}`), options.metaBytes);
      }
    }
    const pair = new Pair(lab, a, b, link, options, disks);
    pair.configure();
    return pair;
  }

  /** Writes the configuration of one host or both, with some of it changed. */
  configure(changes: Partial<ConfigSpec> = {}, hosts: readonly Host[] = [this.a, this.b]): void {
    const volumesOf = (host: Host, disks: readonly string[]) =>
      disks.map((disk, number) => ({
        device: `/dev/drbd${number}`,
        disk,
        ...(this.options.metaBytes !== undefined && { metaDisk: join(host.dir, `meta${number}`) }),
      }));
    const { bytes: _bytes, volumes: _volumes, contents: _contents, names: _names, ...spec } = this.options;
    const text = renderConfig({
      ...spec,
      ...changes,
      startup: { ...spec.startup, ...changes.startup },
      net: { ...quickNet, ...spec.net, ...changes.net },
      disk: { ...quickDisk, ...spec.disk, ...changes.disk },
      hosts: changes.hosts ?? [
        { name: this.a.name, address: `${this.link.address.a}:${port}`, volumes: volumesOf(this.a, this.disks.a) },
        { name: this.b.name, address: `${this.link.address.b}:${port}`, volumes: volumesOf(this.b, this.disks.b) },
      ],
    });
    for (const host of hosts) writeFileSync(host.configFile, text);
  }

  both<T>(action: (host: Host) => Promise<T>): Promise<[T, T]> {
    return Promise.all([action(this.a), action(this.b)]);
  }

  async startDaemons(options: DaemonOptions = {}): Promise<void> {
    await this.both((host) => host.startDaemon(options));
  }

  /** Daemons, meta-data, up, connected: both Secondary and Inconsistent. */
  async up(options: DaemonOptions = {}): Promise<void> {
    await this.startDaemons(options);
    await this.both((host) => host.drbdts('create-md', '--force', 'r0'));
    await this.both((host) => host.drbdts('up', 'r0'));
    await this.both((host) => host.running.waitState({ connection: 'Connected', disk: 'Inconsistent', peerDisk: 'Inconsistent' }));
  }

  /** As `up`, then both disks are declared equal (they are: fresh files of zeroes) and UpToDate without a resync. */
  async upInSync(options: DaemonOptions = {}): Promise<void> {
    await this.up(options);
    await this.a.drbdts('new-current-uuid', '--clear-bitmap', 'r0');
    await this.inSync();
  }

  /** Waits until both are connected and UpToDate. */
  async inSync(timeoutMs = 90_000): Promise<void> {
    await this.both((host) => host.running.waitState({ connection: 'Connected', disk: 'UpToDate', peerDisk: 'UpToDate' }, timeoutMs));
  }

  /** Bytes of the device, the same on both nodes once they were connected. */
  async usableBytes(volume = 0, host: Host = this.a): Promise<number> {
    return (await host.running.volume(volume)).sizeKib * 1024;
  }

  /** Compares the data areas of the disks of a volume on both hosts; `host` has it up and tells the size. */
  async assertSameData(volume = 0, host: Host = this.a): Promise<void> {
    assertSameContents(this.disks.a[volume] ?? '', this.disks.b[volume] ?? '', await this.usableBytes(volume, host));
  }
}
