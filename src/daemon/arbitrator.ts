/**
 * Carries out what arbitration.ts decides for one key: keeps the record on stable storage, asks the arbiter, answers who waits. Decides
 * nothing.
 */
import { join } from 'node:path';
import { z } from 'zod';
import type { Arbiter } from '../arbiter/arbiter.js';
import { readDurable, writeDurable } from '../arbiter/durable-file.js';
import { registerRecord } from '../arbiter/messages.js';
import type { ArbitrationStatus } from '../control/messages.js';
import { systemClock } from '../shared/clock.js';
import { asDrbdtsError, drbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import {
  type ArbitrationAction,
  type ArbitrationEvent,
  type ArbitrationState,
  type Durable,
  fenceExit,
  lookAgainInMs,
  startArbitration,
  stepArbitration,
  unsaved,
  type View,
} from './arbitration.js';
import { arbitrationStatusOf } from './arbitration-status.js';

const durable = z.object({ key: z.string(), record: registerRecord, mayBeUndone: z.boolean() }).strict();

/** `volume/r0/0` in a file name; no two keys share one. */
function fileOf(directory: string, key: string): string {
  return join(directory, `${encodeURIComponent(key)}.json`);
}

function readKnown(file: string, key: string): Durable | null {
  const value = readDurable(file);
  if (value === null) return null;
  const parsed = durable.safeParse(value);
  if (!parsed.success || parsed.data.key !== key)
    throw drbdtsError('ERR_REGISTER_FILE', { values: { file, reason: 'it is not the record of this volume' }, place: file });
  return { record: parsed.data.record, mayBeUndone: parsed.data.mayBeUndone };
}

export interface ArbitratorOptions {
  key: string;
  /** `r0/0`, for the log. */
  place: string;
  self: string;
  peer: string;
  directory: string;
  arbiter: Arbiter;
  log: Log;
  tracksHolder: boolean;
  /** the volume as it is at this moment; null while it is down. */
  view(): View | null;
  /** asks the peer at once whether it is there; without an answer the connection is lost. */
  checkPeer?(): void;
  /** the status changed. */
  onStatus(status: ArbitrationStatus): void;
}

const nothing: View = {
  ...{ primary: false, attached: false, upToDate: false, peerUpToDate: false, connected: false, quiet: false, frozen: false },
  dataGeneration: '',
};

export class Arbitrator {
  private readonly options: ArbitratorOptions;
  private readonly file: string;
  private arbiter: Arbiter;
  private state: ArbitrationState;
  /** why nothing can be done at all; ''. */
  private broken = '';
  private readonly waiting = new Map<number, (exitCode: number) => void>();
  private nextFence = 1;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;
  private last = '';

  constructor(options: ArbitratorOptions) {
    this.options = options;
    this.arbiter = options.arbiter;
    this.file = fileOf(options.directory, options.key);
    const { key, self, peer, tracksHolder } = options;
    let stored: Durable | null = null;
    try {
      stored = readKnown(this.file, key);
    } catch (error) {
      const { message, remedy } = asDrbdtsError(error);
      // what this node knew is lost: it may not act on the first record as if it were new
      this.broken = message;
      options.log.error(`${options.place} ${message}. ${remedy}`);
    }
    this.state = startArbitration(key, self, peer, stored, { tracksHolder });
    this.look();
  }

  get status(): ArbitrationStatus {
    return arbitrationStatusOf(this.state, this.arbiter.kind, this.broken);
  }

  get record(): Durable['record'] {
    return this.state.durable.record;
  }

  get place(): string {
    return this.options.place;
  }

  /** The peer is seen, whatever its disk is worth. */
  get seesPeer(): boolean {
    return this.options.view()?.connected ?? false;
  }

  /** An operator says that the peer is off for good. */
  confirmFenced(): void {
    this.step({ type: 'confirmed' });
  }

  /** Another arbiter, or another way to it, from now on. */
  use(arbiter: Arbiter): void {
    this.arbiter = arbiter;
    this.state = { ...this.state, incarnation: '', asking: null, nextId: this.state.nextId + 1 };
    this.look();
  }

  /** Something of the volume changed, or time went by. */
  look(): void {
    this.step({ type: 'look' });
  }

  /** Resolves with the exit code of fence-peer, or of fence-self: 7 out, 5 nobody could be asked, 6 we are out. May take for ever. */
  async fence(self: boolean, signal?: AbortSignal): Promise<number> {
    if (this.broken !== '' || this.ended) return fenceExit.unreachable;
    const id = this.nextFence++;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          this.step({ type: 'fence-gone', id });
          this.endFence(id, fenceExit.unreachable);
        },
        { once: true },
      );
      this.step({ type: 'fence', id, self });
    });
  }

  stop(): void {
    this.ended = true;
    clearTimeout(this.timer);
    for (const id of [...this.waiting.keys()]) this.endFence(id, fenceExit.unreachable);
  }

  private endFence(id: number, exitCode: number): void {
    const resolve = this.waiting.get(id);
    this.waiting.delete(id);
    resolve?.(exitCode);
  }

  private step(event: ArbitrationEvent): void {
    if (this.ended || this.broken !== '') return;
    const view = this.options.view();
    const nowMs = systemClock.nowMs();
    // nobody waits for a volume that is down
    if (view === null) for (const id of [...this.waiting.keys()]) this.dropFence(id);
    const before = this.state;
    const { state, actions } = stepArbitration(before, event, view ?? nothing, nowMs);
    this.state = state;
    for (const action of actions) {
      if (action.type === 'end-fence') this.endFence(action.id, action.exitCode);
      else if (action.type === 'ask') this.ask(action);
      else if (action.type === 'check-peer') this.options.checkPeer?.();
      else {
        try {
          writeDurable(this.file, { key: this.options.key, ...action.durable });
        } catch (error) {
          const { message } = error as Error;
          this.options.log.error(`${this.options.place} the record of the arbitration could not be written: ${message}`);
          this.state = unsaved(before, state, message, nowMs);
          for (const other of actions)
            if (other.type === 'end-fence' && other.exitCode === fenceExit.unreachable) this.endFence(other.id, other.exitCode);
          break;
        }
      }
    }
    this.tell();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), lookAgainInMs(this.state, nowMs));
  }

  private dropFence(id: number): void {
    if (this.state.fence?.id === id) this.state = { ...this.state, fence: null };
    this.endFence(id, fenceExit.unreachable);
  }

  private ask({ id, request, circumstances }: Extract<ArbitrationAction, { type: 'ask' }>): void {
    this.arbiter.ask(request, circumstances).then(
      (answer) => this.step({ type: 'answer', id, answer }),
      (error: Error) => this.step({ type: 'no-answer', id, problem: error.message }),
    );
  }

  /** Says what changed, once. */
  private tell(): void {
    const { status } = this;
    const text = JSON.stringify(status);
    if (text === this.last) return;
    const before = this.last === '' ? null : (JSON.parse(this.last) as ArbitrationStatus);
    this.last = text;
    const { place, log } = this.options;
    if (before === null || before.state !== status.state || before.epoch !== status.epoch || before.sentence !== status.sentence) {
      const bad = status.state === 'denied' || !status.reachable;
      log[bad ? 'warn' : before === null ? 'debug' : 'info'](
        `${place} arbitration(${before?.state ?? 'none'} -> ${status.state}) epoch=${status.epoch} in-sync=${this.record.inSync.join(',')}${status.sentence === '' ? '' : ` reason=${status.sentence}`}`,
      );
    }
    this.options.onStatus(status);
  }
}
