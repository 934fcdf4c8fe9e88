/**
 * keepalived.conf of two nodes, imported, checked and run as it is: a client counts what it loses while the service is stopped and the master is
 * killed, and no address is on both nodes for longer than an advert takes. Intervals are those of the files.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { OutageClient } from '../bench/outage-client.js';
import { exited, must } from '../support/exec.js';
import { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { nowMs, OurRouter, VipWatch } from '../support/vrrp.js';
import { waitFor } from '../support/wait.js';
import { dual, web } from '../unit/import/vrrp-originals.js';

const limits = { skip: labUnavailable(), timeout: 120_000 };
const page = 'drbdts-import';

/** A web server whose process is called `name`. */
const server = (name: string): string => `process.title = '${name}'; require('node:http').createServer((_, answer) => answer.end('${page}')).listen(80, '0.0.0.0')`;

/** Hosts share their process ids here: the check must see those of its own host only. */
const ownKillall = `#!/bin/sh
for pid in $(pgrep -x "$2"); do
  [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ] && exit 0
done
exit 1
`;

class Node {
  readonly host: Host;
  readonly watch: VipWatch;
  readonly #service: string;
  #server: ChildProcess | null = null;
  router: OurRouter | null = null;

  constructor(host: Host, vips: readonly string[], service: string) {
    this.host = host;
    this.watch = new VipWatch(host, vips);
    this.#service = service;
    const bin = join(host.dir, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'killall'), ownKillall);
    chmodSync(join(bin, 'killall'), 0o755);
    host.env['PATH'] = `${bin}:${process.env['PATH'] ?? ''}`;
  }

  startServer(): void {
    this.#server = this.host.spawn([process.execPath, '-e', server(this.#service)], ['ignore', 2, 2]);
  }
  async stopServer(): Promise<void> {
    this.#server?.kill('SIGKILL');
    if (this.#server !== null) await exited(this.#server);
  }
}

interface Stage {
  readonly alpha: Node;
  readonly beta: Node;
  readonly client: Host;
  /** all of these, and only these, are there. */
  holds(node: Node, vips: readonly string[]): Promise<void>;
}

/** Two nodes and a client on each of the networks: `eth0`, `eth1`, ... of a node, x.x.x.1 and .2. The client is .50 and the switch. */
async function stage(lab: Lab, networks: readonly string[], vips: readonly string[], service: string, files: readonly [string, string]): Promise<Stage> {
  const [a, b, client] = [await Host.create(lab, 'alpha'), await Host.create(lab, 'beta'), await Host.create(lab, 'client')];
  for (const [index, network] of networks.entries()) {
    await client.sh(`ip link add br${index} type bridge mcast_snooping 0; ip address add ${network}.50/24 dev br${index}; ip link set br${index} up`);
    for (const [host, last] of [[a, 1], [b, 2]] as const) {
      const port = `${host.name}${index}`;
      await must(['ip', 'link', 'add', `eth${index}`, 'netns', String(host.pid), 'type', 'veth', 'peer', 'name', port, 'netns', String(client.pid)]);
      await client.sh(`ip link set ${port} master br${index} up`);
      await host.sh(`ip address add ${network}.${last}/24 dev eth${index}; ip link set eth${index} up`);
    }
  }
  const [alpha, beta] = [new Node(a, vips, service), new Node(b, vips, service)];
  await Promise.all([alpha.watch.ready(), beta.watch.ready()]);

  const paths = files.map((text, index) => {
    const path = join(lab.dir, `${index}.keepalived.conf`);
    writeFileSync(path, text);
    return path;
  });
  const output = join(a.dir, 'imported.yaml');
  const imported = await a.cli('import', `alpha=${paths[0]}`, `beta=${paths[1]}`, '--output', output);
  assert.equal(imported.code, 3, imported.stderr);
  const checked = await a.cli('config', 'check', output);
  assert.equal(checked.code, 0, checked.stderr);
  const { vrrp } = parse(readFileSync(output, 'utf8')) as { vrrp: unknown };
  for (const node of [alpha, beta]) {
    node.startServer();
    await waitFor(`the service of ${node.host.name} listens`, async () => (await node.host.run(['sh', '-c', `killall -0 ${service} && ss -Hltn | grep -q :80`])).code === 0);
    node.router = new OurRouter(node.host, vrrp);
  }
  const holds = (node: Node, wanted: readonly string[]): Promise<void> =>
    waitFor(
      `${node.host.name} alone has ${wanted.join(' ')}`,
      () => {
        const other = node === alpha ? beta : alpha;
        return wanted.every((vip) => node.watch.here.includes(vip) && !other.watch.here.includes(vip));
      },
      40_000,
      () => JSON.stringify([alpha.watch.changes, beta.watch.changes]),
    ).then(() => {});
  return { alpha, beta, client, holds };
}

