/** Members of groups as the simulation has them: what they do takes time, may fail and may hang; the kernel's part outlives the cluster manager. */
import type { MemberConfig } from '../../src/config/cluster-types.js';
import type { MemberAction, StopLevel } from '../../src/cluster/group-types.js';
import type { Index } from './arbiter.js';
import type { VolumeSim } from './volume.js';

/** What a node's kernel has: gone with the power only. */
export interface Kernel {
  mounted: Set<string>;
  services: Set<string>;
  /** when the address of a group goes by itself. */
  vips: Map<string, number>;
}

export const vipLifeMs = 3000;
const renewMs = 500;

export type Trouble = 'start-fails' | 'start-hangs' | 'stop-fails' | 'stop-hangs' | 'stop-deaf' | 'monitor-fails' | 'dies';

/** What members need around them. */
export interface MemberHome {
  readonly index: Index;
  readonly group: string;
  readonly kernel: Kernel;
  readonly volume: VolumeSim | null;
  readonly hasFilesystem: boolean;
  nowMs(): number;
  between(from: number, to: number): number;
  /** in the cluster manager, when it still lives. */
  after(ms: number, run: () => void): void;
  /** an answer of drbdtsd or a program. */
  deliver(run: () => void): void;
  daemonRuns(): boolean;
  /** drbdtsd was restarted with the device kept and is not Primary again yet. */
  recovering(): boolean;
  /** and is not to be any more. */
  forgetDevice(): void;
  trouble(kind: string): Trouble | null;
  mayServe(): boolean;
  /** does a foreign owner answer for the address? */
  foreignOwner(): boolean;
  vipTaken(): void;
  violation(text: string): void;
  say(text: () => string): void;
}

export interface Outcome {
  ok: boolean;
  reason: string;
  found?: 'started' | 'stopped';
}

interface Op {
  aborted: boolean;
  over: boolean;
  done(outcome: Outcome): void;
}

export class SimMember {
  readonly config: MemberConfig;
  readonly hold?: (on: boolean) => void;
  private readonly home: MemberHome;
  private closed = false;
  // the address
  private renewedMs: number | null = null;
  private lost = '';
  private held = false;
  private owned = false;
  private giving: Op | null = null;
  private removing = false;

  constructor(config: MemberConfig, home: MemberHome) {
    this.config = config;
    this.home = home;
    if (config.kind === 'vip') this.hold = (on) => this.holdVip(on);
  }

  close(): void {
    this.closed = true;
    this.renewedMs = null;
  }

  /** Begins an action; the answer comes once. Gives the way to end it. */
  run(action: MemberAction, level: StopLevel, answer: (outcome: Outcome) => void): () => void {
    const { home, config } = this;
    const trouble = home.trouble(config.kind);
    const op: Op = {
      ...{ aborted: false, over: false },
      done: (outcome) => {
        if (op.over) return;
        op.over = true;
        home.deliver(() => answer(outcome));
      },
    };
    const cancel = (): void => {
      if (op.aborted) return;
      op.aborted = true;
      if (trouble !== 'stop-deaf' || action !== 'stop') home.after(home.between(0, 30), () => op.done({ ok: false, reason: 'ended' }));
    };
    if (action === 'start' && trouble === 'start-hangs') return cancel;
    if (action === 'stop' && (trouble === 'stop-deaf' || (trouble === 'stop-hangs' && level === 'orderly'))) return cancel;
    if ((action === 'start' && trouble === 'start-fails') || (action === 'stop' && trouble === 'stop-fails' && level === 'orderly') || (action === 'monitor' && trouble === 'monitor-fails')) {
      home.after(home.between(1, 100), () => op.done({ ok: false, reason: 'it says no' }));
      return cancel;
    }
    switch (config.kind) {
      case 'volume':
        this.runVolume(op, action, level);
        break;
      case 'filesystem':
        this.runFilesystem(op, action, level);
        break;
      case 'service':
        this.runService(op, action, level);
        break;
      case 'vip':
        this.runVip(op, action);
        break;
    }
    return cancel;
  }

  private static ok(op: Op): void {
    op.done({ ok: true, reason: '' });
  }
  private static no(op: Op, reason: string): void {
    op.done({ ok: false, reason });
  }
  private static found(op: Op, runs: boolean): void {
    op.done({ ok: true, reason: '', found: runs ? 'started' : 'stopped' });
  }

