/**
 * The schema of drbdts.yaml. Types, checks and resources/drbdts.schema.json come from here; the options come from options.ts. A value
 * leaves the schema in DRBD's own unit. What spans several places (both hosts, duplicates, inheritance) is in check.ts.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { logLevels } from '../shared/log.js';
import { clusterSchema, groupsSchema } from './cluster-schema.js';
import { type OptionSpec, type OptionValue, optionsOf, type Section } from './options.js';
import type { Address } from './types.js';
import { formatNumber, parseNumber, unitWords } from './units.js';
import { balancingSchema } from './balancing-schema.js';
import { vrrpSchema } from './vrrp-schema.js';

const truthWords: Record<string, boolean> = { yes: true, no: false, true: true, false: false, on: true, off: false };

function optionSchema(spec: OptionSpec): z.ZodType<OptionValue> {
  switch (spec.kind) {
    case 'number': {
      const description = `${spec.summary}; ${unitWords[spec.unit]}; ${spec.min}..${spec.max}, default ${formatNumber(spec.default, spec.unit)}`;
      return z
        .union([z.number(), z.string()], `expected ${unitWords[spec.unit]}`)
        .transform((input, context): OptionValue => {
          const parsed = parseNumber(input, spec.unit);
          if (!parsed.ok) {
            context.addIssue({ code: 'custom', message: `${spec.name}: ${parsed.problem}; expected ${unitWords[spec.unit]}` });
            return z.NEVER;
          }
          if (parsed.value < spec.min || parsed.value > spec.max) {
            context.addIssue({
              code: 'custom',
              message: `${spec.name} ${input} => ${parsed.value} out of range [${spec.min}..${spec.max}]`,
            });
            return z.NEVER;
          }
          return parsed.value;
        })
        .meta({ description });
    }
    case 'enum':
      return z
        .enum(
          spec.values as [string, ...string[]],
          `${spec.name}: expected one of ${spec.values.map((value) => (value === '' ? '""' : value)).join(', ')}`,
        )
        .meta({ description: `${spec.summary}; default ${spec.default === '' ? 'none' : spec.default}` });
    case 'boolean':
      return z
        .union([z.boolean(), z.enum(['yes', 'no'])], `${spec.name}: expected yes or no`)
        .transform((input): OptionValue => (typeof input === 'boolean' ? input : truthWords[input] === true))
        .meta({ description: `${spec.summary}; default ${spec.default ? 'yes' : 'no'}` });
    case 'string':
      return z
        .string(`${spec.name}: expected a text`)
        .refine((input) => Buffer.byteLength(input) <= spec.maxBytes, `${spec.name}: longer than ${spec.maxBytes} bytes`)
        .meta({ description: spec.summary });
  }
}

function sectionSchema(section: Section) {
  return z.strictObject(Object.fromEntries(optionsOf(section).map((spec) => [spec.name, optionSchema(spec).optional()])));
}

/** The one spelling of an IPv6 address, so that equal addresses are equal texts. */
function canonicalIpv6(host: string): string {
  return new URL(`http://[${host}]`).hostname.slice(1, -1);
}

