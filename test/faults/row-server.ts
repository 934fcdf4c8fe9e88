/**
 * A service as users have them: appends rows to a file and answers when they are on disk. `node row-server.js DIRECTORY PORT READY-FILE`.
 * One request per line: `w FILE NUMBER TEXT` -> `ok NUMBER`; `r FILE` -> `last NUMBER`. An I/O error ends it, as it ends a database.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [directory = '', port = '', readyFile = ''] = process.argv.slice(2);

class RowFile {
  last = 0;
  readonly #fd: number;

  constructor(name: string) {
    const path = join(directory, name);
    this.#fd = openSync(path, 'a');
    const before = readFileSync(path, 'utf8');
    const lines = before.split('\n');
    // a torn row, of which nobody was told that it is there
    if (lines.pop() !== '') writeSync(this.#fd, '\n');
    for (const line of lines) this.last = Math.max(this.last, Number.parseInt(line, 10) || 0);
    const parent = openSync(directory, 'r');
    fsyncSync(parent);
    closeSync(parent);
  }

  append(number: number, text: string): void {
    writeSync(this.#fd, `${text}\n`);
    fsyncSync(this.#fd);
    this.last = Math.max(this.last, number);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

let name = '';
let file: RowFile | null = null;
function fileOf(wanted: string): RowFile {
  if (wanted !== name || file === null) {
    file?.close();
    file = new RowFile(wanted);
    name = wanted;
  }
  return file;
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  createInterface({ input: socket }).on('line', (line) => {
    const [verb, wanted = '', number = '', ...text] = line.split(' ');
    const rows = fileOf(wanted);
    if (verb === 'w') {
      rows.append(Number(number), text.join(' '));
      socket.write(`ok ${number}\n`);
    } else socket.write(`last ${rows.last}\n`);
  }).on('error', () => undefined);
});
server.listen({ port: Number(port), host: '0.0.0.0' }, () => {
  writeFileSync(`${readyFile}.new`, `${process.pid}\n`);
  renameSync(`${readyFile}.new`, readyFile);
});
process.on('SIGTERM', () => process.exit(0));
