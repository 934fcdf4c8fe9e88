/** The plan of `adjust`, carried out on a model of a running resource that knows only what each kind of step can change. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type AdjustStep, adjustPlan, changedResources } from '../../src/config/diff.js';
import { type OptionValues, optionsOf, type Section } from '../../src/config/options.js';
import type { ResourceConfig } from '../../src/config/types.js';
import { goodResource, hostOf, sectionOf, valueFor } from './configurations.js';
import { replay } from './replay.js';

const parameters = replay('adjust', 500);
const contradict = ['cram-hmac-alg', 'shared-secret', 'protocol', 'fencing', 'become-primary-on', 'size'];

interface Change {
  net: OptionValues;
  disks: [OptionValues, OptionValues];
  startup: OptionValues;
  handlers: OptionValues;
  sizes: [number, number];
  protocol: string;
  secret: string;
  /** what only a restart can change. */
  port: number;
  minor: number;
  peerDisk: string;
}

/** Mostly nothing, so that plans of one step come up as often as big ones. */
const rarely = <T>(often: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> => fc.oneof({ weight: 2, arbitrary: fc.constant(often) }, { weight: 1, arbitrary: other });
const none: OptionValues = {};
/** A single option: nothing else that changes hides what it does. */
const single = (section: Section): fc.Arbitrary<OptionValues> =>
  fc
    .constantFrom(...optionsOf(section).filter(({ name }) => !contradict.includes(name)))
    .chain((spec) => valueFor(spec).map((value) => ({ [spec.name]: value })));
const change: fc.Arbitrary<Change> = fc.record({
  net: rarely(none, fc.oneof(single('net'), sectionOf('net', contradict))),
  disks: fc.tuple(rarely(none, fc.oneof(single('disk'), sectionOf('disk', contradict))), rarely(none, sectionOf('disk', contradict))),
  startup: rarely(none, sectionOf('startup', contradict)),
  handlers: rarely(none, sectionOf('handlers')),
  sizes: fc.tuple(fc.constantFrom(0, 4096, 8192), fc.constantFrom(0, 4096)),
  protocol: fc.constantFrom('A', 'B', 'C'),
  secret: fc.oneof({ weight: 5, arbitrary: fc.constant('') }, fc.stringMatching(/^secret[a-z]{10}$/)),
  port: rarely(7788, fc.constant(7799)),
  minor: rarely(0, fc.constant(5)),
  peerDisk: rarely('/dev/sdb', fc.constant('/dev/sdc')),
});

function build({ net, disks, startup, handlers, sizes, protocol, secret, port, minor, peerDisk }: Change): ResourceConfig {
  const host = (name: string, number: number, disk: string): object => ({
    address: `${name}:${number}`,
    volumes: {
      0: { device: `/dev/drbd${minor}`, disk: `${disk}1`, 'meta-disk': 'internal' },
      1: { device: `/dev/drbd${minor + 1}`, disk: `${disk}2`, 'meta-disk': 'internal' },
    },
  });
  return goodResource({
    resources: {
      r0: {
        protocol,
        net: { ...net, ...(secret === '' ? {} : { 'shared-secret': secret, 'cram-hmac-alg': 'sha1' }) },
        startup,
        handlers,
        volumes: { 0: { disk: { ...disks[0], size: sizes[0] } }, 1: { disk: { ...disks[1], size: sizes[1] } } },
        on: { a: host('10.0.0.1', port, '/dev/sdb'), b: host('10.0.0.2', 7788, peerDisk) },
      },
    },
  });
}

/** When the options of the table take effect, said by hand for those whose moment is agreed with the peer or with the disk. */
const fixedWhileConnected = new Set([
  'sndbuf-size', 'rcvbuf-size', 'cram-hmac-alg', 'shared-secret', 'data-integrity-alg', 'verify-alg', 'csums-alg',
]);
const fixedWhileAttached = new Set(['al-extents', 'al-updates']);

/** A resource that is up, as the engine has it: values in force, how often its connection and disks were interrupted. */
class Running {
  config: ResourceConfig;
  interruptions = new Set<string>();
  constructor(config: ResourceConfig) {
    this.config = structuredClone(config);
  }

  carryOut(step: AdjustStep, wanted: ResourceConfig): void {
    const take = (values: OptionValues, from: OptionValues, may: (name: string) => boolean): void => {
      for (const name of Object.keys(from)) if (may(name)) values[name] = from[name] ?? '';
    };
    const disk = (config: ResourceConfig, volume: number): OptionValues => config.volumes.find((candidate) => candidate.volume === volume)?.disk ?? {};
    switch (step.kind) {
      case 'restart':
        this.config = structuredClone(wanted);
        this.interruptions.add('everything');
        return;
      case 'net-options':
        take(this.config.net, wanted.net, (name) => !fixedWhileConnected.has(name));
        return;
      case 'reconnect':
        this.interruptions.add('connection');
        take(this.config.net, wanted.net, () => true);
        return;
      case 'disk-options':
        take(disk(this.config, step.volume), disk(wanted, step.volume), (name) => name !== 'size' && !fixedWhileAttached.has(name));
        return;
      case 'reattach':
        this.interruptions.add(`disk ${step.volume}`);
        take(disk(this.config, step.volume), disk(wanted, step.volume), (name) => name !== 'size');
        return;
      case 'resize':
        disk(this.config, step.volume).size = step.sizeSectors;
        return;
      case 'note':
        this.config.startup = { ...wanted.startup };
        this.config.handlers = { ...wanted.handlers };
        return;
      default:
        assert.fail(`a resource that is up and wanted gets '${step.kind}'`);
    }
  }
}

const differing = (section: Section, from: OptionValues, to: OptionValues): string[] =>
  optionsOf(section)
    .map(({ name, default: value }) => ({ name, before: from[name] ?? value, after: to[name] ?? value }))
    .filter(({ before, after }) => before !== after)
    .map(({ name }) => name);

describe('adjust', () => {
  // otherwise: `drbdts adjust` says it is done and the resource runs with old values until the next restart
  it('the steps lead to what the file says, and a second adjust has nothing to do', () => {
    fc.assert(
      fc.property(change, change, (before, after) => {
        const wanted = build(after);
        const running = new Running(build(before));
        for (const step of adjustPlan(running.config, wanted, 'a')) running.carryOut(step, wanted);
        for (const section of ['net', 'startup', 'handlers'] as const) assert.deepEqual(differing(section, running.config[section], wanted[section]), []);
        wanted.volumes.forEach(({ disk }, index) => {
          assert.deepEqual(differing('disk', running.config.volumes[index]?.disk ?? {}, disk), []);
        });
        assert.deepEqual(adjustPlan(running.config, wanted, 'a'), []);
      }),
      parameters,
    );
  });

  // otherwise: a changed timeout drops the connection, or a changed rate takes the disk away from under a running application
  it('interrupts a connection, a disk or the service only where something changed that can not change without', () => {
    fc.assert(
      fc.property(change, change, (before, after) => {
        const [from, wanted] = [build(before), build(after)];
        const running = new Running(from);
        for (const step of adjustPlan(from, wanted, 'a')) running.carryOut(step, wanted);
        const expected = new Set<string>();
        if (before.port !== after.port || before.minor !== after.minor) expected.add('everything');
        else {
          if (differing('net', from.net, wanted.net).some((name) => fixedWhileConnected.has(name))) expected.add('connection');
          from.volumes.forEach(({ volume, disk }, index) => {
            if (differing('disk', disk, wanted.volumes[index]?.disk ?? {}).some((name) => fixedWhileAttached.has(name))) expected.add(`disk ${volume}`);
          });
        }
        assert.deepEqual([...running.interruptions].sort(), [...expected].sort());
      }),
      parameters,
    );
  });

  // otherwise: the log, or the reply of adjust, tells the secret to whoever reads it
  it('no reason contains the secret', () => {
    fc.assert(
      fc.property(change, change, (before, after) => {
        for (const step of adjustPlan(build(before), build(after), 'a')) {
          for (const secret of [before.secret, after.secret]) assert.ok(secret === '' || !step.reason.includes(secret), step.reason);
          assert.notEqual(step.reason, '');
        }
      }),
      parameters,
    );
  });

  // otherwise: a reload reports changes of resources that adjust then does not know, or keeps quiet about some that it does
  it('a reload names the resources of this host whose lines changed, came or left, and no others', () => {
    const entry = fc.record({ here: fc.boolean(), timeout: fc.constantFrom(40, 60) });
    const file = fc.record({ r0: entry, r1: entry, r2: entry }, { requiredKeys: [] });
    const resourceOf = (name: string, { here, timeout }: { here: boolean; timeout: number }): ResourceConfig => ({
      ...goodResource({ resources: { r0: { net: { timeout }, on: { [here ? 'a' : 'c']: hostOf(1), b: hostOf(2) } } } }),
      name,
    });
    fc.assert(
      fc.property(file, file, (before, after) => {
        const running = new Map(
          Object.entries(before)
            .filter(([, { here }]) => here)
            .map(([name, value]) => [name, resourceOf(name, value)]),
        );
        const wanted = Object.entries(after).map(([name, value]) => resourceOf(name, value));
        const seen = (entries: typeof before, name: 'r0' | 'r1' | 'r2'): number | null => (entries[name]?.here === true ? entries[name].timeout : null);
        const expected = (['r0', 'r1', 'r2'] as const).filter((name) => seen(before, name) !== seen(after, name));
        assert.deepEqual(changedResources(running, wanted, 'a').sort(), expected);
      }),
      parameters,
    );
  });
});
