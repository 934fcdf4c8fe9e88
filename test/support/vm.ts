/**
 * A virtual machine with the real kernel module, as a peer. The guests and the bridge between them and our host come from the external lab
 * (see `externalLab`); each test file has a lab of its own, so several can run side by side.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, run, type RunResult } from './exec.js';
import { Host } from './host.js';
import type { Lab } from './lab.js';
import { externalLab, labUnavailable } from './paths.js';
import { waitFor } from './wait.js';

const guestAddress = '10.77.0.1';
const ourAddress = '10.77.0.2';

/** Folder with the image of the guests: kernel, initrd, tools. */
const imageDir = process.env['DRBDTS_VM_IMAGE'] ?? join(tmpdir(), 'drbd-vm', 'out');

/** Why there is no kernel peer here; false when there is one. For the `skip` of node:test. */
export function vmUnavailable(): string | false {
  const unavailable = labUnavailable();
  if (unavailable !== false) return unavailable;
  const lab = externalLab();
  if (lab === null) return 'no kernel peer: DRBDTS_LAB names no folder with drbd-vm/run.sh';
  if (!existsSync(join(lab, 'drbd-vm/run.sh'))) return `no kernel peer: ${lab} has no drbd-vm/run.sh`;
  return false;
}

/** Builds the guest image if there is none yet; needs a package mirror and takes some 20 s. Returns why it failed, or false. */
export async function prepareImage(): Promise<string | false> {
  if (existsSync(join(imageDir, 'initrd.cpio'))) return false;
  const lab = externalLab();
  if (lab === null) return 'no kernel peer here';
  const result = await run([join(lab, 'drbd-vm/build.sh')], { timeoutMs: 600_000, env: { ...process.env, DRBDVM_WORK: join(imageDir, '..') } });
  return result.code === 0 ? false : `the guest image can not be built: ${result.stderr.trim().split('\n').at(-1) ?? ''}`;
}

export interface GuestOptions {
  /** Disk files in order: /dev/vdb, /dev/vdc, ... They have to exist. */
  readonly disks: readonly string[];
}

/** What DRBD in the guest says about one volume, read from /proc/drbd. */
export interface KernelVolume {
  readonly cs: string;
  readonly ro: string;
  readonly ds: string;
  readonly oosKib: number;
  readonly protocol: string;
}

/** The kernel peer master1 and, on the same bridge, our host master2. */
export class KernelPeer {
  readonly name = 'master1';
  readonly address = guestAddress;
  readonly lab: Lab;
  readonly disks: readonly string[];
  readonly #run: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly labName: string;

  private constructor(lab: Lab, disks: readonly string[], runScript: string, labName: string, env: NodeJS.ProcessEnv) {
    this.lab = lab;
    this.disks = disks;
    this.#run = runScript;
    this.labName = labName;
    this.#env = env;
  }

  static async start(lab: Lab, options: GuestOptions): Promise<KernelPeer> {
    const external = externalLab();
    if (external === null) throw new Error('no kernel peer here');
    const problem = await prepareImage();
    if (problem !== false) throw new Error(problem);
    const work = join(lab.dir, 'vm');
    mkdirSync(work, { recursive: true });
    symlinkSync(imageDir, join(work, 'out'));
    const labName = `dt${randomBytes(3).toString('hex')}`;
    const peer = new KernelPeer(lab, options.disks, join(external, 'drbd-vm/run.sh'), labName, { ...lab.env, LAB: labName, DRBDVM_WORK: work });
    lab.defer('kernel peer', async () => {
      await peer.#command(['down']);
    });
    await peer.boot();
    return peer;
  }

  #command(args: readonly string[], options: { timeoutMs?: number; input?: string } = {}): Promise<RunResult> {
    return run([this.#run, ...args], { env: this.#env, timeoutMs: 180_000, ...options });
  }

  async #must(args: readonly string[]): Promise<string> {
    const result = await this.#command(args);
    if (result.code !== 0) throw new Error(describe(result));
    return result.stdout;
  }

  /** Boots the guest; also after `crash`. What was in its memory, its configuration too, is gone. */
  async boot(): Promise<void> {
    await this.#must(['start', this.name, '--ip', this.address, ...this.disks.flatMap((disk) => ['--disk', disk])]);
  }

