/**
 * Reads drbdts.yaml: text to configuration, and every problem with file, line, column, cause and remedy, all at once.
 * `parseConfig` is pure; `loadConfig` reads the file and looks at its mode.
 */
import { readFileSync, statSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { drbdtsError } from '../shared/errors.js';
import { checkConfig, type Finding } from './check.js';
import { optionsOf, optionTable, refusedOptions, type Section, sections } from './options.js';
import { clusterWords } from './cluster-schema.js';
import { type KeyPath, placeOf } from './places.js';
import { type FileConfig, fileSchema } from './schema.js';
import { nearest } from './suggest.js';
import type { Config, Problem } from './types.js';
import { balancingWords } from './balancing-schema.js';
import { vrrpWords } from './vrrp-schema.js';

export const defaultConfigFile = '/etc/drbdts/drbdts.yaml';

export interface LoadResult {
  /** null when there is an error among the problems. */
  config: Config | null;
  problems: Problem[];
}

interface Issue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
  readonly errors?: readonly (readonly Issue[])[];
  readonly issues?: readonly Issue[];
}

const wordsByDepth: readonly { matches: (path: KeyPath) => boolean; words: readonly string[] }[] = [
  { matches: (path) => path.length === 0, words: ['global', 'common', 'resources', 'cluster', 'groups', 'vrrp', 'balancing'] },
  { matches: (path) => path.length === 1 && path[0] === 'cluster', words: clusterWords.cluster },
  { matches: (path) => path.length === 3 && path[0] === 'cluster' && path[1] === 'links', words: clusterWords.link },
  { matches: (path) => path.length === 2 && path[0] === 'cluster' && path[1] === 'arbiter', words: clusterWords.arbiter },
  { matches: (path) => path.length === 2 && path[0] === 'cluster' && path[1] === 'self-fence', words: clusterWords.selfFence },
  { matches: (path) => path.length === 2 && path[0] === 'groups', words: clusterWords.group },
  { matches: (path) => path.length === 4 && path[0] === 'groups', words: clusterWords.member },
  { matches: (path) => path.length === 1 && path[0] === 'vrrp', words: vrrpWords.vrrp },
  { matches: (path) => path[0] === 'vrrp' && path.at(-1) === 'notify', words: vrrpWords.notify },
  { matches: (path) => path[0] === 'vrrp' && path.at(-1) === 'announce', words: vrrpWords.announce },
  { matches: (path) => path[0] === 'vrrp' && path.at(-1) === 'unicast', words: vrrpWords.unicast },
  { matches: (path) => path[0] === 'vrrp' && path.at(-2) === 'track', words: vrrpWords.track },
  { matches: (path) => path[0] === 'vrrp' && path.at(-2) === 'addresses', words: ['address', 'interface', 'label', 'advertised'] },
  { matches: (path) => path[0] === 'vrrp' && path.at(-1) === 'gate', words: ['group', 'weight'] },
  { matches: (path) => path.length === 3 && path[0] === 'vrrp' && path[1] === 'instances', words: vrrpWords.instance },
  { matches: (path) => path.length === 3 && path[0] === 'vrrp' && path[1] === 'sync-groups', words: vrrpWords.syncGroup },
  { matches: (path) => path.length === 3 && path[0] === 'vrrp' && path[1] === 'scripts', words: vrrpWords.script },
  { matches: (path) => path.length === 1 && path[0] === 'balancing', words: balancingWords.balancing },
  { matches: (path) => path[0] === 'balancing' && path.at(-2) === 'checks', words: balancingWords.check },
  { matches: (path) => path[0] === 'balancing' && path.at(-1) === 'gate', words: ['instance', 'group'] },
  { matches: (path) => path[0] === 'balancing' && path.at(-1) === 'sorry-server', words: ['address', 'port'] },
  { matches: (path) => path[0] === 'balancing' && path.at(-2) === 'real-servers', words: balancingWords.realServer },
  { matches: (path) => path.length === 3 && path[0] === 'balancing' && path[1] === 'virtual-servers', words: balancingWords.virtualServer },
  { matches: (path) => path.length === 1 && path[0] === 'global', words: ['log-level', 'handler-timeout'] },
  { matches: (path) => path.length === 1 && path[0] === 'common', words: ['protocol', ...sections] },
  {
    matches: (path) => path.length === 2 && path[0] === 'resources',
    words: ['protocol', 'startup', 'disk', 'net', 'handlers', 'device', 'disk-path', 'meta-disk', 'volumes', 'on'],
  },
  { matches: (path) => path.at(-2) === 'on', words: ['address', 'device', 'disk', 'meta-disk', 'volumes'] },
  { matches: (path) => path.at(-2) === 'volumes' && path.includes('on'), words: ['device', 'disk', 'meta-disk'] },
  { matches: (path) => path.at(-2) === 'volumes', words: ['device', 'disk-path', 'meta-disk', 'disk'] },
];

