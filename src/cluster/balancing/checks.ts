/** Runs the checks of all virtual servers, each at its own time. What follows from a result is in machine.ts. */
import type { RealServer, VirtualServer } from '../../config/balancing-types.js';
import { type CheckResult, runCheck } from './checkers/checker.js';

export interface ChecksOptions {
  readonly servers: readonly VirtualServer[];
  readonly nowMs: () => number;
  readonly random: () => number;
  /** of one check, and how long it took. */
  readonly onResult: (server: number, real: string, check: number, result: CheckResult, tookMs: number) => void;
  /** when the next run of a check begins, counted from the start of the last one. */
  readonly nextMs: (server: number, real: string, check: number) => number;
}

/** The first runs are spread over so long at most: what is dead from the start is found soon. */
const firstMs = 1000;

export class Checks {
  readonly #options: ChecksOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #ending = new AbortController();

  constructor(options: ChecksOptions) {
    this.#options = options;
  }

  start(): void {
    const { servers, random } = this.#options;
    for (const [server, { realServers }] of servers.entries()) {
      for (const real of realServers) for (const [check, { everyMs }] of real.checks.entries()) this.#plan(server, real, check, Math.floor(random() * Math.min(everyMs, firstMs)));
    }
  }

  close(): void {
    this.#ending.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  #plan(server: number, real: RealServer, check: number, inMs: number): void {
    const key = `${server} ${real.name} ${check}`;
    this.#timers.set(key, setTimeout(() => void this.#run(server, real, check), inMs));
  }

  /** The next one is planned when this one is over: slow servers do not pile up checks. */
  async #run(server: number, real: RealServer, check: number): Promise<void> {
    const own = real.checks[check];
    if (own === undefined) return;
    const { nowMs, onResult, nextMs } = this.#options;
    const begin = nowMs();
    const result = await runCheck(own, real, this.#ending.signal);
    if (this.#ending.signal.aborted) return;
    const tookMs = nowMs() - begin;
    onResult(server, real.name, check, result, tookMs);
    this.#plan(server, real, check, Math.max(0, nextMs(server, real.name, check) - tookMs));
  }
}
