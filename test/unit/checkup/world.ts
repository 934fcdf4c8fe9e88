/** A right set-up as data: the example of a cluster, and a host on which everything is as it says. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { ClusterStatus } from '../../../src/control/cluster-messages.js';
import { clusterDigest } from '../../../src/config/digest.js';
import { parseConfig } from '../../../src/config/load.js';
import { placesIn } from '../../../src/config/places.js';
import type { Config, Problem } from '../../../src/config/types.js';
import type { Facts, PathFact } from '../../../src/checkup/facts.js';
import type { Subject } from '../../../src/checkup/judge.js';

export const exampleFile = new URL('../../../../resources/examples/cluster.yaml', import.meta.url);
export const exampleText = readFileSync(exampleFile, 'utf8');

export interface Right {
  readonly config: Config;
  readonly problems: Problem[];
  readonly subject: Subject;
  /** the file as it is written. */
  readonly raw: unknown;
}

/** The example, changed as a text; `[from, to]` has to be in it. */
export function configured(...changes: readonly (readonly [string, string])[]): Right {
  let text = exampleText;
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`the example has no '${from}'`);
    text = text.replace(from, to);
  }
  const { config, problems } = parseConfig(text, 'cluster.yaml', null);
  if (config === null) throw new Error(problems.map(({ message }) => message).join('\n'));
  const places = placesIn(text);
  const place: Subject['place'] = (path) => {
    const { line, column } = places(path);
    return `cluster.yaml:${line}:${column}`;
  };
  return { config, problems, subject: { config, node: 'master1', place }, raw: parse(text) };
}

export const pathFact = (kind: PathFact['kind'], more: Partial<PathFact> = {}): PathFact => ({ kind, executable: false, device: '', entries: [], ...more });

/** master1 before the first start. */
export function rightFacts(config: Config): Facts {
  const address = (name: string, local: string, prefix = 24) => ({ interface: name, family: 4 as const, address: local, prefix, permanent: true });
  if (config.cluster === null) throw new Error('no cluster');
  return {
    interfaces: ['lo', 'eth0', 'eth1'].map((name) => ({ name, up: true, carrier: true })),
    addresses: [address('lo', '127.0.0.1', 8), address('eth0', '192.168.42.12'), address('eth1', '10.0.0.1')],
    routes: new Map([['10.0.0.2', true], ['192.168.42.13', true]]),
    ports: [{ protocol: 'tcp', address: '0.0.0.0', port: 22 }],
    owners: new Map([['192.168.42.14', null]]),
    peerHardware: new Set(['02:00:00:00:00:02']),
    pings: new Map([['192.168.42.1', true]]),
    mentions: [],
    mounts: [],
    fstab: [{ line: 1, source: '/dev/sda1', mountPoint: '/', options: ['defaults'] }],
    paths: new Map([
      ['/dev/sdb1', pathFact('block', { device: '8:17' })],
      ['/dev/drbd0', pathFact('missing')],
      ['/store', pathFact('missing')],
      ['/dev/watchdog', pathFact('character', { device: '10:130' })],
    ]),
    programs: new Map([['ping', '/usr/bin/ping'], ['fsck.ext4', '/usr/sbin/fsck.ext4']]),
    unknownTypes: new Set(),
    signatures: new Map(),
    units: new Map([
      ['mariadb.service', { enabled: 'disabled', active: false }],
      ['nginx.service', { enabled: 'disabled', active: false }],
      ['store.mount', { enabled: '', active: false }],
    ]),
    bootLinks: new Map(),
    keys: new Map([['/etc/drbdts/store.key', '']]),
    arbiterProblem: null,
    sysrq: true,
    watchdogBusy: false,
    drbdtsd: null,
    clusterd: null,
    pauses: [],
    digest: clusterDigest(config.cluster, config.groups),
  };
}

/** What clusterd of master1 says when all is well; the group runs on `node`. */
export function rightClusterd(config: Config, node: string): ClusterStatus {
  if (config.cluster === null) throw new Error('no cluster');
  const link = (name: string) => ({ name, state: 'up', oneWay: false, silentMs: 20, gapMaxMs: 130, rttMs: 0.2, lost: 0 });
  return {
    cluster: 'store',
    node: 'master1',
    version: '0.1.0',
    configDigest: clusterDigest(config.cluster, config.groups),
    nodes: ['master1', 'master2'].map((name) => ({ name, state: 'online' as const, sinceMs: 5000, pingLost: 0, sameConfiguration: true })),
    links: [link('direct'), link('lan')],
    arbiter: { kind: 'witness', unvouched: [], standings: { r0: 'together' } },
    maintenance: false,
    drbdtsd: true,
    groups: [
      {
        ...{ name: 'web', phase: node === 'master1' ? 'started' : 'stopped', peerPhase: node === 'master1' ? 'stopped' : 'started', node, target: node, why: 'it runs there' },
        ...{ held: false, failCount: 0, failure: '', pinned: '', members: [] },
      },
    ],
    warnings: [],
  };
}
