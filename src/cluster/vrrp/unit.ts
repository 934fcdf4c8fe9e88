/** One instance at work: its sending thread, its addresses, its scripts. Carries out what the machine says, in the order it is said. */
import type { Log } from '../../shared/log.js';
import type { Advertiser, NativeNet, NetAddress, NetLink } from '../net-native.js';
import { Addresses, type HeldAddress } from './addresses.js';
import { encodeAdvert } from './codec.js';
import { addressSeconds, leaseMs, type OwnInstance } from './from-config.js';
import { Notifier, type NotifyState } from './notify.js';
import { ownerPriority } from '../../config/vrrp-types.js';
import type { VrrpAction } from './types.js';

export interface UnitOptions {
  readonly own: OwnInstance;
  readonly net: NativeNet;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly handlerTimeoutMs: number;
  readonly nowMs: () => number;
}

type Advertise = Extract<VrrpAction, { kind: 'advertise' }>;
const notifyStates = { master: 'MASTER', backup: 'BACKUP', fault: 'FAULT', stop: 'STOP' } as const satisfies Record<string, NotifyState>;

/** Kernel and configuration agree about labels only where the interface is known. */
function heldAddresses({ instance, config }: OwnInstance): HeldAddress[] {
  return config.addresses.map(({ address, prefixLength, interface: own }, index) => ({
    ...{ address, prefix: prefixLength, interface: own ?? config.interface },
    family: instance.addresses[index]?.family ?? config.family,
    label: instance.addresses[index]?.label ?? '',
  }));
}

export class Unit {
  readonly own: OwnInstance;
  readonly addresses: Addresses;
  readonly notifier: Notifier;
  readonly #options: UnitOptions;
  #advertiser: Advertiser | null = null;
  #index = 0;
  #source: string | null = null;
  /** what runs now, null for nothing. */
  #advertise: Advertise | null = null;
  #complained = '';
  #noted = '';
  /** longest gap between own adverts that the machine was not told of yet. */
  #gapMs = 0;

  constructor(options: UnitOptions) {
    const { own, net, log, nowMs } = options;
    const { instance, config } = own;
    this.own = own;
    this.#options = options;
    this.addresses = new Addresses({
      ...{ name: instance.name, addresses: heldAddresses(own), net, log },
      owner: config.priority === ownerPriority,
      validSeconds: addressSeconds(config),
      gapMs: instance.announce.gapMs,
    });
    this.notifier = new Notifier({ type: 'INSTANCE', name: instance.name, notify: instance.notify, timeoutMs: options.handlerTimeoutMs, nowMs, log });
  }

  get name(): string {
    return this.own.instance.name;
  }
  get source(): string | null {
    return this.#source;
  }
  get index(): number {
    return this.#index;
  }

