/**
 * The status table that users know from `service drbd status` (drbd-protocol §8.5): one row per volume, a row with the
 * amounts and a bar while a resync or verify runs, and a sentence under a row that needs explaining.
 */
import type { ResourceStatus, StatusReply, VolumeStatus } from '../control/messages.js';
import { protocolVersions } from '../shared/version.js';
import { type Painter, plainPainter, toneOf } from './color.js';
import { alignColumns } from './format-columns.js';
import { formatAmounts, formatBar, formatPercent, formatSpeed, progressPerMille, progressWord } from './format-progress.js';
import { drivesResync, isListedUnconfigured, showsProgress, volumeName } from './format-volume.js';

export interface StatusTableOptions {
  readonly paint?: Painter;
  /** Adds device, size, counters and generation identifiers under each row. */
  readonly verbose?: boolean;
}

interface TableEntry {
  readonly cells: readonly string[];
  /** Lines printed under the row, outside of the columns. */
  readonly notes: readonly string[];
}

const header = ['m:res', 'cs', 'ro', 'ds', 'p', 'mounted', 'fstype'];
const noteIndent = ' '.repeat(8);

/** Lines of the whole status: two head lines, then the table. */
export function formatStatus(reply: StatusReply, options: StatusTableOptions = {}): string[] {
  return [
    `drbdtsd running OK on ${reply.node}; device status:`,
    `version: ${reply.version} (api:1/proto:${protocolVersions.min}-${protocolVersions.max})`,
    ...formatTable(reply.resources, options),
  ];
}

/** Lines of the table, `no resources defined!` when there is none. */
export function formatTable(resources: readonly ResourceStatus[], options: StatusTableOptions = {}): string[] {
  const entries = resources.flatMap((resource) =>
    resource.volumes.flatMap((volume, index) => volumeEntries(resource, volume, index === 0, options)),
  );
  if (entries.length === 0) return ['no resources defined!'];
  const aligned = alignColumns([header, ...entries.map((entry) => entry.cells)]);
  return aligned.flatMap((line, index) => [line, ...(entries[index - 1]?.notes ?? [])]);
}

function volumeEntries(resource: ResourceStatus, volume: VolumeStatus, first: boolean, options: StatusTableOptions): TableEntry[] {
  const paint = options.paint ?? plainPainter;
  const paintPair = (mine: string, peers: string): string => `${paint(toneOf(mine), mine)}/${paint(toneOf(peers), peers)}`;
  const name = `${volume.minor}:${volumeName(resource, volume)}`;
  const notes = [
    ...sentences(resource, volume, first).map((text) => noteIndent + text),
    ...arbitrationNotes(volume, paint).map((text) => noteIndent + text),
    ...(options.verbose ? details(resource, volume) : []),
  ];
  if (isListedUnconfigured(resource, volume)) return [{ cells: [name, 'Unconfigured'], notes }];

  // 8.4 prints no letter without a network configuration, and the table then shows the flags in its column
  const letter = volume.connection === 'StandAlone' || resource.protocol.trim() === '' ? volume.flags : resource.protocol;
  const row = [
    name,
    paint(toneOf(volume.connection), volume.connection),
    paintPair(volume.role, volume.peerRole),
    paintPair(volume.disk, volume.peerDisk),
    letter,
    volume.mounted ?? '',
    volume.fstype ?? '',
  ];
  const { resync } = volume;
  if (resync === null || !showsProgress(volume)) return [{ cells: row, notes }];
  const perMille = progressPerMille(resync.leftKib, resync.totalKib);
  const progress = ['...', progressWord(resync), formatPercent(perMille), formatAmounts(resync.leftKib, resync.totalKib)];
  const bar = `${noteIndent}${formatBar(perMille)} ${formatSpeed(resync, drivesResync(volume))}`;
  return [
    { cells: row, notes: [] },
    { cells: progress, notes: [bar, ...notes] },
  ];
}

const suspendReasons = {
  user: 'suspended by the administrator (drbdts resume-io)',
  'no-data': 'suspended: no UpToDate data can be reached',
  fencing: 'suspended: the peer has not been fenced yet',
} as const;

const pauseReasons = {
  user: 'here by the administrator (drbdts resume-sync)',
  peer: 'by the peer',
  dependency: 'because another resource goes first',
} as const;

/** What a reader of the row would ask: why not connected, why this disk state, why no progress. */
function sentences(resource: ResourceStatus, volume: VolumeStatus, first: boolean): string[] {
  const lines: string[] = [];
  // the connection is the resource's: say its reason once
  if (first && resource.connectionReason !== '') lines.push(resource.connectionReason);
  if (volume.reason !== '' && volume.reason !== resource.connectionReason) lines.push(volume.reason);
  for (const reason of volume.suspended) lines.push(`I/O ${suspendReasons[reason]}`);
  if (volume.resyncSuspended.length > 0) lines.push(`resync paused ${volume.resyncSuspended.map((by) => pauseReasons[by]).join(', ')}`);
  const failed = volume.resync?.failedKib ?? 0;
  if (failed > 0) lines.push(`${failed} KiB could not be resynced (I/O errors); see the log`);
  return lines;
}

/** Nothing while both are recorded in and the arbiter answers; red where nobody arbitrates, does not answer, or said no. */
function arbitrationNotes(volume: VolumeStatus, paint: Painter): string[] {
  const { arbitration } = volume;
  if (arbitration === null || arbitration.sentence === '') return [];
  const { arbiter, state, reachable, sentence } = arbitration;
  if (state === 'none') return [paint('bad', sentence)];
  const bad = !reachable || state === 'denied';
  return [paint(bad ? 'bad' : 'busy', `${reachable ? 'arbitration' : 'arbiter unreachable'} (${arbiter}): ${sentence}`)];
}

const counterNames = ['ns', 'nr', 'dw', 'dr', 'al', 'bm', 'lo', 'pe', 'ua', 'ap', 'ep'];

/** The second line of /proc/drbd, then what it does not show. */
function details(resource: ResourceStatus, volume: VolumeStatus): string[] {
  const counters = counterNames.map((name) => `${name}:${volume.counters[name] ?? 0}`).join(' ');
  const { current, bitmap, history0, history1 } = volume.uuids;
  return [
    `    ${counters} wo:${volume.writeOrdering} oos:${volume.outOfSyncKib}`,
    `    device:${volume.device} up:${volume.deviceUp ? 'yes' : 'no'} size:${volume.sizeKib}K flags:${volume.flags}`,
    `    gi:${current}:${bitmap}:${history0}:${history1} meta-flags:0x${volume.metaFlags.toString(16).padStart(3, '0')}`,
    ...(resource.agreedVersion > 0
      ? [`    peer:${resource.peerName} protocol-version:${resource.agreedVersion} features:0x${resource.features.toString(16)}`]
      : []),
  ];
}
