/**
 * Two nodes with a volume, a witness and a client: a direct link between the nodes (eth0: replication and heartbeats) and a service network
 * (eth1 on the nodes, a bridge at the client). What operators have, in namespaces.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { ClusterClient } from '../../src/control/cluster-client.js';
import type { ClusterStatus, HistoryEntry } from '../../src/control/cluster-messages.js';
import { exited, must } from './exec.js';
import { Host } from './host.js';
import type { Lab } from './lab.js';
import { Pair, type PairOptions } from './pair.js';
import { clusterdMain, witnessMain } from './paths.js';
import { processesInNetworkOf } from './processes.js';
import { ServiceChecker } from './service-checker.js';
import { waitFor } from './wait.js';

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended
  }
}

export interface ClusterLabOptions extends PairOptions {
  /** section `cluster:` besides what the lab knows. */
  readonly cluster?: Record<string, unknown>;
  /** section `groups:`; default: volume, file system and address. */
  readonly groups?: (lab: ClusterLab) => Record<string, unknown>;
  readonly arbiter?: 'witness' | 'none';
}

/** Everything of a cluster manager's process. */
export class Clusterd {
  readonly host: Host;
  readonly child: ChildProcess;
  readonly client: ClusterClient;
  readonly argv: readonly string[];
  readonly #logFile: string;

