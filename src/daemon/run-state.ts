/**
 * What was up, and as what, so that a daemon that was killed brings it back. A small JSON file in the state directory (below /run, so a
 * reboot forgets it), replaced as a whole. It holds the configuration each resource ran with: a file edited meanwhile changes nothing
 * until `adjust`.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ResourceConfig } from '../config/types.js';
import type { Role } from '../shared/terms.js';

export interface ResourceRecord {
  config: ResourceConfig;
  role: Role;
  /** the peer was connected when this was written. */
  connected: boolean;
  /** the connection was wanted: false after `disconnect`. */
  networked: boolean;
  /** was a Primary without peer before its last attach (chooses degr-wfc-timeout). */
  degraded: boolean;
}

export interface RunState {
  resources: Record<string, ResourceRecord>;
}

const formatVersion = 1;

/** The record of `stateDir`; null when there is none (first start since boot) or it cannot be understood. */
export function readRunState(stateDir: string): RunState | null {
  try {
    const value = JSON.parse(readFileSync(join(stateDir, 'state.json'), 'utf8')) as { version?: unknown; resources?: unknown };
    if (value.version !== formatVersion || typeof value.resources !== 'object' || value.resources === null) return null;
    return { resources: value.resources as Record<string, ResourceRecord> };
  } catch {
    return null;
  }
}

/** Replaces the record; readable by its owner only, since configurations hold secrets. */
export function writeRunState(stateDir: string, state: RunState): void {
  const file = join(stateDir, 'state.json');
  const fresh = `${file}.new`;
  const fd = openSync(fresh, 'w', 0o600);
  try {
    writeSync(fd, `${JSON.stringify({ version: formatVersion, ...state })}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, file);
}
