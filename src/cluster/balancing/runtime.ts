/** Balancing on one node: checks, machines and a data plane joined. Every decision is in machine.ts. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { BalancingSection, RealServer, VirtualServer } from '../../config/balancing-types.js';
import type { BalancingStatus, BalancingTargetStatus, VirtualServerStatus } from '../../control/balancing-messages.js';
import { drbdtsError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { version } from '../../shared/version.js';
import type { CheckResult } from './checkers/checker.js';
import { Checks } from './checks.js';
import { IpvsPlane } from './ipvs-plane.js';
import { type BalancingEvent, initialServer, liveWeight, nextCheckMs, type ServerState, serverStep, sorryName, type Wanted, wantedOf, weightOf } from './machine.js';
import { NftPlane } from './nft-plane.js';
import { removeScript } from './nft-rules.js';
import type { Plane, PlaneLook, TargetCounters } from './plane.js';
import { type RunTool, runTool } from './tool.js';

export interface Gate {
  readonly open: boolean;
  readonly reason: string;
}

export interface BalancingOptions {
  readonly section: BalancingSection;
  readonly node: string;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly clock: { nowMs(): number };
  /** what is so of a group or of a virtual router here. */
  readonly gate: (gate: NonNullable<VirtualServer['gate']>) => Gate;
  readonly run?: RunTool;
  readonly random?: () => number;
}

/** Somebody else may take the tables away (a firewall that is loaded anew). */
const lookEveryMs = 3000;
const tryAgainMs = 1000;

export class BalancingRuntime {
  readonly #options: BalancingOptions;
  readonly #plane: Plane;
  readonly #checks: Checks;
  readonly #servers: readonly VirtualServer[];
  readonly #took = new Map<string, number>();
  /** numbers of virtual servers that have to be brought in force. */
  readonly #dirty = new Set<number>();
  #states: ServerState[];
  #inForce: string[] = [];
  #anew = false;
  #working: Promise<void> | null = null;
  #again: NodeJS.Timeout | null = null;
  #looker: NodeJS.Timeout | null = null;
  #running = false;
  #problem = '';
  #warnings: string[] = [];
  readonly #planeWarnings: string[] = [];

  constructor(options: BalancingOptions) {
    const { section, node, clock, log } = options;
    this.#options = options;
    this.#servers = section.virtualServers;
    const run = options.run ?? runTool;
    const warn = (sentence: string): void => {
      log.warn(`balancing: ${sentence}`);
      if (!this.#planeWarnings.includes(sentence)) this.#planeWarnings.push(sentence);
    };
    this.#plane = section.plane === 'nftables' ? new NftPlane({ section, node }, run, warn) : new IpvsPlane(section, run);
    this.#states = this.#servers.map((server) => initialServer(server, clock.nowMs()));
    this.#checks = new Checks({
      servers: this.#servers,
      nowMs: () => clock.nowMs(),
      random: options.random ?? Math.random,
      onResult: (server, real, check, result, tookMs) => this.#result(server, real, check, result, tookMs),
      nextMs: (server, real, check) => {
        const index = this.#servers[server]?.realServers.findIndex(({ name }) => name === real) ?? -1;
        const [own, state] = [this.#servers[server]?.realServers[index], this.#states[server]?.real[index]];
        return own === undefined || state === undefined ? lookEveryMs : nextCheckMs(own, state, check, (options.random ?? Math.random)());
      },
    });
  }

