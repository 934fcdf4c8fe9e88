/** The words of drbd.conf: where each may stand, what became of those of 8.2, 8.3 and 9. Pure data. */
import { optionsOf, optionTable, refusedOptions, type Section } from '../config/options.js';
import type { Shape } from './drbd-parse.js';

/** Blocks and the blocks they stand in; `` is the top of the file. */
export const blockParents: Readonly<Record<string, readonly string[]>> = {
  global: [''],
  common: [''],
  resource: [''],
  skip: ['', 'resource'],
  on: ['resource'],
  floating: ['resource'],
  'stacked-on-top-of': ['resource'],
  connection: ['resource'],
  'connection-mesh': ['resource'],
  volume: ['resource', 'on', 'floating', 'stacked-on-top-of', 'connection'],
  path: ['connection'],
  startup: ['resource', 'common'],
  handlers: ['resource', 'common'],
  options: ['resource', 'common'],
  syncer: ['resource', 'common'],
  proxy: ['resource', 'common', 'connection', 'on'],
  net: ['resource', 'common', 'connection', 'connection-mesh'],
  disk: ['resource', 'common', 'on', 'volume', 'connection', 'floating'],
};

/** Statements without a block, by the block they stand in. */
export const plainWords: Readonly<Record<string, readonly string[]>> = {
  '': ['include', 'skip'],
  global: ['usage-count', 'minor-count', 'dialog-refresh', 'disable-ip-verification', 'udev-always-use-vnr', 'cmd-timeout-short', 'cmd-timeout-medium', 'cmd-timeout-long'],
  common: ['protocol'],
  resource: ['protocol', 'device', 'disk', 'meta-disk', 'flexible-meta-disk', 'address', 'template-file'],
  on: ['address', 'device', 'disk', 'meta-disk', 'flexible-meta-disk', 'node-id'],
  floating: ['address', 'device', 'disk', 'meta-disk', 'flexible-meta-disk', 'node-id'],
  volume: ['device', 'disk', 'meta-disk', 'flexible-meta-disk'],
  'connection-mesh': ['hosts'],
  connection: ['host', 'address'],
  path: ['host'],
};

/** Names of options that were renamed or moved: section and name of today. */
export const renamed: Readonly<Record<string, readonly [Section, string]>> = {
  'syncer.rate': ['disk', 'resync-rate'],
  'syncer.al-extents': ['disk', 'al-extents'],
  'syncer.verify-alg': ['net', 'verify-alg'],
  'syncer.csums-alg': ['net', 'csums-alg'],
  'syncer.use-rle': ['net', 'use-rle'],
  'syncer.c-plan-ahead': ['disk', 'c-plan-ahead'],
  'syncer.c-fill-target': ['disk', 'c-fill-target'],
  'syncer.c-max-rate': ['disk', 'c-max-rate'],
  'syncer.c-min-rate': ['disk', 'c-min-rate'],
  'disk.rate': ['disk', 'resync-rate'],
  'net.fencing': ['disk', 'fencing'],
  'handlers.outdate-peer': ['handlers', 'fence-peer'],
};

/** Switches of 8.3 that say no. */
export const negated: Readonly<Record<string, readonly [Section, string]>> = {
  'disk.no-disk-flushes': ['disk', 'disk-flushes'],
  'disk.no-md-flushes': ['disk', 'md-flushes'],
  'net.no-tcp-cork': ['net', 'tcp-cork'],
};

interface Reason {
  readonly reason: string;
  readonly hint: string;
  /** the behaviour is the same without it. */
  readonly harmless?: boolean;
}

const harmless = (reason: string): Reason => ({ reason, hint: 'Nothing to do.', harmless: true });
const gone = (reason: string, hint = 'Remove it.'): Reason => ({ reason, hint });

