/** Runs one verb over the targets of a command line: every target is tried, the worst exit code wins. */
import type { Verb, VerbReply, VerbRequest } from '../control/messages.js';
import { isUnreachable } from './api.js';
import { type CliContext, printJson, printLines } from './context.js';
import { worstExitCode } from './exit-codes.js';
import { reportFailure } from './failure.js';
import { formatTarget, resolveTargets, splitIntoVolumes, type Target } from './target.js';

/** How one target is handled; the default is a single API call. */
export type CallVerb = (target: Target, request: VerbRequest) => Promise<VerbReply>;

export interface RunVerbOptions {
  readonly call?: CallVerb;
  /** One call per volume, so that a question about one disk is not answered for another. */
  readonly perVolume?: boolean;
}

/** The request of a verb with the volume of the target, if it names one. */
export function requestFor(target: Target, request: VerbRequest): VerbRequest {
  return target.volume === null ? request : { ...request, volume: target.volume };
}

/**
 * Calls `verb` for each of the resource arguments and prints what it answers. A refusal of one target does not keep the others from
 * being tried. Returns the exit code; throws when the daemon cannot be reached.
 */
export async function runVerb(
  context: CliContext,
  args: readonly string[],
  verb: Verb,
  request: VerbRequest,
  options: RunVerbOptions = {},
): Promise<number> {
  const targets = await resolveTargets(context, args);
  const call: CallVerb = options.call ?? ((target, body) => context.api.verb(target.resource, verb, body));
  const codes: number[] = [];
  const results: VerbReply['results'] = [];
  for (const target of targets) {
    try {
      const parts = options.perVolume === true ? await splitIntoVolumes(context, target) : [target];
      for (const part of parts) {
        const reply = await call(part, requestFor(part, request));
        results.push(...reply.results);
        if (context.options.json !== true) printLines(context.stdout, reply.output);
      }
    } catch (error) {
      if (isUnreachable(error)) throw error;
      codes.push(reportFailure(context, error, formatTarget(target)));
    }
  }
  if (context.options.json === true) printJson(context.stdout, { results });
  return worstExitCode(codes);
}
