/**
 * A service: systemd unit, LSB or heartbeat script, OCF agent or plain commands. None of them is believed: after a start and after a stop its
 * status is asked, and what is left of its processes counts.
 */
import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MemberConfig, ServiceMember } from '../../config/cluster-types.js';
import { type ProgramResult, runProgram } from '../../shared/run-program.js';
import type { MemberAction, StopLevel } from '../group-types.js';
import { aheadValidMs, type Member, type MemberContext, memberError, orAborted, type ProbeResult, reasonOf, saying, setupError, timeError } from './member.js';
import { ocfMeaning, ocfRoot, ocfTimeouts, type ServiceAction, type ServiceKind, type ServiceStatus, serviceKind } from './service-kinds.js';
import { ServiceProcesses } from './service-processes.js';
import { cutResource } from './volume.js';

/** A service that says it is started gets this long until its status agrees, and one that is stopped until its last process is gone. */
const settleMs = 3000;
const pollMs = 100;
/** Most are quick: the first pauses are shorter. */
const firstPollMs = 10;
/** How long a service's last processes are waited for before its status is asked after a stop. */
const emptyMs = 200;
const emptyPollMs = 4;
/** A killed service's own stop, which then only tidies up. */
const tidyMs = 5000;
/** Output of what a start leaves behind goes to a file that never gets much longer. */
const outputBytesMax = 256 * 1024;
const outputPollMs = 20;
const tailBytes = 2048;

export class Service implements Member {
  readonly config: ServiceMember & MemberConfig;
  private readonly context: MemberContext;
  private readonly kind: ServiceKind;
  private readonly processes: ServiceProcesses;
  /** exists while it was started from here; `populated` when it had processes of its own then. */
  private readonly stateFile: string;
  private readonly outputFile: string;
  /** its status as it was when the group began to start; null when that could not be told. */
  private ahead: { readonly sinceMs: number; readonly status: Promise<ServiceStatus | null> } | null = null;

  constructor(config: ServiceMember & MemberConfig, context: MemberContext, root: string = ocfRoot) {
    this.config = config;
    this.context = context;
    this.kind = serviceKind(config.service, root);
    const id = `${context.node}.${context.group}.${config.name}`;
    const file = id.replace(/[^\w.-]/g, '_');
    this.processes = new ServiceProcesses(context.cgroupParent, id, context.clock);
    this.stateFile = join(context.runDir, `${file}.started`);
    this.outputFile = join(context.runDir, `${file}.out`);
  }

  close(): void {}

  async probe(signal: AbortSignal): Promise<ProbeResult> {
    // what is not installed does not run
    if (this.kind.missing() !== '') return this.processes.pids().length === 0 ? 'stopped' : `failed:${this.kind.missing()}`;
    const status = await this.status('probe', signal);
    if (status === 'running') return 'started';
    const left = status === 'stopped' ? this.processes.describe() : '';
    return left === '' ? status : `failed:it says that it is stopped, and these are left: ${left}`;
  }

  prepare(): void {
    // what lies on a file system that is not mounted yet is looked at in its time
    if (this.kind.missing() !== '') return;
    const status = this.statusBeforeStart(AbortSignal.timeout(this.config.monitorMs)).catch(() => null);
    this.ahead = { sinceMs: this.context.clock.nowMs(), status };
  }

  async start(signal: AbortSignal): Promise<void> {
    const { name, startMs } = this.config;
    this.requireInstalled();
    if (!(await this.wasStopped(signal)) && (await this.statusBeforeStart(signal)) === 'running') return;
    const result = await this.run('start', 'start', startMs, signal);
    if (result.exitCode !== 0) throw memberError(name, 'start', this.saying(result));
    this.context.log.debug(`${name}: start said: ${saying(result)}`);
    writeFileSync(this.stateFile, this.hasMonitor() ? '' : 'believed');
    const status = await this.settled('start', 'running', signal);
    if (status !== 'running') {
      throw memberError(name, 'start', `it says that it is started, and its status ${status === 'stopped' ? 'that it is not' : `is ${status.slice(7)}`}`);
    }
    if (this.processes.pids().length > 0) writeFileSync(this.stateFile, 'populated');
  }

  async stop(level: StopLevel, signal: AbortSignal): Promise<void> {
    const { name } = this.config;
    if (level === 'cut') await this.cut(signal);
    if (level !== 'orderly') await this.end(signal);
    if (this.kind.missing() === '') await this.stopOnce(level, signal);
    let left = '';
    await this.until(signal, async () => {
      left = this.processes.describe();
      return left === '';
    });
    if (left !== '') throw memberError(name, 'stop', `it says that it is stopped, and these are left: ${left}`);
    this.processes.release();
    rmSync(this.stateFile, { force: true });
    rmSync(this.outputFile, { force: true });
  }

