/** UDP: that nothing refuses, or that something answers; and a question to a name server. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { BalancingCheck } from '../../../config/balancing-types.js';
import type { CheckTarget } from './checker.js';

/** how long a refusal (ICMP) may take where no answer is asked for. */
const refusalMs = 1000;

/** Sends `data`; resolves with the first answer for which `wanted` is true, or with null after `quietMs` without one. */
function exchange({ address, port, signal }: CheckTarget, data: Buffer, wanted: (answer: Buffer) => boolean, quietMs: number | null): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIP(address) === 6 ? 'udp6' : 'udp4');
    let timer: NodeJS.Timeout | undefined;
    let open = true;
    const close = (): void => {
      clearTimeout(timer);
      if (open) socket.close();
      open = false;
    };
    signal.addEventListener('abort', close, { once: true });
    socket.on('error', (error) => {
      close();
      reject((error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? new Error('port unreachable') : error);
    });
    socket.on('message', (answer) => {
      if (!wanted(answer)) return;
      close();
      resolve(answer);
    });
    // connected: only so a refusal is told
    socket.connect(port, address, () => {
      if (!open) return;
      socket.send(data);
      if (quietMs === null) return;
      timer = setTimeout(() => {
        close();
        resolve(null);
      }, quietMs);
    });
  });
}

export async function checkUdp(check: Extract<BalancingCheck, { type: 'udp' }>, target: CheckTarget): Promise<string> {
  const { requireReply, reply } = check;
  const quietMs = requireReply ? null : Math.min(refusalMs, Math.floor(check.timeoutMs / 2));
  const answer = await exchange(target, Buffer.from(check.payload, 'hex'), () => true, quietMs);
  if (answer === null) return 'nothing refused it';
  if (reply !== '' && !answer.toString('hex').startsWith(reply)) throw new Error(`the answer begins with ${answer.subarray(0, 16).toString('hex') || 'nothing'}`);
  return `answered with ${answer.length} bytes`;
}

const queryTypes: Record<string, number> = { A: 1, NS: 2, CNAME: 5, SOA: 6, MX: 15, TXT: 16, AAAA: 28 };
const rcodes = ['no error', 'format error', 'server failure', 'no such name', 'not implemented', 'refused'];

/** A question as RFC 1035 has it. Pure. */
export function dnsQuery(id: number, name: string, query: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  const parts = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  // recursion desired, one question
  head.writeUInt16BE(0x0100, 2);
  head.writeUInt16BE(1, 4);
  return Buffer.concat([head, ...parts, Buffer.from([0, 0, queryTypes[query] ?? 6, 0, 1])]);
}

export async function checkDns(check: Extract<BalancingCheck, { type: 'dns' }>, target: CheckTarget): Promise<string> {
  const id = randomInt(0x1_0000);
  const answer = await exchange(target, dnsQuery(id, check.name, check.query), (data) => data.length >= 12 && data.readUInt16BE(0) === id && (data[2] ?? 0) >= 0x80, null);
  const rcode = (answer?.[3] ?? 0) & 0x0f;
  if (rcode !== 0) throw new Error(`the name server says: ${rcodes[rcode] ?? `error ${rcode}`}`);
  return 'answered';
}
