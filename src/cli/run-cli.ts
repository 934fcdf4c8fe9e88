/** Runs one command line: everything of main.ts that does not touch the process itself. */
import { CommanderError } from 'commander';
import type { CliContext, GlobalOptions } from './context.js';
import { printLines } from './context.js';
import { translateArguments } from './drbdadm/arguments.js';
import { exitCodes } from './exit-codes.js';
import { reportFailure } from './failure.js';
import { createProgram, defaultClusterSocket, defaultConfig, defaultSocket, type ProgramName } from './program.js';
import { defaultWatchSeconds, fillWatchInterval } from './usage.js';
import { formatUsageError } from './usage-error.js';

/** The first word that is neither an option nor the value of a global one. */
function commandOf(words: readonly string[]): string {
  const valued = ['--socket', '--cluster-socket', '--config', '--node'];
  return words.find((word, index) => !word.startsWith('-') && !valued.includes(words[index - 1] ?? '')) ?? '';
}

/** Parses and runs `args` (without node and script); resolves with the exit code, never rejects. */
export async function runCli(
  args: readonly string[],
  version: string,
  makeContext: (options: GlobalOptions) => CliContext,
  name: ProgramName = 'drbdts',
): Promise<number> {
  let used: CliContext | null = null;
  const contextOf = (options: GlobalOptions): CliContext => {
    used = makeContext(options);
    return used;
  };
  const program = createProgram(version, contextOf, name);
  const words = name === 'drbdadm' ? translateArguments(args) : args;
  const plain = (): CliContext => used ?? makeContext({ socket: defaultSocket, clusterSocket: defaultClusterSocket, config: defaultConfig });
  for (const command of [program.command, ...program.command.commands, ...program.command.commands.flatMap((group) => group.commands)]) {
    command.configureOutput({
      writeOut: (text) => plain().stdout.write(text),
      writeErr: (text) => plain().stderr.write(text),
      // usage errors are worded below
      outputError: () => {},
    });
  }
  try {
    await program.command.parseAsync(fillWatchInterval(words, defaultWatchSeconds), { from: 'user' });
    return program.exitCode();
  } catch (error) {
    const context = plain();
    if (error instanceof CommanderError) {
      printLines(context.stderr, formatUsageError(error, program.command, words));
      return error.exitCode === 0 ? exitCodes.ok : commandOf(words) === 'import' ? exitCodes.wrongUse : exitCodes.usage;
    }
    return reportFailure(context, error);
  }
}