  async monitor(signal: AbortSignal): Promise<void> {
    this.boundOutput();
    const status = await this.status('monitor', signal);
    if (status !== 'running') throw memberError(this.config.name, 'monitor', status === 'stopped' ? 'it does not run' : status.slice(7));
    if (this.wasPopulated() && this.processes.pids().length === 0) {
      throw memberError(this.config.name, 'monitor', 'its status says that it runs, and no process of it is left');
    }
  }

  /** The timeouts that an OCF agent advises in its meta-data, empty for other kinds. */
  async advisedTimeouts(signal: AbortSignal): Promise<ReturnType<typeof ocfTimeouts>> {
    if (this.config.service.kind !== 'ocf' || this.kind.missing() !== '') return {};
    const call = this.kind.call('status', { member: this.config.name, timeoutMs: 0, intervalMs: 0 });
    const [agent = ''] = call?.argv ?? [];
    const result = await runProgram([agent, 'meta-data'], { env: call?.env ?? {}, signal });
    return result.exitCode === 0 ? ocfTimeouts(result.stdout.toString('utf8')) : {};
  }

  private async stopOnce(level: StopLevel, signal: AbortSignal): Promise<void> {
    const { name, stopMs } = this.config;
    // after a kill there is little left to do, and a script that hangs must not use up the time
    const limit = new AbortController();
    const onAbort = (): void => limit.abort(signal.reason);
    signal.addEventListener('abort', onAbort);
    const timer = level === 'orderly' ? undefined : setTimeout(() => limit.abort('its time is over'), Math.min(tidyMs, stopMs / 2));
    const result = await this.run('stop', 'stop', stopMs, limit.signal)
      .catch((error: unknown) => {
        if (level === 'orderly' || signal.aborted) throw error;
        return null;
      })
      .finally(() => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      });
    if (!this.hasMonitor()) rmSync(this.stateFile, { force: true });
    await this.emptied(signal);
    const status = await this.settled('stop', 'stopped', signal);
    const failed = result !== null && result.exitCode !== 0;
    if (failed && (status !== 'stopped' || !this.kind.forgivesStop || !this.hasMonitor())) throw memberError(name, 'stop', this.saying(result));
    if (status !== 'stopped') throw memberError(name, 'stop', status === 'running' ? 'it says that it is stopped, and still runs' : status.slice(7));
    if (failed) this.context.log.warn(`${name}: its stop gave an error, and it is stopped: ${saying(result)}`);
  }

  /** I/O on its volumes gets errors from now on, so that a process that waits for it can end. */
  private async cut(signal: AbortSignal): Promise<void> {
    const { control, volumes, log } = this.context;
    for (const volume of volumes) {
      try {
        await cutResource(control, volume, signal);
        log.warn(`${this.config.name}: ${volume} is cut off from its users`);
      } catch (error) {
        // what does not use it can still be ended
        log.error(`${this.config.name}: ${volume} can not be cut: ${reasonOf(error)}`);
      }
    }
  }

  /** Ends everything that belongs to it. */
  private async end(signal: AbortSignal): Promise<void> {
    const { name, service } = this.config;
    if (service.kind === 'systemd') {
      const call = this.kind.call('stop', { member: name, timeoutMs: 0, intervalMs: 0 });
      const unit = call?.argv.at(-1) ?? service.unit;
      await runProgram(['systemctl', '--no-ask-password', 'kill', '--signal=SIGKILL', '--', unit], { signal });
      return;
    }
    const before = this.processes.describe();
    if (before !== '') this.context.log.warn(`${name}: killed: ${before}`);
    const left = await this.processes.kill(signal);
    if (left !== '') throw timeError(name, 'stop', `not even SIGKILL ends ${left}`);
  }

  private hasMonitor(): boolean {
    return this.config.service.kind !== 'command' || this.config.service.monitor !== '';
  }

  private wasPopulated(): boolean {
    try {
      return this.config.service.kind !== 'systemd' && readFileSync(this.stateFile, 'utf8') === 'populated';
    } catch {
      return false;
    }
  }

  private requireInstalled(): void {
    const missing = this.kind.missing();
    if (missing !== '') throw setupError(this.config.name, missing);
  }

  /** Whether `prepare` has found it stopped, not long ago. Any other answer is asked for again: it may be another one by now. */
  private async wasStopped(signal: AbortSignal): Promise<boolean> {
    const { ahead } = this;
    this.ahead = null;
    if (ahead === null) return false;
    const status = await orAborted(ahead.status, signal);
    return status === 'stopped' && this.context.clock.nowMs() - ahead.sinceMs < aheadValidMs;
  }

  /** The status; a unit that systemd does not know, or that is masked, is a fault of the set-up. */
  private async statusBeforeStart(signal: AbortSignal): Promise<ServiceStatus> {
    if (this.config.service.kind !== 'systemd') return this.status('start', signal);
    const result = await this.run('status', 'start', this.config.monitorMs, signal);
    const text = result.stdout.toString('utf8');
    const state = /^LoadState=(.*)$/m.exec(text)?.[1] ?? '';
    if (result.exitCode !== 0 || state === '') throw setupError(this.config.name, `systemctl: ${saying(result)}`);
    if (state !== 'loaded') throw setupError(this.config.name, `systemd says that the unit ${this.config.service.unit} is ${state}`);
    return this.kind.status(result.exitCode, text);
  }

  private async status(action: MemberAction, signal: AbortSignal): Promise<ServiceStatus> {
    if (!this.hasMonitor()) return existsSync(this.stateFile) ? 'running' : 'stopped';
    const result = await this.run('status', action, this.config.monitorMs, signal);
    const text = this.config.service.kind === 'lsb' ? result.tail : result.stdout.toString('utf8').trim() || result.tail;
    const status = this.kind.status(result.exitCode, text);
    if (this.config.service.kind === 'ocf') {
      if (result.exitCode >= 190) this.context.log.warn(`${this.config.name}: ${ocfMeaning(result.exitCode)}: ${result.tail}`);
      // "not installed" excuses only a probe
      if (result.exitCode === 5 && action !== 'probe' && action !== 'stop') return 'failed:not installed';
    }
    return status;
  }

  private async run(what: ServiceAction, action: MemberAction, timeoutMs: number, signal: AbortSignal): Promise<ProgramResult> {
    const { name, monitorEveryMs } = this.config;
    const intervalMs = action === 'probe' ? 0 : Math.max(monitorEveryMs, 1000);
    const call = this.kind.call(what, { member: name, timeoutMs, intervalMs });
    if (call === null) return { exitCode: 0, how: 'exit', stdout: Buffer.alloc(0), tail: '' };
    const entering = what === 'start' && this.config.service.kind !== 'systemd';
    const env = { ...call.env, LC_ALL: 'C', ...(entering ? this.processes.env : {}) };
    const watch = entering ? setInterval(() => this.boundOutput(), outputPollMs) : undefined;
    const argv = entering ? this.processes.enter(call.argv) : call.argv;
    let result: ProgramResult;
    try {
      result = await runProgram(argv, { env, signal, ...(entering ? { outputFile: this.outputFile } : {}) });
    } finally {
      clearInterval(watch);
    }
    if (entering) result = { ...result, tail: this.outputTail() };
    if (result.how !== 'exit') throw timeError(name, action, `${call.argv.at(-1) ?? what}: ${saying(result)}`);
    return result;
  }

  private saying(result: ProgramResult): string {
    if (this.config.service.kind !== 'ocf') return saying(result);
    return `${ocfMeaning(result.exitCode)}${result.tail === '' ? '' : `: ${result.tail.split('\n').slice(-3).join(' | ')}`}`;
  }

  /** Waits a moment for its processes to end: most do, and a status asked for before that is asked for in vain. */
  private async emptied(signal: AbortSignal): Promise<void> {
    const { clock } = this.context;
    const end = clock.nowMs() + emptyMs;
    while (this.processes.isPopulated && clock.nowMs() < end && !signal.aborted) await clock.sleep(emptyPollMs, signal).catch(() => undefined);
  }

  /** The status once it is the wanted one, or what it is after a while. */
  private async settled(action: MemberAction, wanted: ServiceStatus, signal: AbortSignal): Promise<ServiceStatus> {
    let status = wanted;
    await this.until(signal, async () => {
      status = await this.status(action, signal);
      return status === wanted;
    });
    return status;
  }

  /** Asks until it is true, for a while. */
  private async until(signal: AbortSignal, condition: () => Promise<boolean>): Promise<void> {
    const { clock } = this.context;
    const end = clock.nowMs() + settleMs;
    let waitMs = firstPollMs;
    while (!(await condition()) && clock.nowMs() < end && !signal.aborted) {
      await clock.sleep(waitMs, signal).catch(() => undefined);
      waitMs = Math.min(pollMs, waitMs * 2);
    }
  }

  private boundOutput(): void {
    try {
      if (statSync(this.outputFile).size > outputBytesMax) truncateSync(this.outputFile);
    } catch {
      // never made
    }
  }

  private outputTail(): string {
    try {
      const text = readFileSync(this.outputFile);
      return text.subarray(Math.max(0, text.length - tailBytes)).toString('utf8').replaceAll('\0', '').trim();
    } catch {
      return '';
    }
  }
}