/** The longest time in ms for which both nodes had the address. */
function longestOnBoth({ alpha, beta }: Stage, vip: string): number {
  const all = [alpha, beta].flatMap((node, index) => node.watch.changes.map(({ atMs, here }) => ({ atMs, index, has: here.includes(vip) }))).sort((a, b) => a.atMs - b.atMs);
  const has = [false, false];
  let [longest, since]: [number, number | null] = [0, null];
  for (const { atMs, index, has: now } of all) {
    has[index] = now;
    if (has[0] === true && has[1] === true) since ??= atMs;
    else if (since !== null) {
      longest = Math.max(longest, atMs - since);
      since = null;
    }
  }
  return since === null ? longest : Math.max(longest, nowMs() - since);
}

const epochMs = (): number => performance.timeOrigin + performance.now();

/** Does something to the service, waits until the page comes again, and gives how many requests were lost meanwhile. */
async function loses(client: OutageClient, vip: string, what: string, act: () => Promise<void>): Promise<number> {
  await client.watch(vip);
  await act();
  await client.served(epochMs());
  const { successes, failures } = await client.count();
  console.log(`${what}: ${failures} of ${failures + successes.length} requests lost`);
  return failures;
}

describe('keepalived.conf as it was', { concurrency: 2 }, () => {
  it('a web server: a stopped service moves the address, its return brings it back, a killed master loses it', limits, () =>
    withLab('vrrp-import', async (lab) => {
      const vip = '172.29.80.100';
      const all = await stage(lab, ['172.29.80'], [vip], 'httpd', [web('one'), web('two')]);
      const { alpha, beta, holds } = all;
      const client = new OutageClient(all.client, page);
      await holds(alpha, [vip]);
      await loses(client, vip, 'httpd stopped', async () => {
        await alpha.stopServer();
        await alpha.router?.is('fault', 'WEB');
        await holds(beta, [vip]);
      });
      await loses(client, vip, 'httpd started again', async () => {
        alpha.startServer();
        await holds(alpha, [vip]);
      });
      const lost = await loses(client, vip, 'master killed', async () => {
        await alpha.router?.end('SIGKILL');
        await holds(beta, [vip]);
      });
      assert.ok(lost > 0, 'the client has not noticed that the master died');
      // an advert of the new master on its way: it has the address already, the old one has not heard it
      assert.ok(longestOnBoth(all, vip) < 2000, JSON.stringify([alpha.watch.changes, beta.watch.changes]));
    }),
  );

  it('dual master on two networks: each node serves two, a stopped proxy moves them by weight, a killed node loses all', limits, () =>
    withLab('vrrp-import', async (lab) => {
      const [outside1, outside2, inside1, inside2] = ['10.29.8.100', '10.29.8.101', '172.29.8.100', '172.29.8.101'] as const;
      const vips = [outside1, outside2, inside1, inside2];
      const all = await stage(lab, ['172.29.8', '10.29.8'], vips, 'proxy', [dual('one'), dual('two')]);
      const { alpha, beta, holds } = all;
      const [outer, inner] = [new OutageClient(all.client, page), new OutageClient(all.client, page)];
      // the first has the same priority on both nodes, as its user had it: the higher address wins, or who was first
      await Promise.all([holds(alpha, [inside1]), holds(beta, [outside2, inside2])]);
      await waitFor('one has the first', () => alpha.watch.here.includes(outside1) !== beta.watch.here.includes(outside1), 20_000);
      const both = (what: string, act: () => Promise<void>): Promise<unknown> => {
        const acted = act;
        let begun: Promise<void> | null = null;
        const once = (): Promise<void> => (begun ??= acted());
        return Promise.all([loses(outer, outside2, `${what}, outside`, once), loses(inner, inside2, `${what}, inside`, once)]);
      };
      await both('proxy stopped', async () => {
        await beta.stopServer();
        await holds(alpha, vips);
      });
      await both('proxy started again', async () => {
        beta.startServer();
        await holds(beta, [outside2, inside2]);
      });
      await both('node killed', async () => {
        await beta.router?.end('SIGKILL');
        await holds(alpha, vips);
      });
      for (const vip of vips) assert.ok(longestOnBoth(all, vip) < 1000, `${vip} ${JSON.stringify([alpha.watch.changes, beta.watch.changes])}`);
    }),
  );
});