  /** Rejects with a DrbdtsError when this host can not do it at all. What may come later (an interface) is tried again and again. */
  async start(): Promise<void> {
    this.#refuseOwnAddresses();
    await this.#plane.ready();
    this.#running = true;
    this.#lookAtHost();
    this.gatesChanged();
    // what is there of the same configuration stays: connections and sticky clients of the process before this one
    const found = await this.#plane.look().catch(() => null);
    this.#anew = found?.intact !== true;
    for (const number of this.#servers.keys()) this.#dirty.add(number);
    await this.#work();
    this.#checks.start();
    this.#looker = setInterval(() => void this.#lookAgain(), lookEveryMs);
    for (const { name, address, port, protocol, kind, scheduler, realServers } of this.#servers) {
      this.#options.log.info(`balancing ${name}: ${protocol} ${address} port ${port} over ${realServers.length} real servers by ${scheduler} (${kind}, ${this.#options.section.plane})`);
    }
  }

  /** The tables go away; open connections through them end, as those of an address that leaves do. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#checks.close();
    if (this.#looker !== null) clearInterval(this.#looker);
    if (this.#again !== null) clearTimeout(this.#again);
    await this.#working;
    await this.#plane.remove().catch((error: Error) => this.#options.log.error(`balancing: the rules could not be taken away: ${error.message}`));
  }

  /** The process ends and the next one takes over what is in force. */
  async handOver(): Promise<void> {
    this.#running = false;
    this.#checks.close();
    if (this.#looker !== null) clearInterval(this.#looker);
    if (this.#again !== null) clearTimeout(this.#again);
    await this.#working;
  }

  /** A group may be started or stopped, a virtual router another one. */
  gatesChanged(): void {
    for (const [number, { gate }] of this.#servers.entries()) {
      if (gate === null) continue;
      const { open, reason } = this.#options.gate(gate);
      const state = this.#states[number];
      if (state !== undefined && (state.open !== open || state.gateReason !== reason)) this.#feed(number, { kind: 'gate', open, reason });
    }
  }

  async status(): Promise<BalancingStatus> {
    const look = await this.#plane.look().catch((): PlaneLook => ({ intact: false, counters: new Map() }));
    this.gatesChanged();
    this.#lookAtHost();
    // what is said here is in force already, unless it says that it is not
    while (this.#working !== null) await this.#working;
    const { node, section } = this.#options;
    return {
      ...{ node, version, plane: section.plane, problem: this.#problem, warnings: [...this.#planeWarnings, ...this.#warnings] },
      virtualServers: this.#servers.map((server, number) => this.#serverStatus(number, server, look.counters.get(number) ?? new Map<string, TargetCounters>())),
    };
  }

  // --- events ------------------------------------------------------------------------------------------------------------------------

  #result(number: number, real: string, check: number, result: CheckResult, tookMs: number): void {
    this.#took.set(`${number} ${real} ${check}`, Math.round(tookMs));
    this.#feed(number, { kind: 'check', real, check, ...result });
  }

  #feed(number: number, event: BalancingEvent): void {
    const [server, before] = [this.#servers[number], this.#states[number]];
    if (server === undefined || before === undefined) return;
    const { state, lines } = serverStep(server, before, event, this.#options.clock.nowMs());
    this.#states[number] = state;
    for (const line of lines) this.#options.log[/is down|is lost/.test(line) ? 'warn' : 'info'](`balancing ${server.name}: ${line}`);
    if (!this.#running || JSON.stringify(wantedOf(server, state)) === this.#inForce[number]) return;
    this.#dirty.add(number);
    void this.#work();
  }

  // --- the data plane ----------------------------------------------------------------------------------------------------------------

  /** One at a time; what comes meanwhile is taken along by the next round. */
  #work(): Promise<void> {
    this.#working ??= this.#rounds().finally(() => {
      this.#working = null;
    });
    return this.#working;
  }

  async #rounds(): Promise<void> {
    while (this.#running && this.#dirty.size > 0 && this.#again === null) {
      const numbers = this.#anew ? [...this.#servers.keys()] : [...this.#dirty];
      const wanted = this.#servers.map((server, number): Wanted => {
        const state = this.#states[number];
        return state === undefined ? { active: false, destinations: [] } : wantedOf(server, state);
      });
      this.#dirty.clear();
      try {
        await this.#plane.apply(wanted, numbers, this.#anew);
        this.#anew = false;
        for (const number of numbers) this.#inForce[number] = JSON.stringify(wanted[number]);
        if (this.#problem !== '') this.#options.log.info('balancing: what is wanted is in force now');
        this.#problem = '';
      } catch (error) {
        const sentence = (error as Error).message;
        if (sentence !== this.#problem) this.#options.log.error(`balancing: what is wanted could not be brought in force: ${sentence}; it is tried again every ${tryAgainMs} ms`);
        this.#problem = sentence;
        for (const number of numbers) this.#dirty.add(number);
        this.#anew = true;
        this.#again = setTimeout(() => {
          this.#again = null;
          void this.#work();
        }, tryAgainMs);
      }
    }
  }

