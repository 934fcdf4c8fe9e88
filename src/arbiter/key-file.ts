/** Keys shared by the nodes of a cluster and its witness: a file with at least 16 bytes that only its owner reads. */
import { readFileSync, statSync } from 'node:fs';
import { drbdtsError } from '../shared/errors.js';

const keyBytesMin = 16;
const keyBytesMax = 4096;

/** The text in `file`, which others must not be able to read, white space around it left out. Throws ERR_KEY_FILE. */
export function readSecretFile(file: string): string {
  return readSecret(file).toString('latin1');
}

/** The key in `file`, white space around it left out. Throws ERR_KEY_FILE. */
export function readKeyFile(file: string): Buffer {
  const key = readSecret(file);
  if (key.length >= keyBytesMin) return key;
  const reason = `its key has ${key.length} bytes; ${keyBytesMin} or more are needed`;
  throw drbdtsError('ERR_KEY_FILE', { values: { file, reason }, place: file });
}

function readSecret(file: string): Buffer {
  const fail = (reason: string, cause?: unknown): Error =>
    drbdtsError('ERR_KEY_FILE', { values: { file, reason }, place: file, ...(cause === undefined ? {} : { cause }) });
  let text: Buffer;
  try {
    const { mode, size } = statSync(file);
    if ((mode & 0o077) !== 0) throw fail(`others than its owner may use it (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`);
    if (size > keyBytesMax) throw fail(`it is larger than ${keyBytesMax} bytes`);
    text = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw fail((error as Error).message, error);
  }
  return Buffer.from(text.toString('latin1').trim(), 'latin1');
}
