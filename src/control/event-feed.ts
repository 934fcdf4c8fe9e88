/**
 * What one follower of the event stream is sent (pure; the server does the writing). A follower that reads too slowly costs a bounded
 * amount: beyond that changes are counted instead of sent, and when it has caught up it gets a fresh dump that says how many it missed.
 */
import type { EventRecord } from './messages.js';

export class EventFeed {
  private readonly dump: () => EventRecord[];
  private readonly write: (record: EventRecord) => void;
  private readonly unsentBytes: () => number;
  private readonly unsentBytesMax: number;
  private skipped = 0;

  /** `dump` ends with `exists -`; `unsentBytes` is what was written and has not left yet. */
  constructor(dump: () => EventRecord[], write: (record: EventRecord) => void, unsentBytes: () => number, unsentBytesMax: number) {
    this.dump = dump;
    this.write = write;
    this.unsentBytes = unsentBytes;
    this.unsentBytesMax = unsentBytesMax;
  }

  /** Sends everything as it is now. */
  start(): void {
    for (const record of this.dump()) {
      const marked = record.object === '-' && this.skipped > 0;
      this.write(marked ? { ...record, attributes: { ...record.attributes, skipped: String(this.skipped) } } : record);
    }
    this.skipped = 0;
  }

  /** Something changed. */
  offer(record: EventRecord): void {
    // after a gap later changes would not fit to what the follower knows
    if (this.skipped > 0 || this.unsentBytes() > this.unsentBytesMax) this.skipped += 1;
    else this.write(record);
  }

  /** All that was written has left. */
  drained(): void {
    if (this.skipped > 0) this.start();
  }
}
