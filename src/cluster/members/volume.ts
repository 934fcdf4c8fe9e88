/**
 * A resource of drbdtsd: started is Primary. Whether a promotion is safe is drbdtsd's to decide (its gate asks the arbiter); this waits while
 * the reason of a refusal can pass.
 */
import type { MemberConfig, VolumeMember } from '../../config/cluster-types.js';
import type { ControlClient } from '../../control/client.js';
import type { ResourceStatus } from '../../control/messages.js';
import { DrbdtsError, drbdtsError } from '../../shared/errors.js';
import type { StopLevel } from '../group-types.js';
import { type Member, type MemberContext, memberError, type ProbeResult, reasonOf, retryUntil } from './member.js';

const pauseMs = 100;

/** Refusals that another moment may not give: the peer is still Primary, a handshake runs, the arbiter has not answered, drbdtsd restarts. */
const passing = new Set([
  'ERR_STATE_TWO_PRIMARIES', 'ERR_STATE_NO_UP_TO_DATE_DATA', 'ERR_STATE_PRIMARY_NOP', 'ERR_STATE_REFUSED_BY_PEER', 'ERR_STATE_DISKLESS',
  'ERR_STATE_IN_TRANSIENT', 'ERR_STATE_CONCURRENT', 'ERR_STATE_OTHER_VOLUME_PRIMARY', 'ERR_STATE_DEVICE_IN_USE', 'ERR_STATE_RESYNC_RUNNING',
  'ERR_MINOR_NOT_ALLOCATED', 'ERR_DAEMON_UNREACHABLE', 'ERR_BUSY', 'ERR_CANCELLED', 'ERR_TOO_MANY_CLIENTS', 'ERR_ENGINE_STOPPED', 'ERR_RECOVERING',
]);

/**
 * Cuts a device off from whoever has it open: their I/O ends with errors. Gives the resource, null when no volume has that device. That it is
 * still open afterwards, and the node therefore not Secondary yet, is no failure: whoever has it open can only let go now.
 */
export async function cutDevice(control: MemberContext['control'], device: string, signal: AbortSignal): Promise<string | null> {
  const { resources } = await control.status(undefined, signal);
  const resource = resources.find(({ volumes }) => volumes.some((volume) => volume.device === device));
  if (resource === undefined) return null;
  await cutResource(control, resource.name, signal);
  return resource.name;
}

/** As cutDevice, for all devices of a resource. */
export async function cutResource(control: MemberContext['control'], resource: string, signal: AbortSignal): Promise<void> {
  await control.verb(resource, 'secondary', { force: true }, { signal }).catch((error: unknown) => {
    if (!(error instanceof DrbdtsError) || error.code !== 'ERR_STATE_DEVICE_IN_USE') throw error;
  });
}

function isUp(status: ResourceStatus): boolean {
  return status.up && status.role === 'Primary' && status.volumes.every((volume) => volume.deviceUp);
}

/** drbdtsd was restarted and has kept the device: whoever has it open waits, and it becomes Primary again by itself. */
function isComingBack(status: ResourceStatus): boolean {
  return status.role !== 'Primary' && status.volumes.length > 0 && status.volumes.every((volume) => volume.deviceUp);
}

export class Volume implements Member {
  readonly config: VolumeMember & MemberConfig;
  private readonly context: MemberContext;

  constructor(config: VolumeMember & MemberConfig, context: MemberContext) {
    this.config = config;
    this.context = context;
  }

  close(): void {}

  async probe(signal: AbortSignal): Promise<ProbeResult> {
    try {
      let result: ProbeResult = 'stopped';
      await this.patiently('probe', signal, async () => {
        const status = await this.status(signal);
        if (isComingBack(status)) return 'drbdtsd was restarted and brings it back';
        const half = status.role === 'Primary' || status.volumes.some((volume) => volume.deviceUp);
        result = isUp(status) ? 'started' : half ? 'failed:it is Primary and a device is missing' : 'stopped';
        return true;
      });
      return result;
    } catch (error) {
      return `failed:${reasonOf(error)}`;
    }
  }

  start(signal: AbortSignal): Promise<void> {
    let said = '';
    let state = '';
    const attempt = async (): Promise<true | string> => {
      try {
        const before = await this.status(signal);
        state = `drbdtsd has not answered yet: here ${before.role}/${before.volumes[0]?.disk ?? 'no volume'}, peer ${before.peerRole}, ${before.connection}`;
        await this.context.control.verb(this.config.resource, 'primary', {}, { signal });
      } catch (error) {
        const reason = reasonOf(error);
        if (reason !== said && error instanceof DrbdtsError && passing.has(error.code)) {
          said = reason;
          this.context.log.info(`${this.config.name}: not Primary yet: ${reason} (${error.remedy})`);
        }
        throw error;
      }
      return isUp(await this.status(signal)) ? true : 'its device has not appeared yet';
    };
    return this.patiently('start', signal, attempt, () => state);
  }

  stop(level: StopLevel, signal: AbortSignal): Promise<void> {
    const request: Parameters<ControlClient['verb']>[2] = level === 'orderly' ? {} : { force: true };
    return this.patiently('stop', signal, async () => {
      const status = await this.status(signal);
      if (!status.up) return true;
      await this.context.control.verb(this.config.resource, 'secondary', request, { signal });
      const after = await this.status(signal);
      return after.role !== 'Primary' && after.volumes.every((volume) => !volume.deviceUp) ? true : 'it is still Primary';
    });
  }

  /** A frozen volume is not a failed one: what is to be done about that is decided elsewhere, with what the peer and the arbiter say. */
  monitor(signal: AbortSignal): Promise<void> {
    return this.patiently('monitor', signal, async () => {
      const status = await this.status(signal);
      if (!status.up) throw memberError(this.config.name, 'monitor', 'the resource is down');
      if (isComingBack(status)) return 'drbdtsd was restarted and brings it back';
      if (status.role !== 'Primary') throw memberError(this.config.name, 'monitor', `it is ${status.role}`);
      const missing = status.volumes.find((volume) => !volume.deviceUp);
      if (missing !== undefined) throw memberError(this.config.name, 'monitor', `${missing.device} is missing`);
      return true;
    });
  }

  private async status(signal: AbortSignal): Promise<ResourceStatus> {
    const { resources } = await this.context.control.status(this.config.resource, signal);
    const [status] = resources;
    if (status === undefined) throw memberError(this.config.name, 'probe', 'drbdtsd does not know the resource');
    if (status.recovering === true) throw drbdtsError('ERR_RECOVERING', { values: { resource: this.config.resource }, place: this.config.name });
    return status;
  }

  /** Tries again while the reason of a refusal can pass. */
  private patiently(
    action: 'probe' | 'start' | 'stop' | 'monitor',
    signal: AbortSignal,
    attempt: () => Promise<true | string>,
    underway: () => string = () => '',
  ): Promise<void> {
    const patient = async (): Promise<true | string> => {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof DrbdtsError)) throw memberError(this.config.name, action, reasonOf(error), error);
        if (passing.has(error.code)) return `${error.message} (${error.remedy})`;
        throw error.place === this.config.name ? error : memberError(this.config.name, action, `${error.message} (${error.remedy})`, error);
      }
    };
    return retryUntil(this.config.name, action, this.context.clock, signal, pauseMs, patient, underway);
  }
}
