/** The question that drbdadm asks before it destroys something. */
import { type CliContext, printLines } from './context.js';

/**
 * Shows `lines` and asks for `yes`. Without a terminal nothing is asked and the answer is no, as with drbdadm.
 * Prints `Operation cancelled.` when the answer is no.
 */
export async function confirm(context: CliContext, lines: readonly string[]): Promise<boolean> {
  printLines(context.stderr, lines);
  if (!context.stdinIsTty) {
    printLines(context.stderr, [
      'stdin not a TTY, not waiting for confirmation',
      'Operation cancelled.',
      '  Repeat the command with --force, or on a terminal.',
    ]);
    return false;
  }
  const answer = await context.ask("[need to type 'yes' to confirm] ");
  if (answer?.trim() === 'yes') return true;
  printLines(context.stderr, ['', 'Operation cancelled.']);
  return false;
}
