/**
 * The cluster manager of one node without its process: heartbeats, drbdtsd, groups and wishes come together here, decide.ts is asked, its
 * orders are carried out, and every one of them becomes a sentence.
 */
import type { ClusterConfig, GroupConfig } from '../config/cluster-types.js';
import type { ClusterReply, ClusterRequest, ClusterStatus, ClusterVerb, HistoryEntry } from '../control/cluster-messages.js';
import type { ClusterHandlers } from '../control/cluster-server.js';
import type { Clock } from '../shared/clock.js';
import type { Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import { carryOutVerb } from './cluster-verbs.js';
import { clusterStatusOf, silentArbiterSentence, unvouchedSentence } from './cluster-status.js';
import type { DaemonView } from './daemon-watch.js';
import { afterPause, decide, type DecideInput, type Decision, type DecideMemory, freshMemory, type Order, type Standing } from './decide.js';
import type { GroupRunner } from './group-runner.js';
import type { History } from './history.js';
import type { MembershipView } from './membership-types.js';
import { volumesOf } from './placement.js';
import { mergeWishes, nextStamp, type NodeReport, nodeReport, type Wishes } from './report.js';
import type { WishesStore } from './wishes-store.js';

export interface ManagerParts {
  cluster: ClusterConfig;
  groups: readonly GroupConfig[];
  node: string;
  configDigest: string;
  clock: Pick<Clock, 'nowMs'>;
  log: Log;
  runners: readonly GroupRunner[];
  history: History;
  wishes: WishesStore;
  membership(): MembershipView;
  /** what the next heartbeats say; returns the version of the report. */
  setReport(report: NodeReport): number;
  daemon(): DaemonView;
  /** a resource that gave up its connection (DaemonView.refused) is to try again. */
  reconnect(resource: string): void;
  /** asks the peer's engine for a sign of life; `replicationAgeMs` tells. May be called at every look. */
  askReplication(resource: string): void;
  replicationAgeMs(): Record<string, number>;
  pingLost(): number;
  /** standings of groups without volumes, by group; asked for with `claimRecord`. */
  recordStanding(group: string): Standing;
  recordUnvouched(group: string): boolean;
  claimRecord(group: string): void;
  /** whether a group without volumes runs here, and whether the other node is there. */
  tendRecord(group: string, here: boolean, peerAlive: boolean): void;
}

/** How long a denied or undecided group has to be gone before the node is fenced. */
const urgentStopMs = 20_000;

export class Manager implements ClusterHandlers {
  readonly parts: ManagerParts;
  readonly #listeners = new Set<() => void>();
  readonly #held = new Set<string>();
  /** groups whose stop begins with cutting the devices. */
  readonly #cut = new Set<string>();
  #wishes: Wishes;
  #cleaned: Record<string, number>;
  #memory: DecideMemory = freshMemory;
  #decision: Decision = { memory: freshMemory, orders: [], claimed: [], placements: {} };
  #reported = '';
  #peerReport: { raw: unknown; text: string; value: NodeReport | null } = { raw: undefined, text: '', value: null };
  #said = new Map<string, string>();
  /** by volume, what the arbiter was last known to have recorded. */
  #recorded = new Map<string, Standing>();
  #leaving = false;
  #looking = false;
  #again = false;

  constructor(parts: ManagerParts) {
    this.parts = parts;
    const stored = parts.wishes.read((reason) => this.say('warn', '', `the operator's wishes could not be read and are forgotten: ${reason}`));
    this.#wishes = stored.wishes;
    this.#cleaned = stored.cleaned;
  }

  // --- what others ask ---------------------------------------------------------------------------------------------------------------

  get wishes(): Wishes {
    return this.#wishes;
  }

  get decision(): Decision {
    return this.#decision;
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** The peer's report if it is there and makes sense. */
  get peerReport(): NodeReport | null {
    const view = this.parts.membership();
    return view.peer === 'alive' ? this.#readPeer(view.report) : null;
  }

  /** Volumes, and `group/NAME`, whose arbiter waits until the peer vouches for the record. */
  get unvouched(): string[] {
    const { parts } = this;
    const groups = parts.groups.filter((group) => volumesOf(group).length === 0 && parts.recordUnvouched(group.name));
    return [...parts.daemon().unvouched, ...groups.map(({ name }) => `group/${name}`)];
  }

  /** What this node says of itself. */
  get ownReport(): NodeReport {
    const { claimed } = this.#decision;
    const own = this.#own(this.parts.daemon());
    return { ...own, groups: Object.fromEntries(Object.entries(own.groups).map(([name, group]) => [name, { ...group, claim: claimed.includes(name) }])) };
  }

  get standby(): boolean {
    return this.#wishes.standby[this.parts.node]?.value ?? false;
  }

  /** false: addresses of the group are held back, their lifetime is not renewed. */
  mayServe(group: string): boolean {
    return !this.#held.has(group) && !this.#decision.orders.some((order) => order.kind === 'keep-unrenewed' && order.group === group);
  }

  isHeld(group: string): boolean {
    return this.#held.has(group);
  }

  status(): ClusterStatus {
    return clusterStatusOf(this);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  history(limit: number): HistoryEntry[] {
    return this.parts.history.last(limit);
  }

  async verb(verb: ClusterVerb, request: ClusterRequest): Promise<ClusterReply> {
    return carryOutVerb(this, verb, request);
  }

  /** Takes an operator's wish: durable before it is acted upon. */
  wish(change: (wishes: Wishes) => Wishes): void {
    this.#takeWishes(change(this.#wishes));
    this.look();
  }

  say(level: 'info' | 'warn' | 'error', group: string, sentence: string): void {
    this.parts.log[level](sentence);
    this.parts.history.add(level, group, sentence);
  }

  // --- events ------------------------------------------------------------------------------------------------------------------------

  /** This process stood still for `forMs`: called before anything that has arrived meanwhile is looked at. */
  stalled(forMs: number): void {
    this.say('warn', '', `this node stood still for ${Math.round(forMs)} ms; nothing is done until it is known what the other node did`);
    const next = this.parts.membership().ownVersion + 1;
    this.#memory = afterPause(this.#memory, next, this.parts.clock.nowMs());
    this.#reported = '';
    this.look();
  }

  /** Stops every group and says so; resolves when all are stopped, or cannot be. The caller says goodbye then. */
  async leave(): Promise<boolean> {
    this.#leaving = true;
    this.say('info', '', 'this node leaves the cluster: its groups are stopped');
    this.look();
    return new Promise((resolve) => {
      const check = (): void => {
        const phases = this.parts.runners.map(({ state }) => state.phase);
        if (!phases.every((phase) => ['stopped', 'failed', 'unknown', 'stop-failed'].includes(phase))) return;
        stop();
        resolve(!phases.includes('stop-failed'));
      };
      const stop = this.subscribe(check);
      check();
    });
  }

  /** Everything that changes comes here. */
  look(): void {
    // orders change phases, which call back
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    for (let rounds = 0; this.#again && rounds < 50; rounds++) {
      this.#again = false;
      this.#lookOnce();
    }
    this.#looking = false;
    for (const listener of [...this.#listeners]) listener();
  }

  // --- inside ------------------------------------------------------------------------------------------------------------------------

  #readPeer(report: unknown): NodeReport | null {
    if (report === this.#peerReport.raw) return this.#peerReport.value;
    const text = JSON.stringify(report ?? null);
    if (text === this.#peerReport.text) return this.#peerReport.value;
    const parsed = nodeReport.safeParse(report);
    if (!parsed.success && report !== null) this.#once('report', 'error', `what the other node says of itself is not understood: ${parsed.error.issues[0]?.message ?? ''}; update both nodes`);
    this.#peerReport = { raw: report, text, value: parsed.success ? parsed.data : null };
    return this.#peerReport.value;
  }

  /** A sentence that is said again only after something else was said under the same key. */
  #once(key: string, level: 'info' | 'warn' | 'error', sentence: string, group = ''): void {
    if (this.#said.get(key) === sentence) return;
    this.#said.set(key, sentence);
    if (sentence !== '') this.say(level, group, sentence);
  }

  #takeWishes(wishes: Wishes): void {
    if (JSON.stringify(wishes) === JSON.stringify(this.#wishes)) return;
    this.#wishes = wishes;
    this.#store();
  }

  #store(): void {
    try {
      this.parts.wishes.write({ wishes: this.#wishes, cleaned: this.#cleaned });
    } catch (error) {
      this.#once('store', 'error', `the operator's wishes could not be stored: ${(error as Error).message}`);
    }
  }

  #lookOnce(): void {
    const { parts } = this;
    const view = parts.membership();
    const peer = this.#readPeer(view.report);
    if (peer !== null && view.peer === 'alive') this.#takeWishes(mergeWishes(this.#wishes, peer.wishes));
    this.#applyWishes();
    if (view.peer !== 'alive') this.#forgetPins();
    const daemon = parts.daemon();
    const standings = { ...daemon.standings };
    this.#tellRecorded(standings);
    for (const { config, state } of parts.runners) {
      if (volumesOf(config).length === 0) parts.tendRecord(config.name, ['partial', 'starting', 'started'].includes(state.phase), view.peer === 'alive');
    }
    for (const group of parts.groups) standings[`group/${group.name}`] ??= parts.recordStanding(group.name);
    const own = this.#own(daemon);
    const input: DecideInput = {
      cluster: parts.cluster,
      groups: parts.groups,
      self: parts.node,
      nowMs: parts.clock.nowMs(),
      own,
      nextVersion: view.ownVersion + 1,
      peer: view.peer,
      peerReport: peer,
      confirmedVersion: view.confirmedVersion,
      confirmedAgeMs: view.confirmedAgeMs,
      reportIsCurrent: view.reportIsCurrent,
      twins: view.twins === 'own name' || view.twins === 'peer name',
      standings,
      silentArbiter: daemon.silentArbiter,
      replicationAgeMs: parts.replicationAgeMs(),
      unvouched: this.unvouched,
      daemonUp: daemon.up || parts.groups.every((group) => group.members.every((member) => member.kind !== 'volume')),
    };
    this.#decision = decide(input, this.#memory);
    this.#memory = this.#decision.memory;
    for (const order of this.#decision.orders) this.#carryOut(order);
    // nothing is held back any more of what is not there
    for (const { config, state } of parts.runners) if (state.phase === 'stopped' || state.phase === 'failed') this.#held.delete(config.name);
    for (const name of daemon.refused) {
      const sides = [daemon.volumes[name]?.role, view.peer === 'alive' ? peer?.volumes[name]?.role : undefined];
      if (!sides.every((role) => role === 'Primary')) parts.reconnect(name);
    }
    for (const [group, { node, why }] of Object.entries(this.#decision.placements)) {
      if (node === null) this.#once(`placement ${group}`, 'warn', `group ${group} can run nowhere: ${why}`, group);
      else if (why.startsWith('waiting: ')) this.#once(`placement ${group}`, 'warn', `group ${group} is not started yet, ${why}`, group);
      else this.#said.delete(`placement ${group}`);
    }
    const { silentArbiter } = daemon;
    if (silentArbiter.length > 0) this.#once('arbiter', 'warn', silentArbiterSentence(silentArbiter));
    else if (daemon.up && this.#said.delete('arbiter')) this.say('info', '', 'the arbiter answers again');
    if (this.unvouched.length > 0 && view.peer !== 'alive') this.#once('vouching', 'warn', unvouchedSentence(this));
    else if (daemon.up && this.#said.delete('vouching')) this.say('info', '', 'the arbiter has been vouched for');
    this.#report();
  }

  /** What the arbiter has recorded of volumes, whenever that is something new. */
  #tellRecorded(standings: Readonly<Record<string, Standing>>): void {
    for (const [volume, standing] of Object.entries(standings)) {
      // a question under way is no news
      if (standing === 'open' || standing === 'none') continue;
      const before = this.#recorded.get(volume);
      this.#recorded.set(volume, standing);
      if (before === undefined || before === standing) continue;
      if (standing === 'together') this.say('info', '', `volume ${volume}: both nodes are recorded as in sync again`);
      else if (standing === 'alone') this.say('warn', '', `volume ${volume}: the arbiter has recorded that ${this.parts.node} goes on alone`);
      else this.say('warn', '', `volume ${volume}: the arbiter has recorded ${this.parts.node} as out; its data may be old from now on`);
    }
  }

  #applyWishes(): void {
    const { maintenance, cleanups } = this.#wishes;
    let changed = false;
    for (const runner of this.parts.runners) {
      if (runner.state.maintenance !== maintenance.value) runner.send({ kind: 'maintenance', on: maintenance.value });
      const stamp = cleanups[runner.config.name]?.stamp ?? 0;
      if (stamp <= (this.#cleaned[runner.config.name] ?? 0)) continue;
      this.#cleaned[runner.config.name] = stamp;
      changed = true;
      runner.send({ kind: 'cleanup' });
    }
    if (changed) this.#store();
  }

  /** A group that has failed over does not run back only because it had once been moved by hand. */
  #forgetPins(): void {
    const { node, runners } = this.parts;
    const old = runners.filter(({ config, state }) => state.phase === 'started' && ![node, '', undefined].includes(this.#wishes.pins[config.name]?.value));
    if (old.length === 0) return;
    const stamp = nextStamp(this.#wishes);
    this.#takeWishes({ ...this.#wishes, pins: { ...this.#wishes.pins, ...Object.fromEntries(old.map(({ config }) => [config.name, { value: '', stamp }])) } });
  }

  #own(daemon: DaemonView): DecideInput['own'] {
    const { parts } = this;
    return {
      node: parts.node,
      version,
      configDigest: parts.configDigest,
      standby: this.standby,
      leaving: this.#leaving,
      pingLost: parts.pingLost(),
      groups: Object.fromEntries(
        parts.runners.map(({ config, state }) => [config.name, { phase: state.phase, failed: state.failure !== '' || state.phase === 'failed', failCount: state.failCount, held: this.#held.has(config.name) }]),
      ),
      volumes: daemon.volumes,
      wishes: this.#wishes,
    };
  }

  #report(): void {
    const report = this.ownReport;
    const text = JSON.stringify(report);
    if (text === this.#reported) return;
    this.#reported = text;
    this.parts.setReport(report);
  }

  #carryOut(order: Order): void {
    const runner = this.parts.runners.find(({ config }) => config.name === order.group);
    if (runner === undefined) return;
    switch (order.kind) {
      case 'start':
        this.#release(runner);
        runner.send({ kind: 'start', reason: order.reason });
        return;
      case 'stop':
        if (runner.state.phase !== 'stopping') this.#cut.delete(order.group);
        // it knows, unless it is to be stopped harder than before
        else if (!(order.urgent && !runner.state.urgent) && (!order.cut || this.#cut.has(order.group))) return;
        if (order.urgent) this.#hold(runner, order.reason);
        if (order.cut) this.#cut.add(order.group);
        runner.send({ kind: 'stop', reason: order.reason, urgent: order.urgent, ...(order.urgent ? { withinMs: urgentStopMs } : {}), ...(order.cut ? { level: 'cut' } : {}) });
        return;
      case 'hold':
        this.#hold(runner, order.reason);
        return;
      case 'release':
        this.#release(runner);
        return;
      case 'keep-unrenewed':
        return;
      case 'ask-replication':
        for (const resource of volumesOf(runner.config)) this.parts.askReplication(resource);
        return;
      case 'claim-record':
        this.parts.claimRecord(order.group);
        return;
    }
  }

  #hold(runner: GroupRunner, reason: string): void {
    const { name } = runner.config;
    if (this.#held.has(name)) return;
    this.#held.add(name);
    this.say('warn', name, `addresses of group ${name} are held back: ${reason}`);
    for (const member of runner.members) member.hold?.(true);
  }

  #release(runner: GroupRunner): void {
    const { name } = runner.config;
    if (!this.#held.delete(name)) return;
    this.say('info', name, `addresses of group ${name} are given back`);
    for (const member of runner.members) member.hold?.(false);
  }
}
