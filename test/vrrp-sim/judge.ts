/**
 * Watches a world and knows nothing of the machine but its phase, its addresses and what it does. What must hold:
 *
 *   always    no address and no advert without mastership; no part in it with a fault; no address that is touched and no advert sent by one that did
 *             not send for longer than others wait; nobody takes over while the last advert that must keep it is younger than its Master_Down;
 *             nobody that slept wakes as master without having listened
 *   calm      (all nodes hear each other, nothing is paused or held up) two masters for no longer than an advert travels, from one interval on
 *   settled   (calm for as long as the protocol needs, see schedule.ts) exactly one master, and none with preempt is better than it
 */
import { type MachineState, priorityOf } from '../../src/cluster/vrrp/machine-state.js';
import type { Stepped } from '../../src/cluster/vrrp/machine.js';
import { standardRules } from '../../src/cluster/vrrp/rules.js';
import type { VrrpEvent } from '../../src/cluster/vrrp/types.js';
import type { SimNode, World } from './world.js';

interface Heard {
  receivedMs: number;
  source: string;
  priority: number;
  intervalMs: number;
}

interface Notes {
  /** adverts that its kernel took, newest last; no more than matter. */
  heard: Heard[];
  /** when priority 0 came in, newest last. */
  zeros: number[];
  enteredMs: number;
  enteredFresh: boolean;
  startedMs: number;
  /** since the start it has only been a backup that heard lower ones. */
  onlyLower: boolean;
  changedMs: number;
  pausedMs: number;
  wokeMs: number;
  listenedBefore: boolean;
}

const heardKept = 12;

