/**
 * What `drbdadm role` says when drbdtsd gives no answer, or not yet the right one because it was restarted and is taking its device over.
 * A cluster manager's script that gets nothing takes the volume for stopped, while a keeper may hold the device with a file system on it; so
 * the device itself is asked, which exists only on a Primary.
 */
import { existsSync, statSync } from 'node:fs';
import type { HostVolume } from '../../config/types.js';
import type { ResourceStatus, VolumeStatus } from '../../control/messages.js';
import { errorReplyOf, isUnreachable } from '../api.js';
import type { CliContext } from '../context.js';
import { localSideOf, readLocal } from '../commands/local-config.js';
import { notAllocated } from '../commands/states.js';
import { formatState } from '../format-states.js';
import type { Target } from '../target.js';

const loopMajor = 7;

/** True when `device` is a loop device that something is attached to. */
export function deviceIsAttached(device: string): boolean {
  try {
    const { rdev } = statSync(device);
    const major = (rdev >> 8) & 0xfff;
    const minor = (rdev & 0xff) | ((Math.floor(rdev / 0x100000) & 0xfff) << 8);
    return major === loopMajor && existsSync(`/sys/block/loop${minor}/loop/backing_file`);
  } catch {
    return false;
  }
}

/** The role of a volume; one whose device is there counts as Primary whatever the daemon, which is taking it over, says yet. */
export function roleByDevice(resource: ResourceStatus, volume: VolumeStatus): string {
  const attached = deviceIsAttached(volume.device);
  if (!resource.up && !attached) throw notAllocated(volume, resource);
  const role = resource.up ? formatState('role', resource, volume) : 'Unconfigured';
  return attached && !role.startsWith('Primary/') ? `Primary/${volume.peerRole}` : role;
}

/** `Primary/Unknown` per volume whose device is there; null when the error is another one or no device is left. */
export function roleOfSilentDaemon(context: CliContext, target: Target, error: unknown): string[] | null {
  if (!isUnreachable(error) && errorReplyOf(error)?.code !== 'ERR_NO_ANSWER') return null;
  const mine = volumesOf(context, target);
  return mine.some(({ device }) => deviceIsAttached(device)) ? mine.map(() => 'Primary/Unknown') : null;
}

/** The volumes by the configuration file; none when it can not be read, which is not the error to show here. */
function volumesOf(context: CliContext, target: Target): readonly HostVolume[] {
  try {
    const { volumes } = localSideOf(readLocal(context), target.resource);
    return volumes.filter(({ volume }) => target.volume === null || volume === target.volume);
  } catch {
    return [];
  }
}
