/** Runs `nft`, `ipvsadm` or `conntrack` with something on its standard input. */
import { execa } from 'execa';

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  /** the first lines of what it said on standard error. */
  readonly problem: string;
  /** it is not installed. */
  readonly missing: boolean;
}

/** Never rejects. `timeoutMs`: then it is ended and has failed. */
export type RunTool = (argv: readonly string[], input?: string) => Promise<ToolResult>;

const timeoutMs = 10_000;
const outputBytesMax = 64 * 1024 * 1024;
/** they lie there, and that is not in everybody's path. */
const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/local/sbin`;

export const runTool: RunTool = async ([file = '', ...args], input = '') => {
  const result = await execa(file, args, { input, reject: false, timeout: timeoutMs, maxBuffer: outputBytesMax, env: { PATH: path, LC_ALL: 'C' }, stripFinalNewline: true });
  const missing = result.failed && result.code === 'ENOENT';
  const said = result.stderr.split('\n').slice(0, 3).join(' ').trim();
  const problem = missing ? `${file} is not installed` : result.timedOut ? `${file} did not end within ${timeoutMs} ms` : said || (result.failed ? `${file} failed with exit status ${result.exitCode ?? 'none'}` : '');
  return { code: result.failed ? (result.exitCode ?? 127) : 0, stdout: result.stdout, problem, missing };
};
