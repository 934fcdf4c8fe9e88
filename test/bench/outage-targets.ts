/**
 * The cluster managers of the outage benchmark: drbdts moves a replicated file system, nginx and the address; keepalived at its defaults only
 * the address (nginx runs on both nodes); heartbeat the address and nginx. All serve the same client over the same bridge.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Boot, installFile } from '../support/boot.js';
import { ClusterLab } from '../support/cluster.js';
import { mib } from '../support/disk.js';
import { exited, must } from '../support/exec.js';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { isAlive, processesInNetworkOf } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

/** In every page. */
export const pageText = 'served by the group';

export interface OutageTarget {
  readonly vip: string;
  /** Orders a planned move to the other node; returns at once. */
  move(): Promise<void>;
  /** The node that serves dies. */
  kill(): Promise<void>;
  /** After an event: waits until everything is as before it, the dead node included. */
  settle(): Promise<void>;
}

/** Every process in the host's network, and none of its kernel. nginx overwrites its environment, so the lab does not know it by its mark. */
export function killAll(host: Host): void {
  // once more for what was started meanwhile
  for (let round = 0; round < 3; round++) {
    for (const pid of processesInNetworkOf(host.pid)) {
      if (pid === host.pid) continue;
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it has ended
      }
    }
  }
}

/** A node without power: none of its processes runs, and nothing gets in or out on any of its interfaces. The cables show nothing of it. */
export class Outlet {
  readonly host: Host;
  readonly #interfaces: string;

  constructor(host: Host, interfaces: readonly string[]) {
    this.host = host;
    this.#interfaces = interfaces.join(', ');
  }

  /** Nothing is heard of it first, so that no kernel closes a connection or says that a port is closed. */
  async cut(): Promise<void> {
    const hook = (name: string, where: string): string => `chain ${name} { type filter hook ${where} devices = { ${this.#interfaces} } priority 0; policy drop; };`;
    await this.host.must(['nft', `table netdev dead { ${hook('arrivals', 'ingress')} ${hook('departures', 'egress')} }`]);
    killAll(this.host);
    await waitFor(`every process of ${this.host.name} is gone`, () => processesInNetworkOf(this.host.pid).every((pid) => pid === this.host.pid || !isAlive(pid)));
  }

  /** The cables work again. */
  async restore(): Promise<void> {
    await this.host.must(['nft', 'delete table netdev dead']);
  }
}

/** Writes nginx's configuration; gives the command line that all its commands begin with. */
export function nginx(host: Host, root: string): string {
  const file = join(host.dir, 'nginx.conf');
  writeFileSync(
    file,
    `user root;\nworker_processes 1;\npid ${join(host.dir, 'nginx.pid')};\nerror_log ${join(host.dir, 'nginx.log')} warn;\nevents {}\n` +
      `http { access_log off; server { listen 80; location / { root ${root}; } } }\n`,
  );
  return `nginx -c ${file} -e ${join(host.dir, 'nginx.log')}`;
}

/** Plugs a host into the client's bridge. */
export async function plugIn(client: Host, host: Host, number: number, address: string): Promise<void> {
  await must(['ip', 'link', 'add', 'eth1', 'netns', String(host.pid), 'type', 'veth', 'peer', 'name', `port${number}`, 'netns', String(client.pid)]);
  await client.sh(`ip link set port${number} master br0 up`);
  await host.sh(`ip address add ${address}/24 dev eth1 && ip link set eth1 up`);
}

async function directCable(a: Host, b: Host): Promise<void> {
  await must(['ip', 'link', 'add', 'eth0', 'netns', String(a.pid), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(b.pid)]);
  for (const [host, last] of [[a, 1], [b, 2]] as const) await host.sh(`ip address add 10.199.3.${last}/24 dev eth0 && ip link set eth0 up`);
}

/** Volume, ext4, nginx, address; a witness; all times and limits at their defaults. */
export class DrbdtsTarget implements OutageTarget {
  readonly cluster: ClusterLab;
  readonly vip: string;
  readonly #outlets: Map<Host, Outlet>;
  #active: Host;
  #dead: Host | null = null;

  private constructor(cluster: ClusterLab, active: Host) {
    this.cluster = cluster;
    this.vip = cluster.vip;
    this.#active = active;
    this.#outlets = new Map([cluster.a, cluster.b].map((host) => [host, new Outlet(host, ['eth0', 'eth1'])]));
  }

  static async create(lab: Lab, options: { debug: boolean }): Promise<DrbdtsTarget> {
    const cluster = await ClusterLab.create(lab, {
      names: ['node1', 'node2'],
      bytes: 256 * mib,
      ...(options.debug ? { global: { 'log-level': 'debug' } } : {}),
      // as drbd.conf(5) has them, but for connect-int: a node that comes back is taken in at once
      net: { 'connect-int': 1, 'ping-int': 10, 'ping-timeout': 5, timeout: 60 },
      groups: (at) => ({
        web: {
          members: [
            { volume: 'r0' },
            { filesystem: at.store, type: 'ext4' },
            { command: nginxCommands(at), name: 'nginx' },
            { vip: `${at.vip}/24`, interface: 'eth1' },
          ],
        },
      }),
    });
    for (const host of [cluster.a, cluster.b]) lab.defer(`programs of ${host.name}`, () => killAll(host));
    const active = await cluster.up();
    await active.sh(`echo "${pageText}" >${cluster.store}/index.html && sync`);
    await cluster.together();
    return new DrbdtsTarget(cluster, active);
  }

