/** One command line as a process. Only this file touches the process itself: streams, signals, exit code. */
import { createInterface } from 'node:readline/promises';
import { ClusterClient } from '../control/cluster-client.js';
import { ControlClient } from '../control/client.js';
import { version } from '../shared/version.js';
import type { ControlApi } from './api.js';
import type { CliContext, GlobalOptions } from './context.js';
import { withTimeLimits } from './drbdadm/time-limits.js';
import type { ProgramName } from './program.js';
import { runCli } from './run-cli.js';
import { traceCalls } from './trace.js';

let interruption: AbortController | null = null;

/** Handlers of signals are set only by commands that end in an orderly way; all others die of them as usual. */
function interrupted(): AbortSignal {
  if (interruption === null) {
    const controller = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
    interruption = controller;
  }
  return interruption.signal;
}

async function ask(prompt: string): Promise<string | null> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new AbortController();
  lines.once('close', () => ended.abort());
  try {
    return await lines.question(prompt, { signal: ended.signal });
  } catch {
    return null;
  } finally {
    lines.close();
  }
}

/** Runs the command line of this process under the name `program`; the exit code is set when it is done. */
export async function runAsProcess(program: ProgramName): Promise<void> {
  const makeContext = (options: GlobalOptions): CliContext => {
    const client: ControlApi = new ControlClient(options.socket);
    const limited = program === 'drbdadm' ? withTimeLimits(client) : client;
    return {
      stdout: process.stdout,
      stderr: process.stderr,
      stdinIsTty: process.stdin.isTTY === true,
      env: process.env,
      options,
      cluster: new ClusterClient(options.clusterSocket),
    api: options.verbose === true ? traceCalls(limited, process.stderr) : limited,
      get interrupted() {
        return interrupted();
      },
      ask,
    };
  };
  // a reader that has seen enough (`drbdts events | head`) is no error
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  process.exitCode = await runCli(process.argv.slice(2), version, makeContext, program);
  // a call that was given up is still open and would keep the process: it ends once what was printed is out
  if (program === 'drbdadm') process.stdout.write('', () => process.stderr.write('', () => process.exit()));
}
