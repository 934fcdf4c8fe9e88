/**
 * Two nodes, an arbiter and the networks between them in virtual time. The cluster layer is the real one (node.ts); the judge here looks at
 * kernels, volumes and phases only, never into a decision.
 *
 * Networks: `direct` carries a heartbeat link and the replication; `service` carries the other heartbeat link, the addresses, and the way to
 * the arbiter. An address counts as doubly served when both kernels have it while both nodes are attached to the service network. A node that
 * stands still keeps its address until the lifetime ends: a start sees it by the duplicate probe wherever that can come through.
 */
import type { ClusterConfig, GroupConfig, MemberConfig, MemberTimeouts } from '../../src/config/cluster-types.js';
import type { Heartbeat } from '../../src/cluster/membership-types.js';
import { volumesOf } from '../../src/cluster/placement.js';
import type { NodeReport } from '../../src/cluster/report.js';
import type { ClusterVerb } from '../../src/control/cluster-messages.js';
import { ArbiterSim, type Index, names, other } from './arbiter.js';
import { type Trouble, vipLifeMs } from './members.js';
import { type Around, NodeSim } from './node.js';
import { Scheduler } from './scheduler.js';
import { VolumeSim } from './volume.js';

export interface Totals {
  starts: number;
  moves: number;
  denials: number;
  alone: number;
  swaps: number;
  selfFences: number;
  writes: number;
  slowestMs: number;
}
export const noTotals = (): Totals => ({ starts: 0, moves: 0, denials: 0, alone: 0, swaps: 0, selfFences: 0, writes: 0, slowestMs: 0 });

/** One direction of one network for one node: how many faults hold it down. */
interface Port {
  out: number;
  in: number;
}

const times = (startMs: number, stopMs: number, monitorEveryMs: number): MemberTimeouts => ({ startMs, stopMs, monitorMs: 1000, monitorEveryMs });

function groupOf(name: string, members: readonly MemberConfig['kind'][], resource: string, change: Partial<GroupConfig>): GroupConfig {
  const defaults: Record<MemberConfig['kind'], MemberTimeouts> = {
    volume: times(8000, 3000, 1000),
    filesystem: times(3000, 3000, 1000),
    vip: times(5000, 1000, 1000),
    service: times(3000, 3000, 1000),
  };
  return {
    ...{ name, preferred: '', autoFailback: false, migrationThreshold: 3, failureTimeoutMs: 0, after: [], apart: [] },
    members: members.map((kind) => ({ kind, name: `${kind} ${name}`, resource, ...defaults[kind] }) as unknown as MemberConfig),
    ...change,
  };
}

const whole = ['volume', 'filesystem', 'service', 'vip'] as const;
const light = ['service', 'vip'] as const;

/** What is configured follows from a number, too. */
function configure(draw: (below: number) => number): { cluster: ClusterConfig; groups: GroupConfig[] } {
  const slow = draw(3) === 0;
  const preferred = ['', '', names[0], names[1]][draw(4)] ?? '';
  const change = { preferred, autoFailback: preferred !== '' && draw(2) === 0, migrationThreshold: draw(4), failureTimeoutMs: draw(3) === 0 ? 8000 : 0 };
  const shapes: GroupConfig[][] = [
    [groupOf('store', whole, 'r0', change)],
    [groupOf('store', draw(2) === 0 ? whole : ['volume', 'vip', 'filesystem', 'service'], 'r0', change)],
    [groupOf('front', light, '', change)],
    [groupOf('store', whole, 'r0', change), groupOf('front', light, '', { preferred: draw(2) === 0 ? names[1] : '', after: draw(2) === 0 ? ['store'] : [] })],
    [groupOf('store', whole, 'r0', change), groupOf('mail', whole, 'r1', { preferred: draw(2) === 0 ? names[1] : '', apart: draw(2) === 0 ? ['store'] : [] })],
  ];
  const cluster: ClusterConfig = {
    ...{ name: 'sim', keyFile: '', nodes: [names[0], names[1]] as [string, string], ping: ['192.0.2.1'], deadpingMs: 1000 },
    arbiter: draw(12) === 0 ? { kind: 'none' } : { kind: 'witness', address: { family: 4, host: '192.0.2.2', port: 1 }, keyFile: '', timeoutMs: 500 },
    links: ['direct', 'service'].map((name) => ({ name, interface: '', port: 1, addresses: {}, multicast: null })),
    ...(slow ? { keepaliveMs: 200, warntimeMs: 600, deadtimeMs: 1200, initdeadMs: 4000 } : { keepaliveMs: 100, warntimeMs: 300, deadtimeMs: 600, initdeadMs: 2000 }),
    selfFence: { command: '', watchdog: '', reboot: true },
  };
  return { cluster, groups: shapes[draw(shapes.length)] ?? [] };
}

