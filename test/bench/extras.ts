/** Measurements besides the table: resync speed and what it does to the application, memory, attach time. */
import { join } from 'node:path';
import type { Pair } from '../support/pair.js';
import { makeDisk, mib } from '../support/disk.js';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { residentBytes } from '../support/processes.js';
import { renderConfig } from '../support/config.js';
import { writeFileSync } from 'node:fs';
import type { BoundProbe } from './bound.js';
import { jobs, measure } from './jobs.js';
import type { Target } from './targets.js';
import { waitFor } from '../support/wait.js';

const tib = 1024 ** 4;

export interface ResyncResult {
  readonly copyMbPerS: number;
  readonly resyncMbPerS: number;
}

/** Full resync of the connected pair against a plain copy of as many bytes, one right after the other. */
export async function resyncSpeed(pair: Pair, probe: BoundProbe, sizeMib: number): Promise<ResyncResult> {
  const copyMbPerS = await probe.plainCopy(sizeMib);
  const bytes = await pair.usableBytes();
  const begin = performance.now();
  await pair.b.drbdts('invalidate', 'r0');
  await waitFor('the resync starts', async () => (await pair.a.running.volume()).connection !== 'Connected' || performance.now() - begin > 1000, 30_000);
  await pair.inSync(600_000);
  return { copyMbPerS, resyncMbPerS: bytes / 1e6 / ((performance.now() - begin) / 1000) };
}

/** p99 of 4k writes without and during a resync, with DRBD's own c-min-rate logic on (default options). */
export async function resyncLatency(pair: Pair, target: Target, seconds: number, sizeMib: number): Promise<{ idle: number; busy: number; overlapped: boolean }> {
  const job = jobs.find(({ name }) => name === 'w4k1');
  if (job === undefined) throw new Error('no job w4k1');
  await pair.inSync(600_000);
  const idle = (await measure(job, target, seconds, sizeMib)).p99;
  await pair.b.drbdts('invalidate', 'r0');
  const busy = (await measure(job, target, seconds, sizeMib)).p99;
  const overlapped = (await pair.a.running.volume()).connection === 'SyncSource';
  await pair.inSync(600_000);
  return { idle, busy, overlapped };
}

export interface LargeResult {
  readonly attachSeconds: number;
  readonly memoryMib: number;
  /** 32 MiB of bitmap per TiB and 64 MiB. */
  readonly allowedMib: number;
}

/** Attach of a sparse 16 TiB disk: time, and memory that the volume adds. */
export async function largeVolume(lab: Lab): Promise<LargeResult> {
  const host = await Host.create(lab, 'large');
  const disk = makeDisk(join(host.dir, 'disk'), Math.floor((15.9 * tib) / mib) * mib);
  const meta = makeDisk(join(host.dir, 'meta'), 600 * mib);
  const volume = { device: '/dev/drbd0', disk, metaDisk: meta };
  await host.must(['ip', 'address', 'add', '10.0.0.1/24', 'dev', 'lo']);
  writeFileSync(host.configFile, renderConfig({
    hosts: [{ name: 'large', address: '10.0.0.1:7788', volumes: [volume] }, { name: 'other', address: '10.0.0.2:7788', volumes: [volume] }],
  }));
  const daemon = await host.startDaemon();
  await host.drbdts('create-md', '--force', 'r0');
  const before = residentBytes(daemon.pid);
  const begin = performance.now();
  await host.drbdts('up', 'r0');
  await daemon.waitState({ disk: 'Inconsistent' }, 120_000);
  const attachSeconds = (performance.now() - begin) / 1000;
  const memoryMib = (residentBytes(daemon.pid) - before) / mib;
  await host.drbdts('down', 'r0');
  return { attachSeconds, memoryMib, allowedMib: 32 * 15.9 + 64 };
}
