/** Whether a file system has to be checked before it is mounted. Pure: bytes in, decision out. */
import type { FilesystemMember } from '../../config/cluster-types.js';

/** Their journal or copy-on-write brings them back by itself at mount. */
const selfRepairing = new Set([
  'ext3', 'ext4', 'xfs', 'btrfs', 'jfs', 'reiserfs', 'f2fs', 'nilfs2', 'ocfs2', 'gfs2', 'zfs', 'bcachefs', 'erofs', 'squashfs', 'tmpfs',
]);

/** Place and size of what `needsCheck` reads of an ext file system. */
export const extSuperBlock = { offsetBytes: 1024, bytes: 1024 } as const;
const extMagic = 0xef53;
const extStateErrors = 0x2;
const extHasJournal = 0x4;

export function isExt(type: string): boolean {
  return type === 'ext2' || type === 'ext3' || type === 'ext4';
}

/** The reason for a check, '' for none. `superBlock` is that of an ext file system, null for others or when it could not be read. */
export function needsCheck(policy: FilesystemMember['fsck'], type: string, superBlock: Buffer | null): string {
  if (policy === 'no') return '';
  if (policy === 'force') return 'the configuration asks for it';
  if (isExt(type) && superBlock !== null && superBlock.length >= 0x60 && superBlock.readUInt16LE(0x38) === extMagic) {
    if ((superBlock.readUInt16LE(0x3a) & extStateErrors) !== 0) return 'its super block says that it has errors';
    return (superBlock.readUInt32LE(0x5c) & extHasJournal) === 0 ? 'it has no journal' : '';
  }
  return selfRepairing.has(type) ? '' : `${type} has no journal`;
}
