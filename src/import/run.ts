/** Files of other products: read, compared, checked, and turned into drbdts.yaml. Pure apart from the reader and the host it is given. */
import { parseConfig } from '../config/load.js';
import type { Problem } from '../config/types.js';
import { type AuthKeys, compareAuthKeys, readAuthKeys } from './authkeys.js';
import { Budget, readDrbd } from './drbd-include.js';
import { type DrbdDraft, mapDrbd } from './drbd-map.js';
import type { Statement } from './drbd-parse.js';
import { Findings, type ImportFinding, type Place, printable, type Report } from './findings.js';
import { checkOwnNode, compareHaCf, type HaCf, readHaCf } from './ha-cf.js';
import { compareHaResources, type HaResources, readHaResources } from './haresources.js';
import { checkKeepalived, readKeepalived } from './keepalived.js';
import type { Keepalived } from './keepalived-model.js';
import { type FileKind, kindOf } from './kind.js';
import { type ClusterDraft, mapCluster, nodesOf, type Remark } from './map-cluster.js';
import { mapGroups } from './map-groups.js';
import { mapVrrp } from './map-vrrp.js';
import type { FileReader, HostView, Source } from './sources.js';
import { configurationOf, writeConfiguration, type Written } from './write.js';

export interface GivenFile {
  readonly source: Source;
  readonly kind: FileKind;
}

/** What was read, in terms of its own product. */
interface Read {
  readonly drbd: readonly { readonly path: string; readonly statements: readonly Statement[] }[];
  readonly haCf: readonly HaCf[];
  readonly haResources: readonly HaResources[];
  readonly authKeys: readonly AuthKeys[];
  readonly keepalived: readonly Keepalived[];
}

const ofKind = (files: readonly GivenFile[], kind: FileKind): Source[] => files.filter((file) => file.kind === kind).map(({ source }) => source);

/** Statements as one writes them, to see whether two files say the same. */
const textOf = (statements: readonly Statement[]): string => JSON.stringify(statements.map(plain));
const plain = (statement: Statement): unknown => [statement.words.map(({ text }) => text), statement.block?.map(plain) ?? null];

/**
 * Files of both nodes: a resource that stands in two of them must be the same in both, and is read once. Resources of one file twice are
 * reported when they are mapped.
 */
function mergeDrbd(files: Read['drbd'], report: Report): Statement[] {
  const seen = new Map<string, { readonly statement: Statement; readonly path: string }>();
  const result: Statement[] = [];
  for (const { path, statements } of files) {
    for (const statement of statements) {
      const key = statement.words.map(({ text }) => text).join(' ');
      const first = seen.get(key);
      if (first === undefined || first.path === path) {
        if (first === undefined) seen.set(key, { statement, path });
        result.push(statement);
        continue;
      }
      compareStatements(first.statement, statement, first.path, report);
    }
  }
  return result;
}

/** The first difference of two blocks that should be the same, at the innermost place. */
function compareStatements(a: Statement, b: Statement, other: string, report: Report): void {
  if (textOf([a]) === textOf([b])) return;
  const [left, right] = [a.block ?? [], b.block ?? []];
  const at = right.findIndex((statement, index) => left[index] === undefined || textOf([left[index]]) !== textOf([statement]));
  const [mine, theirs] = [left[at], right[at]];
  const sameWords = mine !== undefined && theirs !== undefined && textOf([{ ...mine, block: null }]) === textOf([{ ...theirs, block: null }]);
  if (sameWords) {
    compareStatements(mine, theirs, other, report);
    return;
  }
  const place = theirs?.words[0] ?? b.words[0];
  const words = (statement: Statement | undefined): string => statement?.words.map(({ text }) => text).join(' ') ?? 'nothing';
  if (place !== undefined) report('IMPORT_FILES_DIFFER', place, { what: `'${words(theirs ?? b)}'`, other, value: `'${words(mine ?? left[right.length])}'` });
}

