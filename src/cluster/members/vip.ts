/**
 * A virtual address. The kernel forgets it by itself unless it is renewed, so a killed or frozen process leaves none behind. A renewal that
 * comes too late is not made: meanwhile the address may be the other node's.
 */
import type { MemberConfig, VipMember } from '../../config/cluster-types.js';
import { drbdtsError } from '../../shared/errors.js';
import type { StopLevel } from '../group-types.js';
import { aheadValidMs, type Member, type MemberContext, memberError, orAborted, type ProbeResult, reasonOf, retryUntil, setupError } from './member.js';
import type { NetAddress } from './net.js';
import { broadcastOf, connectedInterface } from './subnet.js';

/** Lifetime given to the kernel. Short: it bounds how long a dead process's address lasts. */
export const vipValidSeconds = 3;
const renewMs = 500;
const probeWaitMs = 100;
const retryPauseMs = 100;

export class Vip implements Member {
  readonly config: VipMember & MemberConfig;
  private readonly context: MemberContext;
  private readonly timers = new Set<NodeJS.Timeout>();
  private interface = '';
  /** when the kernel was last told, monotonic; null while the address is not ours to keep. */
  private renewedMs: number | null = null;
  /** the renewal that is under way. */
  private renewal: Promise<void> | null = null;
  private lost = '';
  /** started and not stopped since, held or not. */
  private owned = false;
  /** taken away while it is not known whether this node may serve; comes back by itself. */
  private held = false;
  /** ends what takes a held address back. */
  private giving: AbortController | null = null;
  /** whether somebody had it when the group began to start. */
  private ahead: { readonly sinceMs: number; readonly isFree: Promise<boolean> } | null = null;
  /** what is under way to take it away. */
  private removal: Promise<void> = Promise.resolve();

  constructor(config: VipMember & MemberConfig, context: MemberContext) {
    this.config = config;
    this.context = context;
  }

  /** Renews no more; the kernel then removes the address in its time. */
  close(): void {
    this.renewedMs = null;
    for (const timer of this.timers) clearInterval(timer);
    this.timers.clear();
  }

  hold(on: boolean): void {
    const { log } = this.context;
    if (on) {
      if (this.held || !this.owned) return;
      this.held = true;
      this.giving?.abort();
      this.close();
      // should that fail, the kernel does it within its lifetime
      this.removal = this.remove().catch((error: unknown) => log.warn(`${this.config.name}: ${reasonOf(error)}`));
      return;
    }
    if (!this.held) return;
    this.held = false;
    void this.giveBack();
  }

  /** Takes a held address back, unless it is held again or stopped meanwhile. */
  private async giveBack(): Promise<void> {
    const giving = new AbortController();
    this.giving = giving;
    try {
      await this.removal;
      await this.take(AbortSignal.any([giving.signal, AbortSignal.timeout(this.config.startMs)]));
    } catch (error) {
      if (giving.signal.aborted) return;
      this.lost = `it could not be taken back: ${reasonOf(error)}`;
      this.context.log.error(`${this.config.name}: ${this.lost}`);
    } finally {
      if (this.giving === giving) this.giving = null;
    }
  }

  async probe(signal: AbortSignal): Promise<ProbeResult> {
    // away on purpose
    if (this.held || this.giving !== null) return 'started';
    const own = await orAborted(this.own(), signal);
    this.owned = own !== undefined;
    if (own === undefined) {
      this.close();
      return 'stopped';
    }
    this.interface = own.interface;
    this.keep(own.validSeconds === null ? vipValidSeconds : own.validSeconds);
    return 'started';
  }

  prepare(): void {
    const { net, clock } = this.context;
    const ask = async (): Promise<boolean> => (await net.probe(this.config.address, await this.chooseInterface(), { waitMs: probeWaitMs })) === 'free';
    // why it can not be asked is said at the start
    this.ahead = { sinceMs: clock.nowMs(), isFree: ask().catch(() => false) };
  }

  async start(signal: AbortSignal): Promise<void> {
    this.giving?.abort();
    await orAborted(this.removal, signal);
    await this.take(signal);
    this.owned = true;
  }

