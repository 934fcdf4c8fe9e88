/** Commander's errors as drbdadm words them. */
import type { Command, CommanderError } from 'commander';

/** Lines for stderr; none when commander has printed what was asked for (help, version). */
export function formatUsageError(error: CommanderError, program: Command, args: readonly string[]): string[] {
  const self = program.name();
  const name = args.find((arg) => program.commands.some((command) => command.name() === arg));
  const see = `  See \`${self} help${name === undefined ? '' : ` ${name}`}\`.`;
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  switch (error.code) {
    case 'commander.help':
    case 'commander.helpDisplayed':
    case 'commander.version':
      return [];
    case 'commander.unknownCommand':
      return [`${self}: ${first.replace(/^unknown command/, 'Unknown command')}`, ...rest.map((line) => `  ${line}`), see];
    case 'commander.missingArgument':
      return [first.includes("'resource'") ? `${self}: No resource names specified` : `${self}: ${first}`, see];
    default:
      return [`${self}: ${first}`, ...rest.map((line) => `  ${line}`), see];
  }
}
