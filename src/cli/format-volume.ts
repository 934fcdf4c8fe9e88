/** Facts about a volume's status that several texts share. */
import type { ResourceStatus, VolumeStatus } from '../control/messages.js';

const progressStates: ReadonlySet<string> = new Set(['SyncSource', 'SyncTarget', 'VerifyS', 'VerifyT']);

/** drbdadm calls a minor with neither network nor disk Unconfigured; so is every volume of a resource that is down. */
export function isUnconfigured(resource: ResourceStatus, volume: VolumeStatus): boolean {
  return !resource.up || (volume.connection === 'StandAlone' && volume.disk === 'Diskless');
}

/** /proc/drbd, and so the table, names a Primary with neither network nor disk all the same: somebody may have it open. */
export function isListedUnconfigured(resource: ResourceStatus, volume: VolumeStatus): boolean {
  return isUnconfigured(resource, volume) && (!resource.up || volume.role === 'Secondary');
}

/** True in the four states in which /proc/drbd shows a progress bar: running, not paused. */
export function showsProgress(volume: VolumeStatus): boolean {
  return volume.resync !== null && progressStates.has(volume.connection);
}

/** True on the node that asks for blocks, and so chooses the rate (drbd-protocol §7.5). */
export function drivesResync(volume: VolumeStatus): boolean {
  return volume.connection === 'SyncTarget' || volume.connection === 'VerifyS';
}

/** `r0`, or `r0/1` where the resource has several volumes. */
export function volumeName(resource: ResourceStatus, volume: VolumeStatus): string {
  return resource.volumes.length > 1 ? `${resource.name}/${volume.volume}` : resource.name;
}
