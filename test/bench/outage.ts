/**
 * `npm run bench:outage`: how long a client sees nothing when the active node is ordered to hand over, or dies. A client in a network of its
 * own fetches a page every 10 ms over a new connection each time; the outage is the time from the last page before to the first one after.
 * drbdts, keepalived and heartbeat take turns, round by round.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { ClusterLab } from '../support/cluster.js';
import type { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { labUnavailable, programsUnavailable } from '../support/paths.js';
import { OutageClient } from './outage-client.js';
import { underLoad } from './outage-load.js';
import { type CaseSpec, missed, outageMs, type Outages, outageTable } from './outage-table.js';
import { DrbdtsTarget, HeartbeatTarget, KeepalivedTarget, type OutageTarget, pageText } from './outage-targets.js';
import { runBench } from './run-bench.js';
import { median } from './table.js';

const allCases: (CaseSpec & { target: string })[] = [
  { name: 'drbdts-planned', target: 'drbdts', title: 'drbdts: volume, ext4, nginx, address', event: 'planned', barMs: 500 },
  { name: 'keepalived-planned', target: 'keepalived', title: 'keepalived, defaults: address', event: 'planned' },
  { name: 'heartbeat-planned', target: 'heartbeat', title: 'heartbeat, 200 ms/2 s: nginx, address', event: 'planned' },
  { name: 'drbdts-kill', target: 'drbdts', title: 'drbdts: volume, ext4, nginx, address', event: 'kill', barMs: 1000 },
  { name: 'keepalived-kill', target: 'keepalived', title: 'keepalived, defaults: address', event: 'kill' },
  { name: 'heartbeat-kill', target: 'heartbeat', title: 'heartbeat, 200 ms/2 s: nginx, address', event: 'kill' },
];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    only: { type: 'string', default: allCases.map(({ name }) => name).join(',') },
    json: { type: 'string' },
    add: { type: 'string' },
    minutes: { type: 'string', default: '10' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const print = (text: string | readonly string[]): void => console.log(typeof text === 'string' ? text : text.join('\n'));

if (values.help) {
  print([
    'npm run bench:outage -- [--rounds N] [--only CASE,...] [--json FILE] [--add FILE] [--trace]',
    `cases: ${allCases.map(({ name }) => name).join(', ')}`,
    '--only load [--minutes N]  no outages: N minutes (10) of full load on all cores and disks must not move the group',
    '--json FILE  every outage in ms, for --add',
    '--add FILE   outages of an earlier run on this machine count, too',
    "--trace      after each of drbdts' events, what both nodes' daemons logged (at level debug)",
  ]);
  process.exit(0);
}

/** What the daemons of both nodes logged in the two seconds after `sinceMs`, with times after it. */
function trace(target: DrbdtsTarget, sinceMs: number): string[] {
  const { cluster } = target;
  const logs = [cluster.a, cluster.b].flatMap((host) => [
    { of: `${host.name} drbdtsd  `, text: host.log() },
    { of: `${host.name} clusterd `, text: cluster.clusterdLog(host) },
  ]);
  return logs
    .flatMap(({ of, text }) => text.split('\n').map((line) => ({ of, line, afterMs: Date.parse(line.split(' ')[0] ?? '') - sinceMs })))
    .filter(({ afterMs }) => afterMs > -20 && afterMs < 2000)
    .sort((a, b) => a.afterMs - b.afterMs)
    .map(({ afterMs, of, line }) => `    ${String(Math.round(afterMs)).padStart(5)} ms  ${of} ${line.replace(/^\S+ /, '')}`);
}

async function bench(lab: Lab): Promise<boolean> {
  if (values.only === 'load') {
    const minutes = Number(values.minutes);
    if (!(minutes > 0)) throw new Error('bad arguments; see --help');
    print('preparing the nodes');
    const target = await DrbdtsTarget.create(lab, { debug: false });
    const { lines, good } = await underLoad(target, new OutageClient(target.cluster.client, pageText), minutes);
    print(lines);
    return good;
  }
  const rounds = Number(values.rounds);
  const names = values.only.split(',');
  const cases = allCases.filter(({ name }) => names.includes(name));
  const unknown = names.filter((name) => !allCases.some((one) => one.name === name));
  if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) throw new Error(`bad arguments (${unknown.join(', ')}); see --help`);
  const outages: Outages = values.add !== undefined && existsSync(values.add) ? (JSON.parse(readFileSync(values.add, 'utf8')) as Outages) : {};

  const wanted = (target: string): boolean => cases.some((one) => one.target === target);
  for (const [target, program] of [['keepalived', '/usr/sbin/keepalived'], ['heartbeat', '/usr/libexec/heartbeat/heartbeat']] as const) {
    const missing = wanted(target) && programsUnavailable(program);
    if (missing !== false) throw new Error(missing);
  }
  const noNginx = programsUnavailable('/usr/sbin/nginx');
  if (noNginx !== false) throw new Error(noNginx);

  print('preparing the nodes');
  const targets = new Map<string, OutageTarget>();
  let drbdts: DrbdtsTarget | null = null;
  let bridge: { client: Host; net: string };
  if (wanted('drbdts')) {
    drbdts = await DrbdtsTarget.create(lab, { debug: values.trace });
    targets.set('drbdts', drbdts);
    bridge = drbdts.cluster;
  } else bridge = await ClusterLab.bridge(lab);
  if (wanted('keepalived')) targets.set('keepalived', await KeepalivedTarget.create(lab, bridge.client, bridge.net));
  if (wanted('heartbeat')) targets.set('heartbeat', await HeartbeatTarget.create(lab, bridge.client, bridge.net));
  const client = new OutageClient(bridge.client, pageText);

  for (let round = 0; round < rounds; round++) {
    for (const { name, target: of, event } of cases) {
      const target = targets.get(of);
      if (target === undefined) continue;
      await client.watch(target.vip);
      const eventMs = Date.now();
      await (event === 'planned' ? target.move() : target.kill());
      await client.served(Date.now());
      await target.settle();
      const outage = outageMs(await client.stop(), eventMs);
      outages[name] = [...(outages[name] ?? []), Math.round(outage)];
      print(`round ${round + 1} of ${rounds}  ${name.padEnd(20)} ${(outage / 1000).toFixed(3)} s  (load ${loadavg()[0]?.toFixed(1) ?? '?'})`);
      if (values.trace && drbdts !== null && target === drbdts) print(trace(drbdts, eventMs));
      if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(outages, null, 1)}\n`);
    }
  }
  const shown = allCases.filter(({ name }) => (outages[name] ?? []).length > 0);
  print(['', 'What a client sees at a resolution of 10 ms', '', ...outageTable(shown, outages, 'drbdts')]);
  for (const { name } of shown) print(`${name}: ${[...(outages[name] ?? [])].sort((a, b) => a - b).join(' ')} ms (median ${median(outages[name] ?? [])})`);
  const failed = missed(shown, outages);
  print(['', failed.length === 0 ? 'all bars reached' : `bars not reached: ${failed.map(({ name }) => name).join(', ')}`]);
  return failed.length === 0;
}

await runBench('outage', labUnavailable(), bench);
