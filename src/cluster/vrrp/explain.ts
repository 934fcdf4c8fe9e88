/**
 * "What happens if node A dies, if script X fails?" From the configurations of all nodes of a virtual router and what is known of their state:
 * sentences with times, and what will not work as it was meant. Pure.
 */
import { isHigherAddress, passwordBytes } from './codec.js';
import { effectivePriority, masterDownMs, priorityText, skewMs } from './rules.js';
import { ownerPriority } from '../../config/vrrp-types.js';
import { contribution, type TrackUse } from './track.js';
import type { PriorityTerm, VrrpConfig, VrrpState } from './types.js';

/** How long it takes until a script counts as failed. */
export interface ExplainScript {
  name: string;
  intervalMs: number;
  timeoutMs: number;
  fall: number;
}

export interface ExplainNode {
  node: string;
  config: VrrpConfig;
  /** '' when it is not known. */
  source: string;
  uses: readonly TrackUse[];
  /** weights do nothing: a member of a sync group. */
  weightless: boolean;
  /** null: nothing is known of it; it is taken to be well. */
  now: { state: VrrpState; terms: readonly PriorityTerm[]; faults: readonly string[] } | null;
}

export type FindingKind = 'equal priorities' | 'weight too small' | 'weight without effect' | 'nopreempt' | 'different' | 'slow check' | 'nobody else';

export interface Explanation {
  lines: string[];
  findings: { kind: FindingKind; text: string }[];
}

const seconds = (ms: number): string => `${Number((ms / 1000).toFixed(ms < 1000 ? 3 : 2))} s`;
const range = (lowMs: number, highMs: number): string => (seconds(lowMs) === seconds(highMs) ? seconds(highMs) : `${seconds(lowMs)} to ${seconds(highMs)}`);

function priorityOf(node: ExplainNode): number {
  return effectivePriority(node.config.priority, node.now?.terms ?? []).value;
}

/** Who speaks now, or who would if all were started at once. */
function masterOf(nodes: readonly ExplainNode[]): ExplainNode | null {
  const speaking = nodes.find((each) => each.now?.state === 'master');
  const well = nodes.filter((each) => each.now?.state !== 'fault');
  const better = (a: ExplainNode, b: ExplainNode): boolean => priorityOf(a) > priorityOf(b) || (priorityOf(a) === priorityOf(b) && isHigherAddress(a.source, b.source));
  return speaking ?? well.reduce<ExplainNode | null>((best, each) => (best === null || better(each, best) ? each : best), null);
}

/** What must be the same on all nodes, and what it is on each; secrets are compared and not shown. */
function differences(nodes: readonly ExplainNode[]): string[] {
  const facts: [string, (config: VrrpConfig) => string, boolean][] = [
    ['virtual router id', (config) => String(config.vrid), true],
    ['version', (config) => String(config.version), true],
    ['family', (config) => `IPv${config.family}`, true],
    ['interval', (config) => seconds(config.intervalMs), true],
    ['list of addresses', (config) => config.addresses.filter((each) => each.advertised).map((each) => each.address).sort().join(', ') || 'none', true],
    ['password', (config) => (config.password === null ? 'none' : [...passwordBytes(config.password)].join()), false],
    ['group', (config) => (config.transport.kind === 'multicast' ? config.transport.group : 'unicast'), true],
  ];
  return facts.flatMap(([name, of, shown]) => {
    if (new Set(nodes.map((each) => of(each.config))).size < 2) return [];
    const values = shown ? `: ${nodes.map((each) => `${of(each.config)} on ${each.node}`).join(', ')}` : '';
    if (name === 'interval' && nodes.every((each) => each.config.version === 3)) return [];
    return [`The ${name} differs${values}. The nodes reject each other's adverts, and both become master.`];
  });
}

class Explainer {
  readonly lines: string[] = [];
  readonly findings: Explanation['findings'] = [];
  readonly nodes: readonly ExplainNode[];
  readonly scripts: readonly ExplainScript[];

  constructor(nodes: readonly ExplainNode[], scripts: readonly ExplainScript[]) {
    this.nodes = nodes;
    this.scripts = scripts;
  }

  find(kind: FindingKind, text: string): void {
    this.findings.push({ kind, text });
  }

