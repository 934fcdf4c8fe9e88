#!/usr/bin/env node
/**
 * drbdts-clusterd: one per node. Starts by looking at what runs, and changes nothing that is right. SIGTERM leaves the cluster: groups are
 * stopped and the other node takes them. SIGHUP and SIGUSR2 end only the process: groups run on and the next one adopts them (upgrade, new
 * configuration). SIGHUP does nothing when the next one would refuse the configuration.
 */
import { mkdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readKeyFile } from '../arbiter/key-file.js';
import type { ClusterConfig, GroupConfig } from '../config/cluster-types.js';
import { clusterDigest } from '../config/digest.js';
import { defaultConfigFile, formatProblem, loadConfig, requireConfig } from '../config/load.js';
import type { Config } from '../config/types.js';
import { ControlClient, defaultSocket } from '../control/client.js';
import { defaultClusterSocket } from '../control/cluster-client.js';
import { ClusterServer } from '../control/cluster-server.js';
import { type Clock, systemClock } from '../shared/clock.js';
import { asDrbdtsError, DrbdtsError, drbdtsError } from '../shared/errors.js';
import { createLog, type Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import { DaemonWatch } from './daemon-watch.js';
import { GroupRunner } from './group-runner.js';
import { Heartbeats } from './heartbeats.js';
import { History } from './history.js';
import { KernelNet } from './kernel-net.js';
import { Manager } from './manager.js';
import { createMember } from './members/create.js';
import { loadNet, type NativeNet } from './net-native.js';
import { PingTargets } from './ping.js';
import { RecordWatch } from './record-watch.js';
import { SelfFence } from './self-fence.js';
import { placementGate } from './vrrp/gate.js';
import { VrrpRuntime } from './vrrp/runtime.js';
import { BalancingRuntime, removeLeftovers } from './balancing/runtime.js';
import { balancingGate, hasVrrp, runVrrpAlone } from './vrrp-service.js';
import { WishesStore } from './wishes-store.js';

/** EX_TEMPFAIL: whoever keeps the process alive starts the next one at once. */
const startOverExitCode = 75;
const realtimePriority = 10;
/** after the goodbye: time for its datagrams to leave. */
const goodbyeMs = 60;

const usage = `drbdts-clusterd ${version}: cluster manager of drbdts, one per node

  --config FILE          configuration (${defaultConfigFile})
  --socket PATH          own control socket (${defaultClusterSocket})
  --drbdtsd-socket PATH  control socket of drbdtsd (${defaultSocket})
  --node NAME            this host's name in the configuration (as uname -n says)
  --state-dir DIR        wishes and history, must survive a boot (/var/lib/drbdts/cluster)
  --run-dir DIR          what runs, is gone after a boot (/run/drbdts/cluster)
  --no-realtime          no real-time priority
  --foreground           log with time stamps, also where journald listens
  --version, --help

SIGTERM leaves the cluster; SIGHUP ends the process only, groups run on and the next clusterd adopts them. With a configuration that would be refused SIGHUP does nothing.
`;

interface Arguments {
  config: string;
  socket: string;
  drbdtsdSocket: string;
  node: string;
  stateDir: string;
  runDir: string;
  realtime: boolean;
  foreground: boolean;
}

function readArguments(argv: string[]): Arguments | null {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        config: { type: 'string', short: 'c', default: defaultConfigFile },
        socket: { type: 'string', default: defaultClusterSocket },
        'drbdtsd-socket': { type: 'string', default: defaultSocket },
        node: { type: 'string', default: hostname() },
        'state-dir': { type: 'string', default: '/var/lib/drbdts/cluster' },
        'run-dir': { type: 'string', default: '/run/drbdts/cluster' },
        'no-realtime': { type: 'boolean', default: false },
        foreground: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help || values.version) {
      process.stdout.write(values.help ? usage : `${version}\n`);
      return null;
    }
    return {
      config: values.config,
      socket: values.socket,
      drbdtsdSocket: values['drbdtsd-socket'],
      node: values.node,
      stateDir: values['state-dir'],
      runDir: values['run-dir'],
      realtime: !values['no-realtime'],
      foreground: values.foreground,
    };
  } catch (error) {
    throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: (error as Error).message }, remedy: 'See drbdts-clusterd --help.' });
  }
}