  async #lookAgain(): Promise<void> {
    this.#lookAtHost();
    if (this.#working !== null || this.#problem !== '') return;
    const look = await this.#plane.look().catch(() => null);
    if (look === null || look.intact || this.#working !== null || !this.#running) return;
    this.#options.log.warn('balancing: somebody has taken the rules away (was a firewall loaded anew?); they are made again');
    this.#anew = true;
    for (const number of this.#servers.keys()) this.#dirty.add(number);
    await this.#work();
  }

  // --- the host ----------------------------------------------------------------------------------------------------------------------

  #lookAtHost(): void {
    const found: string[] = [];
    for (const family of [4, 6] as const) {
      const own = this.#servers.filter((server) => server.kind === 'nat' && server.family === family).map(({ name }) => name);
      const file = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
      if (own.length > 0 && !isOn(`/proc/sys/${file}`)) found.push(`${own.join(', ')}: kind nat needs forwarding, and it is off here: \`sysctl -w ${file.replaceAll('/', '.')}=1\``);
    }
    for (const sentence of found) if (!this.#warnings.includes(sentence)) this.#options.log.warn(`balancing ${sentence}`);
    this.#warnings = found;
  }

  #refuseOwnAddresses(): void {
    const { section, node } = this.#options;
    if (section.plane !== 'nftables') return;
    const own = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
    for (const { name, kind, realServers } of this.#servers) {
      const real = kind === 'dr' ? realServers.find(({ address }) => own.has(address)) : undefined;
      if (real === undefined) continue;
      throw drbdtsError('ERR_BALANCING_PLANE', { values: { plane: 'nftables', reason: `the real server ${real.name} of ${name} (${real.address}) is ${node} itself, and kind dr can not hand a frame to its own host` }, remedy: 'Let the directors be no real servers, or write `kind: nat` or `plane: ipvs`.' });
    }
  }

  // --- status ------------------------------------------------------------------------------------------------------------------------

  #serverStatus(number: number, server: VirtualServer, counters: ReadonlyMap<string, TargetCounters>): VirtualServerStatus {
    const state = this.#states[number];
    if (state === undefined) throw new Error(`there is no virtual server ${number}`);
    const nowMs = this.#options.clock.nowMs();
    const wanted = new Map(wantedOf(server, state).destinations.map(({ name, sorry, weight }) => [`${sorry} ${name}`, weight]));
    const { quorum, hysteresis, sorryServer } = server;
    const counted = (name: string): TargetCounters => counters.get(name) ?? { connections: 0, packets: 0, bytes: 0 };
    const stateOf = (weight: number | undefined): BalancingTargetStatus['state'] => (weight === undefined ? 'down' : weight > 0 ? 'serving' : 'draining');
    const realServers = server.realServers.map((real: RealServer, index): BalancingTargetStatus => {
      const own = state.real[index];
      if (own === undefined) throw new Error(`there is no real server ${index}`);
      const checks = real.checks.map((check, at) => {
        const { up, seen, failures, detail } = own.checks[at] ?? { up: true, seen: false, failures: 0, detail: '' };
        return { type: check.type, up, seen, failures, detail, tookMs: this.#took.get(`${number} ${real.name} ${at}`) ?? null };
      });
      return { name: real.name, address: real.address, port: real.port, state: stateOf(wanted.get(`false ${real.name}`)), forMs: nowMs - own.sinceMs, weight: weightOf(real, own), ...counted(real.name), checks };
    });
    const sorryWeight = wanted.get(`true ${sorryName}`) ?? 0;
    return {
      ...{ name: server.name, address: server.address, port: server.port, protocol: server.protocol, kind: server.kind, scheduler: server.scheduler, persistenceMs: server.persistenceMs },
      ...{ open: state.open, gate: server.gate === null ? '' : `${server.gate.kind} ${server.gate.name}: ${state.gateReason}` },
      ...{ quorum: state.quorum, quorumForMs: nowMs - state.quorumSinceMs, liveWeight: liveWeight(server, state) },
      neededWeight: state.quorum ? Math.max(1, quorum - hysteresis) : quorum + hysteresis,
      realServers,
      sorryServer: sorryServer === null ? null : { name: sorryName, ...sorryServer, state: sorryWeight > 0 ? 'serving' : 'waiting', forMs: null, weight: 1, ...counted(sorryName), checks: [] },
    };
  }
}

/** Rules of a process before this one, whose configuration had virtual servers. Where there are none nothing is said. */
export async function removeLeftovers(run: RunTool = runTool): Promise<void> {
  await run(['nft', '--file', '-'], removeScript());
}

function isOn(file: string): boolean {
  try {
    return readFileSync(file, 'utf8').trim() !== '0';
  } catch {
    return false;
  }
}
