/**
 * VRRP on one node: sockets, timers and trackers joined with the machines. Every decision is in machine.ts, sync.ts and track.ts; what is kept here
 * are the promises of types.ts: adverts in the order of the kernel with its times, and never a timer before what had come in until then.
 */
import type { VrrpSection } from '../../config/vrrp-types.js';
import type { VrrpStatus } from '../../control/vrrp-messages.js';
import type { Clock } from '../../shared/clock.js';
import type { Log } from '../../shared/log.js';
import type { NativeNet, NetMonitor, VrrpPacket, VrrpSocket } from '../net-native.js';
import { decodeAdvert, vridOf, vrrpProtocol } from './codec.js';
import { explainSection } from './explain-section.js';
import { type OwnInstance, ownInstances, trackRules } from './from-config.js';
import { initialMachine, type MachineState, nextDeadlineMs } from './machine-state.js';
import { step } from './machine.js';
import { Notifier } from './notify.js';
import { tickMs } from './rules.js';
import { snapshot } from './snapshot.js';
import { statusOf } from './status.js';
import { initialSync, type SyncConfig, type SyncState, syncStep } from './sync.js';
import { initialTrack, type TrackEvent, type TrackRule, trackResult, type TrackState, trackStep } from './track.js';
import { Trackers } from './trackers.js';
import type { GateState, VrrpEvent } from './types.js';
import { Unit } from './unit.js';

export interface VrrpOptions {
  readonly section: VrrpSection;
  readonly node: string;
  readonly net: NativeNet;
  /** time since boot, as the kernel's time stamps. */
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** of notify scripts; 0 none. */
  readonly handlerTimeoutMs: number;
  /** what the placement says of a group here. */
  readonly gate: (group: string) => { state: GateState; reason: string };
}

/** Instances that move together, with their own scripts. */
interface Group {
  readonly config: SyncConfig;
  readonly notifier: Notifier;
  state: SyncState;
}

/** Looking again at interfaces of which no message came. */
const lookEveryMs = 1000;
/** for the stop scripts. */
const stopWaitMs = 3000;

export class VrrpRuntime {
  readonly #options: VrrpOptions;
  readonly units: readonly Unit[];
  readonly #rules: readonly TrackRule[];
  readonly #trackers: Trackers;
  readonly #groups: Group[];
  readonly #solo = new Map<string, MachineState>();
  readonly #sockets = new Map<string, { socket: VrrpSocket; groups: string }>();
  readonly #gates = new Map<string, string>();
  #track: TrackState;
  #monitor: NetMonitor | null = null;
  #timer: NodeJS.Timeout | null = null;
  #running = false;
  #lookedMs = 0;
  readonly #lostMs = new Map<string, number>();
  readonly #interfaces = new Map<string, string>();
  /** why an instance can not receive adverts, by name: it must not take that for silence. */
  readonly #deaf = new Map<string, string>();

