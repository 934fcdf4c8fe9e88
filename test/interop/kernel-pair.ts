/** The real kernel module in a guest (master1) and our daemon on the same network (master2), with one resource. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderConfig } from '../support/config.js';
import { assertSameContents, makeDisk, mib } from '../support/disk.js';
import type { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { waitFor } from '../support/wait.js';
import { type DrbdConfSpec, KernelPeer, renderDrbdConf } from '../support/vm.js';

export interface KernelPairOptions extends DrbdConfSpec {
  /** Size of each disk; default 16 MiB, guests are slow. */
  readonly bytes?: number;
  /** What our side says instead. */
  readonly ourNet?: Record<string, string | number>;
}

export class KernelPair {
  readonly peer: KernelPeer;
  readonly host: Host;
  readonly ourDisks: readonly string[];
  readonly options: KernelPairOptions;

  private constructor(peer: KernelPeer, host: Host, ourDisks: readonly string[], options: KernelPairOptions) {
    this.peer = peer;
    this.host = host;
    this.ourDisks = ourDisks;
    this.options = options;
  }

  static async create(lab: Lab, options: KernelPairOptions = {}): Promise<KernelPair> {
    const bytes = options.bytes ?? 16 * mib;
    const numbers = Array.from({ length: options.volumes ?? 1 }, (_, number) => number);
    const peer = await KernelPeer.start(lab, { disks: numbers.map((number) => makeDisk(join(lab.dir, `guest${number}`), bytes)) });
    const host = await peer.makeHost();
    const ourDisks = numbers.map((number) => makeDisk(join(host.dir, `disk${number}`), bytes));
    const pair = new KernelPair(peer, host, ourDisks, options);
    await pair.configureGuest();
    pair.configureHost();
    return pair;
  }

  /** Also after the guest has booted again: its files are gone then. */
  async configureGuest(): Promise<void> {
    await this.peer.put('/etc/drbd.d/r0.res', renderDrbdConf(this.options));
  }

  configureHost(): void {
    const { net, disk, protocol } = this.options;
    writeFileSync(this.host.configFile, renderConfig({
      protocol: (protocol ?? 'C') as 'A' | 'B' | 'C',
      net: { 'connect-int': 3, 'ping-int': 3, 'ping-timeout': 30, timeout: 29, ...net, ...this.options.ourNet },
      disk: { 'resync-rate': '50M', 'c-plan-ahead': 0, ...disk },
      hosts: [
        { name: 'master1', address: `${this.peer.address}:7788`, volumes: this.ourDisks.map((_, number) => ({ device: `/dev/drbd${number}`, disk: `/dev/vd${'bcd'[number] ?? 'b'}` })) },
        { name: 'master2', address: `${this.peer.ourAddress}:7788`, volumes: this.ourDisks.map((path, number) => ({ device: `/dev/drbd${number}`, disk: path })) },
      ],
    }));
  }

  /** Both up with fresh meta-data and connected: Inconsistent on both sides. */
  async up(): Promise<void> {
    await this.peer.sh('drbdadm create-md --force r0 && drbdadm up r0');
    await this.host.startDaemon();
    await this.host.drbdts('create-md', 'r0');
    await this.host.drbdts('up', 'r0');
    await this.host.running.waitState({ connection: 'Connected', disk: 'Inconsistent', peerDisk: 'Inconsistent' });
    await this.peer.waitState({ cs: 'Connected', ds: 'Inconsistent/Inconsistent' });
  }

  /** As `up`, then both are declared equal (they are: zeroes) without a resync. */
  async upInSync(): Promise<void> {
    await this.up();
    const minors = this.ourDisks.map((_, minor) => `drbdsetup new-current-uuid --clear-bitmap ${minor}`).join(' && ');
    await this.peer.sh(minors);
    await this.inSync();
  }

  async inSync(): Promise<void> {
    await this.host.running.waitState({ connection: 'Connected', disk: 'UpToDate', peerDisk: 'UpToDate' }, 180_000);
    for (const minor of this.ourDisks.keys()) await this.peer.waitState({ cs: 'Connected', ds: 'UpToDate/UpToDate' }, 60_000, minor);
  }

  /** Our node becomes Primary, the guest Secondary, or the other way round. */
  async promoteUs(): Promise<void> {
    await this.peer.sh('drbdadm secondary r0');
    await this.host.drbdts('primary', 'r0');
  }

  async promoteGuest(): Promise<void> {
    await this.host.drbdts('secondary', 'r0');
    await this.peer.sh('drbdadm primary r0');
  }

  /** fio with verification in the guest, on its DRBD device. */
  guestFio(options: string, minor = 0): Promise<string> {
    return this.peer.sh(`fio --name=v --filename=/dev/drbd${minor} --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 --randrepeat=0 ${options}`, 180);
  }

  /** Waits until status says why we are not connected; the log has to say it, too. */
  async waitReason(pattern: RegExp): Promise<void> {
    await waitFor(`our status says ${String(pattern)}`, async () => pattern.test((await this.host.running.resource()).connectionReason), 60_000);
    await waitFor(`our log says ${String(pattern)}`, () => pattern.test(this.host.log()), 10_000);
  }

  /** Takes both down and compares the data areas. */
  async assertSameData(): Promise<void> {
    const sizes = (await this.host.running.resource()).volumes.map(({ sizeKib }) => sizeKib * 1024);
    await this.host.running.waitState({ outOfSyncKib: 0 });
    await this.peer.sh('drbdadm secondary r0; drbdadm down r0; sync');
    await this.host.drbdts('secondary', 'r0');
    await this.host.drbdts('down', 'r0');
    for (const [number, path] of this.ourDisks.entries()) assertSameContents(path, this.peer.disks[number] ?? '', sizes[number] ?? 0);
  }
}
