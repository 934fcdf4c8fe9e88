/** Outer addresses (ipfail's purpose): one `ping` process per target; a target that has not answered for deadping counts as lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { isIP } from 'node:net';
import { createInterface } from 'node:readline';
import type { Clock } from '../shared/clock.js';
import type { Log } from '../shared/log.js';

const restartMs = 2000;

export interface PingOptions {
  targets: readonly string[];
  deadpingMs: number;
  clock: Pick<Clock, 'nowMs'>;
  log: Pick<Log, 'info' | 'warn'>;
  onChange(): void;
}

interface Target {
  address: string;
  lastMs: number;
  lost: boolean;
  child: ChildProcess | null;
}

export class PingTargets {
  readonly #options: PingOptions;
  readonly #targets: Target[];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: PingOptions) {
    this.#options = options;
    // nobody counts as lost before it had the time to answer
    this.#targets = options.targets.map((address) => ({ address, lastMs: options.clock.nowMs(), lost: false, child: null }));
  }

  start(): void {
    for (const target of this.#targets) this.#run(target);
    if (this.#targets.length > 0) this.#timer = setInterval(() => this.#look(), Math.max(50, this.#options.deadpingMs / 8));
  }

  /** How many targets do not answer. */
  get lost(): number {
    return this.#targets.filter(({ lost }) => lost).length;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { child } of this.#targets) child?.kill('SIGKILL');
  }

  #run(target: Target): void {
    if (this.#closed) return;
    const { deadpingMs } = this.#options;
    const intervalS = Math.max(0.1, deadpingMs / 4000).toFixed(2);
    // only what the pings of iputils and of inetutils have in common
    const child = spawn(isIP(target.address) === 6 ? 'ping6' : 'ping', ['-n', '-i', intervalS, '-W', '1', target.address], { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C' } });
    target.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (/bytes from .*icmp_seq=/.test(line)) {
        target.lastMs = this.#options.clock.nowMs();
        if (target.lost) this.#look();
      }
    });
    let ended = false;
    const again = (): void => {
      if (ended) return;
      ended = true;
      target.child = null;
      if (!this.#closed) setTimeout(() => this.#run(target), restartMs).unref();
    };
    child.once('error', (error) => {
      this.#options.log.warn(`ping ${target.address} could not be started: ${error.message}`);
      again();
    });
    child.once('exit', again);
  }

  #look(): void {
    const { deadpingMs, clock, log, onChange } = this.#options;
    let changed = false;
    for (const target of this.#targets) {
      const lost = clock.nowMs() - target.lastMs > deadpingMs;
      if (lost === target.lost) continue;
      target.lost = lost;
      changed = true;
      if (lost) log.warn(`ping target ${target.address} does not answer`);
      else log.info(`ping target ${target.address} answers again`);
    }
    if (changed) onChange();
  }
}
