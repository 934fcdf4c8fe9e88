/** Where things are: the project's root and its built programs. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) dir = dirname(dir);
  return dir;
}

export const projectRoot = findRoot();
export const daemonMain = join(projectRoot, 'dist/src/daemon/main.js');
export const clusterdMain = join(projectRoot, 'dist/src/cluster/main.js');
export const witnessMain = join(projectRoot, 'dist/src/witness/main.js');
export const cliMain = join(projectRoot, 'dist/src/cli/main.js');
export const drbdadmMain = join(projectRoot, 'dist/src/cli/drbdadm.js');
export const keeperBinary = join(projectRoot, 'native/build/Release/drbdts-keeper');
export const nativeSupport = join(projectRoot, 'test/native/support');
export const toolDir = join(projectRoot, 'native/build/test-support');

/** Why tests that need daemons and namespaces can not run here; false when they can. For the `skip` of node:test. */
export function labUnavailable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root (namespaces, loop devices)';
  if (!existsSync('/dev/fuse')) return 'needs /dev/fuse';
  if (!existsSync('/dev/loop-control')) return 'needs loop devices';
  if (!existsSync(daemonMain)) return 'not built: npm run build';
  return false;
}

/** Folder with the virtual machine and the recorded sessions; null when this machine has none. */
export function externalLab(): string | null {
  const dir = process.env['DRBDTS_LAB'] ?? join(projectRoot, '../shared/lab');
  return existsSync(dir) ? dir : null;
}

/** Folder with configurations as their users have them; null when this machine has none. */
export function originalConfigs(): string | null {
  const dir = process.env['DRBDTS_ORIGINAL_CONFIGS'] ?? join(projectRoot, '../shared/original-configs');
  return existsSync(dir) ? dir : null;
}

/** True when the long versions of tests were asked for. */
export const longRun = process.env['DRBDTS_LONG'] === '1';

/** Why tests with these Debian packages' programs can not run here; false when all are there. */
export function programsUnavailable(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) => !existsSync(program));
  return missing.length > 0 && `needs ${missing.join(', ')}: npm run setup:cluster-managers`;
}
