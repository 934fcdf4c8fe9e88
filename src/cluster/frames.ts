/** Bytes that ARP and neighbour discovery share: addresses as numbers, checksum. Pure. */

export const etherTypeArp = 0x0806;
export const etherTypeIpv6 = 0x86dd;

/** `02:11:22:33:44:55` as 6 bytes; null when it is not one. */
export function macBytes(text: string): Uint8Array | null {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ? Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16))) : null;
}

export function macText(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Dotted form as 4 bytes; null when it is not one. */
export function ipv4Bytes(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return Uint8Array.from(parts.map(Number));
}

export function ipv4Text(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].join('.');
}

/** RFC 4291 §2.2 without scope, `::` and a dotted tail allowed, as 16 bytes; null when it is not one. */
export function ipv6Bytes(text: string): Uint8Array | null {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted === null ? null : ipv4Bytes(dotted[2] ?? '');
  if (dotted !== null && tail === null) return null;
  const word = (high: number, low: number): string => ((high << 8) | low).toString(16);
  const plain = dotted === null || tail === null ? text : `${dotted[1]}${word(tail[0] ?? 0, tail[1] ?? 0)}:${word(tail[2] ?? 0, tail[3] ?? 0)}`;
  const halves = plain.split('::');
  if (halves.length > 2) return null;
  const [head = [], rest = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const words = [...head, ...Array<string>(missing).fill('0'), ...rest];
  if (!words.every((each) => /^[0-9a-f]{1,4}$/i.test(each))) return null;
  return Uint8Array.from(words.flatMap((each) => [Number.parseInt(each, 16) >> 8, Number.parseInt(each, 16) & 0xff]));
}

/** The one form of RFC 5952 (without the dotted tail). */
export function ipv6Text(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
  let best = { from: 0, count: 0 };
  for (let from = 0; from < 8; from++) {
    let count = 0;
    while (from + count < 8 && words[from + count] === 0) count++;
    if (count > best.count) best = { from, count };
  }
  const hex = (part: number[]): string => part.map((each) => each.toString(16)).join(':');
  return best.count < 2 ? hex(words) : `${hex(words.slice(0, best.from))}::${hex(words.slice(best.from + best.count))}`;
}

/** The Internet checksum (RFC 1071) over all parts one after the other; every part but the last has an even length. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
