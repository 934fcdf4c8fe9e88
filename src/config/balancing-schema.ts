/**
 * The schema of `balancing:` in drbdts.yaml: single values only. What spans several places, and the defaults, are in balancing-check.ts. Times
 * leave the schema in milliseconds. A value that differs between the nodes is written as a map by node name.
 */
import { z } from 'zod';
import { absolutePath, duration, integer, interfaceName, ipAddress, nodeName, word, yesNo } from './cluster-schema.js';

const port = (summary: string) => integer('port', 1, 65_535, summary);
const text = (what: string) => z.string(`expected ${what}`).min(1, `expected ${what}`);
const hex = z.string('expected hexadecimal digits').regex(/^(?:[0-9A-Fa-f]{2}){1,512}$/, 'expected pairs of hexadecimal digits, at most 512 bytes');
const statusRange = z.union([z.number().int().min(100).max(599), z.string().regex(/^[1-5]\d\d-[1-5]\d\d$/)], 'expected a status such as 200, or a range such as "200-299"');

const cadence = {
  timeout: duration('timeout', 'for one check, from connecting to the last byte; default 5s', 10, 600_000),
  'delay-loop': duration('delay-loop', 'between two checks; default 6s', 50, 3_600_000),
  retries: integer('retries', 0, 100, 'so many more failures in a row take it out; default 1'),
  'retry-delay': duration('retry-delay', 'between these; default 1s', 10, 600_000),
};

export const balancingCheckTypes = ['tcp', 'http', 'ssl', 'smtp', 'udp', 'dns', 'misc'] as const;
const check = z.strictObject({
  type: z.enum(balancingCheckTypes, `expected ${balancingCheckTypes.join(', ')}`).optional(),
  address: ipAddress.meta({ description: 'default: that of the real server' }).optional(),
  port: port('default: that of the real server'),
  ...cadence,
  path: z.string('expected a path').regex(/^\/[^\s]*$/, 'expected a path that begins with /').meta({ description: 'http, ssl: default /' }).optional(),
  host: text('a host name').regex(/^[^\s]+$/, 'expected a host name').meta({ description: 'http, ssl: header Host; default: the address' }).optional(),
  status: z.union([statusRange, z.array(statusRange).min(1)], 'expected a status such as 200, a range such as "200-299", or a list').meta({ description: 'http, ssl: default 200-299' }).optional(),
  contains: text('a text').meta({ description: 'http, ssl: the body contains it' }).optional(),
  regex: text('a regular expression').meta({ description: 'http, ssl: the body matches it' }).optional(),
  digest: z.string('expected an MD5 digest').regex(/^[0-9A-Fa-f]{32}$/, 'expected the MD5 of the body: 32 hexadecimal digits').meta({ description: 'http, ssl: MD5 of the body' }).optional(),
  verify: yesNo.meta({ description: 'ssl: the certificate has to be good; default no' }).optional(),
  'server-name': text('a host name').meta({ description: 'ssl: name in the handshake; default: host' }).optional(),
  helo: text('a host name').regex(/^[^\s]+$/, 'expected a host name').meta({ description: 'smtp: said in HELO; default: localhost' }).optional(),
  payload: hex.meta({ description: 'udp: what is sent; default: nothing but an empty packet' }).optional(),
  'require-reply': yesNo.meta({ description: 'udp: silence is a failure; default no: only a refusal is' }).optional(),
  reply: hex.meta({ description: 'udp: the answer begins with it' }).optional(),
  name: z.string('expected a domain name').regex(/^(?:\.|[A-Za-z0-9_.-]{1,253})$/, 'expected a domain name').meta({ description: 'dns: what is asked for; default the root (.)' }).optional(),
  query: z.enum(['A', 'NS', 'CNAME', 'SOA', 'MX', 'TXT', 'AAAA'], 'expected A, NS, CNAME, SOA, MX, TXT or AAAA').meta({ description: 'dns: default SOA' }).optional(),
  command: z
    .union([absolutePath, z.array(z.string()).min(1)], 'expected the path of a program, or a list of it and its arguments')
    .meta({ description: 'misc: run without a shell; exit status 0 is good' })
    .optional(),
  user: z.string('expected the name of an account').regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/, 'expected NAME or NAME:GROUP').meta({ description: 'misc: runs as this user' }).optional(),
  dynamic: yesNo.meta({ description: 'misc: exit status 2 to 255 is good, too, and sets the weight to it less 2; default no' }).optional(),
});
const checks = z.array(check, 'expected a list of checks').optional();