function clusterOf(config: Config, node: string): ClusterConfig {
  if (config.cluster === null || !config.cluster.nodes.includes(node)) throw drbdtsError('ERR_CLUSTER_NOT_CONFIGURED', { values: { file: config.file }, place: config.file });
  return config.cluster;
}

/** A pause of this thread looks to the other node like a death. */
function becomeUrgent(net: NativeNet, log: Log): void {
  try {
    net.setRealtime(realtimePriority);
    // adverts wait for nobody, this thread included
    net.advertPriority(realtimePriority + 1);
  } catch (error) {
    log.warn(`no real-time priority (${(error as Error).message}): heartbeats may be late under load`);
  }
}

/** Time since boot, sleep of the machine included. */
function bootClock(net: NativeNet): Clock {
  return { ...systemClock, nowMs: () => Number(net.bootTimeNs() / 1000n) / 1000 };
}

/** Where services get cgroups of their own; '' where there is no writable cgroup v2 tree. */
function cgroupParent(): string {
  const root = '/sys/fs/cgroup';
  try {
    if (!statSync(join(root, 'cgroup.procs')).isFile()) return '';
    const parent = join(root, 'drbdts-services');
    mkdirSync(parent, { recursive: true });
    return parent;
  } catch {
    return '';
  }
}

/** Whether the next process would start with the file as it is now; if not, why is in the log. */
function wouldStart(args: Arguments, log: Log): boolean {
  try {
    const loaded = loadConfig(args.config, args.node);
    for (const problem of loaded.problems.filter(({ severity }) => severity === 'error')) log.error(formatProblem(problem));
    const config = requireConfig(loaded, args.config);
    if (config.cluster === null && (config.balancing !== null || (config.vrrp !== null && hasVrrp(config.vrrp, args.node)))) return true;
    readKeyFile(clusterOf(config, args.node).keyFile);
    return true;
  } catch (thrown) {
    const error = thrown instanceof DrbdtsError ? thrown : asDrbdtsError(thrown);
    log.error(`SIGHUP: the configuration is refused and everything goes on as it was: ${error.message} ${error.remedy}`);
    return false;
  }
}

/** What has to be cut when a member cannot be ended otherwise. */
function volumesBefore(group: GroupConfig, index: number): string[] {
  return group.members.slice(0, index).flatMap((member) => (member.kind === 'volume' ? [member.resource] : []));
}

