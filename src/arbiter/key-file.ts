/** Keys shared by the nodes of a cluster and its witness: a file with at least 16 bytes that only its owner reads. */
import { readFileSync, statSync } from 'node:fs';
import { drbdtsError } from '../shared/errors.js';

const keyBytesMin = 16;
const keyBytesMax = 4096;

/** The key in `file`, white space around it left out. Rejects with ERR_KEY_FILE. */
export function readKeyFile(file: string): Buffer {
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
  const trimmed = Buffer.from(text.toString('latin1').trim(), 'latin1');
  if (trimmed.length < keyBytesMin) throw fail(`its key has ${trimmed.length} bytes; ${keyBytesMin} or more are needed`);
  return trimmed;
}