  get active(): Host {
    return this.#active;
  }

  async move(): Promise<void> {
    const { cluster } = this;
    const to = cluster.other(this.#active);
    await cluster.clusterd(this.#active).client.verb('move', { group: 'web', node: to.name });
    this.#active = to;
  }

  async kill(): Promise<void> {
    const { cluster } = this;
    this.#dead = this.#active;
    this.#active = cluster.other(this.#dead);
    await this.#outlets.get(this.#dead)?.cut();
  }

  async settle(): Promise<void> {
    const { cluster } = this;
    const dead = this.#dead;
    await cluster.runsOn(this.#active);
    if (dead !== null) {
      await cluster.powerOff(dead);
      await this.#outlets.get(dead)?.restore();
      await cluster.powerOn(dead);
      this.#dead = null;
    }
    await cluster.together();
  }
}

/** The same on both nodes: where it keeps its files is found by the host's name. */
function nginxCommands(cluster: ClusterLab): { start: string; stop: string; monitor: string } {
  for (const host of [cluster.a, cluster.b]) nginx(host, cluster.store);
  const dir = join(cluster.lab.dir, '$(hostname)');
  const program = `nginx -c ${dir}/nginx.conf -e ${dir}/nginx.log`;
  return { start: program, stop: `${program} -s stop`, monitor: `kill -0 $(cat ${dir}/nginx.pid)` };
}

/** One address, priorities 100 and 95, everything else as keepalived has it: an advertisement every second. */
export class KeepalivedTarget implements OutageTarget {
  readonly vip: string;
  readonly #hosts: readonly [Host, Host];
  readonly #outlets: Map<Host, Outlet>;
  readonly #running = new Map<Host, ChildProcess>();
  #dead: Host | null = null;
  #stopped: Host | null = null;

  private constructor(hosts: [Host, Host], vip: string) {
    this.#hosts = hosts;
    this.vip = vip;
    this.#outlets = new Map(hosts.map((host) => [host, new Outlet(host, ['eth1'])]));
  }

  static async create(lab: Lab, client: Host, net: string): Promise<KeepalivedTarget> {
    const hosts = [await Host.create(lab, 'keepalived1'), await Host.create(lab, 'keepalived2')] as [Host, Host];
    const target = new KeepalivedTarget(hosts, `${net}.101`);
    for (const [index, host] of hosts.entries()) {
      lab.defer(`programs of ${host.name}`, () => killAll(host));
      await plugIn(client, host, 11 + index, `${net}.${11 + index}`);
      const root = join(host.dir, 'www');
      mkdirSync(root);
      writeFileSync(join(root, 'index.html'), `${pageText}\n`);
      nginx(host, root);
      writeFileSync(
        join(host.dir, 'keepalived.conf'),
        `vrrp_instance web {\n  state BACKUP\n  interface eth1\n  virtual_router_id 51\n  priority ${100 - 5 * index}\n  virtual_ipaddress {\n    ${target.vip}/24\n  }\n}\n`,
      );
      await target.#start(host);
    }
    await target.settle();
    return target;
  }

  async #start(host: Host): Promise<void> {
    await host.sh(`rm -f ${host.dir}/*.pid; ${nginx(host, join(host.dir, 'www'))}`);
    await this.#startKeepalived(host);
  }

  async #startKeepalived(host: Host): Promise<void> {
    const before = this.#running.get(host);
    if (before !== undefined) await exited(before);
    const log = host.openLog();
    const files = ['-f', 'keepalived.conf', '-p', 'k.pid', '-r', 'v.pid', '-c', 'c.pid', '-b', 'b.pid'].map((each) => (each.startsWith('-') ? each : join(host.dir, each)));
    this.#running.set(host, host.spawn(['keepalived', '--dont-fork', '--log-console', '--vrrp', ...files], ['ignore', log, log]));
    host.closeLog(log);
  }

  async #holder(): Promise<Host> {
    for (const host of this.#hosts) if (host !== this.#dead && (await host.run(['ip', '-o', 'address', 'show', 'to', this.vip])).stdout.includes(this.vip)) return host;
    throw new Error('no keepalived has the address');
  }

  /** As keepalived(8) says: the one that is ended tells the other one that it leaves. */
  async move(): Promise<void> {
    this.#stopped = await this.#holder();
    await this.#stopped.sh(`kill -TERM $(cat ${this.#stopped.dir}/k.pid)`);
  }

  async kill(): Promise<void> {
    this.#dead = await this.#holder();
    await this.#outlets.get(this.#dead)?.cut();
  }

  async settle(): Promise<void> {
    await waitFor('one keepalived has the address', async () => (await this.#holder()) !== undefined);
    const [first] = this.#hosts;
    if (this.#stopped !== null) await this.#startKeepalived(this.#stopped);
    if (this.#dead !== null) {
      await this.#dead.sh(`ip address flush dev eth1 scope global && ip address add ${this.vip.replace(/\d+$/, String(11 + this.#hosts.indexOf(this.#dead)))}/24 dev eth1`);
      await this.#outlets.get(this.#dead)?.restore();
      const dead = this.#dead;
      this.#dead = null;
      await this.#start(dead);
    }
    this.#stopped = null;
    // keepalived goes back to the higher priority by default
    await waitFor('the address is where it belongs', async () => (await this.#holder()) === first, 60_000);
  }
}

/** Address and nginx in haresources mode, heartbeats every 200 ms, dead after 2 s, with two links. */
export class HeartbeatTarget implements OutageTarget {
  readonly vip: string;
  readonly #hosts: readonly [Host, Host];
  readonly #net: string;
  readonly #outlets: Map<Host, Outlet>;
  readonly #boots = new Map<Host, Boot>();
  #dead: Host | null = null;

  private constructor(hosts: [Host, Host], net: string) {
    this.#hosts = hosts;
    this.#net = net;
    this.vip = `${net}.102`;
    this.#outlets = new Map(hosts.map((host) => [host, new Outlet(host, ['eth0', 'eth1'])]));
  }

  static async create(lab: Lab, client: Host, net: string): Promise<HeartbeatTarget> {
    const hosts = [await Host.create(lab, 'heartbeat1'), await Host.create(lab, 'heartbeat2')] as [Host, Host];
    const target = new HeartbeatTarget(hosts, net);
    await directCable(...hosts);
    for (const [index, host] of hosts.entries()) {
      await plugIn(client, host, 21 + index, `${net}.${21 + index}`);
      target.#install(host, 2 - index);
    }
    await Promise.all(hosts.map((host) => target.#start(host)));
    await target.settle();
    return target;
  }

  #install(host: Host, peer: number): void {
    const root = join(host.dir, 'www');
    mkdirSync(root);
    writeFileSync(join(root, 'index.html'), `${pageText}\n`);
    const program = nginx(host, root);
    const [first, second] = this.#hosts;
    installFile(
      host,
      '/etc/ha.d/ha.cf',
      [
        `logfile ${join(host.dir, 'ha-log')}`, 'keepalive 200ms', 'deadtime 2', 'warntime 1', 'initdead 8', 'udpport 694',
        `ucast eth0 10.199.3.${peer}`, `ucast eth1 ${this.#net}.${20 + peer}`, 'auto_failback off', `node ${first.name}`, `node ${second.name}`, 'realtime off', '',
      ].join('\n'),
    );
    installFile(host, '/etc/ha.d/authkeys', 'auth 1\n1 sha1 a-key-of-the-benchmark\n', 0o600);
    installFile(host, '/etc/ha.d/haresources', `${first.name} benchnginx IPaddr::${this.vip}/24/eth1\n`);
    installFile(
      host,
      '/etc/ha.d/resource.d/benchnginx',
      `#!/bin/sh\npid=$(cat ${join(host.dir, 'nginx.pid')} 2>/dev/null)\nruns() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }\n` +
        `case "$1" in\nstart) runs || ${program} ;;\nstop) runs && ${program} -s stop; exit 0 ;;\nstatus) if runs; then echo running; else echo stopped; fi ;;\nesac\n`,
      0o755,
    );
  }

  async #start(host: Host): Promise<void> {
    const boot = await Boot.start(host);
    this.#boots.set(host, boot);
    await boot.sh(
      `rm -f ${host.dir}/nginx.pid; install -d -o hacluster -g haclient -m 750 /run/heartbeat /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd && ` +
        'install -d -m 1777 /run/heartbeat/rsctmp && install -d -m 755 /run/resource-agents',
    );
    await boot.must(['/usr/libexec/heartbeat/heartbeat']);
  }

  async #holder(): Promise<Host> {
    for (const host of this.#hosts) if (host !== this.#dead && (await host.run(['ip', '-o', 'address', 'show', 'to', this.vip])).stdout.includes(this.vip)) return host;
    throw new Error('no heartbeat has the address');
  }

  async move(): Promise<void> {
    await this.#boots.get(await this.#holder())?.must(['/usr/share/heartbeat/hb_standby', 'all']);
  }

  async kill(): Promise<void> {
    this.#dead = await this.#holder();
    await this.#outlets.get(this.#dead)?.cut();
  }

  async settle(): Promise<void> {
    const dead = this.#dead;
    if (dead !== null) {
      await dead.sh(`ip address flush dev eth1 scope global && ip address add ${this.#net}.${21 + this.#hosts.indexOf(dead)}/24 dev eth1`);
      await this.#outlets.get(dead)?.restore();
      this.#dead = null;
      await this.#start(dead);
    }
    await waitFor('both heartbeats are settled', async () => {
      await this.#holder();
      const states = await Promise.all([...this.#boots.values()].map((boot) => boot.run(['cl_status', 'rscstatus'])));
      return states.every(({ code, stdout }) => code === 0 && /^(none|local|foreign|all)$/.test(stdout.trim()));
    }, 90_000);
  }
}
