/** wait-connect and wait-sync: they return when the state is reached, or with exit code 5 when time is over. */
import type { Verb, VerbReply, VerbRequest } from '../../control/messages.js';
import type { CliContext } from '../context.js';
import { createProgressView } from '../progress-view.js';
import { runVerb } from '../run-verb.js';
import type { Target } from '../target.js';
import { parseOption } from '../usage.js';
import { type Registry, resourceArgument } from './command.js';

const progressIntervalMs = 1000;

/** Calls a long verb and shows the progress of the resource's resyncs until it answers. */
async function callWithProgress(context: CliContext, verb: Verb, target: Target, request: VerbRequest): Promise<VerbReply> {
  const view = createProgressView(context.stderr);
  let asking = false;
  const show = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    try {
      view.update(await context.api.status(target.resource));
    } catch {
      // progress is an extra: the verb itself reports what is wrong
    } finally {
      asking = false;
    }
  };
  const timer = setInterval(() => void show(), progressIntervalMs);
  try {
    await show();
    return await context.api.verb(target.resource, verb, request);
  } finally {
    clearInterval(timer);
    view.stop();
  }
}

interface WaitOptions {
  readonly wfcTimeout?: number;
}

export function registerWait({ add, run }: Registry): void {
  const timeout = (options: WaitOptions): VerbRequest => (options.wfcTimeout === undefined ? {} : { timeoutSeconds: options.wfcTimeout });
  add(`wait-connect ${resourceArgument}`, 'wait until the peer is connected', 'drbdts up r0 && drbdts wait-connect --wfc-timeout 30 r0')
    .option('-t, --wfc-timeout <seconds>', 'give up after this time, 0: never (default: section startup)', parseOption('--wfc-timeout'))
    .action(
      run(async (context, resources: string[], options: WaitOptions) => runVerb(context, resources, 'wait-connect', timeout(options))),
    );
  add(`wait-sync ${resourceArgument}`, 'wait until the resync or verify is done; shows its progress', 'drbdts wait-sync r0')
    .option('-t, --wfc-timeout <seconds>', 'give up after this time, 0: never (default: section startup)', parseOption('--wfc-timeout'))
    .action(
      run(async (context, resources: string[], options: WaitOptions) =>
        runVerb(context, resources, 'wait-sync', timeout(options), {
          call: (target, request) => callWithProgress(context, 'wait-sync', target, request),
        }),
      ),
    );
}