export interface WorldOptions {
  /** prints a sentence per event. */
  trace?: boolean;
  /** leaves a rule out, to see that the judge notices. */
  breakRule?: 'arbiter' | 'probe' | '';
}

export class ClusterWorld {
  readonly violations: string[] = [];
  readonly totals = noTotals();
  readonly cluster: ClusterConfig;
  readonly groups: readonly GroupConfig[];
  readonly scheduler: Scheduler;
  readonly nodes: readonly [NodeSim, NodeSim];
  private readonly arbiter = new ArbiterSim();
  private readonly volumes = new Map<string, VolumeSim>();
  private readonly trace: boolean;
  private readonly arbitrated: boolean;
  private readonly direct: readonly [Port, Port] = [{ out: 0, in: 0 }, { out: 0, in: 0 }];
  private readonly service: readonly [Port, Port] = [{ out: 0, in: 0 }, { out: 0, in: 0 }];
  private readonly arbiterWay = [0, 0];
  private arbiterDown = 0;
  private noise = 0;
  private lossPercent = 0;
  private delayMs = 0;
  private readonly pingBad = [0, 0];
  private readonly pings = [0, 0];
  /** since when both have an address that a client could reach at both, by group. */
  private readonly doubleSinceMs = new Map<string, number>();
  /** when each node was last cut off or paused: its address may have been taken by the other one then. */
  private readonly hurtMs = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  private serviceChangedMs = Number.NEGATIVE_INFINITY;
  private ends: (() => void)[] = [];
  private readonly lastAt = new Map<string, Index>();
  private quiet = false;
  private quietMoves = new Map<string, number>();
  private readonly quietLines = new Map<string, number>();

  constructor(seed: number, options: WorldOptions = {}) {
    this.trace = options.trace ?? false;
    this.scheduler = new Scheduler(seed);
    const { draw } = this.scheduler;
    const { cluster, groups } = configure(draw);
    this.cluster = cluster;
    this.groups = groups;
    this.arbitrated = cluster.arbiter.kind !== 'none';
    this.arbiter.compliant = options.breakRule === 'arbiter';
    const around: Around = {
      ...{ scheduler: this.scheduler, arbiter: this.arbiter, cluster, groups, arbitrated: this.arbitrated, reportBytes: draw(4) === 0 ? 1500 : 600 },
      volume: (name) => {
        const volume = this.volumes.get(name);
        if (volume === undefined) throw new Error(`no volume ${name}`);
        return volume;
      },
      reachesArbiter: (i) => this.reachesArbiter(i),
      send: (i, link, heartbeat, report) => this.send(i, link, heartbeat, report),
      foreignOwner: (i, group) => options.breakRule !== 'probe' && this.nodes[other(i)].hasVip(group) && this.attached(i) && this.attached(other(i)),
      vipTaken: (i, group) => this.vipTaken(i, group),
      violation: (text) => this.violation(text),
      say: (i, text) => this.say(i, text),
      said: (i, level, sentence) => this.said(i, level, sentence),
      phase: (i, group, from, to) => this.phase(i, group, from, to),
      selfFence: (i, reason) => this.selfFence(i, reason),
      pingLost: (i) => this.pings[i] ?? 0,
      talkChanged: () => this.tend(),
    };
    this.nodes = [new NodeSim(0, around), new NodeSim(1, around)];
    for (const name of new Set(groups.flatMap(volumesOf)))
      this.volumes.set(name, new VolumeSim(name, [this.nodes[0].daemonHome, this.nodes[1].daemonHome], this.arbitrated, () => this.wire(), (text) => this.violation(text)));
    this.say(null, () => `configuration: arbiter ${cluster.arbiter.kind}, deadtime ${cluster.deadtimeMs} ms, groups ${JSON.stringify(groups.map((group) => ({ ...group, members: group.members.map(({ kind }) => kind) })))}`);
    this.watch();
    this.applications();
    for (const node of this.nodes) node.powerOn();
  }

