/** A group at work in virtual time: what src/cluster/group-runner.ts does, with members of the simulation. Every decision is in the real machine. */
import type { GroupConfig } from '../../src/config/cluster-types.js';
import { initialGroup, nextTickMs, step } from '../../src/cluster/group.js';
import type { GroupAction, GroupEvent, GroupState } from '../../src/cluster/group-types.js';
import type { SimMember } from './members.js';

export interface RunnerHooks {
  nowMs(): number;
  after(ms: number, run: () => void): void;
  changed(): void;
  phase(from: string, to: string): void;
  say(level: 'info' | 'warn' | 'error', sentence: string): void;
  selfFence(reason: string): void;
  /** a member was started or stopped although nothing is to be touched. */
  ran(action: string): void;
}

export class SimRunner {
  readonly config: GroupConfig;
  readonly members: readonly SimMember[];
  state: GroupState;
  private readonly hooks: RunnerHooks;
  private readonly queue: GroupEvent[] = [];
  private readonly cancels = new Map<number, () => void>();
  private working = false;
  private closed = false;
  private timer = 0;

  constructor(config: GroupConfig, members: readonly SimMember[], hooks: RunnerHooks) {
    this.config = config;
    this.members = members;
    this.hooks = hooks;
    this.state = initialGroup(config);
  }

  send(event: GroupEvent): void {
    this.queue.push(event);
    if (this.working || this.closed) return;
    this.working = true;
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) this.take(next);
    this.working = false;
    this.schedule();
    this.hooks.changed();
  }

  close(): void {
    this.closed = true;
    for (const member of this.members) member.close();
  }

  private take(event: GroupEvent): void {
    const before = this.state.phase;
    const { state, actions } = step(this.state, event, this.hooks.nowMs());
    this.state = state;
    for (const action of actions) this.carryOut(action);
    if (state.phase !== before) this.hooks.phase(before, state.phase);
  }

  private carryOut(action: GroupAction): void {
    switch (action.kind) {
      case 'run': {
        const { index, life } = action;
        if (this.state.maintenance && (action.action === 'start' || action.action === 'stop')) this.hooks.ran(action.action);
        const cancel = this.members[index]?.run(action.action, action.level, (outcome) => {
          this.cancels.delete(life);
          this.send({ kind: 'memberResult', index, action: action.action, life, ...outcome });
        });
        if (cancel !== undefined) this.cancels.set(life, cancel);
        return;
      }
      case 'abort':
        this.cancels.get(action.life)?.();
        return;
      case 'phase':
        this.hooks.say(action.to === 'failed' || action.to === 'stop-failed' ? 'error' : 'info', action.sentence);
        return;
      case 'note':
        this.hooks.say(action.level, action.sentence);
        return;
      case 'selfFence':
        this.hooks.selfFence(action.reason);
    }
  }

  private schedule(): void {
    const next = nextTickMs(this.state);
    if (next === null || this.closed) return;
    const id = ++this.timer;
    this.hooks.after(Math.max(1, Math.ceil(next - this.hooks.nowMs())), () => {
      if (id === this.timer && !this.closed) this.send({ kind: 'tick' });
    });
  }
}
