/**
 * The schema of `cluster:` and `groups:` in drbdts.yaml: single values only. What spans several places, and the defaults, are in
 * cluster-check.ts. Times leave the schema in milliseconds.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { durationWords, parseDurationMs } from './units.js';

const dayMs = 86_400_000;

export function duration(name: string, summary: string, minMs: number, maxMs = dayMs) {
  return z
    .union([z.number(), z.string()], `expected ${durationWords}`)
    .transform((input, context): number => {
      const parsed = parseDurationMs(input);
      if (parsed.ok && parsed.value >= minMs && parsed.value <= maxMs) return parsed.value;
      const message = parsed.ok ? `${name} ${input} out of range [${minMs}ms..${maxMs}ms]` : `${name}: ${parsed.problem}`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .meta({ description: summary })
    .optional();
}

export const yesNo = z
  .union([z.boolean(), z.enum(['yes', 'no', 'on', 'off'])], 'expected yes or no')
  .transform((input): boolean => input === true || input === 'yes' || input === 'on');

export function integer(name: string, min: number, max: number, summary: string) {
  return z
    .number(`${name}: expected a number`)
    .int(`${name}: expected a whole number`)
    .min(min, `${name} out of range [${min}..${max}]`)
    .max(max, `${name} out of range [${min}..${max}]`)
    .meta({ description: summary })
    .optional();
}

export const word = (what: string) => z.string(`expected ${what}`).regex(/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$/, `expected ${what}`);
export const nodeName = word('the name of a node as `uname -n` prints it');
export const interfaceName = z
  .string('expected an interface name')
  .regex(/^[^\s/]{1,15}$/, 'expected the name of a network interface, at most 15 characters');
export const absolutePath = z.string('expected a path').regex(/^\//, 'expected an absolute path');
export const shellCommand = z.string('expected a command').min(1, 'expected a command');
export const ipAddress = z.string('expected an IP address').refine((input) => isIP(input) !== 0, 'expected a numeric IPv4 or IPv6 address');
const multicastGroup = ipAddress.refine(
  (input) => /^2(?:2[4-9]|3\d)\./.test(input) || /^ff/i.test(input),
  'expected a multicast address (224.0.0.0/4 or ff00::/8)',
);

const link = z.strictObject({
  interface: interfaceName.optional(),
  addresses: z
    .record(nodeName, ipAddress, 'expected the address of each node by its name')
    .meta({ description: 'own address of each node on this link' })
    .optional(),
  port: integer('port', 1, 65_535, 'UDP port; default 694'),
  multicast: multicastGroup.meta({ description: 'send to this group instead of to the peer' }).optional(),
  ttl: integer('ttl', 1, 255, 'of multicast packets; default 1'),
});

const endpoint = z.string('expected HOST:PORT').regex(/^\S+:\d{1,5}$/, 'expected IPV4:PORT or "[IPV6]:PORT"');
const witness = z.union([
  endpoint,
  z.strictObject({ address: endpoint, 'key-file': absolutePath.optional(), timeout: duration('timeout', 'for one answer; default 1s', 50, 60_000) }),
]);
const etcd = z.strictObject({
  endpoints: z
    .array(z.string().regex(/^https?:\/\//, 'expected http://HOST:PORT or https://HOST:PORT'), 'expected a list of addresses')
    .min(1, 'expected at least one address'),
  prefix: z.string().regex(/^\//, 'expected a key that begins with /').optional(),
  user: z.string().optional(),
  'password-file': absolutePath.optional(),
  'ca-file': absolutePath.optional(),
  timeout: duration('timeout', 'for one answer; default 1s', 50, 60_000),
});
const parameters = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean()]), 'expected parameters by name')
  .transform((input) => Object.fromEntries(Object.entries(input).map(([key, value]) => [key, String(value)])));
const stonith = z.strictObject({
  agent: word('the name of a fence agent such as fence_ipmilan'),
  targets: z.record(nodeName, parameters, "expected the agent's parameters by node"),
  timeout: duration('timeout', 'for one run; default 60s', 1000, 600_000),
  'test-every': duration('test-every', 'how often the agent is tried out; default 1h, 0 never', 0),
});

/** `none`, or one of witness, etcd, stonith; which, is checked in cluster-check.ts. */
const arbiter = z.union(
  [
    z.literal('none'),
    z.strictObject({ witness: witness.optional(), etcd: etcd.optional(), stonith: stonith.optional() }),
  ],
  'expected `none`, or one of `witness:`, `etcd:`, `stonith:`',
);

