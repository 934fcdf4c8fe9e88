/** completion: the script that makes bash complete commands, options and resources. */
import { Argument, type Command } from 'commander';
import { bashCompletion } from '../completion.js';
import { exitCodes } from '../exit-codes.js';
import type { Registry } from './command.js';

export function registerCompletion({ add, run }: Registry, program: Command): void {
  add('completion', 'print the completion script of a shell', 'drbdts completion bash > /usr/share/bash-completion/completions/drbdts')
    .addArgument(new Argument('<shell>', 'name of the shell').choices(['bash']))
    .action(
      run(async (context, _shell: string) => {
        context.stdout.write(bashCompletion(program));
        return exitCodes.ok;
      }),
    );
}
