/** `status --watch`: redraws when the event stream tells of a change, and at an interval for the numbers that no event announces. */
import { setTimeout as delay } from 'node:timers/promises';
import { isUnreachable } from './api.js';
import { type CliContext, printLines } from './context.js';
import { formatUnreachable } from './failure.js';

/** Events often come in bursts; one redraw per burst. */
const leastRedrawMs = 100;
const clearScreen = '\u001b[H\u001b[J';

/** Remembers a change until somebody waits for it. */
class ChangeSignal {
  #changed = false;
  #wake: (() => void) | null = null;

  notify(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** Resolves at the next change (or the one not yet seen), after `timeoutMs`, or when `signal` fires. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          this.#wake = null;
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        signal.addEventListener('abort', done, { once: true });
        this.#wake = done;
      });
    }
    this.#changed = false;
  }
}

/** Follows the event stream and tells of every record; tries again when the daemon goes away, until `signal` fires. */
async function followChanges(
  context: CliContext,
  resource: string | undefined,
  change: ChangeSignal,
  retryMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const _event of context.api.events({ signal, ...(resource !== undefined && { resource }) })) change.notify();
    } catch {
      // the interval redraws meanwhile and shows what is wrong
    }
    if (!signal.aborted) await delay(retryMs, undefined, { signal }).catch(() => {});
  }
}

/**
 * Draws until the user interrupts. On a terminal each drawing replaces the last; otherwise they follow each other after a blank line.
 * A daemon that is restarted meanwhile is waited for; one that does not run at the start is an error.
 */
export async function watch(
  context: CliContext,
  resource: string | undefined,
  seconds: number,
  draw: () => Promise<readonly string[]>,
): Promise<void> {
  const signal = context.interrupted;
  const change = new ChangeSignal();
  const intervalMs = seconds * 1000;
  let first = true;
  let following: Promise<void> | null = null;
  while (!signal.aborted) {
    const lines = await draw().catch((error: unknown) => {
      if (first || !isUnreachable(error)) throw error;
      return [...formatUnreachable(error, context.options.socket), '  (waiting for it)'];
    });
    if (context.stdout.isTTY === true) context.stdout.write(clearScreen);
    else if (!first) context.stdout.write('\n');
    printLines(context.stdout, lines);
    first = false;
    following ??= followChanges(context, resource, change, intervalMs, signal);
    await change.wait(intervalMs, signal);
    await delay(leastRedrawMs, undefined, { signal }).catch(() => {});
  }
  await following;
}
