/** A control socket that answers what a test wants, and the real command line run against it as a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const mainFile = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

export type Responder = (request: SeenRequest, response: ServerResponse) => void;

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export class FakeDaemon {
  readonly socket: string;
  readonly requests: SeenRequest[] = [];
  readonly directory: string;
  readonly #server: Server;

  private constructor(directory: string, responder: Responder) {
    this.directory = directory;
    this.socket = join(directory, 'drbdtsd.sock');
    this.#server = createServer((request, response) => {
      void readBody(request).then((text) => {
        const seen = { method: request.method ?? '', path: request.url ?? '', body: text === '' ? null : (JSON.parse(text) as unknown) };
        this.requests.push(seen);
        responder(seen, response);
      });
    });
  }

  static async start(responder: Responder): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(await mkdtemp(join(tmpdir(), 'drbdts-cli-')), responder);
    await new Promise<void>((resolve) => daemon.#server.listen(daemon.socket, resolve));
    return daemon;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command line: its output so far, and the way to wait for more. */
export class RunningCli {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly #waiting = new Set<() => void>();

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], TERM: 'xterm', ...env } });
    this.child.stdout?.on('data', (chunk) => this.#add('stdout', String(chunk)));
    this.child.stderr?.on('data', (chunk) => this.#add('stderr', String(chunk)));
    this.finished = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
        for (const check of [...this.#waiting]) check();
      });
    });
  }

  #add(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const check of [...this.#waiting]) check();
  }

  /** Resolves when the condition holds, looked at after every output and every 20 ms; rejects when the process ends before. */
  async until(condition: (cli: RunningCli) => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const check = (): void => {
        if (condition(this)) resolve();
        else if (this.child.exitCode !== null) reject(new Error(`ended before the expected output:\n${this.stdout}${this.stderr}`));
        else return;
        this.#waiting.delete(check);
        clearInterval(timer);
      };
      const timer = setInterval(check, 20);
      this.#waiting.add(check);
      check();
    });
  }
}

/** Runs the command line to its end with nothing on stdin. */
export async function runProcess(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  const cli = new RunningCli(process.execPath, [mainFile, ...args], env);
  cli.child.stdin?.end();
  return cli.finished;
}
