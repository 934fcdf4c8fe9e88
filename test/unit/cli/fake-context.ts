/** A command line without a process: the API is an object that records its calls, the streams are texts. */
import type { ClusterApi, ControlApi } from '../../../src/cli/api.js';
import { ClusterClient } from '../../../src/control/cluster-client.js';
import type { CliContext, GlobalOptions } from '../../../src/cli/context.js';
import { runCli } from '../../../src/cli/run-cli.js';
import type { EventRecord, StatusReply, Verb, VerbReply, VerbRequest } from '../../../src/control/messages.js';
import { drbdtsError } from '../../../src/shared/errors.js';
import { makeStatus } from './fixtures.js';

export interface Call {
  readonly resource: string;
  readonly verb: Verb;
  readonly request: VerbRequest;
}

export interface FakeOptions {
  readonly cluster?: ClusterApi;
  readonly status?: StatusReply;
  readonly events?: readonly EventRecord[];
  /** Answers a verb; throws to refuse it. */
  readonly onVerb?: (call: Call) => VerbReply;
  readonly stdinIsTty?: boolean;
  /** What the user types when asked. */
  readonly typed?: string;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly Call[];
  readonly reloads: number;
}

export const emptyReply: VerbReply = { output: [], results: [] };

/** Runs `args` and tells what came out. */
export async function runFake(args: readonly string[], options: FakeOptions = {}): Promise<Outcome> {
  const status = options.status ?? makeStatus();
  const calls: Call[] = [];
  let reloads = 0;
  let stdout = '';
  let stderr = '';
  const api: ControlApi = {
    status: async (resource) => {
      const resources = status.resources.filter(({ name }) => resource === undefined || name === resource);
      if (resource !== undefined && resources.length === 0) throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource } });
      return { ...status, resources };
    },
    proc: async () => 'version: 8.4.11 (api:1/proto:86-101)\n 0: cs:Unconfigured\n',
    verb: async (resource, verb, request) => {
      const call = { resource, verb, request };
      calls.push(call);
      return options.onVerb?.(call) ?? emptyReply;
    },
    async *events() {
      yield* options.events ?? [];
    },
    config: async () => ({ resources: [] }),
    confirmFenced: async (node, reason) => ({ output: [`${node} confirmed: ${reason}`] }),
    reload: async () => {
      reloads += 1;
      return { changed: [], problems: [] };
    },
  };
  const makeContext = (globals: GlobalOptions): CliContext => ({
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    stdinIsTty: options.stdinIsTty ?? false,
    env: {},
    options: globals,
    api,
    cluster: options.cluster ?? new ClusterClient('/nonexistent/clusterd.sock'),
    interrupted: new AbortController().signal,
    ask: async () => options.typed ?? null,
  });
  const code = await runCli(args, '0.1.0', makeContext);
  return { code, stdout, stderr, calls, reloads };
}
