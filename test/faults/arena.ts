/**
 * A cluster of real processes on which many schedules are played one after the other: two nodes with disks that can fail and lose power, a
 * witness, a client; a service that acknowledges rows, and a checker outside of the cluster.
 */
import type { ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { vipValidSeconds } from '../../src/cluster/members/vip.js';
import { ClusterLab } from '../support/cluster.js';
import { differingBlocks, makeDisk, mib } from '../support/disk.js';
import { must } from '../support/exec.js';
import type { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { LossyDisk } from '../support/power.js';
import { processesInNetworkOf } from '../support/processes.js';
import type { ServiceChecker } from '../support/service-checker.js';
import { waitFor } from '../support/wait.js';
import { addressGoneMs, type ClientReport, type NodeView, type OperatorAct } from './judge.js';
import type { Target } from './schedule.js';

const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));
const diskBytes = 32 * mib;
const port = 7000;
const readyFile = '/run/rows.ready';
const group = 'web';

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    if (pid > 0) process.kill(pid, name);
  } catch {
    // it has ended
  }
}

/** volume, file system, row server, address. */
function groups(cluster: ClusterLab): Record<string, unknown> {
  const alive = `read pid < ${readyFile} && grep -q row-server /proc/$pid/cmdline`;
  return {
    [group]: {
      members: [
        { volume: 'r0' },
        { filesystem: cluster.store, type: 'ext4', timeouts: { every: '1s' } },
        {
          command: {
            start: `rm -f ${readyFile}; setsid ${process.execPath} ${program('row-server')} ${cluster.store} ${port} ${readyFile} </dev/null & until test -e ${readyFile}; do sleep 0.05; done`,
            stop: `if test -e ${readyFile} && ${alive}; then kill -TERM $pid; while ${alive}; do sleep 0.05; done; fi; rm -f ${readyFile}`,
            monitor: `test -e ${readyFile} && ${alive}`,
          },
          // the processes of services are told apart by this name on the whole machine
          name: `rows-${cluster.lab.id}`,
          timeouts: { every: '500ms' },
        },
        { vip: `${cluster.vip}/24`, interface: 'eth1', timeouts: { every: '500ms' } },
      ],
    },
  };
}

export class Arena {
  readonly cluster: ClusterLab;
  readonly lab: Lab;
  readonly disks: ReadonlyMap<Host, LossyDisk>;
  readonly off = new Set<Host>();
  /** nodes that fenced themselves in this schedule. */
  readonly fenced: string[] = [];
  readonly errors: string[] = [];
  /** what happened when, for the reader of a failure. */
  readonly story: string[] = [];
  checker!: ServiceChecker;
  /** rows acknowledged to the client in this schedule so far. */
  acknowledged = 0;
  #file = '';
  #client!: ChildProcess;
  #report: ((report: ClientReport) => void) | null = null;
  /** when a node could not be reached, or not be heard, on the service network; `toMs` is null while that lasts. Wall clock. */
  readonly unreachable: { readonly node: string; readonly fromMs: number; toMs: number | null }[] = [];
  /** interfaces that lose what they send, by how many faults. */
  readonly #silenced = new Map<string, number>();
  /** one thing at a time is started or ended on a node. */
  readonly #turns = new Map<Host, Promise<void>>();
  #watch: NodeJS.Timeout | undefined;

  private constructor(lab: Lab, cluster: ClusterLab, disks: ReadonlyMap<Host, LossyDisk>) {
    this.lab = lab;
    this.cluster = cluster;
    this.disks = disks;
  }

