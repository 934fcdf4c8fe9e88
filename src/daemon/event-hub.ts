/** Hands the changes of all resources to whoever follows the event stream. */
import type { ArbitrationStatus, EventRecord } from '../control/messages.js';
import type { EventSource } from '../control/server.js';
import { arbitrationRecord, diffRecords, dumpRecords, helperRecord } from './events.js';
import type { NativeSnapshot } from './native-api.js';
import type { Resource } from './resource.js';

interface Follower {
  resource: string | null;
  listener: (record: EventRecord) => void;
}

/** `2026-11-20T15:48:03.753000+00:00`, the form of --timestamps. */
function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, -1)}000+00:00`;
}

export class EventHub implements EventSource {
  private readonly followers = new Set<Follower>();
  private readonly snapshots: () => NativeSnapshot[];

  /** last said of the arbitration of each volume. */
  private readonly arbitrations = new Map<string, ArbitrationStatus>();

  constructor(snapshots: () => NativeSnapshot[]) {
    this.snapshots = snapshots;
  }

  dump(resource: string | null): EventRecord[] {
    const all = this.snapshots().filter((snapshot) => resource === null || snapshot.name === resource);
    const time = timestamp(new Date());
    const records = dumpRecords(all, time);
    const last = records.pop();
    for (const snapshot of all)
      for (const { volume } of snapshot.volumes) {
        const status = this.arbitrations.get(`${snapshot.name}/${volume}`);
        if (status !== undefined) records.push(arbitrationRecord(snapshot.name, volume, null, status, time));
      }
    return last === undefined ? records : [...records, last];
  }

  /** What keeps a volume from being served twice changed. */
  arbitration(resource: string, volume: number, status: ArbitrationStatus): void {
    const key = `${resource}/${volume}`;
    const before = this.arbitrations.get(key) ?? null;
    this.arbitrations.set(key, status);
    if (this.followers.size === 0) return;
    const record = arbitrationRecord(resource, volume, before, status, timestamp(new Date()));
    if (before === null || record.verb === 'change') this.push(resource, record);
  }

  subscribe(resource: string | null, listener: (record: EventRecord) => void): () => void {
    const follower: Follower = { resource, listener };
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  changed(resource: Resource, before: NativeSnapshot | null, after: NativeSnapshot | null): void {
    if (this.followers.size === 0) return;
    for (const record of diffRecords(before, after, timestamp(new Date()))) this.push(resource.name, record);
  }

  helper(resource: Resource, name: string, volume: number, status: number | null): void {
    const snapshot = resource.snapshot();
    if (snapshot !== null) this.push(resource.name, helperRecord(snapshot, volume, name, status, timestamp(new Date())));
  }

  private push(resource: string, record: EventRecord): void {
    for (const follower of [...this.followers]) {
      if (follower.resource === null || follower.resource === resource) follower.listener(record);
    }
  }
}
