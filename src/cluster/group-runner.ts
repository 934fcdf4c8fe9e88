/** One group at work: its machine (group.ts) joined with its members' effects and time. Every decision is in the machine. */
import type { GroupConfig } from '../config/cluster-types.js';
import type { Clock } from '../shared/clock.js';
import { DrbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { hardAbort } from '../shared/run-program.js';
import { initialGroup, nextTickMs, step } from './group.js';
import type { GroupAction, GroupEvent, GroupState } from './group-types.js';
import type { Member } from './members/member.js';

export interface GroupHooks {
  readonly log: Pick<Log, 'debug'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** the phase, a member or a count may have changed. */
  changed(): void;
  /** something worth telling, as a sentence that names the group. */
  say(level: 'info' | 'warn' | 'error', sentence: string): void;
  /** the group can not be stopped by any means of its own. */
  selfFence(reason: string): void;
}

interface Run {
  readonly life: number;
  readonly controller: AbortController;
}

/** setTimeout takes no more than 2^31 ms. */
const longestWaitMs = 86_400_000;

export class GroupRunner {
  readonly config: GroupConfig;
  readonly members: readonly Member[];
  private readonly hooks: GroupHooks;
  private readonly runs = new Map<number, Run>();
  private readonly queue: GroupEvent[] = [];
  private working = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private current: GroupState;

  /** `members`: one for each member of the configuration, in its order. */
  constructor(config: GroupConfig, members: readonly Member[], hooks: GroupHooks) {
    this.config = config;
    this.members = members;
    this.hooks = hooks;
    this.current = initialGroup(config);
  }

  get state(): GroupState {
    return this.current;
  }

  /** Gives the machine an event and carries out what follows. Events are taken one after the other, also when one is sent from within a hook. */
  send(event: GroupEvent): void {
    this.queue.push(event);
    if (this.working || this.closed) return;
    this.working = true;
    try {
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) this.take(next);
    } finally {
      this.working = false;
    }
    this.schedule();
    this.hooks.changed();
  }

  /** Lets everything run as it is and touches nothing any more; actions that are under way are not ended. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const member of this.members) member.close();
  }

  private take(event: GroupEvent): void {
    const { state, actions } = step(this.current, event, this.hooks.clock.nowMs());
    this.current = state;
    for (const action of actions) this.carryOut(action);
  }

  private carryOut(action: GroupAction): void {
    switch (action.kind) {
      case 'run':
        void this.run(action);
        return;
      case 'abort': {
        const run = this.runs.get(action.index);
        if (run?.life === action.life) run.controller.abort(action.hard ? hardAbort : 'its time is over');
        return;
      }
      case 'phase':
        this.hooks.say(action.to === 'failed' || action.to === 'stop-failed' ? 'error' : 'info', action.sentence);
        if (action.to === 'starting') this.prepare();
        return;
      case 'note':
        this.hooks.say(action.level, action.sentence);
        return;
      case 'selfFence':
        this.hooks.selfFence(action.reason);
        return;
    }
  }

  /** What is not at work anyway looks ahead. */
  private prepare(): void {
    for (const [index, { phase, running }] of this.current.members.entries()) if (phase === 'stopped' && running === null) this.members[index]?.prepare?.();
  }

  private async run({ index, action, level, life }: Extract<GroupAction, { kind: 'run' }>): Promise<void> {
    const member = this.members[index];
    if (member === undefined) throw new Error(`group ${this.config.name} has no member ${index}`);
    const controller = new AbortController();
    this.runs.set(index, { life, controller });
    const result = { kind: 'memberResult', index, action, life } as const;
    const sinceMs = this.hooks.clock.nowMs();
    let event: GroupEvent;
    try {
      if (action === 'probe') {
        const found = await member.probe(controller.signal);
        if (found === 'started' || found === 'stopped') event = { ...result, ok: true, reason: '', found };
        else event = { ...result, ok: false, reason: found.slice('failed:'.length) };
      } else {
        if (action === 'stop') await member.stop(level, controller.signal);
        else await member[action](controller.signal);
        event = { ...result, ok: true, reason: '' };
      }
    } catch (error) {
      // the member's name is in the machine's sentence already
      const text = error instanceof Error ? error.message : String(error);
      const reason = text.replace(/^.{0,100}? did not (start|stop): |^.{0,100}? does not work: /, '');
      if (error instanceof DrbdtsError) this.hooks.log.debug(`${member.config.name}: ${error.code}: ${error.message} (${error.remedy})`);
      event = { ...result, ok: false, reason };
    }
    if (this.runs.get(index)?.life === life) this.runs.delete(index);
    this.hooks.log.debug(`${member.config.name}: ${action} ${event.ok ? 'done' : 'failed'} after ${Math.round(this.hooks.clock.nowMs() - sinceMs)} ms`);
    this.send(event);
  }

  private schedule(): void {
    clearTimeout(this.timer);
    const next = nextTickMs(this.current);
    if (next === null || this.closed) return;
    const waitMs = Math.min(Math.max(1, Math.ceil(next - this.hooks.clock.nowMs())), longestWaitMs);
    this.timer = setTimeout(() => this.send({ kind: 'tick' }), waitMs);
  }
}
