/** events: what happens, in the lines of `drbdsetup events2`. */
import { isUnreachable } from '../api.js';
import { printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { endsInitialDump, formatEvent } from '../format-events.js';
import { parseTarget } from '../target.js';
import type { Registry } from './command.js';

export function registerEvents({ add, run }: Registry): void {
  add(
    'events [resource]',
    'print the present state, then every change, as drbdsetup events2',
    'drbdts events --timestamps r0\ndrbdts events --now --json',
  )
    .option('--now', 'stop after the present state')
    .option('--timestamps', 'put the time before each line')
    .action(
      run(async (context, argument: string | undefined, options: { now?: boolean; timestamps?: boolean }) => {
        const resource = argument === undefined || argument === 'all' ? undefined : parseTarget(argument).resource;
        const signal = context.interrupted;
        const request = { signal, ...(resource !== undefined && { resource }), ...(options.now === true && { now: true }) };
        let any = false;
        let complete = false;
        try {
          for await (const event of context.api.events(request)) {
            printLines(
              context.stdout,
              context.options.json === true ? [JSON.stringify(event)] : formatEvent(event, options.timestamps === true),
            );
            any = true;
            complete ||= endsInitialDump(event);
            if (complete && options.now === true) return exitCodes.ok;
          }
        } catch (error) {
          // before the first record it does not run; later it was stopped, which is another sentence
          if (!signal.aborted && !(any && isUnreachable(error))) throw error;
        }
        if (signal.aborted || (options.now === true && complete)) return exitCodes.ok;
        throw new CliError(
          ['drbdts: drbdtsd ended the event stream', '  It was stopped or restarted; run the command again to go on.'],
          exitCodes.internal,
        );
      }),
    );
}
