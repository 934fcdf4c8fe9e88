/** One node: its kernel, its drbdtsd, and its cluster manager made of the real parts (membership, manager, decide, group machine, record watch). */
import type { ClusterConfig, GroupConfig, MemberConfig } from '../../src/config/cluster-types.js';
import type { RegisterReply, StatusReply } from '../../src/control/messages.js';
import { arbitrationStatusOf } from '../../src/daemon/arbitration-status.js';
import { fenceExit } from '../../src/daemon/arbitration.js';
import { carryOutVerb } from '../../src/cluster/cluster-verbs.js';
import { type DaemonView, viewOf } from '../../src/cluster/daemon-watch.js';
import type { GroupRunner } from '../../src/cluster/group-runner.js';
import { Manager } from '../../src/cluster/manager.js';
import { initialMembership, type MembershipState, membershipView, stepMembership, tickMs, wantsReport } from '../../src/cluster/membership.js';
import type { Heartbeat, MembershipConfig, MembershipEvent } from '../../src/cluster/membership-types.js';
import { volumesOf } from '../../src/cluster/placement.js';
import { RecordWatch } from '../../src/cluster/record-watch.js';
import { type NodeReport, noWishes } from '../../src/cluster/report.js';
import type { StoredWishes } from '../../src/cluster/wishes-store.js';
import type { ClusterRequest, ClusterVerb } from '../../src/control/cluster-messages.js';
import { DrbdtsError } from '../../src/shared/errors.js';
import { type ArbiterSim, GroupRecord, type Index, names, other } from './arbiter.js';
import { type Kernel, SimMember, type Trouble } from './members.js';
import { SimRunner } from './runner.js';
import type { Scheduler } from './scheduler.js';
import type { VolumeHome, VolumeSim } from './volume.js';

/** What a node needs of the world around it. */
export interface Around {
  readonly scheduler: Scheduler;
  readonly arbiter: ArbiterSim;
  readonly cluster: ClusterConfig;
  readonly groups: readonly GroupConfig[];
  readonly arbitrated: boolean;
  readonly reportBytes: number;
  volume(name: string): VolumeSim;
  reachesArbiter(i: Index): { there: boolean; back: boolean };
  send(i: Index, link: number, heartbeat: Heartbeat, report: NodeReport | null): void;
  foreignOwner(i: Index, group: string): boolean;
  vipTaken(i: Index, group: string): void;
  violation(text: string): void;
  say(i: Index | null, text: () => string): void;
  said(i: Index, level: string, sentence: string): void;
  phase(i: Index, group: string, from: string, to: string): void;
  selfFence(i: Index, reason: string): void;
  pingLost(i: Index): number;
  talkChanged(): void;
}

type Late = { kind: 'timer' | 'packet' | 'tick'; run: () => void };

/** Something that can be paused: what happens meanwhile happens afterwards. */
class Process {
  life = 0;
  up = false;
  paused = false;
  private late: Late[] = [];
  private readonly scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler;
  }

  get runs(): boolean {
    return this.up && !this.paused;
  }

  start(): void {
    this.life += 1;
    this.up = true;
    this.paused = false;
    this.late = [];
  }

  end(): void {
    this.life += 1;
    this.up = false;
    this.paused = false;
    this.late = [];
  }

  do(run: () => void, kind: Late['kind'] = 'packet'): void {
    if (!this.up) return;
    if (this.paused) this.late.push({ kind, run });
    else run();
  }

  after(ms: number, run: () => void, kind: Late['kind'] = 'timer'): void {
    const { life } = this;
    this.scheduler.after(ms, () => {
      if (life === this.life) this.do(run, kind);
    });
  }

  /** Timers first, in no certain order, then what has arrived, then the judgement of membership. */
  goOn(): void {
    if (!this.paused) return;
    this.paused = false;
    const { late, life } = this;
    this.late = [];
    const timers = late.filter(({ kind }) => kind === 'timer');
    for (let i = timers.length - 1; i > 0; i--) {
      const j = this.scheduler.draw(i + 1);
      [timers[i], timers[j]] = [timers[j] as Late, timers[i] as Late];
    }
    for (const { run } of [...timers, ...late.filter(({ kind }) => kind === 'packet').slice(-300), ...late.filter(({ kind }) => kind === 'tick')]) {
      if (life === this.life) run();
    }
  }
}

