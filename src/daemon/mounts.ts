/**
 * Where a device is mounted, in this or any other mount namespace. `findMount` is pure; the tables come from the mountinfo files
 * in /proc.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Mount {
  mountPoint: string;
  fstype: string;
}

/** Spaces and the like are written as octal in mountinfo (proc(5)). */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** First mount of a device in mountinfo texts, found by device number (`7:3`) or by name. */
export function findMount(tables: readonly string[], device: string, deviceNumber: string | null): Mount | null {
  for (const table of tables) {
    for (const line of table.split('\n')) {
      const fields = line.split(' ');
      const dash = fields.indexOf('-');
      if (dash < 0) continue;
      const source = unescapeField(fields[dash + 2] ?? '');
      // btrfs and the like show an anonymous device number (0:x), there the name tells; elsewhere it may be another namespace's device
      const anonymous = fields[2]?.startsWith('0:') === true;
      if (deviceNumber !== null && !anonymous ? fields[2] === deviceNumber : source === device) {
        return { mountPoint: unescapeField(fields[4] ?? ''), fstype: fields[dash + 1] ?? '' };
      }
    }
  }
  return null;
}

const namespacesMax = 256;

/** mountinfo of this process; '' where it can not be read. */
export function readOwnMountTable(): string {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8');
  } catch {
    return '';
  }
}

/** mountinfo of one process in each other mount namespace that may be read. Goes through all of /proc. */
export function readOtherMountTables(): string[] {
  const tables: string[] = [];
  const seen = new Set<string>();
  const namespaceOf = (pid: string): string => readlinkSync(`/proc/${pid}/ns/mnt`);
  const read = (pid: string): void => {
    try {
      const namespace = namespaceOf(pid);
      if (seen.has(namespace) || seen.size >= namespacesMax) return;
      tables.push(readFileSync(`/proc/${pid}/mountinfo`, 'utf8'));
      seen.add(namespace);
    } catch {
      // gone meanwhile, or not ours to see
    }
  };
  try {
    seen.add(namespaceOf('self'));
  } catch {
    // without /proc there is nothing else either
  }
  for (const entry of readdirSync('/proc')) if (/^\d+$/.test(entry)) read(entry);
  return tables;
}