  constructor(options: VrrpOptions) {
    const { section, node, net, log, clock, handlerTimeoutMs } = options;
    const own = ownInstances(section, node);
    const nowMs = (): number => clock.nowMs();
    this.#options = options;
    this.units = own.map((each) => new Unit({ own: each, net, log, handlerTimeoutMs, nowMs }));
    this.#rules = trackRules(section, own);
    this.#track = initialTrack(this.#rules);
    this.#trackers = new Trackers({ section, rules: this.#rules, clock, onEvent: (event) => this.#tracked(event) });
    this.#groups = section.syncGroups.flatMap(({ name, instances, notify }): Group[] => {
      const members = own.filter((each) => instances.includes(each.instance.name)).map(({ config }) => config);
      if (members.length === 0) return [];
      const config = { name, members };
      return [{ config, state: initialSync(config, clock.nowMs()), notifier: new Notifier({ type: 'GROUP', name, notify, timeoutMs: handlerTimeoutMs, nowMs, log }) }];
    });
    for (const { config } of own) if (this.#groupOf(config.name) === null) this.#solo.set(config.name, initialMachine(config, clock.nowMs()));
  }

  async start(): Promise<void> {
    for (const unit of this.units) unit.addresses.removeLeftovers();
    await Promise.all([...this.units, ...this.#groups].map(({ notifier }) => notifier.start()));
    this.#monitor = this.#options.net.monitor(() => this.#look(), (error) => this.#options.log.error(`vrrp: ${error.message}`));
    this.#lookAtInterfaces();
    for (const unit of this.units) this.#tellTracked(unit);
    this.gatesChanged();
    this.#running = true;
    for (const unit of this.units) this.#begin(unit);
    this.#trackers.start();
    this.#tick();
  }

  /** Addresses are dropped, adverts of priority 0 sent, the stop scripts waited for. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    for (const unit of this.units) if (this.#stateOf(unit.name).started) this.#feed(unit, { kind: 'stop' });
    this.#running = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#trackers.close();
    const scripts = Promise.all([...this.units, ...this.#groups].map(({ notifier }) => notifier.idle()));
    await Promise.race([scripts, this.#options.clock.sleep(stopWaitMs)]);
    this.#monitor?.close();
    for (const { socket } of this.#sockets.values()) socket.close();
    this.#sockets.clear();
    for (const unit of this.units) unit.close();
    for (const { notifier } of this.#groups) notifier.close();
  }

  /** The placement of a gated group may be another one. */
  gatesChanged(): void {
    for (const unit of this.units) {
      const { gate } = unit.own.instance;
      if (gate === null) continue;
      const { state, reason } = this.#options.gate(gate.group);
      const text = `${state}: ${reason}`;
      if (this.#gates.get(unit.name) === text) continue;
      this.#gates.set(unit.name, text);
      this.#feed(unit, { kind: 'gate', state, reason });
    }
  }

  status(): VrrpStatus {
    return statusOf({
      node: this.#options.node,
      nowMs: this.#options.clock.nowMs(),
      units: this.units.map((unit) => ({ unit, state: this.#stateOf(unit.name), gate: this.#gates.get(unit.name) ?? '' })),
      groups: this.#groups.map(({ config, state, notifier }) => ({ name: config.name, state: state.phase, instances: config.members.map(({ name }) => name), scripts: notifier.results })),
      track: this.#track,
      checks: this.#trackers.views,
    });
  }

  /** What an instance is now; null when this node has none of that name. */
  phaseOf(name: string): string | null {
    return this.units.some((unit) => unit.name === name) ? this.#stateOf(name).phase : null;
  }

  /** What would happen if: sentences, from the configuration of all nodes and what is so here. */
  explain(): string[] {
    const { section, node, clock } = this.#options;
    const nowMs = clock.nowMs();
    const known = new Map(this.units.map((unit) => [unit.name, snapshot(unit.own.config, this.#stateOf(unit.name), nowMs)]));
    return explainSection(section, node, known, (name, instance) => (name === node ? (this.units.find((unit) => unit.name === instance)?.source ?? '') : ''));
  }

  // --- events ------------------------------------------------------------------------------------------------------------------------

  #groupOf(name: string): Group | null {
    return this.#groups.find(({ config }) => config.members.some((member) => member.name === name)) ?? null;
  }

  #stateOf(name: string): MachineState {
    const state = this.#solo.get(name) ?? this.#groupOf(name)?.state.members[name];
    if (state === undefined) throw new Error(`there is no instance ${name}`);
    return state;
  }

  /** A group starts as one, when its first member is begun. */
  #begin(unit: Unit): void {
    if (!this.#stateOf(unit.name).started) this.#feed(unit, { kind: 'start', source: unit.source });
    const group = this.#groupOf(unit.name);
    // the event of the whole group named the address of one member
    if (group !== null) for (const other of this.units) if (group.config.members.some(({ name }) => name === other.name)) this.#feed(other, { kind: 'source', source: other.source });
  }

  /** One event; what the sending thread did comes before it. */
  #feed(unit: Unit, event: VrrpEvent): void {
    const advertised = unit.advertised();
    if (advertised !== null) this.#step(unit, { kind: 'advertised', ...advertised });
    this.#step(unit, event);
  }

  #step(unit: Unit, event: VrrpEvent): void {
    const nowMs = this.#options.clock.nowMs();
    const group = this.#groupOf(unit.name);
    if (group === null) {
      const { state, actions } = step(unit.own.config, this.#stateOf(unit.name), event, nowMs);
      this.#solo.set(unit.name, state);
      for (const action of actions) unit.carryOut(action);
      return;
    }
    const { state, actions, notify } = syncStep(group.config, group.state, unit.name, event, nowMs);
    group.state = state;
    for (const { member, action } of actions) this.units.find(({ name }) => name === member)?.carryOut(action);
    if (notify === null) return;
    this.#options.log.info(`vrrp ${group.config.name}: the group is ${notify}`);
    group.notifier.tell(({ master: 'MASTER', backup: 'BACKUP', fault: 'FAULT', stop: 'STOP' } as const)[notify], 0);
  }

  #tick(): void {
    if (!this.#running) return;
    const { clock } = this.#options;
    if (clock.nowMs() - this.#lookedMs >= lookEveryMs) this.#lookAtInterfaces();
    // a socket may be gone with its interface: then nothing can have come in
    const heard = new Map([...this.#sockets].map(([key, { socket }]) => [key, socket.drain()]));
    for (const unit of this.units) {
      this.#feed(unit, { kind: 'tick', heardUntilMs: heard.get(keyOf(unit)) ?? clock.nowMs() });
      unit.renewLease();
      if (!unit.addresses.renew()) this.#lost(unit, 'an address was taken away, or was not renewed in time');
    }
    this.#plan();
  }

  #plan(): void {
    const nowMs = this.#options.clock.nowMs();
    const next = this.units.map((unit) => Math.min(nextDeadlineMs(this.#stateOf(unit.name)) ?? Number.POSITIVE_INFINITY, nowMs + tickMs(unit.own.config)));
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, Math.ceil(Math.min(...next, nowMs + lookEveryMs) - nowMs)));
  }

  #packet(index: number, family: 4 | 6, packet: VrrpPacket): void {
    const { source, destination, ttl, data, receivedMs } = packet;
    const received = { protocol: vrrpProtocol, source, destination, ttl, payload: data };
    const vrid = vridOf(received);
    for (const unit of this.units) {
      const { config } = unit.own;
      if (unit.index !== index || config.family !== family || config.vrid !== vrid) continue;
      const decoded = decodeAdvert(config, received);
      if (decoded.ok) {
        unit.noted(source, decoded.notes);
        this.#feed(unit, { kind: 'advert', receivedMs, advert: decoded.advert });
      } else this.#feed(unit, { kind: 'rejected', receivedMs, source, reason: decoded.reason, text: decoded.text });
      // a timer may end earlier or later now
      if (this.#running) this.#plan();
    }
  }

  // --- what is tracked ---------------------------------------------------------------------------------------------------------------

  #tracked(event: TrackEvent): void {
    const { state, changes } = trackStep(this.#rules, this.#track, event);
    this.#track = state;
    for (const change of changes) this.#options.log.info(`vrrp: ${change}`);
    if (!this.#running) return;
    for (const unit of this.units) if (unit.own.uses.some((use) => use.kind === event.kind && use.name === event.name)) this.#tellTracked(unit);
    this.#plan();
  }

  #tellTracked(unit: Unit): void {
    const { uses, weightless, config } = unit.own;
    const { terms, faults } = trackResult(uses, this.#track, config.priority, weightless);
    const deaf = this.#deaf.get(unit.name);
    this.#feed(unit, { kind: 'tracked', result: { terms, faults: deaf === undefined ? faults : [...faults, { text: `adverts can not be received on ${config.interface}: ${deaf}`, quiet: false }] } });
  }

  /** Something about interfaces or addresses has changed. */
  #look(): void {
    if (!this.#running) return;
    this.#lookAtInterfaces();
    for (const unit of this.units) {
      if (!unit.addresses.complete()) this.#lost(unit, 'an address was taken away');
    }
    this.#plan();
  }

  #lookAtInterfaces(): void {
    const { net, clock } = this.#options;
    this.#lookedMs = clock.nowMs();
    const links = net.links();
    const addresses = net.addresses();
    const virtual = new Set(this.units.flatMap(({ own }) => own.config.addresses.map(({ address }) => address)));
    for (const unit of this.units) {
      const before = unit.source;
      if (!unit.locate(links, addresses, virtual)) continue;
      if (this.#running && unit.source !== before) this.#feed(unit, { kind: 'source', source: unit.source });
    }
    this.#openSockets();
    for (const { kind, name } of this.#rules) {
      if (kind !== 'interface') continue;
      const link = links.find((one) => one.name === name);
      const detail = link === undefined ? 'does not exist' : !link.up ? 'is down' : !link.carrier ? 'no carrier' : 'has carrier';
      if (this.#interfaces.get(name) === detail) continue;
      this.#interfaces.set(name, detail);
      this.#tracked({ kind: 'interface', name, up: detail === 'has carrier', detail });
    }
  }

  /** Held again at once; one that can not be held is tried again every second. */
  #lost(unit: Unit, reason: string): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - (this.#lostMs.get(unit.name) ?? Number.NEGATIVE_INFINITY) < lookEveryMs) return;
    this.#lostMs.set(unit.name, nowMs);
    this.#feed(unit, { kind: 'addressesLost', reason });
  }

  /** One socket for each interface and family, with the groups of all instances on it. */
  #openSockets(): void {
    const wanted = new Map<string, { index: number; family: 4 | 6; groups: string[] }>();
    for (const unit of this.units) {
      if (unit.index === 0) continue;
      const { family, transport } = unit.own.config;
      const one = wanted.get(keyOf(unit)) ?? { index: unit.index, family, groups: [] };
      if (transport.kind === 'multicast' && !one.groups.includes(transport.group)) one.groups.push(transport.group);
      wanted.set(keyOf(unit), one);
    }
    for (const [key, { socket, groups }] of this.#sockets) {
      if (wanted.get(key)?.groups.join() === groups) continue;
      socket.close();
      this.#sockets.delete(key);
    }
    const problems = new Map<string, string>();
    for (const [key, { index, family, groups }] of wanted) {
      if (this.#sockets.has(key)) continue;
      try {
        const socket = this.#options.net.vrrpSocket({ index, family, groups }, (packet) => this.#packet(index, family, packet), (error) => this.#options.log.warn(`vrrp: ${error.message}`));
        this.#sockets.set(key, { socket, groups: groups.join() });
      } catch (error) {
        problems.set(key, (error as Error).message);
      }
    }
    for (const unit of this.units) {
      const problem = problems.get(keyOf(unit));
      if (problem === this.#deaf.get(unit.name)) continue;
      if (problem === undefined) this.#deaf.delete(unit.name);
      else this.#deaf.set(unit.name, problem);
      if (this.#running) this.#tellTracked(unit);
    }
  }
}

/** Units with the same key share a socket. */
function keyOf(unit: { index: number; own: OwnInstance }): string {
  return `${unit.index} ${unit.own.config.family}`;
}
