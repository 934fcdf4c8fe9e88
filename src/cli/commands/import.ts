/** import: files of DRBD, heartbeat and keepalived become drbdts.yaml; what is lost is named. */
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { defaultClusterKeyFile } from '../../config/cluster-check.js';
import { parseAddress } from '../../config/schema.js';
import { formatFinding, type ImportFinding } from '../../import/findings.js';
import { expandFolders, realFiles, realHost } from '../../import/host.js';
import { gather, type ImportOutcome, importFiles } from '../../import/run.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import type { Registry } from './command.js';

interface Options {
  readonly output?: string;
  readonly keyOutput?: string;
  readonly force?: boolean;
  readonly reorder?: boolean;
  readonly witness?: string;
  readonly address?: readonly string[];
}

const wrongUse = (line: string, remedy: string): CliError => new CliError([`drbdts: ${line}`, `  ${remedy}`], exitCodes.wrongUse);

function addressesOf(given: readonly string[]): Map<string, string> {
  return new Map(
    given.map((text): [string, string] => {
      const [, place = '', address = ''] = /^([^/=]+\/[^/=]+)=(.+)$/.exec(text) ?? [];
      if (place === '' || isIP(address) === 0) throw wrongUse(`--address ${text}: expected NODE/INTERFACE=ADDRESS`, 'For example --address master1/eth1=10.1.1.1');
      return [place, address];
    }),
  );
}

const nodeNamePattern = /^([A-Za-z0-9_][A-Za-z0-9_.:-]{0,63})=(.+)$/;

/** `NAME=FILE` says whose a keepalived.conf is. A file that is called so itself is one. */
function namedFiles(given: readonly string[]): { readonly paths: string[]; readonly nodes: Map<string, string[]> } {
  const nodes = new Map<string, string[]>();
  const paths = given.map((text) => {
    const [, name = '', file = ''] = existsSync(text) ? [] : (nodeNamePattern.exec(text) ?? []);
    if (name === '') return text;
    const names = nodes.get(file) ?? [];
    if ([...nodes.values()].flat().includes(name)) throw wrongUse(`${text}: ${name} has a file already`, 'Give each node one keepalived.conf; what it includes is read by itself.');
    nodes.set(file, [...names, name]);
    return file;
  });
  return { paths, nodes };
}

/** Refuses before anything is written. */
function refuseOverwriting(file: string | undefined, force: boolean): void {
  if (file === undefined || force || !existsSync(file)) return;
  throw wrongUse(`${file} is there already`, 'Name another file, or replace it with --force.');
}