/** Words that drbd.conf knows and drbdts does not, besides those that drbdts.yaml refuses by name. */
export const withoutEquivalent: Readonly<Record<string, Reason>> = {
  'global.usage-count': harmless('drbdts counts nobody'),
  'global.minor-count': harmless('there is no limit to reserve'),
  'global.dialog-refresh': harmless('it concerns a dialogue of an init script'),
  'global.disable-ip-verification': harmless('addresses are checked by `drbdts cluster check`'),
  'global.udev-always-use-vnr': harmless('links below /dev/drbd are made by udev rules of drbdts'),
  'global.cmd-timeout-short': harmless('commands of drbdts end by themselves'),
  'global.cmd-timeout-medium': harmless('commands of drbdts end by themselves'),
  'global.cmd-timeout-long': harmless('commands of drbdts end by themselves'),
  'on.node-id': harmless('two nodes need no numbers'),
  'floating.node-id': harmless('two nodes need no numbers'),
  'disk.use-bmbv': harmless('the size of requests is found out'),
  'disk.max-bio-bvecs': harmless('the size of requests is found out'),
  'disk.no-disk-barrier': harmless('Linux has no block barriers any more; flushes are used'),
  'disk.disk-barrier': harmless('Linux has no block barriers any more; flushes are used'),
  'disk.no-disk-drain': gone('write order is kept by draining where flushes are off, always'),
  'syncer.after': gone('resyncs run side by side', 'Limit rates with `c-max-rate`.'),
  'syncer.cpu-mask': gone("place the daemon with systemd's CPUAffinity"),
  'syncer.on-no-data-accessible': gone('it is not available'),
  'syncer.c-delay-target': gone('the controller steers by the amount in flight', 'Use `c-fill-target`.'),
  'options.auto-promote': gone('a volume becomes Primary by a command or by its group', 'Make it a member of a group, or use `drbdts primary`.'),
  'options.auto-promote-timeout': gone('a volume becomes Primary by a command or by its group'),
  'options.quorum': gone('two nodes have no majority', 'Set up an arbiter (`cluster: arbiter:`): it decides instead.'),
  'options.quorum-minimum-redundancy': gone('two nodes have no majority'),
  'options.on-no-quorum': gone('without the arbiter a Primary that lost its peer stands still', 'Set up an arbiter (`cluster: arbiter:`).'),
  'options.on-suspended-primary-outdated': gone('it concerns quorum'),
  'options.peer-ack-delay': harmless('two nodes need no acknowledgement of peers'),
  'options.peer-ack-window': harmless('two nodes need no acknowledgement of peers'),
  'options.twopc-timeout': harmless('protocol 101 has no state changes in two phases'),
  'options.twopc-retry-timeout': harmless('protocol 101 has no state changes in two phases'),
  'options.auto-promote-time': gone('a volume becomes Primary by a command or by its group'),
  'options.max-io-depth': harmless('the depth of the queue is fixed'),
  'options.quorum-dynamic-voters': gone('two nodes have no majority'),
  'options.load-balance-paths': gone('a connection has one path'),
  'options.drbd8-compat-mode': harmless('protocol 101 is that of DRBD 8.4'),
  'net.transport': gone('TCP is the transport', 'Remove it; it must be tcp on a DRBD peer.'),
  'net.load-balance-paths': gone('a connection has one path'),
  'net.allow-remote-read': harmless('a node without a disk reads from its peer'),
  'net.tls': gone('connections are not encrypted', 'Use a network of its own, or a tunnel; `cram-hmac-alg` authenticates the peer.'),
  'net.tls-keyring': gone('connections are not encrypted'),
  'net.tls-privkey': gone('connections are not encrypted'),
  'net.tls-certificate': gone('connections are not encrypted'),
  'net.rdma-ctrl-rcvbuf-size': harmless('TCP is the transport'),
  'net.rdma-ctrl-sndbuf-size': harmless('TCP is the transport'),
  'net._name': harmless('it only names the peer'),
  'disk.block-size': harmless('it is that of the disks'),
  'disk.bitmap': harmless('there is always a bitmap'),
  'disk.d-bitmap': harmless('there is always a bitmap'),
  'disk.disable-write-same': harmless('WRITE SAME is not offered to the file system'),
  'startup.wait-after-sb': gone('wait-connect ends when the resource is StandAlone'),
  'startup.stacked-timeouts': harmless('there are no stacked resources'),
  'handlers.unfence-peer': gone('an arbiter takes the peer back in when it is complete', 'Set up an arbiter, or call the script from `after-resync-target`.'),
  'handlers.quorum-lost': gone('there is no such event', 'Look at `drbdts events`.'),
  'handlers.disconnected': gone('there is no such event', 'Look at `drbdts events`.'),
  'handlers.suspended-primary-outdated': gone('there is no such event'),
  proxy: gone('DRBD Proxy is not available', 'Connect the nodes directly.'),
  'resource.template-file': gone('templates are not read', 'Write the options into the resource.'),
  'volume.none': gone('both nodes have a disk'),
};

/** Why a word of a section is not taken over; null: it is, or nobody knows it. */
export function reasonOf(section: string, name: string): Reason | null {
  const key = `${section}.${name}`;
  if (Object.hasOwn(withoutEquivalent, key)) return withoutEquivalent[key] ?? null;
  // what drbdts.yaml refuses by name stands in the sections of its time
  if (Object.hasOwn(refusedOptions, name) && !['syncer', 'floating', 'rate', 'stacked-on-top-of'].includes(name)) return refusedOptions[name] ?? null;
  return null;
}

/** Every word that may begin a statement in a section of options, for suggestions. */
export function wordsOfSection(section: string): string[] {
  const own = ['startup', 'disk', 'net', 'handlers'].includes(section) ? optionsOf(section as Section).map((spec) => spec.name) : [];
  const others = [...Object.keys(renamed), ...Object.keys(negated), ...Object.keys(withoutEquivalent)]
    .filter((key) => key.startsWith(`${section}.`))
    .map((key) => key.slice(section.length + 1));
  return [...own, ...others];
}

export const sectionNames: readonly string[] = ['startup', 'disk', 'net', 'handlers', 'options', 'syncer', 'proxy', 'global'];

const keywords = new Set([
  ...Object.keys(blockParents),
  ...Object.values(plainWords).flat(),
  ...optionTable.map((spec) => spec.name),
  ...Object.keys(refusedOptions),
  ...[...Object.keys(renamed), ...Object.keys(negated), ...Object.keys(withoutEquivalent)].map((key) => key.split('.')[1] ?? key),
]);

export const drbdShape: Shape = {
  isKeyword: (word) => keywords.has(word),
  parentsOf: (word) => (Object.hasOwn(blockParents, word) ? (blockParents[word] ?? null) : null),
};
