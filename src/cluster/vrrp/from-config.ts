/** What the machine, the trackers and the sync groups are told, from the configuration of one node. Pure. */
import type { VrrpInstance, VrrpSection, VrrpSyncGroup, VrrpTracker } from '../../config/vrrp-types.js';
import { vrrpPartOf } from '../../config/vrrp-types.js';
import type { TrackRule, TrackUse } from './track.js';
import type { VrrpConfig } from './types.js';

/** One instance as this node takes part in it. */
export interface OwnInstance {
  readonly instance: VrrpInstance;
  readonly config: VrrpConfig;
  readonly interface: string;
  /** '' for the first address of the interface. */
  readonly source: string;
  readonly uses: readonly TrackUse[];
  /** weights count for nothing: the members of a group move together. */
  readonly weightless: boolean;
}

function useOf(tracker: VrrpTracker): TrackUse {
  const { kind, weight, reverse } = tracker;
  const name = kind === 'script' ? tracker.script : kind === 'interface' ? tracker.interface : kind === 'process' ? tracker.process : tracker.file;
  return { kind, name, weight, reverse };
}

function machineConfig(instance: VrrpInstance, node: string): VrrpConfig | null {
  const part = vrrpPartOf(instance, node);
  if (part === null) return null;
  const { unicast, gate } = instance;
  const { frames, repeatAfterMs, lowerFrames, lowerRepeatAfterMs, refreshMs, refreshFrames } = instance.announce;
  return {
    name: instance.name,
    interface: part.interface,
    family: instance.family,
    version: instance.version,
    vrid: instance.routerId,
    priority: part.priority,
    intervalMs: instance.intervalMs,
    addresses: instance.addresses.map(({ address, prefix, interfaces, advertised }) => ({ address, prefixLength: prefix, interface: (interfaces[node] ?? interfaces['*'] ?? '') || null, advertised })),
    password: instance.password === '' ? null : instance.password,
    transport:
      unicast === null
        ? { kind: 'multicast', group: instance.multicastGroup }
        : { kind: 'unicast', peers: part.peers.map((address) => ({ address, minTtl: unicast.minTtl })), ttl: unicast.ttl, checkSource: unicast.checkSource },
    pseudoHeader: instance.pseudoHeader,
    acceptChecksum: instance.acceptChecksum,
    addressMismatch: instance.addressMismatch,
    preempt: instance.preempt,
    preemptDelayMs: instance.preemptDelayMs,
    startDelayMs: instance.startDelayMs,
    downAdverts: instance.downAdverts,
    answerLower: instance.answerLower,
    answerHigher: instance.answerHigher,
    ownerIgnoresAdverts: instance.ownerIgnoresAdverts,
    announce: { frames, repeatAfterMs, lowerFrames, lowerRepeatAfterMs, refreshMs, refreshFrames },
    gate,
  };
}

/** Uses without doubles: what stands in an instance comes before what stands in its group. */
function unique(uses: readonly TrackUse[]): TrackUse[] {
  return uses.filter((use, index) => uses.findIndex((other) => other.kind === use.kind && other.name === use.name) === index);
}

export function groupOf(section: VrrpSection, name: string): VrrpSyncGroup | null {
  return section.syncGroups.find((group) => group.instances.includes(name)) ?? null;
}

/** The instances that are for `node`. */
export function ownInstances(section: VrrpSection, node: string): OwnInstance[] {
  return section.instances.flatMap((instance) => {
    const config = machineConfig(instance, node);
    if (config === null) return [];
    const group = groupOf(section, instance.name);
    const primary: TrackUse[] = instance.trackPrimary ? [{ kind: 'interface', name: config.interface, weight: 0, reverse: false }] : [];
    return [
      {
        ...{ instance, config, interface: config.interface },
        source: vrrpPartOf(instance, node)?.source ?? '',
        uses: unique([...primary, ...instance.track.map(useOf), ...(group?.track ?? []).map(useOf)]),
        weightless: group !== null && !group.trackingWeight,
      },
    ];
  });
}

/** Everything that some instance looks at, with how its results count. */
export function trackRules(section: VrrpSection, own: readonly OwnInstance[]): TrackRule[] {
  const trackers = [...section.instances, ...section.syncGroups].flatMap(({ track }) => track);
  return unique(own.flatMap(({ uses }) => uses)).map(({ kind, name }): TrackRule => {
    if (kind === 'script') {
      const script = section.scripts.find((one) => one.name === name);
      return { kind, name, rise: script?.rise ?? 1, fall: script?.fall ?? 1, initFail: script?.initFail ?? false };
    }
    if (kind !== 'process') return { kind, name };
    const tracker = trackers.find((one) => one.kind === 'process' && one.process === name);
    return { kind, name, quorum: tracker?.kind === 'process' ? tracker.quorum : 1 };
  });
}

/**
 * Seconds that the kernel keeps an address which nobody renews: less than a backup waits where that is two seconds or more; the kernel counts whole
 * seconds, so with faster adverts it is one.
 */
export function addressSeconds(config: Pick<VrrpConfig, 'intervalMs' | 'downAdverts'>): number {
  return Math.max(1, Math.ceil((config.downAdverts * config.intervalMs) / 1000) - 1);
}

/** How long the sending thread goes on when nobody stands behind it. */
export function leaseMs(config: Pick<VrrpConfig, 'intervalMs'>): number {
  return Math.max(1000, 3 * config.intervalMs);
}
