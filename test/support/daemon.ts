/** One drbdtsd, started and ended by a test, with or without the keeper around it. */
import type { ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import type { ResourceStatus, StatusReply, VolumeStatus } from '../../src/control/messages.js';
import { exited } from './exec.js';
import type { Host } from './host.js';
import { daemonMain, keeperBinary } from './paths.js';
import { childrenOf, isAlive } from './processes.js';
import { waitFor } from './wait.js';

export interface DaemonOptions {
  /** Run under drbdts-keeper, which holds the open devices over a restart. */
  readonly keeper?: boolean;
  /** The keeper gives up after this time without a daemon. */
  readonly abortAfterS?: number;
  readonly nodeArgs?: readonly string[];
  /** Name of the node in the configuration; default the host's. */
  readonly node?: string;
  readonly stateDir?: string;
  readonly socket?: string;
  /** Do not wait until it answers. */
  readonly noWait?: boolean;
  /** Put the daemon into this cgroup (a directory with cgroup.procs) before it starts. */
  readonly cgroup?: string;
}

/** Expected values; what is left out is not looked at. */
export interface VolumeExpectation {
  readonly connection?: VolumeStatus['connection'];
  readonly role?: VolumeStatus['role'];
  readonly peerRole?: VolumeStatus['peerRole'];
  readonly disk?: VolumeStatus['disk'];
  readonly peerDisk?: VolumeStatus['peerDisk'];
  readonly outOfSyncKib?: number;
  readonly deviceUp?: boolean;
}

export class Daemon {
  readonly host: Host;
  readonly child: ChildProcess;
  readonly keeper: boolean;
  readonly socket: string;

  private constructor(host: Host, child: ChildProcess, keeper: boolean, socket: string) {
    this.host = host;
    this.child = child;
    this.keeper = keeper;
    this.socket = socket;
  }

  static async start(host: Host, options: DaemonOptions): Promise<Daemon> {
    const socket = options.socket ?? host.socket;
    const program = [
      process.execPath, ...(options.nodeArgs ?? []), daemonMain, '--config', host.configFile, '--socket', socket,
      '--node', options.node ?? host.name, '--state-dir', options.stateDir ?? `${host.dir}/state`, '--register-dir', `${host.dir}/register`, '--foreground',
    ];
    const abort = options.abortAfterS === undefined ? [] : ['--abort-after', String(options.abortAfterS)];
    const kept = options.keeper === true ? [keeperBinary, ...abort, '--', ...program] : program;
    const argv = options.cgroup === undefined ? kept : ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', options.cgroup, ...kept];
    const log = host.openLog();
    const child = host.spawn(argv, ['ignore', log, log]);
    host.closeLog(log);
    // the socket may lie in the host's own /run
    const daemon = new Daemon(host, child, options.keeper === true, host.outside(socket));
    if (options.noWait !== true) await daemon.ready();
    return daemon;
  }

  /** Waits until the control API answers. Throws with the log when the daemon ends instead. */
  async ready(): Promise<void> {
    await waitFor(
      `drbdtsd of ${this.host.name} answers`,
      async () => {
        if (!this.keeper && (this.child.exitCode !== null || this.child.signalCode !== null)) return 'ended';
        await this.status();
        return 'up';
      },
      30_000,
      () => this.host.logTail(),
    ).then((state) => {
      if (state === 'ended') throw new Error(`drbdtsd of ${this.host.name} ended with ${this.child.exitCode}\n${this.host.logTail()}`);
    });
  }

  /** Process id of drbdtsd itself, which under a keeper is the keeper's child. */
  get pid(): number {
    const own = this.child.pid ?? 0;
    return this.keeper ? (childrenOf(own)[0] ?? 0) : own;
  }

  /** Waits until it ends by itself; returns the exit code. */
  wait(): Promise<number> {
    return exited(this.child);
  }

  /** The end of drbdtsd without any warning; under a keeper only of drbdtsd. Returns when the process is gone. */
  async crash(): Promise<void> {
    const pid = this.pid;
    if (pid === 0) throw new Error(`drbdtsd of ${this.host.name} does not run`);
    process.kill(pid, 'SIGKILL');
    if (!this.keeper) await exited(this.child);
    else await waitFor(`drbdtsd ${pid} is gone`, () => !isAlive(pid));
  }

  /** Ends drbdtsd and its keeper at once. */
  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const daemon = this.pid;
    this.child.kill('SIGKILL');
    if (this.keeper && daemon !== 0 && isAlive(daemon)) process.kill(daemon, 'SIGKILL');
    await exited(this.child);
  }

  /** Asks it to end (SIGTERM); returns the exit code. */
  stop(): Promise<number> {
    this.child.kill('SIGTERM');
    return exited(this.child);
  }

  freeze(): void {
    process.kill(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  /** A call of the control API. */
  get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.socket, path, timeout: 10_000 }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => (body += text));
        response.on('end', () => (response.statusCode === 200 ? resolve(body) : reject(new Error(`${path}: ${response.statusCode} ${body}`))));
        response.on('error', reject);
      });
      call.on('timeout', () => call.destroy(new Error(`${path}: no answer`)));
      call.on('error', reject);
      call.end();
    });
  }

  async status(): Promise<StatusReply> {
    return JSON.parse(await this.get('/v1/status')) as StatusReply;
  }

  async resource(name = 'r0'): Promise<ResourceStatus> {
    const found = (await this.status()).resources.find((resource) => resource.name === name);
    if (found === undefined) throw new Error(`${this.host.name} has no resource ${name}`);
    return found;
  }

  async volume(number = 0, resource = 'r0'): Promise<VolumeStatus> {
    const found = (await this.resource(resource)).volumes.find((volume) => volume.volume === number);
    if (found === undefined) throw new Error(`${resource} has no volume ${number}`);
    return found;
  }

  /** Waits until every volume (or the given one) of the resource is as expected. */
  async waitState(expected: VolumeExpectation, timeoutMs = 60_000, volume?: number, resource = 'r0'): Promise<void> {
    const wanted = Object.entries(expected);
    const matches = (status: VolumeStatus): boolean => wanted.every(([key, value]) => status[key as keyof VolumeExpectation] === value);
    await waitFor(
      `${this.host.name}: ${JSON.stringify(expected)}`,
      async () => {
        const { up, volumes } = await this.resource(resource);
        return up && volumes.filter((status) => volume === undefined || status.volume === volume).every(matches);
      },
      timeoutMs,
      async () => {
        try {
          const status = await this.resource(resource);
          return JSON.stringify(
            status.volumes.map(({ volume: number, connection, role, peerRole, disk, peerDisk, outOfSyncKib, reason }) => ({
              number, connection, role, peerRole, disk, peerDisk, outOfSyncKib, reason, why: status.connectionReason,
            })),
          );
        } catch (error) {
          return String(error);
        }
      },
    );
  }
}
