/** Two hosts on one cable with a virtual router each: ours, Debian's keepalived, or ours on both. */
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import { ClusterClient } from '../../src/control/cluster-client.js';
import type { VrrpInstanceStatus } from '../../src/control/vrrp-messages.js';
import { exited, must, run } from './exec.js';
import { Host } from './host.js';
import type { Lab } from './lab.js';
import { clusterdMain } from './paths.js';
import { waitFor } from './wait.js';

/** said to `ip monitor` to see whether it listens. */
const readyAddress = '127.99.0.1';
/** The clock of VipWatch. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
export const keepalivedBinary = '/usr/sbin/keepalived';

/** Which addresses a host had, and when, as its kernel tells `ip monitor`. */
export class VipWatch {
  /** on the clock of process.hrtime. */
  readonly changes: { atMs: number; here: string[] }[] = [];
  readonly #here = new Set<string>();
  readonly #host: Host;
  #isReady = false;

  constructor(host: Host, addresses: readonly string[]) {
    this.#host = host;
    const child: ChildProcess = host.spawn(['ip', '-o', 'monitor', 'address'], ['ignore', 'pipe', 'ignore']);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const address = / inet6? (\S+?)\//.exec(line)?.[1] ?? '';
      if (address === readyAddress) this.#isReady = true;
      if (!addresses.includes(address)) return;
      const gone = line.startsWith('Deleted');
      if (this.#here.has(address) !== gone) return;
      if (gone) this.#here.delete(address);
      else this.#here.add(address);
      this.changes.push({ atMs: nowMs(), here: [...this.#here] });
    });
  }

  get here(): string[] {
    return [...this.#here];
  }

  /** Resolves when every change from now on is seen. */
  async ready(): Promise<void> {
    await waitFor('addresses are watched', async () => {
      await this.#host.run(['ip', 'address', 'replace', `${readyAddress}/32`, 'dev', 'lo']);
      return this.#isReady;
    });
  }
}

/** Our virtual routers on one host. */
export class OurRouter {
  readonly host: Host;
  readonly child: ChildProcess;
  readonly client: ClusterClient;
  readonly #logFile: string;

  constructor(host: Host, vrrp: unknown, extra: Record<string, unknown> = {}) {
    this.host = host;
    const config = join(host.dir, 'vrrp.yaml');
    const socket = join(host.dir, 'clusterd.sock');
    this.#logFile = join(host.dir, 'clusterd.log');
    writeFileSync(config, stringify({ ...extra, vrrp }), { mode: 0o600 });
    const log = host.openLogFile(this.#logFile);
    this.child = host.spawn(
      [process.execPath, clusterdMain, '--config', config, '--socket', socket, '--node', host.name, '--state-dir', join(host.dir, 'cluster'), '--run-dir', join(host.dir, 'run'), '--foreground'],
      ['ignore', log, log],
    );
    host.closeLog(log);
    this.client = new ClusterClient(socket);
    host.lab.note(() => `--- our router on ${host.name}\n${this.log().split('\n').slice(-40).join('\n')}`);
  }

  async status(name = 'web'): Promise<VrrpInstanceStatus> {
    const found = (await this.client.vrrp()).instances.find((one) => one.name === name);
    if (found === undefined) throw new Error(`there is no instance ${name}`);
    return found;
  }

  async is(state: VrrpInstanceStatus['state'], name = 'web', limitMs = 30_000): Promise<VrrpInstanceStatus> {
    let last: VrrpInstanceStatus | null = null;
    await waitFor(`${name} of ${this.host.name} is ${state}`, async () => {
      if (this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}`);
      last = await this.status(name);
      return last.state === state;
    }, limitMs, () => JSON.stringify(last));
    if (last === null) throw new Error('unreachable');
    return last;
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  async end(signal: NodeJS.Signals): Promise<number> {
    this.child.kill(signal);
    return exited(this.child);
  }
}

/** keepalived on one host. */
export class Keepalived {
  readonly host: Host;
  readonly child: ChildProcess;
  readonly #logFile: string;

  constructor(host: Host, config: string) {
    this.host = host;
    const file = (name: string): string => join(host.dir, name);
    // one for each start: what an earlier one said is not this one's state
    this.#logFile = file(`keepalived-${randomUUID()}.log`);
    writeFileSync(file('keepalived.conf'), config);
    const log = host.openLogFile(this.#logFile);
    this.child = host.spawn(
      [keepalivedBinary, '--dont-fork', '--log-console', '--log-detail', '--vrrp', '-f', file('keepalived.conf'), '-p', file('ka.pid'), '-r', file('ka_vrrp.pid'), '-c', file('ka_check.pid'), '-b', file('ka_bfd.pid')],
      ['ignore', log, log],
    );
    host.closeLog(log);
    host.lab.note(() => `--- keepalived on ${host.name}\n${this.log().split('\n').slice(-30).join('\n')}`);
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  /** The state it has said last. */
  get state(): string {
    return [...this.log().matchAll(/\((?:\w+)\) Entering (\w+) STATE/g)].at(-1)?.[1] ?? '';
  }

  async is(state: 'MASTER' | 'BACKUP' | 'FAULT', limitMs = 30_000): Promise<void> {
    await waitFor(`keepalived of ${this.host.name} is ${state}`, () => this.state === state, limitMs, () => this.log());
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const pids = ['ka.pid', 'ka_vrrp.pid'].map((name) => join(this.host.dir, name)).filter((file) => existsSync(file)).map((file) => Number(readFileSync(file, 'utf8')));
    for (const pid of signal === 'SIGKILL' ? pids : pids.slice(0, 1)) process.kill(pid, signal);
    await exited(this.child);
  }
}

export interface Pair {
  readonly a: Host;
  readonly b: Host;
  /** first three bytes of their network; a is 1, b is 2. */
  readonly net: string;
}

/** Hosts a and b with eth0 between them; link-local addresses fe80::1 and fe80::2 are usable at once. */
export async function vrrpPair(lab: Lab): Promise<Pair> {
  const [a, b] = [await Host.create(lab, 'alpha'), await Host.create(lab, 'beta')];
  const net = '10.16.8';
  await must(['ip', 'link', 'add', 'eth0', 'netns', String(a.pid), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(b.pid)]);
  for (const [host, last] of [[a, 1], [b, 2]] as const) {
    await host.sh(`echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; echo 1 > /proc/sys/net/ipv6/conf/eth0/addr_gen_mode
      ip address add ${net}.${last}/24 dev eth0; ip link set eth0 up; ip -6 address add fe80::${last}/64 dev eth0 nodad; ip -6 address add fd00:16::${last}/64 dev eth0 nodad`);
  }
  return { a, b, net };
}

/** Every frame on the cable, as tcpdump judges it. */
export class Capture {
  readonly #host: Host;
  readonly #file: string;
  readonly #child: ChildProcess;

  private constructor(host: Host, file: string, child: ChildProcess) {
    this.#host = host;
    this.#file = file;
    this.#child = child;
  }

  static async start(host: Host): Promise<Capture> {
    const file = join(host.dir, 'frames.pcap');
    const child = host.spawn(['tcpdump', '-i', 'eth0', '-n', '-U', '--immediate-mode', '-Z', 'root', '-w', file, 'proto 112 or ip6 proto 112 or arp or icmp6'], ['ignore', 'ignore', 'pipe']);
    const heard = new Promise<void>((resolve) => createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => line.includes('listening on') && resolve()));
    await Promise.race([heard, exited(child).then(() => Promise.reject(new Error('tcpdump ended')))]);
    return new Capture(host, file, child);
  }

  /** Lines of `tcpdump -vvv`, one for each packet. */
  async decoded(): Promise<string[]> {
    this.#child.kill('SIGINT');
    await exited(this.#child);
    const { stdout } = await run(['tcpdump', '-n', '-vvv', '-e', '-tt', '-r', this.#file], { env: this.#host.lab.env });
    return stdout.replace(/\n\s+/g, ' ').split('\n').filter((line) => line !== '');
  }
}
