/** VRRP beside the groups of a cluster, and as the only thing a node does. */
import type { VrrpSection } from '../config/vrrp-types.js';
import { vrrpPartOf } from '../config/vrrp-types.js';
import { ClusterServer } from '../control/cluster-server.js';
import type { Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import { VrrpRuntime, type VrrpOptions } from './vrrp/runtime.js';

/** Whether the section has an instance for this node. */
export function hasVrrp(section: VrrpSection, node: string): boolean {
  return section.instances.some((instance) => vrrpPartOf(instance, node) !== null);
}

export interface AloneOptions extends Omit<VrrpOptions, 'gate' | 'log'> {
  readonly log: Log;
  readonly socket: string;
  /** asked at SIGHUP: whether the next process would take the configuration. */
  readonly mayStartOver: () => boolean;
}

/** A node without `cluster:`: virtual routers only, until a signal. SIGTERM and SIGHUP hand the addresses over; SIGHUP only to a process that will start. */
export async function runVrrpAlone({ socket, mayStartOver, ...options }: AloneOptions): Promise<void> {
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
  process.on('SIGHUP', () => {
    if (!ending && mayStartOver()) void end('SIGHUP', 75);
  });
  process.on('SIGUSR2', () => void end('SIGUSR2', 75));
  log.info(`drbdts-clusterd ${version} on ${node} answers on ${socket}; no cluster, virtual routers only`);
}