export class Judge {
  violation: string | null = null;
  /** something is cut, lossy, paused, held up: nothing is asked of anybody. */
  troubles = 0;
  calmSince = 0;
  settledFrom = Number.POSITIVE_INFINITY;
  bestFrom = Number.POSITIVE_INFINITY;
  takeovers = 0;
  checks = 0;
  readonly #world: World;
  readonly #notes = new Map<SimNode, Notes>();
  #twoSince: number | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  fail(text: string): void {
    this.violation ??= `at ${this.#world.now.toFixed(3)} ms: ${text}`;
  }
  #of(node: SimNode): Notes {
    let notes = this.#notes.get(node);
    if (notes === undefined) {
      notes = { heard: [], zeros: [], enteredMs: 0, enteredFresh: true, startedMs: 0, onlyLower: true, changedMs: Number.NEGATIVE_INFINITY, pausedMs: 0, wokeMs: Number.NEGATIVE_INFINITY, listenedBefore: false };
      this.#notes.set(node, notes);
    }
    return notes;
  }

  trouble(): void {
    this.troubles += 1;
    this.settledFrom = Number.POSITIVE_INFINITY;
  }
  calm(boundMs: number): void {
    this.troubles -= 1;
    this.expect(boundMs);
  }
  /** From now on there must be one master within `boundMs`, and the best one within `bestMs`. */
  expect(boundMs: number, bestMs = boundMs): void {
    this.bestFrom = this.#world.now + bestMs;
    this.calmSince = this.#world.now;
    this.settledFrom = this.#world.now + boundMs;
    this.#twoSince = null;
  }

  started(node: SimNode): void {
    this.#notes.delete(node);
    const notes = this.#of(node);
    notes.startedMs = this.#world.localMs(node);
    notes.enteredMs = notes.startedMs;
  }
  stopped(node: SimNode): void {
    if (node.held || node.sender.on || node.state?.phase !== 'initialize') this.fail(`${node.source} was stopped and still acts`);
  }
  paused(node: SimNode): void {
    const notes = this.#of(node);
    notes.pausedMs = this.#world.localMs(node);
    notes.listenedBefore = node.state?.listened === true;
  }
  woke(node: SimNode): void {
    this.#of(node).wokeMs = this.#world.localMs(node);
  }
  received(node: SimNode, heard: Heard): void {
    const notes = this.#of(node);
    if (heard.priority === 0) {
      notes.zeros.push(heard.receivedMs);
      if (notes.zeros.length > heardKept) notes.zeros.shift();
    } else {
      notes.heard.push(heard);
      if (notes.heard.length > heardKept) notes.heard.shift();
      if (node.state !== null && heard.priority >= priorityOf(node.config, node.state)) notes.onlyLower = false;
    }
  }
  sent(node: SimNode, priority: number): void {
    if (priority === 0) {
      if (node.held) this.fail(`${node.source} sent priority 0 and still holds the addresses`);
    } else if (node.state?.phase !== 'master' && node.config.answerHigher === false) this.fail(`${node.source} sent an advert and is ${node.state?.phase ?? 'dead'}`);
  }

  /** Before the actions of a step are carried out. */
  stepped(node: SimNode, before: MachineState, event: VrrpEvent, result: Stepped): void {
    const nowMs = this.#world.localMs(node);
    const gap = nowMs - node.sender.lastMs;
    const acts = result.actions.find((each) => each.kind === 'advertise' || each.kind === 'takeAddresses' || each.kind === 'announce');
    if (before.phase === 'master' && acts !== undefined && gap > standardRules.lapseMs(node.config))
      this.fail(`${node.source} had not sent for ${gap.toFixed(1)} ms and did '${acts.kind}' before it stepped back`);
    const notes = this.#of(node);
    if (priorityOf(node.config, before) !== priorityOf(node.config, result.state)) notes.changedMs = nowMs;
    if (before.phase !== 'master' && result.state.phase === 'master') {
      this.takeovers += 1;
      this.#judgeTakeover(node, before, notes, nowMs);
    }
    if (before.phase === 'master' && result.state.phase === 'backup' && event.kind === 'advert' && gap <= standardRules.lapseMs(node.config)) this.#judgeStepBack(node, before, event.advert);
    if (before.phase !== result.state.phase) {
      notes.enteredMs = nowMs;
      notes.enteredFresh = event.kind !== 'advert';
      if (before.phase !== 'initialize') notes.onlyLower = false;
    }
  }

  #judgeStepBack(node: SimNode, before: MachineState, theirs: { priority: number; source: string }): void {
    const own = priorityOf(node.config, before);
    // the addresses of a world differ in their last digit
    if (theirs.priority < own || (theirs.priority === own && theirs.source < node.source)) this.fail(`${node.source} (${own}) stepped back for ${theirs.source} (${theirs.priority})`);
  }

  #judgeTakeover(node: SimNode, before: MachineState, notes: Notes, nowMs: number): void {
    const { config } = node;
    const own = priorityOf(config, before);
    if (own === 255 && before.phase !== 'backup') return;
    const slept = notes.wokeMs - notes.pausedMs;
    if (slept > before.masterIntervalMs + 20 && notes.pausedMs > notes.enteredMs && !notes.listenedBefore && nowMs - notes.wokeMs < before.masterIntervalMs && (before.keptMs ?? 0) < notes.wokeMs && (notes.zeros.at(-1) ?? Number.NEGATIVE_INFINITY) < notes.wokeMs - before.masterIntervalMs)
      this.fail(`${node.source} slept ${slept.toFixed(1)} ms and became master ${(nowMs - notes.wokeMs).toFixed(1)} ms after it woke`);
    if (nowMs - notes.changedMs < 6 * Math.max(config.intervalMs, before.masterIntervalMs)) return;
    const deadline = before.downAtMs ?? nowMs;
    const until = Math.min(deadline, nowMs);
    const delayed = notes.onlyLower && until < notes.startedMs + config.preemptDelayMs;
    const keeping = notes.heard.filter((each) => each.receivedMs <= until && (each.priority >= own || delayed || (!config.preempt && own !== 255))).at(-1);
    const shortened = (since: number): boolean => notes.zeros.some((each) => each >= since && each <= until);
    if (keeping !== undefined && !shortened(keeping.receivedMs) && notes.enteredMs <= keeping.receivedMs) {
      const down = standardRules.masterDownMs(config, own, config.version === 3 ? keeping.intervalMs : config.intervalMs);
      if (until - keeping.receivedMs < down - 1e-6)
        this.fail(`${node.source} took over ${(until - keeping.receivedMs).toFixed(3)} ms after an advert of ${keeping.source} with priority ${keeping.priority}, it must wait ${down.toFixed(3)} ms`);
    }
    if (notes.enteredFresh && !shortened(notes.enteredMs)) {
      const least = standardRules.masterDownMs(config, own, config.version === 3 ? Math.min(config.intervalMs, before.masterIntervalMs) : config.intervalMs);
      if (until - notes.enteredMs < least - 1e-6) this.fail(`${node.source} became master ${(until - notes.enteredMs).toFixed(3)} ms after it became backup, it must wait ${least.toFixed(3)} ms`);
    }
  }

  /** After the actions of a step. */
  carriedOut(node: SimNode): void {
    const { state } = node;
    if (state === null) return;
    if (node.held !== (state.phase === 'master')) this.fail(`${node.source} is ${state.phase} and ${node.held ? 'holds' : 'does not hold'} the addresses`);
    if (node.faulty && (state.phase === 'master' || state.phase === 'backup')) this.fail(`${node.source} was told of a fault and is ${state.phase}`);
    if (node.sender.on && state.phase !== 'master') this.fail(`${node.source} is ${state.phase} and its thread goes on sending`);
  }

  masters(): SimNode[] {
    return this.#world.nodes.filter((node) => node.state?.phase === 'master');
  }
  #fit(): SimNode[] {
    return this.#world.nodes.filter((node) => node.state !== null && !node.faulty);
  }

  look(): void {
    if (this.troubles > 0 || this.violation !== null) return;
    const world = this.#world;
    const masters = this.masters();
    const longest = Math.max(...world.nodes.map((node) => node.config.intervalMs));
    // a master that does not answer is heard with its next advert only
    const silent = world.nodes.some((node) => !node.config.answerLower) ? longest * 1.01 : 0;
    const travel = 2 * (world.delayMs + 2 * world.latencyMs) + silent;
    if (masters.length < 2) this.#twoSince = null;
    else if (world.now > this.calmSince + longest * 1.01 + travel) {
      this.#twoSince ??= world.now;
      if (world.now - this.#twoSince > travel) this.fail(`${masters.map((each) => each.source).join(' and ')} are masters for ${(world.now - this.#twoSince).toFixed(3)} ms and hear each other`);
    }
    if (world.now <= this.settledFrom) return;
    this.checks += 1;
    const fit = this.#fit();
    const [master] = masters;
    const text = (nodes: readonly SimNode[]): string => nodes.map((each) => `${each.source} (${each.state === null ? 0 : priorityOf(each.config, each.state)})`).join(', ') || 'nobody';
    // a better one whose preempt delay is over may be taking over just now
    const handover = masters.length > 1 && world.now <= this.bestFrom;
    if (masters.length !== Math.min(1, fit.length) && !handover) this.fail(`${text(masters)} master ${(world.now - this.calmSince).toFixed(1)} ms after all was calm, of ${text(fit)}`);
    else if (master?.state) {
      const own = priorityOf(master.config, master.state);
      const better = fit.filter((each) => each.state !== null && priorityOf(each.config, each.state) > own && (each.config.preempt || each.config.priority === 255));
      if (better.length > 0 && world.now > this.bestFrom) this.fail(`${text([master])} is master and ${text(better)} is better ${(world.now - this.calmSince).toFixed(1)} ms after all was calm`);
    }
  }
}