const weight = integer('weight', 0, 65_535, '0: no new connections; default 1');
const inhibit = yesNo.meta({ description: 'a server that is down keeps its open connections; default no' }).optional();

const realServer = z.strictObject({ address: ipAddress.optional(), port: port('default: that of the virtual server'), weight, 'inhibit-on-failure': inhibit, checks, ...cadence });

const perNode = z.union([interfaceName, z.record(nodeName, interfaceName)], 'expected the name of an interface, or one for each node');

const virtualServer = z.strictObject({
  address: ipAddress.meta({ description: 'what clients connect to' }).optional(),
  port: port('what clients connect to'),
  protocol: z.enum(['tcp', 'udp'], 'expected tcp or udp').meta({ description: 'default tcp' }).optional(),
  kind: z.enum(['nat', 'dr', 'tun'], 'expected nat, dr or tun').meta({ description: 'default nat' }).optional(),
  scheduler: z.enum(['rr', 'wrr', 'lc', 'wlc', 'sh'], 'expected rr, wrr, lc, wlc or sh').meta({ description: 'default wrr' }).optional(),
  gate: z
    .strictObject({ instance: word('the name of an instance').optional(), group: word('the name of a group').optional() }, 'expected `instance:` or `group:`')
    .meta({ description: 'the instance of vrrp that brings the address, or the group that has to be started here' })
    .optional(),
  interface: perNode.meta({ description: 'dr with nftables: where clients come in; default: that of the instance' }).optional(),
  'server-interface': perNode.meta({ description: 'dr with nftables: where the real servers are; default: interface' }).optional(),
  'persistence-timeout': duration('persistence-timeout', 'a client stays with its server for so long after its last connection; default 0, no', 0),
  quorum: integer('quorum', 1, 1_000_000, 'weight that has to be up; default 1'),
  hysteresis: integer('hysteresis', 0, 1_000_000, 'so much more to gain it, so much less to lose it; default 0'),
  'sorry-server': z.strictObject({ address: ipAddress.optional(), port: port('default: that of the virtual server') }, 'expected `address:` and `port:`').optional(),
  'inhibit-on-failure': inhibit,
  'init-fail': yesNo.meta({ description: 'servers count as down until they were seen up; default no' }).optional(),
  ...cadence,
  checks,
  'real-servers': z.record(word('a name'), realServer, 'expected real servers by name').optional(),
});

const balancing = z.strictObject({
  plane: z.enum(['nftables', 'ipvs'], 'expected nftables or ipvs').meta({ description: 'what carries the packets; default nftables' }).optional(),
  'virtual-servers': z.record(word('a name'), virtualServer, 'expected virtual servers by name').optional(),
});

export const balancingSchema = balancing.optional();
export type FileBalancing = z.infer<typeof balancing>;
export type FileVirtualServer = z.infer<typeof virtualServer>;
export type FileRealServer = z.infer<typeof realServer>;
export type FileBalancingCheck = z.infer<typeof check>;

/** Keys that may stand in each place, for "did you mean". */
export const balancingWords = {
  balancing: Object.keys(balancing.shape),
  virtualServer: Object.keys(virtualServer.shape),
  realServer: Object.keys(realServer.shape),
  check: Object.keys(check.shape),
} as const;
