/** Where an option's value comes from, what a host's volume is made of, and what may not be used twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { parseConfig } from '../../src/config/load.js';
import { optionsOf, type Section, sections } from '../../src/config/options.js';
import { type HostVolume, maskSecrets } from '../../src/config/types.js';
import { goodResource, hostOf, load, sectionOf } from './configurations.js';
import { replay } from './replay.js';

const parameters = replay('inheritance', 200);
const contradict = ['cram-hmac-alg', 'shared-secret', 'protocol', 'fencing', 'become-primary-on'];
const two = { a: hostOf(1), b: hostOf(2) };

describe('options', () => {
  // otherwise: a rate set for one volume slows another, or the `common` section overrules a resource
  it('the nearest level that says something wins: volume, resource, common, default', () => {
    const level = fc.record(
      Object.fromEntries(sections.map((section) => [section, sectionOf(section, contradict)])) as Record<Section, fc.Arbitrary<Record<string, unknown>>>,
      { requiredKeys: [] },
    );
    const volumes = fc.record({ 0: sectionOf('disk', contradict), 7: sectionOf('disk', contradict) }, { requiredKeys: [] });
    fc.assert(
      fc.property(level, level, volumes, (common, resource, perVolume) => {
        const hostVolumes = (minor: number): object => ({
          0: { device: `/dev/drbd${minor}`, disk: '/dev/sdb1', 'meta-disk': 'internal' },
          7: { device: `/dev/drbd${minor + 1}`, disk: '/dev/sdb2', 'meta-disk': 'internal' },
        });
        const built = goodResource({
          common,
          resources: {
            r0: {
              ...resource,
              volumes: Object.fromEntries(Object.entries(perVolume).map(([number, disk]) => [number, { disk }])),
              on: { a: { address: '10.0.0.1:7788', volumes: hostVolumes(0) }, b: { address: '10.0.0.2:7788', volumes: hostVolumes(4) } },
            },
          },
        });
        const expected = (section: Section, name: string, fallback: unknown, nearest: Record<string, unknown> = {}): unknown => {
          for (const place of [nearest, resource[section] ?? {}, common[section] ?? {}]) if (Object.hasOwn(place, name)) return place[name];
          return fallback;
        };
        for (const section of ['startup', 'net'] as const) {
          for (const spec of optionsOf(section)) assert.equal(built[section][spec.name], expected(section, spec.name, spec.default), spec.name);
        }
        for (const spec of optionsOf('handlers')) assert.equal(built.handlers[spec.name], expected('handlers', spec.name, undefined), spec.name);
        assert.deepEqual(
          built.volumes.map(({ volume }) => volume),
          [0, 7],
        );
        for (const { volume, disk } of built.volumes) {
          for (const spec of optionsOf('disk'))
            assert.equal(disk[spec.name], expected('disk', spec.name, spec.default, perVolume[volume as 0 | 7]), `${spec.name} of ${volume}`);
        }
      }),
      { ...parameters, numRuns: 100 },
    );
  });

  // otherwise: a resource runs with a weaker protocol than the line that stands nearest to it says
  it('protocol may stand beside or in `net`; the nearer level wins, two different ones on one level are refused', () => {
    const letter = fc.constantFrom('A', 'B', 'C');
    const place = fc.record({ beside: letter, inside: letter }, { requiredKeys: [] });
    fc.assert(
      fc.property(place, place, (common, resource) => {
        const write = ({ beside, inside }: { beside?: string; inside?: string }): object => ({
          ...(beside === undefined ? {} : { protocol: beside }),
          ...(inside === undefined ? {} : { net: { protocol: inside } }),
        });
        const { config } = load({ common: write(common), resources: { r0: { ...write(resource), on: two } } });
        const quarrel = [common, resource].some(({ beside, inside }) => beside !== undefined && inside !== undefined && beside !== inside);
        const said = [resource.beside, resource.inside, common.beside, common.inside].find((word) => word !== undefined) ?? 'C';
        assert.equal(config?.resources[0]?.protocol ?? null, quarrel ? null : said);
        if (!quarrel) assert.equal(config?.resources[0]?.net.protocol, said);
      }),
      parameters,
    );
  });

  // otherwise: `drbdts config show` prints the secret that authenticates the peer
  it('a masked configuration does not contain the secret, and is the same otherwise', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{12,40}$/), (secret) => {
        const { config } = load({ resources: { r0: { net: { 'shared-secret': `#${secret}`, 'cram-hmac-alg': 'sha1' }, on: two } } });
        assert.ok(config !== null);
        const masked = maskSecrets(config);
        assert.ok(!JSON.stringify(masked).includes(secret));
        assert.equal(config.resources[0]?.net['shared-secret'], `#${secret}`, 'the original keeps it');
        const again = structuredClone(masked);
        for (const resource of again.resources) resource.net['shared-secret'] = `#${secret}`;
        assert.deepEqual(again, config);
      }),
      parameters,
    );
  });
});

describe('volumes', () => {
  // otherwise: one host uses another disk than the lines beside it say
  it('device, disk and meta-disk of a single volume: own, beside the host, volume of the resource, resource', () => {
    const some = (from: number) =>
      fc.record({ device: fc.constant(`/dev/drbd${from}`), disk: fc.constant(`/dev/sd${from}`), meta: fc.constant(`/dev/md${from}`) }, { requiredKeys: [] });
    const host = (part: { device?: string; disk?: string; meta?: string }): object => ({
      ...(part.device === undefined ? {} : { device: part.device }),
      ...(part.disk === undefined ? {} : { disk: part.disk }),
      ...(part.meta === undefined ? {} : { 'meta-disk': part.meta }),
    });
    const shared = (part: { device?: string; disk?: string; meta?: string }): object => {
      const { disk, ...rest } = host(part) as Record<string, unknown>;
      return disk === undefined ? rest : { ...rest, 'disk-path': disk };
    };
    fc.assert(
      fc.property(some(1), some(2), some(3), some(4), (own, beside, volume, resource) => {
        const on = {
          a: { address: '10.0.0.1:7788', ...host(beside), ...(Object.keys(own).length === 0 ? {} : { volumes: { 0: host(own) } }) },
          b: hostOf(2),
        };
        const { config, problems } = load({ resources: { r0: { ...shared(resource), volumes: { 0: shared(volume) }, on } } });
        const order = [own, beside, volume, resource];
        const expected = (['device', 'disk', 'meta'] as const).map((part) => order.find((level) => level[part] !== undefined)?.[part]);
        const got: HostVolume | undefined = config?.resources[0]?.hosts[0].volumes[0];
        if (expected.includes(undefined)) {
          assert.equal(config, null);
          const named = ['device', 'disk', 'meta-disk'].filter((_, index) => expected[index] === undefined);
          for (const word of named) assert.ok(problems.some(({ message }) => message.includes(`'${word}' is missing`)), word);
        } else assert.deepEqual([got?.device, got?.disk, got?.metaDisk], expected);
      }),
      parameters,
    );
  });

  // otherwise: the options of a volume written as "00" or "07" are dropped without a word
  it('a volume that is accepted keeps its options, however its number is written', () => {
    fc.assert(
      fc.property(fc.nat(20), fc.integer({ min: 0, max: 3 }), (number, zeros) => {
        const key = `${'0'.repeat(zeros)}${number}`;
        const volume = { [key]: { device: '/dev/drbd0', disk: '/dev/sdb', 'meta-disk': 'internal' } };
        const host = (last: number): object => ({ address: `10.0.0.${last}:7788`, volumes: volume });
        const { config } = load({ resources: { r0: { volumes: { [key]: { disk: { 'resync-rate': 4321 } } }, on: { a: host(1), b: host(2) } } } });
        if (key === String(number)) assert.ok(config !== null, key);
        if (config !== null) assert.deepEqual(config.resources[0]?.volumes.map(({ volume: n, disk }) => [n, disk['resync-rate']]), [[number, 4321]]);
      }),
      parameters,
    );
  });

  // otherwise: two volumes write to one disk, or one writes its data over the meta-data of another
  it('nothing is used twice on one host, except slots of one indexed meta-disk', () => {
    const path = fc.constantFrom('/dev/x', '/dev/y', '/dev/z', '/dev/u', '/dev/v', '/dev/w');
    const meta = fc.oneof(
      fc.constant({ kind: 'internal' as const, path: '', index: 0 }),
      path.map((where) => ({ kind: 'flexible' as const, path: where, index: 0 })),
      fc.tuple(path, fc.nat(1)).map(([where, index]) => ({ kind: 'indexed' as const, path: where, index })),
    );
    const resource = fc.record({ disk: path, meta, minor: fc.nat(4), port: fc.integer({ min: 7788, max: 7791 }) });
    fc.assert(
      fc.property(fc.array(resource, { minLength: 1, maxLength: 3 }), (list) => {
        const write = (entry: (typeof list)[number]): string =>
          entry.meta.kind === 'internal' ? 'internal' : entry.meta.kind === 'flexible' ? entry.meta.path : `${entry.meta.path}[${entry.meta.index}]`;
        const resources = Object.fromEntries(
          list.map((entry, index) => [
            `r${index}`,
            {
              on: {
                a: { address: `10.0.0.1:${entry.port}`, device: `/dev/name${index} minor ${entry.minor}`, disk: entry.disk, 'meta-disk': write(entry) },
                b: { address: `10.0.0.2:${8000 + index}`, device: `/dev/drbd${index}`, disk: `/dev/other${index}`, 'meta-disk': 'internal' },
              },
            },
          ]),
        );
        // the model: whoever owns a whole device excludes everybody else from it
        const uses = list.flatMap((entry) => [
          { path: entry.disk, slot: -1 },
          ...(entry.meta.kind === 'internal' ? [] : [{ path: entry.meta.path, slot: entry.meta.kind === 'indexed' ? entry.meta.index : -1 }]),
        ]);
        const clash = uses.some((one, index) =>
          uses.slice(index + 1).some((other) => one.path === other.path && (one.slot < 0 || other.slot < 0 || one.slot === other.slot)),
        );
        const repeated = (values: number[]): boolean => new Set(values).size < values.length;
        const bad = clash || repeated(list.map(({ minor }) => minor)) || repeated(list.map(({ port }) => port));
        const { config, problems } = load({ resources });
        assert.equal(config === null, bad, JSON.stringify(problems));
      }),
      { ...parameters, numRuns: 600 },
    );
  });
});

describe('problems', () => {
  // otherwise: the line that the message names is not where the mistake is
  it('line and column of an unknown word point at it, and the message and remedy are sentences', () => {
    const place = fc.constantFrom('global', 'common', 'net', 'disk', 'r0', 'host', 'top');
    const word = fc.oneof(fc.constantFrom('constructor', 'toString', 'valueOf', 'hasOwnProperty'), fc.stringMatching(/^zz[a-z]{2,8}$/));
    fc.assert(
      fc.property(place, word, (where, key) => {
        const bad = (name: string): Record<string, unknown> => (where === name ? { [key]: 1 } : {});
        const text = stringify({
          ...bad('top'),
          global: { 'log-level': 'info', ...bad('global') },
          common: { protocol: 'C', ...bad('common') },
          resources: {
            r0: { net: { timeout: 60, ...bad('net') }, disk: { ...bad('disk'), 'al-updates': true }, ...bad('r0'), on: { a: hostOf(1, bad('host')), b: hostOf(2) } },
          },
        });
        const { config, problems } = parseConfig(text, 'f', 'a');
        assert.equal(config, null);
        const [problem] = problems;
        assert.ok(problem !== undefined && problems.length === 1, JSON.stringify(problems));
        assert.ok((text.split('\n')[problem.line - 1] ?? '').slice(problem.column - 1).startsWith(`${key}:`), JSON.stringify(problem));
        for (const sentence of [problem.message, problem.remedy]) assert.ok(typeof sentence === 'string' && !/undefined|function/.test(sentence), JSON.stringify(problem));
        assert.ok(problem.message.includes(`'${key}'`));
      }),
      parameters,
    );
  });
});
