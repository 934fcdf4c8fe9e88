/**
 * Instances that move together: all are master or none is. Pure; drives the machines of its members.
 *
 *   one member is in fault         all are
 *   one wants to be master         it waits until every member wants to, then all become master at once
 *   one is not master any more     all step back, with priority 0: nobody has to wait for what was given up on purpose
 */
import { initialMachine, type MachineState, ownFaults } from './machine-state.js';
import { step } from './machine.js';
import { type Rules, standardRules } from './rules.js';
import type { VrrpAction, VrrpConfig, VrrpEvent } from './types.js';

export interface SyncConfig {
  readonly name: string;
  readonly members: readonly VrrpConfig[];
}

export type GroupPhase = 'initialize' | 'backup' | 'master' | 'fault';

export interface SyncState {
  /** by the name of the instance. */
  readonly members: Readonly<Record<string, MachineState>>;
  readonly phase: GroupPhase;
  /** phase that was notified last. */
  readonly told: GroupPhase;
}

export interface SyncStepped {
  state: SyncState;
  actions: { member: string; action: VrrpAction }[];
  /** the group as a whole changed: for its own notify scripts (type GROUP, priority 0). */
  notify: Exclude<GroupPhase, 'initialize'> | 'stop' | null;
}

export function initialSync(config: SyncConfig, nowMs: number): SyncState {
  return { members: Object.fromEntries(config.members.map((member) => [member.name, initialMachine(member, nowMs, true)])), phase: 'initialize', told: 'initialize' };
}

function phaseOf(states: readonly MachineState[]): GroupPhase {
  if (states.some((each) => each.phase === 'fault')) return 'fault';
  if (states.some((each) => each.phase === 'initialize')) return 'initialize';
  return states.every((each) => each.phase === 'master') ? 'master' : 'backup';
}

/** One event for one member, or for all (`member` null: tick, start, stop, gate). What follows for the others is in the same answer. */
export function syncStep(config: SyncConfig, state: SyncState, member: string | null, event: VrrpEvent, nowMs: number, rules: Rules = standardRules): SyncStepped {
  const members: Record<string, MachineState> = { ...state.members };
  const actions: SyncStepped['actions'] = [];
  const give = (to: VrrpConfig, what: VrrpEvent): void => {
    const before = members[to.name];
    if (before === undefined) return;
    const stepped = step(to, before, what, nowMs, rules);
    members[to.name] = stepped.state;
    actions.push(...stepped.actions.map((action) => ({ member: to.name, action })));
  };
  const of = (each: VrrpConfig): MachineState => members[each.name] ?? initialMachine(each, nowMs, true);

  const everybody = member === null || event.kind === 'stop' || event.kind === 'start';
  for (const each of config.members) if (everybody || each.name === member) give(each, event);

  // a fault of one, with its own reason, is a fault of the others
  for (const each of config.members) {
    const faulty = config.members.filter((other) => other !== each && of(other).started && ownFaults(other, of(other)).length > 0);
    const loud = faulty.find((other) => ownFaults(other, of(other)).some((fault) => !fault.quiet));
    const culprit = (loud ?? faulty[0])?.name ?? null;
    const quiet = loud === undefined;
    const known = of(each).groupFault;
    if (of(each).started && ((known?.member ?? null) !== culprit || (known?.quiet ?? true) !== quiet)) give(each, { kind: 'groupFault', member: culprit, quiet });
  }
  const lost = config.members.find((each) => state.members[each.name]?.phase === 'master' && of(each).phase !== 'master');
  if (lost !== undefined) for (const each of config.members) if (of(each).phase === 'master') give(each, { kind: 'groupYields', member: lost.name });
  const all = config.members.map(of);
  if (all.some((each) => each.wants) && all.every((each) => each.wants || each.phase === 'master'))
    for (const each of config.members) if (of(each).wants) give(each, { kind: 'permitted' });

  const phase = phaseOf(config.members.map(of));
  const silent = phase === 'fault' && state.told !== 'master' && config.members.every((each) => of(each).phase !== 'fault' || of(each).quiet);
  const news = phase !== state.told && !silent;
  const notify = !news ? null : phase === 'initialize' ? (event.kind === 'stop' ? 'stop' : null) : phase;
  return { state: { members, phase, told: news ? phase : state.told }, actions, notify };
}
