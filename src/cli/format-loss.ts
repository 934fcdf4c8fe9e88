/** What `primary --force` may lose, told before it happens. */
import type { ResourceStatus, VolumeStatus } from '../control/messages.js';
import { connectionStates } from '../shared/terms.js';
import { volumeName } from './format-volume.js';

const peerMayKnowMore: ReadonlySet<string> = new Set(['UpToDate', 'Consistent', 'DUnknown', 'Outdated']);

const connected = connectionStates.indexOf('Connected');

/** One or more lines per volume whose data would be declared UpToDate; none when force changes nothing. */
export function formatForcedPrimaryLoss(resource: ResourceStatus): string[] {
  return resource.volumes
    .filter((volume) => volume.disk !== 'UpToDate' || volume.connection !== 'Connected')
    .flatMap((volume) => lossOf(resource, volume));
}

function lossOf(resource: ResourceStatus, volume: VolumeStatus): string[] {
  const name = volumeName(resource, volume);
  const peer = resource.peerName === '' ? 'the peer' : resource.peerName;
  const lines: string[] = [];
  if (volume.disk !== 'UpToDate') {
    lines.push(`${name}: the disk here is ${volume.disk}; --force declares it UpToDate as it is`);
    if (volume.disk === 'Inconsistent' && volume.outOfSyncKib > 0) {
      lines.push(`${name}: ${volume.outOfSyncKib} KiB of it are not known to be current; a file system on it may be damaged`);
    }
  }
  if (connectionStates.indexOf(volume.connection) < connected) {
    lines.push(
      `${name}: ${peer} is not connected; what it was given since then is not here and is overwritten when it comes back as SyncTarget`,
    );
    lines.push(`${name}: if it is Primary now, both nodes serve and the data splits (split brain): make sure that it is off or Secondary`);
  } else if (volume.disk !== 'UpToDate' && peerMayKnowMore.has(volume.peerDisk)) {
    lines.push(`${name}: ${peer} has ${volume.peerDisk} data, which this overwrites; \`drbdts primary ${resource.name}\` there keeps it`);
  } else if (volume.disk !== 'UpToDate') {
    lines.push(`${name}: all of ${peer}'s disk is overwritten by a full resync from here`);
  }
  return lines;
}
