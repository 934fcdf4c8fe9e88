/** Lines of `drbdsetup events2` (drbd-protocol §8.4). */
import type { EventRecord } from '../control/messages.js';

/**
 * `change resource name:r0 role:Primary`; with timestamps the record's time and a blank come first. A dump that stands in for records
 * which a slow reader missed ends with two lines, `- skipped N` before `exists -`.
 */
export function formatEvent(event: EventRecord, timestamps: boolean): string[] {
  const prefix = timestamps ? `${event.time} ` : '';
  if (event.object === '-') {
    const skipped = event.attributes['skipped'];
    return [...(skipped === undefined ? [] : [`${prefix}- skipped ${skipped}`]), `${prefix}${event.verb} -`];
  }
  const attributes = Object.entries(event.attributes).map(([name, value]) => `${name}:${value}`);
  return [prefix + [event.verb, event.object, ...attributes].join(' ')];
}

/** True for `exists -`, which ends the initial dump. */
export function endsInitialDump(event: EventRecord): boolean {
  return event.verb === 'exists' && event.object === '-';
}
