/** role, cstate, dstate, get-gi, show-gi: one fact per volume, printed as drbdadm does. */
import type { ResourceStatus, VolumeStatus } from '../../control/messages.js';
import { isUnreachable } from '../api.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes, worstExitCode } from '../exit-codes.js';
import { CliError, reportFailure } from '../failure.js';
import { formatShowGi, offlineDiskState, parseGetGi } from '../format-gi.js';
import { formatState, type StateQuestion } from '../format-states.js';
import { requestFor, runVerb } from '../run-verb.js';
import { formatTarget, resolveTargets, type Target, volumesIn } from '../target.js';
import { type Registry, resourceArgument } from './command.js';

interface Answer {
  readonly resource: string;
  readonly volume: number;
  readonly value: string;
}

/** Minor of a resource that is down: drbdadm's text for role and cstate. */
export function notAllocated(volume: VolumeStatus, resource: ResourceStatus): CliError {
  return new CliError(
    [`${volume.minor}: Failure: (127) Device minor not allocated`, `  The resource is down. Run \`drbdts up ${resource.name}\` first.`],
    exitCodes.configuration,
  );
}

/** dstate of a resource that is down comes from its meta-data, as one word. */
async function offlineState(context: CliContext, resource: ResourceStatus, volume: VolumeStatus): Promise<string> {
  const reply = await context.api.verb(resource.name, 'get-gi', { volume: volume.volume });
  const gi = parseGetGi(reply.output[0] ?? '');
  if (gi === null) throw notAllocated(volume, resource);
  return offlineDiskState(gi);
}

async function answer(context: CliContext, question: StateQuestion, target: Target): Promise<Answer[]> {
  const reply = await context.api.status(target.resource);
  const answers: Answer[] = [];
  for (const resource of reply.resources) {
    for (const volume of volumesIn(resource, target)) {
      if (!resource.up && question !== 'dstate') throw notAllocated(volume, resource);
      const value = resource.up ? formatState(question, resource, volume) : await offlineState(context, resource, volume);
      answers.push({ resource: resource.name, volume: volume.volume, value });
    }
  }
  return answers;
}

async function ask(context: CliContext, question: StateQuestion, args: readonly string[]): Promise<number> {
  const codes: number[] = [];
  const all: Answer[] = [];
  for (const target of await resolveTargets(context, args)) {
    try {
      const answers = await answer(context, question, target);
      all.push(...answers);
      if (context.options.json !== true)
        printLines(
          context.stdout,
          answers.map(({ value }) => value),
        );
    } catch (error) {
      if (isUnreachable(error)) throw error;
      codes.push(reportFailure(context, error, formatTarget(target)));
    }
  }
  if (context.options.json === true) printJson(context.stdout, all);
  return worstExitCode(codes);
}

/** `get-gi` per volume with the legend; of an attached disk also whether the activity log has to be applied. */
async function showGi(context: CliContext, target: Target): Promise<string[]> {
  const reply = await context.api.status(target.resource);
  const lines: string[] = [];
  for (const resource of reply.resources) {
    for (const volume of volumesIn(resource, target)) {
      const gi = await context.api.verb(resource.name, 'get-gi', requestFor({ resource: resource.name, volume: volume.volume }, {}));
      // without an attached disk the daemon's numbers are not those of the meta-data
      const extra = resource.up && volume.disk !== 'Diskless' ? metaDataLines(volume) : [];
      lines.push(...gi.output.flatMap((line) => formatShowGi(line, extra)));
    }
  }
  return lines;
}

/** drbd-protocol §4.3: the activity log was applied or is empty. */
const activityLogClean = 0x080;

function metaDataLines(volume: VolumeStatus): string[] {
  return [
    `meta-data: ${(volume.metaFlags & activityLogClean) === 0 ? 'need apply-al' : 'clean'}`,
    volume.sizeKib > 0 ? `size: ${volume.sizeKib} KB (${volume.sizeKib * 2} sectors)` : 'zero size device -- never seen peer yet?',
  ];
}

export function registerStates({ add, run }: Registry): void {
  add(`role ${resourceArgument}`, 'print MINE/PEER, for example Primary/Secondary', 'drbdts role r0').action(
    run(async (context, resources: string[]) => ask(context, 'role', resources)),
  );
  add(`cstate ${resourceArgument}`, 'print the connection state, for example Connected', 'drbdts cstate r0').action(
    run(async (context, resources: string[]) => ask(context, 'cstate', resources)),
  );
  add(`dstate ${resourceArgument}`, 'print the disk states MINE/PEER, for example UpToDate/Inconsistent', 'drbdts dstate r0').action(
    run(async (context, resources: string[]) => ask(context, 'dstate', resources)),
  );
  add(`get-gi ${resourceArgument}`, 'print the generation identifiers and flags in one line', 'drbdts get-gi r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'get-gi', {})),
  );
  add(`show-gi ${resourceArgument}`, 'print the generation identifiers with a legend', 'drbdts show-gi r0').action(
    run(async (context, resources: string[]) => {
      const codes: number[] = [];
      for (const target of await resolveTargets(context, resources)) {
        try {
          printLines(context.stdout, await showGi(context, target));
        } catch (error) {
          if (isUnreachable(error)) throw error;
          codes.push(reportFailure(context, error, formatTarget(target)));
        }
      }
      return worstExitCode(codes);
    }),
  );
}
