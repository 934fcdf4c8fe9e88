/** drbdtsd without its process: resources by name, the control API's handlers, what was up, start and end. */
import { changedResources } from '../config/diff.js';
import { loadConfig, parseConfig, requireConfig } from '../config/load.js';
import { type Config, maskSecrets, type ResourceConfig, sidesOf } from '../config/types.js';
import type {
  ConfigCheckReply,
  ConfigCheckRequest,
  ConfirmReply,
  ConfirmRequest,
  RegisterReply,
  RegisterRequest,
  ReloadReply,
  StatusReply,
  Verb,
  VerbReply,
  VerbRequest,
  VersionReply,
} from '../control/messages.js';
import type { ControlHandlers, VerbContext } from '../control/server.js';
import { systemClock } from '../shared/clock.js';
import { deviceNumberOf } from '../shared/device-number.js';
import { drbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { protocolVersions, version } from '../shared/version.js';
import { Arbiters } from './arbiters.js';
import { EventHub } from './event-hub.js';
import { type KeeperEnvironment, keptFdsOf, resourceOfFdName } from './keeper.js';
import { findMount, type Mount, readOtherMountTables, readOwnMountTable } from './mounts.js';
import type { NativeAddon, NativeSnapshot } from './native-api.js';
import { procDrbd } from './proc-drbd.js';
import { letGoOfDevice, recoverResource, type RecoverSurroundings } from './recover.js';
import { recordOf } from './recovery-plan.js';
import { Resource, type ResourceSurroundings } from './resource.js';
import { type ResourceRecord, readRunState, writeRunState } from './run-state.js';
import { resourceStatusOf } from './status.js';
import { runVerb, type VerbSurroundings } from './verbs.js';
import { waitLimit, waitState } from './wait.js';

export interface DaemonOptions {
  configFile: string;
  config: Config;
  node: string;
  stateDir: string;
  /** what this node knows of the in-sync sets, across boots. */
  registerDir: string;
  frontend: 'fuse_loop' | 'memory';
  addon: NativeAddon;
  log: Log;
  keeper: KeeperEnvironment;
  /** bring up everything when nothing is recorded, i.e. on the first start after boot. */
  startAll: boolean;
  /** end the process at once, for the keeper to start another. */
  startOver(): void;
}

const mountCacheMs = 1000;

/** Time the peer has to show that it is there when the arbiter has recorded that it went on alone. */
const doubtMs = 300;

/** An engine that hangs must not keep the process from ending: its successor waits. */
const stopPatienceMs = 10_000;

async function within<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the engine did not answer for ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

export class Daemon implements ControlHandlers {
  readonly events: EventHub;
  private config_: Config;
  private readonly options: DaemonOptions;
  private readonly resources = new Map<string, Resource>();
  private readonly promotions = new Map<string, AbortController>();
  /** resources whose record is not to be touched: a verb or a recovery is under way. */
  private readonly held = new Map<string, number>();
  /** resources that were up before and are being brought back. */
  private readonly recovering = new Set<string>();
  private readonly records = new Map<string, ResourceRecord>();
  private readonly ending = new AbortController();
  private readonly arbiters: Arbiters;
  private mounts: { atMs: number; tables: string[] } = { atMs: Number.NEGATIVE_INFINITY, tables: [] };

  constructor(options: DaemonOptions) {
    this.options = options;
    this.config_ = options.config;
    this.events = new EventHub(() => this.snapshots());
    this.arbiters = new Arbiters({
      node: options.node,
      directory: options.registerDir,
      log: options.log,
      snapshot: (name) => this.resources.get(name)?.snapshot() ?? null,
      // down, or disconnected meanwhile: then there is nobody to ask
      checkPeer: (name) => void this.resources.get(name)?.command('check-peer', { timeoutMs: doubtMs }).catch(() => {}),
      onStatus: (name, volume, status) => this.events.arbitration(name, volume, status),
    });
    this.takeConfig(options.config);
  }

  // --- start and end -------------------------------------------------------------------------------------------------------------

  /** Brings back what was up, or everything with `startAll` when nothing is recorded. Resolves when all of it was tried. */
  async start(): Promise<void> {
    const { log, keeper } = this.options;
    const recorded = readRunState(this.options.stateDir);
    const wanted = new Map<string, ResourceRecord | null>(Object.entries(recorded?.resources ?? {}));
    for (const { name, fd } of keeper.kept) {
      const resource = resourceOfFdName(name);
      if (resource !== null && this.resources.has(resource) && !wanted.has(resource)) wanted.set(resource, null);
      else if (resource === null || !wanted.has(resource))
        log.warn(`kept descriptor ${fd} '${name}' belongs to no resource of the configuration`);
    }
    const recoveries: Promise<void>[] = [];
    for (const [name, record] of wanted) {
      const resource = this.resourceFor(name, record);
      if (resource === null) continue;
      if (record !== null) this.records.set(name, record);
      const kept = keptFdsOf(keeper.kept, name);
      log.info(`${name} was up: bringing it back${kept.length > 0 ? `, its device was kept (${kept.length} descriptors)` : ''}`);
      recoveries.push(this.recover(resource, record, kept));
    }
    if (recorded === null && this.options.startAll) {
      for (const resource of this.resources.values()) if (!wanted.has(resource.name)) recoveries.push(this.firstStart(resource));
    }
    await Promise.all(recoveries);
    this.save();
  }

  private async recover(resource: Resource, record: ResourceRecord | null, kept: { name: string; fd: number }[]): Promise<void> {
    this.recovering.add(resource.name);
    try {
      await resource.exclusively(() =>
        this.holding(resource, () => recoverResource(resource, record, kept, this.recoverSurroundings())),
      );
    } finally {
      this.recovering.delete(resource.name);
      resource.refresh();
    }
  }

  private recoverSurroundings(): RecoverSurroundings {
    const { keeper, addon, log } = this.options;
    return {
      ...this.metaContext(),
      log,
      clock: systemClock,
      signal: this.ending.signal,
      forget: (name) => {
        if (keeper.canStore) addon.notify(keeper.notifySocket, `FDSTOREREMOVE=1\nFDNAME=${name}`);
      },
    };
  }

  private async firstStart(resource: Resource): Promise<void> {
    try {
      await this.verb(resource.name, 'up', {}, { signal: this.ending.signal, progress: () => {} });
    } catch (error) {
      this.options.log.error(`${resource.name} could not be brought up: ${(error as Error).message}`);
    }
  }

  /** The resource a record speaks of, with the configuration it ran with. */
  private resourceFor(name: string, record: ResourceRecord | null): Resource | null {
    let resource = this.resources.get(name) ?? null;
    if (resource === null && record !== null && sidesOf(record.config, this.options.node) !== null) {
      this.options.log.warn(`${name} is no longer in the configuration; it runs on as it was until 'drbdts down ${name}'`);
      resource = new Resource(record.config, this.surroundings());
      this.resources.set(name, resource);
    }
    if (resource !== null && record !== null && sidesOf(record.config, this.options.node) !== null) resource.config = record.config;
    return resource;
  }

  /**
   * Ends the engines. Devices that exist stay with the keeper for the next daemon; without a keeper a volume in use gets I/O errors from
   * now on, which is said. What was up stays on record.
   */
  async stop(): Promise<void> {
    this.ending.abort(drbdtsError('ERR_CANCELLED', { values: { reason: 'the daemon is ending' } }));
    for (const promotion of this.promotions.values()) promotion.abort();
    await Promise.all([...this.resources.values()].filter((resource) => resource.up).map((resource) => this.stopResource(resource)));
    this.arbiters.stop();
  }

  private async stopResource(resource: Resource): Promise<void> {
    const { log, keeper } = this.options;
    this.hold(resource);
    const deviceUp = resource.snapshot()?.volumes.some((volume) => volume.deviceUp) ?? false;
    if (deviceUp && keeper.canStore) {
      log.info(`${resource.name} the device stays with the keeper until the next drbdtsd; I/O waits`);
    } else {
      try {
        await within(resource.command('down', {}), stopPatienceMs);
      } catch (error) {
        log.error(
          `${resource.name} can not be taken down (${(error as Error).message}) and nobody keeps its device: its I/O fails from now on. ` +
            'Unmount before stopping drbdtsd, or run it under systemd or drbdts-keeper.',
        );
      }
    }
    await within(resource.stop(), stopPatienceMs).catch((error: Error) => log.error(`${resource.name} ${error.message}`));
  }

  // --- control API -----------------------------------------------------------------------------------------------------------------

  status(name: string | null): StatusReply {
    const resources = name === null ? [...this.resources.values()] : [this.find(name)];
    const { node } = this.options;
    return {
      node,
      version,
      resources: resources
        .filter((resource) => sidesOf(resource.config, node) !== null)
        .map((resource) => ({
          ...resourceStatusOf(
            resource.config,
            node,
            resource.snapshot(),
            resource.downReason,
            (device) => this.mountOf(device),
            (volume) => this.arbiters.status(resource.config, volume),
          ),
          recovering: this.recovering.has(resource.name),
        })),
    };
  }

  proc(): string {
    return procDrbd(this.snapshots(), version);
  }

  async verb(name: string, verb: Verb, request: VerbRequest, context: VerbContext): Promise<VerbReply> {
    const resource = this.find(name);
    const waiting = verb === 'wait-connect' || verb === 'wait-sync';
    if (waiting) return runVerb(resource, verb, request, context, this.verbSurroundings());
    try {
      return await this.holding(resource, () => runVerb(resource, verb, request, context, this.verbSurroundings()));
    } finally {
      this.record(resource);
      if (!resource.up && this.wanted(name) === null) this.resources.delete(name);
    }
  }

  config(): Config {
    return maskSecrets(this.config_);
  }

  checkConfig(request: ConfigCheckRequest): ConfigCheckReply {
    const { configFile, node } = this.options;
    const result =
      request.text === undefined
        ? loadConfig(request.file ?? configFile, node)
        : parseConfig(request.text, request.file ?? configFile, node);
    return { problems: result.problems };
  }

  async reload(): Promise<ReloadReply> {
    const { configFile, node, log } = this.options;
    const result = loadConfig(configFile, node);
    const config = requireConfig(result, configFile);
    const running = new Map([...this.resources].map(([name, resource]) => [name, resource.config]));
    const changed = changedResources(running, config.resources, node);
    this.takeConfig(config);
    log.info(
      `configuration read again from ${configFile}; ${changed.length === 0 ? 'nothing changed' : `changed: ${changed.join(', ')} (drbdts adjust carries it out)`}`,
    );
    return { changed, problems: result.problems };
  }

  version(): VersionReply {
    return { version, protocol: { ...protocolVersions }, pid: process.pid };
  }

  register(group: string): RegisterReply {
    return this.arbiters.record(this.knownGroup(group));
  }

  confirmFenced({ node, reason }: ConfirmRequest): ConfirmReply {
    return { output: this.arbiters.confirmFenced(node, reason) };
  }

  async claim(group: string, { peerGone }: RegisterRequest): Promise<RegisterReply> {
    return this.arbiters.claim(this.knownGroup(group), peerGone);
  }

  release(group: string, { peerGone }: RegisterRequest): RegisterReply {
    return this.arbiters.release(this.knownGroup(group), peerGone);
  }

  // --- inside ------------------------------------------------------------------------------------------------------------------------

  private knownGroup(group: string): string {
    if (this.config_.groups.some(({ name }) => name === group)) return group;
    throw drbdtsError('ERR_UNKNOWN_GROUP', { values: { group } });
  }

  private takeConfig(config: Config): void {
    this.config_ = config;
    this.options.log.level = config.global.logLevel;
    for (const [name, resource] of this.resources) {
      if (!resource.up && !config.resources.some((candidate) => candidate.name === name)) this.resources.delete(name);
    }
    for (const wanted of config.resources) {
      if (sidesOf(wanted, this.options.node) === null) continue;
      const resource = this.resources.get(wanted.name);
      if (resource === undefined) this.resources.set(wanted.name, new Resource(wanted, this.surroundings()));
      else if (!resource.up) resource.config = wanted;
    }
    this.arbiters.configure(config);
  }

  private find(name: string): Resource {
    const resource = this.resources.get(name);
    if (resource !== undefined) return resource;
    if (this.resources.size === 0) throw drbdtsError('ERR_NO_RESOURCES');
    throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: name }, details: { known: [...this.resources.keys()] } });
  }

  private wanted(name: string): ResourceConfig | null {
    const found = this.config_.resources.find((resource) => resource.name === name);
    return found !== undefined && sidesOf(found, this.options.node) !== null ? found : null;
  }

  private snapshots(): NativeSnapshot[] {
    return [...this.resources.values()].map((resource) => resource.snapshot()).filter((snapshot) => snapshot !== null);
  }

  private mountOf(device: string): Mount | null {
    const now = systemClock.nowMs();
    const number = deviceNumberOf(device);
    // this namespace is read each time: who has just mounted wants to see it. The others cost a walk through /proc.
    const own = findMount([readOwnMountTable()], device, number);
    if (own !== null) return own;
    if (now - this.mounts.atMs > mountCacheMs) this.mounts = { atMs: now, tables: readOtherMountTables() };
    return findMount(this.mounts.tables, device, number);
  }

  private metaContext(): { addon: NativeAddon; node: string; now(): Date } {
    return { addon: this.options.addon, node: this.options.node, now: () => systemClock.date() };
  }

  private surroundings(): ResourceSurroundings {
    const { addon, node, log, frontend, keeper } = this.options;
    return {
      addon,
      node,
      log,
      frontend,
      notifySocket: keeper.canStore ? keeper.notifySocket : '',
      config: () => this.config_,
      onChange: (resource, before, after) => {
        this.events.changed(resource, before, after);
        this.arbiters.changed(resource.config);
        if ((this.held.get(resource.name) ?? 0) === 0) this.record(resource);
      },
      onEngineLost: (resource, deviceUp) => {
        if (!deviceUp || !keeper.canStore) return;
        log.error(`${resource.name} starting over, to take the device back from the keeper`);
        this.options.startOver();
      },
      arbitrate: (resource, volume, self) => this.arbiters.fence(resource.config, volume, self),
      onHelper: (resource, name, volume, status) => this.events.helper(resource, name, volume, status),
    };
  }

  private verbSurroundings(): VerbSurroundings {
    return {
      ...this.metaContext(),
      wanted: (name) => this.wanted(name),
      promoteLater: (resource) => this.promoteLater(resource),
      cancelPromotion: (resource) => this.promotions.get(resource.name)?.abort(),
      info: (sentence) => this.options.log.info(sentence),
      letGoOfDevice: (resource, connect) => letGoOfDevice(resource, connect, this.recoverSurroundings()),
    };
  }

  /** become-primary-on: once the peer is there, or the time to wait for it is over. */
  private promoteLater(resource: Resource): void {
    if (resource.config.startup['become-primary-on'] !== this.options.node) return;
    this.promotions.get(resource.name)?.abort();
    const promotion = new AbortController();
    this.promotions.set(resource.name, promotion);
    void this.promote(resource, promotion.signal).finally(() => {
      if (this.promotions.get(resource.name) === promotion) this.promotions.delete(resource.name);
    });
  }

  private async promote(resource: Resource, cancelled: AbortSignal): Promise<void> {
    const { log } = this.options;
    const outdated = resource.snapshot()?.volumes.some((volume) => volume.peerDisk === 'Outdated') ?? false;
    const { seconds, option } = waitLimit(resource.config.startup, resource.degraded, outdated);
    const limit = seconds > 0 ? AbortSignal.timeout(seconds * 1000) : null;
    log.info(
      `${resource.name} becomes Primary (become-primary-on) when the peer is connected${limit === null ? '' : `, or after ${seconds} s (${option})`}`,
    );
    try {
      await resource.waitFor(
        (snapshot) => waitState('wait-connect', snapshot) !== 'waiting',
        limit === null ? cancelled : AbortSignal.any([cancelled, limit]),
      );
    } catch {
      if (cancelled.aborted) {
        log.info(`${resource.name} the promotion by become-primary-on is cancelled`);
        return;
      }
    }
    if (cancelled.aborted || !resource.up) return;
    try {
      await resource.exclusively(async () => {
        if (!cancelled.aborted) await resource.command('primary', {});
      });
    } catch (error) {
      log.error(`${resource.name} did not become Primary (become-primary-on): ${(error as Error).message}`);
    }
  }

  private hold(resource: Resource): void {
    this.held.set(resource.name, (this.held.get(resource.name) ?? 0) + 1);
  }

  private async holding<T>(resource: Resource, work: () => Promise<T>): Promise<T> {
    this.hold(resource);
    try {
      return await work();
    } finally {
      this.held.set(resource.name, (this.held.get(resource.name) ?? 1) - 1);
    }
  }

  /** Writes down what runs, if that changed. */
  private record(resource: Resource): void {
    if (this.ending.signal.aborted) return;
    const snapshot = resource.snapshot();
    const before = this.records.get(resource.name);
    if (snapshot === null) {
      // an engine that ended by itself was not taken down: the next daemon shall bring it back
      if (before === undefined || resource.downReason !== '') return;
      this.records.delete(resource.name);
    } else {
      const after = recordOf(resource.config, snapshot, resource.degraded);
      if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) return;
      this.records.set(resource.name, after);
    }
    this.save();
  }

  private save(): void {
    try {
      const { cluster } = this.config_;
      writeRunState(this.options.stateDir, { resources: Object.fromEntries(this.records), ...(cluster === null ? {} : { cluster }) });
    } catch (error) {
      this.options.log.error(`the record of what is up could not be written: ${(error as Error).message}`);
    }
  }
}
