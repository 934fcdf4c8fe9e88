/**
 * One configured resource: its engine while it is up, typed commands, events, handlers. Decides nothing about DRBD's meaning (verbs.ts
 * does); keeps the running configuration, the last snapshot, and who wants to know of changes.
 */

import type { OptionValues } from '../config/options.js';
import { type Config, type ResourceConfig, sidesOf } from '../config/types.js';
import { drbdtsError, errorForDrbdCode } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { handlerNames } from '../shared/terms.js';
import { handlerEnvironment, runHandler } from './handlers.js';
import type { KeptFd } from './keeper.js';
import type {
  MetaDataLocation,
  NativeAddon,
  NativeCommand,
  NativeCommandArgs,
  NativeEvent,
  NativeOptions,
  NativeResource,
  NativeResourceConfig,
  NativeResult,
  NativeSnapshot,
} from './native-api.js';
import { stateLines } from './state-lines.js';

export interface ResourceSurroundings {
  addon: NativeAddon;
  node: string;
  log: Log;
  frontend: 'fuse_loop' | 'memory';
  notifySocket: string;
  /** the configuration in force, for handlers' time limit and DRBD_CONF. */
  config(): Config;
  /** the state of a resource changed. */
  onChange(resource: Resource, before: NativeSnapshot | null, after: NativeSnapshot | null): void;
  /** the engine ended by itself; `deviceUp`: its block device exists and nobody serves it now. */
  onEngineLost(resource: Resource, deviceUp: boolean): void;
  /** exit code of fence-peer, or of fence-self, when the arbiter decides; null when the configured handler does. */
  arbitrate(resource: Resource, volume: number, self: boolean): Promise<number> | null;
  /** a handler started (status null) or ended. */
  onHelper(resource: Resource, name: string, volume: number, status: number | null): void;
}

/** Empty words mean "none": the engine takes only what is set. */
function nativeOptions(options: OptionValues): NativeOptions {
  return { ...options };
}

/** What the engine needs to know of a resource. */
export function nativeConfig(
  config: ResourceConfig,
  node: string,
  kept: KeptFd[],
  frontend: 'fuse_loop' | 'memory',
  notifySocket: string,
): NativeResourceConfig {
  const sides = sidesOf(config, node);
  if (sides === null) throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: config.name } });
  const { self, peer } = sides;
  return {
    name: config.name,
    localAddress: { ...self.address },
    peerAddress: { ...peer.address },
    peerName: peer.name,
    options: nativeOptions(config.net),
    volumes: self.volumes.map((volume) => ({
      ...volume,
      links: [`/dev/drbd/by-res/${config.name}/${volume.volume}`],
      options: nativeOptions(config.volumes.find((candidate) => candidate.volume === volume.volume)?.disk ?? {}),
      frontend,
    })),
    keptFds: kept,
    notifySocket,
  };
}

type Waiter = () => void;

export class Resource {
  /** what it runs with, or would be brought up with. */
  config: ResourceConfig;
  /** was Primary without a peer before the last attach. */
  degraded = false;
  /** why it went down by itself; '' otherwise. */
  downReason = '';
  /** Descriptors of a device that was kept and that no Primary serves yet: whoever has it open waits. */
  keptUnserved: readonly KeptFd[] = [];
  /** Why the last attach of a volume did not get as far as the engine, by number. */
  readonly attachProblems = new Map<number, string>();
  /** exit code of the last fence-peer; null: none ended in this life. */
  lastFenceExit: number | null = null;
  private readonly around: ResourceSurroundings;
  private native: NativeResource | null = null;
  private last: NativeSnapshot | null = null;
  private readonly waiters = new Set<Waiter>();
  private queue: Promise<unknown> = Promise.resolve();

  constructor(config: ResourceConfig, around: ResourceSurroundings) {
    this.config = config;
    this.around = around;
  }

  get name(): string {
    return this.config.name;
  }

  get up(): boolean {
    return this.native !== null;
  }

  /** The state now; null while down. */
  snapshot(): NativeSnapshot | null {
    const snapshot = this.native?.snapshot() ?? null;
    if (snapshot === null || this.attachProblems.size === 0) return snapshot;
    return {
      ...snapshot,
      volumes: snapshot.volumes.map((one) => {
        const problem = this.attachProblems.get(one.volume);
        return problem !== undefined && one.disk === 'Diskless' && one.diskReason === '' ? { ...one, diskReason: problem } : one;
      }),
    };
  }

  location(volume: number): MetaDataLocation & { minor: number; device: string } {
    const found = sidesOf(this.config, this.around.node)?.self.volumes.find((candidate) => candidate.volume === volume);
    if (found === undefined)
      throw drbdtsError('ERR_UNKNOWN_VOLUME_NUMBER', { values: { resource: this.name, volume, volumes: this.volumeNumbers().join(', ') } });
    return { disk: found.disk, metaDisk: found.metaDisk, metaIndex: found.metaIndex, minor: found.minor, device: found.device };
  }

  volumeNumbers(): number[] {
    return this.config.volumes.map((volume) => volume.volume);
  }

  /** Word in front of drbdsetup's messages: the minor when one volume is meant, else the resource. */
  objectOf(volume: number | undefined): string {
    if (volume !== undefined) return String(this.location(volume).minor);
    const [only, ...others] = this.volumeNumbers();
    return only !== undefined && others.length === 0 ? String(this.location(only).minor) : this.name;
  }

