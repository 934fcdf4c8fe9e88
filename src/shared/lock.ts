/**
 * The calls that Node lacks, by fs-ext: one daemon per state directory, by an flock that the kernel drops when the process is gone, however
 * it ended; and close-on-exec.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Clock, systemClock } from './clock.js';
import { drbdtsError } from './errors.js';

interface FsExt {
  flockSync(fd: number, flags: 'exnb' | 'un'): void;
  fcntlSync(fd: number, command: 'setfd', argument: number): number;
  constants: { FD_CLOEXEC: number };
}

function loadFsExt(): FsExt {
  return createRequire(import.meta.url)('fs-ext') as FsExt;
}

/** Keeps descriptors from being inherited by children. Those that are not open are left out. */
export function closeOnExec(fds: readonly number[]): void {
  if (fds.length === 0) return;
  const fsExt = loadFsExt();
  for (const fd of fds) {
    try {
      fsExt.fcntlSync(fd, 'setfd', fsExt.constants.FD_CLOEXEC);
    } catch {
      // announced and not there: the engine will say so when it needs it
    }
  }
}

const retryMs = 50;

export interface StateLock {
  release(): void;
}

/**
 * Takes the lock of `program` in `stateDir`, which is made if need be. A predecessor that was just killed may take a moment to be gone, so
 * it is tried for `patienceMs`; then ERR_DAEMON_ALREADY_RUNNING.
 */
export async function lockStateDir(program: string, stateDir: string, patienceMs = 3000, clock: Clock = systemClock): Promise<StateLock> {
  const file = join(stateDir, `${program}.lock`);
  let fd: number;
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    fd = openSync(file, 'a+', 0o600);
  } catch (error) {
    throw drbdtsError('ERR_STATE_DIR', { values: { dir: stateDir, reason: (error as Error).message }, place: stateDir, cause: error });
  }
  const fsExt = loadFsExt();
  const deadline = clock.nowMs() + patienceMs;
  for (;;) {
    try {
      fsExt.flockSync(fd, 'exnb');
      break;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if ((code === 'EAGAIN' || code === 'EWOULDBLOCK') && clock.nowMs() < deadline) {
        await clock.sleep(retryMs);
        continue;
      }
      closeSync(fd);
      throw drbdtsError('ERR_DAEMON_ALREADY_RUNNING', { values: { program, file }, place: file, cause: error });
    }
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
  return { release: () => closeSync(fd) };
}
