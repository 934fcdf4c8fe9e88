/** Two virtual routers on the client's bridge, nginx behind each: ours on both, keepalived on both, or one of each. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { Keepalived, OurRouter } from '../support/vrrp.js';
import { waitFor } from '../support/wait.js';
import { killAll, nginx, Outlet, pageText, plugIn } from './outage-targets.js';

export type Product = 'ours' | 'keepalived';
export const events = ['kill', 'stop', 'link', 'script'] as const;
export type PairEvent = (typeof events)[number];

export interface PairSpec {
  readonly name: string;
  readonly title: string;
  /** of the master and of the backup. */
  readonly products: readonly [Product, Product];
  readonly intervalMs: number;
}

const priorities = [100, 95] as const;

export class RouterPair {
  readonly spec: PairSpec;
  readonly vip: string;
  readonly hosts: readonly [Host, Host];
  readonly #client: Host;
  /** number of the pair: ports, addresses and the router id follow from it. */
  readonly #number: number;
  readonly #routers: (OurRouter | Keepalived | null)[] = [null, null];
  readonly #outlet: Outlet;
  #isDead = false;
  /** Dead masters that still had the address on their interface five seconds later, and how many were looked at. */
  readonly left = { still: 0, of: 0 };

  private constructor(spec: PairSpec, hosts: readonly [Host, Host], client: Host, net: string, number: number) {
    this.spec = spec;
    this.hosts = hosts;
    this.#client = client;
    this.#number = number;
    this.vip = `${net}.${100 + number}`;
    this.#outlet = new Outlet(hosts[0], ['eth1']);
  }

  static async create(lab: Lab, spec: PairSpec, client: Host, net: string, number: number): Promise<RouterPair> {
    const hosts = [await Host.create(lab, `${spec.name}-a`), await Host.create(lab, `${spec.name}-b`)] as const;
    const pair = new RouterPair(spec, hosts, client, net, number);
    for (const [index, host] of hosts.entries()) {
      lab.defer(`programs of ${host.name}`, () => killAll(host));
      await plugIn(client, host, pair.#port(index), `${net}.${pair.#port(index)}`);
      const root = join(host.dir, 'www');
      mkdirSync(root);
      writeFileSync(join(root, 'index.html'), `${pageText}\n`);
      await host.sh(nginx(host, root));
      pair.#start(index);
    }
    await pair.settle();
    return pair;
  }

  #port(index: number): number {
    return 20 + 2 * this.#number + index;
  }

  /** While it is there the tracked script of that node fails. */
  #failFile(index: number): string {
    return join((this.hosts[index] as Host).dir, 'fail');
  }

  #start(index: number): void {
    const host = this.hosts[index] as Host;
    const routerId = 100 + this.#number;
    const { intervalMs, products } = this.spec;
    const check = `test ! -e ${this.#failFile(index)}`;
    if (products[index] === 'keepalived') {
      this.#routers[index] = new Keepalived(
        host,
        `global_defs {\n  router_id ${host.name}\n  vrrp_version 3\n  script_user root\n}\nvrrp_script check {\n  script "/usr/bin/${check}"\n  interval 1\n  fall 1\n  rise 1\n}\n` +
          `vrrp_instance web {\n  state BACKUP\n  interface eth1\n  virtual_router_id ${routerId}\n  priority ${priorities[index] ?? 0}\n  advert_int ${intervalMs / 1000}\n` +
          `  virtual_ipaddress {\n    ${this.vip}/24\n  }\n  track_script {\n    check\n  }\n}\n`,
      );
      return;
    }
    const priority = Object.fromEntries(this.hosts.map(({ name }, at) => [name, priorities[at] ?? 0]));
    this.#routers[index] = new OurRouter(host, {
      scripts: { check: { command: check, interval: '1s' } },
      instances: {
        web: { interface: 'eth1', 'router-id': routerId, priority, 'advert-interval': `${intervalMs}ms`, addresses: [`${this.vip}/24`], track: [{ script: 'check' }] },
      },
    });
  }

  async holders(): Promise<Host[]> {
    const has = await Promise.all(this.hosts.map(async (host) => (await host.run(['ip', '-o', 'address', 'show', 'to', this.vip])).stdout.includes(this.vip)));
    return this.hosts.filter((_, index) => has[index] === true);
  }

  /** What happens to the master, which is the first host after `settle`. */
  async happens(event: PairEvent): Promise<void> {
    const [host] = this.hosts;
    if (event === 'kill') {
      await this.#outlet.cut();
      this.#isDead = true;
      this.#routers[0] = null;
    } else if (event === 'stop') {
      await this.#routers[0]?.end('SIGTERM');
      this.#routers[0] = null;
    } else if (event === 'link') await this.#client.sh(`ip link set port${this.#port(0)} down`);
    else writeFileSync(this.#failFile(0), '');
    if (event !== 'kill') return;
    const untilMs = Date.now() + 5000;
    await waitFor('five seconds are over', () => Date.now() >= untilMs, 10_000);
    this.left.of += 1;
    if ((await this.holders()).includes(host)) this.left.still += 1;
  }

  /** The first host is the master again, alone with the address. */
  async settle(): Promise<void> {
    const [first] = this.hosts;
    await this.#client.sh(`ip link set port${this.#port(0)} up`);
    if (existsSync(this.#failFile(0))) rmSync(this.#failFile(0));
    if (this.#routers[0] === null) {
      // what a dead one left behind
      await first.run(['ip', 'address', 'del', `${this.vip}/24`, 'dev', 'eth1']);
      if (this.#isDead) {
        await this.#outlet.restore();
        await first.sh(`rm -f ${first.dir}/*.pid; ${nginx(first, join(first.dir, 'www'))}`);
        this.#isDead = false;
      }
      this.#start(0);
    }
    await waitFor(`${first.name} alone has ${this.vip}`, async () => {
      const holders = await this.holders();
      return holders.length === 1 && holders[0] === first;
    }, 60_000);
  }
}
