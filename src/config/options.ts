/**
 * Every option of the sections startup, disk, net and handlers under its DRBD name, with DRBD's unit, range and default (those that
 * `drbdsetup xml-help` of 8.4 prints). Pure data; schema, defaults, documentation and the diff are derived from it.
 */
import { handlerNames } from '../shared/terms.js';
import type { NumberUnit } from './units.js';

export type Section = 'startup' | 'disk' | 'net' | 'handlers';
export const sections: readonly Section[] = ['startup', 'disk', 'net', 'handlers'];

export type OptionValue = number | boolean | string;

/** How a running resource takes a new value: at once, with the next connection, with the next attach, or it is only read when needed. */
export type Applies = 'online' | 'reconnect' | 'reattach' | 'resize' | 'when-read';

interface OptionBase {
  readonly section: Section;
  readonly name: string;
  readonly summary: string;
  readonly applies: Applies;
}
export interface NumberOption extends OptionBase {
  readonly kind: 'number';
  readonly unit: NumberUnit;
  readonly min: number;
  readonly max: number;
  readonly default: number;
}
export interface EnumOption extends OptionBase {
  readonly kind: 'enum';
  readonly values: readonly string[];
  readonly default: string;
}
export interface BooleanOption extends OptionBase {
  readonly kind: 'boolean';
  readonly default: boolean;
}
export interface StringOption extends OptionBase {
  readonly kind: 'string';
  readonly maxBytes: number;
  readonly default: string;
  readonly secret?: boolean;
}
export type OptionSpec = NumberOption | EnumOption | BooleanOption | StringOption;

function num(
  section: Section,
  name: string,
  unit: NumberUnit,
  min: number,
  max: number,
  def: number,
  applies: Applies,
  summary: string,
): NumberOption {
  return { kind: 'number', section, name, unit, min, max, default: def, applies, summary };
}
function choice(section: Section, name: string, values: readonly string[], def: string, applies: Applies, summary: string): EnumOption {
  return { kind: 'enum', section, name, values, default: def, applies, summary };
}
function bool(section: Section, name: string, def: boolean, applies: Applies, summary: string): BooleanOption {
  return { kind: 'boolean', section, name, default: def, applies, summary };
}
function text(section: Section, name: string, maxBytes: number, applies: Applies, summary: string, secret = false): StringOption {
  return { kind: 'string', section, name, maxBytes, default: '', applies, summary, secret };
}

const digests = ['', 'crc32c', 'md5', 'sha1', 'sha256'] as const;
const rateMax = 4 * 1024 * 1024;
const dayS = 86_400;

