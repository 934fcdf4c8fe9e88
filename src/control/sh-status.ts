/**
 * The state as shell assignments, one block per volume, as `drbdsetup sh-status` of 8.4 has it (drbd-protocol §8): for resource agents,
 * which are shell and ask every few seconds. Each block ends with `_sh_status_process`, a function of the script that evaluates the text.
 */
import type { ResourceStatus, StatusReply, VolumeStatus } from './messages.js';

/** Values are names and numbers; a device or resource with anything else in its name is quoted. */
function quoted(value: string): string {
  return /^[\w./:@%+-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

function block(resource: ResourceStatus, volume: VolumeStatus): string[] {
  const state = resource.up
    ? {
        _known: 'Configured',
        _cstate: volume.connection,
        _role: volume.role,
        _peer: volume.peerRole,
        _disk: volume.disk,
        _pdsk: volume.peerDisk,
        _flags_susp: volume.suspended.join(','),
      }
    : { _known: 'Unconfigured', _cstate: 'Unconfigured', _role: '', _peer: '', _disk: '', _pdsk: '', _flags_susp: '' };
  const values = {
    _res_name: resource.name,
    _volume: String(volume.volume),
    _minor: String(volume.minor),
    _device: volume.device,
    ...state,
    _mounted: volume.mounted ?? '',
    _resynced_percent: volume.resync === null ? '' : String(volume.resync.percent),
  };
  return [...Object.entries(values).map(([name, value]) => `${name}=${quoted(value)}`), '_sh_status_process', ''];
}

/** Lines of all volumes of a reply. A resource that is down has the state Unconfigured. */
export function formatShStatus(reply: StatusReply): string[] {
  return reply.resources.flatMap((resource) => resource.volumes.flatMap((volume) => block(resource, volume)));
}
