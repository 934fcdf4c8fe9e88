/** Where placement and VRRP meet: what an instance is told of its group. Pure. */
import type { Manager } from '../manager.js';
import type { GateState } from './types.js';

/**
 * What an instance is told of the group that it gates. Placement decides, with arbiter and all: VRRP never promotes. Serving is a group that is
 * started here and may serve; promotable one that placement wants here.
 */
export function placementGate(manager: Pick<Manager, 'parts' | 'decision' | 'leaving' | 'mayServe'>, group: string): { state: GateState; reason: string } {
  const runner = manager.parts.runners.find(({ config }) => config.name === group);
  const placement = manager.decision.placements[group];
  if (runner === undefined || manager.leaving) return { state: 'refused', reason: 'this node leaves the cluster' };
  if (!manager.mayServe(group)) return { state: 'refused', reason: 'it is not known whether this node may serve' };
  if (runner.state.phase === 'started') return { state: 'serving', reason: `group ${group} runs here` };
  const here = placement?.node === manager.parts.node && !['failed', 'stop-failed'].includes(runner.state.phase);
  return here ? { state: 'promotable', reason: `group ${group} is ${runner.state.phase} here` } : { state: 'refused', reason: placement?.why || 'it is not decided yet where it runs' };
}