const cluster = z.strictObject({
  name: z
    .string('expected a name')
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, 'expected a name of letters, digits, dot, dash and underscore')
    .meta({ description: 'the same on both nodes, different from other clusters on the same network' }).optional(),
  'key-file': absolutePath.meta({ description: 'key of heartbeats and witness, mode 0600; default /etc/drbdts/cluster.key' }).optional(),
  nodes: z.array(nodeName, 'expected the names of the two nodes').length(2, 'expected exactly two nodes').optional(),
  links: z.record(word('a name'), link, 'expected links by name').optional(),
  keepalive: duration('keepalive', 'time between heartbeats; default 100ms', 10, 60_000),
  warntime: duration('warntime', 'silence that is worth a warning; default half of deadtime', 20, 600_000),
  deadtime: duration('deadtime', 'silence on all links after which a node counts as dead; default 600ms', 50, 3_600_000),
  initdead: duration('initdead', 'the same for a node never heard of since the start; default 20s', 50, 3_600_000),
  ping: z.array(ipAddress, 'expected a list of addresses').meta({ description: 'outer addresses that tell whether the service network works' }).optional(),
  deadping: duration('deadping', 'silence after which a ping target counts as lost; default 2s', 100, 600_000),
  arbiter: arbiter.meta({ description: 'who decides when the nodes lose sight of each other; `none` has to be written out' }).optional(),
  'self-fence': z
    .strictObject({
      command: shellCommand.optional(),
      watchdog: absolutePath.optional(),
      reboot: yesNo.meta({ description: 'default yes' }).optional(),
    })
    .optional(),
});

const timeouts = z.strictObject({
  start: duration('start', 'default by kind', 100),
  stop: duration('stop', 'default by kind', 100),
  monitor: duration('monitor', 'for one look; default by kind', 100),
  every: duration('every', 'between two looks; 0 never; default by kind', 0),
});

/** One member. Exactly one of the keys in memberKinds names what it is; cluster-check.ts sees to that. */
const member = z.strictObject({
  volume: z.string('expected the name of a resource').optional(),
  filesystem: absolutePath.meta({ description: 'the mount point' }).optional(),
  vip: z.string('expected ADDRESS/PREFIX').optional(),
  systemd: z.string('expected the name of a unit').regex(/^[^\s/]+$/, 'expected the name of a unit').optional(),
  lsb: z.string('expected the name of an init script').regex(/^\S+$/, 'expected the name of an init script').optional(),
  ocf: z
    .string('expected PROVIDER:AGENT')
    .regex(/^(?:ocf:)?[A-Za-z0-9._-]+:[A-Za-z0-9._-]+$/, 'expected PROVIDER:AGENT, such as heartbeat:nginx')
    .optional(),
  command: z
    .strictObject({ start: shellCommand.optional(), stop: shellCommand.optional(), monitor: shellCommand.optional() })
    .optional(),
  name: word('a name').optional(),
  timeouts: timeouts.optional(),
  device: absolutePath.optional(),
  type: word('a file system type').optional(),
  options: z.string('expected mount options').optional(),
  fsck: z.enum(['auto', 'force', 'no'], 'expected auto, force or no').optional(),
  grace: duration('grace', 'how long openers have to end by themselves on stop; default 3s', 0, 600_000),
  interface: interfaceName.optional(),
  label: z.string('expected a label').regex(/^\S{1,15}$/, 'a label has at most 15 characters').optional(),
  announce: z
    .strictObject({
      count: integer('count', 0, 100, 'gratuitous ARP or unsolicited NA at once; default 5'),
      gap: duration('gap', 'between them; default 200ms', 0, 60_000),
      refresh: duration('refresh', 'again and again at this interval, for those who did not hear it; default 5s, 0 never', 0),
    })
    .optional(),
  arguments: z.array(z.string(), 'expected a list of arguments').optional(),
  parameters: parameters.optional(),
});
export const memberKinds = ['volume', 'filesystem', 'vip', 'systemd', 'lsb', 'ocf', 'command'] as const;

const group = z.strictObject({
  preferred: nodeName.meta({ description: 'where it runs when there is a choice' }).optional(),
  'auto-failback': yesNo.meta({ description: 'go back to the preferred node when it is complete again; default no' }).optional(),
  'migration-threshold': integer('migration-threshold', 1, 1000, 'failures on one node until the group moves; default 3'),
  'failure-timeout': duration('failure-timeout', 'failures are forgotten after that long; default 10min, 0 never', 0),
  after: z.array(z.string(), 'expected a list of groups').optional(),
  apart: z.array(z.string(), 'expected a list of groups').optional(),
  members: z.array(member, 'expected a list of members in the order of their start').min(1, 'expected at least one member').optional(),
});

export const clusterSchema = cluster.optional();
export const groupsSchema = z.record(word('a name'), group, 'expected groups by name').optional();
export type FileCluster = z.infer<typeof cluster>;
export type FileGroup = z.infer<typeof group>;
export type FileMember = z.infer<typeof member>;

/** Keys that may stand in each place, for "did you mean". */
export const clusterWords = {
  cluster: Object.keys(cluster.shape),
  link: Object.keys(link.shape),
  group: Object.keys(group.shape),
  member: Object.keys(member.shape),
  arbiter: ['witness', 'etcd', 'stonith'],
  selfFence: ['command', 'watchdog', 'reboot'],
} as const;