  private get frozen(): boolean {
    const { volume, index, daemonRuns, recovering } = this.home;
    return volume !== null && ((volume.isPrimary(index) && volume.isFrozen(index)) || !daemonRuns() || recovering());
  }

  // --- volume

  private runVolume(op: Op, action: MemberAction, level: StopLevel): void {
    const { home } = this;
    const { index } = home;
    const { volume } = home;
    if (volume === null) throw new Error('a group with a volume');
    const again = (): void => home.after(100, attempt);
    const attempt = (): void => {
      if (op.over || op.aborted) return;
      if (!home.daemonRuns()) {
        again();
        return;
      }
      const primary = volume.isPrimary(index);
      if ((action === 'probe' || action === 'monitor') && home.recovering()) {
        again();
        return;
      }
      if (action === 'probe') {
        SimMember.found(op, primary);
        return;
      }
      if (action === 'monitor') {
        primary ? SimMember.ok(op) : SimMember.no(op, 'it is Secondary');
        return;
      }
      if (action === 'start') {
        volume.promote(index, (ok) => {
          if (!ok) home.deliver(again);
          else {
            home.say(() => `volume ${volume.name} is Primary`);
            SimMember.ok(op);
          }
        });
        undefined;
        return;
      }
      const inUse = home.kernel.mounted.has(home.group);
      if (level === 'orderly' && inUse) {
        again();
        return;
      }
      if (primary) home.say(() => `volume ${volume.name} is Secondary${inUse ? ', cut off from its file system' : ''}`);
      home.forgetDevice();
      volume.demote(index);
      SimMember.ok(op);
      return;
    };
    home.after(home.between(1, 10), attempt);
  }

  // --- file system

  private runFilesystem(op: Op, action: MemberAction, level: StopLevel): void {
    const { home } = this;
    const { kernel, group, index, volume } = home;
    const mounted = (): boolean => kernel.mounted.has(group);
    const attempt = (): void => {
      if (op.over || op.aborted) return;
      switch (action) {
        case 'probe':
          SimMember.found(op, mounted());
          return;
        case 'monitor':
          mounted() ? SimMember.ok(op) : SimMember.no(op, 'it is not mounted');
          return;
        case 'start':
          if (mounted()) {
            SimMember.ok(op);
            return;
          }
          if (this.frozen) {
            home.after(50, attempt);
            return;
          }
          if (volume === null || !volume.isPrimary(index)) {
            SimMember.no(op, 'the device is not there');
            return;
          }
          kernel.mounted.add(group);
          home.say(() => `file system of ${group} is mounted`);
          SimMember.ok(op);
          return;
        default:
          if (!mounted()) {
            SimMember.ok(op);
            return;
          }
          if (level === 'cut') {
            home.forgetDevice();
            if (home.daemonRuns()) volume?.demote(index);
          } else if (this.frozen) {
            home.after(50, attempt);
            return;
          }
          if (home.kernel.services.has(group) && level === 'orderly') home.violation(`the file system of ${group} is unmounted below its service`);
          kernel.mounted.delete(group);
          kernel.services.delete(group);
          home.say(() => `file system of ${group} is unmounted${level === 'cut' ? ' (cut)' : ''}`);
          SimMember.ok(op);
          return;
      }
    };
    home.after(action === 'start' || action === 'stop' ? home.between(10, 150) : home.between(1, 10), attempt);
  }

  // --- service

  private runService(op: Op, action: MemberAction, level: StopLevel): void {
    const { home } = this;
    const { kernel, group } = home;
    const attempt = (): void => {
      if (op.over || op.aborted) return;
      const running = kernel.services.has(group);
      switch (action) {
        case 'probe':
          SimMember.found(op, running);
          return;
        case 'monitor':
          running ? SimMember.ok(op) : SimMember.no(op, 'it does not run');
          return;
        case 'start':
          if (home.hasFilesystem && !kernel.mounted.has(group)) {
            home.violation(`the service of ${group} is started without its file system`);
            SimMember.no(op, 'no data');
            return;
          }
          if (this.frozen) {
            home.after(50, attempt);
            return;
          }
          kernel.services.add(group);
          home.say(() => `service of ${group} runs`);
          SimMember.ok(op);
          return;
        default:
          if (running && level === 'orderly' && home.hasFilesystem && this.frozen) {
            home.after(50, attempt);
            return;
          }
          kernel.services.delete(group);
          if (running) home.say(() => `service of ${group} is stopped`);
          SimMember.ok(op);
          return;
      }
    };
    home.after(action === 'start' || action === 'stop' ? home.between(10, 300) : home.between(1, 20), attempt);
  }

