/**
 * No false failover: the whole cluster at its default settings while both cores and the disk are kept fully busy, as many busy loops as cores and
 * two fio per node, a client fetching its page all the time.
 */
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { exited } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { waitFor } from '../support/wait.js';
import type { OutageClient } from './outage-client.js';
import { outageMs } from './outage-table.js';
import type { DrbdtsTarget } from './outage-targets.js';

/** As many busy loops as there are cores and one or two fio; ends with the test at the latest. */
export function load(host: Host, store: string | null, minutes: number): ChildProcess[] {
  const quiet: ('ignore' | 'pipe' | number)[] = ['ignore', 'ignore', 'ignore'];
  const spin = Array.from({ length: availableParallelism() }, () => host.spawn(['sh', '-c', 'while :; do :; done'], quiet));
  const fio = (directory: string, mib: number): ChildProcess =>
    host.spawn(['fio', '--name=load', `--directory=${directory}`, `--size=${mib}m`, '--rw=randrw', '--bs=16k', '--ioengine=psync', '--fsync=8', '--time_based', `--runtime=${minutes * 60 + 120}`], quiet);
  return [...spin, fio(host.dir, 256), ...(store === null ? [] : [fio(store, 64)])];
}

/** Runs the load; gives lines to print and whether the group stayed where it was, all the time. */
export async function underLoad(target: DrbdtsTarget, client: OutageClient, minutes: number): Promise<{ lines: string[]; good: boolean }> {
  const { cluster } = target;
  const hosts = [cluster.a, cluster.b];
  const { active } = target;
  await client.watch(target.vip);
  const sinceMs = Date.now();
  const loads = hosts.flatMap((host) => load(host, host === active ? cluster.store : null, minutes));
  const endMs = Date.now() + minutes * 60_000;
  await waitFor('the time is over', () => Date.now() >= endMs, minutes * 60_000 + 30_000);
  const statuses = await Promise.all(hosts.map((host) => cluster.clusterd(host).client.status()));
  for (const each of loads) {
    each.kill('SIGTERM');
    await exited(each);
  }
  const pages = await client.stop();
  const entries = (await Promise.all(hosts.map((host) => cluster.history(host)))).flat().filter(({ time }) => Date.parse(time) > sinceMs);
  const decisions = entries.filter(({ sentence }) => /is dead|is started|is stopped|fences itself|is looked at/.test(sentence));
  // no failover, and yet something a client sees: a node that stood still asks before it goes on serving
  const holds = entries.filter(({ sentence }) => /held back/.test(sentence));
  const good = decisions.length === 0 && statuses.every(({ groups }) => groups.every(({ node, target: to }) => node === active.name && to === active.name));
  return {
    good,
    lines: [
      `${minutes} minutes with ${availableParallelism()} busy loops per node and 3 fio on ${availableParallelism()} cores, default settings:`,
      ...statuses.map(({ node, links }) => `  longest gap between heartbeats seen by ${node}: ${links.map(({ name, gapMaxMs }) => `${name} ${Math.round(gapMaxMs)} ms`).join(', ')}`),
      `  longest time without a page: ${Math.round(outageMs(pages, sinceMs))} ms of ${pages.length} pages`,
      `  decisions in the history of both nodes: ${decisions.length}`,
      ...decisions.map(({ time, node, sentence }) => `    ${time} ${node}: ${sentence}`),
      `  addresses withdrawn for a moment, because a node had stood still: ${holds.length}`,
      `  late heartbeats and the like: ${entries.length - decisions.length - holds.length}`,
      ...[...new Set(entries.filter((entry) => !decisions.includes(entry) && !holds.includes(entry)).map(({ sentence }) => `    ${sentence}`))].slice(-8),
      good ? 'no false failover' : 'FALSE FAILOVER',
    ],
  };
}
