/** What each kind of fault does on real processes. Each returns how to end it; what is over at once returns nothing. */
import type { Host } from '../support/host.js';
import { type Arena, signal } from './arena.js';
import type { Fault, FaultKind } from './schedule.js';

export type End = () => Promise<void>;

interface Hit {
  readonly fault: Fault;
  /** the node it hits; the active one where none in particular is meant. */
  readonly host: Host;
  readonly other: Host;
  /** unique within the arena's life, letters and digits. */
  readonly name: string;
  readonly seed: number;
}

type Effect = (arena: Arena, hit: Hit) => Promise<End | undefined>;

/** nftables expressions; whatever port the connection was made from. */
const replication = 'tcp dport 7788';
const replicationBack = 'tcp sport 7788';
const heartbeats = 'udp dport 694';

async function all(ends: readonly Promise<End>[]): Promise<End> {
  const made = await Promise.all(ends);
  return async () => void (await Promise.all(made.map((end) => end())));
}

async function silence(arena: Arena, host: Host, networkInterface: string): Promise<End> {
  await arena.silence(host, networkInterface);
  return () => arena.hear(host, networkInterface);
}

/** What arrives for `host` on its service network is lost at the switch; what it sends, at itself. */
const lanTo = (arena: Arena, host: Host): Promise<End> => silence(arena, arena.cluster.client, arena.portOf(host));
const lanFrom = (arena: Arena, host: Host): Promise<End> => silence(arena, host, 'eth1');
const directFrom = (arena: Arena, host: Host): Promise<End> => silence(arena, host, 'eth0');

function stop(pid: number): End {
  signal(pid, 'SIGSTOP');
  return async () => signal(pid, 'SIGCONT');
}

export const effects: Record<FaultKind, Effect> = {
  'kill-drbdtsd': async (_arena, { host }) => {
    signal(host.daemon?.pid ?? 0, 'SIGKILL');
    return undefined;
  },
  'kill-clusterd': async (arena, { host }) => {
    signal(arena.cluster.clusterds.get(host)?.pid ?? 0, 'SIGKILL');
    return () => arena.ensureProcesses(host);
  },
  'kill-keeper': async (arena, { host }) => {
    const { daemon } = host;
    if (daemon !== null) {
      const inner = daemon.pid;
      signal(daemon.child.pid ?? 0, 'SIGKILL');
      signal(inner, 'SIGKILL');
    }
    return () => arena.ensureProcesses(host);
  },
  'kill-node': async (arena, { host, seed }) => {
    await arena.powerOff(host, seed);
    return () => arena.powerOn(host);
  },
  'reload-clusterd': async (arena, { host }) => {
    signal(arena.cluster.clusterds.get(host)?.pid ?? 0, 'SIGHUP');
    return () => arena.ensureProcesses(host);
  },
  'stop-clusterd': async (arena, { host }) => stop(arena.cluster.clusterds.get(host)?.pid ?? 0),
  'stop-drbdtsd': async (_arena, { host }) => stop(host.daemon?.pid ?? 0),
  'stop-node': async (arena, { host }) => {
    arena.cluster.freeze(host);
    return async () => arena.cluster.thaw(host);
  },
  'cut-replication': (arena, { host, other, name }) =>
    all([host, other].flatMap((each) => [arena.filter(each, `${name}a`, replication), arena.filter(each, `${name}b`, replicationBack)])),
  'cut-replication-to': (arena, { host, name }) => all([arena.filter(host, `${name}a`, replication), arena.filter(host, `${name}b`, replicationBack)]),
  'cut-heartbeats': (arena, { host, other, name }) => all([host, other].map((each) => arena.filter(each, name, heartbeats))),
  'cut-heartbeats-to': (arena, { host, name }) => arena.filter(host, name, heartbeats),
  'cut-direct': (arena, { host, other }) => all([host, other].map((each) => directFrom(arena, each))),
  'cut-lan': (arena, { host }) => all([lanTo(arena, host), lanFrom(arena, host)]),
  'deafen-lan': (arena, { host }) => lanTo(arena, host),
  'mute-lan': (arena, { host }) => lanFrom(arena, host),
  isolate: (arena, { host, other }) => all([lanTo(arena, host), lanFrom(arena, host), directFrom(arena, host), directFrom(arena, other)]),
  deafen: (arena, { host, other }) => all([lanTo(arena, host), directFrom(arena, other)]),
  mute: (arena, { host }) => all([lanFrom(arena, host), directFrom(arena, host)]),
  'kill-witness': async (arena) => {
    await arena.cluster.stopWitness('SIGKILL');
    return async () => arena.ensureWitness();
  },
  'stop-witness': async (arena) => stop(arena.cluster.witnessProcess?.pid ?? 0),
  'old-witness': async (arena) => {
    await arena.cluster.stopWitness('SIGKILL');
    arena.restoreRegister();
    return async () => arena.ensureWitness();
  },
  'cut-witness': (arena) => all([lanTo(arena, arena.cluster.witness), lanFrom(arena, arena.cluster.witness)]),
  'cut-witness-from': (arena, { host, name }) =>
    all([
      arena.filter(arena.cluster.witness, name, `ip saddr ${arena.cluster.net}.${host === arena.cluster.a ? 1 : 2}`),
      arena.filter(host, name, `ip saddr ${arena.cluster.net}.3`),
    ]),
  'disk-errors': async (arena, { host }) => {
    if (arena.off.has(host)) return undefined;
    await arena.disk(host).fail();
    return async () => {
      if (!arena.off.has(host)) await arena.disk(host).heal();
    };
  },
  'disk-hangs': async (arena, { host }) => {
    if (arena.off.has(host)) return undefined;
    await arena.disk(host).hold();
    return async () => {
      if (!arena.off.has(host)) await arena.disk(host).release();
    };
  },
  move: async (arena, { host, other }) => {
    // refused is an answer, too
    const refused = await arena.cluster.clusterds.get(host)?.client.verb('move', { group: 'web', node: other.name }).then(() => '', (error: Error) => error.message);
    arena.tell(refused === '' ? `moved to ${other.name}` : `move to ${other.name} refused: ${refused}`);
    return undefined;
  },
  standby: async (arena, { host }) => {
    const client = arena.cluster.clusterds.get(host)?.client;
    const done = await client?.verb('standby', { node: host.name }).then(() => true, () => false);
    if (done !== true) return undefined;
    return async () => {
      // where it is answered; a wish is known to both nodes sooner or later
      for (const each of [host, arena.cluster.other(host)]) {
        const answered = await arena.cluster.clusterds.get(each)?.client.verb('online', { node: host.name }).then(() => true, () => false);
        if (answered === true) return;
      }
      throw new Error(`nobody takes ${host.name} online`);
    };
  },
};
