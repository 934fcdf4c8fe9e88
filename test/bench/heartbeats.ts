/**
 * How long a peer is silent while both nodes are busy: `node dist/test/bench/heartbeats.js [MINUTES]`. Two pairs of heartbeats, one of them with
 * SCHED_RR, between two hosts on one machine whose cores and disk are kept busy. Prints the gaps between signs of life and the false deaths.
 */
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { exited } from '../support/exec.js';
import { cable, clusterOf, HeartbeatProcess } from '../support/heartbeat-host.js';
import type { PeerConfig } from '../support/heartbeat-peer.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { waitFor } from '../support/wait.js';

const minutes = Number(process.argv[2] ?? 5);
const times = { keepaliveMs: 100, warntimeMs: 300, deadtimeMs: 600, initdeadMs: 20_000 };

interface Outcome {
  gaps: [number, number][];
  longest: number;
  deaths: number;
  stalls: number;
}

function load(host: Host): ChildProcess[] {
  const spin = Array.from({ length: availableParallelism() }, () => host.spawn(['sh', '-c', 'while :; do :; done'], ['ignore', 'ignore', 'ignore']));
  const fio = ['fio', '--name=load', `--directory=${host.dir}`, '--size=256m', '--rw=randrw', '--bs=16k', '--ioengine=psync', '--fsync=8', '--numjobs=2', '--time_based', `--runtime=${minutes * 60 + 120}`];
  return [...spin, host.spawn(fio, ['ignore', 'ignore', 'ignore'])];
}

await withLab('heartbeat-bench', async (lab) => {
  const a = await Host.create(lab, 'a');
  const b = await Host.create(lab, 'b');
  await cable(a, b, 'hb0', 0);
  await cable(a, b, 'hb1', 1);
  const pair = (port: number, realtime?: number): HeartbeatProcess[] =>
    ([[a, 'a'], [b, 'b']] as const).map(([host, self]) => {
      const cluster = clusterOf(times);
      const config: PeerConfig = {
        cluster: { ...cluster, links: cluster.links.map((link) => ({ ...link, port })) },
        self,
        key: 'bench',
        histogram: true,
        native: true,
        ...(realtime === undefined ? {} : { realtime }),
      };
      return new HeartbeatProcess(host, config);
    });
  const kinds = { 'normal priority': pair(6940), 'SCHED_RR 20': pair(6950, 20) };
  const all = Object.values(kinds).flat();
  for (const each of all) await each.wait('all are alive', (view) => view.peer === 'alive');
  const loads = [...load(a), ...load(b)];
  console.log(`${minutes} minutes with ${loads.length - 2} busy loops and 2 fio on ${availableParallelism()} cores; keepalive 100 ms, deadtime 600 ms`);
  const endMs = Date.now() + minutes * 60_000;
  await waitFor('the time is over', () => Date.now() >= endMs, minutes * 60_000 + 30_000);
  for (const each of loads) {
    each.kill('SIGTERM');
    await exited(each);
  }
  for (const [kind, processes] of Object.entries(kinds)) {
    for (const each of processes) {
      each.child.kill('SIGTERM');
      await exited(each.child);
    }
    const outcomes = processes.map((each) => ({ ...(each.lines.at(-1) as unknown as Outcome), stalls: each.lines.filter((line) => line['stalled'] !== undefined).length }));
    const bounds = [...new Set(outcomes.flatMap(({ gaps }) => gaps.map(([bound]) => bound)))].sort((x, y) => x - y);
    console.log(`\n${kind}: ${outcomes.map(({ deaths, stalls, longest }) => `${deaths} false deaths, ${stalls} own stalls, longest gap ${longest} ms`).join(' | ')}`);
    for (const bound of bounds)
      console.log(`  gap up to ${bound === 9999 ? 'more' : `${bound} ms`}: ${outcomes.map(({ gaps }) => gaps.find(([each]) => each === bound)?.[1] ?? 0).join(' | ')}`);
  }
});
