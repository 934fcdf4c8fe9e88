/**
 * The demo of the cluster: two nodes, a witness and a client; MariaDB and nginx on a mirrored /store behind one address; a client that writes
 * and reads all the time; and one fault after the other. A process outside of the cluster looks at both nodes all the time.
 */
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterStatus, HistoryEntry } from '../../src/control/cluster-messages.js';
import { ClusterLab } from '../support/cluster.js';
import { mib } from '../support/disk.js';
import type { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import type { ServiceChecker } from '../support/service-checker.js';
import { acknowledged, type CaseResult, changesOfNode, errorsIn, longestOutage, problemsOf, rowsLost, summaryOf, type Window } from './account.js';
import type { Fault } from './cases.js';
import type { Screen } from './screen.js';
import { furnish, makeMountPoint, readRows, serviceMembers, writeServices } from './services.js';
import { Traffic } from './traffic.js';

const store = '/store';
const healMs = 120_000;
/** Every case is watched for that long after its fault at least, so that late effects of a fault belong to it. */
const watchMs = 5000;
/** A frozen node answers nobody. */
const answerMs = 1500;
const within = <T>(answer: Promise<T>, otherwise: T): Promise<T> => Promise.race([answer.catch(() => otherwise), pause(answerMs).then(() => otherwise)]);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface ClusterReport {
  readonly cases: readonly CaseResult[];
  readonly problems: readonly string[];
  readonly checker: { readonly readings: number; readonly gapMaxMs: number };
}

/** Where services of a clusterd get cgroups; made by it, and not removed when it was killed. */
function removeGroupsLater(lab: Lab, nodes: readonly string[]): void {
  const parent = '/sys/fs/cgroup/drbdts-services';
  const existed = existsSync(parent);
  lab.deferLast(parent, () => {
    if (!existsSync(parent)) return;
    for (const name of readdirSync(parent)) if (nodes.some((node) => name.startsWith(`${node}.web.`))) rmdirSync(join(parent, name));
    if (!existed) rmdirSync(parent);
  });
}

async function build(lab: Lab, screen: Screen): Promise<{ cluster: ClusterLab; active: Host }> {
  screen.step('Two nodes, a witness and a client');
  makeMountPoint(lab, store);
  removeGroupsLater(lab, ['alpha', 'beta']);
  const files = writeServices(lab, store);
  const cluster = await ClusterLab.create(lab, {
    bytes: 512 * mib,
    // a peer that does not answer is given up after about a second
    net: { 'ping-int': 1, 'ping-timeout': 5, timeout: 8 },
    groups: ({ vip }) => ({
      web: {
        members: [
          { volume: 'r0' },
          { filesystem: store, type: 'ext4', options: 'noatime', timeouts: { every: '2s' } },
          ...serviceMembers(files),
          { vip: `${vip}/24`, interface: 'eth1', timeouts: { every: '1s' } },
        ],
      },
    }),
  });
  const { a, b } = cluster;
  screen.say(`${a.name}, ${b.name}: eth0 between them (replication, heartbeats), eth1 to a switch (heartbeats, clients, witness)`);
  cluster.startWitness();
  await cluster.pair.upInSync({ keeper: true });
  screen.done('a volume of 512 MiB is mirrored');
  await a.drbdts('primary', 'r0');
  await a.must(['mkfs.ext4', '-q', '-E', 'nodiscard', '/dev/drbd0']);
  await a.mount('/dev/drbd0', store);
  screen.say(`mariadb-install-db, a page for nginx`);
  await furnish(a, files, store);
  await a.umount(store);
  await a.drbdts('secondary', 'r0');
  screen.done(`${store} has a database and a page`);
  await Promise.all([cluster.startClusterd(a), cluster.startClusterd(b)]);
  const active = await cluster.running('web', 60_000);
  await cluster.together();
  screen.done(`volume, file system, mariadb, nginx and the address ${cluster.vip} are on ${active.name}`);
  return { cluster, active };
}

/** Which node the group is on now, by what both say. */
async function placeOf(cluster: ClusterLab): Promise<string> {
  for (const host of [cluster.a, cluster.b]) {
    const clusterd = cluster.clusterds.get(host);
    const status = clusterd === undefined ? null : await within<ClusterStatus | null>(clusterd.client.status(), null);
    if (status?.groups.some(({ name, phase, held }) => name === 'web' && phase === 'started' && !held) === true && (await cluster.hasVip(host))) return host.name;
  }
  return '';
}

async function decisionsSince(cluster: ClusterLab, sinceMs: number): Promise<HistoryEntry[]> {
  const all = await Promise.all([cluster.a, cluster.b].map((host) => within(cluster.history(host), [])));
  return all.flat().filter(({ time }) => Date.parse(time) >= sinceMs).sort((x, y) => Date.parse(x.time) - Date.parse(y.time));
}

const marks: Readonly<Record<HistoryEntry['level'], string>> = { info: ' ', warn: '!', error: '!!' };

function tellDecisions(screen: Screen, entries: readonly HistoryEntry[], sinceMs: number, head = 'the cluster decided (drbdts cluster history):'): void {
  screen.say(head);
  for (const { time, node, level, sentence } of entries) {
    const seconds = ((Date.parse(time) - sinceMs) / 1000).toFixed(2).padStart(6);
    screen.output(`  ${seconds} s  ${node.padEnd(6)}${marks[level].padEnd(2)} ${sentence}`);
  }
  if (entries.length === 0) screen.output('  nothing');
}

function tellClient(screen: Screen, result: CaseResult): void {
  screen.say('the client saw:');
  screen.output(`  pages: longest time without an answer ${Math.round(result.pagesOutageMs)} ms`);
  screen.output(`  rows:  longest time without an acknowledgement ${Math.round(result.rowsOutageMs)} ms`);
  for (const [error, times] of result.errors) screen.output(`  ${String(times).padStart(5)} x ${error}`);
}

interface Running {
  readonly cluster: ClusterLab;
  readonly traffic: Traffic;
  readonly checker: ServiceChecker;
  readonly screen: Screen;
}

async function play(fault: Fault, active: Host, { cluster, traffic, checker, screen }: Running): Promise<{ result: CaseResult; active: Host }> {
  const other = cluster.other(active);
  screen.step(`${fault.title[0]?.toUpperCase()}${fault.title.slice(1)}`);
  await traffic.flows(50);
  const violationsBefore = checker.violations.length;
  const fromMs = Date.now();
  screen.print(`  ${screen.paint('cyan', fault.does(active, other))}`);
  await fault.strike(cluster, active);
  await fault.decided(cluster, active, other);
  await traffic.flows(20);
  await pause(Math.max(0, fromMs + watchMs - Date.now()));
  await traffic.flows(20);
  const window: Window = { fromMs, toMs: Date.now() };
  const to = await placeOf(cluster);
  const decisions = await decisionsSince(cluster, fromMs);
  const holder = to === other.name ? other : active;
  const wanted = acknowledged(traffic.rows, window.toMs);
  const found = await readRows(holder);
  const everything = [...traffic.rows, ...traffic.pages];
  const result: CaseResult = {
    name: fault.name,
    title: fault.title,
    from: active.name,
    to,
    expected: fault.expected(active, other).map(({ name }) => name),
    pagesOutageMs: longestOutage(traffic.pages, window).ms,
    rowsOutageMs: longestOutage(traffic.rows, window).ms,
    errors: errorsIn(everything, window),
    rowsAcknowledged: wanted.length,
    rowsLost: rowsLost(wanted, found),
    changes: changesOfNode(traffic.pages, window),
    violations: checker.violations.slice(violationsBefore),
  };
  tellClient(screen, result);
  tellDecisions(screen, decisions, fromMs);
  screen.say(`rows lost: ${result.rowsLost.length} of ${wanted.length}, read on ${holder.name}`);
  const problems = problemsOf(result);
  if (problems.length === 0) screen.done(result.from === result.to ? `${holder.name} serves on` : `${holder.name} serves, ${active.name} does not`);
  for (const problem of problems) screen.failed(problem);
  if (fault.healing !== '') screen.say(fault.healing);
  const healingMs = Date.now();
  await fault.heal(cluster, active);
  await cluster.together(healMs);
  if (fault.healing !== '') tellDecisions(screen, await decisionsSince(cluster, healingMs), fromMs, 'and then the cluster decided:');
  screen.done('both nodes are online, Connected, UpToDate/UpToDate');
  // what went wrong while it was mended belongs to the case, too
  return { result: { ...result, violations: checker.violations.slice(violationsBefore), changes: changesOfNode(traffic.pages, { fromMs, toMs: Date.now() }) }, active: holder };
}

/** Goes through the cases. Throws when the cluster does not get so far; what did not hold otherwise is in the report. */
export async function clusterDemo(lab: Lab, screen: Screen, chosen: readonly Fault[]): Promise<ClusterReport> {
  const built = await build(lab, screen);
  const { cluster } = built;
  let { active } = built;
  const checker = await cluster.check();
  const traffic = new Traffic(cluster.client, cluster.vip);
  await traffic.flows();
  screen.done('a client writes rows and fetches pages; a checker looks at both nodes, 50 times a second each');
  const cases: CaseResult[] = [];
  for (const fault of chosen) {
    const played = await play(fault, active, { cluster, traffic, checker, screen });
    cases.push(played.result);
    active = played.active;
  }
  screen.step('What came of it');
  traffic.stop();
  const wanted = acknowledged(traffic.rows);
  const lost = rowsLost(wanted, await readRows(active));
  const { readings, gapMaxMs, violations } = await checker.stop();
  const fenced = cluster.fenced();
  const problems = [
    ...cases.flatMap((result) => problemsOf(result).map((problem) => `${result.title}: ${problem}`)),
    ...(lost.length > 0 ? [`${lost.length} of ${wanted.length} rows are lost at the end`] : []),
    ...(violations.length > 0 && cases.every((result) => result.violations.length === 0) ? violations : []),
    ...fenced.map((name) => `${name} had to fence itself`),
  ];
  screen.print();
  for (const line of summaryOf(cases)) screen.print(`  ${line}`);
  screen.print();
  screen.say(`all ${wanted.length} acknowledged rows read back from ${active.name}: ${lost.length} lost`);
  screen.say(`the checker looked ${readings} times; the longest time that a node was not looked at: ${Math.round(gapMaxMs)} ms`);
  return { cases, problems, checker: { readings, gapMaxMs } };
}
