/** Verbs that start, stop or avoid a resync: invalidate, outdate, pause-sync, verify and their like. */
import { runVerb } from '../run-verb.js';
import { type Registry, resourceArgument } from './command.js';

export function registerResync({ add, run }: Registry): void {
  add(`invalidate ${resourceArgument}`, 'throw away the local data: full resync from the peer', 'drbdts invalidate r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'invalidate', {})),
  );
  add(`invalidate-remote ${resourceArgument}`, "throw away the peer's data: full resync to the peer", 'drbdts invalidate-remote r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'invalidate-remote', {})),
  );
  add(
    `outdate ${resourceArgument}`,
    'mark the local data as Outdated, so that this node can not become Primary',
    'drbdts outdate r0',
  ).action(run(async (context, resources: string[]) => runVerb(context, resources, 'outdate', {})));
  add(`pause-sync ${resourceArgument}`, 'pause the resync', 'drbdts pause-sync r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'pause-sync', {})),
  );
  add(`resume-sync ${resourceArgument}`, 'let a paused resync go on', 'drbdts resume-sync r0').action(
    run(async (context, resources: string[]) => runVerb(context, resources, 'resume-sync', {})),
  );
  add(
    `new-current-uuid ${resourceArgument}`,
    'begin a new data generation',
    'Skip the first full resync of two disks that are known to be equal (both nodes up, both Inconsistent):\n' +
      '  drbdts new-current-uuid --clear-bitmap r0',
  )
    .option('--clear-bitmap', 'also clear the bitmap: both disks are taken for equal')
    .action(
      run(async (context, resources: string[], options: { clearBitmap?: boolean }) =>
        runVerb(context, resources, 'new-current-uuid', options.clearBitmap === true ? { clearBitmap: true } : {}),
      ),
    );
  add(
    `verify ${resourceArgument}`,
    'compare both disks block by block while in use; repairs nothing',
    'drbdts verify r0\ndrbdts wait-sync r0\nResync what differs:\n  drbdts disconnect r0; drbdts connect r0',
  )
    .option('--start <sector>', 'begin at this sector instead of 0')
    .action(
      run(async (context, resources: string[], options: { start?: string }) =>
        runVerb(context, resources, 'verify', options.start === undefined ? {} : { start: options.start }),
      ),
    );
}