  private async take(signal: AbortSignal): Promise<void> {
    const { name, address, label } = this.config;
    const { net, clock, log } = this.context;
    const present = await orAborted(this.own(), signal);
    if (present !== undefined && this.renewedMs !== null && this.lost === '') return;
    this.interface = present?.interface ?? (await orAborted(this.chooseInterface(), signal));
    await this.requireLink('start', signal);
    const isFree = await this.wasFree(signal);
    if (present === undefined) {
      let said = '';
      await retryUntil(name, 'start', clock, signal, retryPauseMs, async () => {
        if (!this.context.mayServe()) return 'it is not known whether this node may serve';
        if (isFree) return true;
        const owner = await net.probe(address, this.interface, { waitMs: probeWaitMs });
        if (owner === 'free') return true;
        const error = drbdtsError('ERR_ADDRESS_TAKEN', { values: { address, owner: owner.mac, interface: this.interface }, place: name });
        if (said !== owner.mac) log.warn(`${name}: ${error.message}; it is waited for`);
        said = owner.mac;
        return error.message;
      });
    }
    if (label.length > 15) throw setupError(name, `the label ${label} is longer than 15 characters`);
    try {
      await orAborted(this.add(), signal);
    } catch (error) {
      throw memberError(name, 'start', reasonOf(error), error);
    }
    if ((await orAborted(this.own(), signal)) === undefined) throw memberError(name, 'start', `the kernel took ${address} and does not show it`);
    // stopped or held in this very moment: whoever did it removes the address
    signal.throwIfAborted();
    this.keep(vipValidSeconds);
    await this.announce();
    this.announceAgain();
  }

  async stop(level: StopLevel, signal: AbortSignal): Promise<void> {
    const { name, family, address, prefix } = this.config;
    const { net, clock } = this.context;
    this.close();
    this.held = this.owned = false;
    this.giving?.abort();
    await orAborted(this.removal, signal);
    // one that is under way would bring it back
    if (this.renewal !== null) await orAborted(this.renewal, signal);
    const own = await orAborted(this.own(), signal);
    if (own === undefined) return;
    try {
      // should the deletion fail, the kernel does it
      if (level !== 'orderly') await orAborted(net.addAddress({ ...this.newAddress(own.interface), validSeconds: 1 }), signal);
      await orAborted(net.deleteAddress({ interface: own.interface, family, address, prefix: own.prefix === prefix ? prefix : own.prefix }), signal);
    } catch (error) {
      if (level === 'orderly') throw memberError(name, 'stop', reasonOf(error), error);
    }
    await retryUntil(name, 'stop', clock, signal, 50, async () => ((await this.own()) === undefined ? true : `${address} is still there`));
  }

  async monitor(signal: AbortSignal): Promise<void> {
    const { name, address } = this.config;
    if (this.held || this.giving !== null) return;
    // one that a pause of this process has cut in two may show the address for a moment and then take it away again
    if (this.renewal !== null) await orAborted(this.renewal, signal);
    const own = await orAborted(this.own(), signal);
    if (this.renewedMs !== null) this.isLate();
    if (this.lost !== '') throw memberError(name, 'monitor', this.lost);
    if (own === undefined) throw memberError(name, 'monitor', `${address} is gone`);
    await this.requireLink('monitor', signal);
  }

  /** Whether `prepare` has heard nobody answer for it, not long ago. */
  private async wasFree(signal: AbortSignal): Promise<boolean> {
    const { ahead } = this;
    this.ahead = null;
    if (ahead === null) return false;
    const isFree = await orAborted(ahead.isFree, signal);
    return isFree && this.context.clock.nowMs() - ahead.sinceMs < aheadValidMs;
  }

  private async remove(): Promise<void> {
    const { family, address } = this.config;
    // one that is under way would bring it back
    await this.renewal;
    const own = await this.own();
    if (own !== undefined) await this.context.net.deleteAddress({ interface: own.interface, family, address, prefix: own.prefix });
  }

  private async own(): Promise<NetAddress | undefined> {
    const { address, family, interface: wanted } = this.config;
    const all = await this.context.net.addresses();
    return all.find((one) => one.family === family && one.address === address && (wanted === '' || one.interface === wanted));
  }

