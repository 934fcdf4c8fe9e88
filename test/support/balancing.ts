/**
 * A client, one or two directors and real servers on two cables: `front` (10.8.0.0/24, clients and directors) and `back` (10.9.0.0/24, everybody;
 * the client for servers that answer past the director).
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { BalancingStatus } from '../../src/control/balancing-messages.js';
import { ClusterClient } from '../../src/control/cluster-client.js';
import { exited, must } from './exec.js';
import { Host } from './host.js';
import type { Lab } from './lab.js';
import { clusterdMain } from './paths.js';
import { waitFor } from './wait.js';

/** Answers every request on ports 80 to 83 with its name; /health with what stands in the file `health`. On port 80 over UDP, too. Names itself when it listens. */
const serverScript = `
const [name, health] = process.argv.slice(1);
const { readFileSync } = require('node:fs');
const handler = (request, response) => response.end(request.url === '/health' ? readFileSync(health) : name);
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (data, from) => udp.send(name, from.port, from.address));
const listen = (port) => new Promise((resolve) => require('node:http').createServer(handler).listen(port, '0.0.0.0', resolve));
Promise.all([80, 81, 82, 83].map(listen)).then(() => udp.bind(80, () => console.log('ready')));
`;

/** Makes \`count\` connections, one after the other; a line for each: the answer, or the error's code. */
const clientScript = `
const [address, port, count, from] = process.argv.slice(1);
const http = require('node:http');
const once = () => new Promise((resolve) => {
  const request = http.get({ host: address, port: Number(port), agent: false, timeout: 3000, ...(from ? { localAddress: from } : {}) }, (response) => {
    let text = '';
    response.on('data', (data) => (text += data)).on('end', () => resolve(text)).on('error', (error) => resolve(error.code));
  });
  request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' }))).on('error', (error) => resolve(error.code ?? error.message));
});
(async () => { for (let i = 0; i < Number(count); i++) console.log(await once()); })();
`;

/** One connection that stays: a request for each line of input, a line of output for each. */
const holdScript = `
const [address, port] = process.argv.slice(1);
const socket = require('node:net').connect(Number(port), address);
const ask = () => socket.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
let text = '';
socket.on('data', (data) => { text += data; const found = /\\r\\n\\r\\n(?:1\\r\\n)?([a-z])/.exec(text); if (found) { console.log(found[1]); text = ''; } });
socket.on('error', (error) => { console.log(error.code); process.exit(); });
process.stdin.on('data', ask);
`;

/** One socket with one port: a packet for each line of input, a line of output for each answer. */
const udpScript = `
const [address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (data) => console.log(String(data))).on('error', () => {});
process.stdin.on('data', () => socket.send('x', Number(port), address));
`;

const answerMs = 10_000;

export class RealHost {
  readonly host: Host;
  readonly name: string;
  readonly address: string;
  child: ChildProcess | null = null;
  readonly #health: string;

  constructor(host: Host, name: string, address: string) {
    this.host = host;
    this.name = name;
    this.address = address;
    this.#health = join(host.dir, 'health');
    this.health('fine');
  }

  health(text: string): void {
    writeFileSync(this.#health, text);
  }

  async start(): Promise<void> {
    const child = this.host.spawn([process.execPath, '-e', serverScript, this.name, this.#health], ['ignore', 'pipe', 'ignore']);
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', () => reject(new Error(`${this.name} ended`)));
    });
  }

  async kill(): Promise<void> {
    const child = this.child;
    if (child === null) throw new Error(`${this.name} does not run`);
    const ended = exited(child);
    child.kill('SIGKILL');
    await ended;
  }

  /** Accepts, as the kernel does that, and never answers. */
  hang(): void {
    this.child?.kill('SIGSTOP');
  }

  goOn(): void {
    this.child?.kill('SIGCONT');
  }
}

/** drbdts-clusterd as director. */
export class Director {
  readonly host: Host;
  child: ChildProcess | null = null;
  readonly client: ClusterClient;
  #config: unknown;

  constructor(host: Host, config: unknown) {
    this.host = host;
    this.#config = config;
    this.client = new ClusterClient(join(host.dir, 'clusterd.sock'));
    host.lab.note(() => `--- director ${host.name}\n${this.log().split('\n').slice(-40).join('\n')}`);
  }

