/** Two hosts with several cables, and heartbeats in each. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { MembershipView } from '../../src/cluster/membership-types.js';
import type { ClusterConfig } from '../../src/config/cluster-types.js';
import { exited, must } from './exec.js';
import type { PeerConfig } from './heartbeat-peer.js';
import type { Host } from './host.js';
import { waitFor } from './wait.js';

const peerMain = fileURLToPath(new URL('./heartbeat-peer.js', import.meta.url));

/** A cable between two hosts with 10.77.NUMBER.1 and .2. */
export async function cable(a: Host, b: Host, name: string, number: number): Promise<void> {
  await must(['ip', 'link', 'add', name, 'netns', String(a.pid), 'type', 'veth', 'peer', 'name', name, 'netns', String(b.pid)]);
  for (const [host, last] of [[a, 1], [b, 2]] as const) {
    await host.must(['ip', 'address', 'add', `10.77.${number}.${last}/24`, 'dev', name]);
    await host.must(['ip', 'link', 'set', name, 'up']);
  }
}

/** What arrives at `host` on `name` is dropped from now on: the other direction goes on. */
export function deafen(host: Host, name: string): Promise<string> {
  return host.sh(`nft add table ip deaf_${name} && nft add chain ip deaf_${name} arrivals "{ type filter hook input priority 0; }" && nft add rule ip deaf_${name} arrivals iifname ${name} drop`);
}

export function undeafen(host: Host, name: string): Promise<string> {
  return host.sh(`nft delete table ip deaf_${name}`);
}

/** Two nodes `a` and `b`; the first link is unicast, the second multicast. */
export function clusterOf(change: Partial<ClusterConfig> = {}): ClusterConfig {
  const link = (name: string, number: number, multicast: ClusterConfig['links'][number]['multicast']): ClusterConfig['links'][number] => ({
    name,
    interface: name,
    port: 6940,
    addresses: { a: `10.77.${number}.1`, b: `10.77.${number}.2` },
    multicast,
  });
  return {
    name: 'test',
    keyFile: '',
    arbiter: { kind: 'none' },
    nodes: ['a', 'b'],
    links: [link('hb0', 0, null), link('hb1', 1, { group: '239.77.0.1', ttl: 1 })],
    keepaliveMs: 100,
    warntimeMs: 500,
    deadtimeMs: 1500,
    initdeadMs: 20_000,
    ping: [],
    deadpingMs: 10_000,
    selfFence: { command: '', watchdog: '', reboot: false },
    ...change,
  };
}

export class HeartbeatProcess {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly views: MembershipView[] = [];

  constructor(host: Host, config: PeerConfig, before: readonly string[] = []) {
    const file = join(host.dir, `heartbeats-${Math.random().toString(36).slice(2)}.json`);
    writeFileSync(file, JSON.stringify(config));
    this.child = host.spawn([...before, process.execPath, peerMain, file], ['pipe', 'pipe', 2]);
    createInterface({ input: this.child.stdout as NodeJS.ReadableStream }).on('line', (text) => {
      const line = JSON.parse(text) as Record<string, unknown>;
      this.lines.push(line);
      if (line['view'] !== undefined) this.views.push(line['view'] as MembershipView);
    });
  }

  get view(): MembershipView | undefined {
    return this.views.at(-1);
  }

  get log(): string[] {
    return this.lines.flatMap((line) => (typeof line['log'] === 'string' ? [line['log']] : []));
  }

  command(text: string): void {
    this.child.stdin?.write(`${text}\n`);
  }

  async status(): Promise<{ view: MembershipView; counters: { links: { name: string; reopened: number; strangers: number; sendErrors: number }[]; refused: Record<string, number> }; rssBytes: number }> {
    const before = this.lines.length;
    this.command('status');
    const line = await waitFor('the status', () => this.lines.slice(before).find((each) => each['status'] !== undefined));
    return line['status'] as never;
  }

  async wait(what: string, condition: (view: MembershipView) => boolean): Promise<void> {
    await waitFor(what, () => this.view !== undefined && condition(this.view), 30_000, () => `${JSON.stringify(this.view)}\n${this.log.join('\n')}`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.child.kill(signal);
    this.child.kill('SIGCONT');
    await exited(this.child);
  }
}
