/**
 * The log: one JSON object or one plain line per event on stderr, which journald takes as it is. With `journal` the line starts with
 * the syslog priority `<6>` that systemd strips and honours (sd-daemon(3)); `pretty` is for a terminal.
 */
import { Writable } from 'node:stream';
import { type Logger, pino } from 'pino';

export type Log = Logger;
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

const syslogPriority: Record<number, number> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 };

/** One line of text from pino's JSON record: priority for journald, the sentence, then `key=value` of the rest. */
export function formatLine(json: string, journal: boolean, now: Date): string {
  const { level, msg, time: _time, pid: _pid, hostname: _hostname, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const extra = Object.entries(rest).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const head = journal ? `<${syslogPriority[Number(level)] ?? 6}>` : `${now.toISOString()} `;
  const sentence = `${String(msg ?? '')}${extra.join('')}`.replace(/\r?\n/g, ' | ');
  return `${head}${sentence}\n`;
}

/** A logger to stderr. journald is recognised by JOURNAL_STREAM; elsewhere lines carry the time. */
export function createLog(level: LogLevel, options: { stream?: NodeJS.WritableStream; journal?: boolean } = {}): Log {
  const stream = options.stream ?? process.stderr;
  const journal = options.journal ?? process.env.JOURNAL_STREAM !== undefined;
  const destination = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      stream.write(formatLine(chunk, journal, new Date()));
      done();
    },
  });
  return pino({ level, base: null }, destination);
}
