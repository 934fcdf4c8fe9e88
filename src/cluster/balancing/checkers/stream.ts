/** Checks over a TCP connection: that it comes about, and SMTP's greeting. */
import { connect, type Socket } from 'node:net';
import type { BalancingCheck } from '../../../config/balancing-types.js';
import type { CheckTarget } from './checker.js';

/** Resolves with an open connection. */
export function connected({ address, port, signal }: CheckTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const end = (): void => {
      socket.destroy();
    };
    signal.addEventListener('abort', end, { once: true });
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('connection closed')));
    socket.once('connect', () => resolve(socket));
  });
}

export async function checkTcp(target: CheckTarget): Promise<string> {
  const socket = await connected(target);
  // a reset leaves no waiting connection behind, here and there
  socket.resetAndDestroy();
  return 'connected';
}

const replyBytesMax = 8192;

/** One reply of SMTP, which may have several lines; its code. */
function smtpReply(socket: Socket): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    const take = (data: Buffer): void => {
      text += data.toString('latin1');
      const last = text.split('\r\n').find((line) => /^\d{3}(?: |$)/.test(line));
      if (last !== undefined && text.includes('\r\n')) {
        socket.off('data', take);
        resolve(Number(last.slice(0, 3)));
      } else if (text.length > replyBytesMax || /^(?!\d{3}(?:[ -]|\r?$))[^\n]{3}[^\n]*\n/.test(text)) reject(new Error('the answer is not SMTP'));
    };
    socket.on('data', take);
    socket.once('close', () => reject(new Error('connection closed before the answer')));
    socket.once('error', reject);
  });
}

export async function checkSmtp(check: Extract<BalancingCheck, { type: 'smtp' }>, target: CheckTarget): Promise<string> {
  const socket = await connected(target);
  const expect = async (wanted: number, what: string): Promise<void> => {
    const code = await smtpReply(socket);
    if (code !== wanted) throw new Error(`${what} was answered with ${code}`);
  };
  try {
    await expect(220, 'the connection');
    const greeted = expect(250, 'HELO');
    socket.write(`HELO ${check.helo}\r\n`);
    await greeted;
    socket.end('QUIT\r\n');
    return 'greeted';
  } finally {
    if (socket.writable) socket.destroy();
  }
}
