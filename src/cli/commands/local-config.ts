/** This node's part of the configuration file, for commands that work without the daemon. */
import { hostname } from 'node:os';
import { loadConfig, requireConfig } from '../../config/load.js';
import { type Config, type HostConfig, sidesOf } from '../../config/types.js';
import { drbdtsError } from '../../shared/errors.js';
import type { CliContext } from '../context.js';

export interface LocalConfig {
  readonly config: Config;
  readonly node: string;
}

export function readLocal(context: CliContext): LocalConfig {
  const node = context.options.node ?? hostname();
  const file = context.options.config;
  return { config: requireConfig(loadConfig(file, null), file), node };
}

/** Resources of the file that this node has a side of. */
export function localResourceNames({ config, node }: LocalConfig): string[] {
  return config.resources.filter((resource) => sidesOf(resource, node) !== null).map((resource) => resource.name);
}

/** This node's side of a resource; an error as drbdadm's when there is none. */
export function localSideOf({ config, node }: LocalConfig, name: string): HostConfig {
  const resource = config.resources.find((candidate) => candidate.name === name);
  const sides = resource === undefined ? null : sidesOf(resource, node);
  if (sides === null) throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: name } });
  return sides.self;
}