export class NodeSim {
  readonly index: Index;
  readonly name: string;
  readonly kernel: Kernel = { mounted: new Set(), services: new Set(), vips: new Map() };
  readonly daemon: Process;
  readonly process: Process;
  powered = false;
  manager: Manager | null = null;
  runners: SimRunner[] = [];
  /** started again by itself when it ended. */
  leaving = false;
  troubles: { kind: string; trouble: Trouble; untilMs: number }[] = [];
  readonly daemonHome: VolumeHome;
  private readonly around: Around;
  private readonly records = new Map<string, GroupRecord>();
  private membership: MembershipState | null = null;
  private report: NodeReport | null = null;
  private recordWatch: RecordWatch | null = null;
  private view: DaemonView = { up: false, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };
  private readonly asked = new Map<string, { atMs: number; answeredMs: number | null }>();
  private viewText = '';
  private viewPending = false;
  private disk: StoredWishes = { wishes: noWishes, cleaned: {} };
  /** kept devices of a drbdtsd that is not Primary again yet. */
  readonly wasPrimary = new Set<string>();
  private boots = 0;

  constructor(index: Index, around: Around) {
    this.index = index;
    this.name = names[index];
    this.around = around;
    const { scheduler } = around;
    this.daemon = new Process(scheduler);
    this.process = new Process(scheduler);
    this.daemonHome = {
      ...{ index, scheduler, arbiter: around.arbiter },
      inDaemon: (run) => this.daemon.do(run),
      daemonAfter: (ms, run) => this.daemon.after(ms, run),
      reachesArbiter: () => around.reachesArbiter(index),
      statusChanged: () => this.statusChanged(),
      say: (text) => around.say(index, text),
      daemonRuns: () => this.daemon.runs,
      daemonUp: () => this.daemon.up,
    };
    for (const group of around.groups) if (volumesOf(group).length === 0 && around.arbitrated) this.records.set(group.name, new GroupRecord(this.daemonHome, group.name));
  }

  get volumes(): string[] {
    return [...new Set(this.around.groups.flatMap(volumesOf))];
  }

  private say(text: () => string): void {
    this.around.say(this.index, text);
  }

  hasVip(group: string): boolean {
    return this.powered && (this.kernel.vips.get(group) ?? 0) > this.around.scheduler.now;
  }

  phaseOf(group: string): string {
    return this.runners.find(({ config }) => config.name === group)?.state.phase ?? 'none';
  }

  // --- power

  powerOn(): void {
    if (this.powered) return;
    this.say(() => 'has power');
    this.powered = true;
    const { scheduler } = this.around;
    const daemonMs = scheduler.between(50, 600);
    const boot = ++this.boots;
    scheduler.after(daemonMs, () => {
      if (boot === this.boots && !this.daemon.up) this.startDaemon();
    });
    scheduler.after(daemonMs + scheduler.between(0, 400), () => {
      if (boot === this.boots && !this.process.up) this.startProcess();
    });
  }

  powerOff(): void {
    if (!this.powered) return;
    this.say(() => 'loses power');
    this.powered = false;
    this.boots += 1;
    this.killProcess();
    this.killDaemon();
    this.wasPrimary.clear();
    this.kernel.mounted.clear();
    this.kernel.services.clear();
    this.kernel.vips.clear();
    this.troubles = [];
  }

  // --- drbdtsd

  startDaemon(): void {
    if (this.daemon.up || !this.powered) return;
    this.daemon.start();
    this.say(() => 'drbdtsd starts');
    for (const record of this.records.values()) record.start();
    for (const name of this.volumes) {
      const volume = this.around.volume(name);
      volume.start(this.index);
      if (!this.wasPrimary.has(name)) continue;
      // the peer is asked first whether it took over meanwhile
      this.daemon.after(500, () => {
        if (!this.wasPrimary.has(name)) return;
        volume.promote(this.index, (ok) => {
          this.wasPrimary.delete(name);
          this.say(() => `volume ${name} is ${ok ? 'Primary again' : 'not Primary again'}`);
        });
      });
    }
    this.statusChanged();
    this.around.talkChanged();
  }

