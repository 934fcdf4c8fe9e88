/**
 * One node's heartbeats as a process of their own: `heartbeat-peer CONFIG.json` with {cluster, self, key}. Prints one JSON line per event; reads
 * commands from its input: `report TEXT`, `replication SIGN`, `goodbye`, `status`. With {histogram: true} it counts the gaps between signs of life
 * and prints them at SIGTERM; with {realtime: N} it asks for that priority first.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Heartbeats } from '../../src/cluster/heartbeats.js';
import { loadNet } from '../../src/cluster/net-native.js';
import type { ClusterConfig } from '../../src/config/cluster-types.js';
import { systemClock } from '../../src/shared/clock.js';

export interface PeerConfig {
  cluster: ClusterConfig;
  self: string;
  key: string;
  histogram?: boolean;
  /** use the native sockets (bound to the interface). */
  native?: boolean;
  realtime?: number;
}

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as PeerConfig;
const print = (line: Record<string, unknown>): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);
const log = (text: string): boolean => print({ log: text });
const net = config.native === true || config.realtime !== undefined ? loadNet() : null;
if (net !== null && config.realtime !== undefined) net.setRealtime(config.realtime);

let deaths = 0;
let wasAlive = false;
const heartbeats = new Heartbeats({
  cluster: config.cluster,
  self: config.self,
  key: Buffer.from(config.key),
  clock: systemClock,
  log: { info: log, warn: log, error: log } as never,
  ...(config.native === true && net !== null ? { bindSocket: net.udpSocket } : {}),
  onView: (view) => {
    if (wasAlive && view.peer === 'dead') deaths++;
    wasAlive = view.peer === 'alive';
    print({ view });
  },
  onStalled: (forMs) => print({ stalled: forMs }),
  onCheckReplication: () => undefined,
});
heartbeats.start();
heartbeats.setReport({ node: config.self, text: '' });

/** by upper bound in ms */
const gaps = new Map<number, number>();
let longest = 0;
if (config.histogram === true) {
  let last: number | null = null;
  setInterval(() => {
    const { lastHeardMs } = heartbeats.view;
    if (lastHeardMs === null || lastHeardMs === last) return;
    if (last !== null) {
      const gap = lastHeardMs - last;
      longest = Math.max(longest, gap);
      const bound = [50, 110, 125, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 2000].find((limit) => gap <= limit) ?? 9999;
      gaps.set(bound, (gaps.get(bound) ?? 0) + 1);
    }
    last = lastHeardMs;
  }, 10);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command, ...words] = line.split(' ');
  if (command === 'report') print({ version: heartbeats.setReport({ node: config.self, text: words.join(' ') }) });
  else if (command === 'replication') heartbeats.replicationSign(words[0] as 'alive' | 'dead' | 'unknown');
  else if (command === 'goodbye') heartbeats.goodbye();
  else print({ status: { view: heartbeats.view, counters: heartbeats.counters(), rssBytes: process.memoryUsage.rss() } });
});
process.on('SIGTERM', () => {
  print({ gaps: [...gaps].sort(([x], [y]) => x - y), longest: Math.round(longest), deaths, counters: heartbeats.counters(), view: heartbeats.view });
  process.exit(0);
});