  // --- the judge

  private violation(text: string): void {
    this.say(null, () => `VIOLATION: ${text}`);
    this.violations.push(`${this.scheduler.now} ${text}`);
  }

  private say(i: Index | null, text: () => string): void {
    if (this.trace) console.log(`${String(Math.round(this.scheduler.now)).padStart(6)} ${i === null ? '' : `${names[i]}: `}${text()}`);
  }

  private said(i: Index, level: string, sentence: string): void {
    this.say(i, () => `[${level}] ${sentence}`);
    if (!this.quiet) return;
    const line = `${names[i]}: ${sentence.replace(/\d+(\.\d+)?/g, 'N')}`;
    const count = (this.quietLines.get(line) ?? 0) + 1;
    this.quietLines.set(line, count);
    if (count === 12) this.violation(`said again and again although no fault is left: ${line}`);
  }

  private phase(i: Index, group: string, from: string, to: string): void {
    const theirs = this.nodes[other(i)].phaseOf(group);
    if (to === 'started') {
      this.totals.starts += 1;
      const last = this.lastAt.get(group);
      if (last !== undefined && last !== i) {
        this.totals.moves += 1;
        if (this.quiet) this.quietMoves.set(group, (this.quietMoves.get(group) ?? 0) + 1);
      }
      this.lastAt.set(group, i);
    }
    // nothing has been wrong with the network or the nodes for long: the claim protocol alone keeps them apart
    const calm = this.scheduler.now - Math.max(...this.hurtMs) > 8000;
    if (to === 'starting' && from !== 'started' && calm && this.arbitrated && ['starting', 'started', 'stopping', 'partial'].includes(theirs))
      this.violation(`${names[i]} starts ${group} while it is ${theirs} on ${names[other(i)]}, and both are there`);
  }

  private vipTaken(i: Index, group: string): void {
    const seen = this.arbitrated && this.attached(0) && this.attached(1) && this.scheduler.now - this.serviceChangedMs > 250;
    if (seen && this.nodes[other(i)].hasVip(group)) this.violation(`${names[i]} takes the address of ${group} although ${names[other(i)]} has it and answers for it`);
    const [name] = volumesOf(this.groups.find((one) => one.name === group) as GroupConfig);
    if (name !== undefined && !this.volumes.get(name)?.isPrimary(i) && this.nodes[i].daemon.runs && !this.nodes[i].wasPrimary.has(name)) this.violation(`${names[i]} takes the address of ${group} without being Primary`);
  }

  /** Looks at kernels all the time. */
  private watch(): void {
    const { now } = this.scheduler;
    for (const { name } of this.groups) {
      const both = this.nodes[0].hasVip(name) && this.nodes[1].hasVip(name) && this.attached(0) && this.attached(1);
      if (!both || !this.arbitrated) {
        this.doubleSinceMs.delete(name);
        continue;
      }
      const since = this.doubleSinceMs.get(name) ?? now;
      this.doubleSinceMs.set(name, since);
      // who could not be reached while the other one took it may keep it until its lifetime is over
      const allowance = now - Math.max(...this.hurtMs) < vipLifeMs + 500 ? vipLifeMs : 0;
      if (now - since > allowance) this.violation(`both nodes have the address of ${name} for ${now - since} ms`);
    }
    if (this.violations.length === 0) this.scheduler.after(20, () => this.watch());
  }

