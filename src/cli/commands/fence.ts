/** confirm-fenced: an operator's word in place of what an arbiter cannot know. */
import { printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import type { Registry } from './command.js';

export function registerFence({ add, run }: Registry): void {
  add(
    'confirm-fenced <node>',
    'say that the other node is off for good, so that a restarted arbiter goes by the word of this one alone',
    'drbdts confirm-fenced master2 --reason "board burnt, disks pulled, rack 3, AK"',
  )
    .requiredOption('--reason <text>', 'how it is known; kept for ever in /var/lib/drbdts/register/confirmed')
    .action(
      run(async (context, node: string, options: { reason: string }) => {
        printLines(context.stderr, [`If ${node} still runs, or comes back with its disks, both nodes may serve, and what one of them acknowledged is lost.`]);
        printLines(context.stdout, (await context.api.confirmFenced(node, options.reason)).output);
        return exitCodes.ok;
      }),
    );
}