  /** Runs `work` when everything queued before is done: changes of one resource never overlap. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(work, work);
    this.queue = turn.catch(() => {});
    return turn;
  }

  /** Starts the engine: no disk, StandAlone. */
  start(kept: KeptFd[] = []): void {
    if (this.native !== null) return;
    this.downReason = '';
    this.keptUnserved = kept;
    this.lastFenceExit = null;
    this.native = this.around.addon.createResource(
      nativeConfig(this.config, this.around.node, kept, this.around.frontend, this.around.notifySocket),
      (events) => this.onEvents(events),
    );
    this.refresh();
  }

  /** Ends the engine's thread. What was not taken down stays with the keeper. */
  async stop(): Promise<void> {
    const { native } = this;
    this.native = null;
    this.keptUnserved = [];
    await native?.stop();
    this.refresh();
  }

  /** A command of the engine. Refusals and errors reject in drbdsetup's words. */
  async command<C extends NativeCommand>(name: C, args: NativeCommandArgs[C], object?: string): Promise<NativeResult> {
    const volume = 'volume' in args ? (args.volume as number | undefined) : undefined;
    const word = object ?? this.objectOf(volume);
    if (this.native === null) throw errorForDrbdCode(127, word, '', this.downReason);
    const result = await this.native.command(name, args);
    this.refresh();
    if (result.code <= 0 || result.code >= 100) throw errorForDrbdCode(result.code, word, result.text, result.detail);
    // all of its volumes: one that is refused leaves the others' users waiting, too
    if (name === 'primary') this.keptUnserved = [];
    return result;
  }

  /** Resolves when `done` says so of the present state; looked at after every change. Rejects with the signal's reason. */
  async waitFor(done: (snapshot: NativeSnapshot | null) => boolean, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        this.waiters.delete(look);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        end();
        reject(signal.reason);
      };
      const look: Waiter = () => {
        if (!done(this.snapshot())) return;
        end();
        resolve();
      };
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiters.add(look);
      look();
    });
  }

  /** Compares with the last snapshot and tells everybody. */
  refresh(): void {
    const before = this.last;
    const after = this.snapshot();
    this.last = after;
    // the engine logs each step in DRBD's words; what it comes to, with the reason, is worth a line of its own only if there is one
    for (const line of stateLines(before, after)) this.around.log[line.includes(' reason=') ? 'info' : 'debug'](line);
    this.around.onChange(this, before, after);
    for (const waiter of [...this.waiters]) waiter();
  }

  private onEvents(events: NativeEvent[]): void {
    let changed = false;
    for (const event of events) {
      switch (event.type) {
        case 'changed':
          changed = true;
          break;
        case 'log':
          this.around.log[event.level](`${this.name}${event.volume >= 0 ? `/${event.volume}` : ''} ${event.message}`);
          break;
        case 'handler':
          void this.handle(event);
          break;
        case 'stopped':
          this.engineStopped(event.text);
          break;
      }
    }
    if (changed) this.refresh();
  }

  private engineStopped(text: string): void {
    if (this.native === null) return;
    const deviceUp = this.last?.volumes.some((volume) => volume.deviceUp) ?? false;
    this.native = null;
    this.downReason = text === '' ? 'the engine ended' : text;
    this.around.log.error(`${this.name} the engine ended: ${text}`);
    this.refresh();
    this.around.onEngineLost(this, deviceUp);
  }

  private async handle(event: Extract<NativeEvent, { type: 'handler' }>): Promise<void> {
    const { native } = this;
    const fence = event.name === 'fence-peer' || event.name === 'fence-self';
    const answer = fence ? this.around.arbitrate(this, event.volume, event.name === 'fence-self') : null;
    if (answer !== null) {
      this.around.onHelper(this, event.name, event.volume, null);
      const exitCode = await answer;
      if (event.name === 'fence-peer') this.lastFenceExit = exitCode;
      if (event.wait) native?.handlerResult(event.id, exitCode);
      this.around.onHelper(this, event.name, event.volume, exitCode);
      return;
    }
    const name = handlerNames.find((candidate) => candidate === event.name);
    const command = name === undefined ? '' : (this.config.handlers[name] ?? '');
    if (name === undefined || command === '') {
      if (event.wait) native?.handlerResult(event.id, 0);
      return;
    }
    const config = this.around.config();
    const place = `${this.name}${event.volume >= 0 ? `/${event.volume}` : ''}`;
    this.around.onHelper(this, name, event.volume, null);
    this.around.log.info(`${place} running handler ${name}: ${command}`);
    const env = { ...handlerEnvironment(this.config, this.around.node, config.file, event.volume), ...event.env };
    const run = await runHandler(name, command, env, config.global.handlerTimeoutS);
    if (name === 'fence-peer') this.lastFenceExit = run.exitCode;
    if (event.wait) native?.handlerResult(event.id, run.exitCode);
    this.around.log[run.exitCode === 0 || (name === 'fence-peer' && run.exitCode >= 3 && run.exitCode <= 7) ? 'info' : 'warn'](
      `${place} ${run.sentence}${run.output === '' ? '' : `; it printed: ${run.output}`}`,
    );
    this.around.onHelper(this, name, event.volume, run.exitCode);
  }
}
