/**
 * Notify scripts and FIFOs: in the order of the events, one script of an instance at a time, each at least once; a state that is reached again after
 * a restart of the process is told again. Scripts run with a time limit, and their last exit status and output are kept for the status.
 */
import { closeSync, constants, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import type { VrrpNotify } from '../../config/vrrp-types.js';
import type { Log } from '../../shared/log.js';
import { runProgram } from '../../shared/run-program.js';
import { asUser } from './as-user.js';

export type NotifyState = 'MASTER' | 'BACKUP' | 'FAULT' | 'STOP' | 'MASTER_RX_LOWER_PRI';

export interface ScriptResult {
  /** `notify master`, `notify any`. */
  readonly script: string;
  readonly command: string;
  readonly user: string;
  readonly exitCode: number;
  readonly output: string;
  readonly tookMs: number;
}

export interface NotifierOptions {
  readonly type: 'INSTANCE' | 'GROUP';
  readonly name: string;
  readonly notify: VrrpNotify;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly nowMs: () => number;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
}

const keys: Readonly<Record<NotifyState, keyof VrrpNotify>> = { MASTER: 'master', BACKUP: 'backup', FAULT: 'fault', STOP: 'stop', MASTER_RX_LOWER_PRI: 'masterRxLowerPri' };
const scriptNames: Readonly<Record<NotifyState, string>> = { MASTER: 'notify master', BACKUP: 'notify backup', FAULT: 'notify fault', STOP: 'notify stop', MASTER_RX_LOWER_PRI: 'notify master-rx-lower-pri' };
const outputMax = 500;

export class Notifier {
  readonly #options: NotifierOptions;
  readonly #results = new Map<string, ScriptResult>();
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;
  #fifo: number | null = null;
  #fifoIsOurs = false;
  #fifoComplained = false;

  constructor(options: NotifierOptions) {
    this.#options = options;
  }

  /** Makes and opens the FIFO. */
  async start(): Promise<void> {
    const { fifo } = this.#options.notify;
    if (fifo === '') return;
    try {
      if (statSync(fifo, { throwIfNoEntry: false }) === undefined) {
        const { exitCode, tail } = await runProgram(['mkfifo', '-m', '600', fifo]);
        if (exitCode !== 0) throw new Error(tail);
        this.#fifoIsOurs = true;
      }
      if (!statSync(fifo).isFIFO()) throw new Error('it is no FIFO');
      // open for reading as well: lines do not need a reader
      this.#fifo = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
    } catch (error) {
      this.#options.log.error(`${this.#options.name}: the FIFO ${fifo} can not be used: ${(error as Error).message}`);
    }
  }

  /** Tells of a state. Returns at once. */
  tell(state: NotifyState, priority: number): void {
    const { type, name, notify } = this.#options;
    const own = notify[keys[state]];
    const args = [type, name, state, String(priority)];
    if (typeof own === 'string' && own !== '') this.#add(scriptNames[state], own, []);
    if (notify.any !== '') this.#add('notify any', notify.any, args);
    this.#line(`${type} "${name}" ${state} ${priority}`);
  }

  /** The effective priority is another one: for the FIFO only. */
  tellPriority(isMaster: boolean, priority: number): void {
    const { type, name, notify } = this.#options;
    if (notify.fifoPriorities) this.#line(`${type} "${name}" ${isMaster ? 'MASTER' : 'BACKUP'}_PRIORITY ${priority}`);
  }

  /** Resolves when all scripts that were started have ended. */
  idle(): Promise<void> {
    return this.#queue;
  }

  get results(): ScriptResult[] {
    return [...this.#results.values()];
  }
  /** Scripts that wait for others of this instance, the running one included. */
  get waiting(): number {
    return this.#waiting;
  }

  close(): void {
    if (this.#fifo === null) return;
    closeSync(this.#fifo);
    this.#fifo = null;
    if (this.#fifoIsOurs) unlinkSync(this.#options.notify.fifo);
  }

  #add(script: string, command: string, args: readonly string[]): void {
    this.#waiting += 1;
    this.#queue = this.#queue.then(() => this.#run(script, command, args));
  }

  async #run(script: string, command: string, args: readonly string[]): Promise<void> {
    const { name, notify, timeoutMs, nowMs, log } = this.#options;
    const begin = nowMs();
    const user = await asUser(notify.user);
    const result =
      user.problem !== ''
        ? { exitCode: 126, how: 'exit' as const, tail: user.problem }
        : // the arguments come last, as keepalived adds them
          await runProgram([...user.prefix, '/bin/sh', '-c', args.length === 0 ? command : `${command} "$@"`, 'sh', ...args], timeoutMs > 0 ? { signal: AbortSignal.timeout(timeoutMs) } : {});
    const tookMs = Math.round(nowMs() - begin);
    const output = result.how === 'exit' ? result.tail : `ended after ${tookMs} ms; ${result.tail}`;
    this.#results.set(script, { script, command, user: notify.user, exitCode: result.exitCode, output: output.slice(-outputMax), tookMs });
    this.#waiting -= 1;
    if (result.exitCode !== 0) log.warn(`${name}: ${script} (${command}) ended with ${result.exitCode}: ${output.slice(-outputMax)}`);
  }

  #line(text: string): void {
    if (this.#fifo === null) return;
    try {
      writeSync(this.#fifo, `${text}\n`);
      this.#fifoComplained = false;
    } catch (error) {
      if (!this.#fifoComplained) this.#options.log.warn(`${this.#options.name}: a line for the FIFO ${this.#options.notify.fifo} is lost: ${(error as Error).message}`);
      this.#fifoComplained = true;
    }
  }
}
