/** `drbdadm status` of utils 9 on an 8.4 module (drbd-protocol §8.3), which monitoring scripts parse. Pure. */
import type { ResourceStatus, StatusReply, VolumeStatus } from '../../control/messages.js';
import { connectionStates } from '../../shared/terms.js';

const connected = connectionStates.indexOf('Connected');

const replication = (volume: VolumeStatus): string => (volume.connection === 'Connected' ? 'Established' : volume.connection);

function peerDevice(volume: VolumeStatus, prefix: string): string[] {
  const percent = 100 * (1 - (volume.sizeKib === 0 ? 0 : volume.outOfSyncKib / volume.sizeKib));
  const done = volume.resync === null ? '' : ` done:${percent.toFixed(2)}`;
  const paused = volume.resyncSuspended.length === 0 ? [] : [`        resync-suspended:${volume.resyncSuspended.join(',')}`];
  return [`    ${prefix}replication:${replication(volume)} peer-disk:${volume.peerDisk}${done}`, ...paused];
}

function peer(resource: ResourceStatus, prefixOf: (volume: VolumeStatus) => string): string[] {
  if (resource.connection === 'StandAlone') return [];
  if (connectionStates.indexOf(resource.connection) < connected) {
    return [`  peer connection:${resource.connection === 'WFConnection' ? 'Connecting' : resource.connection}`];
  }
  return [`  peer role:${resource.peerRole}`, ...resource.volumes.flatMap((volume) => peerDevice(volume, prefixOf(volume)))];
}

/** Lines of the resources that are up. */
export function formatDrbdadmStatus(reply: StatusReply): string[] {
  return reply.resources
    .filter((resource) => resource.up)
    .flatMap((resource) => {
      const prefixOf = (volume: VolumeStatus): string => (resource.volumes.length > 1 ? `volume:${volume.volume} ` : '');
      const suspended = [...new Set(resource.volumes.flatMap((volume) => volume.suspended))];
      return [
        `${resource.name} role:${resource.role}${suspended.length === 0 ? '' : ` suspended:${suspended.join(',')}`}`,
        ...resource.volumes.map((volume) => `  ${prefixOf(volume)}disk:${volume.disk}`),
        ...peer(resource, prefixOf),
        '',
      ];
    });
}
