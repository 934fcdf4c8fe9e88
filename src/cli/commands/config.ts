/** config check, config show, config schema. */
import { hostname } from 'node:os';
import { stringify } from 'yaml';
import { formatProblem, loadConfig } from '../../config/load.js';
import { jsonSchema } from '../../config/schema.js';
import { formatFinding } from '../../import/findings.js';
import { expandFolders, realFiles, realHost } from '../../import/host.js';
import { checkFiles, gather } from '../../import/run.js';
import { drbdtsError } from '../../shared/errors.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { worstExitCode, exitCodes } from '../exit-codes.js';
import type { Registry } from './command.js';
import { summary } from './import.js';

/** drbdts.yaml, as the daemons read it. */
function checkOwn(context: CliContext, file: string): { readonly report: object; readonly code: number } {
  const { config, problems } = loadConfig(file, context.options.node ?? hostname());
  if (context.options.json !== true) {
    printLines(context.stderr, problems.map(formatProblem));
    if (config !== null) printLines(context.stdout, [`${file}: OK; resources: ${config.resources.map(({ name }) => name).join(' ') || 'none'}`]);
  }
  return { report: { file, valid: config !== null, problems }, code: config === null ? exitCodes.configuration : exitCodes.ok };
}

/** Files of DRBD, heartbeat and keepalived together: what stands in one is compared with the others. */
function checkForeign(context: CliContext, paths: readonly string[]): { readonly report: object; readonly code: number } {
  const { files, refused } = gather(paths, realFiles);
  const [first] = refused;
  if (first !== undefined) throw drbdtsError('ERR_CONFIG_MISSING', { values: { file: first.path, reason: first.reason }, place: first.path });
  const { findings, left } = checkFiles(files, realFiles, realHost(context.options.node ?? hostname()));
  const valid = left === 0 && findings.every(({ severity }) => severity !== 'error');
  if (context.options.json !== true) {
    printLines(context.stderr, findings.map(formatFinding));
    const names = files.map(({ source }) => source.path).join(' ');
    if (valid) printLines(context.stdout, [`${names}: OK${findings.length === 0 ? '' : `; ${summary(findings, left)}`}`]);
    else printLines(context.stderr, [`drbdts: ${summary(findings, left)}`]);
  }
  const report = { files: files.map(({ source, kind }) => ({ file: source.path, kind })), valid, problems: findings, notShown: left };
  return { report, code: valid ? exitCodes.ok : exitCodes.configuration };
}

export function registerConfig(registry: Registry): void {
  const { add, run } = registry.group('config', 'check the configuration file, show the one in force, print its schema');

  add(
    'check [file...]',
    'name every problem of the configuration with line and column; does not need the daemon',
    'drbdts config check\ndrbdts config check ./drbdts.yaml\ndrbdts config check /etc/ha.d /etc/drbd.conf',
  ).action(
    run(async (context, given: string[]) => {
      const paths = expandFolders(given.length === 0 ? [context.options.config] : given);
      // a single file that is not obviously another product's is drbdts's own, as it always was
      const foreign = paths.filter((path) => isForeign(path, paths.length === 1));
      const results = paths.filter((path) => !foreign.includes(path)).map((path) => checkOwn(context, path));
      if (foreign.length > 0) results.push(checkForeign(context, foreign));
      if (context.options.json === true) printJson(context.stdout, results.length === 1 ? results[0]?.report : results.map(({ report }) => report));
      return worstExitCode(results.map(({ code }) => code));
    }),
  );

  add('show', 'print the configuration that drbdtsd works with, defaults included, secrets masked', 'drbdts config show').action(
    run(async (context) => {
      const config = await context.api.config();
      if (context.options.json === true) printJson(context.stdout, config);
      else context.stdout.write(stringify(config));
      return exitCodes.ok;
    }),
  );

  add('schema', 'print the JSON schema of drbdts.yaml, for editors', 'drbdts config schema > drbdts.schema.json').action(
    run(async (context) => {
      printJson(context.stdout, jsonSchema());
      return exitCodes.ok;
    }),
  );
}

/** Whether a file is for the readers of other products. */
function isForeign(path: string, alone: boolean): boolean {
  const { files } = gather([path], realFiles);
  const kind = files[0]?.kind;
  return kind === undefined ? !alone && !/\.ya?ml$/.test(path) : kind !== 'drbdts';
}
