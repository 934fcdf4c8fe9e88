/** One mirrored volume: a model of what the engine does about roles, connection, fencing and in-sync data (native/core); its agents are real. */
import type { View } from '../../src/daemon/arbitration.js';
import { fenceExit } from '../../src/daemon/arbitration.js';
import { Agent, type AgentHome, type Index, names, other } from './arbiter.js';

export interface VolumeHome extends AgentHome {
  /** drbdtsd is there and not paused. */
  daemonRuns(): boolean;
  /** drbdtsd is there. */
  daemonUp(): boolean;
}

interface Side {
  readonly home: VolumeHome;
  readonly agent: Agent;
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
  fenceRunning: boolean;
  fenceAgain: boolean;
  promoting: ((ok: boolean) => void) | null;
  /** number of the last write its disk has. */
  version: number;
  life: number;
}

export class VolumeSim {
  readonly name: string;
  connected = false;
  acked = 0;
  /** times that a node went on alone. */
  served = 0;
  denials = 0;
  private readonly sides: readonly [Side, Side];
  private readonly arbitrated: boolean;
  private readonly wroteAlone = [false, false];
  private readonly violation: (text: string) => void;
  private readonly wireWorks: () => boolean;
  private connecting = false;
  private breaking = false;

  constructor(name: string, homes: readonly [VolumeHome, VolumeHome], arbitrated: boolean, wireWorks: () => boolean, violation: (text: string) => void) {
    this.name = name;
    this.arbitrated = arbitrated;
    this.violation = violation;
    this.wireWorks = wireWorks;
    const side = (i: Index): Side => ({
      ...{ home: homes[i], agent: new Agent(homes[i], `volume/${name}/0`, false, () => this.view(i)) },
      ...{ primary: false, good: true, confirmed: false, target: false, frozen: false, peerOut: false, fenceOpen: false, fenceRunning: false },
      ...{ fenceAgain: false, promoting: null, version: 0, life: 0 },
    });
    this.sides = [side(0), side(1)];
  }

  // --- what others see

  agent(i: Index): Agent {
    return this.sides[i].agent;
  }
  isPrimary(i: Index): boolean {
    return this.sides[i].primary;
  }
  isFrozen(i: Index): boolean {
    return this.sides[i].frozen;
  }
  isGood(i: Index): boolean {
    return this.sides[i].good && !this.sides[i].target;
  }
  /** both have written without each other: a person has to say whose data counts. */
  get splitBrain(): boolean {
    return this.wroteAlone[0] === true && this.wroteAlone[1] === true;
  }
  get together(): boolean {
    return this.complete(0) === 3;
  }
  disk(i: Index): 'Inconsistent' | 'Outdated' | 'Consistent' | 'UpToDate' {
    const { target, good, confirmed } = this.sides[i];
    return target ? 'Inconsistent' : !good ? 'Outdated' : confirmed ? 'UpToDate' : 'Consistent';
  }
  peerDisk(i: Index): 'Inconsistent' | 'Outdated' | 'Consistent' | 'UpToDate' | 'DUnknown' {
    return this.connected ? this.disk(other(i)) : this.sides[i].peerOut ? 'Outdated' : 'DUnknown';
  }
  connection(i: Index): 'Connected' | 'SyncTarget' | 'SyncSource' | 'WFConnection' {
    if (!this.connected) return 'WFConnection';
    if (this.sides[i].target) return 'SyncTarget';
    return this.sides[other(i)].target ? 'SyncSource' : 'Connected';
  }

  private view(i: Index): View {
    const [own, peer] = [this.sides[i], this.sides[other(i)]];
    return {
      primary: own.primary,
      attached: own.good || own.target,
      upToDate: own.good && own.confirmed && !own.target,
      peerUpToDate: this.connected && peer.good && peer.confirmed && !peer.target,
      connected: this.connected,
      quiet: this.connected && !own.target && !peer.target,
      frozen: own.frozen,
      dataGeneration: String(own.version),
    };
  }

  /** What the engine thinks complete: bit 0 own, bit 1 peer. */
  private complete(i: Index): number {
    const view = this.view(i);
    return (view.upToDate ? 1 : 0) | (view.connected && view.peerUpToDate ? 2 : 0);
  }

  // --- drbdtsd comes and goes

  start(i: Index): void {
    this.sides[i].agent.start();
    this.tend();
  }

