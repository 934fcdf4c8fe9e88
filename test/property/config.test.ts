/** Whatever is in the file, the answer is a configuration or problems with places; never an exception. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { adjustPlan } from '../../src/config/diff.js';
import { parseConfig } from '../../src/config/load.js';
import { optionTable } from '../../src/config/options.js';
import { formatNumber, type NumberUnit, parseNumber } from '../../src/config/units.js';

const seed = Number(process.env.DRBDTS_SEED ?? Date.now() % 2 ** 31);
console.log(`property config: DRBDTS_SEED=${seed}`);
const parameters = { seed, numRuns: 300 };

function placed(text: string): void {
  const lines = text.split('\n').length;
  const { config, problems } = parseConfig(text, 'f', 'a');
  for (const problem of problems) {
    assert.ok(problem.line >= 1 && problem.line <= lines + 1, JSON.stringify(problem));
    assert.ok(problem.column >= 1 && problem.message !== '' && problem.remedy !== '', JSON.stringify(problem));
  }
  if (config === null) assert.ok(problems.some((problem) => problem.severity === 'error'));
}

it('random text never crashes the reader', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), placed), parameters);
});

const word = fc.oneof(
  fc.constantFrom(
    'resources',
    'r0',
    'on',
    'a',
    'b',
    'net',
    'disk',
    'volumes',
    '0',
    'common',
    'global',
    'device',
    'address',
    'meta-disk',
    'protocol',
    ...optionTable.map((spec) => spec.name),
  ),
  fc.string({ maxLength: 8 }),
);
const scalar = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.string({ maxLength: 12 }),
  fc.constantFrom('/dev/drbd0', 'internal', '10.0.0.1:7788', 'C', '6s', '200M', 'yes'),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'medium' },
    scalar,
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(word, tie('tree'), { maxKeys: 6 }),
  ),
}));

it('random structures of known words never crash it', () => {
  fc.assert(
    fc.property(fc.dictionary(word, tree, { maxKeys: 5 }), (value) => placed(stringify(value))),
    parameters,
  );
  fc.assert(
    fc.property(tree, (value) => placed(stringify({ resources: { r0: value } }))),
    parameters,
  );
});

it('every number in range survives its own text, and every one beyond is refused', () => {
  for (const spec of optionTable) {
    if (spec.kind !== 'number') continue;
    fc.assert(
      fc.property(fc.integer({ min: spec.min, max: spec.max }), (value) => {
        assert.deepEqual(parseNumber(formatNumber(value, spec.unit), spec.unit), { ok: true, value });
      }),
      { ...parameters, numRuns: 50 },
    );
  }
});

it('parsing a number never throws', () => {
  const units: NumberUnit[] = ['count', 's', 'ds', 'bytes', 'sectors', 'KiB/s'];
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.double()), fc.constantFrom(...units), (input, unit) => void parseNumber(input, unit)),
    parameters,
  );
});

it('a plan from a configuration to itself is empty, and its steps lead to the wanted one', () => {
  const net = fc.record({
    timeout: fc.integer({ min: 1, max: 600 }),
    'ping-int': fc.integer({ min: 1, max: 120 }),
    protocol: fc.constantFrom('A', 'B', 'C'),
    'use-rle': fc.boolean(),
  });
  const make = (options: unknown) => {
    const host = (n: number): object => ({ device: '/dev/drbd0', disk: '/dev/sdb1', address: `10.0.0.${n}:7788`, 'meta-disk': 'internal' });
    const resource = parseConfig(stringify({ resources: { r0: { net: options, on: { a: host(1), b: host(2) } } } }), 'f', 'a').config
      ?.resources[0];
    assert.ok(resource);
    return resource;
  };
  fc.assert(
    fc.property(net, net, (before, after) => {
      const from = make(before);
      const to = make(after);
      assert.deepEqual(adjustPlan(to, to, 'a'), []);
      const named = new Set(
        adjustPlan(from, to, 'a').flatMap((step) => ('changes' in step ? step.changes.map((change) => change.name) : [])),
      );
      const differ = Object.keys(to.net).filter((name) => from.net[name] !== to.net[name]);
      assert.deepEqual([...named].sort(), differ.sort());
    }),
    { ...parameters, numRuns: 100 },
  );
});