  private applications(): void {
    for (const group of this.groups) {
      const [name] = volumesOf(group);
      if (name === undefined) continue;
      for (const i of [0, 1] as const) {
        const { kernel, powered } = this.nodes[i];
        if (powered && kernel.mounted.has(group.name) && kernel.services.has(group.name)) this.volumes.get(name)?.write(i);
      }
    }
    this.scheduler.after(this.scheduler.between(15, 45), () => this.applications());
  }

  // --- networks

  private wire(): boolean {
    return this.carries(this.direct, 0) && this.carries(this.direct, 1) && this.nodes[0].powered && this.nodes[1].powered;
  }

  private carries(ports: readonly [Port, Port], from: Index): boolean {
    return ports[from].out === 0 && ports[other(from)].in === 0;
  }

  /** Both directions of the service network work for a node. */
  private attached(i: Index): boolean {
    return this.service[i].out === 0 && this.service[i].in === 0;
  }

  private reachesArbiter(i: Index): { there: boolean; back: boolean } {
    const way = this.arbiterWay[i] === 0 && this.arbiterDown === 0;
    return { there: way && this.service[i].out === 0, back: way && this.service[i].in === 0 && !this.arbiter.deaf };
  }

  private send(from: Index, link: number, heartbeat: Heartbeat, report: NodeReport | null): void {
    const { scheduler, nodes } = this;
    const ports = link === 0 ? this.direct : this.service;
    if (!this.carries(ports, from)) return;
    if (this.noise > 0 && scheduler.draw(100) < this.lossPercent) return;
    const copies = this.noise > 0 && scheduler.draw(20) === 0 ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const delay = 0.2 + scheduler.draw(20) / 10 + (this.noise > 0 ? scheduler.draw(this.delayMs) : 0) + (copy === 0 ? 0 : scheduler.draw(500));
      const name = link === 0 ? 'direct' : 'service';
      scheduler.after(delay, () => {
        if (this.carries(ports, from)) nodes[other(from)].receive(name, heartbeat, report);
      });
    }
  }

  private tend(): void {
    for (const volume of this.volumes.values()) volume.tend();
  }

  private pingsLater(i: Index, ms: number): void {
    this.scheduler.after(ms, () => {
      const lost = this.pingBad[i] === 0 && this.attached(i) ? 0 : 1;
      if (lost === this.pings[i]) return;
      this.pings[i] = lost;
      this.say(i, () => (lost === 0 ? 'outer network is back' : 'outer network is lost'));
      this.nodes[i].manager?.look();
    });
  }

  private networkChanged(): void {
    this.serviceChangedMs = this.scheduler.now;
    this.hurt(0);
    this.hurt(1);
    this.tend();
    for (const i of [0, 1] as const) this.pingsLater(i, this.pingBad[i] === 0 && this.attached(i) ? 300 : this.cluster.deadpingMs);
  }

  private hurt(i: Index): void {
    this.hurtMs[i] = this.scheduler.now;
  }

  private selfFence(i: Index, reason: string): void {
    this.say(i, () => `fences itself: ${reason}`);
    this.totals.selfFences += 1;
    this.hurt(i);
    this.scheduler.after(this.scheduler.between(5, 50), () => {
      this.nodes[i].powerOff();
      this.tend();
      this.scheduler.after(this.scheduler.between(1000, 4000), () => {
        this.hurt(i);
        this.nodes[i].powerOn();
      });
    });
  }

  // --- what happens

  /** Does something for a while; it ends by itself, or when all faults do. */
  private forAWhile(ms: number, text: string, begin: () => void, end: () => void): void {
    this.say(null, () => `${text} for ${ms} ms`);
    begin();
    let over = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      this.say(null, () => `${text}: over`);
      end();
    };
    this.ends.push(finish);
    this.scheduler.after(ms, finish);
  }

  private cut(ms: number, text: string, ports: readonly { port: Port; out: boolean; in: boolean }[]): void {
    const change = (by: number): void => {
      for (const one of ports) {
        if (one.out) one.port.out += by;
        if (one.in) one.port.in += by;
      }
      this.networkChanged();
    };
    this.forAWhile(ms, text, () => change(1), () => change(-1));
  }

  static readonly kinds = 26;

  /** One thing that happens: `what` chooses, `a` and `b` say to whom, how and for how long. */
  happen(what: number, a: number, b: number): void {
    const i: Index = a % 2 === 0 ? 0 : 1;
    const node = this.nodes[i];
    const ms = b % 5 === 0 ? 20 + (b % 300) : 100 + (b % 6000);
    const variant = Math.floor(a / 2);
    const hurting = (run: () => void) => (): void => {
      this.hurt(i);
      run();
      this.hurt(i);
    };
    const both = { out: true, in: true };
    const oneWay = variant % 2 === 0 ? { out: true, in: false } : { out: false, in: true };
    switch (what % ClusterWorld.kinds) {
      case 0:
      case 1:
        this.forAWhile(ms, `${node.name} is off`, hurting(() => node.powerOff()), hurting(() => node.powerOn()));
        this.tend();
        return;
      case 2:
        this.forAWhile(ms, `${node.name} is frozen`, hurting(() => node.pause('node')), hurting(() => node.goOn()));
        return;
      case 3:
        this.forAWhile(ms, `cluster manager of ${node.name} is frozen`, hurting(() => node.pause('manager')), hurting(() => node.goOn()));
        return;
      case 4:
        this.forAWhile(ms, `cluster manager of ${node.name} is killed`, hurting(() => node.killProcess()), hurting(() => node.startProcess()));
        return;
      case 5:
        this.forAWhile(ms, `drbdtsd of ${node.name} is killed`, hurting(() => node.killDaemon()), hurting(() => node.startDaemon()));
        return;
      case 6:
        this.forAWhile(ms, `drbdtsd of ${node.name} is frozen`, hurting(() => node.pause('drbdtsd')), hurting(() => node.goOn()));
        return;
      case 7:
        this.cut(ms, 'direct network is cut', [{ port: this.direct[i], ...both }]);
        return;
      case 8:
        this.cut(ms, `direct network is one-way at ${node.name}`, [{ port: this.direct[i], ...oneWay }]);
        return;
      case 9:
        this.cut(ms, `${node.name} is cut from the service network`, [{ port: this.service[i], ...both }]);
        return;
      case 10:
        this.cut(ms, `service network is one-way at ${node.name}`, [{ port: this.service[i], ...oneWay }]);
        return;
      case 11:
      case 12:
        this.cut(ms, `${node.name} is cut from everything`, [{ port: this.direct[i], ...both }, { port: this.service[i], ...both }]);
        return;
      case 13:
        this.cut(ms, `${node.name} is half deaf`, [{ port: this.direct[i], ...oneWay }, { port: this.service[i], ...oneWay }]);
        return;
      case 14:
        this.lossPercent = [5, 30, 70][variant % 3] ?? 5;
        this.delayMs = [5, 100, 400][b % 3] ?? 5;
        this.forAWhile(ms, `heartbeats get lost (${this.lossPercent} %) or late (${this.delayMs} ms)`, () => { this.noise += 1; this.networkChanged(); }, () => { this.noise -= 1; this.networkChanged(); });
        return;
      case 15:
        this.forAWhile(ms, 'arbiter is away', () => { this.arbiterDown += 1; this.arbiter.up = false; }, () => {
          this.arbiterDown -= 1;
          this.arbiter.up = this.arbiterDown === 0;
          this.arbiter.restart(variant % 3 === 0);
        });
        return;
      case 16:
        this.forAWhile(ms, `arbiter can not be reached from ${node.name}`, () => { this.arbiterWay[i] = (this.arbiterWay[i] ?? 0) + 1; }, () => { this.arbiterWay[i] = (this.arbiterWay[i] ?? 0) - 1; });
        return;
      case 17:
        if (variant % 2 === 0) this.forAWhile(ms, 'arbiter is slow', () => { this.arbiter.slow = true; }, () => { this.arbiter.slow = false; });
        else this.forAWhile(ms, 'answers of the arbiter get lost', () => { this.arbiter.deaf = true; }, () => { this.arbiter.deaf = false; });
        return;
      case 18:
        this.say(null, () => (variant % 2 === 0 ? 'a copy of the arbiter is made' : 'the arbiter is restored from its copy'));
        if (variant % 2 === 0) this.arbiter.remember();
        else this.arbiter.restart(true);
        return;
      case 19: {
        const kind = (['volume', 'filesystem', 'service', 'vip'] as const)[variant % 4] ?? 'service';
        const trouble = (['start-fails', 'start-hangs', 'stop-fails', 'stop-hangs', 'stop-deaf', 'monitor-fails'] as const)[b % 6] as Trouble;
        this.say(i, () => `${kind}: ${trouble} for ${ms} ms`);
        const entry = { kind, trouble, untilMs: this.scheduler.now + ms };
        node.troubles.push(entry);
        this.ends.push(() => { entry.untilMs = 0; });
        return;
      }
      case 20: {
        const group = this.groups[b % this.groups.length]?.name ?? '';
        this.say(i, () => `${variant % 2 === 0 ? 'service' : 'address'} of ${group} is taken away`);
        if (variant % 2 === 0) node.kernel.services.delete(group);
        else node.kernel.vips.delete(group);
        return;
      }
      case 21:
        node.verb('move', { group: this.groups[b % this.groups.length]?.name ?? '', ...(variant % 2 === 0 ? {} : { node: names[b % 2] ?? '' }) });
        return;
      case 22:
        if (variant % 3 === 0) {
          node.verb('takeover', { which: (['all', 'local', 'foreign'] as const)[b % 3] ?? 'all' });
          return;
        }
        this.operator(ms, i, 'standby', {}, 'online', {});
        return;
      case 23:
        this.operator(ms, i, 'maintenance', { on: true }, 'maintenance', { on: false });
        return;
      case 24:
        if (variant % 2 === 0) {
          node.verb('cleanup', {});
          return;
        }
        this.forAWhile(ms, `${node.name} has lost the outer network`, () => { this.pingBad[i] = (this.pingBad[i] ?? 0) + 1; this.pingsLater(i, 1000); }, () => { this.pingBad[i] = (this.pingBad[i] ?? 0) - 1; this.pingsLater(i, 300); });
        return;
      default:
        this.forAWhile(ms, `${node.name} leaves`, hurting(() => node.leave()), hurting(() => {
          if (node.leaving) this.scheduler.after(6000, () => node.startProcess());
          node.startProcess();
        }));
    }
  }

  /** A command, and the one that takes it back, at whichever node can be asked. */
  private operator(ms: number, i: Index, verb: ClusterVerb, request: Record<string, unknown>, back: ClusterVerb, backRequest: Record<string, unknown>): void {
    const node = names[i];
    const named = verb === 'maintenance' ? {} : { node };
    this.nodes[i].verb(verb, { ...named, ...request });
    const end = (): void => {
      const at = this.nodes.find(({ manager, process }) => manager !== null && !process.paused);
      if (at === undefined) this.scheduler.after(200, end);
      else at.verb(back, { ...named, ...backRequest });
    };
    let over = false;
    const once = (): void => {
      if (!over) end();
      over = true;
    };
    this.ends.push(once);
    this.scheduler.after(ms, once);
  }

  // --- the end

  /** What is not as it should be; '' when every group runs at one place and everything else is as it has to be. */
  private unwell(): string {
    for (const group of this.groups) {
      const phases = this.nodes.map((node) => node.phaseOf(group.name));
      const at = phases.indexOf('started');
      if (at < 0) return `group ${group.name} runs nowhere (${phases.join('/')})`;
      const i: Index = at === 0 ? 0 : 1;
      if (phases[other(i)] !== 'stopped' && phases[other(i)] !== 'failed') return `group ${group.name} is ${phases[other(i)]} on ${names[other(i)]}`;
      const { kernel } = this.nodes[i];
      if (!kernel.services.has(group.name)) return `service of ${group.name} does not run on ${names[i]}`;
      if (!this.nodes[i].hasVip(group.name)) return `address of ${group.name} is not on ${names[i]}`;
      const [name] = volumesOf(group);
      const volume = name === undefined ? null : this.volumes.get(name);
      if (volume == null) continue;
      if (!volume.isPrimary(i) || volume.isFrozen(i)) return `volume ${volume.name} is ${volume.isPrimary(i) ? 'frozen' : 'Secondary'} on ${names[i]}`;
      if (!kernel.mounted.has(group.name)) return `file system of ${group.name} is not mounted`;
      if (!volume.together) return `volume ${volume.name} is not complete: ${volume.connection(i)} ${volume.disk(i)}/${volume.peerDisk(i)}`;
    }
    for (const node of this.nodes) if (node.manager === null) return `${node.name} has no cluster manager`;
    return '';
  }

  /** All faults end and a person does what only a person can. Returns why it did not heal; ''. `stayMs`: how long it must stay well. */
  heal(stayMs = 3000): string {
    this.say(null, () => 'all faults end');
    for (const end of this.ends.splice(0)) end();
    this.arbiter.slow = this.arbiter.deaf = false;
    for (const node of this.nodes) {
      node.powerOn();
      node.goOn();
    }
    this.networkChanged();
    const began = this.scheduler.now;
    let cleaned = began;
    let wellSince: number | null = null;
    let cleanups = 0;
    while (this.scheduler.now - began < 30_000) {
      this.scheduler.run(200);
      const { now } = this.scheduler;
      if (this.violations.length > 0) return this.violations[0] ?? '';
      if (now - began > 6000) this.quiet = true;
      for (const node of this.nodes) if (node.powered && !node.leaving) { node.startDaemon(); node.startProcess(); }
      for (const volume of this.volumes.values()) if (volume.splitBrain) volume.resolve();
      this.tend();
      for (const node of this.nodes) this.reopen(node);
      if (now - cleaned > 2500 && this.groups.some(({ name }) => this.nodes.some((node) => ['failed', 'stop-failed'].includes(node.phaseOf(name))))) {
        cleaned = now;
        cleanups += 1;
        this.nodes.find(({ manager }) => manager !== null)?.verb('cleanup', {});
      }
      if (this.unwell() === '') {
        wellSince ??= now;
        this.totals.slowestMs = Math.max(this.totals.slowestMs, wellSince - began);
        if (now - wellSince >= stayMs) break;
      } else wellSince = null;
    }
    const unwell = this.unwell();
    if (unwell !== '') return `not healed within 30 s: ${unwell}${cleanups > 0 ? ` (after ${cleanups} cleanups)` : ''}; ${this.nodes.map((node) => JSON.stringify(node.manager?.decision.placements)).join(' ')}`;
    for (const [group, moves] of this.quietMoves) if (moves > 2) return `group ${group} moved ${moves} times although nothing happened any more`;
    for (const volume of this.volumes.values()) {
      this.totals.alone += volume.served;
      this.totals.denials += volume.denials;
      this.totals.writes += volume.acked;
    }
    this.totals.swaps += this.arbiter.swaps;
    return this.violations[0] ?? '';
  }

  /** The operator takes back what got lost because the nodes did not hear of each other's wishes. */
  private reopen(node: NodeSim): void {
    const wishes = node.manager?.wishes;
    if (wishes === undefined) return;
    if (wishes.maintenance.value) node.verb('maintenance', { on: false });
    for (const [name, { value }] of Object.entries(wishes.standby)) if (value) node.verb('online', { node: name });
  }

  run(ms: number): void {
    this.scheduler.run(ms);
  }
}