  killDaemon(): void {
    if (!this.daemon.up) return;
    this.say(() => 'drbdtsd ends');
    for (const name of this.volumes) if (this.around.volume(name).isPrimary(this.index)) this.wasPrimary.add(name);
    this.daemon.end();
    for (const name of this.volumes) this.around.volume(name).crash(this.index);
    this.statusChanged();
    this.around.talkChanged();
  }

  private statusChanged(): void {
    if (this.viewPending || !this.process.up) return;
    this.viewPending = true;
    this.process.after(5, () => {
      this.viewPending = false;
      this.readStatus();
    }, 'packet');
  }

  /** drbdtsd's status as src/cluster/daemon-watch.ts reads it. */
  private readStatus(): void {
    // asked and not answered: as it was
    if (this.daemon.up && this.daemon.paused) return;
    const next = this.daemon.up ? viewOf(this.statusReply(), this.volumes) : { up: false, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };
    const text = JSON.stringify(next);
    if (text === this.viewText) return;
    this.viewText = text;
    this.view = next;
    this.manager?.look();
  }

  private statusReply(): StatusReply {
    const { index, around } = this;
    const resources = this.volumes.map((name) => {
      const volume = around.volume(name);
      const arbitration = around.arbitrated ? arbitrationStatusOf(volume.agent(index).state, 'witness', '') : null;
      return {
        ...{ name, up: true, role: volume.isPrimary(index) ? 'Primary' : 'Secondary', connection: volume.connection(index) },
        volumes: [{ disk: volume.disk(index), peerDisk: volume.peerDisk(index), suspended: volume.isFrozen(index) ? ['fencing'] : [], arbitration }],
      };
    });
    return { resources } as unknown as StatusReply;
  }

  pause(what: 'node' | 'manager' | 'drbdtsd'): void {
    this.say(() => `${what} stands still`);
    if (what !== 'drbdtsd') this.process.paused = true;
    if (what !== 'manager') this.daemon.paused = true;
    this.around.talkChanged();
  }

  goOn(): void {
    if (!this.process.paused && !this.daemon.paused) return;
    this.say(() => 'goes on');
    this.daemon.goOn();
    this.around.talkChanged();
    this.process.goOn();
    this.statusChanged();
  }

  // --- the cluster manager

  killProcess(): void {
    if (!this.process.up) return;
    this.say(() => 'cluster manager ends');
    this.process.end();
    for (const runner of this.runners) runner.close();
    this.runners = [];
    this.manager = null;
    this.membership = null;
    this.recordWatch = null;
    this.viewPending = false;
    this.asked.clear();
    this.viewText = '';
    this.view = { up: false, volumes: {}, standings: {}, silentArbiter: [], unvouched: [], refused: [] };
    this.leaving = false;
  }

  startProcess(): void {
    if (this.process.up || !this.powered) return;
    const { around, index, process } = this;
    const { cluster, groups, scheduler } = around;
    process.start();
    this.say(() => 'cluster manager starts');
    const config: MembershipConfig = {
      ...{ cluster: cluster.name, self: this.name, peer: names[other(index)], links: cluster.links.map(({ name }) => name) },
      ...{ keepaliveMs: cluster.keepaliveMs, warntimeMs: cluster.warntimeMs, deadtimeMs: cluster.deadtimeMs, initdeadMs: cluster.initdeadMs },
    };
    this.report = null;
    this.membership = initialMembership(config, `${this.name}-${process.life}`, scheduler.now);
    const look = (): void => this.manager?.look();
    const clock = { nowMs: () => scheduler.now };
    this.recordWatch = new RecordWatch(this.registerControl(), clock, look);
    this.runners = groups.map((group) => this.makeRunner(group));
    // what is logged is in the history as well
    const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    const records = this.recordWatch;
    this.manager = new Manager({
      ...{ cluster, groups, node: this.name, configDigest: 'same', clock },
      log: log as never,
      runners: this.runners as unknown as GroupRunner[],
      history: { add: (level: string, _group: string, sentence: string) => around.said(index, level, sentence), last: () => [] } as never,
      wishes: { read: () => this.disk, write: (value: StoredWishes) => { this.disk = value; } } as never,
      membership: () => membershipView(this.membership as MembershipState, scheduler.now),
      setReport: (report) => {
        this.report = report;
        this.step({ kind: 'report', bytes: around.reportBytes });
        return this.membership?.ownVersion ?? 0;
      },
      daemon: () => this.view,
      // the model's volumes never refuse a connection for good
      reconnect: () => {},
      askReplication: (name) => this.askReplication(name),
      replicationAgeMs: () => Object.fromEntries([...this.asked].flatMap(([name, { answeredMs }]) => (answeredMs === null ? [] : [[name, scheduler.now - answeredMs]]))),
      pingLost: () => around.pingLost(index),
      recordUnvouched: (group) => records.unvouched(group),
      recordStanding: (group) => (around.arbitrated ? records.standing(group) : 'none'),
      claimRecord: (group) => records.claim(group),
      tendRecord: (group, here, peerAlive) => {
        if (around.arbitrated) records.tend(group, here, peerAlive);
      },
    });
    this.statusChanged();
    for (const runner of this.runners) runner.send({ kind: 'probe' });
    const every = (ms: number, run: () => void, kind: 'timer' | 'tick'): void => process.after(ms, () => {
      run();
      every(ms, run, kind);
    }, kind);
    every(Math.max(20, Math.min(cluster.keepaliveMs, 250)), () => this.tick(), 'timer');
    every(2 * tickMs(config), () => this.step({ kind: 'tick' }), 'tick');
  }

