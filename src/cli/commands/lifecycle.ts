/** up, down, attach, detach, adjust: bringing a resource or its disk into service and out of it. */
import { formatProblem } from '../../config/load.js';
import { printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { runVerb } from '../run-verb.js';
import { type Registry, resourceArgument } from './command.js';

export function registerLifecycle({ add, run }: Registry): void {
  add(`up ${resourceArgument}`, 'attach the disk and connect to the peer', 'drbdts up r0\ndrbdts up all').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'up', {})),
  );
  add(`down ${resourceArgument}`, 'disconnect, detach and stop; refused while the device is in use', 'drbdts down r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'down', {})),
  );
  add(`attach ${resourceArgument}`, 'take the disk into service', 'drbdts attach r0/1').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'attach', {})),
  );
  add(`detach ${resourceArgument}`, 'take the disk out of service; reads and writes then go to the peer', 'drbdts detach r0')
    .option('--force', 'do not wait for the disk, for one that hangs')
    .action(
      run(async (context, resources: string[], options: { force?: boolean }) =>
        runVerb(context, resources, 'detach', options.force === true ? { force: true } : {}),
      ),
    );
  add(`adjust ${resourceArgument}`, 'read the configuration again and bring the resource in line with it', 'drbdts adjust r0').action(
    run(async (context, resources: string[]) => {
      const { problems } = await context.api.reload();
      printLines(context.stderr, problems.map(formatProblem));
      // the daemon keeps the configuration it had when the file has errors; adjusting to that would look like success
      if (problems.some(({ severity }) => severity === 'error')) return exitCodes.configuration;
      return runVerb(context, resources, 'adjust', {});
    }),
  );
}
