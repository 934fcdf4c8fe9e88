/** What every command gets: the API, the streams, the global options. Nothing here is global state, so tests make their own. */
import type { ClusterApi, ControlApi } from './api.js';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly socket: string;
  readonly config: string;
  readonly clusterSocket: string;
  /** Name of this node in the configuration; the host name when not given. */
  readonly node?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
}

/** A stream that takes text: process.stdout, process.stderr, or a test's. */
export interface TextStream {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

export interface CliContext {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly stdinIsTty: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly options: GlobalOptions;
  readonly api: ControlApi;
  /** The cluster manager of this node. */
  readonly cluster: ClusterApi;
  /** Fires on SIGINT and SIGTERM. */
  readonly interrupted: AbortSignal;
  /** One line typed by the user; only called when stdin is a terminal. Null at end of input. */
  ask(prompt: string): Promise<string | null>;
}

/** Writes whole lines to a stream. */
export function printLines(stream: TextStream, lines: readonly string[]): void {
  if (lines.length > 0) stream.write(`${lines.join('\n')}\n`);
}

/** Writes a value as JSON, for people and jq alike. */
export function printJson(stream: TextStream, value: unknown): void {
  stream.write(`${JSON.stringify(value, null, 2)}\n`);
}
