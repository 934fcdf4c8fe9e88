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
  const view: DaemonView = { up: true, volumes: {}, standings: {}, silentArbiter: [] };
  for (const resource of reply.resources) {
    if (!names.includes(resource.name)) continue;
    // what it shows until then is not the state of the volume
    if (resource.recovering === true) view.up = false;
    const report = volumeReportOf(resource);
    if (report === null) continue;
    view.volumes[resource.name] = report;
    const standings = resource.volumes.map((volume): Standing => arbitrationStanding[volume.arbitration?.state ?? 'none'] ?? 'open');
    if (resource.volumes.some(({ arbitration }) => arbitration != null && arbitration.state !== 'none' && !arbitration.reachable)) view.silentArbiter.push(resource.name);
    view.standings[resource.name] = worstFirst.find((standing) => standings.includes(standing)) ?? 'none';
  }
  return view;
}

export class DaemonWatch {
  readonly #client: ControlClient;
  readonly #names: readonly string[];
  readonly #clock: Pick<Clock, 'sleep'>;
  readonly #onChange: () => void;
  readonly #ending = new AbortController();
  #gathering: NodeJS.Timeout | null = null;
  #view: DaemonView = { up: false, volumes: {}, standings: {}, silentArbiter: [] };

  constructor(client: ControlClient, names: readonly string[], clock: Pick<Clock, 'sleep'>, onChange: () => void) {
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

  /** Reads the status now. */
  async refresh(): Promise<void> {
    let next: DaemonView;
    try {
      next = viewOf(await this.#client.status(), this.#names);
    } catch {
      // what it said last may be long over: nothing is known
      next = { up: false, volumes: {}, standings: {}, silentArbiter: [] };
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
