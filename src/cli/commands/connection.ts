/** connect and disconnect. */
import type { VerbRequest } from '../../control/messages.js';
import { printLines } from '../context.js';
import { runVerb } from '../run-verb.js';
import { parseOption } from '../usage.js';
import { type Registry, resourceArgument } from './command.js';

export function registerConnection({ add, run }: Registry): void {
  add(
    `connect ${resourceArgument}`,
    'connect to the peer',
    'drbdts connect r0\nAfter a split brain, on the node whose changes are given up:\n  drbdts secondary r0\n  drbdts connect --discard-my-data r0',
  )
    .option('--discard-my-data', 'after a split brain: give up what was written here')
    .option('--tentative', 'only tell which resync would follow, do not connect')
    .action(
      run(async (context, resources: string[], options: { discardMyData?: boolean; tentative?: boolean }) => {
        const request: VerbRequest = {
          ...(options.discardMyData === true && { discardMyData: true }),
          ...(options.tentative === true && { tentative: true }),
        };
        return runVerb(context, resources, 'connect', request);
      }),
    );
  add(`disconnect ${resourceArgument}`, 'end the connection; the resource is StandAlone afterwards', 'drbdts disconnect r0')
    .option('--force', 'do not ask the peer, close at once')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) =>
        runVerb(context, resources, 'disconnect', options.force === true ? { force: true } : {}),
      ),
    );
  add(
    `check-peer ${resourceArgument}`,
    'ask the peer for a sign of life now; without one the connection is given up at once',
    'drbdts check-peer r0\ndrbdts check-peer --timeout 200 r0',
  )
    .option('--timeout <ms>', 'how long the peer has, in milliseconds (500)', parseOption('--timeout', 1))
    .action(
      run(async (context, resources: string[], options: { timeout?: number }) =>
        runVerb(context, resources, 'check-peer', options.timeout === undefined ? {} : { timeoutMs: options.timeout }, {
          call: async (target, request) => {
            const reply = await context.api.verb(target.resource, 'check-peer', request);
            if (context.options.json !== true) printLines(context.stdout, reply.results.map(({ resource, text }) => `${resource}: ${text}`));
            return reply;
          },
        }),
      ),
    );
}