  static async create(lab: Lab): Promise<Arena> {
    const disks = new Map<Host, LossyDisk>();
    const disk = async (host: Host): Promise<string> => {
      const made = await LossyDisk.create(host, 'disk', diskBytes);
      disks.set(host, made);
      return made.path;
    };
    const cluster = await ClusterLab.create(lab, { diskA: disk, diskB: disk, groups, names: [`a${lab.id}`, `b${lab.id}`] });
    lab.deferLast('cgroups of services', async () => {
      const root = '/sys/fs/cgroup/unified';
      if (!existsSync(root)) return;
      // a process that was killed is in its group for a moment longer
      for (const name of readdirSync(root).filter((each) => each.endsWith(`.rows-${lab.id}`))) {
        await waitFor(`${name} is empty`, () => {
          rmdirSync(join(root, name));
          return true;
        });
      }
    });
    const arena = new Arena(lab, cluster, disks);
    await cluster.up();
    await cluster.together();
    arena.checker = await cluster.check();
    arena.#startClient();
    arena.#watch = setInterval(() => arena.#lookForFenced(), 100);
    lab.defer('watch', () => clearInterval(arena.#watch));
    return arena;
  }

  get hosts(): readonly [Host, Host] {
    return [this.cluster.a, this.cluster.b];
  }

  tell(what: string): void {
    this.story.push(`${new Date().toISOString()} ${what}`);
  }

  /** Whom a fault hits: who has the file system mounted now, or the other one. */
  hostOf(target: Target): Host {
    const { a, b } = this.cluster;
    const last = (host: Host): boolean => this.checker.timeline.findLast(({ node }) => node === host.name)?.mount ?? false;
    const active = last(b) && !last(a) ? b : a;
    return target === 'active' ? active : this.cluster.other(active);
  }

  /** Runs `what` when nothing else is being started or ended on that node. */
  inTurn(host: Host, what: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(host) ?? Promise.resolve()).then(what);
    this.#turns.set(host, turn.catch(() => undefined));
    return turn;
  }

  // --- nodes

  /** The node loses its power: its processes, what its disk had not flushed, its mounts and addresses. */
  powerOff(host: Host, seed: number): Promise<void> {
    return this.inTurn(host, async () => {
      if (this.off.has(host)) return;
      this.off.add(host);
      const disk = this.disk(host);
      await host.sh('ip link set eth0 down; ip link set eth1 down');
      for (let round = 0; round < 2; round++) for (const pid of processesInNetworkOf(host.pid)) if (pid !== host.pid && pid !== disk.pid) signal(pid, 'SIGKILL');
      for (const pid of [host.pid, disk.pid]) signal(pid, 'SIGCONT');
      this.cluster.clusterds.delete(host);
      await disk.cut(seed);
      await host.powerOff();
      await host.sh(`umount -l ${this.cluster.store} 2>/dev/null; ip address del ${this.cluster.vip}/24 dev eth1 2>/dev/null; rm -rf /run/drbdts/cluster ${readyFile}; true`);
      this.tell(`${host.name} is off`);
    });
  }

  powerOn(host: Host): Promise<void> {
    return this.inTurn(host, async () => {
      if (!this.off.has(host)) return;
      await this.disk(host).powerOn();
      await host.sh('ip link set eth0 up; ip link set eth1 up');
      this.off.delete(host);
      await host.startDaemon({ keeper: true });
      await host.drbdts('up', 'r0');
      await this.cluster.startClusterd(host);
      this.tell(`${host.name} is on`);
    });
  }

  /** Starts drbdtsd and clusterd where they do not run, as systemd would. */
  ensureProcesses(host: Host): Promise<void> {
    return this.inTurn(host, async () => {
      if (this.off.has(host)) return;
      const { daemon } = host;
      if (daemon === null || daemon.child.exitCode !== null || daemon.child.signalCode !== null) await host.startDaemon({ keeper: true });
      const clusterd = this.cluster.clusterds.get(host);
      if (clusterd === undefined || clusterd.child.exitCode !== null || clusterd.child.signalCode !== null) await this.cluster.startClusterd(host);
    });
  }

  /** A node that fenced itself boots again, as a node with a watchdog does. */
  #lookForFenced(): void {
    for (const host of this.hosts) {
      const mark = `${join(this.lab.dir, 'fenced')}-${host.name}`;
      if (!existsSync(mark)) continue;
      rmSync(mark);
      if (this.off.has(host)) continue;
      this.fenced.push(host.name);
      this.tell(`${host.name} fences itself`);
      void this.attempt(`boot of ${host.name}`, async () => {
        await this.powerOff(host, 3);
        await sleep(1000);
        await this.powerOn(host);
      });
    }
  }