/** sections whose words are not options of DRBD. */
const managerSections: readonly string[] = ['cluster', 'groups', 'vrrp', 'balancing'];

function knownWords(path: KeyPath): readonly string[] {
  if (managerSections.includes(String(path[0]))) return wordsByDepth.find((level) => level.matches(path))?.words ?? [];
  const section = path.at(-1);
  if (sections.includes(section as Section) && path.length >= 2) return optionsOf(section as Section).map((spec) => spec.name);
  return wordsByDepth.find((level) => level.matches(path))?.words ?? [];
}

function whereWords(path: KeyPath): string {
  return path.length === 0 ? 'the file' : path.join('.');
}

function unknownKey(path: KeyPath, key: string): Finding {
  const refused = Object.hasOwn(refusedOptions, key) ? refusedOptions[key] : undefined;
  if (refused !== undefined) {
    return {
      severity: 'error',
      code: 'ERR_CONFIG_REFUSED_OPTION',
      path: [...path, key],
      at: 'key',
      message: `option '${key}' is not available: ${refused.reason}`,
      remedy: refused.hint,
    };
  }
  const known = knownWords(path);
  const clustered = managerSections.includes(String(path[0]));
  const elsewhere = clustered ? undefined : optionTable.find((spec) => spec.name === key);
  const guess =
    nearest(key, known) ??
    nearest(
      key,
      clustered ? [] : optionTable.map((spec) => spec.name),
    );
  const remedy =
    elsewhere !== undefined
      ? `'${key}' belongs into the section \`${elsewhere.section}\`.`
      : guess !== null
        ? `Did you mean '${guess}'?`
        : 'Remove it.';
  return {
    severity: 'error',
    code: 'ERR_CONFIG_UNKNOWN_KEY',
    path: [...path, key],
    at: 'key',
    message: `unknown key '${key}' in ${whereWords(path)}; expected one of: ${known.join(', ')}`,
    remedy,
  };
}

function valueRemedy(path: KeyPath): string {
  const key = path.at(-1);
  const section = path.at(-2);
  const spec = optionTable.find((candidate) => candidate.name === key && candidate.section === section);
  if (spec?.kind === 'number') return `Range ${spec.min}..${spec.max}, default ${spec.default}.`;
  if (spec?.kind === 'enum') return `Values: ${spec.values.map((value) => (value === '' ? '""' : value)).join(', ')}.`;
  if (spec?.kind === 'boolean') return 'Values: yes, no.';
  if (key === 'disk' && path.length <= 4 && !path.includes('on'))
    return 'Here `disk` is the section of options; the path of the disk is `disk-path`, or `disk` below a host.';
  return 'See resources/docs/configuration.md.';
}

function findingsOf(issue: Issue): Finding[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  if (issue.code === 'unrecognized_keys') return (issue.keys ?? []).map((key) => unknownKey(path, key));
  const inner = issue.code === 'invalid_key' ? (issue.issues?.[0]?.message ?? issue.message) : issue.message;
  // messages of options begin with the option's name, so the path stops before it
  const where = inner.startsWith(String(path.at(-1))) ? path.slice(0, -1) : path;
  return [
    {
      severity: 'error',
      code: 'ERR_CONFIG_VALUE',
      path,
      message: `${whereWords(where)}: ${inner}`,
      remedy: valueRemedy(path),
      at: issue.code === 'invalid_key' ? 'key' : 'value',
    },
  ];
}

/** `value` without what is at `paths`; shares nothing that is changed. */
function without(value: unknown, paths: readonly KeyPath[]): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    // places in a list stay what they are, so that later findings name the right one
    return value.map((child: unknown, index) => {
      const below = paths.filter((path) => Number(path[0]) === index).map((path) => path.slice(1));
      return below.some((path) => path.length === 0) ? {} : below.length === 0 ? child : without(child, below);
    });
  }
  const result: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value)) {
    const below = paths.filter((path) => String(path[0]) === key);
    if (below.some((path) => path.length === 1)) continue;
    result[key] =
      below.length === 0
        ? child
        : without(
            child,
            below.map((path) => path.slice(1)),
          );
  }
  return result;
}

