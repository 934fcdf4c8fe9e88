/**
 * The client of the outage benchmark, in a network of its own: fetches a page through a virtual address every few milliseconds, over a new
 * connection each time. A request that hangs holds up none of the others; each has a deadline of its own. Commands on standard input:
 * `watch ADDRESS`, `stop`. One JSON object per line on standard output.
 */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const everyMs = 10;
/** For one request. A connection whose first packet was lost is given up: the next ones are on their way already. */
const deadlineMs = 500;
const expected = process.argv[2] ?? '';

/** Milliseconds since the epoch, as Date.now(), with a fraction. */
const now = (): number => performance.timeOrigin + performance.now();
const say = (line: Record<string, unknown>): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

/** When the page was complete; null when it did not come, or not in time. */
function fetchPage(address: string): Promise<number | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 80 });
    let text = '';
    const end = (result: number | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(null), deadlineMs);
    socket.once('connect', () => socket.write('GET /index.html HTTP/1.0\r\n\r\n'));
    socket.setEncoding('latin1').on('data', (part: string) => (text += part));
    socket.once('end', () => end(/^HTTP\/1\.\d 200 /.test(text) && text.includes(expected) ? now() : null));
    socket.once('error', () => end(null));
  });
}

let timer: NodeJS.Timeout | null = null;
let successes: number[] = [];
let failures = 0;
let watching = 0;

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, address = ''] = line.split(' ');
  if (command === 'watch') {
    successes = [];
    failures = 0;
    const life = ++watching;
    timer = setInterval(() => {
      void fetchPage(address).then((at) => {
        if (life !== watching) return;
        if (at === null) failures += 1;
        else successes.push(at);
      });
    }, everyMs);
  } else if (command === 'last') say({ last: successes.at(-1) ?? 0, count: successes.length });
  else if (command === 'stop' && timer !== null) {
    clearInterval(timer);
    timer = null;
    watching += 1;
    say({ successes, failures });
  }
}).on('close', () => process.exit(0));
