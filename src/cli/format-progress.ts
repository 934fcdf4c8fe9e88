/**
 * The resync numbers as /proc/drbd 8.4 computes and prints them (drbd-protocol §8.1). Amounts in KiB, one bit of the bitmap
 * being 4 KiB.
 */
import type { VolumeStatus } from '../control/messages.js';

export type ResyncStatus = NonNullable<VolumeStatus['resync']>;

const kibPerBit = 4;
const kibPer4GiB = 4 * 1024 * 1024;

/** Per mille done: 1000 - (left>>s)*1000 / (1 + (total>>s)) in bits; s is 10, and 16 above 2^32 bits. */
export function progressPerMille(leftKib: number, totalKib: number): number {
  const leftBits = Math.floor(leftKib / kibPerBit);
  const totalBits = Math.floor(totalKib / kibPerBit);
  const scale = totalBits > 2 ** 32 ? 2 ** 16 : 2 ** 10;
  const done = 1000 - Math.floor((Math.floor(leftBits / scale) * 1000) / (1 + Math.floor(totalBits / scale)));
  return Math.min(1000, Math.max(0, done));
}

/** `12.2%` of 122. */
export function formatPercent(perMille: number): string {
  return `${Math.floor(perMille / 10)}.${perMille % 10}%`;
}

/** `[=>..................]`, twenty steps of 5 %. */
export function formatBar(perMille: number): string {
  const steps = Math.floor(perMille / 50);
  return `[${'='.repeat(Math.max(0, steps - 1))}>${'.'.repeat(20 - steps)}]`;
}

/** `(924860/1048508)K`, in MiB with `M` when the total is above 4 GiB. */
export function formatAmounts(leftKib: number, totalKib: number): string {
  if (totalKib > kibPer4GiB) return `(${Math.floor(leftKib / 1024)}/${Math.floor(totalKib / 1024)})M`;
  return `(${Math.floor(leftKib)}/${Math.floor(totalKib)})K`;
}

/** `20,608`. */
export function formatThousands(value: number): string {
  return Math.floor(value).toLocaleString('en-US');
}

/** `0:00:44`; hours are not limited. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const twoDigits = (value: number): string => String(value).padStart(2, '0');
  return `${Math.floor(whole / 3600)}:${twoDigits(Math.floor(whole / 60) % 60)}:${twoDigits(whole % 60)}`;
}

/** `sync'ed:` or `verified:`. */
export function progressWord(resync: ResyncStatus): string {
  return resync.kind === 'verify' ? 'verified:' : "sync'ed:";
}

/** `finish: 0:00:44 speed: 20,608 (20,608) want: 2,720 K/sec (stalled)`; `want` only on the side that drives. */
export function formatSpeed(resync: ResyncStatus, drives: boolean): string {
  const want = drives ? ` want: ${formatThousands(resync.wantKibPerS)}` : '';
  const speed = `${formatThousands(resync.speedKibPerS)} (${formatThousands(resync.averageKibPerS)})`;
  return `finish: ${formatDuration(resync.finishSeconds)} speed: ${speed}${want} K/sec${resync.stalled ? ' (stalled)' : ''}`;
}
