/** The arbiter of the simulation: the real register, ways to it that fail, and an agent (the real arbitration.ts) for each key of a node. */
import type { RegisterAnswer, RegisterRequest } from '../../src/arbiter/messages.js';
import { applyRequest, type Cell, newCell, restarted } from '../../src/arbiter/register.js';
import { type ArbitrationEvent, type ArbitrationState, type Durable, fenceExit, lookAgainInMs, startArbitration, stepArbitration, type View } from '../../src/daemon/arbitration.js';
import type { Scheduler } from './scheduler.js';

export type Index = 0 | 1;
export const names = ['alpha', 'beta'] as const;
export const other = (i: Index): Index => (i === 0 ? 1 : 0);

const timeoutMs = 500;

export class ArbiterSim {
  up = true;
  slow = false;
  /** answers get lost, requests come through. */
  deaf = false;
  /** a rule left out, to see that the judge notices: every swap is done, whoever asks and whatever is recorded. */
  compliant = false;
  swaps = 0;
  private cells = new Map<string, Cell>();
  private backup = new Map<string, Cell>();
  private incarnation = 1;

  apply(request: RegisterRequest): RegisterAnswer {
    const cell = this.cells.get(request.key) ?? newCell([names[0], names[1]]);
    const asked = this.compliant && request.op === 'swap' ? { ...request, incarnation: String(this.incarnation), expectedEpoch: cell.record.epoch } : request;
    const outcome = applyRequest(this.compliant ? { ...cell, vouched: true } : cell, String(this.incarnation), asked);
    if (outcome.refused !== '') throw new Error(outcome.refused);
    this.cells.set(request.key, outcome.cell);
    if (outcome.answer.done && request.op === 'swap') this.swaps += 1;
    return outcome.answer;
  }

  remember(): void {
    this.backup = new Map(this.cells);
  }

  /** A new process; `old`: with the copy that was remembered. */
  restart(old: boolean): void {
    this.incarnation += 1;
    if (old) this.cells = new Map(this.backup);
    for (const [key, cell] of this.cells) this.cells.set(key, restarted(cell));
  }
}

/** What an agent needs of the drbdtsd it lives in. */
export interface AgentHome {
  readonly index: Index;
  readonly scheduler: Scheduler;
  readonly arbiter: ArbiterSim;
  /** runs it in drbdtsd: now, after its pause, or never when it has died meanwhile. */
  inDaemon(run: () => void): void;
  /** the same, `ms` later. */
  daemonAfter(ms: number, run: () => void): void;
  /** requests come through, answers come back. */
  reachesArbiter(): { there: boolean; back: boolean };
  statusChanged(): void;
  say(text: () => string): void;
}

export class Agent {
  state: ArbitrationState;
  private readonly home: AgentHome;
  private readonly view: () => View;
  private stable: Durable | null = null;
  private readonly waiting = new Map<number, (exitCode: number) => void>();
  private nextFence = 1;
  private life = 0;
  private last = '';

  constructor(home: AgentHome, key: string, tracksHolder: boolean, view: () => View) {
    this.home = home;
    this.view = view;
    this.state = startArbitration(key, names[home.index], names[other(home.index)], null, { tracksHolder });
  }

  /** drbdtsd has started: what was on stable storage, and nothing else. */
  start(): void {
    const { key, self, peer, tracksHolder } = this.state;
    this.life += 1;
    this.waiting.clear();
    this.state = startArbitration(key, self, peer, this.stable, { tracksHolder });
    this.last = '';
    this.step({ type: 'look' });
    this.lookLater();
  }

  fence(self: boolean, done: (exitCode: number) => void): number {
    const id = this.nextFence++;
    this.waiting.set(id, done);
    this.step({ type: 'fence', id, self });
    return id;
  }

  giveUp(id: number): void {
    this.step({ type: 'fence-gone', id });
    this.endFence(id, fenceExit.unreachable);
  }

  look(): void {
    this.step({ type: 'look' });
  }

  private lookLater(): void {
    const { life } = this;
    this.home.daemonAfter(lookAgainInMs(this.state, this.home.scheduler.now), () => {
      if (life !== this.life) return;
      this.step({ type: 'look' });
      this.lookLater();
    });
  }