  launch(): ChildProcess {
    const { host } = this;
    const file = join(host.dir, 'lb.yaml');
    writeFileSync(file, stringify(this.#config), { mode: 0o600 });
    const log = host.openLogFile(this.#logFile);
    this.child = host.spawn(
      [process.execPath, clusterdMain, '--config', file, '--socket', join(host.dir, 'clusterd.sock'), '--node', host.name, '--state-dir', join(host.dir, 'cluster'), '--run-dir', join(host.dir, 'run'), '--foreground'],
      ['ignore', log, log],
    );
    host.closeLog(log);
    return this.child;
  }

  /** Returns when everything is in force and each check has a result. */
  async start(): Promise<void> {
    this.launch();
    await this.when('every check has a result', ({ problem, virtualServers }) => problem === '' && virtualServers.every(({ realServers }) => realServers.every(({ checks }) => checks.every(({ seen }) => seen))));
  }

  get #logFile(): string {
    return join(this.host.dir, 'clusterd.log');
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  /** For the next start. */
  configure(config: unknown): void {
    this.#config = config;
  }

  async when(what: string, condition: (status: BalancingStatus) => boolean): Promise<BalancingStatus> {
    let last: BalancingStatus | null = null;
    await waitFor(`${what} on ${this.host.name}`, async () => {
      if (this.child?.exitCode !== null) throw new Error(`it ended with ${this.child?.exitCode}`);
      last = await this.client.balancing();
      return condition(last);
    }, 20_000, () => JSON.stringify(last));
    if (last === null) throw new Error('unreachable');
    return last;
  }

  /** States of the real servers of all virtual servers become so, `serving down`. */
  states(wanted: string): Promise<BalancingStatus> {
    return this.when(`real servers are ${wanted}`, ({ virtualServers }) => virtualServers.every(({ realServers }) => realServers.map(({ state }) => state).join(' ') === wanted));
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    if (child === null) return;
    const ended = exited(child);
    child.kill(signal);
    await ended;
  }
}

export class Floor {
  readonly client: Host;
  readonly directors: Host[];
  readonly real: RealHost[];

  private constructor(client: Host, directors: Host[], real: RealHost[]) {
    this.client = client;
    this.directors = directors;
    this.real = real;
  }

  /** `vip`: real servers have it on lo, silent, as kind dr wants it. `gateway`: where they send what is not for `back`. */
  static async create(lab: Lab, options: { directors?: number; real?: string; gateway?: string; vip?: string } = {}): Promise<Floor> {
    const { directors: count = 1, real: names = 'ab', gateway = '10.9.0.2', vip = '' } = options;
    const cables = await Host.create(lab, 'cables');
    await cables.sh('ip link add front type bridge; ip link add back type bridge; ip link set front up; ip link set back up');
    let ports = 0;
    const plug = async (host: Host, name: string, bridge: string, address: string): Promise<void> => {
      ports += 1;
      await must(['ip', 'link', 'add', name, 'netns', String(host.pid), 'type', 'veth', 'peer', 'name', `p${ports}`, 'netns', String(cables.pid)]);
      await cables.sh(`ip link set p${ports} master ${bridge} up`);
      await host.sh(`ip address add ${address}/24 dev ${name}; ip link set ${name} up`);
    };
    const client = await Host.create(lab, 'client');
    await plug(client, 'eth0', 'front', '10.8.0.1');
    await plug(client, 'eth1', 'back', '10.9.0.1');
    // what is sent to the address of a virtual server on `back` has to arrive there, from one of several addresses
    await client.sh('for last in 201 202 203 204 205 206; do ip address add 10.8.0.$last/24 dev eth0; ip address add 10.9.0.$last/24 dev eth1; done');
    const directors: Host[] = [];
    for (let index = 0; index < count; index++) {
      const host = await Host.create(lab, ['one', 'two'][index] ?? '');
      await plug(host, 'eth0', 'front', `10.8.0.${2 + index}`);
      await plug(host, 'eth1', 'back', `10.9.0.${2 + index}`);
      await host.sh('echo 1 > /proc/sys/net/ipv4/ip_forward');
      directors.push(host);
    }
    const real: RealHost[] = [];
    for (const [index, name] of [...names].entries()) {
      const host = await Host.create(lab, `real-${name}`);
      const address = `10.9.0.${11 + index}`;
      await plug(host, 'eth0', 'back', address);
      await host.sh(`ip route add default via ${gateway}`);
      if (vip !== '') await host.sh(`echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore; echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce; ip address add ${vip}/32 dev lo`);
      const one = new RealHost(host, name, address);
      await one.start();
      real.push(one);
    }
    return new Floor(client, directors, real);
  }

  /** Names that answered `count` connections made one after the other; the code of the error where nobody did. */
  async ask(address: string, count: number, from = '', port = 80): Promise<string[]> {
    const out = await this.client.must([process.execPath, '-e', clientScript, address, String(port), String(count), ...(from === '' ? [] : [from])]);
    return out.trimEnd().split('\n');
  }

  /** A connection that stays, or a UDP socket. `ask` resolves with the next line it says. */
  hold(address: string, kind: 'tcp' | 'udp' = 'tcp'): { ask(): Promise<string>; end(): void } {
    const child = this.client.spawn([process.execPath, '-e', kind === 'tcp' ? holdScript : udpScript, address, '80'], ['pipe', 'pipe', 'ignore']);
    return {
      ask: () =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`no answer to what was asked over ${kind}`)), answerMs);
          child.stdout?.once('data', (data: Buffer) => {
            clearTimeout(timer);
            resolve(data.toString().trim());
          });
          child.stdin?.write('x\n');
        }),
      end: () => {
        child.kill('SIGKILL');
      },
    };
  }
}

/** How often each name answered. */
export function tally(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}
