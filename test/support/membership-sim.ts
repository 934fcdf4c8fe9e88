/**
 * Two membership machines and a network that loses, copies, delays, reorders, cuts one way and is listened to by somebody who plays old
 * packets back. Time is a number. The judge here knows what really happened and never looks into the machines but through their views.
 */
import { initialMembership, type MembershipState, membershipView, stepMembership, tickMs, wantsReport } from '../../src/cluster/membership.js';
import type { Heartbeat, MembershipConfig, MembershipEvent } from '../../src/cluster/membership-types.js';

export type Side = 'a' | 'b';
export const timing = { keepaliveMs: 100, warntimeMs: 250, deadtimeMs: 600, initdeadMs: 1500 };
/** Longest delay of a link that counts as good. */
const goodDelayMs = 50;

export type Fault =
  | { kind: 'cut'; from: Side; link: number; forMs: number }
  | { kind: 'lossy'; from: Side; link: number; forMs: number; percent: number }
  | { kind: 'slow'; from: Side; link: number; forMs: number; delayMs: number }
  | { kind: 'crash'; side: Side; forMs: number }
  | { kind: 'stall'; side: Side; forMs: number }
  | { kind: 'leave'; side: Side; forMs: number }
  | { kind: 'replay'; to: Side; pick: number; onLink: number; count: number }
  | { kind: 'report'; side: Side; bytes: number }
  | { kind: 'replication'; side: Side };

export interface Plan {
  seed: number;
  links: number;
  duplicatePercent: number;
  faults: { atMs: number; fault: Fault }[];
}

interface Datagram {
  to: Side;
  link: number;
  heartbeat: Heartbeat;
  report: { value: unknown } | null;
  madeMs: number;
  /** the newest packet of the receiver that the sender had received: which boot made it, and when. */
  heard: { boot: string; madeMs: number } | null;
  delivered: boolean;
}

interface Node {
  side: Side;
  config: MembershipConfig;
  state: MembershipState | null;
  boot: string;
  startedMs: number;
  stalledUntilMs: number;
  inbox: { datagram: Datagram; link: number; replayed: boolean }[];
  restartAtMs: number | null;
  version: number;
  bytes: number;
  /** last first delivery of a packet that was at most deadtime old. */
  lastTrueMs: number;
  trueBoots: Map<string, number>;
  /** last first delivery, in order, of a packet made after something that this boot did at most deadtime ago. */
  lastProofMs: number;
  highest: Map<string, number>;
  heard: { boot: string; madeMs: number } | null;
  /** end of the last standstill that was longer than half of deadtime. */
  lastStallEndMs: number;
  lastTurnMs: number;
  lastReplicationMs: number;
  leftAtMs: number | null;
}

interface Wire {
  cutUntilMs: number;
  lossyUntilMs: number;
  percent: number;
  slowUntilMs: number;
  delayMs: number;
  /** last moment at which it was not perfect. */
  badMs: number;
}

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const other = (side: Side): Side => (side === 'a' ? 'b' : 'a');