/** `192.168.42.12:7788`, `[fd00::1]:7788`; `ipv4 ` or `ipv6 ` in front as in drbd.conf. */
export function parseAddress(input: string): Address | null {
  const match = /^(?:ipv([46])\s+)?(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(input.trim());
  if (match === null) return null;
  const [, word, bracketed, plain, portText] = match;
  const host = bracketed ?? plain ?? '';
  const port = Number(portText);
  const family = isIP(host);
  if ((family !== 4 && family !== 6) || (family === 6) !== (bracketed !== undefined) || port < 1 || port > 65_535) return null;
  if (word !== undefined && Number(word) !== family) return null;
  return { family, host: family === 6 ? canonicalIpv6(host) : host, port };
}

export interface DeviceName {
  device: string;
  minor: number;
}

const minorMax = 0xf_ffff;

/** `/dev/drbd0`, `/dev/drbd_data minor 3`, `minor 3`. */
export function parseDevice(input: string): DeviceName | null {
  const match = /^(\/dev\/\S+)?(?:(?:^|\s+)minor\s+(\d+))?$/.exec(input.trim());
  if (match === null) return null;
  const given = match[1];
  const byName = given === undefined ? null : /^\/dev\/drbd(\d+)$/.exec(given);
  const minorText = match[2] ?? byName?.[1];
  if (minorText === undefined) return null;
  const minor = Number(minorText);
  if (minor > minorMax || (byName !== null && Number(byName[1]) !== minor)) return null;
  return { device: given ?? `/dev/drbd${minor}`, minor };
}

export interface MetaDisk {
  metaDisk: string;
  metaIndex: 'internal' | 'flexible' | number;
}

/** `internal`, `/dev/vdc` (flexible external), `/dev/vdc[0]` (indexed external). */
export function parseMetaDisk(input: string): MetaDisk | null {
  const value = input.trim();
  if (value === 'internal' || value === 'flex-internal') return { metaDisk: 'internal', metaIndex: 'internal' };
  const match = /^(\/[^[\]]+?)\s*(?:\[(\d{1,5})\])?$/.exec(value);
  if (match === null) return null;
  return { metaDisk: match[1] ?? '', metaIndex: match[2] === undefined ? 'flexible' : Number(match[2]) };
}

function parsed<T>(parse: (input: string) => T | null, message: string, description: string) {
  return z
    .string(message)
    .transform((input, context): T => {
      const value = parse(input);
      if (value !== null) return value;
      context.addIssue({ code: 'custom', message: `'${input}': ${message}` });
      return z.NEVER;
    })
    .meta({ description });
}

const device = parsed(
  parseDevice,
  'expected /dev/drbdN, or a name under /dev followed by `minor N`',
  'the device that appears while Primary',
).optional();
const metaDisk = parsed(
  parseMetaDisk,
  'expected internal, /dev/NAME (flexible external) or /dev/NAME[INDEX] (indexed)',
  'where the meta-data are',
).optional();
const diskPath = z
  .string('expected the path of a block device or file')
  .regex(/^\//, 'expected an absolute path')
  .meta({ description: 'backing disk: block device, partition or file' })
  .optional();
const address = parsed(
  parseAddress,
  'expected IPV4:PORT or "[IPV6]:PORT" (numeric, the latter in quotes)',
  'own address and port',
).optional();
const protocol = z
  .enum(['A', 'B', 'C'], 'unknown protocol, should be one of A,B,C')
  .meta({ description: 'replication protocol' })
  .optional();

const hostVolume = z.strictObject({ device, disk: diskPath, 'meta-disk': metaDisk });
const volumeNumber = z.string().regex(/^(?:0|[1-9]\d{0,4})$/, 'a volume is named by its number, without zeros in front');

const host = z.strictObject({
  address,
  device,
  disk: diskPath,
  'meta-disk': metaDisk,
  volumes: z.record(volumeNumber, hostVolume, 'expected volumes by number').optional(),
});

const diskSection = sectionSchema('disk');
const volume = z.strictObject({ device, 'disk-path': diskPath, 'meta-disk': metaDisk, disk: diskSection.optional() });

const inherited = {
  protocol,
  startup: sectionSchema('startup').optional(),
  disk: diskSection.optional(),
  net: sectionSchema('net').optional(),
  handlers: sectionSchema('handlers').optional(),
};

const resource = z.strictObject({
  ...inherited,
  device,
  'disk-path': diskPath,
  'meta-disk': metaDisk,
  volumes: z.record(volumeNumber, volume, 'expected volumes by number').optional(),
  on: z.record(z.string(), host, 'expected the two hosts by name').optional(),
});

const handlerTimeout = z
  .union([z.number(), z.string()], `expected ${unitWords.s}`)
  .transform((input, context): number => {
    const value = parseNumber(input, 's');
    if (value.ok && value.value >= 0 && value.value <= 3600) return value.value;
    context.addIssue({
      code: 'custom',
      message: value.ok ? `handler-timeout ${input} out of range [0..3600]` : `handler-timeout: ${value.problem}`,
    });
    return z.NEVER;
  })
  .meta({ description: 'a handler that runs longer is ended and counts as failed; seconds, 0 never, default 120' });

const global = z.strictObject({
  'log-level': z
    .enum(logLevels, `expected one of ${logLevels.join(', ')}`)
    .meta({ description: 'default info' })
    .optional(),
  'handler-timeout': handlerTimeout.optional(),
});

/** `all` means every resource on the command line. */
const resourceName = z
  .string()
  .regex(/^(?!all$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, 'expected letters, digits, `_`, `.` and `-`, at most 64, and not `all`');

export const fileSchema = z.strictObject({
  global: global.optional(),
  common: z.strictObject(inherited).optional(),
  resources: z.record(resourceName, resource, 'expected resources by name').optional(),
  cluster: clusterSchema,
  groups: groupsSchema,
  vrrp: vrrpSchema,
  balancing: balancingSchema,
});
export type FileConfig = z.infer<typeof fileSchema>;
export type FileResource = z.infer<typeof resource>;
export type FileHost = z.infer<typeof host>;

/** JSON schema of what may be written (input side), for editors. */
export function jsonSchema(): object {
  return { ...z.toJSONSchema(fileSchema, { io: 'input' }), title: 'drbdts.yaml' };
}
