/** What instances of VRRP do to each other, and a node to the other one (pure). */
import type { Finding } from './check.js';
import { findings } from './cluster-check.js';
import type { GroupConfig } from './cluster-types.js';
import type { KeyPath } from './places.js';
import { ownerPriority, type VrrpInstance, type VrrpSection, type VrrpTracker } from './vrrp-types.js';

type Report = (finding: Finding) => void;

const pathOf = (instance: VrrpInstance): KeyPath => ['vrrp', 'instances', instance.name];

/** One router id on one network is one router. */
function checkRouterIds(instances: readonly VrrpInstance[], nodes: readonly string[], report: Report): void {
  const { conflict } = findings(report);
  const seen = new Map<string, string>();
  for (const instance of instances) {
    for (const node of nodes) {
      const part = instance.nodes[node];
      if (part === undefined) continue;
      const key = `${node} ${part.interface} ${instance.family} ${instance.routerId}`;
      const first = seen.get(key);
      if (first !== undefined && first !== instance.name) {
        conflict([...pathOf(instance), 'router-id'], `router-id ${instance.routerId} is that of instance ${first} on ${part.interface} already`, 'Each instance on a network needs its own.');
        break;
      }
      seen.set(key, instance.name);
    }
  }
}

function checkAddresses(instances: readonly VrrpInstance[], groups: readonly GroupConfig[], report: Report): void {
  const { conflict } = findings(report);
  const owners = new Map<string, string>();
  for (const group of groups) for (const member of group.members) if (member.kind === 'vip') owners.set(member.address, `group ${group.name}`);
  for (const instance of instances) {
    instance.addresses.forEach(({ address }, index) => {
      const first = owners.get(address);
      if (first !== undefined) conflict([...pathOf(instance), 'addresses', index], `${address} belongs to ${first === `instance ${instance.name}` ? 'this instance already' : first}`, 'It can follow one decision only.');
      else owners.set(address, `instance ${instance.name}`);
    });
  }
}

/** Nodes from the highest priority to the lowest. */
function ranking(instance: VrrpInstance): { node: string; priority: number }[] {
  return Object.entries(instance.nodes)
    .map(([node, { priority }]) => ({ node, priority }))
    .sort((a, b) => b.priority - a.priority);
}

function checkPriorities(instance: VrrpInstance, report: Report): void {
  const { warn } = findings(report);
  const [best, next] = ranking(instance);
  if (best === undefined || next === undefined || best.priority !== next.priority) return;
  warn([...pathOf(instance), 'priority'], `${best.node} and ${next.node} have the same priority (${best.priority}): at a start both may be master for a moment`, `Write one for each node, such as \`priority: {${best.node}: 150, ${next.node}: 100}\`.`);
}

/** Whether the loss of what is tracked moves the addresses to the next node, all else being well there. */
function movesWith(tracker: VrrpTracker, best: number, next: number): boolean {
  const { weight, reverse } = tracker;
  if (weight === 0 || tracker.kind === 'file') return true;
  // what is added while it is up is missing when it is down, for both forms the same step
  const step = Math.abs(weight);
  const gains = weight > 0 !== reverse;
  return gains ? Math.min(254, next + step) > best : Math.max(1, best - step) < next;
}

function checkWeights(instance: VrrpInstance, report: Report): void {
  const { warn } = findings(report);
  const [best, next] = ranking(instance);
  if (best === undefined || next === undefined || best.priority === ownerPriority || best.priority === next.priority) return;
  instance.track.forEach((tracker, index) => {
    if (movesWith(tracker, best.priority, next.priority)) return;
    const needed = best.priority - next.priority + 1;
    warn(
      [...pathOf(instance), 'track', index],
      `weight ${tracker.weight} is too small to move the addresses: ${best.priority} of ${best.node} stays above ${next.priority} of ${next.node}`,
      `Write a weight of at least ${needed} (${-needed} to take it off while down), or 0 for a fault.`,
    );
  });
}

function checkSyncGroups(section: VrrpSection, nodes: readonly string[], report: Report): void {
  const { conflict, warn } = findings(report);
  const memberOf = new Map<string, string>();
  for (const group of section.syncGroups) {
    const path: KeyPath = ['vrrp', 'sync-groups', group.name, 'instances'];
    const members = group.instances.flatMap((name, index) => {
      const found = section.instances.find((instance) => instance.name === name);
      const other = memberOf.get(name);
      if (found === undefined) conflict([...path, index], `'${name}' is not an instance`, `Instances: ${section.instances.map((instance) => instance.name).join(', ') || 'none'}.`);
      else if (other !== undefined) conflict([...path, index], `${name} is in sync group ${other} already`, 'An instance belongs to one group at most.');
      memberOf.set(name, group.name);
      return found === undefined ? [] : [found];
    });
    const [first, ...rest] = members;
    for (const member of first === undefined ? [] : rest) {
      if (nodes.some((node) => member.nodes[node]?.priority !== first?.nodes[node]?.priority)) warn(path, `${first?.name} and ${member.name} move together and have different priorities`, 'Give them the same on each node: different winners make endless elections.');
      if (member.intervalMs !== first?.intervalMs) warn(path, `${first?.name} and ${member.name} move together and have different intervals`, 'Give them the same.');
    }
  }
}

export function checkTogether(section: VrrpSection, nodes: readonly string[], groups: readonly GroupConfig[], report: Report): void {
  const { warn } = findings(report);
  const { instances, scripts, syncGroups } = section;
  checkRouterIds(instances, nodes, report);
  checkAddresses(instances, groups, report);
  for (const instance of instances) {
    checkPriorities(instance, report);
    checkWeights(instance, report);
  }
  checkSyncGroups(section, nodes, report);
  const used = new Set([...instances, ...syncGroups].flatMap(({ track }) => track.flatMap((one) => (one.kind === 'script' ? [one.script] : []))));
  for (const { name } of scripts) if (!used.has(name)) warn(['vrrp', 'scripts', name], `script ${name} is tracked by nobody: it never runs`, 'Name it below `track:` of an instance.');
}
