/** What is typed as a number, address, device or word means the same as it does to a person with pencil and paper. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { optionTable } from '../../src/config/options.js';
import { parseAddress, parseDevice, parseMetaDisk } from '../../src/config/schema.js';
import { editDistance, nearest } from '../../src/config/suggest.js';
import { formatAddress } from '../../src/config/types.js';
import { formatNumber, type NumberUnit, parseNumber } from '../../src/config/units.js';
import { goodResource, hostOf, load } from './configurations.js';
import { replay } from './replay.js';

const parameters = replay('units', 300);

/** How much one of it is: of a byte for sizes, of a millisecond for times. */
const bytes: Record<string, bigint> = { B: 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n, P: 1n << 50n };
const milliseconds: Record<string, bigint> = { ms: 1n, s: 1000n, min: 60_000n };
const optionUnits: Record<NumberUnit, { of: bigint; known: Record<string, bigint> }> = {
  count: { of: 1n, known: {} },
  s: { of: 1000n, known: milliseconds },
  ds: { of: 100n, known: milliseconds },
  bytes: { of: 1n, known: bytes },
  sectors: { of: 512n, known: { ...bytes, s: 512n } },
  'KiB/s': { of: 1024n, known: bytes },
};
const units = Object.keys(optionUnits) as NumberUnit[];
const someCase = (text: string): fc.Arbitrary<string> => fc.constantFrom(text, text.toUpperCase(), text.toLowerCase());

describe('numbers', () => {
  // otherwise: `resync-rate: 10M` or `timeout: 1500ms` sets a value that nobody wrote
  it('a suffix multiplies exactly, and what is no whole number of the unit is refused', () => {
    const suffix = fc.constantFrom(...Object.keys(bytes), ...Object.keys(milliseconds), 'x', 'KB', 'MiB').chain(someCase);
    fc.assert(
      fc.property(fc.constantFrom(...units), fc.oneof(fc.nat(5000), fc.nat(2 ** 31 - 1)), suffix, fc.constantFrom('', ' '), (unit, amount, word, gap) => {
        const { of, known } = optionUnits[unit];
        const bare = word.replace(/^([kmg])i?b$/i, '$1');
        const name = Object.keys(known).find((candidate) => candidate.toLowerCase() === bare.toLowerCase());
        const total = name === undefined ? null : BigInt(amount) * (known[name] ?? 0n);
        const expected = total !== null && total % of === 0n && total / of <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(total / of) : null;
        const parsed = parseNumber(`${amount}${gap}${word}`, unit);
        assert.equal(parsed.ok ? parsed.value : null, expected, `${amount}${gap}${word} as ${unit}`);
      }),
      parameters,
    );
  });

  // otherwise: the value that an error message or the documentation suggests is refused, or is another one
  it('what is printed reads back, and nobody prints a number longer than the plain one needs', () => {
    fc.assert(
      fc.property(fc.constantFrom(...units), fc.nat(2 ** 40), (unit, value) => {
        const text = formatNumber(value, unit);
        assert.deepEqual(parseNumber(text, unit), { ok: true, value });
        assert.ok(text.length <= String(value).length + 4, text);
      }),
      parameters,
    );
  });

  // otherwise: a value outside DRBD's range reaches the engine, or one inside it keeps the daemon from starting
  it('an option takes the values of its range and no other', () => {
    const numbers = optionTable.filter((spec) => spec.kind === 'number');
    fc.assert(
      fc.property(fc.constantFrom(...numbers), fc.boolean(), fc.integer({ min: -3, max: 3 }), (spec, upper, distance) => {
        const value = (upper ? spec.max : spec.min) + distance;
        const inside = upper ? distance <= 0 : distance >= 0;
        const { problems } = load({ resources: { r0: { [spec.section]: { [spec.name]: value }, on: { a: hostOf(1), b: hostOf(2) } } } });
        const errors = problems.filter((problem) => problem.severity === 'error');
        assert.equal(errors.length === 0, inside, JSON.stringify(errors));
        if (!inside) assert.ok(errors[0]?.message.includes(`[${spec.min}..${spec.max}]`) || value < 0, errors[0]?.message);
      }),
      parameters,
    );
  });

  // otherwise: a mistyped limit means "for ever" and a hanging handler keeps a frozen Primary frozen
  it('handler-timeout takes 0 to 3600 seconds', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: -5, max: 5 }), fc.integer({ min: 3590, max: 3610 })), (value) => {
        const { config } = load({ global: { 'handler-timeout': value }, resources: { r0: { on: { a: hostOf(1), b: hostOf(2) } } } });
        assert.equal(config?.global.handlerTimeoutS ?? null, value >= 0 && value <= 3600 ? value : null);
      }),
      parameters,
    );
  });
});

