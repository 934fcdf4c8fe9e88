/**
 * Lines between a node and a witness: `drbdts-register/1 CLUSTER MAC JSON`. The code is HMAC-SHA256 over the exact bytes, with the direction
 * among them, so that no request passes for a reply.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { namePattern } from './messages.js';

const magic = 'drbdts-register/1';
export type Direction = 'request' | 'reply';

function code(key: Buffer, direction: Direction, cluster: string, json: string): Buffer {
  return createHmac('sha256', key).update(`${magic} ${direction} ${cluster}\n${json}`).digest();
}

/** One line without its end. `json` holds no line end, as JSON.stringify writes it. */
export function seal(key: Buffer, direction: Direction, cluster: string, json: string): string {
  return `${magic} ${cluster} ${code(key, direction, cluster, json).toString('hex')} ${json}`;
}

export interface SealedLine {
  cluster: string;
  mac: Buffer;
  json: string;
}

/** The parts of a line, not yet believed; null when it is none. */
export function splitLine(line: string): SealedLine | null {
  const match = /^(\S+) (\S+) ([0-9a-f]{64}) (\{.*\})$/s.exec(line);
  if (match === null) return null;
  const [, word, cluster = '', mac = '', json = ''] = match;
  if (word !== magic || !namePattern.test(cluster)) return null;
  return { cluster, mac: Buffer.from(mac, 'hex'), json };
}

/** Whether the line was made by somebody who has `key`. */
export function isGenuine(key: Buffer, direction: Direction, line: SealedLine): boolean {
  return timingSafeEqual(code(key, direction, line.cluster, line.json), line.mac);
}
