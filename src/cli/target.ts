/** Resource arguments: `r0`, `r0/1` (a volume), `all`. */
import type { ResourceStatus, VolumeStatus } from '../control/messages.js';
import type { CliContext } from './context.js';
import { exitCodes } from './exit-codes.js';
import { CliError } from './failure.js';

export interface Target {
  readonly resource: string;
  /** Only this volume; null: the whole resource. */
  readonly volume: number | null;
}

const volumeMax = 65535;

/** Reads one argument; throws a usage error with the expected form. */
export function parseTarget(argument: string): Target {
  const match = /^([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})(?:\/(\d+))?$/.exec(argument);
  const volume = match?.[2] === undefined ? null : Number(match[2]);
  if (match === null || match[1] === undefined || (volume !== null && volume > volumeMax)) {
    throw new CliError(
      [`drbdts: '${argument}' is not a resource`, '  Expected RESOURCE, RESOURCE/VOLUME or all, for example r0 or r0/1.'],
      exitCodes.usage,
    );
  }
  return { resource: match[1], volume };
}

/** Prints back what {@link parseTarget} read. */
export function formatTarget(target: Target): string {
  return target.volume === null ? target.resource : `${target.resource}/${target.volume}`;
}

/** Reads the arguments of a command; `all` becomes every resource the daemon has configured. */
export async function resolveTargets(context: CliContext, args: readonly string[]): Promise<Target[]> {
  const parsed = args.filter((argument) => argument !== 'all').map(parseTarget);
  if (parsed.length === args.length) return parsed;
  const reply = await context.api.status();
  if (reply.resources.length === 0) {
    throw new CliError(
      [
        'no resources defined!',
        `  Write one into ${context.options.config}, then \`drbdts adjust RESOURCE\` or \`systemctl reload drbdts\`.`,
      ],
      exitCodes.usage,
    );
  }
  return reply.resources.map((resource) => ({ resource: resource.name, volume: null }));
}

/** The same targets with every volume by itself, for verbs that ask a question per disk. Resources with one volume stay as they are. */
export async function splitIntoVolumes(context: CliContext, target: Target): Promise<Target[]> {
  if (target.volume !== null) return [target];
  const reply = await context.api.status(target.resource);
  const volumes = reply.resources.flatMap((resource) => resource.volumes.map(({ volume }) => ({ resource: resource.name, volume })));
  return volumes.length > 1 ? volumes : [target];
}

/** Volumes that a target means; an error when it names one that is not there. */
export function volumesIn(resource: ResourceStatus, target: Target): readonly VolumeStatus[] {
  const volumes = target.volume === null ? resource.volumes : resource.volumes.filter((volume) => volume.volume === target.volume);
  if (volumes.length > 0) return volumes;
  const known = resource.volumes.map((volume) => volume.volume).join(', ');
  throw new CliError(
    [`drbdts: resource ${resource.name} has no volume ${target.volume ?? 0}`, `  Its volumes: ${known}.`],
    exitCodes.usage,
  );
}
