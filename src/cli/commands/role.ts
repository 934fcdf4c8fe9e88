/** primary and secondary. */
import { printLines } from '../context.js';
import { formatForcedPrimaryLoss } from '../format-loss.js';
import { runVerb } from '../run-verb.js';
import { type Registry, resourceArgument } from './command.js';

export function registerRole({ add, run }: Registry): void {
  add(
    `primary ${resourceArgument}`,
    'make this node Primary; the device appears',
    'drbdts primary r0\nOn a new pair, once, on the node whose data counts:\n  drbdts primary --force r0',
  )
    .option('--force', 'declare the data of this node UpToDate; prints what may be lost')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) => {
        if (options.force !== true) return runVerb(context, resources, 'primary', {});
        return runVerb(
          context,
          resources,
          'primary',
          { force: true },
          {
            call: async (target, request) => {
              const before = await context.api.status(target.resource);
              printLines(context.stderr, before.resources.flatMap(formatForcedPrimaryLoss));
              return context.api.verb(target.resource, 'primary', request);
            },
          },
        );
      }),
    );
  add(
    `secondary ${resourceArgument}`,
    'make this node Secondary; refused while the device is in use',
    'umount /store\ndrbdts secondary r0',
  )
    .option('--force', 'cut the device off first: every request on it fails at once, so that what holds it lets go')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) =>
        runVerb(context, resources, 'secondary', options.force === true ? { force: true } : {}),
      ),
    );
}
