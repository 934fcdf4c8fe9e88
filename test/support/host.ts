/**
 * A host: network, mount and host-name namespaces held by one process, with its own /dev (so that every host has its /dev/drbd0), its own
 * /run and a state directory. What is started in it, the daemon above all, sees nothing of other hosts but the link.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { Daemon, type DaemonOptions } from './daemon.js';
import { describe, exited, run, type RunOptions, type RunResult } from './exec.js';
import type { Lab } from './lab.js';
import { cliMain } from './paths.js';
import { processesInNetworkOf } from './processes.js';
import { waitFor } from './wait.js';

/** Loop device nodes in a host's /dev. The kernel makes nodes in its own /dev only. */
const loopNodes = 256;

/** Makes /dev, /run and the host name; then waits for the end of its input, which is the end of the test. */
const hostScript = `
set -e
hostname "$1"
mount -t tmpfs -o mode=755 tmpfs "$2"
cd "$2"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/fuse /dev/loop-control .
i=0
while [ $i -lt ${loopNodes} ]; do mknod -m 600 loop$i b 7 $i; i=$((i + 1)); done
ln -s /proc/self/fd fd; ln -s fd/0 stdin; ln -s fd/1 stdout; ln -s fd/2 stderr
mkdir -m 1777 shm
mkdir pts mapper
cd /
mount --move "$2" /dev
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/drbdts
# a host that fences itself must not take this machine with it
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
ip link set lo up
echo ready
exec cat
`;

export interface HostOptions {
  /** Join this network namespace (a path) instead of making one. */
  readonly netns?: string;
  readonly config?: string;
}

export class Host {
  readonly lab: Lab;
  readonly name: string;
  /** Disks, logs and state of this host; the same path inside and outside. */
  readonly dir: string;
  /** Control socket, a path inside the host. */
  socket: string;
  readonly logFile: string;
  configFile: string;
  /** Added to the environment of everything run in the host. */
  readonly env: NodeJS.ProcessEnv = {};
  daemon: Daemon | null = null;
  readonly #holder: ChildProcess;
  readonly #sharesNetwork: boolean;

  private constructor(lab: Lab, name: string, dir: string, holder: ChildProcess, options: HostOptions) {
    this.lab = lab;
    this.name = name;
    this.dir = dir;
    this.socket = join(dir, 'drbdtsd.sock');
    this.logFile = join(dir, 'drbdtsd.log');
    this.configFile = options.config ?? join(dir, 'drbdts.yaml');
    this.#holder = holder;
    this.#sharesNetwork = options.netns !== undefined;
  }