  /** Where adverts can be sent from now; `virtual`: addresses of instances, which are no source. True when something changed. */
  locate(links: readonly NetLink[], addresses: readonly NetAddress[], virtual: ReadonlySet<string>): boolean {
    const index = links.find(({ name }) => name === this.own.interface)?.index ?? 0;
    const source = index === 0 ? null : this.#sourceOn(index, addresses, virtual);
    if (index === this.#index && source === this.#source && (source === null) === (this.#advertiser === null)) return false;
    this.#advertiser?.close();
    this.#advertiser = null;
    this.#index = index;
    this.#source = source;
    if (source === null) return true;
    const { transport } = this.own.config;
    try {
      this.#advertiser = this.#options.net.advertiser({ index, source, hops: transport.kind === 'unicast' ? transport.ttl : 255 });
      this.#complained = '';
    } catch (error) {
      this.#source = null;
      const text = `${this.name}: ${(error as Error).message}`;
      if (this.#complained !== text) this.#options.log.error(text);
      this.#complained = text;
      return true;
    }
    if (this.#advertise !== null) this.#run(this.#advertise, true);
    return true;
  }

  #sourceOn(index: number, addresses: readonly NetAddress[], virtual: ReadonlySet<string>): string | null {
    const { family } = this.own.config;
    const usable = addresses.filter((one) => one.index === index && one.family === family && !one.tentative && !one.dadFailed);
    if (this.own.source !== '') return usable.some(({ address }) => address === this.own.source) ? this.own.source : null;
    // an owner's address is its own, in the network and in the configuration
    const owner = this.own.config.priority === ownerPriority;
    const own = usable.filter(({ address, validSeconds }) => !virtual.has(address) || (owner && validSeconds === null));
    const found = family === 4 ? own[0] : own.find(({ address }) => /^fe[89ab]/i.test(address));
    return found?.address ?? null;
  }

  /** What differs in an advert that is taken all the same; said once for as long as it is the same. */
  noted(source: string, notes: readonly string[]): void {
    const text = notes.length === 0 ? '' : `${source}: ${notes.join('; ')}`;
    if (text !== '' && text !== this.#noted) this.#options.log.warn(`vrrp ${this.name}: ${text}`);
    this.#noted = text;
  }

  /** What the sending thread did last, for the machine; null when it does nothing. */
  advertised(): { lastMs: number; longestGapMs: number } | null {
    if (this.#advertise === null || this.#advertiser === null) return null;
    const { lastMs } = this.#look(this.#advertiser);
    const longestGapMs = this.#gapMs;
    this.#gapMs = 0;
    return { lastMs, longestGapMs };
  }

  counters(): ReturnType<Advertiser['state']> | null {
    return this.#advertiser === null ? null : this.#look(this.#advertiser);
  }

  /** The thread forgets its longest gap when it is asked. */
  #look(advertiser: Advertiser): ReturnType<Advertiser['state']> {
    const state = advertiser.state();
    this.#gapMs = Math.max(this.#gapMs, state.longestGapMs);
    return state;
  }

  /** Called at every tick: the thread goes on only as long as somebody does this. */
  renewLease(): void {
    if (this.#advertise === null || this.#advertiser === null) return;
    // it ended by itself, and the machine says that nothing was lost by it
    if (!this.#advertiser.renew(leaseMs(this.own.config))) this.#run(this.#advertise, true);
  }

  carryOut(action: VrrpAction): void {
    const { log } = this.#options;
    switch (action.kind) {
      case 'advertise':
        this.#advertise = action;
        this.#run(action, action.atOnce);
        break;
      case 'silence':
        this.#advertise = null;
        this.#advertiser?.stop([]);
        break;
      case 'resign':
        this.#send(0);
        break;
      case 'takeAddresses':
        this.addresses.take();
        break;
      case 'dropAddresses':
        this.addresses.drop();
        break;
      case 'announce':
        this.addresses.announce(action.frames);
        break;
      case 'notify':
        this.notifier.tell(notifyStates[action.state], action.priority);
        break;
      case 'notifyLower':
        // scripts are given the own priority, as in every other call
        this.notifier.tell('MASTER_RX_LOWER_PRI', this.#advertise?.priority ?? action.priority);
        break;
      case 'notifyPriority':
        this.notifier.tellPriority(this.#advertise !== null, action.priority);
        break;
      case 'log':
        log[action.level](`vrrp ${action.text}`);
        break;
    }
  }

  /** Nothing is sent afterwards; addresses stay as they are. */
  close(): void {
    this.#advertise = null;
    this.addresses.close();
    this.#advertiser?.close();
    this.#advertiser = null;
    this.notifier.close();
  }

  #packets(priority: number): { to: string; data: Uint8Array }[] {
    const { config } = this.own;
    const source = this.#source ?? '';
    const receivers = config.transport.kind === 'multicast' ? [config.transport.group] : config.transport.peers.map(({ address }) => address);
    return receivers.map((to) => ({ to, data: encodeAdvert(config, priority, source, to) }));
  }

  #run({ priority, intervalMs, lapseMs }: Advertise, now: boolean): void {
    this.#advertiser?.run({ packets: this.#packets(priority), intervalMs, lapseMs, leaseMs: leaseMs(this.own.config), now });
  }

  #send(priority: number): void {
    this.#advertiser?.once(this.#packets(priority));
  }
}
