/** Running programs: collected output, exit status as a value, and a time limit on everything. */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What was run, for messages. */
  readonly command: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** The program is killed after this time and the code is 124; default 120 s. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. A program that cannot be started gives code 127. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file = '', ...args] = argv;
  return new Promise((resolve) => {
    const spawnOptions: SpawnOptions = { stdio: ['pipe', 'pipe', 'pipe'], env: options.env ?? process.env };
    if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
    const child = spawn(file, args, spawnOptions);
    let stdout = '';
    let stderr = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, options.timeoutMs ?? 120_000);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const finish = (code: number): void => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr, command: argv.join(' ') });
    };
    child.on('error', (error) => {
      stderr += error.message;
      finish(127);
    });
    child.on('close', (code, signal) => finish(timedOut ? 124 : (code ?? (signal === null ? 1 : 128))));
    child.stdin?.on('error', () => undefined).end(options.input ?? '');
  });
}

/** Runs a program that has to succeed; returns its standard output. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new Error(describe(result));
  return result.stdout;
}

export function describe(result: RunResult): string {
  return `exit ${result.code}: ${result.command}\n${result.stdout}${result.stderr}`.trimEnd();
}

/** A child as a promise of its exit code; a signal counts as 128. */
export function exited(child: ChildProcess): Promise<number> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode ?? 128);
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 128)));
}
