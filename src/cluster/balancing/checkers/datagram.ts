/** UDP: that nothing refuses, or that something answers. */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import type { BalancingCheck } from '../../../config/balancing-types.js';
import type { CheckTarget } from './checker.js';

/** how long a refusal (ICMP) may take where no answer is asked for. */
const refusalMs = 1000;

/** Sends `data`; resolves with the first answer, or with null after `quietMs` without one. */
function exchange({ address, port, signal }: CheckTarget, data: Buffer, quietMs: number | null): Promise<Buffer | null> {
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
  const answer = await exchange(target, Buffer.from(check.payload, 'hex'), quietMs);
  if (answer === null) return 'nothing refused it';
  if (reply !== '' && !answer.toString('hex').startsWith(reply)) throw new Error(`the answer begins with ${answer.subarray(0, 16).toString('hex') || 'nothing'}`);
  return `answered with ${answer.length} bytes`;
}