function read(files: readonly GivenFile[], reader: FileReader, host: HostView, report: Report): Read {
  const budget = new Budget();
  const drbd = ofKind(files, 'drbd').map((source) => ({ path: source.path, statements: readDrbd(source, reader, budget, report) }));
  const haCf = ofKind(files, 'ha.cf').map((source) => readHaCf(source, host, report));
  const nodes = haCf.flatMap((file) => file.nodes);
  const haResources = ofKind(files, 'haresources').map((source) => readHaResources(source, nodes, report));
  const authKeys = ofKind(files, 'authkeys').map((source) => readAuthKeys(source, report));
  for (const [index, file] of haCf.entries()) {
    checkOwnNode(file.nodes, host, report);
    if (index > 0 && haCf[0] !== undefined) compareHaCf(haCf[0], file, report);
  }
  for (const file of haResources.slice(1)) if (haResources[0] !== undefined) compareHaResources(haResources[0], file, report);
  for (const file of authKeys.slice(1)) if (authKeys[0] !== undefined) compareAuthKeys(authKeys[0], file, report);
  const keepalived = ofKind(files, 'keepalived').map((source) => readKeepalived(source, reader, host, report));
  checkKeepalived(keepalived, host, report);
  return { drbd, haCf, haResources, authKeys, keepalived };
}

function checkDrbdHosts(draft: DrbdDraft, host: HostView, report: Report): void {
  for (const resource of draft.resources.values()) checkOwnNode(resource.hosts.filter(({ hostName, name }) => hostName === name.text).map(({ name }) => name), host, report);
}

export interface CheckOutcome {
  readonly findings: readonly ImportFinding[];
  /** findings beyond the bound. */
  readonly left: number;
}

/** What a check says: whether the files are right in their own product. What drbdts has no equivalent for is the import's business. */
export function checkFiles(files: readonly GivenFile[], reader: FileReader, host: HostView): CheckOutcome {
  const findings = new Findings();
  const all = read(files, reader, host, findings.report);
  const drbd = mapDrbd(mergeDrbd(all.drbd, findings.report), findings.report);
  checkDrbdHosts(drbd, host, findings.report);
  const wrong = findings.sorted(files.map(({ source }) => source.path)).filter(({ severity }) => severity === 'error' || severity === 'warning');
  // a resource that is whole in DRBD's eyes may still contradict itself
  return { findings: [...wrong, ...contradictions(drbd, wrong)], left: findings.left };
}

/** What drbdts.yaml's own check says about resources, at the places of drbd.conf; only when nothing else explains it. */
function contradictions(drbd: DrbdDraft, found: readonly ImportFinding[]): ImportFinding[] {
  const written: Written = { drbd, cluster: null, groups: {}, vrrp: null, remarks: [] };
  if (drbd.resources.size === 0 || found.some(({ severity }) => severity === 'error')) return [];
  const { problems } = parseConfig(writeConfiguration(written, [], []), 'drbdts.yaml', null);
  const named = (problem: Problem): ImportFinding | null => {
    const resource = [...drbd.resources.values()].find(({ name }) => problem.message.includes(name.text)) ?? [...drbd.resources.values()][0];
    if (resource === undefined) return null;
    const { file, line, column } = resource.name;
    return { severity: problem.severity, code: problem.code, file, line, column, message: `resource ${printable(resource.name.text)}: ${printable(problem.message)}`, remedy: printable(problem.remedy) };
  };
  return problems.filter(({ severity }) => severity === 'error').flatMap((problem) => named(problem) ?? []);
}

export interface ImportOptions {
  readonly addresses: ReadonlyMap<string, string>;
  readonly witness: string;
  readonly reorder: boolean;
  readonly keyFile: string;
  /** whose a keepalived.conf is: names of nodes by its path. */
  readonly nodes: ReadonlyMap<string, readonly string[]>;
}