/** Prefix in either direction: a finding about something whose parts were already reported would only repeat it. */
function concerns(path: KeyPath, reported: KeyPath): boolean {
  return path.every((part, index) => index >= reported.length || String(part) === String(reported[index]));
}

/** Parses the text of a configuration. `node` null: do not ask whether this host is in it. */
export function parseConfig(text: string, file: string, node: string | null): LoadResult {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const problems: Problem[] = [];
  for (const error of [...document.errors, ...document.warnings]) {
    const { line, col } = lines.linePos(error.pos[0]);
    const remedy = /Unexpected|flow|Missing|Nested mappings/.test(error.message)
      ? 'Check indentation and brackets; texts with `[`, `]`, `: ` or `#` need quotes, for example "[fd00::1]:7788".'
      : 'Correct the YAML at this place.';
    problems.push({ severity: 'error', code: 'ERR_CONFIG_SYNTAX', file, line, column: col, message: error.message, remedy });
  }
  if (problems.length > 0) return { config: null, problems };

  const add = (finding: Finding): void => {
    const { path, at, ...rest } = finding;
    problems.push({ ...rest, file, ...placeOf(document, lines, path, at) });
  };
  let raw: unknown;
  try {
    raw = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (error) {
    problems.push({
      severity: 'error',
      code: 'ERR_CONFIG_SYNTAX',
      file,
      line: 1,
      column: 1,
      message: String((error as Error).message),
      remedy: 'Use fewer aliases.',
    });
    return { config: null, problems };
  }
  const first = fileSchema.safeParse(dropEmpty(raw));
  let parsed: FileConfig;
  const reported: KeyPath[] = [];
  if (first.success) parsed = first.data;
  else {
    const findings = first.error.issues.flatMap((issue) => findingsOf(issue as unknown as Issue));
    for (const finding of findings) {
      add(finding);
      reported.push(finding.path);
    }
    // the rest of the file is still looked at, so that one run names every problem
    const second = reported.some((path) => path.length === 0) ? null : fileSchema.safeParse(without(dropEmpty(raw), reported));
    if (second === null || !second.success) return { config: null, problems: sorted(problems) };
    parsed = second.data;
  }
  const config = checkConfig(parsed, file, node, (finding) => {
    if (!reported.some((path) => concerns(finding.path, path))) add(finding);
  });
  return { config: problems.some((problem) => problem.severity === 'error') ? null : config, problems: sorted(problems) };
}

/** An empty section (`net:` with nothing below) is an empty one, not a wrong one. */
function dropEmpty(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(dropEmpty);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, child]) => child !== null)
      .map(([key, child]) => [key, dropEmpty(child)]),
  );
}

function sorted(problems: Problem[]): Problem[] {
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
}

function hasSecret(config: Config): boolean {
  return config.resources.some((resource) => resource.net['shared-secret'] !== '') || (config.vrrp?.instances.some(({ password }) => password !== '') ?? false);
}

/** Reads `file`. Throws ERR_CONFIG_MISSING when it cannot be read; problems of its contents are in the result. */
export function loadConfig(file: string, node: string | null): LoadResult {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(file, 'utf8');
    mode = statSync(file).mode;
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw drbdtsError('ERR_CONFIG_MISSING', { values: { file, reason }, place: file, cause: error });
  }
  const result = parseConfig(text, file, node);
  if (result.config !== null && hasSecret(result.config) && (mode & 0o077) !== 0) {
    result.problems.push({
      severity: 'warning',
      code: 'ERR_CONFIG_WARNING',
      file,
      line: 1,
      column: 1,
      message: `the file has a secret (shared-secret or password) and may be read by others (mode ${(mode & 0o777).toString(8)})`,
      remedy: `chmod 600 ${file}`,
    });
  }
  return result;
}

/** `/etc/drbdts/drbdts.yaml:5:7: ... (remedy)`, one line. */
export function formatProblem(problem: Problem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.severity === 'warning' ? 'warning: ' : ''}${problem.message}. ${problem.remedy}`;
}

/** The configuration, or one error that carries all problems. */
export function requireConfig(result: LoadResult, file: string): Config {
  if (result.config !== null) return result.config;
  const errors = result.problems.filter((problem) => problem.severity === 'error');
  const first = errors[0];
  throw drbdtsError('ERR_CONFIG', {
    values: { count: errors.length, file, first: first === undefined ? '' : formatProblem(first) },
    place: first === undefined ? file : `${file}:${first.line}:${first.column}`,
    details: { problems: result.problems },
  });
}
