/**
 * Who holds a mount: by mount id, never by name or device alone, so that a process that only sees a bind mount of its own, or another mount of
 * the same device, is not mistaken for a holder (heartbeat §16). Nothing here touches the file system itself, which may hang: links in /proc are
 * opened with O_PATH, and the mount id is read from our own fdinfo.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type MountEntry, parseMountTable } from '../../shared/mount-table.js';

export interface Opener {
  readonly pid: number;
  /** tells a process from a later one with the same number. */
  readonly startTime: string;
  readonly name: string;
  /** `cwd`, `root`, `program`, `file 3`, `map`, `socket`. */
  readonly how: string;
}

// not among the constants of node:fs
const openPathOnly = 0x200000;
/** Heartbeats go out between two slices of the search. */
const sliceMs = 5;
const mapsPerProcessMax = 16;

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function mountIdOf(fdinfo: string): number {
  return Number(/^mnt_id:\s*(\d+)/m.exec(read(fdinfo))?.[1] ?? -1);
}

/** Mount id behind a link in /proc, -1 when it is gone. */
function mountIdBehind(path: string): number {
  let fd = -1;
  try {
    fd = openSync(path, openPathOnly);
    return mountIdOf(`/proc/self/fdinfo/${fd}`);
  } catch {
    return -1;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/** Start time in ticks after boot; '' for one that is gone or a zombie, which holds nothing. */
export function startTimeOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '');
}

function nameOf(pid: number): string {
  return read(`/proc/${pid}/comm`).trim();
}

/** The same mount in another namespace, into which our unmounting propagates. */
export function isReplica(own: MountEntry, other: MountEntry): boolean {
  if (own.device !== other.device || own.root !== other.root || own.shared === 0) return false;
  return other.shared === own.shared || other.master === own.shared;
}

interface Seen {
  /** ids of the mount in that namespace. */
  readonly ids: ReadonlySet<number>;
  readonly table: readonly MountEntry[];
}

/** Unix sockets of the process's network namespace that are bound to a path in the mount, by inode. */
function boundSockets(pid: number, seen: Seen): Set<string> {
  const inodes = new Set<string>();
  for (const line of read(`/proc/${pid}/net/unix`).split('\n')) {
    const match = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d+) (\/.*)$/.exec(line);
    const [, inode, path] = match ?? [];
    if (inode === undefined || path === undefined) continue;
    const over = seen.table.filter((entry) => path.startsWith(entry.mountPoint === '/' ? '/' : `${entry.mountPoint}/`));
    const nearest = over.reduce<MountEntry | null>((best, entry) => (best === null || entry.mountPoint.length >= best.mountPoint.length ? entry : best), null);
    if (nearest !== null && seen.ids.has(nearest.id)) inodes.add(inode);
  }
  return inodes;
}

/** How one process holds the mount, '' when it does not. */
function holdOf(pid: number, seen: Seen, device: string, sockets: () => ReadonlySet<string>): string {
  const base = `/proc/${pid}`;
  for (const [name, how] of [['cwd', 'cwd'], ['root', 'root'], ['exe', 'program']] as const) {
    if (seen.ids.has(mountIdBehind(`${base}/${name}`))) return how;
  }
  for (const fd of list(`${base}/fd`)) {
    if (seen.ids.has(mountIdOf(`${base}/fdinfo/${fd}`))) return `file ${fd}`;
    const socket = /^socket:\[(\d+)\]$/.exec(link(`${base}/fd/${fd}`))?.[1];
    if (socket !== undefined && sockets().has(socket)) return 'socket';
  }
  const [major = '0', minor = '0'] = device.split(':');
  const wanted = `${Number(major).toString(16).padStart(2, '0')}:${Number(minor).toString(16).padStart(2, '0')}`;
  let looked = 0;
  for (const line of read(`${base}/maps`).split('\n')) {
    const [range = '', , , where] = line.split(' ');
    if (where !== wanted || looked++ >= mapsPerProcessMax) continue;
    const file = range.split('-').map((part) => part.replace(/^0+(?=.)/, '')).join('-');
    if (seen.ids.has(mountIdBehind(`${base}/map_files/${file}`))) return 'map';
  }
  return '';
}

/**
 * Processes that hold `own`, a mount of this process's namespace, in a namespace that sees it. Gives way to other work while it looks.
 * Stops early when the signal fires.
 */
export async function findOpeners(own: MountEntry, signal: AbortSignal): Promise<Opener[]> {
  const namespaces = new Map<string, Seen | null>();
  const ownNamespace = link('/proc/self/ns/mnt');
  const seenBy = (pid: number): Seen | null => {
    const namespace = link(`/proc/${pid}/ns/mnt`);
    let seen = namespaces.get(namespace);
    if (seen === undefined) {
      const table = parseMountTable(read(`/proc/${pid}/mountinfo`));
      const ids = namespace === ownNamespace ? [own.id] : table.filter((entry) => isReplica(own, entry)).map((entry) => entry.id);
      seen = ids.length === 0 ? null : { ids: new Set(ids), table };
      namespaces.set(namespace, seen);
    }
    return seen;
  };
  const sockets = new Map<string, Set<string>>();
  const openers: Opener[] = [];
  let slice = performance.now();
  for (const entry of list('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    if (signal.aborted) break;
    if (performance.now() - slice > sliceMs) {
      await new Promise((resolve) => setImmediate(resolve));
      slice = performance.now();
    }
    const startTime = startTimeOf(pid);
    const seen = startTime === '' ? null : seenBy(pid);
    if (seen === null) continue;
    const socketsOf = (): ReadonlySet<string> => {
      const key = `${link(`/proc/${pid}/ns/net`)} ${link(`/proc/${pid}/ns/mnt`)}`;
      const known = sockets.get(key) ?? boundSockets(pid, seen);
      sockets.set(key, known);
      return known;
    };
    const how = holdOf(pid, seen, own.device, socketsOf);
    if (how !== '') openers.push({ pid, startTime, name: nameOf(pid), how });
  }
  return openers;
}

/** `nginx (pid 12, cwd), sh (pid 13, file 1)`; at most eight by name. */
export function describeOpeners(openers: readonly Opener[]): string {
  const shown = openers.slice(0, 8).map(({ name, pid, how }) => `${name} (pid ${pid}, ${how})`);
  return shown.join(', ') + (openers.length > 8 ? ` and ${openers.length - 8} more` : '');
}

/** Signals those that are still the same process. Never this one and never init. */
export function signalOpeners(openers: readonly Opener[], signal: NodeJS.Signals): void {
  for (const { pid, startTime } of openers) {
    if (pid === process.pid || pid === 1 || startTimeOf(pid) !== startTime) continue;
    try {
      process.kill(pid, signal);
    } catch {
      // ended meanwhile
    }
  }
}