export const optionTable: readonly OptionSpec[] = [
  num('startup', 'wfc-timeout', 's', 0, dayS, 0, 'when-read', 'how long wait-connect waits for the peer; 0 is for ever'),
  num(
    'startup',
    'degr-wfc-timeout',
    's',
    0,
    dayS,
    0,
    'when-read',
    'the same when this node was a Primary without peer before it went down',
  ),
  num('startup', 'outdated-wfc-timeout', 's', 0, dayS, 0, 'when-read', 'the same when the peer was outdated'),
  text('startup', 'become-primary-on', 255, 'when-read', 'name of the node that promotes itself after `up` has waited for the peer'),

  num('disk', 'size', 'sectors', 0, 2_199_023_255_552, 0, 'resize', 'size of the device; 0 uses the whole disk'),
  choice('disk', 'on-io-error', ['detach', 'pass_on', 'call-local-io-error'], 'detach', 'online', 'what an I/O error of the disk does'),
  choice(
    'disk',
    'fencing',
    ['dont-care', 'resource-only', 'resource-and-stonith'],
    'dont-care',
    'online',
    'what a Primary does that loses its peer',
  ),
  num(
    'disk',
    'resync-rate',
    'KiB/s',
    1,
    rateMax,
    250,
    'online',
    'fixed resync rate, used when c-plan-ahead is 0, and first guess otherwise',
  ),
  num('disk', 'c-plan-ahead', 'ds', 0, 300, 20, 'online', 'horizon of the resync rate controller; 0 turns it off'),
  num('disk', 'c-fill-target', 'sectors', 0, 1_048_576, 100, 'online', 'resync data the controller keeps in flight'),
  num('disk', 'c-max-rate', 'KiB/s', 250, rateMax, 102_400, 'online', 'upper limit of the controller'),
  num('disk', 'c-min-rate', 'KiB/s', 0, rateMax, 250, 'online', 'resync steps back to this rate while the application is busy; 0 never'),
  num('disk', 'al-extents', 'count', 67, 65_534, 1237, 'reattach', 'hot 4 MiB extents of the activity log'),
  bool('disk', 'al-updates', true, 'reattach', 'write the activity log; without it a crashed Primary resyncs everything'),
  bool('disk', 'md-flushes', true, 'online', 'flush after meta-data writes'),
  bool('disk', 'disk-flushes', true, 'online', 'flush the disk where write order demands it'),

  choice('net', 'protocol', ['A', 'B', 'C'], 'C', 'online', "when a write is complete: A sent, B received, C on the peer's disk"),
  num('net', 'timeout', 'ds', 1, 600, 60, 'online', 'peer silent for so long is considered dead (send timeout)'),
  num('net', 'connect-int', 's', 1, 120, 10, 'online', 'time between attempts to connect'),
  num('net', 'ping-int', 's', 1, 120, 10, 'online', 'idle time before a keep-alive'),
  num('net', 'ping-timeout', 'ds', 1, 300, 5, 'online', 'wait for the answer to a keep-alive'),
  num('net', 'ko-count', 'count', 0, 200, 7, 'online', 'a request unanswered for ko-count times timeout drops the connection; 0 never'),
  num('net', 'max-buffers', 'count', 32, 131_072, 2048, 'online', 'pages for data being received'),
  num('net', 'max-epoch-size', 'count', 1, 20_000, 2048, 'online', 'writes between two barriers'),
  num('net', 'sndbuf-size', 'bytes', 0, 10_485_760, 0, 'reconnect', 'socket send buffer; 0 lets the kernel choose'),
  num('net', 'rcvbuf-size', 'bytes', 0, 10_485_760, 0, 'reconnect', 'socket receive buffer; 0 lets the kernel choose'),
  choice('net', 'cram-hmac-alg', ['', 'md5', 'sha1', 'sha256'], '', 'reconnect', 'authentication of the peer; empty is none'),
  text('net', 'shared-secret', 63, 'reconnect', 'the common secret of cram-hmac-alg', true),
  choice('net', 'data-integrity-alg', digests, '', 'reconnect', 'digest over every block on the wire; empty is none'),
  choice('net', 'verify-alg', digests, '', 'reconnect', 'digest of online verify; empty refuses verify'),
  choice('net', 'csums-alg', digests, '', 'reconnect', 'resync sends blocks only where this digest differs; empty is off'),
  bool('net', 'use-rle', true, 'online', 'compress the bitmap on the wire'),
  choice(
    'net',
    'after-sb-0pri',
    [
      'disconnect',
      'discard-younger-primary',
      'discard-older-primary',
      'discard-zero-changes',
      'discard-least-changes',
      'discard-local',
      'discard-remote',
    ],
    'disconnect',
    'online',
    'split brain found while no node is Primary',
  ),
  choice(
    'net',
    'after-sb-1pri',
    ['disconnect', 'consensus', 'discard-secondary', 'call-pri-lost-after-sb', 'violently-as0p'],
    'disconnect',
    'online',
    'split brain found while one node is Primary',
  ),
  choice(
    'net',
    'after-sb-2pri',
    ['disconnect', 'call-pri-lost-after-sb', 'violently-as0p'],
    'disconnect',
    'online',
    'split brain found while both nodes are Primary',
  ),
  choice(
    'net',
    'rr-conflict',
    ['disconnect', 'call-pri-lost', 'violently'],
    'disconnect',
    'online',
    'resync direction and roles contradict each other',
  ),
  bool('net', 'tcp-cork', true, 'online', 'let the kernel gather small packets'),

  ...handlerNames.map((name) => text('handlers', name, 4095, 'when-read', `command run at the event ${name}`)),
];

