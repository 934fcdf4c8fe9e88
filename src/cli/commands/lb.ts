/** drbdts lb ...: the virtual servers of this node. */
import { formatBalancingStatus } from '../format-balancing.js';
import { showStatus } from '../show-status.js';
import { parseOption } from '../usage.js';
import type { Registry } from './command.js';

export function registerBalancing(registry: Registry): void {
  const { add, run } = registry.group('lb', 'balancing: which real servers get connections, and why the others do not');
  add('status', 'show each virtual server: quorum, real servers with their checks, weights and counters', 'drbdts lb status\ndrbdts lb status --watch\ndrbdts lb status --json')
    .option('-w, --watch [seconds]', 'redraw at this interval (2 s)', parseOption('--watch', 1))
    .action(run((context, options: { watch?: number }) => showStatus(context, options.watch, () => context.cluster.balancing(), formatBalancingStatus)));
}
