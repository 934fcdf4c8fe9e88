/**
 * The schema of `vrrp:` in drbdts.yaml: single values only. What spans several places, and the defaults, are in vrrp-check.ts. Times leave the
 * schema in milliseconds. A value that differs between the nodes is written as a map by node name.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { absolutePath, duration, integer, interfaceName, ipAddress, nodeName, shellCommand, word, yesNo } from './cluster-schema.js';

function perNode<T extends z.ZodType>(value: T, message: string, summary: string) {
  return z.union([value, z.record(nodeName, value)], message).meta({ description: summary }).optional();
}

const account = z.string('expected the name of an account').regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/, 'expected NAME or NAME:GROUP');
const weight = integer('weight', -253, 253, 'negative: taken off while down; positive: added while up; 0: a fault while down');
const reverse = yesNo.meta({ description: 'up and down change their parts; default no' }).optional();

const track = z.strictObject({
  script: word('the name of a script of this section').optional(),
  interface: interfaceName.optional(),
  process: z.string('expected the name of a process').min(1, 'expected the name of a process').optional(),
  file: absolutePath.optional(),
  weight: weight,
  reverse,
  quorum: integer('quorum', 1, 65_535, 'so many processes are enough; default 1'),
  'full-command': yesNo.meta({ description: 'compare with the whole command line; default no' }).optional(),
});
export const trackKinds = ['script', 'interface', 'process', 'file'] as const;
const tracks = z.array(track, 'expected a list of what is tracked').optional();

const notify = z
  .strictObject({
    master: shellCommand.optional(),
    backup: shellCommand.optional(),
    fault: shellCommand.optional(),
    stop: shellCommand.optional(),
    any: shellCommand.meta({ description: 'at every change, with the arguments INSTANCE or GROUP, name, state, priority' }).optional(),
    'master-rx-lower-pri': shellCommand.optional(),
    fifo: absolutePath.meta({ description: 'a line for each change is written there' }).optional(),
    'fifo-priorities': yesNo.meta({ description: 'and for each change of the effective priority; default no' }).optional(),
    user: account.optional(),
  })
  .optional();

const script = z.strictObject({
  command: shellCommand.meta({ description: 'for the shell; exit status 0 is good' }).optional(),
  interval: duration('interval', 'between two starts; default 1s', 10),
  timeout: duration('timeout', 'for one run; default: the interval', 10),
  weight,
  reverse,
  rise: integer('rise', 1, 1000, 'successes in a row that turn it up; default 1'),
  fall: integer('fall', 1, 1000, 'failures in a row that turn it down; default 1'),
  'init-fail': yesNo.meta({ description: 'counts as failed before the first result; default no' }).optional(),
  user: account.meta({ description: 'runs as this user; default: that of drbdts-clusterd' }).optional(),
});

const prefixed = z.string('expected ADDRESS/PREFIX').regex(/^[0-9A-Fa-f.:]+\/\d{1,3}$/, 'expected ADDRESS/PREFIX, such as 192.168.42.14/24');
const address = z.union(
  [
    prefixed,
    z.strictObject({
      address: prefixed,
      interface: perNode(interfaceName, 'expected the name of an interface, or one for each node', 'default: that of the instance'),
      label: z.string('expected a label').regex(/^\S{1,15}$/, 'a label has at most 15 characters').optional(),
      advertised: yesNo.meta({ description: 'no: held with the others, not named in adverts; default yes' }).optional(),
    }),
  ],
  'expected ADDRESS/PREFIX, or `address:` with interface, label, advertised',
);

const announce = z
  .strictObject({
    count: integer('count', 1, 1000, 'frames for each address after a takeover; default 5'),
    gap: duration('gap', 'between two of them; default 0', 0, 60_000),
    repeat: duration('repeat', 'a second burst so long after the first; default 5s, 0 never', 0),
    'lower-count': integer('lower-count', 0, 1000, 'after a master with a lower priority was heard; default: count'),
    'lower-repeat': duration('lower-repeat', 'and once more; default: repeat', 0),
    refresh: duration('refresh', 'again and again, for those who did not hear it; default 60s, 0 never', 0),
    'refresh-count': integer('refresh-count', 1, 1000, 'frames each time; default 1'),
  })
  .optional();

const unicast = z
  .strictObject({
    addresses: z.record(nodeName, ipAddress, 'expected the address of each node by its name').meta({ description: 'of each node: the own one is the source, the others are the peers' }).optional(),
    peers: z.array(ipAddress, 'expected a list of addresses').meta({ description: 'peers that are no nodes of this file' }).optional(),
    ttl: integer('ttl', 1, 255, 'of what is sent; default 255'),
    'min-ttl': integer('min-ttl', 1, 255, 'of what is taken; default: not looked at'),
    'check-source': yesNo.meta({ description: 'take adverts of peers only; default yes' }).optional(),
  })
  .optional();

const multicastGroup = ipAddress.refine((input) => (isIP(input) === 4 ? /^2(?:2[4-9]|3\d)\./.test(input) : /^ff[0-9a-f]2:/i.test(input)), 'expected an IPv4 multicast address, or an IPv6 one of link-local scope (ffX2::)');

const instance = z.strictObject({
  interface: perNode(interfaceName, 'expected the name of an interface, or one for each node', 'where adverts are sent'),
  'router-id': integer('router-id', 1, 255, 'virtual router id, the same on both nodes'),
  priority: perNode(
    z.number().int().min(1).max(255),
    'priority: expected a whole number from 1 to 255, or one for each node by its name',
    '1..255, the highest is the master; 255 owns the addresses; default 100',
  ),
  version: z.union([z.literal(2), z.literal(3)], 'version: expected 2 or 3').meta({ description: 'default 3' }).optional(),
  'advert-interval': duration('advert-interval', 'default 1s; version 2: whole seconds, version 3: steps of 10ms', 10, 255_000),
  addresses: z.array(address, 'expected a list of addresses').min(1, 'expected at least one address').optional(),
  password: z.string('password: expected a text').min(1, 'password: expected a text').meta({ description: 'version 2 only, at most 8 bytes; travels in clear text' }).optional(),
  'multicast-group': multicastGroup.meta({ description: 'default 224.0.0.18 or ff02::12' }).optional(),
  source: perNode(ipAddress, 'expected an address, or one for each node', 'adverts come from here; default: the first address of the interface'),
  unicast,
  checksum: z.enum(['pseudo-header', 'rfc9568'], 'expected pseudo-header or rfc9568').meta({ description: 'version 3 over IPv4: what the sum of sent adverts covers; default pseudo-header, as keepalived does' }).optional(),
  'accept-checksum': z.enum(['either', 'pseudo-header', 'rfc9568'], 'expected either, pseudo-header or rfc9568').meta({ description: 'default either' }).optional(),
  'address-mismatch': z.enum(['refuse', 'log'], 'expected refuse or log').meta({ description: 'an advert that names other addresses; default refuse' }).optional(),
  preempt: yesNo.meta({ description: 'take over from a master with a lower priority; default yes' }).optional(),
  'preempt-delay': duration('preempt-delay', 'but only so long after it was first heard; default 0', 0, 1_000_000),
  'start-delay': duration('start-delay', 'take no part for so long after the start; default 0', 0, 3_600_000),
  'down-adverts': integer('down-adverts', 1, 100, 'so many missing adverts make a master dead; default 3'),
  'answer-lower': yesNo.meta({ description: 'a master answers an advert of lower priority at once; default yes' }).optional(),
  'answer-higher': yesNo.meta({ description: 'a master that steps back sends one more advert; default no' }).optional(),
  'owner-ignores-adverts': yesNo.meta({ description: 'priority 255: default no' }).optional(),
  'track-primary': yesNo.meta({ description: 'no carrier on the own interface is a fault; default yes' }).optional(),
  announce,
  track: tracks,
  notify,
  gate: z
    .union([word('the name of a group'), z.strictObject({ group: word('the name of a group'), weight: integer('weight', -253, 0, '0: a fault where the group can not be served') })], 'expected the name of a group, or `group:` and `weight:`')
    .meta({ description: 'the addresses are held only where this group is served' })
    .optional(),
});

const syncGroup = z.strictObject({
  instances: z.array(z.string(), 'expected a list of instances').min(2, 'expected at least two instances').optional(),
  track: tracks,
  notify,
  'tracking-weight': yesNo.meta({ description: 'weights of the members count; default no: they would part the members' }).optional(),
});

const vrrp = z.strictObject({
  instances: z.record(word('a name'), instance, 'expected instances by name').optional(),
  'sync-groups': z.record(word('a name'), syncGroup, 'expected groups of instances by name').optional(),
  scripts: z.record(word('a name'), script, 'expected scripts by name').optional(),
});

export const vrrpSchema = vrrp.optional();
export type FileVrrp = z.infer<typeof vrrp>;
export type FileVrrpInstance = z.infer<typeof instance>;
export type FileVrrpTrack = z.infer<typeof track>;
export type FileVrrpNotify = z.infer<typeof notify>;

/** Keys that may stand in each place, for "did you mean". */
export const vrrpWords = {
  vrrp: Object.keys(vrrp.shape),
  instance: Object.keys(instance.shape),
  syncGroup: Object.keys(syncGroup.shape),
  script: Object.keys(script.shape),
  track: Object.keys(track.shape),
  notify: Object.keys(notify.unwrap().shape),
  announce: Object.keys(announce.unwrap().shape),
  unicast: Object.keys(unicast.unwrap().shape),
} as const;
