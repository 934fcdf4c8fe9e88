/**
 * `npm run bench:vrrp`: how long a client sees nothing of a virtual address when its master dies, is stopped, loses its link, or fails its
 * check: ours on both nodes, ours as master of keepalived and the other way round, keepalived on both, and ours with ten adverts a second. All pairs
 * are on one bridge and measured at the same time, so what disturbs one disturbs all.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { ClusterLab } from '../support/cluster.js';
import { exited } from '../support/exec.js';
import type { Lab } from '../support/lab.js';
import { labUnavailable, programsUnavailable } from '../support/paths.js';
import { keepalivedBinary, VipWatch } from '../support/vrrp.js';
import { waitFor } from '../support/wait.js';
import { OutageClient } from './outage-client.js';
import { load } from './outage-load.js';
import { outageMs } from './outage-table.js';
import { pageText } from './outage-targets.js';
import { runBench } from './run-bench.js';
import { align, median } from './table.js';
import { events, type PairEvent, type PairSpec, RouterPair } from './vrrp-pairs.js';

const pairs: (PairSpec & { barMs?: Partial<Record<PairEvent, number>> })[] = [
  { name: 'ours', title: 'drbdts on both, adverts every 1 s', products: ['ours', 'ours'], intervalMs: 1000 },
  { name: 'ours-ka', title: 'drbdts master, keepalived backup, 1 s', products: ['ours', 'keepalived'], intervalMs: 1000 },
  { name: 'ka-ours', title: 'keepalived master, drbdts backup, 1 s', products: ['keepalived', 'ours'], intervalMs: 1000 },
  { name: 'ka', title: 'keepalived on both, 1 s', products: ['keepalived', 'keepalived'], intervalMs: 1000 },
  { name: 'fast', title: 'drbdts on both, adverts every 100 ms', products: ['ours', 'ours'], intervalMs: 100, barMs: { kill: 450 } },
];
const titles: Record<PairEvent, string> = { kill: 'SIGKILL of the node', stop: 'router stopped', link: 'link of the master down', script: 'check of the master fails' };

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    pairs: { type: 'string', default: pairs.map(({ name }) => name).join(',') },
    events: { type: 'string', default: events.join(',') },
    load: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const print = (text: string): void => console.log(text);

if (values.help) {
  print('npm run bench:vrrp -- [--rounds N] [--pairs NAME,...] [--events EVENT,...] [--json FILE] [--load MINUTES]');
  print(`pairs: ${pairs.map(({ name }) => name).join(', ')}; events: ${events.join(', ')}`);
  print('--load MINUTES  no outages: full load on all cores and disks must not move an address');
  process.exit(0);
}

type Outages = Record<string, Partial<Record<PairEvent, number[]>>>;

/** Whether every address stayed where it was while both nodes of each pair were fully busy. */
async function underLoad(made: readonly RouterPair[], minutes: number): Promise<boolean> {
  if (!(minutes > 0)) throw new Error('bad arguments; see --help');
  const watches = made.map(({ hosts, vip }) => hosts.map((host) => new VipWatch(host, [vip])));
  await Promise.all(watches.flat().map((watch) => watch.ready()));
  const loads = made.flatMap(({ hosts }) => hosts.flatMap((host) => load(host, null, minutes)));
  const untilMs = Date.now() + minutes * 60_000;
  await waitFor('the time is over', () => Date.now() >= untilMs, minutes * 60_000 + 30_000);
  const busy = loadavg()[0]?.toFixed(1) ?? '?';
  for (const each of loads) {
    each.kill('SIGTERM');
    await exited(each);
  }
  print(`${minutes} minutes with ${availableParallelism()} busy loops and a fio per node on ${availableParallelism()} cores, load ${busy}:`);
  // on the first node the address was there before: that it is said to be there is a renewal
  const moves = watches.map(([master, backup]) => (master?.changes.filter(({ here }) => here.length === 0).length ?? 0) + (backup?.changes.length ?? 0));
  for (const [index, { spec }] of made.entries()) print(`  ${spec.title}: ${moves[index]} times an address came or went`);
  return moves.every((count) => count === 0);
}

async function bench(lab: Lab): Promise<boolean> {
  const rounds = Number(values.rounds);
  const [names, wanted] = [values.pairs.split(','), values.events.split(',')];
  const specs = pairs.filter(({ name }) => names.includes(name));
  const unknown = [...names.filter((name) => !pairs.some((one) => one.name === name)), ...wanted.filter((name) => !(events as readonly string[]).includes(name))];
  if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) throw new Error(`bad arguments (${unknown.join(', ')}); see --help`);
  const bridge = await ClusterLab.bridge(lab);
  const made: { pair: RouterPair; client: OutageClient }[] = [];
  for (const [number, spec] of specs.entries()) made.push({ pair: await RouterPair.create(lab, spec, bridge.client, bridge.net, number), client: new OutageClient(bridge.client, pageText) });
  if (values.load !== undefined) return underLoad(made.map(({ pair }) => pair), Number(values.load));
  const outages: Outages = {};

  for (let round = 0; round < rounds; round++) {
    for (const event of events.filter((one) => wanted.includes(one))) {
      await Promise.all(made.map(async ({ pair, client }) => {
        await client.watch(pair.vip);
        const eventMs = Date.now();
        const happens = pair.happens(event);
        await client.served(eventMs + 1500);
        await happens;
        const outage = Math.round(outageMs(await client.stop(), eventMs));
        await pair.settle();
        const of = outages[pair.spec.name] ?? {};
        outages[pair.spec.name] = { ...of, [event]: [...(of[event] ?? []), outage] };
        print(`round ${round + 1} of ${rounds}  ${event.padEnd(7)} ${pair.spec.name.padEnd(8)} ${(outage / 1000).toFixed(3)} s  (load ${loadavg()[0]?.toFixed(1) ?? '?'})`);
      }));
      if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(outages, null, 1)}\n`);
    }
  }

  const seconds = (ms: number): string => (Number.isFinite(ms) ? (ms / 1000).toFixed(2) : '-');
  const rows: string[][] = [['event', 'routers', 'rounds', 'median s', 'worst s', 'bar s', '', 'x drbdts']];
  let good = true;
  for (const event of events.filter((one) => wanted.includes(one))) {
    const base = median(outages['ours']?.[event] ?? []);
    for (const { name, title, barMs } of specs) {
      const of = outages[name]?.[event] ?? [];
      const bar = barMs?.[event];
      const reached = bar === undefined || Math.max(...of) <= bar;
      good &&= reached;
      const share = Number.isFinite(base) ? (median(of) / base).toFixed(2) : '-';
      rows.push([titles[event], title, String(of.length), seconds(median(of)), seconds(Math.max(...of)), bar === undefined ? '' : seconds(bar), bar === undefined ? '' : reached ? 'pass' : 'FAIL', share]);
    }
  }
  print('');
  for (const line of align(rows)) print(line);
  for (const { pair } of made) if (pair.left.of > 0) print(`${pair.spec.name}: a dead master's address is still on its interface after 5 s in ${pair.left.still} of ${pair.left.of} cases`);
  print(good ? 'all bars reached' : 'bars not reached');
  return good;
}

await runBench('vrrp-outage', labUnavailable() || programsUnavailable(keepalivedBinary) || programsUnavailable('/usr/sbin/nginx'), bench);
