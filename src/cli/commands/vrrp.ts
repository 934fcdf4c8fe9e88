/** drbdts vrrp ...: the virtual routers of this node. */
import { setTimeout as delay } from 'node:timers/promises';
import type { VrrpStatus } from '../../control/vrrp-messages.js';
import { choosePainter } from '../color.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { formatVrrpStatus } from '../format-vrrp.js';
import { parseOption } from '../usage.js';
import type { Registry } from './command.js';

const clearScreen = '\u001b[H\u001b[J';

async function watch(context: CliContext, everyMs: number, draw: (status: VrrpStatus) => void): Promise<void> {
  for (let first = true; !context.interrupted.aborted; first = false) {
    try {
      draw(await context.cluster.vrrp());
    } catch (error) {
      // clusterd may be restarted meanwhile
      if (first) throw error;
    }
    await delay(everyMs, undefined, { signal: context.interrupted }).catch(() => {});
  }
}

export function registerVrrp(registry: Registry): void {
  const { add, run } = registry.group('vrrp', 'virtual routers: who is master and why, and what would happen if');
  add('status', 'show each virtual router: state, priority with its sum, master, timers, what was heard and rejected', 'drbdts vrrp status\ndrbdts vrrp status --watch\ndrbdts vrrp status --json')
    .option('-w, --watch [seconds]', 'redraw at this interval (2 s)', parseOption('--watch', 1))
    .action(
      run(async (context, options: { watch?: number }) => {
        const paint = choosePainter(context.stdout.isTTY === true, context.env);
        const json = context.options.json === true;
        if (options.watch === undefined) {
          const status = await context.cluster.vrrp();
          if (json) printJson(context.stdout, status);
          else printLines(context.stdout, formatVrrpStatus(status, paint));
          return exitCodes.ok;
        }
        await watch(context, options.watch * 1000, (status) => {
          if (!json && context.stdout.isTTY === true) context.stdout.write(clearScreen);
          printLines(context.stdout, json ? [JSON.stringify(status)] : formatVrrpStatus(status, paint));
        });
        return exitCodes.ok;
      }),
    );
  add('explain', 'say what happens if a node dies or a check fails, with times, and what will not work as it was meant', 'drbdts vrrp explain').action(
    run(async (context) => {
      const explanation = await context.cluster.vrrpExplain();
      if (context.options.json === true) printJson(context.stdout, explanation);
      else printLines(context.stdout, explanation.lines);
      return exitCodes.ok;
    }),
  );
}
