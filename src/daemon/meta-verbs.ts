/** Verbs on the meta-data of a resource that is down: create-md, wipe-md, dump-md, get-gi, apply-al (drbd-protocol §4.6). */

import type { VerbRequest } from '../control/messages.js';
import { asDrbdtsError, drbdtsError } from '../shared/errors.js';
import type { NativeAddon, NativeVolumeSnapshot } from './native-api.js';
import type { Resource } from './resource.js';

export interface MetaContext {
  addon: NativeAddon;
  node: string;
  now(): Date;
}

/** Snapshot of an attached volume, null when its disk is free for the tools. */
export function attachedVolume(resource: Resource, volume: number): NativeVolumeSnapshot | null {
  const found = resource.snapshot()?.volumes.find((candidate) => candidate.volume === volume);
  return found === undefined || found.disk === 'Diskless' ? null : found;
}

/** Refuses with `Device '0' is configured!` while the volume is attached. `exitCode` 1 is that of `up`, 20 of everything else. */
export function requireDetached(resource: Resource, volume: number, exitCode = 20): void {
  if (attachedVolume(resource, volume) === null) return;
  const { minor } = resource.location(volume);
  throw drbdtsError('ERR_DEVICE_CONFIGURED', { values: { minor }, place: `${resource.name}/${volume}`, exitCode });
}

async function atDisk<T>(resource: Resource, volume: number, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw asDrbdtsError(thrown, `${resource.name}/${volume} ${resource.location(volume).disk}`);
  }
}

export async function createMd(resource: Resource, volume: number, request: VerbRequest, context: MetaContext): Promise<string[]> {
  requireDetached(resource, volume);
  const at = resource.location(volume);
  const force = request.force === true;
  return atDisk(resource, volume, async () => {
    const probe = await context.addon.meta.probe(at);
    const details = { found: probe.found, hasMetaData: probe.hasMetaData, wouldCut: probe.wouldCut };
    if (probe.wouldCut)
      throw drbdtsError('ERR_CREATE_MD_REFUSED', { values: { found: probe.found, disk: at.disk }, place: at.disk, details });
    if (!force && probe.hasMetaData) {
      const lines = [
        `You want me to create a v08 style ${layoutName(at.metaIndex)} meta data block.`,
        `There appears to be a v08 ${layoutName(at.metaIndex)} meta data block`,
        `already in place on ${at.metaIndex === 'internal' ? at.disk : at.metaDisk}`,
      ];
      throw drbdtsError('ERR_META_DATA_EXISTS', { values: { disk: at.disk }, place: at.disk, details: { ...details, lines } });
    }
    if (!force && probe.found !== '') {
      const lines = [
        `Found ${probe.found}`,
        '',
        'Even though it looks like this would place the new meta data into',
        'unused space, you still need to confirm, as this is only a guess.',
      ];
      throw drbdtsError('ERR_WOULD_OVERWRITE_DATA', {
        values: { found: probe.found, disk: at.disk },
        place: at.disk,
        details: { ...details, lines },
      });
    }
    await context.addon.meta.createMd(at, {
      force,
      ...(request.alStripes === undefined ? {} : { alStripes: request.alStripes }),
      ...(request.alStripeSizeKb === undefined ? {} : { alStripeSizeKb: request.alStripeSizeKb }),
    });
    return ['initializing activity log', 'Writing meta data...', 'New drbd meta data block successfully created.'];
  });
}

function layoutName(metaIndex: 'internal' | 'flexible' | number): string {
  if (metaIndex === 'internal') return 'flexible-size internal';
  return metaIndex === 'flexible' ? 'flexible-size external' : 'fixed-size indexed';
}

export async function wipeMd(resource: Resource, volume: number, request: VerbRequest, context: MetaContext): Promise<string[]> {
  requireDetached(resource, volume);
  const at = resource.location(volume);
  return atDisk(resource, volume, async () => {
    const probe = await context.addon.meta.probe(at);
    if (!probe.hasMetaData) throw drbdtsError('ERR_NO_META_DATA', { place: at.disk });
    if (request.force !== true) {
      throw drbdtsError('ERR_CONFIRMATION_NEEDED', { values: { verb: 'wipe-md', disk: at.disk }, place: at.disk, details: { lines: [] } });
    }
    await context.addon.meta.wipeMd(at);
    return ['Wiping meta data...', 'DRBD meta data block successfully wiped out.'];
  });
}

export async function dumpMd(resource: Resource, volume: number, request: VerbRequest, context: MetaContext): Promise<string[]> {
  requireDetached(resource, volume);
  const at = resource.location(volume);
  const body = await atDisk(resource, volume, () => context.addon.meta.dumpMd(at, { force: request.force === true }));
  const now = context.now();
  const stamp = `${now.toISOString().slice(0, 19).replace('T', ' ')} +0000 [${Math.trunc(now.getTime() / 1000)}]`;
  const index = at.metaIndex === 'internal' ? 'internal' : at.metaIndex === 'flexible' ? 'flex-external' : String(at.metaIndex);
  const device = at.metaIndex === 'internal' ? at.disk : at.metaDisk;
  return [
    '# DRBD meta data dump',
    `# ${stamp}`,
    `# ${context.node}> drbdmeta ${at.minor} v08 ${device} ${index} dump-md`,
    '#',
    '',
    ...body.replace(/^\n+|\n+$/g, '').split('\n'),
  ];
}

/** Bits of the flag word in the order get-gi prints them (drbd-protocol §4.3). */
const giFlagBits = [0x01, 0x10, 0x02, 0x04, 0x08, 0x20, 0x40];

export function formatGi(snapshot: NativeVolumeSnapshot): string {
  return [...snapshot.uuids, ...giFlagBits.map((bit) => ((snapshot.metaFlags & bit) === 0 ? '0' : '1'))].join(':');
}

export async function getGi(resource: Resource, volume: number, context: MetaContext): Promise<string[]> {
  const attached = attachedVolume(resource, volume);
  if (attached !== null) return [formatGi(attached)];
  return [(await atDisk(resource, volume, () => context.addon.meta.getGi(resource.location(volume)))).trim()];
}

/** Replays the activity log; what drbdmeta prints about it. */
export async function applyAl(resource: Resource, volume: number, context: MetaContext, exitCode = 20): Promise<string[]> {
  requireDetached(resource, volume, exitCode);
  const { markedKib, wasClean } = await atDisk(resource, volume, () => context.addon.meta.applyAl(resource.location(volume)));
  if (wasClean) return [];
  if (markedKib === 0n) return ['Nothing to do.'];
  return [`Marked additional ${markedKib >= 10_000n ? `${markedKib / 1024n} MB` : `${markedKib} KB`} as out-of-sync based on AL.`];
}

/** Whether the node was a Primary without its peer when it last wrote its meta-data: then degr-wfc-timeout counts. */
export function wasDegraded(gi: string): boolean {
  const fields = gi.trim().split(':');
  return fields[6] === '1' && fields[7] === '0';
}