  constructor(host: Host, extra: readonly string[]) {
    this.host = host;
    this.#logFile = join(host.dir, 'clusterd.log');
    const socket = join(host.dir, 'clusterd.sock');
    this.argv = [
      process.execPath, clusterdMain, '--config', host.configFile, '--socket', socket, '--drbdtsd-socket', host.socket, '--node', host.name,
      '--state-dir', join(host.dir, 'cluster'), '--run-dir', '/run/drbdts/cluster', '--foreground', ...extra,
    ];
    const log = host.openLogFile(this.#logFile);
    this.child = host.spawn(this.argv, ['ignore', log, log]);
    host.closeLog(log);
    this.client = new ClusterClient(socket);
  }

  async ready(): Promise<void> {
    await waitFor(`clusterd of ${this.host.name} answers`, async () => {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}`);
      await this.client.status();
      return true;
    }, 30_000, () => this.logTail());
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** SIGKILL. */
  async crash(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await exited(this.child);
  }

  async end(signal: NodeJS.Signals): Promise<number> {
    this.child.kill(signal);
    return exited(this.child);
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  logTail(lines = 60): string {
    const text = existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8').trimEnd() : '';
    return text === '' ? '' : `--- clusterd of ${this.host.name}\n${text.split('\n').slice(-lines).join('\n')}`;
  }
}

export class ClusterLab {
  readonly lab: Lab;
  readonly pair: Pair;
  readonly witness: Host;
  readonly client: Host;
  /** first three bytes of the service network. */
  readonly net: string;
  readonly clusterds = new Map<Host, Clusterd>();
  readonly options: ClusterLabOptions;
  #witnessProcess: ChildProcess | null = null;

  private constructor(lab: Lab, pair: Pair, witness: Host, client: Host, net: string, options: ClusterLabOptions) {
    this.lab = lab;
    this.pair = pair;
    this.witness = witness;
    this.client = client;
    this.net = net;
    this.options = options;
  }

  get a(): Host {
    return this.pair.a;
  }
  get b(): Host {
    return this.pair.b;
  }
  get vip(): string {
    return `${this.net}.100`;
  }
  get store(): string {
    return '/store';
  }
  other(host: Host): Host {
    return host === this.a ? this.b : this.a;
  }

  /** The client alone: a host with the bridge of the service network, of which it has address 254. */
  static async bridge(lab: Lab): Promise<{ client: Host; net: string }> {
    const client = await Host.create(lab, 'client');
    const net = '10.200.7';
    await client.sh(`ip link add br0 type bridge && ip address add ${net}.254/24 dev br0 && ip link set br0 up`);
    return { client, net };
  }

  static async create(lab: Lab, options: ClusterLabOptions = {}): Promise<ClusterLab> {
    const pair = await Pair.create(lab, options);
    const witness = await Host.create(lab, 'witness');
    const { client, net } = await ClusterLab.bridge(lab);
    for (const [host, number] of [[pair.a, 1], [pair.b, 2], [witness, 3]] as const) {
      await must(['ip', 'link', 'add', 'eth1', 'netns', String(host.pid), 'type', 'veth', 'peer', 'name', `port${number}`, 'netns', String(client.pid)]);
      await client.sh(`ip link set port${number} master br0 up`);
      await host.sh(`ip address add ${net}.${number}/24 dev eth1 && ip link set eth1 up`);
    }
    const cluster = new ClusterLab(lab, pair, witness, client, net, options);
    cluster.configure();
    lab.note(() => [...cluster.clusterds.values()].map((clusterd) => clusterd.logTail()).join('\n'));
    return cluster;
  }

  /** Writes configuration and keys on all hosts. */
  configure(changes: { cluster?: Record<string, unknown>; groups?: Record<string, unknown> } = {}): void {
    const { a, b, net } = this;
    const key = join(this.lab.dir, 'cluster.key');
    writeFileSync(key, 'a key for tests, 32 bytes or more of it\n', { mode: 0o600 });
    const arbiter = this.options.arbiter ?? 'witness';
    const groups = changes.groups ?? this.options.groups?.(this) ?? {
      web: {
        members: [
          { volume: 'r0' },
          { filesystem: this.store, type: 'ext4', timeouts: { every: '1s' } },
          { vip: `${this.vip}/24`, interface: 'eth1', timeouts: { every: '500ms' } },
        ],
      },
    };
    const cluster = {
      name: 'lab',
      'key-file': key,
      nodes: [a.name, b.name],
      initdead: '5s',
      links: {
        direct: { interface: 'eth0', addresses: { [a.name]: this.pair.link.address.a, [b.name]: this.pair.link.address.b } },
        lan: { interface: 'eth1', addresses: { [a.name]: `${net}.1`, [b.name]: `${net}.2` } },
      },
      arbiter: arbiter === 'none' ? 'none' : { witness: `${net}.3:7795` },
      // never this machine: the test only wants to know
      'self-fence': { command: `touch ${join(this.lab.dir, 'fenced')}-$(hostname)`, reboot: false },
      ...this.options.cluster,
      ...changes.cluster,
    };
    for (const host of [a, b]) {
      const file = parse(readFileSync(host.configFile, 'utf8')) as Record<string, unknown>;
      writeFileSync(host.configFile, stringify({ ...file, cluster, groups }), { mode: 0o600 });
    }
    writeFileSync(join(this.witness.dir, 'witness.yaml'), stringify({ listen: [`${net}.3:7795`], 'state-dir': join(this.witness.dir, 'register'), clusters: { lab: { 'key-file': key } } }), { mode: 0o600 });
  }

  /** Which hosts have fenced themselves. */
  fenced(): string[] {
    return [this.a, this.b].filter((host) => existsSync(`${join(this.lab.dir, 'fenced')}-${host.name}`)).map((host) => host.name);
  }

  startWitness(): void {
    const log = this.witness.openLog();
    const dir = join(this.witness.dir, 'register');
    mkdirSync(dir, { recursive: true });
    this.#witnessProcess = this.witness.spawn([process.execPath, witnessMain, '--config', join(this.witness.dir, 'witness.yaml'), '--foreground'], ['ignore', log, log]);
    this.witness.closeLog(log);
  }

  /** The witness' process, null while there is none. */
  get witnessProcess(): ChildProcess | null {
    return this.#witnessProcess;
  }

  async stopWitness(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#witnessProcess;
    this.#witnessProcess = null;
    if (child === null || child.exitCode !== null) return;
    child.kill(signal);
    await exited(child);
  }

  /** A new process of the witness; `boot`: on a host that was booted meanwhile. */
  async restartWitness({ boot = false } = {}): Promise<void> {
    await this.stopWitness();
    if (boot) await this.witness.sh('rm -rf /run/drbdts/witness');
    this.startWitness();
  }

  async startClusterd(host: Host, extra: readonly string[] = []): Promise<Clusterd> {
    const clusterd = new Clusterd(host, extra);
    this.clusterds.set(host, clusterd);
    await clusterd.ready();
    return clusterd;
  }

  /** The process ends and the next one starts. Returns for how long there was none. */
  async restartClusterd(host: Host, how: NodeJS.Signals): Promise<{ code: number; awayMs: number }> {
    const begin = performance.now();
    const code = await this.clusterd(host).end(how);
    await this.startClusterd(host);
    return { code, awayMs: performance.now() - begin };
  }

  clusterd(host: Host): Clusterd {
    const found = this.clusterds.get(host);
    if (found === undefined) throw new Error(`${host.name} has no clusterd`);
    return found;
  }

  /** Witness, volume in sync with an ext4 on it, both cluster managers, the group running somewhere. Returns where. */
  async up(): Promise<Host> {
    if (this.options.arbiter !== 'none') this.startWitness();
    await this.pair.upInSync({ keeper: true });
    await this.a.drbdts('primary', 'r0');
    await this.a.must(['mkfs.ext4', '-q', '-E', 'nodiscard', '/dev/drbd0']);
    await this.a.drbdts('secondary', 'r0');
    await Promise.all([this.startClusterd(this.a), this.startClusterd(this.b)]);
    return this.running('web');
  }

  /** Waits until the group runs on one node; returns which. */
  async running(group: string, limitMs = 30_000): Promise<Host> {
    let found: Host | null = null;
    await waitFor(`group ${group} runs`, async () => {
      for (const [host, clusterd] of this.clusterds) {
        const status = await clusterd.client.status().catch(() => null);
        if (status?.groups.some((one) => one.name === group && one.phase === 'started') === true) found = host;
      }
      return found !== null;
    }, limitMs, () => [...this.clusterds.values()].map((clusterd) => clusterd.logTail()).join('\n'));
    if (found === null) throw new Error('unreachable');
    return found;
  }

  /** Waits until `group` is started on `host`. */
  async runsOn(host: Host, group = 'web', limitMs = 30_000): Promise<void> {
    await this.waitStatus(host, `${group} runs on ${host.name}`, (status) => status.groups.some((one) => one.name === group && one.phase === 'started'), limitMs);
  }

  async waitStatus(host: Host, what: string, done: (status: ClusterStatus) => boolean, limitMs = 30_000): Promise<void> {
    const clusterd = this.clusterd(host);
    await waitFor(what, async () => done(await clusterd.client.status()), limitMs, () => [...this.clusterds.values()].map((each) => each.logTail()).join('\n'));
  }

  /** Waits until both nodes see each other, both have all data and the arbiter has recorded that. */
  async together(limitMs = 60_000): Promise<void> {
    await waitFor('both have all data, and are recorded so', async () => {
      const all = await Promise.all(
        [this.a, this.b].map(async (host) => {
          const { connection, disk, peerDisk, arbitration } = await host.running.volume(0);
          return connection === 'Connected' && disk === 'UpToDate' && peerDisk === 'UpToDate' && (arbitration?.state === 'together' || this.options.arbiter === 'none');
        }),
      );
      return !all.includes(false);
    }, limitMs);
    for (const host of [this.a, this.b]) await this.waitStatus(host, 'both are online', (status) => status.nodes.every(({ state }) => state === 'online'), limitMs);
  }

  /** What the cluster managers of a host have logged, one after the other. */
  clusterdLog(host: Host): string {
    const file = join(host.dir, 'clusterd.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  async history(host: Host): Promise<HistoryEntry[]> {
    return (await this.clusterd(host).client.history(1000)).entries;
  }

  /** The node stands still: every process in its network, and none of its kernel. */
  freeze(host: Host): void {
    // once more for what was started meanwhile
    for (let round = 0; round < 2; round++) for (const pid of processesInNetworkOf(host.pid)) signal(pid, 'SIGSTOP');
  }

  thaw(host: Host): void {
    for (const pid of processesInNetworkOf(host.pid)) signal(pid, 'SIGCONT');
  }

  /** Heartbeats are lost on every link, in both directions; everything else arrives. */
  async cutHeartbeats(): Promise<void> {
    for (const host of [this.a, this.b])
      await host.sh('nft add table inet nohb && nft add chain inet nohb in "{ type filter hook input priority 0; }" && nft add rule inet nohb in udp dport 694 drop');
  }

  async restoreHeartbeats(): Promise<void> {
    for (const host of [this.a, this.b]) await host.sh('nft delete table inet nohb');
  }

  /** Watches from now on that never two nodes serve. */
  async check(): Promise<ServiceChecker> {
    const checker = new ServiceChecker(this.lab, [this.a, this.b], { vip: this.vip, mount: this.store });
    await checker.ready();
    return checker;
  }

  /** Drops everything that arrives on an interface of a host. */
  async deafen(host: Host, networkInterface: string): Promise<void> {
    await host.sh(
      `nft add table inet deaf-${networkInterface} && nft add chain inet deaf-${networkInterface} in "{ type filter hook input priority 0; }" && nft add rule inet deaf-${networkInterface} in iifname ${networkInterface} drop`,
    );
  }

  async undeafen(host: Host, networkInterface: string): Promise<void> {
    await host.sh(`nft delete table inet deaf-${networkInterface}`);
  }

  /** Takes the host from the service network: witness, client and the other node do not hear it, nor it them. */
  async cutLan(host: Host): Promise<void> {
    await this.client.sh(`ip link set port${host === this.a ? 1 : host === this.b ? 2 : 3} nomaster`);
  }

  async joinLan(host: Host): Promise<void> {
    await this.client.sh(`ip link set port${host === this.a ? 1 : host === this.b ? 2 : 3} master br0`);
  }

  /** The node loses its power: nothing of it runs, nothing of it is heard, its mounts and addresses are gone. */
  async powerOff(host: Host): Promise<void> {
    await host.sh('ip link set eth0 down; ip link set eth1 down');
    await this.clusterds.get(host)?.crash();
    this.clusterds.delete(host);
    await host.powerOff();
    await host.sh(`umount -l ${this.store} 2>/dev/null; ip address del ${this.vip}/24 dev eth1 2>/dev/null; rm -rf /run/drbdts/cluster; true`);
  }

  /** After powerOff: the node boots and comes back. */
  async powerOn(host: Host): Promise<void> {
    await host.sh('ip link set eth0 up; ip link set eth1 up');
    await host.startDaemon({ keeper: true });
    await host.drbdts('up', 'r0');
    await this.startClusterd(host);
  }

  /** Whether the address is on the host now, as its kernel says. */
  async hasVip(host: Host): Promise<boolean> {
    return (await host.run(['ip', '-o', 'address', 'show', 'to', this.vip])).stdout.includes(this.vip);
  }

  async hasMount(host: Host): Promise<boolean> {
    return (await host.run(['findmnt', '-n', this.store])).code === 0;
  }
}
