/** mountinfo of proc(5), parsed. Pure. */
export interface MountEntry {
  readonly id: number;
  readonly parent: number;
  /** `major:minor` of the file system; anonymous ones (btrfs, tmpfs) are `0:x`. */
  readonly device: string;
  /** what of the file system is mounted; `/` for all. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** peer groups of propagation, 0 for none. */
  readonly shared: number;
  readonly master: number;
  readonly fstype: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** Spaces and the like are written as octal in /proc. */
export function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The entries in the order of the file: of several on one mount point the last is on top. Lines that make no sense are left out. */
export function parseMountTable(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0) continue;
    const [id, parent, device = '', root = '', mountPoint = '', options = ''] = fields;
    const tag = (name: string): number => Number(fields.slice(6, dash).find((field) => field.startsWith(`${name}:`))?.slice(name.length + 1) ?? 0);
    entries.push({
      id: Number(id),
      parent: Number(parent),
      device,
      root: unescapeField(root),
      mountPoint: unescapeField(mountPoint),
      options: options.split(','),
      shared: tag('shared'),
      master: tag('master'),
      fstype: fields[dash + 1] ?? '',
      source: unescapeField(fields[dash + 2] ?? ''),
      superOptions: (fields[dash + 3] ?? '').split(','),
    });
  }
  return entries;
}

/** The mount on top of a mount point, or undefined. */
export function mountAt(table: readonly MountEntry[], mountPoint: string): MountEntry | undefined {
  return table.findLast((entry) => entry.mountPoint === mountPoint);
}

/** Whether `path` is strictly below `directory`. */
export function isBelow(path: string, directory: string): boolean {
  return path.startsWith(directory === '/' ? '/' : `${directory}/`) && path !== directory;
}