export interface ImportOutcome extends CheckOutcome {
  /** the text of drbdts.yaml; '' when there is nothing to write. */
  readonly yaml: string;
  /** whether `config check` takes it. */
  readonly complete: boolean;
  /** text of the key file, '' for none. */
  readonly key: string;
  /** the statements of keepalived.conf that were taken over. */
  readonly mapped: readonly Place[];
}

interface HeartbeatDraft {
  readonly cluster: ClusterDraft | null;
  readonly groups: Record<string, unknown>;
  readonly remarks: readonly Remark[];
}

function mapHeartbeat(all: Read, drbd: DrbdDraft, host: HostView, options: ImportOptions, report: Report): HeartbeatDraft {
  if (all.haCf.length === 0 && all.haResources.length === 0 && all.authKeys.length === 0) return { cluster: null, groups: {}, remarks: [] };
  const nodes = nodesOf(all.haCf, drbd, report);
  const authKeys = all.authKeys[0] ?? null;
  const cluster = mapCluster({ haCf: all.haCf, authKeys, drbd, host, addresses: options.addresses, witness: options.witness, keyFile: options.keyFile }, nodes, report);
  const file = all.haResources[0];
  if (file === undefined) return { cluster, groups: {}, remarks: cluster.remarks };
  const failback = all.haCf[0] === undefined ? null : all.haCf[0].autoFailback?.value !== 'off';
  const groups = mapGroups(file, nodes, failback, options.reorder, drbd, host, report);
  return { cluster, groups: groups.groups, remarks: [...cluster.remarks, ...groups.remarks] };
}

/** Everything that has an equivalent as drbdts.yaml, and a finding for everything that has none. */
export function importFiles(files: readonly GivenFile[], reader: FileReader, host: HostView, options: ImportOptions): ImportOutcome {
  const findings = new Findings();
  const all = read(files, reader, host, findings.report);
  const drbd = mapDrbd(mergeDrbd(all.drbd, findings.report), findings.report);
  checkDrbdHosts(drbd, host, findings.report);
  const vrrp = mapVrrp(all.keepalived, options.nodes, host, findings.report);
  const heartbeat = mapHeartbeat(all, drbd, host, options, findings.report);
  const written: Written = { drbd, cluster: heartbeat.cluster?.cluster ?? null, groups: heartbeat.groups, vrrp: vrrp.section, remarks: [...heartbeat.remarks, ...vrrp.remarks] };
  const paths = files.map(({ source }) => source.path);
  const found = findings.sorted(paths);
  if (Object.keys(configurationOf(written)).length === 0) return { yaml: '', complete: true, key: '', findings: found, left: findings.left, mapped: vrrp.mapped };
  const yaml = writeConfiguration(written, paths, found);
  const { config, problems } = parseConfig(yaml, 'drbdts.yaml', null);
  const open = problems
    .filter(({ severity }) => severity === 'error')
    .map((problem): ImportFinding => ({ ...problem, severity: 'error', code: 'IMPORT_RESULT', message: `the result is not complete: ${printable(problem.message)}`, remedy: printable(problem.remedy) }));
  return { yaml, complete: config !== null, key: heartbeat.cluster?.key ?? '', findings: [...found, ...open], left: findings.left, mapped: vrrp.mapped };
}

export interface Gathered {
  readonly files: readonly GivenFile[];
  /** paths that could not be read or that nobody knows. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

/** Reads the named files and finds out what they are. */
export function gather(paths: readonly string[], reader: FileReader): Gathered {
  const files: GivenFile[] = [];
  const refused: { path: string; reason: string }[] = [];
  for (const path of new Set(paths)) {
    const source = reader.read(path);
    if ('problem' in source) {
      refused.push({ path, reason: source.problem });
      continue;
    }
    const kind = kindOf(path, source.text);
    if (kind === null) refused.push({ path, reason: 'it looks like none of drbd.conf, ha.cf, haresources, authkeys, keepalived.conf, drbdts.yaml' });
    else files.push({ source, kind });
  }
  return { files, refused };
}
