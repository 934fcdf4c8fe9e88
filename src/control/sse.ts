/** The text of an event stream (pure): one record out, and an incremental reader for what comes in. */

/** `event:` (left out for the default `message`) and `data:` with JSON on one line. */
export function encodeEvent(event: string, data: unknown): string {
  const head = event === 'message' ? '' : `event: ${event}\n`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

export interface StreamEvent {
  event: string;
  data: string;
}

const lineBytesMax = 1024 * 1024;

/** Feeds text in any pieces, gives whole events. Throws on a line beyond 1 MiB. */
export class EventStreamReader {
  private rest = '';
  private event = 'message';
  private data: string[] = [];

  push(chunk: string): StreamEvent[] {
    this.rest += chunk;
    const events: StreamEvent[] = [];
    for (let end = this.rest.indexOf('\n'); end >= 0; end = this.rest.indexOf('\n')) {
      const line = this.rest.slice(0, end).replace(/\r$/, '');
      this.rest = this.rest.slice(end + 1);
      if (line === '') {
        if (this.data.length > 0) events.push({ event: this.event, data: this.data.join('\n') });
        this.event = 'message';
        this.data = [];
      } else if (line.startsWith('event:')) this.event = line.slice(6).trim();
      else if (line.startsWith('data:')) this.data.push(line.slice(5).replace(/^ /, ''));
    }
    if (this.rest.length > lineBytesMax) throw new Error('event stream: line too long');
    return events;
  }
}
