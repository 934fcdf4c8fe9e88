/** nftables as data plane: scripts of nft-rules.ts, given to `nft`. */
import { drbdtsError } from '../../shared/errors.js';
import type { Wanted } from './machine.js';
import { counterName, createScript, familiesOf, fillScript, type NftScene, removeScript, structureChain, tableName, targetsOf } from './nft-rules.js';
import type { Plane, PlaneLook, TargetCounters } from './plane.js';
import type { RunTool } from './tool.js';

interface Listed {
  readonly chains: Set<string>;
  /** devices of ingress chains. */
  readonly hooked: boolean;
  readonly counters: Map<string, { packets: number; bytes: number }>;
}

/** What `nft --json list table` says. */
function parseTable(text: string): Listed {
  const chains = new Set<string>();
  const counters = new Map<string, { packets: number; bytes: number }>();
  let hooked = false;
  for (const item of (JSON.parse(text) as { nftables: Record<string, Record<string, unknown>>[] }).nftables) {
    if (item.chain !== undefined) chains.add(String(item.chain.name));
    if (item.chain?.hook !== undefined) hooked = true;
    if (item.counter !== undefined) counters.set(String(item.counter.name), { packets: Number(item.counter.packets), bytes: Number(item.counter.bytes) });
  }
  return { chains, hooked, counters };
}

export class NftPlane implements Plane {
  readonly #scene: NftScene;
  readonly #run: RunTool;
  readonly #warn: (sentence: string) => void;
  #before: readonly Wanted[] = [];
  #noConntrack = false;

  constructor(scene: NftScene, run: RunTool, warn: (sentence: string) => void) {
    this.#scene = scene;
    this.#run = run;
    this.#warn = warn;
  }

  async ready(): Promise<void> {
    const { code, problem, missing } = await this.#run(['nft', '--check', '--file', '-'], `table inet ${tableName} { }\n`);
    if (code !== 0) throw drbdtsError('ERR_BALANCING_PLANE', { values: { plane: 'nftables', reason: problem }, remedy: missing ? 'Install it: `apt install nftables`.' : 'drbdts-clusterd has to run as root, on a kernel with nf_tables.' });
    const { section } = this.#scene;
    if (!section.virtualServers.some(({ kind, protocol }) => kind === 'nat' && protocol === 'udp')) return;
    this.#noConntrack = (await this.#run(['conntrack', '--version'])).missing;
    if (this.#noConntrack) this.#warn('conntrack is not installed: a client of a UDP server that goes down stays with it while it sends from the same port; `apt install conntrack` ends that');
  }

  /** null: there is no such table. */
  async #table(family: string): Promise<Listed | null> {
    const { code, stdout, problem } = await this.#run(['nft', '--json', '--terse', 'list', 'table', family, tableName]);
    if (code === 0) return parseTable(stdout);
    if (/No such file/.test(problem)) return null;
    throw new Error(problem);
  }

  async look(): Promise<PlaneLook> {
    const { section } = this.#scene;
    const families = familiesOf(section);
    const tables = await Promise.all(families.map((family) => this.#table(family)));
    const intact = tables.every((table) => table?.chains.has(structureChain(this.#scene)) === true && table.hooked);
    const all = new Map(tables.flatMap((table) => [...(table?.counters ?? [])]));
    const counters = new Map<number, Map<string, TargetCounters>>();
    for (const [number, server] of section.virtualServers.entries()) {
      const own = targetsOf(server).map(({ name }, index): [string, TargetCounters] => {
        const [fresh, through] = [all.get(counterName(number, index, 'new')), all.get(counterName(number, index, 'in'))];
        return [name, { connections: fresh?.packets ?? 0, packets: through?.packets ?? 0, bytes: through?.bytes ?? 0 }];
      });
      counters.set(number, new Map(own));
    }
    return { intact, counters };
  }

  async apply(wanted: readonly Wanted[], numbers: readonly number[], anew: boolean): Promise<void> {
    const fill = numbers.flatMap((number) => {
      const own = wanted[number];
      return own === undefined ? [] : [fillScript(this.#scene, number, own)];
    });
    const { code, problem } = await this.#run(['nft', '--file', '-'], [...(anew ? [createScript(this.#scene)] : []), ...fill].join(''));
    if (code !== 0) throw new Error(problem);
    const before = this.#before;
    this.#before = wanted;
    for (const number of numbers) await this.#forgetFlows(number, before[number], wanted[number]);
  }

  /** A client that sends from the same port again and again would stay with a server that is out. TCP is reset by a rule. */
  async #forgetFlows(number: number, before: Wanted | undefined, now: Wanted | undefined): Promise<void> {
    const server = this.#scene.section.virtualServers[number];
    if (server === undefined || server.kind !== 'nat' || server.protocol !== 'udp' || this.#noConntrack || now?.active !== true) return;
    const gone = (before?.destinations ?? []).filter(({ name }) => !now.destinations.some((one) => one.name === name));
    for (const { address, port } of gone) {
      const { code, problem } = await this.#run(['conntrack', '-D', '-f', server.family === 6 ? 'ipv6' : 'ipv4', '-p', 'udp', '--orig-dst', server.address, '--orig-port-dst', String(server.port), '--reply-src', address, '--reply-port-src', String(port)]);
      // it says so when there was none
      if (code !== 0 && !/0 flow entries/.test(problem)) this.#warn(`flows to ${address} could not be ended: ${problem}`);
    }
  }

  async remove(): Promise<void> {
    const { code, problem } = await this.#run(['nft', '--file', '-'], removeScript());
    if (code !== 0) throw new Error(problem);
  }
}