  /** drbdtsd ended; with `power` its node did. */
  crash(i: Index): void {
    const side = this.sides[i];
    const { promoting } = side;
    if (this.connected) this.disconnect();
    const known = side.good && !side.target;
    Object.assign(side, { primary: false, frozen: false, peerOut: false, fenceOpen: false, fenceRunning: false, fenceAgain: false, promoting: null });
    Object.assign(side, { target: false, good: known, confirmed: false, life: side.life + 1 });
    promoting?.(false);
  }

  /** Something between the nodes changed: connection is made or lost in its time. */
  tend(): void {
    const { scheduler } = this.sides[0].home;
    const wanted = this.canTalk();
    if (this.connected && !wanted && !this.breaking) {
      this.breaking = true;
      scheduler.after(scheduler.between(150, 600), () => {
        this.breaking = false;
        if (this.connected && !this.canTalk()) this.disconnect();
      });
    }
    if (!this.connected && wanted && !this.connecting) {
      this.connecting = true;
      scheduler.after(scheduler.between(30, 400), () => {
        this.connecting = false;
        if (this.canTalk()) this.connect();
        if (!this.connected) this.tend();
      });
    }
  }

  private canTalk(): boolean {
    return this.wireWorks() && this.sides[0].home.daemonRuns() && this.sides[1].home.daemonRuns();
  }

  /** Does the peer's drbdtsd answer on the replication link? */
  peerAnswers(): boolean {
    return this.connected && this.canTalk();
  }

  // --- roles

  /** Asks to become Primary; `done` may come late, or never when drbdtsd dies. */
  promote(i: Index, done: (ok: boolean) => void): void {
    const [own, peer] = [this.sides[i], this.sides[other(i)]];
    if (own.primary || own.promoting !== null) {
      done(own.primary);
      return;
    }
    if (this.connected) {
      if (peer.primary || this.complete(i) === 0) {
        done(false);
        return;
      }
      own.primary = true;
      own.peerOut = false;
      if (this.complete(i) !== 3 && this.arbitrated) {
        own.frozen = own.fenceOpen = true;
        this.askFence(i);
      }
      this.told();
      done(true);
      return;
    }
    if (!own.good || own.target) {
      done(false);
      return;
    }
    if (!this.arbitrated) {
      this.goOn(i);
      done(true);
      return;
    }
    own.promoting = done;
    own.agent.fence(false, (exitCode) => {
      if (own.promoting !== done) return;
      own.promoting = null;
      // connected meanwhile: whoever asked asks again
      if (exitCode !== fenceExit.out || this.connected || own.target || !own.good) {
        done(false);
        return;
      }
      this.goOn(i);
      done(true);
    });
  }

  private goOn(i: Index): void {
    const own = this.sides[i];
    own.peerOut = own.confirmed = own.primary = true;
    this.begins(i);
    this.told();
  }

  demote(i: Index): void {
    const own = this.sides[i];
    const { promoting } = own;
    Object.assign(own, { primary: false, frozen: false, fenceOpen: false, peerOut: false, promoting: null });
    promoting?.(false);
    this.told();
    this.tend();
  }

  // --- data

  /** An application writes at node `i`; acknowledged only when everybody in the set has it. */
  write(i: Index): void {
    const [own, peer] = [this.sides[i], this.sides[other(i)]];
    if (!own.primary || own.frozen || !own.home.daemonRuns()) return;
    const complete = this.complete(i);
    if (complete === 0 || (this.connected && !this.canTalk())) return;
    if (this.arbitrated && peer.primary && !peer.frozen && peer.home.daemonRuns()) this.violation(`both nodes acknowledge writes to ${this.name}`);
    this.acked += 1;
    if ((complete & 1) !== 0) own.version = this.acked;
    if (this.connected && peer.target === false && peer.good) peer.version = this.acked;
    else if ((complete & 2) !== 0) peer.version = this.acked;
    if (complete === 3) return;
    this.wroteAlone[complete === 1 ? i : other(i)] = true;
    if (this.arbitrated && this.splitBrain) this.violation(`both disks of ${this.name} were written without each other`);
  }

  /** A person says whose data counts. */
  resolve(): void {
    if (!this.splitBrain) return;
    const loser: Index = this.sides[0].primary ? 1 : 0;
    this.wroteAlone[loser] = false;
    this.sides[loser].version = Math.min(this.sides[loser].version, this.sides[other(loser)].version - 1);
    this.acked = this.sides[other(loser)].version;
  }

