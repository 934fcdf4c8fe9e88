/** drbdts vrrp ...: the virtual routers of this node. */
import { printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { formatVrrpStatus } from '../format-vrrp.js';
import { showStatus } from '../show-status.js';
import { parseOption } from '../usage.js';
import type { Registry } from './command.js';

export function registerVrrp(registry: Registry): void {
  const { add, run } = registry.group('vrrp', 'virtual routers: who is master and why, and what would happen if');
  add('status', 'show each virtual router: state, priority with its sum, master, timers, what was heard and rejected', 'drbdts vrrp status\ndrbdts vrrp status --watch\ndrbdts vrrp status --json')
    .option('-w, --watch [seconds]', 'redraw at this interval (2 s)', parseOption('--watch', 1))
    .action(run((context, options: { watch?: number }) => showStatus(context, options.watch, () => context.cluster.vrrp(), formatVrrpStatus)));
  add('explain', 'say what happens if a node dies or a check fails, with times, and what will not work as it was meant', 'drbdts vrrp explain').action(
    run(async (context) => {
      const explanation = await context.cluster.vrrpExplain();
      if (context.options.json === true) printJson(context.stdout, explanation);
      else printLines(context.stdout, explanation.lines);
      return exitCodes.ok;
    }),
  );
}
