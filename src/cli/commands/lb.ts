/** drbdts lb ...: the virtual servers of this node. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BalancingStatus } from '../../control/balancing-messages.js';
import { choosePainter } from '../color.js';
import { printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { formatBalancingStatus } from '../format-balancing.js';
import { parseOption } from '../usage.js';
import type { Registry } from './command.js';

const clearScreen = '\u001b[H\u001b[J';

export function registerBalancing(registry: Registry): void {
  const { add, run } = registry.group('lb', 'balancing: which real servers get connections, and why the others do not');
  add('status', 'show each virtual server: quorum, real servers with their checks, weights and counters', 'drbdts lb status\ndrbdts lb status --watch\ndrbdts lb status --json')
    .option('-w, --watch [seconds]', 'redraw at this interval (2 s)', parseOption('--watch', 1))
    .action(
      run(async (context, options: { watch?: number }) => {
        const paint = choosePainter(context.stdout.isTTY === true, context.env);
        const json = context.options.json === true;
        if (options.watch === undefined) {
          const status = await context.cluster.balancing();
          if (json) printJson(context.stdout, status);
          else printLines(context.stdout, formatBalancingStatus(status, paint));
          return exitCodes.ok;
        }
        for (let first = true; !context.interrupted.aborted; first = false) {
          let status: BalancingStatus | null = null;
          try {
            status = await context.cluster.balancing();
          } catch (error) {
            // clusterd may be restarted meanwhile
            if (first) throw error;
          }
          if (status !== null) {
            if (!json && context.stdout.isTTY === true) context.stdout.write(clearScreen);
            printLines(context.stdout, json ? [JSON.stringify(status)] : formatBalancingStatus(status, paint));
          }
          await delay(options.watch * 1000, undefined, { signal: context.interrupted }).catch(() => {});
        }
        return exitCodes.ok;
      }),
    );
}
