/** `major:minor` of a block device node. */
import { statSync } from 'node:fs';

/** As mountinfo writes it; null when the device does not exist or is no block device. */
export function deviceNumberOf(device: string): string | null {
  try {
    const stat = statSync(device);
    if (!stat.isBlockDevice()) return null;
    // makedev of glibc: 12 + 20 bits of major, 8 + 12 bits of minor, interleaved
    const number = BigInt(stat.rdev);
    const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
    const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn & 0xffffffffn);
    return `${major}:${minor}`;
  } catch {
    return null;
  }
}