/** Options drbd.conf has and drbdts has not: refused by name with the reason, so that nothing is ignored silently. */
export const refusedOptions: Readonly<Record<string, { reason: string; hint: string }>> = {
  'allow-two-primaries': {
    reason: 'two writers of one volume are what drbdts exists to prevent',
    hint: 'Remove it; use one Primary at a time.',
  },
  'always-asbp': { reason: 'it concerns two primaries only', hint: 'Remove it.' },
  'disk-barrier': {
    reason: 'Linux has no block barriers since 2.6.36; flushes are used',
    hint: 'Remove it; `disk-flushes` is the option.',
  },
  'disk-drain': { reason: 'write order is kept by draining where flushes are off, always', hint: 'Remove it.' },
  'no-disk-barrier': { reason: 'it is the 8.3 spelling', hint: 'Remove it.' },
  'no-disk-flushes': { reason: 'it is the 8.3 spelling', hint: 'Write `disk-flushes: false`.' },
  'no-md-flushes': { reason: 'it is the 8.3 spelling', hint: 'Write `md-flushes: false`.' },
  'no-tcp-cork': { reason: 'it is the 8.3 spelling', hint: 'Write `tcp-cork: false`.' },
  'resync-after': { reason: 'resyncs run side by side', hint: 'Remove it; limit rates with `c-max-rate`.' },
  'c-delay-target': { reason: 'the controller steers by the amount in flight', hint: 'Remove it; use `c-fill-target`.' },
  'disk-timeout': { reason: 'a disk that hangs is not given up, because its writes may still happen', hint: 'Remove it.' },
  'read-balancing': { reason: 'reads go to the local disk', hint: 'Remove it.' },
  'rs-discard-granularity': { reason: 'resync copies zeroes as data', hint: 'Remove it.' },
  'discard-zeroes-if-aligned': { reason: 'not available', hint: 'Remove it.' },
  'disable-write-same': { reason: 'WRITE SAME is not offered to the file system', hint: 'Remove it.' },
  'on-congestion': { reason: 'Ahead/Behind is left out', hint: 'Remove it.' },
  'congestion-fill': { reason: 'Ahead/Behind is left out', hint: 'Remove it.' },
  'congestion-extents': { reason: 'Ahead/Behind is left out', hint: 'Remove it.' },
  'csums-after-crash-only': { reason: 'csums-alg works in every resync', hint: 'Remove it.' },
  'unplug-watermark': { reason: 'there is no queue to unplug', hint: 'Remove it.' },
  'socket-check-timeout': { reason: 'not available', hint: 'Remove it; `ping-timeout` is the option.' },
  'on-no-data-accessible': { reason: 'not available', hint: 'Remove it.' },
  'cpu-mask': { reason: "place the daemon with systemd's CPUAffinity", hint: 'Remove it.' },
  syncer: {
    reason: 'the section was split up in 8.4',
    hint: 'Write `disk: { resync-rate: ... }` for `rate`, `al-extents` to `disk`, `verify-alg` and `csums-alg` to `net`.',
  },
  rate: { reason: 'it is the 8.3 spelling', hint: 'Write `resync-rate` in the `disk` section.' },
  'wait-after-sb': { reason: 'wait-connect ends when the resource is StandAlone', hint: 'Remove it.' },
  'usage-count': { reason: 'drbdts counts nobody', hint: 'Remove it.' },
  floating: { reason: 'hosts are found by name', hint: 'Write an `on` section for each of the two hosts.' },
  'stacked-on-top-of': { reason: 'two nodes only', hint: 'Remove it.' },
};

const bySectionAndName = new Map(optionTable.map((spec) => [`${spec.section}.${spec.name}`, spec]));

export function optionSpec(section: Section, name: string): OptionSpec | undefined {
  return bySectionAndName.get(`${section}.${name}`);
}

export function optionsOf(section: Section): readonly OptionSpec[] {
  return optionTable.filter((spec) => spec.section === section);
}

/** Values of a whole section under their DRBD names. */
export type OptionValues = Record<string, OptionValue>;

export function defaultsOf(section: Section): OptionValues {
  return Object.fromEntries(optionsOf(section).map((spec) => [spec.name, spec.default]));
}
