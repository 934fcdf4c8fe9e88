/** VRRP and balancing beside the groups of a cluster, and as the only things a node does. */
import type { BalancingSection, VirtualServer } from '../config/balancing-types.js';
import type { VrrpSection } from '../config/vrrp-types.js';
import { vrrpPartOf } from '../config/vrrp-types.js';
import { ClusterServer } from '../control/cluster-server.js';
import type { Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import { BalancingRuntime, type Gate, removeLeftovers } from './balancing/runtime.js';
import { VrrpRuntime, type VrrpOptions } from './vrrp/runtime.js';

/** Whether the section has an instance for this node. */
export function hasVrrp(section: VrrpSection, node: string): boolean {
  return section.instances.some((instance) => vrrpPartOf(instance, node) !== null);
}

/**
 * What a virtual server is told of its gate. That of an instance is open on every node that has the instance: the rules match only where the address is,
 * so they come into force with it in the same moment, and the node that takes the address over knows already which servers are up.
 */
export function balancingGate(vrrp: Pick<VrrpRuntime, 'phaseOf'> | null, group: (name: string) => Gate): (gate: NonNullable<VirtualServer['gate']>) => Gate {
  return ({ kind, name }) => {
    if (kind === 'group') return group(name);
    const phase = vrrp?.phaseOf(name) ?? null;
    return phase === null ? { open: false, reason: `this node has no part in ${name}` } : { open: true, reason: phase === 'master' ? 'master here' : `${phase} here, the address is elsewhere` };
  };
}

export interface AloneOptions extends Omit<VrrpOptions, 'gate' | 'log' | 'section'> {
  readonly log: Log;
  readonly socket: string;
  /** null: no virtual routers for this node. */
  readonly section: VrrpSection | null;
  readonly balancing: BalancingSection | null;
  /** asked at SIGHUP: whether the next process would take the configuration. */
  readonly mayStartOver: () => boolean;
}

/** A node without `cluster:`: virtual routers and virtual servers only, until a signal. SIGTERM and SIGHUP hand the addresses over; SIGHUP only to a process that will start. */
export async function runVrrpAlone({ socket, mayStartOver, section, balancing: balanced, ...options }: AloneOptions): Promise<void> {
  const { log, node, clock } = options;
  // groups need a cluster: the configuration has none that could be gated
  const vrrp = section === null ? null : new VrrpRuntime({ ...options, section, gate: () => ({ state: 'refused', reason: 'there is no cluster' }) });
  const gate = balancingGate(vrrp, () => ({ open: false, reason: 'there is no cluster' }));
  const balancing = balanced === null ? null : new BalancingRuntime({ section: balanced, node, log, clock, gate });
  const server = new ClusterServer(null, (error) => log.error(`internal error: ${error.message}`), vrrp, balancing);
  // the socket is the lock: a second process ends here, before it has touched an address
  await server.listen(socket);
  // who gets the address can serve at once
  await (balancing === null ? removeLeftovers() : balancing.start());
  await vrrp?.start();
  balancing?.gatesChanged();
  let ending = false;
  const end = async (signal: string, exitCode: number): Promise<void> => {
    if (ending) return;
    ending = true;
    log.info(`${signal}: ${what} of ${node} stop`);
    // clients leave with the address before what they were led to goes away
    await vrrp?.stop();
    await (exitCode === 0 ? balancing?.stop() : balancing?.handOver());
    await server.close();
    process.exit(exitCode);
  };
  const what = [...(vrrp === null ? [] : ['the virtual routers']), ...(balancing === null ? [] : ['the virtual servers'])].join(' and ');
  process.on('SIGTERM', () => void end('SIGTERM', 0));
  process.on('SIGINT', () => void end('SIGINT', 0));
  // EX_TEMPFAIL: whoever keeps the process alive starts the next one at once
  process.on('SIGHUP', () => {
    if (!ending && mayStartOver()) void end('SIGHUP', 75);
  });
  process.on('SIGUSR2', () => void end('SIGUSR2', 75));
  log.info(`drbdts-clusterd ${version} on ${node} answers on ${socket}; no cluster, ${what} only`);
}
