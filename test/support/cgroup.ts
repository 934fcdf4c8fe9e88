/** Memory cgroups (version 1 or 2) of one lab. */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './lab.js';
import { waitFor } from './wait.js';

const memoryV1 = '/sys/fs/cgroup/memory';
const v2 = '/sys/fs/cgroup';

/** Why memory can not be limited here; false when it can. */
export function memoryCgroupUnavailable(): string | false {
  if (existsSync(join(memoryV1, 'memory.limit_in_bytes')) || existsSync(join(memoryV1, 'cgroup.procs'))) return false;
  return existsSync(join(v2, 'cgroup.subtree_control')) ? false : 'no memory cgroup here';
}

/** A cgroup limited to `limitBytes` (0 = no limit). Returns its directory; processes join by writing their id to cgroup.procs. */
export function memoryCgroup(lab: Lab, name: string, limitBytes: number): string {
  const version1 = existsSync(join(memoryV1, 'cgroup.procs'));
  const dir = join(version1 ? memoryV1 : v2, `drbdts-${lab.id}-${name}`);
  mkdirSync(dir);
  lab.deferLast(`cgroup ${dir}`, async () => {
    await waitFor(`${dir} is empty`, () => {
      rmdirSync(dir);
      return true;
    }, 10_000);
  });
  if (limitBytes > 0) writeFileSync(join(dir, version1 ? 'memory.limit_in_bytes' : 'memory.max'), String(limitBytes));
  return dir;
}
