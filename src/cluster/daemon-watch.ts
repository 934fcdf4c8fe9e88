/** What drbdtsd says of the volumes, kept current by its event stream: roles and disks for the report, standings for decide.ts. */
import type { ControlClient } from '../control/client.js';
import type { ResourceStatus, StatusReply } from '../control/messages.js';
import type { Clock } from '../shared/clock.js';
import type { Standing } from './decide.js';
import type { VolumeReport } from './report.js';

const retryMs = 200;
/** events come in bursts: a resync changes something ten times a second */
const gatherMs = 5;

export interface DaemonView {
  up: boolean;
  /** by resource: the worst of its volumes. */
  volumes: Record<string, VolumeReport>;
  /** by resource. */
  standings: Record<string, Standing>;
  /** resources whose arbiter does not answer. */
  silentArbiter: string[];
  /** resources whose arbiter waits until the peer vouches for the record. */
  unvouched: string[];
  /** resources that gave up the connection because both nodes were Primary, or a Primary has older data: when one is no more, it can be tried again. */
  refused: string[];
}

const arbitrationStanding: Record<string, Standing> = {
  none: 'none',
  together: 'together',
  alone: 'alone',
  out: 'denied',
  denied: 'denied',
  asking: 'open',
  unreachable: 'open',
};

/** Why an engine gave up a connection that a demotion makes possible again. An operator's `disconnect` and a split brain are none of them. */
const roleConflict = /Multiple primaries not allowed|I shall become SyncTarget, but I am primary/;
const reconnectMs = 1000;
/** Of deadtime: how often the peer's engine is asked whether it lives, and how long it has for the answer. */
const askPart = 1 / 3;

const worstFirst = ['denied', 'open', 'together', 'alone', 'none'] as const;
const diskOrder = ['Diskless', 'Attaching', 'Failed', 'Negotiating', 'Inconsistent', 'Outdated', 'DUnknown', 'Consistent', 'UpToDate'] as const;

function volumeReportOf(resource: ResourceStatus): VolumeReport | null {
  const worst = [...resource.volumes].sort((a, b) => diskOrder.indexOf(a.disk) - diskOrder.indexOf(b.disk))[0];
  if (!resource.up || worst === undefined) return null;
  return {
    role: resource.role,
    disk: worst.disk,
    peerDisk: worst.peerDisk,
    connection: resource.connection,
    frozen: resource.volumes.some((volume) => volume.suspended.includes('fencing')),
  };
}

/** What a status says of the resources in `names` (pure). */
export function viewOf(reply: StatusReply, names: readonly string[]): DaemonView {
  const view: DaemonView = { up: true, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };
  for (const resource of reply.resources) {
    if (!names.includes(resource.name)) continue;
    // what it shows until then is not the state of the volume
    if (resource.recovering === true) view.up = false;
    const report = volumeReportOf(resource);
    if (report === null) continue;
    view.volumes[resource.name] = report;
    const standings = resource.volumes.map((volume): Standing => arbitrationStanding[volume.arbitration?.state ?? 'none'] ?? 'open');
    if (resource.volumes.some(({ arbitration }) => arbitration != null && arbitration.state !== 'none' && !arbitration.reachable)) view.silentArbiter.push(resource.name);
    if (resource.volumes.some(({ arbitration }) => arbitration != null && !arbitration.vouched)) view.unvouched.push(resource.name);
    if (resource.connection === 'StandAlone' && roleConflict.test(resource.connectionReason)) view.refused.push(resource.name);
    view.standings[resource.name] = worstFirst.find((standing) => standings.includes(standing)) ?? 'none';
  }
  return view;
}

export class DaemonWatch {
  readonly #client: ControlClient;
  readonly #names: readonly string[];
  readonly #clock: Pick<Clock, 'sleep' | 'nowMs'>;
  readonly #onChange: () => void;
  readonly #ending = new AbortController();
  readonly #reconnectedMs = new Map<string, number>();
  readonly #asked = new Map<string, { atMs: number; underway: boolean; answeredMs: number | null }>();
  #gathering: NodeJS.Timeout | null = null;
  #view: DaemonView = { up: false, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };

  constructor(client: ControlClient, names: readonly string[], clock: Pick<Clock, 'sleep' | 'nowMs'>, onChange: () => void) {
    this.#client = client;
    this.#names = names;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get view(): DaemonView {
    return this.#view;
  }

  start(): void {
    void this.#follow();
  }

  close(): void {
    this.#ending.abort();
  }

  /** Connects a resource of `refused` again, not more often than every second. */
  reconnect(name: string): void {
    const now = this.#clock.nowMs();
    if (now - (this.#reconnectedMs.get(name) ?? Number.NEGATIVE_INFINITY) < reconnectMs) return;
    this.#reconnectedMs.set(name, now);
    // what comes of it is in its status
    this.#client.verb(name, 'connect', {}).catch(() => {});
  }

  /**
   * Asks the peer's engine for a sign of life, unless that is under way or was done a moment ago. One that gives none in time loses its connection,
   * so the view shows it, too.
   */
  askReplication(name: string, deadtimeMs: number): void {
    const now = this.#clock.nowMs();
    const before = this.#asked.get(name);
    const waitMs = Math.max(20, Math.round(deadtimeMs * askPart));
    if (before !== undefined && (before.underway || now - before.atMs < waitMs)) return;
    const asked = { atMs: now, underway: true, answeredMs: before?.answeredMs ?? null };
    this.#asked.set(name, asked);
    this.#client.verb(name, 'check-peer', { timeoutMs: waitMs }).then(
      ({ results }) => {
        asked.underway = false;
        // it lived when it was asked, at least
        if (results[0]?.code !== 1) return;
        asked.answeredMs = now;
        this.#onChange();
      },
      () => {
        asked.underway = false;
      },
    );
  }

  /** By resource: how old the question is that the peer's engine answered last. */
  get replicationAgeMs(): Record<string, number> {
    const now = this.#clock.nowMs();
    return Object.fromEntries([...this.#asked].flatMap(([name, { answeredMs }]) => (answeredMs === null ? [] : [[name, now - answeredMs]])));
  }

  /** Reads the status now. */
  async refresh(): Promise<void> {
    let next: DaemonView;
    try {
      next = viewOf(await this.#client.status(), this.#names);
    } catch {
      // what it said last may be long over: nothing is known
      next = { up: false, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };
    }
    if (JSON.stringify(next) === JSON.stringify(this.#view)) return;
    this.#view = next;
    this.#onChange();
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      void this.refresh();
    }, gatherMs);
  }

  async #follow(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        const events = this.#client.events({ signal });
        while ((await events.next()).done !== true) this.#gather();
      } catch {
        // restarted or not there yet
      }
      if (signal.aborted) return;
      await this.refresh();
      await this.#clock.sleep(retryMs, signal).catch(() => {});
    }
  }
}
