/**
 * Two or three routers on a network that loses, delays and doubles, with clocks that drift and processes that pause, stop and die. One schedule is
 * one seed. The machine under test is the real one; the kernel's queue and the sending thread are modelled as types.ts promises them.
 */
import { initialMachine, type MachineState, nextDeadlineMs } from '../../src/cluster/vrrp/machine-state.js';
import { step, type Stepped } from '../../src/cluster/vrrp/machine.js';
import { tickMs } from '../../src/cluster/vrrp/rules.js';
import type { VrrpAction, VrrpConfig, VrrpEvent } from '../../src/cluster/vrrp/types.js';
import { Judge } from './judge.js';

export type Stepper = (config: VrrpConfig, state: MachineState, event: VrrpEvent, nowMs: number) => Stepped;
export const realStepper: Stepper = (config, state, event, nowMs) => step(config, state, event, nowMs);

/** mulberry32: the same numbers for a seed everywhere. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }
  chance(part: number): boolean {
    return this.next() < part;
  }
  of<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)] as T;
  }
}

interface Packet {
  receivedMs: number;
  source: string;
  priority: number;
  intervalMs: number;
}

/** The thread that sends; a pause stops it with the rest of its process. */
interface Sender {
  on: boolean;
  priority: number;
  intervalMs: number;
  lapseMs: number;
  lastMs: number;
  longestGapMs: number;
  token: number;
}

export interface SimNode {
  readonly index: number;
  readonly config: VrrpConfig;
  readonly source: string;
  readonly rate: number;
  readonly offsetMs: number;
  /** null: not running. */
  state: MachineState | null;
  /** `process`: its kernel goes on receiving; `machine`: nothing does. */
  paused: 'process' | 'machine' | null;
  stalled: boolean;
  queue: Packet[];
  sender: Sender;
  held: boolean;
  /** was told so. */
  faulty: boolean;
  life: number;
  deadlineAt: number | null;
}

export interface Link {
  cut: boolean;
  loss: number;
  double: number;
  minMs: number;
  maxMs: number;
  /** when the newest packet arrives: a calm link keeps the order. */
  lastAt: number;
}

/** Packets the kernel keeps for a process that does not read. */
const queueKept = 24;

