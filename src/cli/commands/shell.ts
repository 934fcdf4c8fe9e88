/** sh-*: facts for scripts. All but sh-status read the configuration file, so they work without the daemon; one fact per line. */
import type { HostConfig, HostVolume } from '../../config/types.js';
import { formatShStatus } from '../../control/sh-status.js';
import { drbdtsError } from '../../shared/errors.js';
import { printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { parseTarget, resolveTargets, type Target, volumesIn } from '../target.js';
import { type Registry, resourceArgument } from './command.js';
import { type LocalConfig, localResourceNames, localSideOf, readLocal } from './local-config.js';

function volumesOf(side: HostConfig, target: Target): readonly HostVolume[] {
  if (target.volume === null) return side.volumes;
  const found = side.volumes.filter((volume) => volume.volume === target.volume);
  if (found.length > 0) return found;
  const volumes = side.volumes.map((volume) => volume.volume).join(', ');
  throw drbdtsError('ERR_UNKNOWN_VOLUME_NUMBER', { values: { resource: target.resource, volume: target.volume ?? 0, volumes } });
}

function targetsOf(local: LocalConfig, args: readonly string[]): Target[] {
  return args.flatMap((argument) =>
    argument === 'all' ? localResourceNames(local).map((resource) => ({ resource, volume: null })) : [parseTarget(argument)],
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
      const names = localResourceNames(readLocal(context));
      if (names.length > 0) printLines(context.stdout, [names.join(' ')]);
      return exitCodes.ok;
    }),
  );

  const perVolume = (name: string, description: string, fact: (volume: HostVolume) => string): void => {
    add(`${name} ${resourceArgument}`, description, `drbdts ${name} r0`).action(
      run(async (context, resources: string[]) => {
        const local = readLocal(context);
        const lines = targetsOf(local, resources).flatMap((target) => volumesOf(localSideOf(local, target.resource), target).map(fact));
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
        targetsOf(local, resources).map((target) => localSideOf(local, target.resource).address.host),
      );
      return exitCodes.ok;
    }),
  );

  add(
    `sh-status ${resourceArgument}`,
    'print the state of each volume as shell assignments; asks the daemon',
    '_sh_status_process() { echo "$_res_name/$_volume: $_cstate $_role/$_peer $_disk/$_pdsk"; }\neval "$(drbdts sh-status r0)"',
  ).action(
    run(async (context, resources: string[]) => {
      for (const target of await resolveTargets(context, resources)) {
        const reply = await context.api.status(target.resource);
        const resources = reply.resources.map((resource) => ({ ...resource, volumes: [...volumesIn(resource, target)] }));
        printLines(context.stdout, formatShStatus({ ...reply, resources }));
      }
      return exitCodes.ok;
    }),
  );
}
