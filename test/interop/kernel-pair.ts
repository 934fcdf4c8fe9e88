/**
 * The real kernel module in a guest (master1) and our daemon on the same network (master2), with one resource r0. A guest takes seconds to
 * boot, so the scenarios of a file share one; every scenario begins with fresh disks, meta-data, configuration and daemon.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { renderConfig } from '../support/config.js';
import { assertSameContents, type Contents, makeDisk, mib } from '../support/disk.js';
import type { Host } from '../support/host.js';
import { Lab } from '../support/lab.js';
import { AckWriter, fioVerify } from '../support/load.js';
import { longRun } from '../support/paths.js';
import { type DrbdConfSpec, KernelPeer, renderDrbdConf, vmUnavailable } from '../support/vm.js';
import { waitFor } from '../support/wait.js';

/** Disks of the guest; a scenario uses the first or both. */
const diskCount = 2;

export interface ScenarioOptions extends DrbdConfSpec {
  /** Only part of the full matrix (DRBDTS_LONG=1). */
  readonly long?: boolean;
  /** What is on the disks before; the two nodes' random contents differ. Default sparse, so equal. */
  readonly contents?: Contents;
  /** What our side says instead. */
  readonly ourNet?: Record<string, string | number>;
  readonly ourProtocol?: string;
}

export interface FileOptions {
  /** Size of each disk; default 16 MiB, guests are slow. */
  readonly bytes?: number;
}

/** Defines scenarios that share one guest, which is booted for the first of them and removed after the last. */
export function kernelScenarios(name: string, file: FileOptions = {}): (name: string, options: ScenarioOptions, body: (pair: KernelPair) => Promise<void>) => void {
  const unavailable = vmUnavailable();
  let lab: Lab | null = null;
  let pair: KernelPair | null = null;
  after(() => lab?.close());
  return (scenario, options, body) => {
    const skip = unavailable || (options.long === true && !longRun && 'part of the full matrix, DRBDTS_LONG=1');
    test(scenario, { skip, timeout: 400_000 }, async () => {
      lab ??= new Lab(name);
      pair ??= await KernelPair.create(lab, file.bytes ?? 16 * mib);
      await pair.reset(options);
      try {
        await body(pair);
      } catch (error) {
        const kernel = await pair.peer.kernelLog().catch((reason: unknown) => String(reason));
        if (error instanceof Error) error.message += `\n--- kernel log of the guest\n${kernel.split('\n').slice(-60).join('\n')}`;
        throw lab.explain(error);
      }
    });
  };
}

export class KernelPair {
  readonly lab: Lab;
  readonly peer: KernelPeer;
  readonly host: Host;
  readonly bytes: number;
  options: ScenarioOptions = {};
  /** Backing files of the volumes in use. */
  ourDisks: readonly string[] = [];

  private constructor(lab: Lab, peer: KernelPeer, host: Host, bytes: number) {
    this.lab = lab;
    this.peer = peer;
    this.host = host;
    this.bytes = bytes;
  }

  static async create(lab: Lab, bytes: number): Promise<KernelPair> {
    const disks = Array.from({ length: diskCount }, (_, number) => makeDisk(join(lab.dir, `guest${number}`), bytes));
    const peer = await KernelPeer.start(lab, { disks });
    return new KernelPair(lab, peer, await peer.makeHost(), bytes);
  }

  /** Ends what the last scenario left, then everything anew up to meta-data that is not made yet. */
  async reset(options: ScenarioOptions): Promise<void> {
    const { peer, host, bytes } = this;
    this.options = options;
    await host.powerOff();
    rmSync(host.logFile, { force: true });
    rmSync(join(host.dir, 'state'), { recursive: true, force: true });
    await peer.clean();
    const volumes = Array.from({ length: options.volumes ?? 1 }, (_, number) => number);
    for (const disk of peer.disks) makeDisk(disk, bytes, options.contents);
    this.ourDisks = volumes.map((number) => makeDisk(join(host.dir, `disk${number}`), bytes, options.contents));
    await this.configureGuest();
    this.configureHost();
  }

  /** Also after the guest has booted again: its files are gone then. */
  async configureGuest(): Promise<void> {
    await this.peer.put('/etc/drbd.d/r0.res', renderDrbdConf(this.options));
  }