  explain(): Explanation {
    for (const text of differences(this.nodes)) this.find('different', text);
    const byPriority = new Map<number, string[]>();
    for (const { node, config } of this.nodes) byPriority.set(config.priority, [...(byPriority.get(config.priority) ?? []), node]);
    for (const [priority, names] of byPriority)
      if (names.length > 1) this.find('equal priorities', `${names.join(' and ')} have the same priority, ${priority}: after a start of all of them chance decides, and weights of checks may move nothing. Give each its own.`);
    const master = masterOf(this.nodes);
    for (const each of this.nodes) this.lines.push(this.#stateLine(each, each === master));
    if (master === null) {
      this.lines.push('Nobody can be master: all nodes are in fault.');
      return this;
    }
    const next = this.#successor(master);
    if (next === null) this.find('nobody else', `Nobody could take over from ${master.node}: there is no other node that is well.`);
    this.#deaths(master, next);
    for (const use of master.uses) this.#check(master, next, use);
    if (next !== null) this.#return(master, next);
    return this;
  }

  #stateLine(each: ExplainNode, isMaster: boolean): string {
    const priority = priorityText(each.config.priority, each.now?.terms ?? []);
    const state = each.now === null ? (isMaster ? 'is to be master' : 'is to be backup') : each.now.state === 'fault' ? 'is in fault' : each.now.state === 'initialize' ? 'is not started' : `is ${each.now.state}`;
    const faults = each.now === null || each.now.faults.length === 0 ? '' : `: ${each.now.faults.join('; ')}`;
    return `${each.node} ${state}, priority ${priority}${faults}${each.now === null ? ' (by its configuration; its state is not known here)' : ''}.`;
  }

  /** Who is first when the master is silent. */
  #successor(master: ExplainNode): ExplainNode | null {
    const others = this.nodes.filter((each) => each !== master && each.now?.state !== 'fault' && each.now?.state !== 'initialize');
    return others.reduce<ExplainNode | null>((best, each) => (best === null || this.#down(each, master) < this.#down(best, master) ? each : best), null);
  }
  #interval(next: ExplainNode, master: ExplainNode): number {
    return next.config.version === 3 ? master.config.intervalMs : next.config.intervalMs;
  }
  #down(next: ExplainNode, master: ExplainNode): number {
    return masterDownMs(next.config, priorityOf(next), this.#interval(next, master));
  }
  /** From the last sign of the master; it spoke at most one interval ago. */
  #silence(next: ExplainNode, master: ExplainNode): { low: number; high: number } {
    const high = this.#down(next, master);
    return { low: high - this.#interval(next, master), high };
  }
  #skew(next: ExplainNode, master: ExplainNode): number {
    return skewMs(next.config, priorityOf(next), this.#interval(next, master));
  }

