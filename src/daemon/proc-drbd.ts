/** The text of 8.4's /proc/drbd (pure; drbd-protocol §8.1). */
import type { NativeSnapshot, NativeVolumeSnapshot } from './native-api.js';

const kibPerBit = 4n;

export function thousands(value: number): string {
  return String(Math.trunc(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** Tenths of a percent done of a resync or verify. */
export function perMille(leftBits: bigint, totalBits: bigint): number {
  const shift = totalBits > 1n << 32n ? 16n : 10n;
  const done = 1000n - ((leftBits >> shift) * 1000n) / (1n + (totalBits >> shift));
  return Number(done < 0n ? 0n : done);
}

export function progressBar(mille: number): string {
  const x = Math.trunc(mille / 50);
  return `[${'='.repeat(Math.max(0, x - 1))}>${'.'.repeat(Math.max(0, 20 - x))}]`;
}

const kibOf4GiB = 4n * 1024n * 1024n;

function amounts(leftBits: bigint, totalBits: bigint): string {
  const left = leftBits * kibPerBit;
  const total = totalBits * kibPerBit;
  return total > kibOf4GiB ? `(${left >> 10n}/${total >> 10n})M` : `(${left}/${total})K`;
}

function finish(seconds: number): string {
  const rest = Math.max(0, Math.trunc(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${Math.trunc(rest / 3600)}:${two(Math.trunc(rest / 60) % 60)}:${two(rest % 60)}`;
}

function progressLines(volume: NativeVolumeSnapshot): string {
  const { connection } = volume;
  if (!['SyncSource', 'SyncTarget', 'VerifyS', 'VerifyT'].includes(connection)) return '';
  const mille = perMille(volume.resyncLeftBits, volume.resyncTotalBits);
  const word = connection.startsWith('Verify') ? 'verified' : "sync'ed";
  const percent = `${String(Math.trunc(mille / 10)).padStart(3)}.${mille % 10}%`;
  const want = connection === 'SyncTarget' || connection === 'VerifyS' ? ` want: ${thousands(volume.resyncWantKib)}` : '';
  const speed = `${thousands(volume.resyncSpeedKib)} (${thousands(volume.resyncAverageKib)})`;
  return (
    `\t${progressBar(mille)} ${word}:${percent} ${amounts(volume.resyncLeftBits, volume.resyncTotalBits)}\n` +
    `\tfinish: ${finish(volume.resyncFinishSeconds)} speed: ${speed}${want} K/sec${volume.resyncStalled ? ' (stalled)' : ''}\n`
  );
}

function volumeText(volume: NativeVolumeSnapshot, protocol: string): string {
  const minor = String(volume.minor).padStart(2);
  if (volume.connection === 'StandAlone' && volume.disk === 'Diskless' && volume.role === 'Secondary') return `${minor}: cs:Unconfigured\n`;
  const c = volume.counters;
  const oos = volume.outOfSyncBits * kibPerBit;
  return (
    `${minor}: cs:${volume.connection} ro:${volume.role}/${volume.peerRole} ds:${volume.disk}/${volume.peerDisk} ${protocol} ${volume.flags}\n` +
    `    ns:${c.ns} nr:${c.nr} dw:${c.dw} dr:${c.dr} al:${c.al} bm:${c.bm} lo:${c.lo} pe:${c.pe} ua:${c.ua} ap:${c.ap} ep:${c.ep} wo:${volume.writeOrdering} oos:${oos}\n` +
    progressLines(volume)
  );
}

/** The whole file. The head says which DRBD the rest is compatible with; line 2 names drbdts where 8.4 has its build. */
export function procDrbd(snapshots: readonly NativeSnapshot[], version: string): string {
  const volumes = snapshots.flatMap((snapshot) => snapshot.volumes.map((volume) => ({ volume, protocol: snapshot.protocol })));
  volumes.sort((a, b) => a.volume.minor - b.volume.minor);
  let text = `version: 8.4.11 (api:1/proto:100-101)\nsrcversion: drbdts-${version} \n`;
  let previous = -1;
  for (const { volume, protocol } of volumes) {
    if (volume.minor !== previous + 1) text += '\n';
    previous = volume.minor;
    text += volumeText(volume, protocol);
  }
  return text;
}
