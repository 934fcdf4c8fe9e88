/** sh-*: facts of the configuration for scripts, one per line. They read the file, so they work without the daemon. */
import { hostname } from 'node:os';
import { loadConfig, requireConfig } from '../../config/load.js';
import { type Config, type HostConfig, type HostVolume, sidesOf } from '../../config/types.js';
import { drbdtsError } from '../../shared/errors.js';
import { type CliContext, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { parseTarget, type Target } from '../target.js';
import { type Registry, resourceArgument } from './command.js';

interface LocalConfig {
  readonly config: Config;
  readonly node: string;
}

function readLocal(context: CliContext): LocalConfig {
  const node = context.options.node ?? hostname();
  const file = context.options.config;
  return { config: requireConfig(loadConfig(file, null), file), node };
}

/** Resources of the file that this node has a side of. */
function localResources({ config, node }: LocalConfig): string[] {
  return config.resources.filter((resource) => sidesOf(resource, node) !== null).map((resource) => resource.name);
}

/** This node's side of a resource; an error as drbdadm's when there is none. */
function localSide({ config, node }: LocalConfig, name: string): HostConfig {
  const resource = config.resources.find((candidate) => candidate.name === name);
  const sides = resource === undefined ? null : sidesOf(resource, node);
  if (sides === null) throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: name } });
  return sides.self;
}

function volumesOf(side: HostConfig, target: Target): readonly HostVolume[] {
  if (target.volume === null) return side.volumes;
  const found = side.volumes.filter((volume) => volume.volume === target.volume);
  if (found.length > 0) return found;
  const volumes = side.volumes.map((volume) => volume.volume).join(', ');
  throw drbdtsError('ERR_UNKNOWN_VOLUME_NUMBER', { values: { resource: target.resource, volume: target.volume ?? 0, volumes } });
}

function targetsOf(local: LocalConfig, args: readonly string[]): Target[] {
  return args.flatMap((argument) =>
    argument === 'all' ? localResources(local).map((resource) => ({ resource, volume: null })) : [parseTarget(argument)],
  );
}

/** Device that holds the meta-data: with internal ones the disk itself. */
const metaDevice = (volume: HostVolume): string => (volume.metaIndex === 'internal' ? volume.disk : volume.metaDisk);

export function registerShell({ add, run }: Registry): void {
  add(
    'sh-resources',
    'print the names of the resources of this node, on one line',
    'for res in $(drbdts sh-resources); do drbdts cstate $res; done',
  ).action(
    run(async (context) => {
      const names = localResources(readLocal(context));
      if (names.length > 0) printLines(context.stdout, [names.join(' ')]);
      return exitCodes.ok;
    }),
  );

  const perVolume = (name: string, description: string, fact: (volume: HostVolume) => string): void => {
    add(`${name} ${resourceArgument}`, description, `drbdts ${name} r0`).action(
      run(async (context, resources: string[]) => {
        const local = readLocal(context);
        const lines = targetsOf(local, resources).flatMap((target) => volumesOf(localSide(local, target.resource), target).map(fact));
        printLines(context.stdout, lines);
        return exitCodes.ok;
      }),
    );
  };
  perVolume('sh-dev', 'print the device, for example /dev/drbd0', (volume) => volume.device);
  perVolume('sh-minor', 'print the minor number', (volume) => String(volume.minor));
  perVolume('sh-ll-dev', 'print the backing disk', (volume) => volume.disk);
  perVolume('sh-md-dev', 'print the device of the meta-data', metaDevice);

  add(`sh-ip ${resourceArgument}`, "print this node's address of the connection", 'drbdts sh-ip r0').action(
    run(async (context, resources: string[]) => {
      const local = readLocal(context);
      printLines(
        context.stdout,
        targetsOf(local, resources).map((target) => localSide(local, target.resource).address.host),
      );
      return exitCodes.ok;
    }),
  );
}