  private endFence(id: number, exitCode: number): void {
    const done = this.waiting.get(id);
    this.waiting.delete(id);
    if (done !== undefined) this.home.daemonAfter(0, () => done(exitCode));
  }

  private step(event: ArbitrationEvent): void {
    const { home } = this;
    const { state, actions } = stepArbitration(this.state, event, this.view(), home.scheduler.now);
    this.state = state;
    for (const action of actions) {
      if (action.type === 'save') this.stable = action.durable;
      else if (action.type === 'end-fence') {
        home.say(() => `${state.key}: fencing answered with ${action.exitCode}`);
        this.endFence(action.id, action.exitCode);
      } else if (action.type === 'ask') this.send(action.id, action.request);
      else home.say(() => `${state.key}: the other node went on alone; is it there?`);
    }
    const text = `${state.denied} ${state.fence !== null} ${state.problem} ${state.durable.record.inSync.join()} ${state.reachable}`;
    if (text === this.last) return;
    this.last = text;
    home.say(() => `${state.key}: epoch ${state.durable.record.epoch}, in sync ${state.durable.record.inSync.join()}${state.fence === null ? '' : ', asking'}${state.denied ? ', denied' : ''} ${state.problem}`);
    home.statusChanged();
  }

  private send(id: number, request: RegisterRequest): void {
    const { home } = this;
    const { scheduler, arbiter } = home;
    const { life } = this;
    const tell = (event: ArbitrationEvent): void => home.inDaemon(() => {
      if (life === this.life) this.step(event);
    });
    const delay = (): number => 1 + scheduler.draw(arbiter.slow ? 3000 : 3);
    scheduler.after(timeoutMs, () => tell({ type: 'no-answer', id, problem: 'no answer' }));
    if (!home.reachesArbiter().there) return;
    const copies = scheduler.draw(16) === 0 ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      scheduler.after(delay() + (copy === 0 ? 0 : scheduler.draw(5000)), () => {
        if (!arbiter.up) return;
        const answer = arbiter.apply(request);
        home.say(() => `register: ${request.op} of ${request.node} for ${request.key} -> ${answer.done ? 'done' : 'as it is'}, epoch ${answer.record.epoch} ${answer.record.inSync.join()}${answer.vouched ? '' : ' (not vouched)'}`);
        if (arbiter.deaf || !home.reachesArbiter().back) return;
        scheduler.after(delay(), () => tell({ type: 'answer', id, answer }));
      });
    }
  }
}

/** A group without a volume in drbdtsd: what clusterd says takes the place of what an engine would see (src/daemon/arbiters.ts). */
export class GroupRecord {
  readonly agent: Agent;
  private readonly home: AgentHome;
  private holds = false;
  private peerGone = true;
  private claiming: ((exitCode: number) => void)[] | null = null;
  private life = 0;

  constructor(home: AgentHome, group: string) {
    this.home = home;
    this.agent = new Agent(home, `group/${group}`, true, () => this.view());
  }

  start(): void {
    this.life += 1;
    this.holds = false;
    this.peerGone = true;
    this.claiming = null;
    this.agent.start();
  }

  claim(peerGone: boolean, done: (exitCode: number) => void): void {
    this.peerGone = peerGone;
    if (!peerGone) {
      this.holds = true;
      this.agent.look();
      done(fenceExit.out);
      return;
    }
    if (this.claiming !== null) {
      this.claiming.push(done);
      return;
    }
    this.claiming = [done];
    const { life } = this;
    const id = this.agent.fence(false, (exitCode) => {
      if (life !== this.life) return;
      if (exitCode === fenceExit.out) this.holds = true;
      const waiting = this.claiming ?? [];
      this.claiming = null;
      this.agent.look();
      for (const each of waiting) each(exitCode);
    });
    this.home.daemonAfter(3000, () => {
      if (life === this.life) this.agent.giveUp(id);
    });
  }

  release(peerGone: boolean): void {
    this.holds = false;
    this.peerGone = peerGone;
    this.agent.look();
  }

  private view(): View {
    const together = !this.peerGone;
    return { primary: this.holds, attached: true, upToDate: true, peerUpToDate: together, connected: together, quiet: together, frozen: this.claiming !== null, dataGeneration: '' };
  }
}
