/**
 * Runs a program that nobody trusts: in a session of its own, with bounded output and an end. It is over when the program itself ends, not
 * when the last process that inherited its output does, so a script that leaves a daemon behind does not hang us.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the program and all of its process group: SIGTERM, after graceMs SIGKILL. Reason `hardAbort`: SIGKILL at once. */
  readonly signal?: AbortSignal;
  readonly graceMs?: number;
  /** Output goes there (appended) instead of through a pipe: for programs that leave daemons behind, which a closed pipe would end. */
  readonly outputFile?: string;
}

export interface ProgramResult {
  /** 127: could not be started; 128: ended by a signal. */
  readonly exitCode: number;
  /** `hangs`: told to end, and not even SIGKILL helped in time. */
  readonly how: 'exit' | 'aborted' | 'hangs';
  /** the first 64 KiB of standard output. */
  readonly stdout: Buffer;
  /** the last 4 KiB of both outputs, as text, for messages. */
  readonly tail: string;
}

/** The reason of an abort that gives no grace. */
export const hardAbort = 'at once';

const stdoutBytesMax = 64 * 1024;
const tailBytesMax = 4096;
const defaultGraceMs = 1000;
/** After SIGKILL a process that is not gone hangs in the kernel. */
const hangMs = 500;
/** After the end of the program, for output that is still in the pipe. */
const drainMs = 100;

/** Signals a whole process group; one that is gone is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ended meanwhile
  }
}

/** Collects what matters of an endless stream. */
class Output {
  readonly head: Buffer[] = [];
  headBytes = 0;
  tail = Buffer.alloc(0);

  take(chunk: Buffer, isStdout: boolean): void {
    if (isStdout && this.headBytes < stdoutBytesMax) {
      const part = chunk.subarray(0, stdoutBytesMax - this.headBytes);
      this.head.push(part);
      this.headBytes += part.length;
    }
    const joined = chunk.length >= tailBytesMax ? chunk : Buffer.concat([this.tail, chunk]);
    this.tail = Buffer.from(joined.subarray(Math.max(0, joined.length - tailBytesMax)));
  }
}

function start(argv: readonly string[], options: ProgramOptions): ChildProcess {
  const [file = '', ...args] = argv;
  const fd = options.outputFile === undefined ? null : openSync(options.outputFile, 'a', 0o600);
  try {
    return spawn(file, args, {
      env: { ...process.env, ...options.env },
      detached: true,
      cwd: '/',
      stdio: ['ignore', fd ?? 'pipe', fd ?? 'pipe'],
    });
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** Runs `argv` to its end. Never rejects; the time limit is the signal's. */
export function runProgram(argv: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  const output = new Output();
  const result = (exitCode: number, how: ProgramResult['how']): ProgramResult => ({
    exitCode,
    how,
    stdout: Buffer.concat(output.head),
    tail: output.tail.toString('utf8').trim(),
  });
  return new Promise((resolve) => {
    const { signal } = options;
    if (signal?.aborted === true) {
      resolve(result(128, 'aborted'));
      return;
    }
    let child: ChildProcess;
    try {
      child = start(argv, options);
    } catch (error) {
      output.take(Buffer.from((error as Error).message), false);
      resolve(result(127, 'exit'));
      return;
    }
    const timers: NodeJS.Timeout[] = [];
    let over = false;
    const finish = (exitCode: number, how: ProgramResult['how']): void => {
      if (over) return;
      over = true;
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      // who inherited the pipe may go on writing to it; nobody reads that, and it holds nobody up
      for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref?: () => void } | null)?.unref?.();
      child.unref();
      resolve(result(exitCode, how));
    };
    const after = (ms: number, work: () => void): void => {
      timers.push(setTimeout(work, ms));
    };
    const kill = (): void => {
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      after(hangMs, () => finish(128, 'hangs'));
    };
    const onAbort = (): void => {
      if (signal?.reason === hardAbort) {
        kill();
        return;
      }
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGTERM');
      after(options.graceMs ?? defaultGraceMs, kill);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout?.on('data', (chunk: Buffer) => output.take(chunk, true));
    child.stderr?.on('data', (chunk: Buffer) => output.take(chunk, false));
    child.once('error', (error) => {
      output.take(Buffer.from(error.message), false);
      finish(127, 'exit');
    });
    child.once('exit', (code) => {
      const aborted = signal?.aborted === true;
      // what it started goes with it
      if (aborted && child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
      const end = (): void => finish(code ?? 128, aborted ? 'aborted' : 'exit');
      child.once('close', end);
      after(drainMs, end);
    });
  });
}
