/** status: the table of `service drbd status`, as JSON, as /proc/drbd, once or again and again. */
import type { StatusReply } from '../../control/messages.js';
import { errorReplyOf } from '../api.js';
import { choosePainter } from '../color.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { formatStatus } from '../format-status.js';
import { parseTarget } from '../target.js';
import { parseOption } from '../usage.js';
import { watch } from '../watch.js';
import type { Registry } from './command.js';

interface StatusOptions {
  readonly watch?: number;
  readonly proc?: boolean;
}

/** The status of one resource, one volume or everything. Scripts know `r0: No such resource` and exit code 10 from drbdsetup. */
export async function fetchStatus(context: CliContext, argument: string | undefined): Promise<StatusReply> {
  if (argument === undefined || argument === 'all') return context.api.status();
  const target = parseTarget(argument);
  try {
    const reply = await context.api.status(target.resource);
    if (target.volume === null) return reply;
    const resources = reply.resources.map((resource) => ({
      ...resource,
      volumes: resource.volumes.filter((volume) => volume.volume === target.volume),
    }));
    if (resources.every((resource) => resource.volumes.length === 0)) {
      throw new CliError([`${argument}: No such volume`, `  Its volumes: ${volumeNumbers(reply)}.`], exitCodes.configuration);
    }
    return { ...reply, resources };
  } catch (error) {
    if (errorReplyOf(error)?.code !== 'ERR_UNKNOWN_RESOURCE') throw error;
    throw new CliError(
      [`${target.resource}: No such resource`, '  `drbdts status` lists all; the name has to be in the configuration.'],
      exitCodes.configuration,
    );
  }
}

const volumeNumbers = (reply: StatusReply): string =>
  reply.resources.flatMap((resource) => resource.volumes.map((volume) => volume.volume)).join(', ');

export function registerStatus({ add, run }: Registry): void {
  add(
    'status [resource]',
    'show connection, roles, disks, mount and the progress of a resync',
    'drbdts status\ndrbdts status r0 --json\ndrbdts status --watch 1\ndrbdts status --proc',
  )
    .option('-w, --watch [seconds]', 'redraw at every change and at this interval (2 s)', parseOption('--watch', 1))
    .option('--proc', "print the text of DRBD 8.4's /proc/drbd")
    .action(
      run(async (context, resource: string | undefined, options: StatusOptions) => {
        const paint = choosePainter(context.stdout.isTTY === true, context.env);
        const draw = async (): Promise<readonly string[]> => {
          if (options.proc === true) return (await context.api.proc()).trimEnd().split('\n');
          const reply = await fetchStatus(context, resource);
          // one document per line while watching, so that a reader can tell them apart
          if (context.options.json === true) return [JSON.stringify(reply)];
          return formatStatus(reply, { paint, verbose: context.options.verbose === true });
        };
        if (options.watch !== undefined) {
          const name = resource === undefined || resource === 'all' ? undefined : parseTarget(resource).resource;
          await watch(context, name, options.watch, draw);
        } else if (context.options.json === true && options.proc !== true) printJson(context.stdout, await fetchStatus(context, resource));
        else printLines(context.stdout, await draw());
        return exitCodes.ok;
      }),
    );
}