export class World {
  now = 0;
  readonly random: Random;
  readonly nodes: SimNode[];
  readonly judge: Judge;
  readonly links: Link[][];
  readonly latencyMs: number;
  readonly delayMs: number;
  readonly trace: ((line: string) => void) | null;
  readonly #stepper: Stepper;
  readonly #heap: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(configs: readonly VrrpConfig[], random: Random, stepper: Stepper, trace: ((line: string) => void) | null) {
    this.random = random;
    this.trace = trace;
    this.#stepper = stepper;
    const shortest = Math.min(...configs.map((each) => each.intervalMs));
    this.latencyMs = Math.min(2, shortest / 20);
    this.delayMs = Math.min(2, shortest / 20);
    this.nodes = configs.map((config, index) => ({
      index, config, source: `10.0.0.${index + 1}`, rate: 1 + random.between(-0.0005, 0.0005), offsetMs: random.between(0, 1e6), state: null, paused: null, stalled: false, queue: [], held: false, faulty: false, life: 0, deadlineAt: null,
      sender: { on: false, priority: 0, intervalMs: 0, lapseMs: 0, lastMs: 0, longestGapMs: 0, token: 0 },
    }));
    this.links = configs.map(() => configs.map(() => this.#calmLink()));
    this.judge = new Judge(this);
  }

  #calmLink(): Link {
    return { cut: false, loss: 0, double: 0, minMs: this.delayMs / 10, maxMs: this.delayMs, lastAt: 0 };
  }
  calmLinks(): void {
    for (const row of this.links) for (const link of row) Object.assign(link, this.#calmLink());
  }
  localMs(node: SimNode): number {
    return node.offsetMs + this.now * node.rate;
  }
  say(text: string): void {
    this.trace?.(`${this.now.toFixed(3).padStart(12)} ${text}`);
  }

  at(time: number, run: () => void): void {
    const heap = this.#heap;
    const entry = { at: Math.max(time, this.now), order: this.#order++, run };
    const before = (a: { at: number; order: number }, b: { at: number; order: number }): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !before(entry, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }
  #pop(): { at: number; run: () => void } | null {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined) return null;
    if (heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      let below = heap[child];
      const right = heap[child + 1];
      if (below === undefined) break;
      if (right !== undefined && (right.at < below.at || (right.at === below.at && right.order < below.order))) {
        child += 1;
        below = right;
      }
      if (last.at < below.at || (last.at === below.at && last.order < below.order)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
    return top;
  }

  /** Runs to a time; false once the judge has found something. */
  runTo(time: number): boolean {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.at > time || this.judge.violation !== null) break;
      const entry = this.#pop();
      if (entry === null) break;
      this.now = entry.at;
      entry.run();
      this.judge.look();
    }
    this.now = Math.max(this.now, time);
    if (this.judge.violation === null) this.judge.look();
    return this.judge.violation === null;
  }

  start(node: SimNode): void {
    if (node.state !== null) return;
    node.life += 1;
    Object.assign(node, { queue: [], paused: null, stalled: false, held: false, faulty: false, deadlineAt: null, state: initialMachine(node.config, this.localMs(node)) });
    this.say(`${node.source} starts, priority ${node.config.priority}`);
    this.judge.started(node);
    this.give(node, { kind: 'start', source: node.source });
    this.#ticks(node, node.life);
  }
  #ticks(node: SimNode, life: number): void {
    if (node.life !== life || node.state === null) return;
    this.run(node);
    this.at(this.now + tickMs(node.config) * this.random.between(0.9, 1), () => this.#ticks(node, life));
  }
  /** Gone without a word; who guards its addresses takes them away. */
  crash(node: SimNode): void {
    this.say(`${node.source} dies`);
    Object.assign(node, { state: null, held: false, paused: null, stalled: false, life: node.life + 1 });
    node.sender.on = false;
    node.sender.token += 1;
  }
  stop(node: SimNode): void {
    if (node.state === null) return;
    this.say(`${node.source} is stopped`);
    this.give(node, { kind: 'stop' });
    this.judge.stopped(node);
    this.crash(node);
  }
  pause(node: SimNode, kind: 'process' | 'machine'): void {
    this.say(`${node.source} is frozen (${kind})`);
    node.paused = kind;
    this.judge.paused(node);
  }
  wake(node: SimNode, life: number): void {
    if (node.life !== life || node.paused === null) return;
    this.say(`${node.source} wakes`);
    node.paused = null;
    this.judge.woke(node);
    // the thread and the event loop wake in any order
    const loop = (): void => this.run(node);
    const thread = (): void => this.#fire(node, node.sender.token);
    const both = this.random.chance(0.5) ? [loop, thread] : [thread, loop];
    for (const each of both) each();
  }
  stall(node: SimNode, forMs: number): void {
    const { life } = node;
    node.stalled = true;
    this.say(`${node.source}: its event loop is held up for ${forMs.toFixed(1)} ms`);
    this.at(this.now + forMs, () => {
      if (node.life !== life) return;
      node.stalled = false;
      this.run(node);
    });
  }

  /** One turn of the event loop: what the thread sent, what came in, the time. */
  run(node: SimNode): void {
    if (node.state === null || node.paused !== null || node.stalled) return;
    const { life, sender } = node;
    if (node.state.phase === 'master') {
      this.give(node, { kind: 'advertised', lastMs: sender.lastMs, longestGapMs: sender.longestGapMs });
      sender.longestGapMs = 0;
    }
    let heardUntilMs = this.localMs(node);
    for (let count = this.random.whole(1, 6); count > 0 && node.queue.length > 0; count--) {
      const packet = node.queue.shift();
      if (packet === undefined) break;
      if (node.queue.length > 0) heardUntilMs = packet.receivedMs;
      else heardUntilMs = this.localMs(node);
      this.give(node, { kind: 'advert', receivedMs: packet.receivedMs, advert: { source: packet.source, priority: packet.priority, intervalMs: packet.intervalMs } });
    }
    if (node.queue.length > 0) this.at(this.now + 0.01, () => this.#again(node, life));
    this.give(node, { kind: 'tick', heardUntilMs });
    const deadline = node.state === null ? null : nextDeadlineMs(node.state);
    if (deadline === null || deadline === node.deadlineAt) return;
    node.deadlineAt = deadline;
    const at = (deadline - node.offsetMs) / node.rate;
    // an advert in between has made it another one
    if (at > this.now) this.at(at + this.random.between(0, this.latencyMs), () => node.deadlineAt === deadline && this.#again(node, life));
  }
  #again(node: SimNode, life: number): void {
    if (node.life === life) this.run(node);
  }

  give(node: SimNode, event: VrrpEvent): void {
    const before = node.state;
    if (before === null) return;
    const result = this.#stepper(node.config, before, event, this.localMs(node));
    node.state = result.state;
    this.judge.stepped(node, before, event, result);
    for (const action of result.actions) this.#carryOut(node, action);
    this.judge.carriedOut(node);
  }

  #carryOut(node: SimNode, action: VrrpAction): void {
    const { sender } = node;
    if (action.kind === 'log') this.say(`${node.source}   ${action.text}`);
    else if (action.kind === 'takeAddresses') node.held = true;
    else if (action.kind === 'dropAddresses') node.held = false;
    else if (action.kind === 'resign') this.#send(node, 0);
    else if (action.kind === 'silence') {
      sender.on = false;
      sender.token += 1;
    } else if (action.kind === 'advertise') {
      const fresh = !sender.on;
      Object.assign(sender, { on: true, priority: action.priority, intervalMs: action.intervalMs, lapseMs: action.lapseMs });
      if (action.atOnce) {
        if (!fresh) sender.longestGapMs = Math.max(sender.longestGapMs, this.localMs(node) - sender.lastMs);
        else sender.longestGapMs = 0;
        this.#sendPeriodic(node);
      }
    }
  }
  #sendPeriodic(node: SimNode): void {
    const { sender } = node;
    sender.lastMs = this.localMs(node);
    sender.token += 1;
    const { token } = sender;
    this.#send(node, sender.priority);
    this.at(this.now + sender.intervalMs / node.rate, () => this.#fire(node, token));
  }
  #fire(node: SimNode, token: number): void {
    const { sender } = node;
    if (!sender.on || sender.token !== token || node.paused !== null) return;
    const gap = this.localMs(node) - sender.lastMs;
    if (gap < sender.intervalMs * 0.999) return;
    if (gap > sender.lapseMs) {
      sender.on = false;
      this.say(`${node.source}   its thread is silent after ${gap.toFixed(1)} ms`);
      return;
    }
    sender.longestGapMs = Math.max(sender.longestGapMs, gap);
    this.#sendPeriodic(node);
  }
  #send(node: SimNode, priority: number): void {
    this.judge.sent(node, priority);
    this.say(`${node.source}   advert ${priority}`);
    for (const other of this.nodes) {
      const link = this.links[node.index]?.[other.index];
      if (other === node || link === undefined || link.cut || this.random.chance(link.loss)) continue;
      for (let copies = this.random.chance(link.double) ? 2 : 1; copies > 0; copies--)
        this.#travel(node, other, link, priority);
    }
  }
  #travel(node: SimNode, other: SimNode, link: Link, priority: number): void {
    const at = this.now + this.random.between(link.minMs, link.maxMs);
    const inOrder = link.maxMs <= this.delayMs ? Math.max(at, Math.min(link.lastAt, this.now + this.delayMs)) : at;
    link.lastAt = inOrder;
    this.at(inOrder, () => this.#arrive(node, other, priority));
  }
  #arrive(from: SimNode, to: SimNode, priority: number): void {
    if (to.state === null || to.paused === 'machine' || to.queue.length >= queueKept) return;
    const packet = { receivedMs: this.localMs(to), source: from.source, priority, intervalMs: from.config.intervalMs };
    to.queue.push(packet);
    this.judge.received(to, packet);
    const { life } = to;
    this.at(this.now + this.random.between(0, this.latencyMs), () => this.#again(to, life));
  }
}
