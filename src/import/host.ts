/** The real host: files, interfaces, scripts. Effects only; nothing is decided here. */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { isKnownName } from './kind.js';
import type { FileReader, HostNetwork, HostView, PathView } from './sources.js';
import { expandBraces, matchesWildcards } from './wildcards.js';

const fileBytesMax = 16 * 1024 * 1024;
const globMax = 1000;

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'permission denied' : message;
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** Paths that one pattern without braces names. */
function globOne(pattern: string): string[] {
  let found = [pattern.startsWith('/') ? '/' : ''];
  for (const part of pattern.split('/').filter((one) => one !== '')) {
    if (!/[*?[]/.test(part)) {
      found = found.map((path) => join(path, part));
      continue;
    }
    found = found.flatMap((path) =>
      entries(path === '' ? '.' : path)
        .filter((name) => (part.startsWith('.') || !name.startsWith('.')) && matchesWildcards(name, part))
        .map((name) => join(path, name)),
    );
    if (found.length > globMax) found.length = globMax;
  }
  return found.filter((path) => existsSync(path));
}

export const realFiles: FileReader = {
  read(path) {
    try {
      const stat = statSync(path);
      // a pipe or a device would never end
      if (!stat.isFile()) return { problem: 'not a file' };
      if (stat.size > fileBytesMax) return { problem: `larger than ${fileBytesMax / 1024 / 1024} MiB` };
      return { path, text: readFileSync(path, 'utf8'), mode: stat.mode & 0o777 };
    } catch (error) {
      return { problem: reasonOf(error) };
    }
  },
  glob(pattern) {
    return /[*?[{]/.test(pattern) ? [...new Set(expandBraces(pattern).flatMap(globOne))] : [pattern];
  },
};

/** The first part of the path that somebody else than root may write: then that one decides what runs. */
function insecurePart(path: string): string {
  for (let part = path; ; part = dirname(part)) {
    const { mode, uid, gid } = statSync(part);
    const sticky = part !== path && (mode & 0o1000) !== 0;
    if (uid !== 0 || ((mode & 0o002) !== 0 && !sticky) || ((mode & 0o020) !== 0 && gid !== 0 && !sticky)) return part;
    if (part === dirname(part)) return '';
  }
}

function pathView(path: string): PathView | null {
  try {
    const stat = statSync(path);
    let insecure = '';
    if (path.startsWith('/')) insecure = insecurePart(path);
    return { kind: stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : 'other', executable: (stat.mode & 0o111) !== 0, insecure };
  } catch {
    return null;
  }
}

function program(name: string): string | null {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // not there
    }
  }
  return null;
}

const unitDirectories = ['/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];

/** What is known of this host, asked once; `node` is the name that the user gave it or `uname -n` did. */
export function realHost(node: string): HostView {
  const networks: HostNetwork[] = [];
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, cidr, family, internal } of addresses ?? []) {
      const prefix = Number(cidr?.split('/')[1] ?? Number.NaN);
      if (internal || Number.isNaN(prefix)) continue;
      networks.push({ interface: name, family: family === 'IPv4' ? 4 : 6, address: address.replace(/%.*/, ''), prefix });
    }
  }
  const interfaces = entries('/sys/class/net');
  const paths = new Map<string, PathView | null>();
  const programs = new Map<string, string | null>();
  return {
    node,
    interfaces,
    networks,
    path: (path) => {
      const known = paths.get(path);
      if (known !== undefined) return known;
      const view = pathView(path);
      paths.set(path, view);
      return view;
    },
    program: (name) => {
      const known = programs.get(name);
      if (known !== undefined) return known;
      const found = program(name);
      programs.set(name, found);
      return found;
    },
    unit: (name) => /^[^/]+$/.test(name) && unitDirectories.some((directory) => existsSync(join(directory, `${name}.service`))),
  };
}

/** The files of a folder that its products would read; anything else names itself. */
export function expandFolders(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!isFolder(path)) return [path];
    const names = entries(path);
    const nested = names.includes('drbd.d') ? entries(join(path, 'drbd.d')).map((name) => `drbd.d/${name}`) : [];
    // drbd.conf includes them by itself
    const own = names.includes('drbd.conf') ? names : [...names, ...nested];
    const known = own.filter((name) => isKnownName(name.slice(name.lastIndexOf('/') + 1)) && !isFolder(join(path, name)));
    return known.length === 0 ? [path] : known.map((name) => join(path, name));
  });
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