  /** Node `i` goes on without its peer: it has to hold every acknowledged write, and to be the only one. */
  private begins(i: Index): void {
    const [own, peer] = [this.sides[i], this.sides[other(i)]];
    this.served += 1;
    own.home.say(() => `volume ${this.name} goes on alone`);
    if (!this.arbitrated) return;
    if (own.version < this.acked) this.violation(`${names[i]} goes on with write ${own.version} of ${this.name}, and ${this.acked} was acknowledged`);
    if (peer.primary && !peer.frozen) this.violation(`${names[i]} goes on with ${this.name} while ${names[other(i)]} serves`);
  }

  private told(): void {
    for (const { home } of this.sides) home.statusChanged();
    for (const side of this.sides) if (side.home.daemonUp()) side.home.inDaemon(() => side.agent.look());
  }

  /** After every change of disks or link: freeze what must be confirmed. `before` is what was complete for each node. */
  private changed(before: readonly [number, number], left: boolean): void {
    for (const i of [0, 1] as const) {
      const side = this.sides[i];
      const now = this.complete(i);
      if (!side.home.daemonUp()) continue;
      if (now === 3) side.peerOut = false;
      if (!side.primary || now === 3) {
        side.fenceOpen = side.frozen = false;
        continue;
      }
      const lost = (before[i] & ~now) !== 0 || (left && (side.fenceOpen || now === 1));
      if (lost && now === 1 && side.peerOut) continue;
      if (lost && now !== 0) {
        if (!this.arbitrated) {
          side.peerOut = now === 1;
          continue;
        }
        side.frozen = side.fenceOpen = true;
        this.askFence(i);
      }
      if (now === 0) side.frozen = true;
    }
    if (this.together) this.wroteAlone.fill(false);
  }

  private askFence(i: Index): void {
    const side = this.sides[i];
    if (side.fenceRunning) {
      side.fenceAgain = true;
      return;
    }
    side.fenceRunning = true;
    const { life } = side;
    side.home.inDaemon(() => {
      if (life !== side.life) return;
      side.agent.fence((this.complete(i) & 1) === 0, (exitCode) => {
        if (life === side.life) this.fenced(i, exitCode);
      });
    });
  }

  private fenced(i: Index, exitCode: number): void {
    const side = this.sides[i];
    if (exitCode === fenceExit.weAreOut) this.denials += 1;
    side.fenceRunning = false;
    if (side.fenceAgain) {
      side.fenceAgain = false;
      if (side.fenceOpen || !this.connected) this.askFence(i);
      return;
    }
    const self = (this.complete(i) & 1) === 0;
    if (exitCode === fenceExit.out) {
      side.fenceOpen = false;
      side.frozen = this.complete(i) === 0;
      side.peerOut = !self;
      if (!side.frozen && side.primary && !this.connected) this.begins(i);
    } else if (this.connected) side.frozen = this.complete(i) === 0;
    else if (exitCode === fenceExit.weAreOut) side.good = false;
    this.told();
  }

  // --- the link

  private connect(): void {
    const [a, b] = this.sides;
    if (this.connected || (a.primary && b.primary) || this.splitBrain) return;
    const before = [this.complete(0), this.complete(1)] as const;
    this.connected = true;
    // generations are compared: whoever lacks something gets it
    for (const [own, peer] of [[a, b], [b, a]] as const) {
      own.good = own.confirmed = true;
      own.target = own.version < peer.version;
    }
    this.changed(before, false);
    for (const i of [0, 1] as const) {
      const side = this.sides[i];
      if (!side.frozen || this.together) continue;
      if (side.fenceOpen) this.askFence(i);
      else side.frozen = this.complete(i) === 0;
    }
    const lives = `${a.life} ${b.life}`;
    a.home.say(() => `volume ${this.name} is connected`);
    const { scheduler } = a.home;
    scheduler.after(scheduler.between(50, 1500), () => {
      if (this.connected && `${a.life} ${b.life}` === lives) this.synced();
    });
    this.told();
  }

  private disconnect(): void {
    const before = [this.complete(0), this.complete(1)] as const;
    this.connected = false;
    this.sides[0].home.say(() => `volume ${this.name} lost its connection`);
    for (const side of this.sides) {
      // a target that lost its source knows that it lacks something
      if (side.target) Object.assign(side, { target: false, good: false });
      if (!side.primary) side.confirmed = false;
    }
    this.changed(before, true);
    this.told();
    this.tend();
  }

  private synced(): void {
    const before = [this.complete(0), this.complete(1)] as const;
    for (const i of [0, 1] as const) {
      const [own, peer] = [this.sides[i], this.sides[other(i)]];
      if (!own.target || peer.target || !peer.good) continue;
      own.target = false;
      own.version = peer.version;
    }
    this.changed(before, false);
    this.told();
  }
}
