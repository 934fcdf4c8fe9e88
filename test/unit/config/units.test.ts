import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { editDistance, nearest } from '../../../src/config/suggest.js';
import { type NumberUnit, parseNumber } from '../../../src/config/units.js';

describe('numbers with units', () => {
  const good: [string | number, NumberUnit, number][] = [
    ['200M', 'KiB/s', 204_800],
    ['250k', 'KiB/s', 250],
    ['1G', 'KiB/s', 1_048_576],
    [4096, 'KiB/s', 4096],
    ['1M/s', 'KiB/s', 1024],
    ['10G', 'sectors', 20_971_520],
    ['100s', 'sectors', 100],
    [0, 'sectors', 0],
    ['2T', 'sectors', 4_294_967_296],
    ['6s', 'ds', 60],
    ['500ms', 'ds', 5],
    [60, 'ds', 60],
    ['2min', 's', 120],
    ['10s', 's', 10],
    ['3000ms', 's', 3],
    ['128K', 'bytes', 131_072],
    [65_536, 'bytes', 65_536],
    ['7', 'count', 7],
  ];
  for (const [input, unit, value] of good)
    it(`${input} in ${unit} is ${value}`, () => assert.deepEqual(parseNumber(input, unit), { ok: true, value }));

  const bad: [string | number, NumberUnit][] = [
    ['50ms', 'ds'],
    ['1500ms', 's'],
    ['5M', 'count'],
    ['5 apples', 's'],
    ['-1', 's'],
    ['', 's'],
    [1.5, 's'],
    ['1s', 'bytes'],
    ['1x', 'sectors'],
    ['99999999999999999999', 'count'],
    ['100b', 'KiB/s'],
  ];
  for (const [input, unit] of bad) {
    it(`'${input}' in ${unit} is refused`, () => assert.equal(parseNumber(input, unit).ok, false));
  }
});

describe('did you mean', () => {
  it('finds the word behind a slip', () => {
    const known = ['ping-int', 'ping-timeout', 'connect-int', 'timeout'];
    assert.equal(nearest('ping_int', known), 'ping-int');
    assert.equal(nearest('tiemout', known), 'timeout');
    assert.equal(nearest('Timeout', known), 'timeout');
    assert.equal(nearest('zebra', known), null);
  });
  it('counts a swap of neighbours as one slip', () => assert.equal(editDistance('tiemout', 'timeout'), 1));
});