  private async chooseInterface(): Promise<string> {
    const { name, interface: wanted, family, address } = this.config;
    if (wanted !== '') return wanted;
    const found = connectedInterface(await this.context.net.addresses(), family, address);
    if (found === '') throw setupError(name, `no interface has an address in the network of ${address}`);
    return found;
  }

  private async requireLink(action: 'start' | 'monitor', signal: AbortSignal): Promise<void> {
    const { name } = this.config;
    const all = await orAborted(this.context.net.interfaces(), signal);
    const link = all.find((one) => one.name === this.interface);
    if (link === undefined) throw setupError(name, `there is no interface ${this.interface}`);
    if (!link.up) throw memberError(name, action, `${this.interface} is down`);
    if (!link.carrier) throw memberError(name, action, `${this.interface} has no carrier`);
  }

  private newAddress(name: string): Parameters<MemberContext['net']['addAddress']>[0] {
    const { family, address, prefix, label } = this.config;
    const broadcast = family === 4 ? broadcastOf(address, prefix) : '';
    return { interface: name, family, address, prefix, label, broadcast, validSeconds: vipValidSeconds };
  }

  private add(): Promise<void> {
    return this.context.net.addAddress(this.newAddress(this.interface));
  }

  private every(ms: number, work: () => Promise<void>): void {
    this.timers.add(setInterval(() => void work(), ms));
  }

  /** Keeps the address alive from now on; the kernel's clock for it runs since it has `leftSeconds` left. */
  private keep(leftSeconds: number): void {
    const { clock } = this.context;
    const fresh = this.renewedMs === null;
    this.lost = '';
    this.renewedMs = clock.nowMs() - (vipValidSeconds - Math.min(leftSeconds, vipValidSeconds)) * 1000;
    if (!fresh) return;
    this.every(renewMs, async () => {
      if (this.renewal !== null) return;
      this.renewal = this.renew();
      await this.renewal;
      this.renewal = null;
    });
    if (this.config.refreshMs > 0) this.every(this.config.refreshMs, () => this.announce());
  }

  private async renew(): Promise<void> {
    const { clock, log } = this.context;
    if (this.renewedMs === null || !this.context.mayServe() || this.isLate()) return;
    try {
      const at = clock.nowMs();
      const own = await this.own();
      // stopped, or frozen for long, while it was looked for
      if (this.renewedMs === null || this.isLate()) return;
      if (own === undefined) {
        this.lose('somebody removed it');
        return;
      }
      await this.add();
      if (this.renewedMs === null) return;
      // frozen just before the kernel was told: it may be the other node's by now
      if (this.isLate()) await this.context.net.deleteAddress(this.newAddress(own.interface));
      else this.renewedMs = at;
    } catch (error) {
      log.warn(`${this.config.name}: its lifetime could not be renewed: ${reasonOf(error)}`);
    }
  }

  /** Whether the kernel may have removed it meanwhile. Then it is not ours any more, and stays so until the next start. */
  private isLate(): boolean {
    if (this.renewedMs === null) return true;
    const silentMs = this.context.clock.nowMs() - this.renewedMs;
    if (silentMs < vipValidSeconds * 1000) return false;
    this.lose(`it was not renewed for ${Math.round(silentMs / 100) / 10} s and is not ours any more`);
    return true;
  }

  private lose(why: string): void {
    this.close();
    this.lost = why;
    this.context.log.error(`${this.config.name}: ${why}`);
  }

  private async announce(): Promise<void> {
    // after a pause, or while it is not known who may serve, it may be the other node's
    if (this.renewedMs === null || this.isLate() || !this.context.mayServe()) return;
    try {
      await this.context.net.announce(this.config.address, this.interface);
    } catch (error) {
      this.context.log.warn(`${this.config.name}: it could not be announced on ${this.interface}: ${reasonOf(error)}`);
    }
  }

  /** The rest of the first announcements, which nobody waits for. */
  private announceAgain(): void {
    const { announceCount, announceGapMs } = this.config;
    for (let number = 1; number < announceCount; number++) this.timers.add(setTimeout(() => void this.announce(), number * announceGapMs));
  }
}
