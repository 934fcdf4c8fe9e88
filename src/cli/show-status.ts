/** `status` of what has no event stream: once, or redrawn at an interval until the user interrupts. */
import { setTimeout as delay } from 'node:timers/promises';
import { choosePainter, type Painter } from './color.js';
import { type CliContext, printJson, printLines } from './context.js';
import { exitCodes } from './exit-codes.js';

const clearScreen = '\u001b[H\u001b[J';

/**
 * Asks and prints; with `watchSeconds` again and again, one JSON object a line with `--json`. A daemon that is restarted meanwhile is waited for; one that
 * does not run at the start is an error.
 */
export async function showStatus<T>(context: CliContext, watchSeconds: number | undefined, ask: () => Promise<T>, format: (status: T, paint: Painter) => readonly string[]): Promise<number> {
  const isTerminal = context.stdout.isTTY === true;
  const paint = choosePainter(isTerminal, context.env);
  const json = context.options.json === true;
  if (watchSeconds === undefined) {
    const status = await ask();
    if (json) printJson(context.stdout, status);
    else printLines(context.stdout, format(status, paint));
    return exitCodes.ok;
  }
  for (let first = true; !context.interrupted.aborted; first = false) {
    const status = await ask().catch((error: unknown) => {
      if (first) throw error;
      return null;
    });
    if (status !== null) {
      if (!json && isTerminal) context.stdout.write(clearScreen);
      printLines(context.stdout, json ? [JSON.stringify(status)] : format(status, paint));
    }
    await delay(watchSeconds * 1000, undefined, { signal: context.interrupted }).catch(() => {});
  }
  return exitCodes.ok;
}