  #deaths(master: ExplainNode, next: ExplainNode | null): void {
    if (next === null) {
      this.lines.push(`If ${master.node} dies or is stopped: nobody takes over.`);
      return;
    }
    const { low, high } = this.#silence(next, master);
    this.lines.push(
      `If ${master.node} dies without a word (power, kernel, SIGKILL) or its network is cut: ${next.node} is master ${range(low, high)} later.`,
      `If ${master.node} is stopped: ${next.node} is master ${seconds(this.#skew(next, master))} later.`,
    );
    for (const other of this.nodes.filter((each) => each !== master)) this.lines.push(`If ${other.node} dies: the addresses stay on ${master.node}${this.nodes.length === 2 ? ', and nobody could take over from it' : ''}.`);
    const { gate } = master.config;
    if (gate !== null) {
      const consequence = gate.weight === 0 ? 'it is in fault' : `its priority is lowered by ${-gate.weight}`;
      this.lines.push(`The addresses are held only where the group ${gate.group} is served; a node that may not serve it: ${consequence}. VRRP never moves the group.`);
    }
  }

  /** Time until a failure counts: a script may have succeeded just before, or fail by its timeout. */
  #noticed(use: TrackUse): { low: number; high: number; text: string } {
    const script = use.kind === 'script' ? this.scripts.find((each) => each.name === use.name) : undefined;
    if (script === undefined) return { low: 0, high: 0, text: 'at once' };
    const low = (script.fall - 1) * script.intervalMs;
    const high = script.fall * script.intervalMs + script.timeoutMs;
    return { low, high, text: `after ${range(low, high)}` };
  }

  #check(master: ExplainNode, next: ExplainNode | null, use: TrackUse): void {
    if (use.kind === 'file') return;
    const what = `${use.kind} ${use.name}`;
    const fails = use.reverse && use.weight === 0 ? `If ${what} comes up on ${master.node}` : `If ${what} fails on ${master.node}`;
    const noticed = this.#noticed(use);
    if (next !== null && noticed.high > this.#down(next, master))
      this.find('slow check', `${what}: it takes up to ${seconds(noticed.high)} until its failure counts, longer than the death of the whole node (${seconds(this.#down(next, master))}).`);
    if (use.weight === 0) {
      // with the interface itself gone no priority 0 gets out
      const mute = use.kind === 'interface' && use.name === master.config.interface;
      const wait = next === null ? null : mute ? this.#silence(next, master) : { low: this.#skew(next, master), high: this.#skew(next, master) };
      const taken = next === null || wait === null ? 'nobody takes over' : `${next.node} is master ${range(noticed.low + wait.low, noticed.high + wait.high)} after the failure`;
      this.lines.push(`${fails}: that counts ${noticed.text}, ${master.node} drops the addresses and is in fault; ${taken}.`);
      return;
    }
    if (master.weightless || master.config.priority === ownerPriority) {
      this.find('weight without effect', `${what}: its weight ${use.weight} does nothing on ${master.node}, ${master.weightless ? 'a member of a sync group' : 'the owner of the addresses'}. Use weight 0.`);
      this.lines.push(`${fails}: nothing moves.`);
      return;
    }
    this.#weighted(master, next, use, fails, noticed);
  }

  #weighted(master: ExplainNode, next: ExplainNode | null, use: TrackUse, fails: string, noticed: { low: number; high: number; text: string }): void {
    const from = `${use.kind} ${use.name}`;
    const others = (master.now?.terms ?? []).filter((term) => term.from !== from);
    const at = (up: boolean): { value: number; terms: PriorityTerm[] } => {
      const value = contribution(use.weight, up, use.reverse);
      const terms = value === 0 ? others : [...others, { value, from }];
      return { value: effectivePriority(master.config.priority, terms).value, terms: [...terms] };
    };
    const failed = at(false);
    const begin = `${fails}: that counts ${noticed.text}, its priority is then ${priorityText(master.config.priority, failed.terms)}`;
    if (next === null) {
      this.lines.push(`${begin}; nobody takes over.`);
      return;
    }
    const theirs = priorityOf(next);
    if (failed.value >= theirs) {
      const missing = failed.value - theirs + 1;
      this.find('weight too small', `${from}: weight ${use.weight} is too small to move the addresses. ${master.node} goes to ${failed.value}, which is not below the ${theirs} of ${next.node}; it must lose ${missing} more.`);
      this.lines.push(`${begin}, not below the ${theirs} of ${next.node}: the addresses stay on ${master.node}.`);
    } else if (!next.config.preempt && theirs !== ownerPriority) {
      this.find('nopreempt', `${from}: ${next.node} has nopreempt and takes nothing from a master that speaks, whatever its priority is. Use weight 0, or preempt.`);
      this.lines.push(`${begin}, but ${next.node} has nopreempt: the addresses stay on ${master.node}.`);
    } else {
      const { low, high } = this.#silence(next, master);
      const delay = next.config.preemptDelayMs;
      const late = delay > 0 ? delay + this.#down(next, master) + master.config.intervalMs : high + master.config.intervalMs;
      this.lines.push(`${begin}, below the ${theirs} of ${next.node}: ${next.node} is master ${range(noticed.low + (delay > 0 ? delay : low), noticed.high + late)} after the failure.`);
    }
  }

  #return(master: ExplainNode, next: ExplainNode): void {
    const own = priorityOf(master);
    if (own <= priorityOf(next)) return;
    const ownAgain = own === ownerPriority;
    if (!master.config.preempt && !ownAgain) this.lines.push(`When ${master.node} comes back it stays backup (nopreempt).`);
    else {
      const wait = ownAgain ? 0 : master.config.preemptDelayMs + masterDownMs(master.config, own, this.#interval(master, next));
      this.lines.push(`When ${master.node} comes back it takes over again ${ownAgain ? 'at once' : `after at most ${seconds(wait + master.config.startDelayMs)}`}: a second interruption. nopreempt on all nodes avoids it.`);
    }
  }
}

/** Of one virtual router; `nodes` are all that take part in it. */
export function explainInstance(nodes: readonly ExplainNode[], scripts: readonly ExplainScript[]): Explanation {
  const { lines, findings } = new Explainer(nodes, scripts).explain();
  return { lines, findings };
}
