/**
 * The last means: this node ends itself, because it can not be sure that it does not serve any more. Each step only as configured: a command, a
 * watchdog that is petted no more, a reboot by the kernel. The reason is on disk before, so that the next life can tell it.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { SelfFenceConfig } from '../config/cluster-types.js';
import type { Clock } from '../shared/clock.js';
import { drbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { runProgram } from '../shared/run-program.js';

/** The command gets this long; then the next step follows. */
const commandMs = 10_000;
const petMs = 1000;
/** Written before an orderly close, it disarms the watchdog (kernel: "magic close"). */
const magicClose = 'V';

export interface SelfFenceContext {
  readonly log: Log;
  readonly clock: Clock;
  /** directory that survives a reboot. */
  readonly stateDir: string;
  /** `/proc/sysrq-trigger`; another file in tests. */
  readonly sysrqTrigger?: string;
  /** false lets the watchdog run down. */
  healthy(): boolean;
}

const recordSchema = z.object({ time: z.string(), reason: z.string() });
export type FenceRecord = z.infer<typeof recordSchema>;

export class SelfFence {
  private readonly config: SelfFenceConfig;
  private readonly context: SelfFenceContext;
  private watchdog = -1;
  private timer: NodeJS.Timeout | undefined;
  private fencing = false;

  constructor(config: SelfFenceConfig, context: SelfFenceContext) {
    this.config = config;
    this.context = context;
  }

  /** Opens the watchdog and pets it while all is well. Throws when one is configured and can not be had. */
  arm(): void {
    if (this.config.watchdog === '' || this.watchdog >= 0) return;
    try {
      this.watchdog = openSync(this.config.watchdog, 'w');
    } catch (error) {
      throw drbdtsError('ERR_MEMBER_SETUP', {
        values: { member: 'the watchdog', reason: `${this.config.watchdog}: ${(error as Error).message}` },
        place: this.config.watchdog,
        remedy: 'Load its driver (softdog if there is no other), or end what else uses it, or leave `watchdog` out.',
        cause: error,
      });
    }
    this.pet();
    this.timer = setInterval(() => this.pet(), petMs);
  }

  /** Orderly end: the watchdog is told not to reset the node. Not once fencing has begun. */
  disarm(): void {
    clearInterval(this.timer);
    if (this.watchdog < 0 || this.fencing) return;
    try {
      writeSync(this.watchdog, magicClose);
    } catch (error) {
      this.context.log.warn(`the watchdog could not be told to stop: ${(error as Error).message}`);
    }
    closeSync(this.watchdog);
    this.watchdog = -1;
  }

  /** Ends the node. Comes back only when nothing ended it: rejects with ERR_SELF_FENCE and the reason why not. */
  async fence(reason: string): Promise<never> {
    const { log } = this.context;
    // from here on nobody pets it
    this.fencing = true;
    clearInterval(this.timer);
    const problems: string[] = [];
    log.fatal(`this node fences itself: ${reason}`);
    try {
      this.record(reason);
    } catch (error) {
      problems.push(`the reason could not be written down (${(error as Error).message})`);
    }
    if (this.config.command !== '') problems.push(await this.command(reason));
    if (this.config.reboot) problems.push(this.reboot());
    if (this.watchdog >= 0) {
      log.fatal('the watchdog will reset this node');
      problems.push('the watchdog has not done it yet');
    }
    if (this.config.command === '' && !this.config.reboot && this.watchdog < 0) problems.push('nothing is configured for it');
    throw drbdtsError('ERR_SELF_FENCE', { values: { reason, problem: problems.join('; ') } });
  }

  /** Why the life before ended itself; null when it did not. Told once. */
  lastReason(): FenceRecord | null {
    try {
      const text = readFileSync(this.recordFile, 'utf8');
      renameSync(this.recordFile, `${this.recordFile}.told`);
      return recordSchema.parse(JSON.parse(text));
    } catch {
      return null;
    }
  }

  private get recordFile(): string {
    return join(this.context.stateDir, 'self-fence.json');
  }

  private pet(): void {
    if (this.fencing || !this.context.healthy()) return;
    try {
      writeSync(this.watchdog, '\0');
    } catch (error) {
      this.context.log.error(`the watchdog can not be petted: ${(error as Error).message}`);
    }
  }

  /** On stable storage when it returns: file, name and directory. */
  private record(reason: string): void {
    const record: FenceRecord = { time: this.context.clock.date().toISOString(), reason };
    const temporary = `${this.recordFile}.new`;
    const fd = openSync(temporary, 'w', 0o600);
    try {
      writeSync(fd, `${JSON.stringify(record)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.recordFile);
    const directory = openSync(dirname(this.recordFile), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }

  /** What to say when the node still runs afterwards. */
  private async command(reason: string): Promise<string> {
    const signal = AbortSignal.timeout(commandMs);
    const result = await runProgram(['/bin/sh', '-c', this.config.command], { env: { DRBDTS_REASON: reason }, signal });
    const how = result.how === 'exit' ? `exit code ${result.exitCode}` : 'no end within its time';
    this.context.log.fatal(`self-fence command: ${how}${result.tail === '' ? '' : `: ${result.tail}`}`);
    return `the command came back with ${how}`;
  }

  private reboot(): string {
    const trigger = this.context.sysrqTrigger ?? '/proc/sysrq-trigger';
    try {
      const fd = openSync(trigger, 'a');
      // no sync before: what hangs is often what a sync would wait for
      writeSync(fd, 'b');
      closeSync(fd);
      return 'the kernel was told to reboot and has not';
    } catch (error) {
      return `the kernel can not be told to reboot (${(error as Error).message})`;
    }
  }
}
