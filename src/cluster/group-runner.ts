/** One group at work: its machine (group.ts) joined with its members' effects and timers. Every decision is in the machine. */
import type { GroupConfig } from '../config/cluster-types.js';
import type { Clock } from '../shared/clock.js';
import type { Log } from '../shared/log.js';
import { hardAbort } from '../shared/run-program.js';
import { initialGroup, nextTickMs, step } from './group.js';
import type { GroupAction, GroupEvent, GroupState } from './group-types.js';
import { type Member, reasonOf } from './members/member.js';

export interface GroupRunnerOptions {
  config: GroupConfig;
  /** one for each member of the configuration, in its order. */
  members: readonly Member[];
  clock: Pick<Clock, 'nowMs'>;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** the phase, a member or a count changed. */
  onChange(runner: GroupRunner): void;
  /** a sentence for the history. */
  onSentence(group: string, level: 'info' | 'warn' | 'error', sentence: string): void;
  /** the group can not be stopped by any means of its own. */
  onSelfFence(group: string, reason: string): void;
}

interface UnderWay {
  life: number;
  controller: AbortController;
}

export class GroupRunner {
  readonly config: GroupConfig;
  readonly #options: GroupRunnerOptions;
  readonly #running = new Map<number, UnderWay>();
  #state: GroupState;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: GroupRunnerOptions) {
    this.config = options.config;
    this.#options = options;
    this.#state = initialGroup(options.config);
  }

  get state(): GroupState {
    return this.#state;
  }

  get members(): readonly Member[] {
    return this.#options.members;
  }

  /** Gives the machine an event and carries out what follows. */
  take(event: GroupEvent): void {
    if (this.#closed) return;
    const before = this.#state;
    const { state, actions } = step(before, event, this.#options.clock.nowMs());
    this.#state = state;
    for (const action of actions) this.#carryOut(action);
    this.#arm();
    if (actions.length > 0 || before.phase !== state.phase || before.failCount !== state.failCount) this.#options.onChange(this);
  }

  /** Ends timers and runs; touches nothing that serves. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { controller } of this.#running.values()) controller.abort(new Error('clusterd ends'));
    for (const member of this.#options.members) member.close();
  }

  #carryOut(action: GroupAction): void {
    const { config } = this;
    switch (action.kind) {
      case 'run':
        void this.#run(action);
        return;
      case 'abort': {
        const running = this.#running.get(action.index);
        if (running?.life === action.life) running.controller.abort(action.hard ? hardAbort : new Error('it takes too long, or is not wanted any more'));
        return;
      }
      case 'phase':
        this.#options.onSentence(config.name, action.to === 'failed' ? 'warn' : action.to === 'stop-failed' ? 'error' : 'info', `group ${config.name} ${action.sentence}`);
        return;
      case 'note':
        this.#options.onSentence(config.name, action.level, `group ${config.name} ${action.sentence}`);
        return;
      case 'selfFence':
        this.#options.onSelfFence(config.name, action.reason);
        return;
    }
  }

  async #run(action: Extract<GroupAction, { kind: 'run' }>): Promise<void> {
    const member = this.#options.members[action.index];
    if (member === undefined) throw new Error(`group ${this.config.name} has no member ${action.index}`);
    const controller = new AbortController();
    this.#running.set(action.index, { life: action.life, controller });
    let ok = true;
    let reason = '';
    let found: 'started' | 'stopped' | undefined;
    try {
      switch (action.action) {
        case 'probe': {
          const result = await member.probe(controller.signal);
          if (result === 'started' || result === 'stopped') found = result;
          else {
            ok = false;
            reason = result.slice('failed:'.length);
          }
          break;
        }
        case 'start':
          await member.start(controller.signal);
          break;
        case 'stop':
          await member.stop(action.level, controller.signal);
          break;
        case 'monitor':
          await member.monitor(controller.signal);
          break;
      }
    } catch (thrown) {
      ok = false;
      reason = reasonOf(thrown);
    }
    if (this.#running.get(action.index)?.life === action.life) this.#running.delete(action.index);
    const { index, life } = action;
    this.take({ kind: 'memberResult', index, action: action.action, life, ok, reason, ...(found === undefined ? {} : { found }) });
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const at = nextTickMs(this.#state);
    if (at === null || this.#closed) return;
    this.#timer = setTimeout(() => this.take({ kind: 'tick' }), Math.max(1, at - this.#options.clock.nowMs()));
  }
}
