/** Small files that must survive a power cut: a new file, flushed, takes the place of the old one, and the folder is flushed. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { drbdtsError } from '../shared/errors.js';

function digestOf(json: string): string {
  return createHash('sha256').update(json).digest('hex');
}

/** Replaces `file` by `value` as JSON with a digest. When this returns it is on stable storage; when it throws, the old or the new one is. */
export function writeDurable(file: string, value: unknown): void {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const json = JSON.stringify(value);
  const fd = openSync(`${file}.new`, 'w', 0o600);
  try {
    writeSync(fd, `${digestOf(json)} ${json}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${file}.new`, file);
  const folderFd = openSync(folder, 'r');
  try {
    fsyncSync(folderFd);
  } finally {
    closeSync(folderFd);
  }
}

/** Adds a line to `file`; when this returns it is on stable storage. */
export function appendDurable(file: string, line: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const fd = openSync(file, 'a', 0o600);
  try {
    writeSync(fd, line);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** What writeDurable wrote; null when there is no such file. A damaged one is ERR_REGISTER_FILE. */
export function readDurable(file: string): unknown {
  const fail = (reason: string): Error => drbdtsError('ERR_REGISTER_FILE', { values: { file, reason }, place: file });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw fail((error as Error).message);
  }
  const [digest = '', ...rest] = text.trimEnd().split(' ');
  const json = rest.join(' ');
  if (digest !== digestOf(json)) throw fail('its contents do not match their digest');
  return JSON.parse(json) as unknown;
}
