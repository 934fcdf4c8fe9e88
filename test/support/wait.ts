/** Waiting for a condition instead of for a time. */

const intervalMs = 40;

/**
 * Asks `condition` until it gives something truthy and returns that. After `timeoutMs` throws an error that names `what` and what
 * `explain` says about the present state. A condition that throws counts as not met; its last error is in the message.
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 30_000,
  explain?: () => string | Promise<string>,
): Promise<NonNullable<T>> {
  const end = Date.now() + timeoutMs;
  let last: unknown = null;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() >= end) break;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  const state = explain === undefined ? '' : `\n${await explain()}`;
  const cause = last instanceof Error ? `\nlast error: ${last.message}` : '';
  throw new Error(`never happened within ${timeoutMs / 1000} s: ${what}${cause}${state}`);
}
