/** Files in memory and a host that is what a test says. */
import type { Findings, ImportFinding } from '../../../src/import/findings.js';
import { formatFinding } from '../../../src/import/findings.js';
import { checkFiles, gather, type ImportOptions, type ImportOutcome, importFiles } from '../../../src/import/run.js';
import type { FileReader, HostView, PathView } from '../../../src/import/sources.js';
import { matchesWildcards } from '../../../src/import/wildcards.js';

export type Files = Readonly<Record<string, string>>;
export type { Findings };

export function memory(files: Files, modes: Readonly<Record<string, number>> = {}): FileReader {
  return {
    read: (path) => {
      const text = files[path];
      return text === undefined ? { problem: 'no such file' } : { path, text, mode: modes[path] ?? 0o600 };
    },
    glob: (pattern) => (/[*?[]/.test(pattern) ? Object.keys(files).filter((path) => matchesWildcards(path, pattern)) : [pattern]),
  };
}

export interface HostOptions {
  readonly node?: string;
  readonly networks?: HostView['networks'];
  readonly interfaces?: readonly string[];
  readonly paths?: Readonly<Record<string, Partial<PathView>>>;
  readonly programs?: readonly string[];
  readonly units?: readonly string[];
}

const program: PathView = { kind: 'file', executable: true, insecure: '' };

/** A host on which nothing is but what is named. */
export function host(options: HostOptions = {}): HostView {
  const networks = options.networks ?? [];
  return {
    node: options.node ?? 'master1',
    networks,
    interfaces: options.interfaces ?? [...new Set(networks.map((network) => network.interface))],
    path: (path) => (options.paths?.[path] === undefined ? null : { ...program, ...options.paths[path] }),
    program: (name) => (options.programs?.includes(name) === true ? `/usr/bin/${name}` : null),
    unit: (name) => options.units?.includes(name) === true,
  };
}

export const network = (name: string, cidr: string): HostView['networks'][number] => {
  const [address = '', prefix] = cidr.split('/');
  return { interface: name, family: address.includes(':') ? 6 : 4, address, prefix: Number(prefix) };
};

const none: ImportOptions = { addresses: new Map(), witness: '', reorder: false, nodes: new Map(), keyFile: '/etc/drbdts/cluster.key' };

/** Imports all files of a set but those that only others include. */
export function imported(files: Files, view: HostView = host(), options: Partial<ImportOptions> = {}, named: readonly string[] = Object.keys(files)): ImportOutcome {
  const reader = memory(files);
  return importFiles(gather(named, reader).files, reader, view, { ...none, ...options });
}

export function checked(files: Files, view: HostView = host(), modes: Readonly<Record<string, number>> = {}, named: readonly string[] = Object.keys(files)): readonly ImportFinding[] {
  const reader = memory(files, modes);
  return checkFiles(gather(named, reader).files, reader, view).findings;
}

/** `ha.cf:3:1 IMPORT_TIME`, for comparison. */
export const short = (findings: readonly ImportFinding[]): string[] => findings.map(({ file, line, column, code }) => `${file}:${line}:${column} ${code}`);

export const lines = (findings: readonly ImportFinding[]): string => findings.map(formatFinding).join('\n');

export const only = (findings: readonly ImportFinding[], ...severities: readonly ImportFinding['severity'][]): ImportFinding[] => findings.filter(({ severity }) => severities.includes(severity));
