/** Runs drbdtsd as a real process in a directory of its own, with the stand-in engine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../../src/control/client.js';

const daemonFile = fileURLToPath(new URL('../../src/daemon/main.js', import.meta.url));
const fakeFile = fileURLToPath(new URL('./fake-native.js', import.meta.url));

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** Two volumes' worth of a usual configuration; `extra` goes below the resource. */
export function exampleConfig(directory: string, extra = ''): string {
  return `resources:
  r0:
    protocol: C
    net: { timeout: 1s }
${extra}    on:
      alpha: { device: /dev/drbd900, disk: ${directory}/disk-a, address: '127.0.0.1:7788', meta-disk: internal }
      beta: { device: /dev/drbd900, disk: ${directory}/disk-b, address: '127.0.0.1:7789', meta-disk: internal }
`;
}

export class DaemonProcess {
  readonly directory: string;
  readonly socket: string;
  readonly client: ControlClient;
  stderr = '';
  private child: ChildProcess | null = null;
  private ended: Promise<Ended> = Promise.resolve({ code: null, signal: null });

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'drbdts-daemon-'));
    this.socket = join(this.directory, 'drbdtsd.sock');
    this.client = new ControlClient(this.socket);
    this.write('drbdts.yaml', exampleConfig(this.directory));
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text, { mode: 0o600 });
  }

  /** Tells the stand-in engine something (see fake-native.ts). */
  tell(name: string, text: string): void {
    if (text === '') rmSync(join(this.directory, name), { force: true });
    else this.write(name, text);
  }

  /** Commands the engine was given so far. */
  commands(): string[] {
    const file = join(this.directory, 'commands');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  }

  spawn(args: string[] = [], env: Record<string, string> = {}): void {
    this.stderr = '';
    const child = spawn(
      process.execPath,
      [
        daemonFile,
        '--config',
        join(this.directory, 'drbdts.yaml'),
        '--socket',
        this.socket,
        '--node',
        'alpha',
        '--state-dir',
        join(this.directory, 'state'),
        ...args,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, DRBDTS_NATIVE: fakeFile, DRBDTS_FAKE_DIR: this.directory, ...env } },
    );
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child = child;
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** Starts and waits until it answers. */
  async start(args: string[] = [], env: Record<string, string> = {}): Promise<void> {
    this.spawn(args, env);
    const over = this.ended.then((end) => {
      throw new Error(`drbdtsd ended with ${end.code ?? end.signal}: ${this.stderr}`);
    });
    over.catch(() => {});
    await Promise.race([over, until(async () => (await this.client.version()).pid === this.child?.pid)]);
  }

  async kill(signal: NodeJS.Signals): Promise<Ended> {
    this.child?.kill(signal);
    return this.ended;
  }

  async end(): Promise<Ended> {
    return this.ended;
  }

  async remove(): Promise<void> {
    if (this.child !== null && this.child.exitCode === null && this.child.signalCode === null) await this.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Asks until it is so; a fault while asking means "not yet". Gives up after a minute with the last fault. */
export async function until(question: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  let last: unknown = null;
  while (performance.now() < deadline) {
    try {
      if (await question()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('what was waited for did not happen', { cause: last });
}
