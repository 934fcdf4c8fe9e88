/**
 * What `adjust` has to do (pure): from the configuration a resource runs with to the one wanted. Each step says why, and whether the
 * application notices.
 */
import { sameAddress } from './check.js';
import { type Applies, type OptionValues, optionsOf, type Section } from './options.js';
import { type ResourceConfig, sidesOf } from './types.js';

export interface OptionChange {
  name: string;
  from: OptionValues[string];
  to: OptionValues[string];
}

export type AdjustStep =
  /** The resource is new: bring it up. */
  | { kind: 'up'; reason: string }
  /** The resource left the configuration: take it down. */
  | { kind: 'down'; reason: string }
  /** Devices, disks, addresses or volumes changed: down and up again; impossible while in use. */
  | { kind: 'restart'; reason: string }
  /** Options of section net that hold at once. */
  | { kind: 'net-options'; changes: OptionChange[]; reason: string }
  /** Options of section net that are agreed with the peer: new connection. */
  | { kind: 'reconnect'; changes: OptionChange[]; reason: string }
  | { kind: 'disk-options'; volume: number; changes: OptionChange[]; reason: string }
  /** Options of section disk that are fixed while the disk is attached: detach and attach. */
  | { kind: 'reattach'; volume: number; changes: OptionChange[]; reason: string }
  | { kind: 'resize'; volume: number; sizeSectors: number; reason: string }
  /** Read when it is needed; nothing to do now. */
  | { kind: 'note'; changes: OptionChange[]; reason: string };

function changesOf(section: Section, from: OptionValues, to: OptionValues, applies: readonly Applies[]): OptionChange[] {
  const changes: OptionChange[] = [];
  for (const spec of optionsOf(section)) {
    const before = from[spec.name] ?? spec.default;
    const after = to[spec.name] ?? spec.default;
    if (before !== after && applies.includes(spec.applies)) changes.push({ name: spec.name, from: before, to: after });
  }
  return changes;
}

function names(changes: readonly OptionChange[]): string {
  return changes
    .map((change) => (change.name === 'shared-secret' ? change.name : `${change.name} ${change.from} -> ${change.to}`))
    .join(', ');
}

/** Why the resource has to be taken down and up again, or ''. */
function restartReason(running: ResourceConfig, wanted: ResourceConfig, node: string): string {
  const before = sidesOf(running, node);
  const after = sidesOf(wanted, node);
  if (before === null || after === null) return 'the hosts changed';
  if (!sameAddress(before.self.address, after.self.address) || !sameAddress(before.peer.address, after.peer.address))
    return 'an address changed';
  if (before.peer.name !== after.peer.name) return 'the peer is another host';
  if (JSON.stringify(before.self.volumes) !== JSON.stringify(after.self.volumes)) return 'devices, disks or volumes changed';
  return '';
}

/** Steps for one resource in the order to carry them out. `running` null: it is down; `wanted` null: it left the configuration. */
export function adjustPlan(running: ResourceConfig | null, wanted: ResourceConfig | null, node: string): AdjustStep[] {
  if (running === null && wanted === null) return [];
  if (wanted === null) return [{ kind: 'down', reason: 'no longer in the configuration' }];
  if (running === null) return [{ kind: 'up', reason: 'in the configuration and not up' }];
  const restart = restartReason(running, wanted, node);
  if (restart !== '') return [{ kind: 'restart', reason: restart }];

  const steps: AdjustStep[] = [];
  for (const volume of wanted.volumes) {
    const before = running.volumes.find((candidate) => candidate.volume === volume.volume);
    if (before === undefined) continue;
    const reattach = changesOf('disk', before.disk, volume.disk, ['reattach']);
    const disk = [...changesOf('disk', before.disk, volume.disk, ['online']), ...reattach];
    if (disk.length > 0)
      steps.push({ kind: reattach.length > 0 ? 'reattach' : 'disk-options', volume: volume.volume, changes: disk, reason: names(disk) });
    if (before.disk.size !== volume.disk.size) {
      steps.push({
        kind: 'resize',
        volume: volume.volume,
        sizeSectors: Number(volume.disk.size),
        reason: `size ${before.disk.size} -> ${volume.disk.size} sectors`,
      });
    }
  }
  const reconnect = changesOf('net', running.net, wanted.net, ['reconnect']);
  const online = changesOf('net', running.net, wanted.net, ['online']);
  if (reconnect.length > 0) {
    const all = [...online, ...reconnect];
    steps.push({ kind: 'reconnect', changes: all, reason: names(all) });
  } else if (online.length > 0) {
    steps.push({ kind: 'net-options', changes: online, reason: names(online) });
  }
  const read = [
    ...changesOf('startup', running.startup, wanted.startup, ['when-read']),
    ...changesOf('handlers', running.handlers, wanted.handlers, ['when-read']),
  ];
  if (read.length > 0) steps.push({ kind: 'note', changes: read, reason: names(read) });
  return steps;
}

/**
 * Names of the resources for which `adjust` has something to do on `node`: `running` is what they run with or would be brought up with,
 * `wanted` all of the configuration. One that is for other hosts only concerns this node when it was here before.
 */
export function changedResources(running: ReadonlyMap<string, ResourceConfig>, wanted: readonly ResourceConfig[], node: string): string[] {
  const here = new Map(wanted.filter((resource) => sidesOf(resource, node) !== null).map((resource) => [resource.name, resource]));
  return [...new Set([...running.keys(), ...here.keys()])].filter(
    (name) => adjustPlan(running.get(name) ?? null, here.get(name) ?? null, node).length > 0,
  );
}