  /** Our host on the guest's network, named master2. */
  async makeHost(): Promise<Host> {
    const netns = (await this.#must(['port', 'peer', ourAddress])).trim().split('\n').at(-1) ?? '';
    return Host.create(this.lab, 'master2', { netns: `/run/netns/${netns}` });
  }

  get ourAddress(): string {
    return ourAddress;
  }

  exec(script: string, timeoutS = 60): Promise<RunResult> {
    return this.#command(['exec', this.name, '-t', String(timeoutS), script], { timeoutMs: (timeoutS + 30) * 1000 });
  }

  /** Runs a script in the guest that has to succeed; returns its output. */
  async sh(script: string, timeoutS = 60): Promise<string> {
    const result = await this.exec(script, timeoutS);
    if (result.code !== 0) throw new Error(`guest: ${describe(result)}`);
    return result.stdout.trimEnd();
  }

  async put(path: string, text: string): Promise<void> {
    const local = join(this.lab.dir, 'vm', 'put');
    writeFileSync(local, text);
    await this.#must(['put', this.name, local, path]);
  }

  /** True when its virtual machine runs. */
  async alive(): Promise<boolean> {
    const listed = await this.#command(['list']);
    return new RegExp(`^${this.name} up`, 'm').test(listed.stdout);
  }

  /** Cable plugged in, DRBD without any resource, no mapped devices, empty kernel log; boots the guest where it takes that. */
  async clean(): Promise<void> {
    if (await this.alive()) {
      await this.thaw();
      await this.plug();
      const done = await this.exec(
        'umount /store 2>/dev/null; drbdadm down r0 >/dev/null 2>&1; dmsetup remove_all 2>/dev/null; dmesg -c >/dev/null; ! grep -q " cs:" /proc/drbd', 20);
      if (done.code === 0) return;
      await this.crash();
    }
    await this.boot();
  }

  /** Power failure: what the guest wrote to its disks stays, everything else is gone. */
  async crash(): Promise<void> {
    await this.#must(['kill', this.name]);
  }

  async unplug(): Promise<void> {
    await this.#must(['link', this.name, 'down']);
  }

  async plug(): Promise<void> {
    await this.#must(['link', this.name, 'up']);
  }

  async freeze(): Promise<void> {
    await this.#must(['freeze', this.name]);
  }

  async thaw(): Promise<void> {
    await this.#must(['thaw', this.name]);
  }

  proc(): Promise<string> {
    return this.sh('cat /proc/drbd');
  }

  async volume(minor = 0): Promise<KernelVolume> {
    const text = await this.proc();
    const match = new RegExp(`^ *${minor}: cs:(\\S+) ro:(\\S+) ds:(\\S+) (\\S*)[\\s\\S]*?oos:(\\d+)`, 'm').exec(text);
    if (match === null) throw new Error(`guest has no minor ${minor}:\n${text}`);
    const [, cs = '', ro = '', ds = '', protocol = '', oos = '0'] = match;
    return { cs, ro, ds, protocol, oosKib: Number(oos) };
  }

  /** Waits until a volume of the guest is as expected. */
  async waitState(expected: Partial<KernelVolume>, timeoutMs = 120_000, minor = 0): Promise<void> {
    const matches = (volume: KernelVolume): boolean =>
      Object.entries(expected).every(([key, value]) => volume[key as keyof KernelVolume] === value);
    await waitFor(`guest: ${JSON.stringify(expected)}`, async () => matches(await this.volume(minor)), timeoutMs, () => this.proc());
  }

  kernelLog(): Promise<string> {
    return this.sh('dmesg | grep -E "drbd|EXT4"');
  }
}

export interface DrbdConfSpec {
  readonly protocol?: string;
  readonly net?: Record<string, string | number>;
  readonly disk?: Record<string, string | number>;
  readonly volumes?: number;
  /** The guest's first disk; default /dev/vdb. */
  readonly guestDisk?: string;
}

/** The same resource as drbd.conf for the guest: master1 is the guest, master2 our host. */
export function renderDrbdConf(spec: DrbdConfSpec = {}): string {
  const options = (section: Record<string, string | number> = {}): string =>
    Object.entries(section).map(([name, value]) => `${name} ${typeof value === 'string' && !/^[\w-]+$/.test(value) ? `"${value}"` : value};`).join(' ');
  const letters = ['b', 'c', 'd'];
  const host = (name: string, address: string): string => {
    const disk = (number: number): string => (number === 0 && spec.guestDisk) || `/dev/vd${letters[number] ?? 'b'}`;
    const volumes = Array.from({ length: spec.volumes ?? 1 }, (_, number) =>
      `volume ${number} { device /dev/drbd${number}; disk ${disk(number)}; meta-disk internal; }`);
    return `  on ${name} { address ${address}:7788; ${volumes.join(' ')} }`;
  };
  return [
    'resource r0 {',
    `  protocol ${spec.protocol ?? 'C'};`,
    `  disk { ${options({ 'resync-rate': '50M', 'c-plan-ahead': 0, ...spec.disk })} }`,
    `  net { ${options({ 'connect-int': 3, 'ping-int': 3, 'ping-timeout': 30, timeout: 29, ...spec.net })} }`,
    host('master1', guestAddress),
    host('master2', ourAddress),
    '}',
    '',
  ].join('\n');
}

