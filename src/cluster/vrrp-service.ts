/** VRRP beside the groups of a cluster, and as the only thing a node does. */
import type { VrrpSection } from '../config/vrrp-types.js';
import { vrrpPartOf } from '../config/vrrp-types.js';
import { ClusterServer } from '../control/cluster-server.js';
import type { Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import type { Manager } from './manager.js';
import { VrrpRuntime, type VrrpOptions } from './vrrp/runtime.js';
import type { VolumeState } from './vrrp/types.js';

/** Whether the section has an instance for this node. */
export function hasVrrp(section: VrrpSection, node: string): boolean {
  return section.instances.some((instance) => vrrpPartOf(instance, node) !== null);
}

/**
 * What an instance is told of the group that it gates. Placement decides, with arbiter and all: VRRP never promotes. Serving is a group that is
 * started here and may serve; promotable one that placement wants here.
 */
export function placementGate(manager: Pick<Manager, 'parts' | 'decision' | 'leaving' | 'mayServe'>, group: string): { state: VolumeState; reason: string } {
  const runner = manager.parts.runners.find(({ config }) => config.name === group);
  const placement = manager.decision.placements[group];
  if (runner === undefined || manager.leaving) return { state: 'refused', reason: 'this node leaves the cluster' };
  if (!manager.mayServe(group)) return { state: 'refused', reason: 'it is not known whether this node may serve' };
  if (runner.state.phase === 'started') return { state: 'serving', reason: `group ${group} runs here` };
  const here = placement?.node === manager.parts.node && !['failed', 'stop-failed'].includes(runner.state.phase);
  return here ? { state: 'promotable', reason: `group ${group} is ${runner.state.phase} here` } : { state: 'refused', reason: placement?.why || 'it is not decided yet where it runs' };
}

export interface AloneOptions extends Omit<VrrpOptions, 'gate' | 'log'> {
  readonly log: Log;
  readonly socket: string;
}

/** A node without `cluster:`: virtual routers only, until a signal. SIGTERM and SIGHUP hand the addresses over. */
export async function runVrrpAlone({ socket, ...options }: AloneOptions): Promise<void> {
  const { log, node } = options;
  // groups need a cluster: the configuration has none that could be gated
  const vrrp = new VrrpRuntime({ ...options, gate: () => ({ state: 'refused', reason: 'there is no cluster' }) });
  const server = new ClusterServer(null, (error) => log.error(`internal error: ${error.message}`), vrrp);
  // the socket is the lock: a second process ends here, before it has touched an address
  await server.listen(socket);
  await vrrp.start();
  let ending = false;
  const end = async (signal: string, exitCode: number): Promise<void> => {
    if (ending) return;
    ending = true;
    log.info(`${signal}: the virtual routers of ${node} stop`);
    await vrrp.stop();
    await server.close();
    process.exit(exitCode);
  };
  process.on('SIGTERM', () => void end('SIGTERM', 0));
  process.on('SIGINT', () => void end('SIGINT', 0));
  // EX_TEMPFAIL: whoever keeps the process alive starts the next one at once
  for (const signal of ['SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => void end(signal, 75));
  log.info(`drbdts-clusterd ${version} on ${node} answers on ${socket}; no cluster, virtual routers only`);
}
