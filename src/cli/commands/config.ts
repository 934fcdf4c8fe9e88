/** config check, config show, config schema. */
import { hostname } from 'node:os';
import { stringify } from 'yaml';
import { formatProblem, loadConfig } from '../../config/load.js';
import { jsonSchema } from '../../config/schema.js';
import { printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import type { Registry } from './command.js';

export function registerConfig(registry: Registry): void {
  const { add, run } = registry.group('config', 'check the configuration file, show the one in force, print its schema');

  add(
    'check [file]',
    'name every problem of the configuration with line and column; does not need the daemon',
    'drbdts config check\ndrbdts config check ./drbdts.yaml',
  ).action(
    run(async (context, argument: string | undefined) => {
      const file = argument ?? context.options.config;
      const { config, problems } = loadConfig(file, context.options.node ?? hostname());
      if (context.options.json === true) printJson(context.stdout, { file, valid: config !== null, problems });
      else {
        printLines(context.stderr, problems.map(formatProblem));
        if (config !== null)
          printLines(context.stdout, [`${file}: OK; resources: ${config.resources.map(({ name }) => name).join(' ') || 'none'}`]);
      }
      return config === null ? exitCodes.configuration : exitCodes.ok;
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