  private tick(): void {
    this.manager?.look();
    if (!this.leaving) return;
    if (!this.runners.every(({ state }) => ['stopped', 'failed', 'unknown', 'stop-failed'].includes(state.phase))) return;
    if (!this.runners.some(({ state }) => state.phase === 'stop-failed')) this.step({ kind: 'goodbye' });
    this.killProcess();
  }

  leave(): void {
    if (this.manager === null || this.process.paused) return;
    this.leaving = true;
    void this.manager.leave();
  }

  verb(verb: ClusterVerb, request: ClusterRequest): void {
    const { manager } = this;
    if (manager === null || this.process.paused) return;
    this.say(() => `operator: ${verb} ${JSON.stringify(request)}`);
    try {
      carryOutVerb(manager, verb, request);
    } catch (error) {
      if (!(error instanceof DrbdtsError)) throw error;
      this.say(() => `operator: ${error.message}`);
    }
  }

  receive(link: string, heartbeat: Heartbeat, report: NodeReport | null): void {
    this.process.do(() => {
      if (this.membership === null) return;
      const value = report !== null && wantsReport(this.membership, heartbeat) ? { value: report } : null;
      this.step({ kind: 'packet', link, heartbeat, report: value });
    });
  }

  private step(event: MembershipEvent): void {
    const { around, index } = this;
    if (this.membership === null) return;
    const { state, actions } = stepMembership(this.membership, event, around.scheduler.now);
    this.membership = state;
    for (const action of actions) {
      switch (action.kind) {
        case 'stalled':
          this.manager?.stalled(action.forMs);
          break;
        case 'send':
          for (const [link, heartbeat] of action.heartbeats.entries()) around.send(index, link, heartbeat, action.withReport ? this.report : null);
          break;
        case 'log':
          around.said(index, action.level, action.text);
          break;
        case 'checkReplication':
          this.checkReplication();
          break;
        case 'viewChanged':
          this.manager?.look();
          break;
        case 'refused':
          break;
      }
    }
  }

  private checkReplication(): void {
    const { around, process, volumes } = this;
    const { cluster, scheduler } = around;
    if (volumes.length === 0) {
      this.step({ kind: 'replication', sign: 'unknown' });
      return;
    }
    if (!this.daemon.runs) {
      process.after(5, () => this.step({ kind: 'replication', sign: 'unknown' }), 'packet');
      return;
    }
    if (volumes.some((name) => around.volume(name).peerAnswers())) {
      process.after(scheduler.between(1, 5), () => this.step({ kind: 'replication', sign: 'alive' }), 'packet');
      return;
    }
    const connected = volumes.some((name) => around.volume(name).connected);
    process.after(connected ? ((cluster.deadtimeMs - cluster.warntimeMs) * 2) / 3 : 3, () => this.step({ kind: 'replication', sign: 'dead' }), 'packet');
  }