  static async create(lab: Lab, name: string, options: HostOptions = {}): Promise<Host> {
    const dir = join(lab.dir, name);
    const staging = join(dir, 'dev');
    mkdirSync(staging, { recursive: true });
    const join_ = options.netns === undefined ? [] : ['nsenter', `--net=${options.netns}`];
    const net = options.netns === undefined ? ['--net'] : [];
    const argv = ['--pdeathsig', 'KILL', ...join_, 'unshare', '--mount', '--uts', ...net, '--propagation', 'private', 'sh', '-c', hostScript, 'sh', name, staging];
    const holder = spawn('setpriv', argv, { stdio: ['pipe', 'pipe', 'pipe'], env: lab.env });
    const host = new Host(lab, name, dir, holder, options);
    lab.defer(`host ${name}`, () => host.#close());
    lab.note(() => host.logTail());
    let errors = '';
    holder.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
    const ready = new Promise<void>((resolve, reject) => {
      const lines = createInterface({ input: holder.stdout as NodeJS.ReadableStream });
      lines.once('line', () => resolve());
      holder.once('exit', () => reject(new Error(`host ${name} could not be made: ${errors}`)));
    });
    await ready;
    return host;
  }

  /** The process whose namespaces are the host's. */
  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** Arguments that run a program inside the host. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.pid), '--mount', '--uts', '--net', `--wdns=${this.dir}`, '--', ...argv];
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.inside(argv), { env: { ...this.lab.env, ...this.env }, ...options });
  }

  /** Runs a program that has to succeed; returns its standard output. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(argv, options);
    if (result.code !== 0) throw new Error(`${this.name}: ${describe(result)}`);
    return result.stdout;
  }

  sh(script: string, options: RunOptions = {}): Promise<string> {
    return this.must(['sh', '-c', script], options);
  }

  /** Starts a program inside the host that ends with the test at the latest. */
  spawn(argv: readonly string[], stdio: ('pipe' | 'ignore' | number)[] = ['ignore', 'pipe', 'pipe'], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const [file = '', ...args] = ['setpriv', '--pdeathsig', 'KILL', ...this.inside(argv)];
    return spawn(file, args, { stdio, env: { ...this.lab.env, ...this.env, ...env } });
  }

  /** A path of the host's own mount namespace as seen from outside. */
  outside(path: string): string {
    return `/proc/${this.pid}/root${path}`;
  }

  async startDaemon(options: DaemonOptions = {}): Promise<Daemon> {
    this.daemon = await Daemon.start(this, options);
    return this.daemon;
  }

  /** The running daemon; throws when there is none. */
  get running(): Daemon {
    if (this.daemon === null) throw new Error(`${this.name} has no daemon`);
    return this.daemon;
  }

  /** Runs `drbdts ARGS` as a user of this host would. */
  cli(...args: string[]): Promise<RunResult> {
    return this.run([process.execPath, cliMain, '--socket', this.socket, '--config', this.configFile, ...args]);
  }

  /** `drbdts ARGS` that has to succeed; returns its standard output without the last line end. */
  async drbdts(...args: string[]): Promise<string> {
    const result = await this.cli(...args);
    if (result.code !== 0) throw new Error(`${this.name}: ${describe(result)}`);
    return result.stdout.trimEnd();
  }

  mount(device: string, point: string, options = ''): Promise<string> {
    mkdirSync(point, { recursive: true });
    return this.must(['mount', ...(options === '' ? [] : ['-o', options]), device, point]);
  }

  /** Unmounts; a short-lived opener (udev, blkid) is waited for. */
  async umount(point: string): Promise<void> {
    await waitFor(`umount ${point} on ${this.name}`, async () => (await this.run(['umount', point])).code === 0, 20_000);
  }

  log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  logTail(lines = 40): string {
    const text = this.log().trimEnd();
    return text === '' ? '' : `--- log of ${this.name}\n${text.split('\n').slice(-lines).join('\n')}`;
  }

  openLogFile(file: string): number {
    return openSync(file, 'a');
  }

  openLog(): number {
    return openSync(this.logFile, 'a');
  }

  closeLog(fd: number): void {
    closeSync(fd);
  }

  /** This host's /dev/drbd* nodes with the loop devices behind them. */
  #volumeDevices(): { node: string; loop: string }[] {
    try {
      return readdirSync(this.outside('/dev'))
        .filter((name) => /^drbd\d+$/.test(name))
        .map((name) => ({ node: `/dev/${name}`, loop: `/dev/loop${minorOf(statSync(this.outside(`/dev/${name}`)).rdev)}` }));
    } catch {
      return [];
    }
  }

  /**
   * The host loses its power: daemon and keeper end without warning, mounts and devices are gone as after a boot. The link stays as it is:
   * unplug it first when the peer shall not see the connection being closed.
   */
  async powerOff(): Promise<void> {
    await this.daemon?.kill();
    this.daemon = null;
    // /run is empty after a boot
    rmSync(join(this.dir, 'state'), { recursive: true, force: true });
    for (const { node, loop } of this.#volumeDevices()) {
      await this.run(['umount', '--lazy', '--all-targets', node]);
      await run(['losetup', '-d', loop]);
      rmSync(this.outside(node), { force: true });
    }
    rmSync(this.outside('/dev/drbd'), { recursive: true, force: true });
  }

  /** Whatever still runs in its network, also what has written over its environment and so lost the mark of the lab (nginx does). */
  #endAll(): void {
    if (this.#sharesNetwork) return;
    try {
      for (const pid of processesInNetworkOf(this.pid)) if (pid !== this.pid) process.kill(pid, 'SIGKILL');
    } catch {
      // the holder, or one of them, has ended by itself
    }
  }

  async #close(): Promise<void> {
    // once more for what was started meanwhile
    for (let round = 0; round < 3; round++) this.#endAll();
    await this.powerOff();
    this.#holder.stdin?.end();
    this.#holder.kill('SIGKILL');
    await exited(this.#holder);
  }
}

/** Minor number inside a device number as stat(2) gives it. */
function minorOf(rdev: number): number {
  return (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
}
