/**
 * The heartbeat as a datagram: encode, authenticate, decode. No clock, no socket, no state; the same bytes always give the same answer.
 *
 * Layout, big endian: magic "DTHB", version, flags, u16 length of the datagram, 16 bytes boot of the sender, u64 sequence, u64 version of its
 * report, cluster, node, link (each u8 length and UTF-8), the echo if there is one (16 bytes boot, u32 held in microseconds, u64 report version,
 * u8 count, per link name and u64 sequence), the rival if there is one (16 bytes boot, u64 sequence), the report if there is one (all that is
 * left), 32 bytes HMAC-SHA256 over everything before.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { drbdtsError } from '../shared/errors.js';
import type { Heartbeat, NodeReport } from './membership-types.js';

/** A larger datagram is neither sent nor taken: UDP ends at 65507 bytes. */
export const maxDatagramBytes = 60 * 1024;
/** From this size on a report is compressed, so that one that fits goes in one Ethernet frame. */
export const maxPlainReportBytes = 1000;
/** A report is never larger than this, compressed or not. */
export const maxReportBytes = 1024 * 1024;
const maxLinks = 8;
const maxNameBytes = 64;
const version = 1;
const magic = Buffer.from('DTHB', 'latin1');
const headBytes = 8 + 16 + 8 + 8;
const macBytes = 32;
const hasEcho = 1;
const hasRival = 2;
const hasReport = 4;
const isDeflated = 8;
const isGoodbye = 16;
const allFlags = 31;
/** Names, echo and digest of the largest packet; what is left of the datagram is the report's. */
const maxOverheadBytes = headBytes + 3 * (1 + maxNameBytes) + 29 + maxLinks * (9 + maxNameBytes) + 24 + macBytes;

/** Why a datagram was not taken. */
export type RejectKind = 'garbage' | 'oversized' | 'version' | 'cluster' | 'key';

export type Decoded = { ok: true; heartbeat: Heartbeat; report: EncodedReport | null } | { ok: false; kind: RejectKind; detail: string };

/** A report as it travels. Made once per change of the report. */
export interface EncodedReport {
  readonly bytes: Uint8Array;
  readonly deflated: boolean;
}

/** The key of heartbeats, made of the cluster's key so that nothing authenticated elsewhere with the same file is taken for a heartbeat. */
export function heartbeatKey(clusterKey: Uint8Array): Buffer {
  return createHmac('sha256', clusterKey).update('drbdts heartbeat 1').digest();
}

/** JSON, compressed when it is long. ERR_REPORT_TOO_LARGE when it does not fit into one datagram. */
export function encodeReport(report: NodeReport): EncodedReport {
  const plain = Buffer.from(JSON.stringify(report), 'utf8');
  if (plain.length <= maxPlainReportBytes) return { bytes: plain, deflated: false };
  const limit = maxDatagramBytes - maxOverheadBytes;
  const bytes = plain.length <= maxReportBytes ? deflateRawSync(plain) : plain;
  if (plain.length > maxReportBytes || bytes.length > limit)
    throw drbdtsError('ERR_REPORT_TOO_LARGE', { values: { bytes: plain.length, limit: plain.length > maxReportBytes ? maxReportBytes : limit } });
  return { bytes, deflated: true };
}

/** The report inside an authenticated heartbeat, or null when it is not JSON or too long. */
export function decodeReport(encoded: EncodedReport): NodeReport | null {
  try {
    const plain = encoded.deflated ? inflateRawSync(encoded.bytes, { maxOutputLength: maxReportBytes }) : encoded.bytes;
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain)) as NodeReport;
  } catch {
    return null;
  }
}

/** The datagram of a heartbeat. ERR_INTERNAL for names or counts that do not fit: the configuration has checked them. */
export function encodeHeartbeat(heartbeat: Heartbeat, report: EncodedReport | null, key: Uint8Array): Buffer {
  const parts: Buffer[] = [];
  const name = (text: string): Buffer => {
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length === 0 || bytes.length > maxNameBytes) throw drbdtsError('ERR_INTERNAL', { values: { reason: `name '${text}' has ${bytes.length} bytes` } });
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  };
  const flags =
    (heartbeat.echo === null ? 0 : hasEcho) |
    (heartbeat.rival === null ? 0 : hasRival) |
    (report === null ? 0 : hasReport | (report.deflated ? isDeflated : 0)) |
    (heartbeat.goodbye ? isGoodbye : 0);
  parts.push(bootBytes(heartbeat.boot), u64(heartbeat.sequence), u64(heartbeat.reportVersion));
  parts.push(name(heartbeat.cluster), name(heartbeat.node), name(heartbeat.link));
  if (heartbeat.echo !== null) {
    const { boot, heldUs, reportVersion, links } = heartbeat.echo;
    if (links.length > maxLinks) throw drbdtsError('ERR_INTERNAL', { values: { reason: `a heartbeat speaks of ${links.length} links` } });
    const held = Buffer.alloc(4);
    held.writeUInt32BE(Math.min(Math.max(Math.round(heldUs), 0), 0xffff_ffff));
    parts.push(bootBytes(boot), held, u64(reportVersion), Buffer.from([links.length]));
    for (const link of links) parts.push(name(link.name), u64(link.sequence));
  }
  if (heartbeat.rival !== null) parts.push(bootBytes(heartbeat.rival.boot), u64(heartbeat.rival.sequence));
  if (report !== null) parts.push(Buffer.from(report.bytes));
  const body = Buffer.concat(parts);
  const total = 8 + body.length + macBytes;
  if (total > maxDatagramBytes) throw drbdtsError('ERR_REPORT_TOO_LARGE', { values: { bytes: total, limit: maxDatagramBytes } });
  const head = Buffer.from([...magic, version, flags, total >> 8, total & 0xff]);
  const signed = Buffer.concat([head, body]);
  return Buffer.concat([signed, createHmac('sha256', key).update(signed).digest()]);
}