/** Whole or not at all, for its owner only: the file may hold secrets. */
function writeSecret(file: string, text: string, force: boolean): void {
  try {
    if (!force) {
      writeFileSync(file, text, { flag: 'wx', mode: 0o600 });
      return;
    }
    const draft = `${file}.new-${process.pid}`;
    try {
      writeFileSync(draft, text, { flag: 'wx', mode: 0o600 });
      chmodSync(draft, 0o600);
      renameSync(draft, file);
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
  } catch (error) {
    throw wrongUse(`${file} can not be written: ${(error as Error).message}`, 'Name a file in a folder that exists and that you may write to.');
  }
}

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

/** The last line: what came out of it. */
export function summary(findings: readonly ImportFinding[], left: number): string {
  const count = (severity: ImportFinding['severity']): number => findings.filter((found) => found.severity === severity).length;
  const more = left > 0 ? `; ${left} more are not shown` : '';
  return `${plural(count('error'), 'error', 'errors')}, ${count('lost')} lost, ${plural(count('warning'), 'warning', 'warnings')}, ${plural(count('note'), 'note', 'notes')}${more}`;
}

function exitCodeOf({ findings, left, complete }: ImportOutcome): number {
  if (!complete) return exitCodes.configuration;
  return left > 0 || findings.some(({ severity }) => severity === 'error' || severity === 'lost') ? exitCodes.lost : exitCodes.ok;
}

async function runImport(context: CliContext, given: readonly string[], options: Options): Promise<number> {
  const { paths, nodes } = namedFiles(given);
  const addresses = addressesOf(options.address ?? []);
  const witness = options.witness ?? '';
  if (witness !== '' && parseAddress(witness) === null) throw wrongUse(`--witness ${witness}: expected the numeric HOST:PORT of drbdts-witness`, 'For example --witness 192.168.42.20:7795');
  const force = options.force === true;
  refuseOverwriting(options.output, force);
  refuseOverwriting(options.keyOutput, force);
  const { files, refused } = gather(expandFolders(paths), realFiles);
  const [first] = refused;
  if (first !== undefined) throw wrongUse(`${first.path}: ${first.reason}`, 'Name drbd.conf, *.res, ha.cf, haresources, authkeys or keepalived.conf, or the folder they are in.');
  const foreign = files.find(({ source, kind }) => nodes.has(source.path) && kind !== 'keepalived');
  if (foreign !== undefined) throw wrongUse(`${nodes.get(foreign.source.path)?.join(', ')}=${foreign.source.path}: it is no keepalived.conf`, 'Only keepalived.conf needs to be told whose it is; name the file alone.');
  const own = files.find(({ kind }) => kind === 'drbdts');
  if (own !== undefined) throw wrongUse(`${own.source.path} is a drbdts.yaml already`, 'Check it with `drbdts config check`.');

  const keyFile = options.keyOutput ?? defaultClusterKeyFile;
  const outcome = importFiles(files, realFiles, realHost(context.options.node ?? hostname()), {
    addresses,
    witness,
    nodes,
    reorder: options.reorder === true,
    keyFile: keyFile.startsWith('/') ? keyFile : defaultClusterKeyFile,
  });
  const { findings, left, yaml, key, complete } = outcome;
  if (options.output !== undefined && yaml !== '') writeSecret(options.output, yaml, force);
  if (options.keyOutput !== undefined && key !== '') writeSecret(options.keyOutput, key, force);
  const exitCode = exitCodeOf(outcome);
  if (context.options.json === true) {
    printJson(context.stdout, {
      files: files.map(({ source, kind }) => ({ file: source.path, kind })),
      complete,
      exitCode,
      findings,
      notShown: left,
      output: options.output ?? null,
      ...(options.output === undefined ? { yaml } : {}),
    });
    return exitCode;
  }
  if (options.output === undefined && yaml !== '') context.stdout.write(yaml);
  printLines(context.stderr, findings.map(formatFinding));
  const written = yaml === '' ? 'nothing to write' : options.output === undefined ? '' : `written to ${options.output}`;
  printLines(context.stderr, [`drbdts: ${summary(findings, left)}${written === '' ? '' : `; ${written}`}`]);
  if (!complete) printLines(context.stderr, ['  `drbdts config check` refuses the result until what is missing is added.']);
  return exitCode;
}

export function registerImport({ add, run }: Registry): void {
  const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];
  add(
    'import <file...>',
    'write drbdts.yaml from drbd.conf, ha.cf, haresources, authkeys and keepalived.conf; names every line that is lost; NAME=FILE says whose keepalived.conf it is',
    'drbdts import /etc/drbd.conf\ndrbdts import /etc/ha.d /etc/drbd.conf --witness 192.168.42.20:7795 --output /etc/drbdts/drbdts.yaml\ndrbdts import ka67=keepalived.conf ka68=keepalived.conf.of-ka68',
  )
    .option('--output <file>', 'write there, mode 0600, instead of to standard output')
    .option('--key-output <file>', 'write the key of authkeys there, mode 0600')
    .option('--force', 'replace files that are there already')
    .option('--witness <host:port>', 'the arbiter that heartbeat did not have')
    .option('--address <node/interface=address>', "a node's own address on a heartbeat link, when the files do not tell; may be repeated", collect)
    .option('--reorder', 'members of groups in the order storage, file systems, services, addresses')
    .action(run(async (context, paths: string[], options: Options) => runImport(context, paths, options)));
}