async function run(args: Arguments): Promise<void> {
  const log = createLog('info', args.foreground ? { journal: false } : {});
  process.stderr.on('error', () => {});
  const loaded = loadConfig(args.config, args.node);
  for (const problem of loaded.problems) log[problem.severity === 'error' ? 'error' : 'warn'](formatProblem(problem));
  const config = requireConfig(loaded, args.config);
  log.level = config.global.logLevel;
  const { groups, vrrp: section } = config;
  const speaksVrrp = section !== null && hasVrrp(section, args.node);
  if (config.cluster === null && (speaksVrrp || config.balancing !== null)) {
    const net = loadNet();
    if (args.realtime) becomeUrgent(net, log);
    await runVrrpAlone({ mayStartOver: () => wouldStart(args, log), section: speaksVrrp ? section : null, balancing: config.balancing, node: args.node, net, clock: bootClock(net), log, handlerTimeoutMs: config.global.handlerTimeoutS * 1000, socket: args.socket });
    return;
  }
  const cluster = clusterOf(config, args.node);
  const key = readKeyFile(cluster.keyFile);
  const net = loadNet();
  if (args.realtime) becomeUrgent(net, log);
  const clock = bootClock(net);
  for (const directory of [args.stateDir, args.runDir]) mkdirSync(directory, { recursive: true, mode: 0o700 });

  const control = new ControlClient(args.drbdtsdSocket);
  const resources = [...new Set(groups.flatMap((group) => group.members.flatMap((member) => (member.kind === 'volume' ? [member.resource] : []))))];
  const history = new History({ file: join(args.stateDir, 'history.jsonl'), node: args.node, now: () => clock.date(), onTrouble: (reason) => log.error(`the history can not be written: ${reason}`) });
  const selfFence = new SelfFence(cluster.selfFence, { log, clock, stateDir: args.stateDir, healthy: () => true });

  // each of the parts tells the manager of changes, which needs them all: what comes before it is complete is not lost, it looks at everything
  let manager: Manager | null = null;
  const look = (): void => manager?.look();
  const watch = new DaemonWatch(control, resources, clock, look);
  const records = new RecordWatch(control, clock, look);
  const ping = new PingTargets({ targets: cluster.ping, deadpingMs: cluster.deadpingMs, clock, log, onChange: look });
  const kernelNet = new KernelNet(net, clock);
  const parent = cgroupParent();
  const runners = groups.map((group) => {
    const runDir = join(args.runDir, group.name);
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    const members = group.members.map((member, index) =>
      createMember(member, { node: args.node, group: group.name, log, clock, control, net: kernelNet, volumes: volumesBefore(group, index), runDir, cgroupParent: parent, mayServe: () => manager?.mayServe(group.name) ?? true }),
    );
    return new GroupRunner(group, members, {
      log,
      clock,
      changed: look,
      say: (level, sentence) => manager?.say(level, group.name, sentence),
      selfFence: (reason) => {
        manager?.say('error', group.name, `this node fences itself: ${reason}`);
        selfFence.fence(reason).catch((error: Error) => manager?.say('error', group.name, error.message));
      },
    });
  });
  const checkMs = Math.max(50, Math.round(((cluster.deadtimeMs - cluster.warntimeMs) * 2) / 3));
  // what becomes of the other node and of the links is the reason of most decisions: it belongs into the history
  const tell = (level: 'info' | 'warn' | 'error') => (sentence: string): void => (manager === null ? log[level](sentence) : manager.say(level, '', sentence));
  const heartbeats = new Heartbeats({
    cluster,
    self: args.node,
    key,
    clock,
    log: { info: tell('info'), warn: tell('warn'), error: tell('error') },
    bindSocket: (options) => net.udpSocket(options),
    onView: look,
    onStalled: (forMs) => manager?.stalled(forMs),
    onCheckReplication: () => {
      if (resources.length === 0) return heartbeats.replicationSign('unknown');
      void Promise.all(
        resources.map((resource) =>
          control.verb(resource, 'check-peer', { timeoutMs: checkMs }).then(
            ({ results }) => results[0]?.code === 1,
            () => null,
          ),
        ),
      ).then((answers) => heartbeats.replicationSign(answers.includes(true) ? 'alive' : answers.includes(null) ? 'unknown' : 'dead'));
    },
  });
  manager = new Manager({
    cluster,
    groups,
    node: args.node,
    configDigest: clusterDigest(cluster, groups),
    clock,
    log,
    runners,
    history,
    wishes: new WishesStore(join(args.stateDir, 'wishes.json')),
    membership: () => heartbeats.view,
    setReport: (report) => heartbeats.setReport(report),
    daemon: () => watch.view,
    reconnect: (resource) => watch.reconnect(resource),
    askReplication: (resource) => watch.askReplication(resource, cluster.deadtimeMs),
    replicationAgeMs: () => watch.replicationAgeMs,
    pingLost: () => ping.lost,
    recordUnvouched: (group) => records.unvouched(group),
    recordStanding: (group) => (cluster.arbiter.kind === 'none' ? 'none' : records.standing(group)),
    claimRecord: (group) => records.claim(group),
    tendRecord: (group, here, peerAlive) => {
      if (cluster.arbiter.kind !== 'none') records.tend(group, here, peerAlive);
    },
  });
  const placed = manager;
  const said = { info: tell('info'), warn: tell('warn'), error: tell('error') };
  const vrrp = speaksVrrp ? new VrrpRuntime({ section, node: args.node, net, clock, log: said, handlerTimeoutMs: config.global.handlerTimeoutS * 1000, gate: (group) => placementGate(placed, group) }) : null;
  const servedHere = balancingGate(vrrp, (group) => {
    const { state, reason } = placementGate(placed, group);
    return { open: state === 'serving', reason };
  });
  const balancing = config.balancing === null ? null : new BalancingRuntime({ section: config.balancing, node: args.node, log: said, clock, gate: servedHere });
  const server = new ClusterServer(manager, (error) => log.error(`internal error: ${error.message}`), vrrp, balancing);
  // the socket is the lock: a second clusterd on this node ends here, before it has touched anything
  await server.listen(args.socket);
  // what this host can not do is said before it takes part in anything
  await (balancing === null ? removeLeftovers() : balancing.start());
  const before = selfFence.lastReason();
  if (before !== null) manager.say('error', '', `this node fenced itself at ${before.time}: ${before.reason}`);
  selfFence.arm();
  manager.say('info', '', `clusterd ${version} starts on ${args.node}: looking at what runs`);
  watch.start();
  ping.start();
  heartbeats.start();
  manager.subscribe(() => {
    vrrp?.gatesChanged();
    balancing?.gatesChanged();
  });
  await vrrp?.start();
  for (const runner of runners) runner.send({ kind: 'probe' });
  const ticker = setInterval(look, Math.max(20, Math.min(cluster.keepaliveMs, 250)));

  let ending = false;
  const end = async (exitCode: number): Promise<void> => {
    clearInterval(ticker);
    await vrrp?.stop();
    await (exitCode === 0 ? balancing?.stop() : balancing?.handOver());
    for (const runner of runners) runner.close();
    ping.close();
    watch.close();
    heartbeats.close();
    await server.close();
    process.exit(exitCode);
  };
  const leave = async (signal: string): Promise<void> => {
    if (ending || manager === null) return;
    ending = true;
    log.info(`${signal}: leaving the cluster`);
    // clients leave before the services do
    await vrrp?.stop();
    if (await manager.leave()) {
      heartbeats.goodbye();
      await clock.sleep(goodbyeMs);
      selfFence.disarm();
      manager.say('info', '', 'this node has left the cluster');
    }
    await end(0);
  };
  const startOver = (signal: string): void => {
    if (ending) return;
    ending = true;
    manager?.say('info', '', `${signal}: this process ends, groups run on and are adopted by the next one`);
    selfFence.disarm();
    void end(startOverExitCode);
  };
  process.on('SIGTERM', () => void leave('SIGTERM'));
  process.on('SIGINT', () => void leave('SIGINT'));
  process.on('SIGHUP', () => {
    if (!ending && wouldStart(args, log)) startOver('SIGHUP');
  });
  process.on('SIGUSR2', () => startOver('SIGUSR2'));
  log.info(`drbdts-clusterd ${version} on ${args.node} answers on ${args.socket}`);
}

async function main(): Promise<void> {
  try {
    const args = readArguments(process.argv.slice(2));
    if (args !== null) await run(args);
  } catch (thrown) {
    const error = thrown instanceof DrbdtsError ? thrown : asDrbdtsError(thrown);
    process.stderr.write(`drbdts-clusterd: ${error.message}\n${error.remedy}\n`);
    process.exit(error.exitCode === 0 ? 20 : error.exitCode);
  }
}

await main();