  /** What fails here is a failure of the run, not of the runner. */
  async attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.tell(`${what} failed: ${message}`);
      this.errors.push(`${what}: ${message.split('\n')[0]}`);
    }
  }

  disk(host: Host): LossyDisk {
    const disk = this.disks.get(host);
    if (disk === undefined) throw new Error(`${host.name} has no disk`);
    return disk;
  }

  // --- cables

  /** Everything the interface sends is lost, and nobody is told. */
  async silence(host: Host, networkInterface: string): Promise<void> {
    const key = `${host.name} ${networkInterface}`;
    const before = this.#silenced.get(key) ?? 0;
    this.#silenced.set(key, before + 1);
    if (before > 0) return;
    await host.must(['tc', 'qdisc', 'replace', 'dev', networkInterface, 'root', 'blackhole']);
    const node = this.#onServiceNetwork(host, networkInterface);
    if (node !== undefined) this.unreachable.push({ node, fromMs: Date.now(), toMs: null });
  }

  /** The node that such an interface connects to the service network. */
  #onServiceNetwork(host: Host, networkInterface: string): string | undefined {
    if (networkInterface === 'eth1') return host.name;
    return host === this.cluster.client ? this.hosts.find((each) => this.portOf(each) === networkInterface)?.name : undefined;
  }

  async hear(host: Host, networkInterface: string): Promise<void> {
    const key = `${host.name} ${networkInterface}`;
    const left = (this.#silenced.get(key) ?? 0) - 1;
    this.#silenced.set(key, left);
    if (left > 0) return;
    const node = this.#onServiceNetwork(host, networkInterface);
    const toMs = addressGoneMs(Date.now(), this.#managerRuns(node), vipValidSeconds * 1000 + 500);
    for (const each of this.unreachable) if (each.node === node) each.toMs ??= toMs;
    await host.must(['tc', 'qdisc', 'del', 'dev', networkInterface, 'root']);
  }

  /** Whether the node's cluster manager is there and not frozen. */
  #managerRuns(node: string | undefined): boolean {
    const host = this.hosts.find((each) => each.name === node);
    const manager = host === undefined ? undefined : this.cluster.clusterds.get(host);
    if (host === undefined || manager === undefined || manager.child.exitCode !== null || manager.child.signalCode !== null) return false;
    try {
      return !/^State:\s+[TZX]/m.test(readFileSync(`/proc/${manager.pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  }

  /** The port of the service network's switch to which the host is connected. */
  portOf(host: Host): string {
    return `port${host === this.cluster.a ? 1 : host === this.cluster.b ? 2 : 3}`;
  }

  /** What arrives at `host` and matches the nftables expression is dropped. Returns how to end that. */
  async filter(host: Host, name: string, match: string): Promise<() => Promise<void>> {
    const table = `inet ${name}`;
    const add = (): Promise<string> => host.sh(`nft add table ${table} && nft add chain ${table} in "{ type filter hook input priority 0; }" && nft add rule ${table} in ${match} drop`);
    // a power failure of the host at this very moment ends whatever runs in it, this included
    await add().catch(add);
    return async () => void (await host.sh(`nft delete table ${table}`));
  }

  // --- witness

  private get registerDir(): string {
    return join(this.cluster.witness.dir, 'register');
  }

  keepCopyOfRegister(): void {
    const copy = join(this.cluster.witness.dir, 'register.copy');
    rmSync(copy, { recursive: true, force: true });
    cpSync(this.registerDir, copy, { recursive: true });
  }

  restoreRegister(): void {
    rmSync(this.registerDir, { recursive: true, force: true });
    cpSync(join(this.cluster.witness.dir, 'register.copy'), this.registerDir, { recursive: true });
  }

  ensureWitness(): void {
    const { witnessProcess } = this.cluster;
    if (witnessProcess === null || witnessProcess.exitCode !== null || witnessProcess.signalCode !== null) this.cluster.startWitness();
  }

  // --- rows

  #startClient(): void {
    const { client, vip } = this.cluster;
    this.#client = client.spawn([process.execPath, program('row-client'), vip, String(port)], ['pipe', 'pipe', 'ignore']);
    createInterface({ input: this.#client.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const told = JSON.parse(line) as { file?: string; acknowledged?: number; report?: ClientReport };
      if (told.report !== undefined) this.#report?.(told.report);
      else if (told.file === this.#file) this.acknowledged = told.acknowledged ?? 0;
    });
  }

  beginRows(file: string): void {
    this.#file = file;
    this.acknowledged = 0;
    this.#client.stdin?.write(`file ${file}\n`);
  }

  endRows(): Promise<ClientReport> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the client does not report')), 10_000);
      this.#report = (report) => {
        clearTimeout(timer);
        resolve(report);
      };
      this.#client.stdin?.write('report\n');
    });
  }

  /** What the disk holds of a file of rows, not what a cache does; null when it cannot be read. */
  async readRows(host: Host, file: string): Promise<string | null> {
    const result = await host.run(['dd', `if=${this.cluster.store}/${file}`, 'iflag=direct', 'bs=1M', 'status=none'], { timeoutMs: 15_000 });
    return result.code === 0 ? result.stdout : null;
  }

  /** Places where the two disks differ. Both are UpToDate and nobody writes: there is nothing under way for long. */
  async differing(host: Host): Promise<number[]> {
    await host.run(['sync', '-f', this.cluster.store], { timeoutMs: 10_000 });
    const [left, right] = this.hosts.map((each) => this.disk(each).backing);
    const bytes = await this.cluster.pair.usableBytes(0, host);
    let found: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      await Promise.all(this.hosts.map((each) => this.disk(each).flush()));
      found = differingBlocks(left ?? '', right ?? '', bytes);
      if (found.length === 0) break;
      await sleep(250);
    }
    return found;
  }

  // --- health

  async views(): Promise<NodeView[]> {
    return Promise.all(
      this.hosts.map(async (host) => ({
        name: host.name,
        volume: await (host.daemon?.volume(0) ?? Promise.reject(new Error('off'))).catch(() => null),
        cluster: await (this.cluster.clusterds.get(host)?.client.status() ?? Promise.reject(new Error('off'))).catch(() => null),
        hasVip: await this.cluster.hasVip(host),
      })),
    );
  }

  /** Does what the cluster asks a person for, one thing at a time; null when it asks for nothing. */
  async operate(views: readonly NodeView[], replaced: boolean): Promise<OperatorAct | null> {
    for (const [index, view] of views.entries()) {
      const host = this.hosts[index];
      const other = views[1 - index];
      if (host === undefined || this.off.has(host)) continue;
      const status = view.cluster?.groups.find(({ name }) => name === group);
      const resource = await host.daemon?.resource().catch(() => null);
      if (resource !== null && resource !== undefined && resource.recovering !== true && !resource.up) {
        await host.drbdts('up', 'r0');
        return { node: host.name, act: 'up', sentence: status?.why ?? '' };
      }
      // drbdtsd may have been restarted since it was looked at
      const volume = resource?.recovering === true ? undefined : resource?.volumes[0];
      if (volume?.disk === 'Diskless') {
        // an empty disk may only take the place of a broken one while the other node has everything
        if (replaced && volume.connection === 'Connected' && other?.volume?.disk === 'UpToDate') {
          const disk = this.disk(host);
          await disk.flush();
          makeDisk(disk.backing, diskBytes);
          await host.drbdts('create-md', '--force', 'r0');
        }
        await host.drbdts('attach', 'r0');
        return { node: host.name, act: 'attach', sentence: volume.reason };
      }
      if (volume?.connection === 'StandAlone' && resource !== null && resource !== undefined) {
        if (/split/i.test(resource.connectionReason)) throw new Error(`split brain: ${resource.connectionReason}`);
        try {
          await host.drbdts('connect', 'r0');
        } catch (error) {
          // the cluster was quicker: since it was looked at, it connected by itself
          if (error instanceof Error && error.message.includes('(102)')) return null;
          throw error;
        }
        return { node: host.name, act: 'connect', sentence: resource.connectionReason };
      }
      if (status !== undefined && (status.phase === 'failed' || status.phase === 'stop-failed')) {
        await this.cluster.clusterd(host).client.verb('cleanup', { group });
        return { node: host.name, act: 'cleanup', sentence: status.failure };
      }
    }
    return null;
  }

  /** Everything a person needs to find out what happened, into a folder. */
  async keep(dir: string): Promise<void> {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'story.log'), `${this.story.join('\n')}\n`);
    writeFileSync(join(dir, 'seen-from-outside.log'), this.checker.timeline.map((reading) => JSON.stringify({ at: new Date(reading.atMs).toISOString(), ...reading })).join('\n'));
    writeFileSync(join(dir, 'views.json'), JSON.stringify(await this.views(), null, 1));
    for (const host of [...this.hosts, this.cluster.witness]) {
      for (const name of ['drbdtsd.log', 'clusterd.log', 'drbdts.yaml']) {
        const file = join(host.dir, name);
        if (existsSync(file)) writeFileSync(join(dir, `${host.name}-${name}`), readFileSync(file));
      }
      const history = await this.cluster.clusterds.get(host)?.client.history(1000).catch(() => null);
      if (history !== null && history !== undefined) writeFileSync(join(dir, `${host.name}-history.json`), JSON.stringify(history.entries, null, 1));
    }
  }

  /** The whole of it once more, on the other node and its disk; then both disks are left and looked at. */
  async lastLook(): Promise<string[]> {
    const wrong: string[] = [];
    for (const host of this.hosts) {
      await this.cluster.clusterd(host).client.verb('move', { group, node: host.name }).catch(() => undefined);
      await this.cluster.runsOn(host, group, 30_000);
    }
    for (const host of this.hosts) await this.cluster.clusterd(host).client.verb('standby', { node: host.name });
    for (const host of this.hosts) await waitFor('the group is stopped', async () => (await host.running.resource()).role === 'Secondary', 30_000);
    for (const host of this.hosts) {
      await this.disk(host).flush();
      await must(['e2fsck', '-fn', this.disk(host).backing]).catch((error: Error) => wrong.push(`e2fsck of the disk of ${host.name}: ${error.message}`));
    }
    return wrong;
  }
}
