/**
 * A host that is switched on: PID and IPC namespaces of their own, with an init that collects orphans, and /etc, /usr and /var laid over
 * the machine's, so that what a cluster manager writes stays in this host. Those layers survive a power failure, as disks do.
 *
 * drbdtsd itself runs in the host, not in here: same network, host name, /dev and /run, but it is ended by `Host.powerOff`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { describe, exited, run, type RunOptions, type RunResult } from './exec.js';
import type { Host } from './host.js';
import { cliMain, drbdadmMain, projectRoot } from './paths.js';
import { childrenOf } from './processes.js';

const layered = ['etc', 'usr', 'var'];

/** Lays the directories over, then is init: bash, which collects orphans, until its input ends. */
const initScript = `
set -e
mount --make-rprivate /
for dir in ${layered.join(' ')}; do
  mkdir -p "$1/root/$dir" "$1/work/$dir"
  mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$1/root/$dir,workdir=$1/work/$dir" "/$dir"
done
find /run -mindepth 1 -maxdepth 1 ! -name drbdts -exec rm -rf {} +
mkdir -p /run/lock
echo ready
while read -r line; do :; done
`;

/** A file of the host's own layer, as written by its administrator. `path` is absolute and below /etc, /usr or /var. */
export function installFile(host: Host, path: string, text: string, mode = 0o644): void {
  const file = join(host.dir, 'root', path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
}

/** Puts a copy of a file of the machine into the host's layer. */
export function installCopy(host: Host, path: string, source: string, mode = 0o755): void {
  const file = join(host.dir, 'root', path);
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(source, file);
  chmodSync(file, mode);
}

/** What resources/docs/cluster-managers.md says to install: the command, the drbdadm shim and the agent. */
export function installForClusterManagers(host: Host): void {
  for (const [path, target] of [
    ['/usr/local/sbin/drbdts', cliMain],
    ['/usr/sbin/drbdadm', drbdadmMain],
  ] as const) {
    const file = join(host.dir, 'root', path);
    mkdirSync(dirname(file), { recursive: true });
    symlinkSync(target, file);
  }
  installCopy(host, '/usr/lib/ocf/resource.d/drbdts/drbdts', join(projectRoot, 'resources/ocf/drbdts'));
}

export class Boot {
  readonly host: Host;
  readonly #unshare: ChildProcess;

  private constructor(host: Host, child: ChildProcess) {
    this.host = host;
    this.#unshare = child;
  }

  static async start(host: Host): Promise<Boot> {
    const argv = ['--pdeathsig', 'KILL', ...host.inside(['unshare', '--mount', '--pid', '--ipc', '--fork', '--kill-child', '--mount-proc'])];
    const child = spawn('setpriv', [...argv, 'bash', '-c', initScript, 'init', host.dir], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...host.lab.env, ...host.env },
    });
    const boot = new Boot(host, child);
    host.lab.defer(`boot of ${host.name}`, () => boot.kill());
    let errors = '';
    child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).once('line', () => resolve());
      child.once('exit', () => reject(new Error(`${host.name} did not boot: ${errors}`)));
    });
    return boot;
  }

  /** Process id of init, seen from outside. */
  get pid(): number {
    return childrenOf(this.#unshare.pid ?? 0)[0] ?? 0;
  }

  #inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.pid), '--mount', '--uts', '--net', '--ipc', '--pid', `--wdns=${this.host.dir}`, '--', ...argv];
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.#inside(argv), { env: { ...this.host.lab.env, ...this.host.env }, ...options });
  }

  /** Runs a program that has to succeed; returns its standard output. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(argv, options);
    if (result.code !== 0) throw new Error(`${this.host.name}: ${describe(result)}`);
    return result.stdout;
  }

  sh(script: string, options: RunOptions = {}): Promise<string> {
    return this.must(['bash', '-c', script], options);
  }

  /** Starts a program that runs until the power fails. Its output goes to `log` below the host's directory. */
  async spawn(argv: readonly string[], log: string): Promise<void> {
    await this.must(['bash', '-c', 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &', 'spawn', join(this.host.dir, log), ...argv]);
  }

  /** Every process in here ends at once; mounts made in here are gone. drbdtsd is not in here. */
  async kill(): Promise<void> {
    const { pid } = this;
    if (pid !== 0) process.kill(pid, 'SIGKILL');
    await exited(this.#unshare);
  }
}

/** The whole node loses its power: cluster manager, services and drbdtsd at once. */
export async function powerOff(boot: Boot): Promise<void> {
  // first drbdtsd, so that nothing is written back while the mounts go
  await boot.host.daemon?.kill();
  await boot.kill();
  await boot.host.powerOff();
}