  /** As the daemon watch: an engine that gives no sign of life in time loses its connection (the model's does by itself). */
  private askReplication(name: string): void {
    const { around, process } = this;
    const { cluster, scheduler } = around;
    const { now } = scheduler;
    const waitMs = cluster.deadtimeMs / 3;
    const before = this.asked.get(name);
    if (before !== undefined && now - before.atMs < waitMs) return;
    const asked = { atMs: now, answeredMs: before?.answeredMs ?? null };
    this.asked.set(name, asked);
    if (!this.daemon.runs || !around.volume(name).peerAnswers()) return;
    process.after(scheduler.between(1, 5), () => {
      asked.answeredMs = now;
      this.manager?.look();
    }, 'packet');
  }

  private makeRunner(group: GroupConfig): SimRunner {
    const { around, index, process, kernel } = this;
    const { scheduler } = around;
    const [volumeName] = volumesOf(group);
    const members = group.members.map(
      (member: MemberConfig) =>
        new SimMember(member, {
          ...{ index, group: group.name, kernel, volume: volumeName === undefined ? null : around.volume(volumeName) },
          hasFilesystem: group.members.some(({ kind }) => kind === 'filesystem'),
          nowMs: () => scheduler.now,
          between: (from, to) => scheduler.between(from, to),
          after: (ms, run) => process.after(ms, run),
          deliver: (run) => process.do(run),
          daemonRuns: () => this.daemon.runs,
          recovering: () => volumeName !== undefined && this.wasPrimary.has(volumeName),
          forgetDevice: () => void this.wasPrimary.delete(volumeName ?? ''),
          trouble: (kind) => this.troubles.find((one) => one.kind === kind && one.untilMs > scheduler.now)?.trouble ?? null,
          mayServe: () => this.manager?.mayServe(group.name) ?? true,
          foreignOwner: () => around.foreignOwner(index, group.name),
          vipTaken: () => around.vipTaken(index, group.name),
          violation: (text) => around.violation(`${this.name}: ${text}`),
          say: (text) => this.say(text),
        }),
    );
    return new SimRunner(group, members, {
      nowMs: () => scheduler.now,
      after: (ms, run) => process.after(ms, run),
      changed: () => this.manager?.look(),
      phase: (from, to) => around.phase(index, group.name, from, to),
      say: (level, sentence) => this.manager?.say(level, group.name, sentence),
      selfFence: (reason) => around.selfFence(index, reason),
      ran: (kind) => around.violation(`${this.name}: ${kind} of a member of ${group.name} in maintenance`),
    });
  }

  /** drbdtsd's register calls, answered in virtual time. */
  private registerControl(): ConstructorParameters<typeof RecordWatch>[0] {
    const ask = (work: (record: GroupRecord, done: (exitCode: number) => void) => void, group: string, granted: (exitCode: number) => boolean): Promise<RegisterReply> => {
      const { daemon, process, around } = this;
      let settle: (reply: RegisterReply) => void = () => {};
      let fail: () => void = () => {};
      let over = false;
      const end = (run: () => void): void => process.do(() => {
        if (!over) run();
        over = true;
      });
      const { life } = process;
      const soon = around.scheduler.between(1, 6);
      around.scheduler.after(soon, () => {
        const record = this.records.get(group);
        if (!daemon.up || record === undefined) {
          if (life === process.life) end(fail);
          return;
        }
        const daemonLife = daemon.life;
        const watch = (): void => {
          if (over || life !== process.life) return;
          if (daemon.life !== daemonLife) end(fail);
          else around.scheduler.after(200, watch);
        };
        around.scheduler.after(200, watch);
        daemon.do(() =>
          work(record, (exitCode) => {
            const status = arbitrationStatusOf(record.agent.state, 'witness', '');
            const reply = { ...status, granted: granted(exitCode) } as RegisterReply;
            if (life === process.life) end(() => settle(reply));
          }),
        );
      });
      const thenable = {
        // biome-ignore lint/suspicious/noThenProperty: answers come at a virtual time, not in a microtask
        then: (onReply: (reply: RegisterReply) => void, onFail: () => void) => {
          settle = onReply;
          fail = onFail;
        },
      };
      return thenable as unknown as Promise<RegisterReply>;
    };
    return {
      claim: (group, peerGone) => ask((record, done) => record.claim(peerGone, done), group, (exitCode) => exitCode === fenceExit.out),
      release: (group, peerGone) => ask((record, done) => {
        record.release(peerGone);
        done(fenceExit.out);
      }, group, () => false),
    };
  }
}
