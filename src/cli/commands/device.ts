/** resize, suspend-io, resume-io. */
import type { VerbRequest } from '../../control/messages.js';
import { runVerb } from '../run-verb.js';
import { type Registry, resourceArgument } from './command.js';

export function registerDevice({ add, run }: Registry): void {
  add(
    `resize ${resourceArgument}`,
    'take the new size of the disks; one node has to be Primary',
    'After growing the disks of both nodes, on the Primary:\n  drbdts resize r0\n  resize2fs /dev/drbd0',
  )
    .option('--size <size>', 'use only this much, for example 10G')
    .option('--assume-clean', 'do not resync the new space')
    .action(
      run(async (context, resources: string[], options: { size?: string; assumeClean?: boolean }) => {
        const request: VerbRequest = {
          ...(options.size !== undefined && { size: options.size }),
          ...(options.assumeClean === true && { assumeClean: true }),
        };
        return runVerb(context, resources, 'resize', request);
      }),
    );
  add(`suspend-io ${resourceArgument}`, 'hold back all reads and writes of the device', 'drbdts suspend-io r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'suspend-io', {})),
  );
  add(`resume-io ${resourceArgument}`, 'let reads and writes go on', 'drbdts resume-io r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'resume-io', {})),
  );
}