export class MembershipSim {
  readonly #plan: Plan;
  readonly #draw: () => number;
  readonly #nodes: Record<Side, Node>;
  readonly #wires: Record<Side, Wire[]>;
  readonly #flying: { atMs: number; datagram: Datagram }[] = [];
  readonly #recorded: Datagram[] = [];
  /** versions of a boot's report that a boot has really held. */
  readonly #held = new Map<string, number>();
  #nowMs = 0;
  /** times that somebody was declared dead, for statistics. */
  deaths = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#draw = random(plan.seed);
    const wire = (): Wire => ({ cutUntilMs: 0, lossyUntilMs: 0, percent: 0, slowUntilMs: 0, delayMs: 0, badMs: Number.NEGATIVE_INFINITY });
    const wires = (): Wire[] => Array.from({ length: plan.links }, wire);
    this.#wires = { a: wires(), b: wires() };
    this.#nodes = { a: this.#node('a'), b: this.#node('b') };
    for (const side of ['a', 'b'] as const) this.#start(this.#nodes[side]);
  }

  #node(side: Side): Node {
    const links = Array.from({ length: this.#plan.links }, (_, index) => `l${index}`);
    return {
      side,
      config: { cluster: 'c', self: side, peer: other(side), links, ...timing },
      state: null,
      boot: '',
      startedMs: 0,
      stalledUntilMs: 0,
      inbox: [],
      restartAtMs: null,
      version: 0,
      bytes: 0,
      lastTrueMs: Number.NEGATIVE_INFINITY,
      trueBoots: new Map(),
      lastProofMs: Number.NEGATIVE_INFINITY,
      highest: new Map(),
      heard: null,
      lastStallEndMs: Number.NEGATIVE_INFINITY,
      lastTurnMs: 0,
      lastReplicationMs: Number.NEGATIVE_INFINITY,
      leftAtMs: null,
    };
  }

  #start(node: Node): void {
    node.boot = Array.from({ length: 4 }, () => Math.floor(this.#draw() * 2 ** 32).toString(16).padStart(8, '0')).join('');
    node.state = initialMembership(node.config, node.boot, this.#nowMs);
    Object.assign(node, { startedMs: this.#nowMs, stalledUntilMs: 0, inbox: [], restartAtMs: null, version: 0, bytes: 0, leftAtMs: null });
    Object.assign(node, { lastTrueMs: Number.NEGATIVE_INFINITY, lastReplicationMs: Number.NEGATIVE_INFINITY, lastStallEndMs: this.#nowMs, lastTurnMs: this.#nowMs });
    Object.assign(node, { lastProofMs: Number.NEGATIVE_INFINITY, heard: null });
    node.highest.clear();
    node.trueBoots.clear();
    this.#step(node, { kind: 'report', bytes: 10 });
  }

  /** Plays the plan to its end, then heals everything and expects both to see each other. Throws on a broken promise. */
  run(): void {
    const faults = [...this.#plan.faults].sort((x, y) => x.atMs - y.atMs);
    const last = Math.max(0, ...faults.map(({ atMs, fault }) => atMs + ('forMs' in fault ? fault.forMs : 0)));
    const endMs = last + 2500;
    const stepMs = tickMs(this.#nodes.a.config);
    let index = 0;
    for (this.#nowMs = 0; this.#nowMs <= endMs; this.#nowMs += stepMs) {
      for (; index < faults.length && (faults[index]?.atMs ?? 0) <= this.#nowMs; index++) this.#apply(faults[index]?.fault);
      this.#markBad();
      this.#deliver();
      for (const side of ['a', 'b'] as const) this.#turn(this.#nodes[side]);
    }
    this.#expectHealthy();
  }

  #apply(fault: Fault | undefined): void {
    if (fault === undefined) return;
    const now = this.#nowMs;
    if (fault.kind === 'cut' || fault.kind === 'lossy' || fault.kind === 'slow') {
      const wire = this.#wires[fault.from][fault.link % this.#plan.links];
      if (wire === undefined) return;
      if (fault.kind === 'cut') wire.cutUntilMs = now + fault.forMs;
      else if (fault.kind === 'lossy') Object.assign(wire, { lossyUntilMs: now + fault.forMs, percent: fault.percent });
      else Object.assign(wire, { slowUntilMs: now + fault.forMs, delayMs: fault.delayMs });
      return;
    }
    if (fault.kind === 'replay') {
      for (let i = 0; i < fault.count; i++) {
        const datagram = this.#recorded[(fault.pick + i) % Math.max(1, this.#recorded.length)];
        // to the one it was meant for, or back to the one who sent it; on its link or another
        if (datagram !== undefined) this.#nodes[fault.to].inbox.push({ datagram, link: fault.onLink % 2 === 0 ? datagram.link : fault.onLink % this.#plan.links, replayed: true });
      }
      return;
    }
    const node = this.#nodes[fault.side];
    if (fault.kind === 'crash') {
      node.state = null;
      node.restartAtMs = now + fault.forMs;
    } else if (node.state === null || node.leftAtMs !== null || now < node.stalledUntilMs) return;
    else if (fault.kind === 'stall') node.stalledUntilMs = now + fault.forMs;
    else if (fault.kind === 'report') {
      node.bytes = fault.bytes;
      this.#step(node, { kind: 'report', bytes: fault.bytes });
    } else if (fault.kind === 'replication') {
      // true at this moment, or it would not be said
      if (this.#nodes[other(fault.side)].state !== null) {
        node.lastReplicationMs = now;
        this.#step(node, { kind: 'replication', sign: 'alive' });
      }
    } else if (fault.kind === 'leave') {
      node.leftAtMs = now;
      this.#step(node, { kind: 'goodbye' });
      node.restartAtMs = now + fault.forMs;
    }
  }

  #markBad(): void {
    for (const side of ['a', 'b'] as const)
      for (const wire of this.#wires[side]) if (Math.max(wire.cutUntilMs, wire.lossyUntilMs, wire.slowUntilMs) > this.#nowMs) wire.badMs = this.#nowMs;
  }

  #deliver(): void {
    const due = this.#flying.filter(({ atMs }) => atMs <= this.#nowMs).sort((x, y) => x.atMs - y.atMs);
    if (due.length === 0) return;
    const later = this.#flying.filter(({ atMs }) => atMs > this.#nowMs);
    this.#flying.length = 0;
    this.#flying.push(...later);
    for (const { datagram } of due) this.#nodes[datagram.to].inbox.push({ datagram, link: datagram.link, replayed: false });
  }

  #turn(node: Node): void {
    if (node.restartAtMs !== null && this.#nowMs >= node.restartAtMs) this.#start(node);
    if (node.state === null) {
      node.inbox = [];
      return;
    }
    if (node.leftAtMs !== null && this.#nowMs - node.leftAtMs > 100) {
      node.state = null;
      return;
    }
    if (this.#nowMs < node.stalledUntilMs) return;
    if (node.stalledUntilMs !== 0) {
      if (this.#nowMs - node.lastTurnMs > timing.deadtimeMs / 2 + tickMs(node.config)) node.lastStallEndMs = this.#nowMs;
      node.stalledUntilMs = 0;
    }
    node.lastTurnMs = this.#nowMs;
    // a socket's buffer is bounded
    const inbox = node.inbox.slice(0, 200);
    node.inbox = [];
    const tickFirst = this.#draw() < 0.5;
    if (tickFirst) this.#step(node, { kind: 'tick' });
    for (const { datagram, link, replayed } of inbox) this.#receive(node, datagram, link, replayed);
    if (!tickFirst) this.#step(node, { kind: 'tick' });
    this.#judge(node);
  }

  #receive(node: Node, datagram: Datagram, link: number, replayed: boolean): void {
    if (node.state === null) return;
    const { heartbeat } = datagram;
    const isTrue = datagram.to === node.side && link === datagram.link && !datagram.delivered && this.#nowMs - datagram.madeMs <= timing.deadtimeMs;
    if (datagram.to === node.side && link === datagram.link && !replayed) datagram.delivered = true;
    if (isTrue) {
      datagram.delivered = true;
      node.lastTrueMs = this.#nowMs;
      node.trueBoots.set(heartbeat.boot, this.#nowMs);
      const key = `${link} ${heartbeat.boot}`;
      const inOrder = heartbeat.sequence > (node.highest.get(key) ?? 0);
      if (inOrder) node.highest.set(key, heartbeat.sequence);
      if (inOrder && datagram.heard?.boot === node.boot && this.#nowMs - datagram.heard.madeMs <= timing.deadtimeMs) node.lastProofMs = this.#nowMs;
      const newest = node.heard?.boot === heartbeat.boot ? node.heard.madeMs : Number.NEGATIVE_INFINITY;
      if (heartbeat.boot === this.#nodes[other(node.side)].boot) node.heard = { boot: heartbeat.boot, madeMs: Math.max(newest, datagram.madeMs) };
    }
    // as long as no life of the peer has proven itself, another one takes its place in what is echoed, be it an old one
    else if (node.heard?.boot !== heartbeat.boot && membershipView(node.state, this.#nowMs).boot === null) node.heard = null;
    const before = membershipView(node.state, this.#nowMs).peer;
    const report = datagram.report !== null && wantsReport(node.state, heartbeat) ? datagram.report : null;
    this.#step(node, { kind: 'packet', link: `l${link}`, heartbeat, report });
    const after = membershipView(node.state, this.#nowMs).peer;
    if (before !== 'alive' && after === 'alive' && !isTrue) throw new Error(this.#story(node, `${heartbeat.node} became alive by a packet that was ${replayed ? 'replayed' : 'not new'}`));
  }

  #step(node: Node, event: MembershipEvent): void {
    if (node.state === null) return;
    const before = membershipView(node.state, this.#nowMs);
    const { state, actions } = stepMembership(node.state, event, this.#nowMs);
    node.state = state;
    const after = membershipView(state, this.#nowMs);
    if (event.kind === 'report') node.version = after.ownVersion;
    if (before.peer !== 'dead' && after.peer === 'dead') this.#judgeDeath(node, before.peer === 'alive');
    if (after.boot !== null) {
      const key = `${node.boot} ${after.boot}`;
      this.#held.set(key, Math.max(this.#held.get(key) ?? 0, after.reportVersion));
    }
    for (const action of actions) {
      if (action.kind !== 'send') continue;
      const size = node.bytes;
      if (action.withReport !== (size <= 1000) && size <= 1000 && node.version > 0) throw new Error('a small report travels with every heartbeat');
      action.heartbeats.forEach((heartbeat, link) => {
        const report = action.withReport ? { value: { boot: node.boot, version: node.version } } : null;
        // what is echoed is the life that has proven itself last: a new one needs one round trip more
        const heard = after.boot === null || after.boot === node.heard?.boot ? node.heard : null;
        this.#transmit({ to: other(node.side), link, heartbeat, report, madeMs: this.#nowMs, heard, delivered: false }, node.side);
      });
    }
  }

  #transmit(datagram: Datagram, from: Side): void {
    const wire = this.#wires[from][datagram.link];
    if (wire === undefined) return;
    if (this.#recorded.length < 400) this.#recorded.push(datagram);
    else this.#recorded[Math.floor(this.#draw() * 400)] = datagram;
    if (wire.cutUntilMs > this.#nowMs) return;
    if (wire.lossyUntilMs > this.#nowMs && this.#draw() * 100 < wire.percent) return;
    const extra = wire.slowUntilMs > this.#nowMs ? wire.delayMs : 0;
    const copies = this.#draw() * 100 < this.#plan.duplicatePercent ? 2 : 1;
    for (let i = 0; i < copies; i++) this.#flying.push({ atMs: this.#nowMs + extra + this.#draw() * goodDelayMs, datagram });
  }

  /** The peer must not be alive without a true packet, or another true sign, within deadtime and one tick. */
  #judge(node: Node): void {
    if (node.state === null) return;
    const view = membershipView(node.state, this.#nowMs);
    if (view.peer === 'alive') {
      const sign = Math.max(node.lastTrueMs, node.lastStallEndMs, node.lastReplicationMs);
      if (this.#nowMs - sign > timing.deadtimeMs + tickMs(node.config)) throw new Error(this.#story(node, `its peer is alive without a sign for ${this.#nowMs - sign} ms`));
      if (view.boot !== null && !node.trueBoots.has(view.boot)) throw new Error(this.#story(node, 'it believes in a boot of which no new packet came'));
    }
    const held = this.#held.get(`${view.boot} ${node.boot}`) ?? 0;
    if (view.confirmedVersion > held) throw new Error(this.#story(node, `version ${view.confirmedVersion} is confirmed, ${held} is held`));
    const report = view.report as { boot: string; version: number } | null;
    if (report !== null && (report.boot !== view.boot || report.version !== view.reportVersion)) throw new Error(this.#story(node, 'a report is taken for another'));
    if (view.twins === 'own name' || view.twins === 'peer name') throw new Error(this.#story(node, 'there are no twins here'));
  }

  /** Nobody who lived and had one good link all through deadtime may be declared dead. */
  #judgeDeath(node: Node, wasAlive: boolean): void {
    this.deaths++;
    const silent = this.#nowMs - Math.max(node.lastProofMs, node.lastStallEndMs, node.lastReplicationMs);
    if (wasAlive && silent <= timing.deadtimeMs) throw new Error(this.#story(node, `declared its peer dead ${silent} ms after a sign of life, or after it stood still itself`));
    const peer = this.#nodes[other(node.side)];
    const since = this.#nowMs - timing.deadtimeMs;
    const ran = (who: Node): boolean => who.state !== null && who.startedMs <= since && who.lastStallEndMs <= since && this.#nowMs >= who.stalledUntilMs && who.leftAtMs === null;
    if (!ran(node) || !ran(peer) || peer.stalledUntilMs !== 0) return;
    const good = this.#wires.a.some((wire, link) => Math.max(wire.badMs, this.#wires.b[link]?.badMs ?? this.#nowMs) < since - 2 * goodDelayMs);
    if (good) throw new Error(this.#story(node, 'declared a living peer dead that had a good link'));
  }

  #expectHealthy(): void {
    for (const side of ['a', 'b'] as const) {
      const node = this.#nodes[side];
      const peer = this.#nodes[other(side)];
      if (node.state === null || peer.state === null) throw new Error('everybody runs at the end');
      const view = membershipView(node.state, this.#nowMs);
      if (view.peer !== 'alive' || view.boot !== peer.boot || view.byReplicationOnly || view.deaf) throw new Error(this.#story(node, `does not see its peer after everything is well: ${JSON.stringify(view)}`));
      if (view.reportVersion !== peer.version || view.confirmedVersion !== node.version) throw new Error(this.#story(node, `reports did not travel: ${JSON.stringify(view)}`));
      if (view.links.some((link) => link.state !== 'up' || link.oneWay)) throw new Error(this.#story(node, `links are not up: ${JSON.stringify(view.links)}`));
    }
  }

  #story(node: Node, what: string): string {
    return `at ${this.#nowMs} ms, node ${node.side}: ${what}`;
  }
}
