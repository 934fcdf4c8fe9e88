/** create-md, wipe-md, dump-md, apply-al: the meta-data of a resource that is down. */
import type { VerbReply, VerbRequest } from '../../control/messages.js';
import { errorReplyOf } from '../api.js';
import { confirm } from '../confirm.js';
import type { CliContext } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { runVerb } from '../run-verb.js';
import type { Target } from '../target.js';
import { parseOption } from '../usage.js';
import { type Registry, resourceArgument } from './command.js';

/** Refusals that a `yes` overrides. All others, such as a file system that would be cut, hold with --force too. */
const confirmable: ReadonlySet<string> = new Set(['ERR_META_DATA_EXISTS', 'ERR_WOULD_OVERWRITE_DATA', 'ERR_CONFIRMATION_NEEDED']);

/** Asks once when the daemon reports that something would be lost, and repeats the call with the answer. */
async function callWithConfirmation(
  context: CliContext,
  verb: 'create-md' | 'wipe-md',
  target: Target,
  request: VerbRequest,
): Promise<VerbReply> {
  try {
    return await context.api.verb(target.resource, verb, request);
  } catch (error) {
    const reply = errorReplyOf(error);
    if (reply === null || request.force === true || !confirmable.has(reply.code)) throw error;
    const question = verb === 'wipe-md' ? 'Do you really want to wipe out the DRBD meta data?' : 'Do you really want to go on?';
    const found = foundLines(reply.details, reply.message);
    if (!(await confirm(context, [...found, '', question]))) throw new CliError([], exitCodes.usage);
    return await context.api.verb(target.resource, verb, { ...request, force: true });
  }
}

/** What the daemon found, as drbdmeta tells it; data beside meta-data is named too, because one yes covers both. */
function foundLines(details: Record<string, unknown>, message: string): string[] {
  const { lines, found } = details;
  const told = Array.isArray(lines) && lines.length > 0 ? lines.map(String) : [message];
  if (typeof found !== 'string' || found === '' || told.some((line) => line.includes(found))) return told;
  return [...told, `Found ${found}`];
}

interface CreateOptions {
  readonly force?: boolean;
  readonly alStripes?: number;
  readonly alStripeSizeKB?: number;
}

export function registerMetaData({ add, run }: Registry): void {
  add(`create-md ${resourceArgument}`, 'write fresh v08 meta-data; asks before it overwrites data or meta-data', 'drbdts create-md r0')
    .option('--force', 'do not ask')
    .option('--al-stripes <number>', 'activity log: number of stripes', parseOption('--al-stripes', 1))
    .option('--al-stripe-size-kB <kib>', 'activity log: size of a stripe in KiB', parseOption('--al-stripe-size-kB', 4))
    .action(
      run(async (context, resources: string[], options: CreateOptions) => {
        const request: VerbRequest = {
          ...(options.force === true && { force: true }),
          ...(options.alStripes !== undefined && { alStripes: options.alStripes }),
          ...(options.alStripeSizeKB !== undefined && { alStripeSizeKb: options.alStripeSizeKB }),
        };
        return runVerb(context, resources, 'create-md', request, {
          perVolume: true,
          call: (target, body) => callWithConfirmation(context, 'create-md', target, body),
        });
      }),
    );

  add(`wipe-md ${resourceArgument}`, 'remove the meta-data; asks first', 'drbdts wipe-md r0')
    .option('--force', 'do not ask')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) =>
        runVerb(context, resources, 'wipe-md', options.force === true ? { force: true } : {}, {
          perVolume: true,
          call: (target, body) => callWithConfirmation(context, 'wipe-md', target, body),
        }),
      ),
    );

  add(`dump-md ${resourceArgument}`, 'print the meta-data as text, as drbdmeta does', 'drbdts dump-md r0 > r0.md')
    .option('--force', 'dump although the activity log was not applied')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) =>
        runVerb(context, resources, 'dump-md', options.force === true ? { force: true } : {}),
      ),
    );

  add(
    `apply-al ${resourceArgument}`,
    'apply the activity log to the bitmap (up and attach do it by themselves)',
    'drbdts apply-al r0',
  ).action(run(async (context, resources: string[]) => runVerb(context, resources, 'apply-al', {})));
}
