/** Backing disks as files, and comparing what is on them. */
import { createHash, randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';

export const mib = 1024 * 1024;
export const gib = 1024 * mib;
const chunkBytes = mib;

export type Contents =
  /** holes only */
  | 'sparse'
  /** random bytes everywhere, so that no block is unwritten or equal by accident */
  | 'random';

/** Makes a disk file of `bytes`. */
export function makeDisk(path: string, bytes: number, contents: Contents = 'sparse'): string {
  const fd = openSync(path, 'w', 0o600);
  try {
    ftruncateSync(fd, bytes);
    if (contents === 'random') {
      const chunk = Buffer.alloc(chunkBytes);
      for (let offset = 0; offset < bytes; offset += chunkBytes) {
        randomFillSync(chunk);
        writeSync(fd, chunk, 0, Math.min(chunkBytes, bytes - offset), offset);
      }
      fsyncSync(fd);
    }
  } finally {
    closeSync(fd);
  }
  return path;
}

function eachChunk(path: string, bytes: number, visit: (chunk: Buffer, offset: number) => void): void {
  const fd = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(chunkBytes);
    for (let offset = 0; offset < bytes; ) {
      const got = readSync(fd, chunk, 0, Math.min(chunkBytes, bytes - offset), offset);
      if (got === 0) throw new Error(`${path} ends at ${offset}, expected ${bytes} bytes`);
      visit(chunk.subarray(0, got), offset);
      offset += got;
    }
  } finally {
    closeSync(fd);
  }
}

/** SHA-256 of the first `bytes` of a file or device. */
export function checksum(path: string, bytes: number): string {
  const hash = createHash('sha256');
  eachChunk(path, bytes, (chunk) => hash.update(chunk));
  return hash.digest('hex');
}

/** Offsets of the first 4 KiB blocks (at most `limit`) in which two files differ within their first `bytes`. */
export function differingBlocks(left: string, right: string, bytes: number, limit = 8): number[] {
  const found: number[] = [];
  const fd = openSync(right, 'r');
  const other = Buffer.alloc(chunkBytes);
  try {
    eachChunk(left, bytes, (chunk, offset) => {
      const got = readSync(fd, other, 0, chunk.length, offset);
      if (got === chunk.length && chunk.equals(other.subarray(0, got))) return;
      for (let at = 0; at < chunk.length && found.length < limit; at += 4096) {
        if (!chunk.subarray(at, at + 4096).equals(other.subarray(at, Math.min(at + 4096, got)))) found.push(offset + at);
      }
    });
  } finally {
    closeSync(fd);
  }
  return found;
}

/** Throws, naming the places, unless the first `bytes` of both files are equal. */
export function assertSameContents(left: string, right: string, bytes: number): void {
  const differing = differingBlocks(left, right, bytes);
  if (differing.length > 0) throw new Error(`${left} and ${right} differ at bytes ${differing.join(', ')}${differing.length === 8 ? ', ...' : ''}`);
}