  configureHost(): void {
    const { net, disk, protocol, ourProtocol, ourNet } = this.options;
    const volumes = (path: (number: number) => string) => this.ourDisks.map((_, number) => ({ device: `/dev/drbd${number}`, disk: path(number) }));
    writeFileSync(this.host.configFile, renderConfig({
      protocol: (ourProtocol ?? protocol ?? 'C') as 'A' | 'B' | 'C',
      net: { 'connect-int': 3, 'ping-int': 3, 'ping-timeout': 30, timeout: 29, ...net, ...ourNet },
      disk: { 'resync-rate': '50M', 'c-plan-ahead': 0, ...disk },
      hosts: [
        { name: 'master1', address: `${this.peer.address}:7788`, volumes: volumes((number) => `/dev/vd${'bcd'[number] ?? 'b'}`) },
        { name: 'master2', address: `${this.peer.ourAddress}:7788`, volumes: volumes((number) => this.ourDisks[number] ?? '') },
      ],
    }));
  }

  /** Both up with fresh meta-data, not waiting for a connection. */
  async start(): Promise<void> {
    await Promise.all([
      this.peer.sh('drbdadm create-md --force r0 && drbdadm up r0'),
      this.host.startDaemon().then(() => this.host.drbdts('create-md', '--force', 'r0')).then(() => this.host.drbdts('up', 'r0')),
    ]);
  }

  /** Both up with fresh meta-data and connected: Inconsistent on both sides. */
  async up(): Promise<void> {
    await this.start();
    await this.host.running.waitState({ connection: 'Connected', disk: 'Inconsistent', peerDisk: 'Inconsistent' });
    for (const minor of this.ourDisks.keys()) await this.peer.waitState({ cs: 'Connected', ds: 'Inconsistent/Inconsistent' }, 60_000, minor);
  }

  /** As `up`, then both are declared equal (they are: zeroes) without a resync. */
  async upInSync(): Promise<void> {
    assert.notEqual(this.options.contents, 'random', 'random disks are not equal');
    await this.up();
    await this.peer.sh(this.ourDisks.map((_, minor) => `drbdsetup new-current-uuid --clear-bitmap ${minor}`).join(' && '));
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
    return this.peer.sh(
      `fio --name=v --filename=/dev/drbd${minor} --direct=1 --ioengine=libaio --verify=crc32c --verify_fatal=1 --randrepeat=0 ${options}`, 180);
  }

  /** fio with verification on our device; the options are fio's own. */
  async ourFio(options: { size: string; offset?: string; depth?: number; extra?: string[] }, minor = 0): Promise<void> {
    const result = await fioVerify(this.host, `/dev/drbd${minor}`, options);
    assert.equal(result.code, 0, result.stdout + result.stderr);
  }

  /** A writer on our device, with a journal of its own. */
  async startWriter(blocks: number): Promise<AckWriter> {
    const writer = new AckWriter(mkdtempSync(join(this.host.dir, 'writer-')), { blocks });
    await writer.start(this.host, '/dev/drbd0');
    return writer;
  }

  /** Waits until status says why we are not connected; the log has to say it, too. */
  async waitReason(pattern: RegExp): Promise<void> {
    await waitFor(`our status says ${String(pattern)}`, async () => pattern.test((await this.host.running.resource()).connectionReason), 60_000);
    await waitFor(`our log says ${String(pattern)}`, () => pattern.test(this.host.log()), 10_000);
  }

  /** KiB that we received from (nr) or sent to (ns) the peer, data and resync. */
  async counter(name: 'nr' | 'ns'): Promise<number> {
    return (await this.host.running.volume()).counters[name] ?? 0;
  }

  /** Takes both down and compares the size of the devices, the data areas and the generation of the data. */
  async assertSameData(): Promise<void> {
    const { peer, host } = this;
    await host.running.waitState({ outOfSyncKib: 0 });
    const sizes = (await host.running.resource()).volumes.map(({ sizeKib }) => sizeKib * 1024);
    for (const [minor, bytes] of sizes.entries()) {
      await peer.waitState({ oosKib: 0 }, 60_000, minor);
      assert.equal(Number(await peer.sh(`cat /sys/block/drbd${minor}/size`)) * 512, bytes, 'both devices have one size');
    }
    // a Primary that loses its peer begins a new generation: so both become Secondary first
    await Promise.all([peer.sh('drbdadm secondary r0'), host.drbdts('secondary', 'r0')]);
    await peer.sh('drbdadm down r0 && sync');
    await host.drbdts('down', 'r0');
    for (const [number, path] of this.ourDisks.entries()) assertSameContents(path, peer.disks[number] ?? '', sizes[number] ?? 0);
    const generations = (text: string): string[] => text.split('\n').map((line) => line.split(':')[0] ?? '').filter((line) => line !== '');
    // bit 0 tells who was Primary
    const theirs = generations(await peer.sh('drbdadm get-gi r0')).map((id) => BigInt(`0x${id}`) | 1n);
    const ours = generations(await host.drbdts('get-gi', 'r0')).map((id) => BigInt(`0x${id}`) | 1n);
    assert.deepEqual(ours, theirs, 'current generation on both nodes');
  }
}
