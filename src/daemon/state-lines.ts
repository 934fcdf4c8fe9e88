/** Log sentences for state changes, `r0/0 disk(UpToDate -> Outdated) reason=...` (pure). */
import type { NativeSnapshot } from './native-api.js';

function change(word: string, before: string, after: string): string {
  return before === after ? '' : ` ${word}(${before} -> ${after})`;
}

function reason(text: string): string {
  return text === '' ? '' : ` reason=${JSON.stringify(text)}`;
}

/** One line for the resource if role, peer's role or connection changed, and one for each volume whose disks changed. */
export function stateLines(before: NativeSnapshot | null, after: NativeSnapshot | null): string[] {
  if (after === null) return before === null ? [] : [`${before.name} down`];
  const from = before ?? { ...after, role: 'Secondary', peerRole: 'Unknown', connection: 'StandAlone', volumes: [] };
  const lines: string[] = [];
  const whole =
    change('role', from.role, after.role) +
    change('peer', from.peerRole, after.peerRole) +
    change('conn', from.connection, after.connection);
  if (whole !== '') lines.push(`${after.name}${whole}${reason(after.connectionReason)}`);
  for (const volume of after.volumes) {
    const old = from.volumes.find((candidate) => candidate.volume === volume.volume);
    const repl =
      volume.connection !== after.connection || (old !== undefined && old.connection !== from.connection)
        ? change('conn', old?.connection ?? 'StandAlone', volume.connection)
        : '';
    const parts =
      repl + change('disk', old?.disk ?? 'Diskless', volume.disk) + change('pdsk', old?.peerDisk ?? 'DUnknown', volume.peerDisk);
    if (parts !== '') lines.push(`${after.name}/${volume.volume}${parts}${reason(volume.diskReason)}`);
  }
  return lines;
}
