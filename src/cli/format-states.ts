/** What `role`, `cstate` and `dstate` print: one line per volume, exactly drbdadm's (drbd-protocol §8.2). */
import type { ResourceStatus, VolumeStatus } from '../control/messages.js';
import { isUnconfigured } from './format-volume.js';

export type StateQuestion = 'role' | 'cstate' | 'dstate';

/** `Primary/Secondary`, `Connected`, `UpToDate/Inconsistent`, or `Unconfigured`. */
export function formatState(question: StateQuestion, resource: ResourceStatus, volume: VolumeStatus): string {
  if (isUnconfigured(resource, volume)) return 'Unconfigured';
  switch (question) {
    case 'role':
      return `${volume.role}/${volume.peerRole}`;
    case 'cstate':
      return volume.connection;
    case 'dstate':
      return `${volume.disk}/${volume.peerDisk}`;
  }
}
