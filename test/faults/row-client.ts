/**
 * The user of the row server: writes rows one after the other, remembers which were acknowledged, and reads back now and then.
 * `node row-client.js ADDRESS PORT`. Commands on standard input: `file NAME` begins anew with that file; `report` prints what was seen since.
 * Every 100 ms it prints how many rows are acknowledged. A row that was not answered in time is given up, its number is not used again.
 */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type ClientReport, rowText } from './judge.js';

const [address = '', port = ''] = process.argv.slice(2);
const answerMs = 1000;
const pauseMs = 4;
const retryMs = 60;
const readEvery = 8;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let file = '';
let next = 1;
let ranges: [number, number][] = [];
let highest = 0;
let lastAckMs = 0;
let longestGapMs = 0;
let stale: string[] = [];

function begin(name: string): void {
  file = name;
  next = 1;
  ranges = [];
  highest = 0;
  lastAckMs = performance.now();
  longestGapMs = 0;
  stale = [];
}

function acknowledged(number: number): void {
  const now = performance.now();
  longestGapMs = Math.max(longestGapMs, now - lastAckMs);
  lastAckMs = now;
  highest = number;
  const last = ranges.at(-1);
  if (last !== undefined && last[1] === number - 1) last[1] = number;
  else ranges.push([number, number]);
}

class Connection {
  readonly #socket: Socket;
  #waiting: ((line: string | null) => void) | null = null;
  #dead = false;

  constructor() {
    this.#socket = connect({ host: address, port: Number(port), noDelay: true });
    this.#socket.on('error', () => this.end());
    this.#socket.on('close', () => this.end());
    createInterface({ input: this.#socket }).on('line', (line) => this.#answer(line)).on('error', () => this.end());
  }

  #answer(line: string | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.(line);
  }

  end(): void {
    this.#dead = true;
    this.#socket.destroy();
    this.#answer(null);
  }

  /** null: there is no answer, and this connection is over. */
  ask(request: string): Promise<string | null> {
    if (this.#dead) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.end(), answerMs);
      this.#waiting = (line) => {
        clearTimeout(timer);
        resolve(line);
      };
      this.#socket.write(`${request}\n`);
    });
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, name = ''] = line.split(' ');
  if (verb === 'file') begin(name);
  else if (verb === 'report') {
    if (file !== '') longestGapMs = Math.max(longestGapMs, performance.now() - lastAckMs);
    const report: ClientReport = { acknowledged: ranges, attempts: next - 1, longestGapMs, stale };
    process.stdout.write(`${JSON.stringify({ report })}\n`);
    file = '';
  }
}).on('close', () => process.exit(0));
setInterval(() => process.stdout.write(`${JSON.stringify({ file, acknowledged: ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0) })}\n`), 100);

let questions = 0;
let connection: Connection | null = null;
for (;;) {
  if (file === '') {
    await sleep(20);
    continue;
  }
  connection ??= new Connection();
  const mine = file;
  const reads = ++questions % readEvery === 0;
  const number = reads ? 0 : next++;
  const known = highest;
  const answer = await connection.ask(reads ? `r ${mine}` : `w ${mine} ${number} ${rowText(mine, number)}`);
  if (answer === null) {
    connection = null;
    await sleep(retryMs);
  } else if (mine === file) {
    if (!reads) {
      if (answer === `ok ${number}`) acknowledged(number);
    } else {
      const last = Number(answer.split(' ')[1]);
      if (!(last >= known)) stale.push(`the last row is ${known}, and ${last} was read at ${new Date().toISOString()}`);
    }
  }
  await sleep(pauseMs);
}