describe('names', () => {
  const ipv4 = fc.ipV4();
  const ipv6 = fc.ipV6();
  const port = fc.integer({ min: 1, max: 65_535 });

  // otherwise: a node listens elsewhere than its peer was told, or a word in front that contradicts the address is ignored
  it('an address is what it says, whatever its spelling', () => {
    fc.assert(
      fc.property(ipv4, port, fc.constantFrom('', 'ipv4 ', 'ipv6 '), (host, number, word) => {
        const read = parseAddress(`${word}${host}:${number}`);
        assert.deepEqual(read, word === 'ipv6 ' ? null : { family: 4, host, port: number });
      }),
      parameters,
    );
    fc.assert(
      fc.property(ipv6, port, fc.constantFrom('', 'ipv4 ', 'ipv6 '), (host, number, word) => {
        const read = parseAddress(`${word}[${host}]:${number}`);
        if (word === 'ipv4 ') assert.equal(read, null);
        else {
          assert.ok(read !== null && read.family === 6 && read.port === number, host);
          assert.deepEqual(parseAddress(formatAddress(read)), read);
        }
      }),
      parameters,
    );
  });

  // otherwise: two resources that claim one IPv6 address pass the check, and the second fails to listen
  it('two spellings of one IPv6 address are one address', () => {
    const groups = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, fc.nat(7), fc.integer({ min: 1, max: 8 }), (values, from, length) => {
        const zeroed = values.map((value, index) => (index >= from && index < from + length ? 0 : value));
        const long = zeroed.map((value) => value.toString(16).padStart(4, '0')).join(':');
        const left = zeroed.slice(0, from).map((value) => value.toString(16)).join(':');
        const right = zeroed.slice(from + length).map((value) => value.toString(16).toUpperCase()).join(':');
        assert.deepEqual(parseAddress(`[${left}::${right}]:7788`), parseAddress(`[${long}]:7788`));
      }),
      parameters,
    );
  });

  // otherwise: the volume appears as another device than the one in fstab
  it('a device is named by its number, or by a name and `minor`', () => {
    const minor = fc.nat(0xf_ffff);
    const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/).filter((text) => !/^drbd\d+$/.test(text));
    fc.assert(
      fc.property(minor, name, fc.constantFrom('', ' ', '\t'), (number, text, gap) => {
        assert.deepEqual(parseDevice(`/dev/drbd${number}`), { device: `/dev/drbd${number}`, minor: number });
        assert.deepEqual(parseDevice(`minor ${number}`), { device: `/dev/drbd${number}`, minor: number });
        assert.deepEqual(parseDevice(`/dev/${text}${gap}minor ${number}`), gap === '' ? null : { device: `/dev/${text}`, minor: number });
        assert.equal(parseDevice(`/dev/drbd${number} minor ${number + 1}`), null);
        assert.equal(parseDevice(`/dev/${text}`), null);
      }),
      parameters,
    );
  });

  // otherwise: meta-data are written to another device or slot
  it('a meta-disk is internal, a device, or a slot of one', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^\/dev\/[a-z0-9/_-]{1,12}$/), fc.nat(99_999), (path, index) => {
        assert.deepEqual(parseMetaDisk(path), { metaDisk: path, metaIndex: 'flexible' });
        assert.deepEqual(parseMetaDisk(`${path}[${index}]`), { metaDisk: path, metaIndex: index });
        assert.equal(parseMetaDisk(path.slice(1)), null);
      }),
      parameters,
    );
    assert.deepEqual(parseMetaDisk('internal'), { metaDisk: 'internal', metaIndex: 'internal' });
  });
});

describe('did you mean', () => {
  /** The words one edit away, made by doing the edit. */
  function neighbours(word: string, letters: string): Set<string> {
    const result = new Set<string>();
    for (let at = 0; at <= word.length; at++) {
      const [head, tail] = [word.slice(0, at), word.slice(at)];
      for (const letter of letters) {
        result.add(head + letter + tail);
        if (tail !== '') result.add(head + letter + tail.slice(1));
      }
      if (tail !== '') result.add(head + tail.slice(1));
      if (tail.length > 1) result.add(head + tail.charAt(1) + tail.charAt(0) + tail.slice(2));
    }
    return result;
  }
  const short = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 5 });

  // otherwise: a slip of the finger is answered with a far-off word, or with none
  it('distance 0 and 1 are exactly "the same" and "one edit", and it is the same both ways', () => {
    fc.assert(
      fc.property(short, short, (a, b) => {
        const distance = editDistance(a, b);
        assert.equal(distance, editDistance(b, a));
        assert.equal(distance === 0, a === b);
        if (a !== b) assert.equal(distance === 1, neighbours(a, 'abc').has(b), `${a} ${b} ${distance}`);
        assert.ok(distance >= Math.abs(a.length - b.length) && distance <= Math.max(a.length, b.length));
      }),
      { ...parameters, numRuns: 2000 },
    );
  });

  it('one slip in the name of an option leads back to a word one slip away', () => {
    const names = optionTable.map((spec) => spec.name);
    fc.assert(
      fc.property(
        fc.constantFrom(...names).chain((name) => fc.constantFrom(...neighbours(name, 'aex-')).map((slip) => ({ name, slip }))),
        ({ name, slip }) => {
          const guess = nearest(slip, names);
          assert.ok(guess !== null && (guess === name || guess === slip || neighbours(slip, 'abcdefghijklmnopqrstuvwxyz0123456789-').has(guess)), `${slip} -> ${guess}`);
        },
      ),
      parameters,
    );
  });
});

// otherwise: a resource that the configuration takes can not be addressed by any command
it('every resource name that the configuration takes can be named on the command line', async () => {
  const { parseTarget } = await import('../../src/cli/target.js');
  const { resourceOfFdName } = await import('../../src/daemon/keeper.js');
  const name = fc.oneof(fc.constantFrom('all', 'r0', '0', 'constructor', '_', 'r.0-x'), fc.stringMatching(/^[A-Za-z0-9_.\-/ ]{1,66}$/));
  fc.assert(
    fc.property(name, fc.nat(65_534), (text, volume) => {
      const { config } = load({ resources: { [text]: { on: { a: hostOf(1), b: hostOf(2) } } } });
      if (config === null) return;
      assert.deepEqual(parseTarget(text), { resource: text, volume: null });
      assert.deepEqual(parseTarget(`${text}/${volume}`), { resource: text, volume });
      assert.equal(resourceOfFdName(`drbdts/${text}/${volume}/fuse/loop0/512`), text);
      assert.notEqual(text, 'all', '`all` means every resource');
    }),
    parameters,
  );
  assert.equal(goodResource({ resources: { r0: { on: { a: hostOf(1), b: hostOf(2) } } } }).name, 'r0');
});