/**
 * Takes a datagram apart. Cheap checks come first, then the digest, then the rest: what a stranger sends costs one comparison or one HMAC.
 * `cluster` is our own name: another cluster on the same port is told from a wrong key.
 */
export function decodeHeartbeat(datagram: Uint8Array, cluster: string, key: Uint8Array): Decoded {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.length > maxDatagramBytes) return reject('oversized', `${bytes.length} bytes, at most ${maxDatagramBytes}`);
  if (bytes.length < headBytes + 3 + macBytes || !bytes.subarray(0, 4).equals(magic)) return reject('garbage', 'not a heartbeat');
  if (bytes[4] !== version) return reject('version', `heartbeat version ${bytes[4]}, this node speaks ${version}`);
  if (bytes.readUInt16BE(6) !== bytes.length) return reject('garbage', 'cut off or padded');
  const signed = bytes.subarray(0, bytes.length - macBytes);
  const read = new Reader(signed, headBytes);
  const itsCluster = read.name();
  if (read.bad) return reject('garbage', 'bad name');
  if (itsCluster !== cluster) return reject('cluster', `it belongs to cluster '${printable(itsCluster)}'`);
  if (!timingSafeEqual(createHmac('sha256', key).update(signed).digest(), bytes.subarray(bytes.length - macBytes)))
    return reject('key', 'its digest is wrong: another key, or altered');
  const flags = bytes[5] ?? 0;
  const node = read.name();
  const link = read.name();
  let echo: Heartbeat['echo'] = null;
  if ((flags & hasEcho) !== 0) {
    const boot = read.boot();
    const heldUs = read.u32();
    const reportVersion = read.u64();
    const count = read.u8();
    const links: { name: string; sequence: number }[] = [];
    for (let i = 0; i < count && !read.bad; i++) links.push({ name: read.name(), sequence: read.u64() });
    if (count > maxLinks) read.bad = true;
    echo = { boot, heldUs, reportVersion, links };
  }
  const rival = (flags & hasRival) !== 0 ? { boot: read.boot(), sequence: read.u64() } : null;
  const report = (flags & hasReport) !== 0 ? { bytes: read.rest(), deflated: (flags & isDeflated) !== 0 } : null;
  const sequence = safe(signed, 24);
  const reportVersion = safe(signed, 32);
  if ((flags & ~allFlags) !== 0 || (flags & (hasReport | isDeflated)) === isDeflated || read.bad || !read.ended || sequence < 0 || reportVersion < 0)
    return reject('garbage', 'authentic, but not a heartbeat of this version');
  const boot = signed.toString('hex', 8, 24);
  return {
    ok: true,
    heartbeat: { cluster, node, link, boot, sequence, reportVersion, goodbye: (flags & isGoodbye) !== 0, echo, rival },
    report,
  };
}

function reject(kind: RejectKind, detail: string): Decoded {
  return { ok: false, kind, detail };
}

/** Text of a stranger, safe for a log line. */
export function printable(text: string): string {
  return [...text].map((char) => (/[\p{L}\p{N} ._:-]/u.test(char) ? char : '?')).join('').slice(0, 64);
}

function u64(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) throw drbdtsError('ERR_INTERNAL', { values: { reason: `${value} is no sequence` } });
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function bootBytes(boot: string): Buffer {
  if (!/^[0-9a-f]{32}$/.test(boot)) throw drbdtsError('ERR_INTERNAL', { values: { reason: `'${boot}' is no boot identifier` } });
  return Buffer.from(boot, 'hex');
}

/** A number below 2^53, or -1. */
function safe(bytes: Buffer, offset: number): number {
  const high = bytes.readUInt32BE(offset);
  return high >= 0x20_0000 ? -1 : high * 0x1_0000_0000 + bytes.readUInt32BE(offset + 4);
}

/** Reads on; what is not there sets `bad` and gives zeros. */
class Reader {
  bad = false;
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(count: number): Buffer {
    const from = this.#at;
    if (this.bad || from + count > this.#bytes.length) {
      this.bad = true;
      return Buffer.alloc(count);
    }
    this.#at = from + count;
    return this.#bytes.subarray(from, this.#at);
  }

  u8(): number {
    return this.#take(1)[0] ?? 0;
  }

  u32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  u64(): number {
    const value = safe(this.#take(8), 0);
    if (value < 0) this.bad = true;
    return Math.max(value, 0);
  }

  boot(): string {
    return this.#take(16).toString('hex');
  }

  name(): string {
    const length = this.u8();
    if (length === 0 || length > maxNameBytes) {
      this.bad = true;
      return '';
    }
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#take(length));
    } catch {
      this.bad = true;
      return '';
    }
  }

  rest(): Buffer {
    return this.#take(this.#bytes.length - this.#at);
  }
}
