/** What `drbdts vrrp status` prints: each virtual router with what decides about it. */
import type { VrrpInstanceStatus, VrrpStatus } from '../control/vrrp-messages.js';
import { type Painter, plainPainter, type Tone } from './color.js';
import { alignColumns } from './format-columns.js';
import { formatAge } from './format-cluster.js';

const tones: Record<VrrpInstanceStatus['state'], Tone> = { master: 'good', backup: 'plain', fault: 'bad', initialize: 'busy' };

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;

function masterText(one: VrrpInstanceStatus): string {
  if (one.master === '') return 'none known';
  return `${one.master}${one.master === one.source ? ' (this node)' : ''}${one.masterPriority === null ? '' : `, priority ${one.masterPriority}`}`;
}

function timerText(one: VrrpInstanceStatus): string {
  const running = [
    ...(one.masterDownInMs === null ? [] : [`${seconds(one.masterDownInMs)} of it left`]),
    ...(one.preemptInMs === null ? [] : [`preempts in ${seconds(one.preemptInMs)} at the earliest`]),
    ...(one.startInMs === null ? [] : [`takes part in ${seconds(one.startInMs)}`]),
  ];
  return [`advert every ${seconds(one.masterIntervalMs)}, skew ${seconds(one.skewMs)}, master down after ${seconds(one.masterDownMs)}`, ...running].join('; ');
}

function silenceText(one: VrrpInstanceStatus): string {
  const heard = `worst silence of a master ${seconds(one.worstSilenceMs)} (${Math.round(one.worstSilencePart * 100)} % of master down)`;
  return `${heard}; worst own gap ${seconds(one.worstOwnGapMs)}${one.lapses === 0 ? '' : `, gave up ${one.lapses} times because of one`}`;
}

function instanceLines(one: VrrpInstanceStatus, paint: Painter): string[] {
  const bad = (text: string): string => paint('bad', text);
  const addresses = one.addresses.map(({ address, prefix, interface: own, present }) => `${address}/${prefix}${own === one.interface ? '' : ` on ${own}`}${present === one.holdsAddresses ? '' : bad(present ? ' (is there)' : ' (is missing)')}`);
  const tracked = one.tracked.map(({ kind, name, weight, up, detail }) => {
    const state = up === null ? paint('busy', 'no result yet') : up ? 'up' : bad('down');
    return `${kind} ${name}${weight === 0 ? '' : ` (${weight > 0 ? '+' : ''}${weight})`} ${state}${up === null || detail === '' ? '' : `, ${detail}`}`;
  });
  const scripts = one.scripts.map(({ script, command, exitCode, tookMs, output }) => `${script}: ${command}: ${exitCode === 0 ? 'exit 0' : bad(`exit ${exitCode}`)} after ${tookMs} ms${output === '' ? '' : `: ${output.split('\n').at(-1) ?? ''}`}`);
  const rows: [string, string][] = [
    ['priority', one.priorityText],
    ['master', masterText(one)],
    ['addresses', `${addresses.join(', ')}; ${one.holdsAddresses ? paint('good', 'held here') : 'not held here'}`],
    ...(one.gate === '' ? [] : [['group', `${one.gate}: ${one.gateState}`] as [string, string]]),
    ['timers', timerText(one)],
    ...(one.failoverMs === null ? [] : [['failover', `expected ${seconds(one.failoverMs.min)} to ${seconds(one.failoverMs.max)} after the master's death`] as [string, string]]),
    ['heard', one.hearing === 'heard but rejected' ? bad(one.hearingText) : one.hearingText],
    ['silence', silenceText(one)],
    ['sent', `${one.sent} packets, at worst ${one.worstLateMs.toFixed(1)} ms late${one.sendErrors === 0 ? '' : bad(`; ${one.sendErrors} could not be sent (${one.lastSendError})`)}`],
    ...tracked.map((text): [string, string] => ['tracked', text]),
    ...scripts.map((text): [string, string] => ['script', text]),
    ...(one.scriptsWaiting === 0 ? [] : [['script', `${one.scriptsWaiting} running or waiting`] as [string, string]]),
  ];
  const head = `${one.name}: ${paint(tones[one.state], one.state)} for ${formatAge(one.forMs)}, ${one.reason}`;
  return [
    head,
    `  VRRPv${one.version}${one.family === 6 ? ' IPv6' : ''} router-id ${one.routerId} on ${one.interface}${one.source === '' ? bad(', no address to send from') : ` from ${one.source}`}`,
    ...one.faults.map((fault) => `  ${bad(`fault: ${fault}`)}`),
    ...alignColumns(rows.map(([key, text]) => [`  ${key}`, text])),
  ];
}

export function formatVrrpStatus(status: VrrpStatus, paint: Painter = plainPainter): string[] {
  const groups = status.syncGroups.map(({ name, state, instances }) => `sync group ${name}: ${state} (${instances.join(', ')})`);
  const checks = status.checks.map(({ name, command, user, exitCode, output, tookMs, skipped }) => [
    `  ${name}`,
    exitCode === null ? paint('busy', 'no result yet') : exitCode === 0 ? 'exit 0' : paint('bad', `exit ${exitCode}`),
    tookMs === null ? '' : `${tookMs} ms`,
    `${command}${user === '' ? '' : ` as ${user}`}${skipped === 0 ? '' : `; ${skipped} turns left out`}${output === '' ? '' : `: ${output.split('\n').at(-1) ?? ''}`}`,
  ]);
  return [...status.instances.flatMap((one) => instanceLines(one, paint)), ...groups, ...(checks.length === 0 ? [] : ['checks:', ...alignColumns(checks)])];
}
