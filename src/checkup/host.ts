/** The few ways in which the check looks at a host. Nothing here changes anything, and nothing throws: what cannot be read is not there. */
import { accessSync, constants, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../shared/run-program.js';
import type { PathFact } from './facts.js';

const programMs = 10_000;
const entriesMax = 10;

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const deviceName = (rdev: number): string => `${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`;

export function lookAt(path: string): PathFact {
  try {
    const found = statSync(path);
    const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : found.isBlockDevice() ? 'block' : found.isCharacterDevice() ? 'character' : 'other';
    return {
      kind,
      executable: kind === 'file' && isExecutable(path),
      device: kind === 'block' || kind === 'character' ? deviceName(found.rdev) : '',
      // what mkfs makes does not belong to anybody
      entries: kind === 'directory' ? listDirectory(path).filter((name) => name !== 'lost+found').slice(0, entriesMax) : [],
    };
  } catch {
    return { kind: 'missing', executable: false, device: '', entries: [] };
  }
}

/** Where a program is, as root's shell would find it; '' for nowhere. */
export function findProgram(name: string): string {
  const directories = [...new Set([...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'])];
  const found = directories.filter((directory) => directory !== '').map((directory) => join(directory, name));
  return found.find((path) => lookAt(path).executable) ?? '';
}

/** Runs a program that only looks. Its standard output and exit code; -1 when it did not run to its end. */
export async function look(argv: readonly string[]): Promise<{ code: number; text: string }> {
  try {
    const result = await runProgram(argv, { env: { LC_ALL: 'C' }, signal: AbortSignal.timeout(programMs) });
    return { code: result.how === 'exit' ? (result.exitCode ?? -1) : -1, text: result.stdout.toString('utf8') };
  } catch {
    return { code: -1, text: '' };
  }
}

/** Names of all processes of this host. */
export function processNames(): Set<string> {
  return new Set(
    listDirectory('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readText(`/proc/${pid}/comm`).trim()),
  );
}
