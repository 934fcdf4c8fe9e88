/** The small frame that every command file uses: how a command is described, registered and run. */
import type { Command } from 'commander';
import type { CliContext } from '../context.js';

/** What a command file gets from the program. */
export interface Registry {
  /**
   * Adds a command. `usage` is commander's: `primary <resource...>`. The example is shown by `drbdts help COMMAND`.
   */
  add(usage: string, description: string, example: string): Command;
  /** Adds a command that only holds others, such as `config`. */
  group(name: string, description: string): Registry;
  /** Wraps a handler: it gets the context and returns the exit code. */
  run<Args extends unknown[]>(handler: (context: CliContext, ...args: Args) => Promise<number>): (...args: Args) => Promise<void>;
}

/** The argument of nearly every command. */
export const resourceArgument = '<resource...>';
