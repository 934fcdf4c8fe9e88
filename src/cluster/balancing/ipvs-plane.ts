/** IPVS as data plane: lines of ipvs-lines.ts, given to `ipvsadm`. Services of others are left alone. */
import type { BalancingSection } from '../../config/balancing-types.js';
import { drbdtsError } from '../../shared/errors.js';
import { ipvsLines, parseSaved, parseStats, serviceOf } from './ipvs-lines.js';
import { sorryName, type Wanted } from './machine.js';
import type { Plane, PlaneLook, TargetCounters } from './plane.js';
import type { RunTool } from './tool.js';

const none: Wanted = { active: false, destinations: [] };

export class IpvsPlane implements Plane {
  readonly #section: BalancingSection;
  readonly #run: RunTool;
  #active: readonly boolean[] = [];

  constructor(section: BalancingSection, run: RunTool) {
    this.#section = section;
    this.#run = run;
  }

  async ready(): Promise<void> {
    const { code, problem, missing } = await this.#run(['ipvsadm', '--save', '--numeric']);
    if (code === 0) return;
    throw drbdtsError('ERR_BALANCING_PLANE', { values: { plane: 'ipvs', reason: problem }, remedy: missing ? 'Install it: `apt install ipvsadm`.' : 'The kernel needs ip_vs (`modprobe ip_vs`); where it has none, write `plane: nftables`.' });
  }

  async #saved(): Promise<Map<string, Map<string, number>>> {
    const { code, stdout, problem } = await this.#run(['ipvsadm', '--save', '--numeric']);
    if (code !== 0) throw new Error(problem);
    return parseSaved(stdout);
  }

  async look(): Promise<PlaneLook> {
    const saved = await this.#saved();
    const { virtualServers } = this.#section;
    const { code, stdout, problem } = await this.#run(['ipvsadm', '--list', '--numeric', '--stats', '--exact']);
    if (code !== 0) throw new Error(problem);
    const stats = parseStats(stdout);
    const counters = new Map<number, Map<string, TargetCounters>>();
    for (const [number, server] of virtualServers.entries()) {
      const targets = [...server.realServers, ...(server.sorryServer === null ? [] : [{ name: sorryName, ...server.sorryServer }])];
      const place = ({ address, port }: { address: string; port: number }): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
      counters.set(number, new Map(targets.map((target) => [target.name, stats.get(`${serviceOf(server)} ${place(target)}`) ?? { connections: 0, packets: 0, bytes: 0 }])));
    }
    return { intact: virtualServers.every((server, number) => this.#active[number] !== true || saved.has(serviceOf(server))), counters };
  }

  async #restore(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const { code, problem } = await this.#run(['ipvsadm', '--restore'], `${lines.join('\n')}\n`);
    if (code !== 0) throw new Error(problem);
  }

  async apply(wanted: readonly Wanted[], numbers: readonly number[]): Promise<void> {
    const saved = await this.#saved();
    const lines = numbers.flatMap((number) => {
      const server = this.#section.virtualServers[number];
      return server === undefined ? [] : ipvsLines(server, saved.get(serviceOf(server)) ?? null, wanted[number] ?? none);
    });
    await this.#restore(lines);
    this.#active = wanted.map(({ active }) => active);
  }

  async remove(): Promise<void> {
    const saved = await this.#saved();
    await this.#restore(this.#section.virtualServers.flatMap((server) => ipvsLines(server, saved.get(serviceOf(server)) ?? null, none)));
    this.#active = [];
  }
}
