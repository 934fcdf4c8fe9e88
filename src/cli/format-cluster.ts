/** The table of `drbdts cluster status`: nodes, links, groups with their members, and what needs attention. */
import type { ClusterStatus, GroupStatus, HistoryEntry } from '../control/cluster-messages.js';
import { type Painter, plainPainter, type Tone } from './color.js';
import { alignColumns } from './format-columns.js';

const tones: Record<string, Tone> = {
  online: 'good',
  up: 'good',
  started: 'good',
  standby: 'busy',
  leaving: 'busy',
  starting: 'busy',
  stopping: 'busy',
  partial: 'busy',
  late: 'busy',
  unknown: 'busy',
  dead: 'bad',
  failed: 'bad',
  'stop-failed': 'bad',
};

/** `12 s`, `4 min`, `3 h`: how long something has been so. */
export function formatAge(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

function groupLines(group: GroupStatus, paint: Painter): string[] {
  const state = group.node === '' ? group.phase : group.peerPhase !== '' && group.phase === 'stopped' ? group.peerPhase : group.phase;
  const shown = `${paint(tones[state] ?? 'plain', state)}${group.node === '' ? '' : ` on ${group.node}`}`;
  const notes = [
    ...(group.held ? [paint('bad', 'addresses are held back')] : []),
    ...(group.target !== group.node || group.target === '' ? [`${group.target === '' ? 'nowhere' : `-> ${group.target}`}: ${group.why}`] : []),
    ...(group.failure === '' ? [] : [paint('bad', group.failure)]),
    ...(group.failCount > 0 ? [`${group.failCount} failures`] : []),
    ...(group.pinned === '' ? [] : [`moved to ${group.pinned} by an operator`]),
  ];
  const members = group.members.map((member) => [
    `    ${member.name}`,
    paint(tones[member.phase] ?? 'plain', member.phase),
    [member.doing === '' ? '' : `${member.doing} under way`, member.reason].filter((text) => text !== '').join('; '),
  ]);
  return [`  ${group.name}: ${[shown, ...notes].join('; ')}`, ...alignColumns(members)];
}

/** Lines of the whole status. */
export function formatClusterStatus(status: ClusterStatus, paint: Painter = plainPainter): string[] {
  const nodes = status.nodes.map((node) => [
    `  ${node.name}${node.name === status.node ? ' (this node)' : ''}`,
    paint(tones[node.state] ?? 'plain', node.state),
    node.name === status.node ? '' : `for ${formatAge(node.sinceMs)}`,
    node.pingLost === 0 ? '' : `${node.pingLost} ping targets lost`,
  ]);
  const links = status.links.map((link) => [
    `  ${link.name}`,
    paint(tones[link.state] ?? 'plain', link.state),
    link.oneWay ? 'one-way' : '',
    link.silentMs === null ? 'never heard' : `heard ${formatAge(link.silentMs)} ago, longest gap ${formatAge(link.gapMaxMs)}`,
    link.lost === 0 ? '' : `${link.lost} lost`,
  ]);
  const standings = Object.entries(status.arbiter.standings).map(([name, standing]) => `${name}: ${standing}`);
  return [
    `cluster ${status.cluster}, arbiter ${status.arbiter.kind === 'none' ? paint('bad', 'none') : status.arbiter.kind}${standings.length === 0 ? '' : ` (${standings.join(', ')})`}${status.maintenance ? paint('busy', ', maintenance') : ''}`,
    'nodes:',
    ...alignColumns(nodes),
    'links:',
    ...alignColumns(links),
    'groups:',
    ...(status.groups.length === 0 ? ['  none'] : status.groups.flatMap((group) => groupLines(group, paint))),
    ...status.warnings.map((warning) => paint('bad', `warning: ${warning}`)),
  ];
}

/** One line for each decision. */
export function formatHistory(entries: readonly HistoryEntry[], paint: Painter = plainPainter): string[] {
  return entries.map(({ time, node, level, sentence }) => `${time} ${node}: ${level === 'info' ? sentence : paint(level === 'warn' ? 'busy' : 'bad', sentence)}`);
}
