/**
 * The client, in a host of its own: `traffic-main.js rows|pages ADDRESS`. Writes numbered rows, or fetches a page, without end, and prints what
 * became of each attempt, one JSON array per line: begin and end (ms, wall clock), error or '', number of the row, node that answered.
 */
import { get } from 'node:http';
import mysql, { type Connection } from 'mysql2/promise';
import { databasePort, databaseUser, pagePort } from './services.js';

/** Nobody waits longer for a page or a row. */
const patienceMs = 1000;
/** Pages are asked for that often, whatever became of the one before: so the length of an outage is known that well. */
const pageEveryMs = 15;
const rowPauseMs = 5;
/** A row that is not acknowledged by then is tried on a new connection, too, and then again and again. */
const hurryAfterMs = 150;
const hurryEveryMs = 30;
const attemptsMax = 30;

const [what = '', address = ''] = process.argv.slice(2);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function say(beginMs: number, error: string, row: number, node: string): void {
  process.stdout.write(`${JSON.stringify([beginMs, Date.now(), error, row, node])}\n`);
}

function wordsOf(error: unknown): string {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection refused', ECONNRESET: 'connection reset', EHOSTUNREACH: 'host unreachable', ETIMEDOUT: 'no answer in time',
    PROTOCOL_CONNECTION_LOST: 'connection closed', PROTOCOL_SEQUENCE_TIMEOUT: 'no answer in time', EPIPE: 'connection reset',
  };
  return words[code] ?? (code === '' ? message : `${code}: ${message}`);
}

function fetchPage(): void {
  const beginMs = Date.now();
  let said = false;
  const once = (error: string, node = ''): void => {
    if (!said) say(beginMs, error, 0, node);
    said = true;
  };
  const call = get({ host: address, port: pagePort, path: '/', agent: false }, (response) => {
    response.resume().on('error', (error) => once(wordsOf(error)));
    response.on('end', () => once(response.statusCode === 200 ? '' : `status ${response.statusCode}`, String(response.headers['x-node'] ?? '')));
  });
  const timer = setTimeout(() => call.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })), patienceMs);
  call.on('error', (error) => once(wordsOf(error)));
  call.on('close', () => {
    clearTimeout(timer);
    once('connection closed');
  });
}

class Writer {
  #idle: Connection | null = null;

  /** Writes one row; resolves when the database has acknowledged it. */
  async write(row: number): Promise<void> {
    let written = false;
    let under = 0;
    const open = new Set<Connection>();
    await new Promise<void>((resolve) => {
      const attempt = async (): Promise<void> => {
        const beginMs = Date.now();
        let connection = this.#idle;
        this.#idle = null;
        under += 1;
        try {
          if (connection === null) {
            connection = await mysql.createConnection({ host: address, port: databasePort, user: databaseUser, database: 'demo', connectTimeout: patienceMs });
            // an idle connection that breaks is noticed by the next row
            connection.on('error', () => undefined);
          }
          open.add(connection);
          if (!written) {
            // changes the row even if an earlier attempt wrote it, so that the acknowledgement is that of a commit made durable
            await connection.query({ sql: 'INSERT INTO entries VALUES (?, 1) ON DUPLICATE KEY UPDATE tries = tries + 1', values: [row], timeout: patienceMs });
            if (!written) {
              written = true;
              say(beginMs, '', row, '');
              this.#idle = connection;
              open.delete(connection);
              resolve();
            }
          }
        } catch (error) {
          if (!written) say(beginMs, wordsOf(error), row, '');
        }
        if (connection !== null && connection !== this.#idle) connection.destroy();
        under -= 1;
      };
      const again = setInterval(() => {
        if (written) clearInterval(again);
        else if (under < attemptsMax && (under === 0 || Date.now() - startMs > hurryAfterMs)) void attempt();
      }, hurryEveryMs);
      const startMs = Date.now();
      void attempt();
    });
    for (const connection of open) connection.destroy();
  }
}

// the reader has gone: so do we
process.stdout.on('error', () => process.exit(0));
if (what === 'pages') setInterval(fetchPage, pageEveryMs);
else {
  const writer = new Writer();
  for (let row = 1; ; row++) {
    await writer.write(row);
    await pause(rowPauseMs);
  }
}