  // --- address: as members/vip.ts, against a kernel that forgets it

  private get present(): boolean {
    const expires = this.home.kernel.vips.get(this.home.group);
    return expires !== undefined && expires > this.home.nowMs();
  }

  private remove(): void {
    if (this.present) this.home.say(() => `address of ${this.home.group} is withdrawn`);
    this.home.kernel.vips.delete(this.home.group);
  }

  private runVip(op: Op, action: MemberAction): void {
    const { home } = this;
    home.after(home.between(1, 10), () => {
      if (op.over || op.aborted) return;
      switch (action) {
        case 'probe':
          if (this.held || this.giving !== null) return SimMember.found(op, true);
          this.owned = this.present;
          if (this.present) this.keep((home.kernel.vips.get(home.group) ?? 0) - home.nowMs());
          else this.renewedMs = null;
          SimMember.found(op, this.present);
          return;
        case 'monitor':
          if (this.held || this.giving !== null) SimMember.ok(op);
          else if (this.lost !== '') SimMember.no(op, this.lost);
          else if (this.present) SimMember.ok(op);
          else SimMember.no(op, 'the address is gone');
          return;
        case 'start':
          this.endGiving();
          this.takeVip(op, true);
          return;
        default:
          this.renewedMs = null;
          this.held = this.owned = false;
          this.endGiving();
          this.remove();
          SimMember.ok(op);
      }
      return undefined;
    });
  }

  private endGiving(): void {
    if (this.giving !== null) this.giving.aborted = true;
    this.giving = null;
  }

  private takeVip(op: Op, owns: boolean): void {
    const { home } = this;
    if (op.over || op.aborted || this.closed) return;
    const again = (): void => this.takeVip(op, owns);
    // what is under way to take it away comes first
    if (this.removing) {
      home.after(1, again);
      return;
    }
    const done = (): void => {
      this.owned ||= owns;
      SimMember.ok(op);
    };
    if (this.present && this.renewedMs !== null && this.lost === '') {
      done();
      return;
    }
    const add = (): void => {
      if (op.over || op.aborted || this.closed) return;
      home.kernel.vips.set(home.group, home.nowMs() + vipLifeMs);
      home.say(() => `address of ${home.group} is taken`);
      this.keep(vipLifeMs);
      home.vipTaken();
      done();
    };
    if (this.present) {
      add();
      return;
    }
    if (!home.mayServe() || home.foreignOwner()) {
      home.after(200, again);
      return;
    }
    // nobody has answered in this time
    home.after(100, () => (home.foreignOwner() ? again() : add()));
  }

  private holdVip(on: boolean): void {
    const { home } = this;
    if (on) {
      if (this.held || !this.owned) return;
      this.held = true;
      this.endGiving();
      this.renewedMs = null;
      this.removing = true;
      home.after(home.between(1, 5), () => {
        this.removing = false;
        this.remove();
      });
      return;
    }
    if (!this.held) return;
    this.held = false;
    const op: Op = { aborted: false, over: false, done: (outcome) => {
      if (op.over || op.aborted) return;
      op.over = true;
      if (this.giving === op) this.giving = null;
      if (!outcome.ok) this.lost = `it could not be taken back: ${outcome.reason}`;
    } };
    this.giving = op;
    home.after(this.config.startMs, () => op.done({ ok: false, reason: 'time' }));
    this.takeVip(op, false);
  }

  private keep(leftMs: number): void {
    const fresh = this.renewedMs === null;
    this.lost = '';
    this.renewedMs = this.home.nowMs() - (vipLifeMs - Math.min(leftMs, vipLifeMs));
    if (fresh) this.renewLater();
  }

  private renewLater(): void {
    this.home.after(renewMs, () => {
      if (this.renewedMs === null || this.closed) return;
      this.renew();
      if (this.renewedMs !== null) this.renewLater();
    });
  }

  private renew(): void {
    const { home } = this;
    if (this.renewedMs === null || !home.mayServe()) return;
    if (home.nowMs() - this.renewedMs >= vipLifeMs) {
      this.lose('it was not renewed in time and is not ours any more');
      return;
    }
    if (!this.present) {
      this.lose('somebody removed it');
      return;
    }
    home.kernel.vips.set(home.group, home.nowMs() + vipLifeMs);
    this.renewedMs = home.nowMs();
  }

  private lose(why: string): void {
    this.renewedMs = null;
    this.lost = why;
  }
}
