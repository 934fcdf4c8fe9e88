/** What `drbdts lb status` prints: each virtual server with its real servers and what decides about them. */
import type { BalancingStatus, BalancingTargetStatus, VirtualServerStatus } from '../control/balancing-messages.js';
import { type Painter, plainPainter, type Tone } from './color.js';
import { formatAge } from './format-cluster.js';
import { alignColumns } from './format-columns.js';

const tones: Record<BalancingTargetStatus['state'], Tone> = { serving: 'good', draining: 'busy', down: 'bad', waiting: 'plain' };

const place = ({ address, port }: { address: string; port: number }): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

function checkText({ type, up, seen, failures, detail, tookMs }: BalancingTargetStatus['checks'][number], paint: Painter): string {
  const state = !seen ? paint('busy', detail) : `${up ? (failures === 0 ? 'up' : paint('busy', `up, ${failures} failed`)) : paint('bad', 'down')}, ${detail}`;
  return `${type} ${state}${seen && tookMs !== null ? ` (${tookMs} ms)` : ''}`;
}

function row(one: BalancingTargetStatus, paint: Painter): string[] {
  const since = one.forMs === null ? '' : formatAge(one.forMs);
  return [`  ${one.name}`, place(one), paint(tones[one.state], one.state), since, String(one.weight), String(one.connections), String(one.packets), String(one.bytes), one.checks.map((check) => checkText(check, paint)).join('; ')];
}

function serverLines(one: VirtualServerStatus, paint: Painter): string[] {
  const sticky = one.persistenceMs === 0 ? '' : `, persistent for ${formatAge(one.persistenceMs)}`;
  const quorum = one.quorum ? paint('good', 'there') : paint('bad', 'lost');
  return [
    `${one.name}: ${one.protocol} ${place(one)} ${one.kind} ${one.scheduler}${sticky}${one.open ? '' : `, ${paint('bad', 'not in force')}`}${one.gate === '' ? '' : ` (${one.gate})`}`,
    `  quorum ${quorum} for ${formatAge(one.quorumForMs)}: weight ${one.liveWeight} is up, ${one.quorum ? 'needed' : 'gained at'} ${one.neededWeight}`,
    ...alignColumns([['  server', 'address', 'state', 'for', 'weight', 'connections', 'packets', 'bytes', 'checks'], ...one.realServers.map((real) => row(real, paint)), ...(one.sorryServer === null ? [] : [row(one.sorryServer, paint)])]),
  ];
}

export function formatBalancingStatus(status: BalancingStatus, paint: Painter = plainPainter): string[] {
  return [
    ...(status.problem === '' ? [] : [paint('bad', `not in force: ${status.problem}`)]),
    ...status.warnings.map((warning) => paint('bad', `warning: ${warning}`)),
    ...status.virtualServers.flatMap((one) => serverLines(one, paint)),
  ];
}
