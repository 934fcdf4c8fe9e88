/** Disks, mount points and file systems. Pure. */
import type { FilesystemMember } from '../config/cluster-types.js';
import type { KeyPath } from '../config/places.js';
import { type HostVolume, sidesOf } from '../config/types.js';
import { mountAt } from '../shared/mount-table.js';
import { mountUnitOf } from './parse.js';
import { membersOf, runsHere, type Scene } from './scene.js';

function judgeDisk({ facts, report }: Scene, resource: string, volume: HostVolume, path: KeyPath): void {
  const paths = volume.metaIndex === 'internal' ? [volume.disk] : [volume.disk, volume.metaDisk];
  for (const disk of paths) {
    const at = [...path, disk === volume.disk ? 'disk' : 'meta-disk'];
    const found = facts.paths.get(disk);
    if (found === undefined) continue;
    const reason = found.kind === 'missing' ? 'is not there' : found.kind === 'block' || found.kind === 'file' ? '' : 'is neither a block device nor a file';
    if (reason !== '') report('CHECK_DISK', at, { path: disk, resource, reason });
    const mount = found.kind === 'block' ? facts.mounts.find(({ device }) => device === found.device) : undefined;
    if (mount !== undefined) report('CHECK_DISK_MOUNTED', at, { path: disk, resource, mount: mount.mountPoint });
    for (const entry of facts.fstab) if (entry.source === disk) report('CHECK_DISK_IN_FSTAB', `/etc/fstab:${entry.line}`, { path: disk, resource, mount: entry.mountPoint });
  }
}

function judgeMountPoint(scene: Scene, member: FilesystemMember, group: string, path: KeyPath): void {
  const { facts, report } = scene;
  const { mountPoint, device } = member;
  const at = [...path, 'filesystem'];
  const mount = mountAt(facts.mounts, mountPoint);
  const found = facts.paths.get(mountPoint);
  const volume = facts.paths.get(device);
  const isOurs = mount !== undefined && (mount.source === device || (volume?.kind === 'block' && mount.device === volume.device));
  if (mount !== undefined && !isOurs) report('CHECK_MOUNT_TAKEN', at, { source: mount.source, path: mountPoint });
  else if (mount !== undefined && !runsHere(scene, group)) report('CHECK_MOUNTED_ALREADY', at, { path: mountPoint });
  else if (mount === undefined && found !== undefined) {
    if (found.kind !== 'missing' && found.kind !== 'directory') report('CHECK_MOUNT_POINT', at, { path: mountPoint });
    else if (found.entries.length > 0) report('CHECK_MOUNT_NOT_EMPTY', at, { path: mountPoint });
  }
  for (const entry of facts.fstab) {
    if (entry.options.includes('noauto')) continue;
    const what = entry.mountPoint.replace(/(.)\/+$/, '$1') === mountPoint ? mountPoint : entry.source === device ? device : '';
    if (what !== '') report('CHECK_MOUNT_IN_FSTAB', `/etc/fstab:${entry.line}`, { what });
  }
  const unit = mountUnitOf(mountPoint);
  if (/^(enabled|enabled-runtime|linked)$/.test(facts.units?.get(unit)?.enabled ?? '')) report('CHECK_MOUNT_UNIT', at, { path: mountPoint, unit });
}

function judgeType(scene: Scene, member: FilesystemMember, path: KeyPath): void {
  const { facts, report } = scene;
  const { type, device, fsck } = member;
  const found = facts.signatures.get(device);
  const known = type === 'auto' ? (found ?? '') : type;
  if (facts.unknownTypes.has(known)) report('CHECK_FILESYSTEM_TYPE', [...path, 'type'], { type: known });
  if (found === '') report('CHECK_NO_FILESYSTEM', path, { device, type: type === 'auto' ? 'ext4' : type });
  else if (found !== undefined && type !== 'auto' && found !== type) report('CHECK_FILESYSTEM_DIFFERS', [...path, 'type'], { device, found, type });
  if (fsck !== 'no' && facts.programs.get(`fsck.${known}`) === '') report('CHECK_FSCK', [...path, 'type'], { type: known });
}

export function judgeStorage(scene: Scene): void {
  const { config, node } = scene;
  for (const resource of config.resources) {
    const sides = sidesOf(resource, node);
    for (const volume of sides?.self.volumes ?? []) judgeDisk(scene, resource.name, volume, ['resources', resource.name, 'on', node]);
  }
  for (const { group, member, path } of membersOf(config)) {
    if (member.kind !== 'filesystem') continue;
    judgeMountPoint(scene, member, group.name, path);
    judgeType(scene, member, path);
  }
}
