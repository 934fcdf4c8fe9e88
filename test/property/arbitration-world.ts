/**
 * Two nodes, one volume, a register and the ways between, for the properties of arbitration: the agents and the register are the real ones,
 * the volume is a model of what the engine does about fencing (native/core/fencing.cc). Everything follows from the random numbers given in.
 */
import type { Circumstances } from '../../src/arbiter/arbiter.js';
import type { RegisterAnswer, RegisterRequest } from '../../src/arbiter/messages.js';
import { applyRequest, type Cell, newCell, restarted } from '../../src/arbiter/register.js';
import {
  type ArbitrationEvent,
  type ArbitrationState,
  type Durable,
  lookAgainInMs,
  startArbitration,
  stepArbitration,
  unsaved,
  type View,
} from '../../src/daemon/arbitration.js';

export const names = ['alpha', 'beta'] as const;
const pair: [string, string] = ['alpha', 'beta'];
const key = 'volume/r0/0';
const timeoutMs = 500;

/** mulberry32: small, fast, the same everywhere. */
export function random(seed: number): (below: number) => number {
  let a = seed >>> 0;
  return (below) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

interface Node {
  alive: boolean;
  life: number;
  pausedUntil: number;
  stable: Durable | null;
  agent: ArbitrationState;
  primary: boolean;
  /** the disk claims to be good. */
  good: boolean;
  /** and somebody said so: a node alone does not know it of itself. */
  confirmed: boolean;
  /** it is being resynced. */
  target: boolean;
  frozen: boolean;
  /** confirmed to be out, and not back since. */
  peerOut: boolean;
  fenceOpen: boolean;
  fenceRunning: number;
  /** what that asks about is our own disk. */
  fenceSelf: boolean;
  fenceAgain: boolean;
  promoting: number;
  /** number of the last write its disk has. */
  version: number;
  /** and of the last one it made as Primary. */
  newest: number;
  nextFence: number;
  diskBroken: boolean;
}

export interface World {
  violations: string[];
  served: number;
  denials: number;
  swaps: number;
}

export class ArbitrationWorld implements World {
  violations: string[] = [];
  served = 0;
  denials = 0;
  swaps = 0;
  private now = 0;
  private readonly draw: (below: number) => number;
  private queue: { at: number; order: number; run: () => void }[] = [];
  private order = 0;
  private cell: Cell = { ...newCell(pair), vouched: true };
  private backup: Cell = this.cell;
  private incarnation = 1;
  private connected = true;
  private linkWanted = true;
  private acked = 0;
  /** wrote without the other since both were last together. */
  private readonly wroteAlone = [false, false];
  private readonly nodes: Node[];
  private slowUntil = 0;
  private deafUntil = 0;
  private readonly lostUntil = [0, 0];
  private diskFullUntil = 0;
  private readonly breakRule: string;
  private readonly trace: boolean;

  /** `breakRule` leaves one rule out, to see that the properties notice. */
  constructor(seed: number, breakRule = '', trace = false) {
    this.trace = trace;
    this.draw = random(seed);
    this.breakRule = breakRule;
    this.nodes = names.map((name, index) => ({
      ...{ alive: true, life: 1, pausedUntil: 0, stable: null, agent: startArbitration(key, name, names[1 - index] ?? '', null) },
      ...{ primary: false, good: true, confirmed: true, target: false, frozen: false, peerOut: false, fenceOpen: false, fenceRunning: 0 },
      ...{ fenceSelf: false, fenceAgain: false, promoting: 0, version: 0, newest: 0, nextFence: 1, diskBroken: false },
    }));
    this.lookLater(0);
    this.lookLater(1);
  }

  private say(text: () => string): void {
    if (this.trace) console.log(`${this.now} ${text()}`);
  }

  private node(i: number): Node {
    const node = this.nodes[i];
    if (node === undefined) throw new Error('two nodes');
    return node;
  }

  // --- time ----------------------------------------------------------------------------------------------------------------------

  private at(at: number, run: () => void): void {
    const entry = { at, order: this.order++, run };
    let i = this.queue.length;
    while (i > 0) {
      const other = this.queue[i - 1];
      if (other === undefined || other.at > at || (other.at === at && other.order > entry.order)) break;
      i -= 1;
    }
    this.queue.splice(i, 0, entry);
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.queue.at(-1);
      if (next === undefined || next.at > end) break;
      this.queue.pop();
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  // --- the volume ----------------------------------------------------------------------------------------------------------------

  private view(i: number): View {
    const [own, other] = [this.node(i), this.node(1 - i)];
    return {
      primary: own.primary,
      attached: own.good || own.target,
      upToDate: own.good && own.confirmed && !own.target,
      peerUpToDate: this.connected && other.good && other.confirmed && !other.target,
      connected: this.connected,
      quiet: this.connected && !own.target && !other.target,
      frozen: own.frozen,
      dataGeneration: String(own.version),
    };
  }

  private isTogether(): boolean {
    const [a, b] = [this.node(0), this.node(1)];
    return this.connected && a.good && a.confirmed && b.good && b.confirmed && !a.target && !b.target;
  }

  /** What the engine thinks complete: bit 0 own, bit 1 peer. */
  private complete(i: number): number {
    const view = this.view(i);
    return (view.upToDate ? 1 : 0) | (view.connected && view.peerUpToDate ? 2 : 0);
  }

  /** After every change of disks or link: freeze what must be confirmed. `before` is what was complete for each node. */
  private changed(before: [number, number], left: boolean): void {
    for (const i of [0, 1] as const) {
      const node = this.node(i);
      const now = this.complete(i);
      if (!node.alive) continue;
      if (now === 3) node.peerOut = false;
      if (!node.primary || now === 3) {
        node.fenceOpen = false;
        node.frozen = false;
        continue;
      }
      const lost = (before[i] & ~now) !== 0 || (left && (node.fenceOpen || now === 1));
      if (lost && now === 1 && node.peerOut) continue;
      if (lost && now !== 0) {
        node.frozen = true;
        node.fenceOpen = true;
        this.askFence(i);
      }
      if (now === 0) node.frozen = true;
    }
    if (this.isTogether()) this.wroteAlone.fill(false);
  }

  private askFence(i: number): void {
    const node = this.node(i);
    const self = (this.complete(i) & 1) === 0;
    // the core does not wait for whether its own disk is out when that is good again
    if (node.fenceRunning !== 0 && (self || !node.fenceSelf)) {
      node.fenceAgain = true;
      return;
    }
    node.fenceRunning = node.nextFence++;
    node.fenceAgain = false;
    node.fenceSelf = self;
    this.step(i, { type: 'fence', id: node.fenceRunning, self });
  }

  private endFence(i: number, id: number, exitCode: number): void {
    const node = this.node(i);
    if (exitCode === 6) this.denials += 1;
    if (id === node.promoting) {
      node.promoting = 0;
      if (exitCode !== 7 || this.connected || node.target || !node.good) return;
      node.peerOut = node.confirmed = true;
      node.primary = true;
      this.begins(i);
      return;
    }
    if (id !== node.fenceRunning) return;
    node.fenceRunning = 0;
    if (node.fenceAgain) {
      node.fenceAgain = false;
      if (node.fenceOpen || !this.connected) this.askFence(i);
      return;
    }
    const self = (this.complete(i) & 1) === 0;
    if (exitCode === 7) {
      node.fenceOpen = false;
      node.frozen = this.complete(i) === 0;
      node.peerOut = !self;
      if (!node.frozen && node.primary && !this.connected) this.begins(i);
    } else if (this.connected) node.frozen = this.complete(i) === 0;
    else if (exitCode === 6) node.good = false;
  }

  /** Node `i` goes on without its peer: it has to hold every acknowledged write, and to be the only one. */
  private begins(i: number): void {
    const [own, other] = [this.node(i), this.node(1 - i)];
    this.served += 1;
    this.say(() => `${names[i]} goes on alone`);
    if (own.version < this.acked) this.violations.push(`${names[i]} goes on with write ${own.version}, and ${this.acked} was acknowledged`);
    if (other.alive && other.primary && !other.frozen) this.violations.push(`${names[i]} goes on while ${names[1 - i]} serves`);
  }

  /** The application writes wherever it can. */
  private writes(): void {
    for (const i of [0, 1] as const) {
      const [own, other] = [this.node(i), this.node(1 - i)];
      if (!own.alive || !own.primary || own.frozen || this.now < own.pausedUntil) continue;
      const complete = this.complete(i);
      if (complete === 0) continue;
      this.acked += 1;
      own.newest = this.acked;
      if ((complete & 1) !== 0) own.version = this.acked;
      if ((complete & 2) !== 0) other.version = this.acked;
      if (complete === 3) continue;
      const writer = complete === 1 ? i : 1 - i;
      this.wroteAlone[writer] = true;
      if (this.wroteAlone[1 - writer]) this.violations.push('both disks were written without each other');
    }
  }

  private link(up: boolean): void {
    const before: [number, number] = [this.complete(0), this.complete(1)];
    const [a, b] = [this.node(0), this.node(1)];
    if (up === this.connected) return;
    if (up) {
      if (!a.alive || !b.alive || (a.primary && b.primary)) return;
      for (const [own, other] of [[a, b], [b, a]] as const) {
        // a Primary without its disk knows which data it needs
        if (own.primary && own.diskBroken && !other.diskBroken && other.version < own.newest) return;
      }
      this.connected = true;
      // generations are compared: whoever lacks something gets it
      if (!a.diskBroken && !b.diskBroken) {
        for (const [own, other] of [[a, b], [b, a]] as const) {
          own.good = own.confirmed = true;
          own.target = own.version < other.version;
        }
      } else for (const [own, other] of [[a, b], [b, a]] as const) if (own.primary && own.diskBroken && !other.diskBroken) other.good = other.confirmed = true;
      this.changed(before, false);
      for (const i of [0, 1] as const) {
        const node = this.node(i);
        if (!node.frozen || this.isTogether()) continue;
        if (node.fenceOpen) this.askFence(i);
        else node.frozen = this.complete(i) === 0;
      }
      const life = [a.life, b.life].join();
      this.at(this.now + 50 + this.draw(3000), () => {
        if (this.connected && [a.life, b.life].join() === life) this.synced();
      });
      return;
    }
    this.connected = false;
    // a target that lost its source knows that it lacks something
    for (const node of [a, b]) {
      if (node.target) Object.assign(node, { target: false, good: false });
      if (!node.primary) node.confirmed = false;
    }
    this.changed(before, true);
  }

  private synced(): void {
    const before: [number, number] = [this.complete(0), this.complete(1)];
    for (const i of [0, 1] as const) {
      const [own, other] = [this.node(i), this.node(1 - i)];
      if (!own.target || other.target || !other.good) continue;
      own.target = false;
      own.version = other.version;
    }
    this.changed(before, false);
  }

  private breakDisk(i: number): void {
    const before: [number, number] = [this.complete(0), this.complete(1)];
    Object.assign(this.node(i), { good: false, target: false, diskBroken: true });
    this.changed(before, false);
  }

  private mendDisk(i: number): void {
    const node = this.node(i);
    if (!node.diskBroken || !node.alive) return;
    const before: [number, number] = [this.complete(0), this.complete(1)];
    node.diskBroken = false;
    // a Primary without its disk does not take it back alone; otherwise it claims what it claimed when it went
    const other = this.node(1 - i);
    if (this.connected && !other.diskBroken) {
      // compared as at a connect; the one that is behind gets what it lacks
      node.good = node.confirmed = other.good = other.confirmed = true;
      node.target = node.version < other.version;
      other.target = other.version < node.version;
      const lives = [node.life, other.life].join();
      this.at(this.now + 50 + this.draw(3000), () => {
        if (this.connected && [node.life, other.life].join() === lives) this.synced();
      });
    } else Object.assign(node, { good: !node.primary, confirmed: false });
    this.changed(before, false);
  }

  private promote(i: number): void {
    const [own, other] = [this.node(i), this.node(1 - i)];
    if (!own.alive || own.primary || own.promoting !== 0 || this.now < own.pausedUntil) return;
    if (this.connected) {
      if (other.primary || this.complete(i) === 0) return;
      own.primary = true;
      own.peerOut = false;
      const complete = this.complete(i);
      if (complete !== 3) {
        own.frozen = true;
        own.fenceOpen = true;
        this.askFence(i);
      }
      return;
    }
    if (!own.good || own.target) return;
    own.promoting = own.nextFence++;
    this.step(i, { type: 'fence', id: own.promoting, self: false });
  }

  private demote(i: number): void {
    Object.assign(this.node(i), { primary: false, frozen: false, fenceOpen: false, peerOut: false });
  }

  private crash(i: number): void {
    const node = this.node(i);
    if (!node.alive) return;
    this.link(false);
    const known = node.good && !node.target && !node.diskBroken;
    Object.assign(node, { alive: false, life: node.life + 1, primary: false, frozen: false, peerOut: false, fenceOpen: false });
    Object.assign(node, { fenceRunning: 0, fenceAgain: false, promoting: 0, target: false, pausedUntil: 0, good: known, confirmed: false });
    const { life } = node;
    this.at(this.now + 100 + this.draw(4000), () => {
      if (node.alive || node.life !== life) return;
      node.alive = true;
      node.agent = startArbitration(key, names[i] ?? '', names[1 - i] ?? '', node.stable);
      this.lookLater(i);
      if (this.linkWanted) this.link(true);
    });
  }

  // --- agents and register ---------------------------------------------------------------------------------------------------------

  private lookLater(i: number): void {
    const node = this.node(i);
    const { life } = node;
    this.at(this.now + lookAgainInMs(node.agent, this.now), () => {
      if (node.life !== life || !node.alive) return;
      if (this.now >= node.pausedUntil) this.step(i, { type: 'look' });
      this.lookLater(i);
    });
  }

  private step(i: number, event: ArbitrationEvent): void {
    const node = this.node(i);
    const before = node.agent;
    const { state, actions } = stepArbitration(before, event, this.view(i), this.now);
    node.agent = state;
    if (event.type !== 'look' || actions.length > 0)
      this.say(() => `${names[i]} ${JSON.stringify(event)} ${JSON.stringify(this.view(i))} -> ${JSON.stringify(actions)}`);
    for (const action of actions) {
      if (action.type === 'save') {
        if (this.now < this.diskFullUntil) {
          node.agent = unsaved(before, state, 'no space left', this.now);
          for (const other of actions) if (other.type === 'end-fence' && other.exitCode === 5) this.later(() => this.endFence(i, other.id, 5));
          return;
        }
        node.stable = action.durable;
      } else if (action.type === 'end-fence') {
        const { life } = node;
        this.later(() => {
          if (node.life === life) this.endFence(i, action.id, action.exitCode);
        });
      } else if (action.type === 'ask') this.send(i, action.id, action.request, action.circumstances);
      // here a connection that is shown is one that works
    }
  }

  private later(run: () => void): void {
    this.at(this.now, run);
  }

  private send(i: number, id: number, request: RegisterRequest, _circumstances: Circumstances): void {
    const node = this.node(i);
    const { life } = node;
    const delay = (): number => 1 + this.draw(this.now < this.slowUntil ? 4000 : 5);
    const tell = (event: ArbitrationEvent): void => {
      if (node.life !== life || !node.alive) return;
      if (this.now < node.pausedUntil) this.at(node.pausedUntil, () => tell(event));
      else this.step(i, event);
    };
    this.at(this.now + timeoutMs, () => tell({ type: 'no-answer', id, problem: 'no answer' }));
    if (this.now < (this.lostUntil[i] ?? 0)) return;
    const copies = this.draw(8) === 0 ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      // what is on its way arrives, whatever becomes of the one who sent it; a copy may be much later
      this.at(this.now + delay() + (copy === 0 ? 0 : this.draw(8000)), () => {
        const answer = this.register(request);
        if (this.now < this.deafUntil || this.now < (this.lostUntil[i] ?? 0)) return;
        this.at(this.now + delay(), () => tell({ type: 'answer', id, answer }));
      });
    }
  }

  private register(request: RegisterRequest): RegisterAnswer {
    const { cell, answer, refused } = applyRequest(this.cell, String(this.incarnation), request);
    if (refused !== '') throw new Error(refused);
    this.cell = cell;
    if (answer.done && request.op === 'swap') this.swaps += 1;
    this.say(() => `register ${JSON.stringify(request)} -> ${JSON.stringify(answer)}`);
    return answer;
  }

  private restart(): void {
    this.incarnation += 1;
    this.cell = this.breakRule === 'vouching' ? this.cell : restarted(this.cell);
  }

  // --- what happens ----------------------------------------------------------------------------------------------------------------

  /** One thing that happens: `what` chooses, `a` and `b` say to whom and for how long. */
  happen(what: number, a: number, b: number): void {
    this.say(() => `happens ${what} ${a} ${b}`);
    const i = a % 2;
    const ms = 50 + (b % 4000);
    switch (what % 20) {
      case 0:
      case 1:
        this.linkWanted = false;
        this.link(false);
        break;
      case 2:
      case 3:
      case 4:
        this.linkWanted = true;
        this.link(true);
        break;
      case 5:
      case 6:
      case 7:
        this.promote(i);
        break;
      case 8:
        this.demote(i);
        break;
      case 9:
      case 10:
        this.crash(i);
        break;
      case 11:
        this.node(i).pausedUntil = this.now + ms;
        break;
      case 12:
        this.breakDisk(i);
        break;
      case 13:
        this.mendDisk(i);
        break;
      case 14:
        this.slowUntil = this.now + ms;
        break;
      case 15:
        this.lostUntil[i] = this.now + ms;
        if (b % 3 === 0) this.lostUntil[1 - i] = this.now + ms;
        break;
      case 16:
        this.deafUntil = this.now + ms;
        break;
      case 17:
        this.restart();
        break;
      case 18:
        if (b % 2 === 0) this.backup = this.cell;
        else {
          this.cell = this.breakRule === 'vouching' ? { ...this.backup, vouched: true } : this.backup;
          this.restart();
        }
        break;
      default:
        this.diskFullUntil = this.now + ms;
    }
  }

  /** Time goes by, and the application writes now and then. */
  pass(ms: number): void {
    this.writes();
    this.run(ms);
    this.writes();
  }

  /** All is well again. Returns why it did not heal; ''. */
  heal(): string {
    this.slowUntil = this.deafUntil = this.diskFullUntil = 0;
    this.lostUntil.fill(0);
    for (const node of this.nodes) node.pausedUntil = 0;
    this.run(9000);
    const [a, b] = [this.node(0), this.node(1)];
    // who is out gives way, as its cluster manager makes it
    for (const i of [0, 1] as const) if (this.node(i).primary && this.node(i).frozen && this.node(1 - i).primary) this.demote(i);
    if (a.primary && b.primary) return 'both are Primary';
    this.mendDisk(0);
    this.mendDisk(1);
    this.linkWanted = true;
    this.link(true);
    this.run(12_000);
    const state = `${this.connected} ${JSON.stringify(this.view(0))} ${JSON.stringify(this.view(1))} ${JSON.stringify(this.cell)}`;
    if (!this.isTogether()) return `not together: ${state}`;
    if (a.frozen || b.frozen) return `still frozen: ${state}`;
    if (!this.cell.vouched || this.cell.record.inSync.length !== 2) return `the register does not say both: ${state}`;
    return '';
  }
}
