import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatShowGi, offlineDiskState, parseGetGi } from '../../../src/cli/format-gi.js';

const primaryLine = '1334DC39EA5265AD:0000000000000000:FDF45E65BE83C9C4:0000000000000004:1:1:1:1:0:0:0';

test('show-gi draws the legend of drbdmeta around the line', () => {
  assert.deepEqual(formatShowGi(primaryLine, ['meta-data: need apply-al']), [
    '',
    '       +--<  Current data generation UUID  >-',
    "       |               +--<  Bitmap's base data generation UUID  >-",
    '       |               |                 +--<  younger history UUID  >-',
    '       |               |                 |         +-<  older history  >-',
    '       V               V                 V         V',
    primaryLine,
    '                                                                    ^ ^ ^ ^ ^ ^ ^',
    '                                      -<  Data consistency flag  >--+ | | | | | |',
    '                             -<  Data was/is currently up-to-date  >--+ | | | | |',
    '                                  -<  Node was/is currently primary  >--+ | | | |',
    '                                  -<  Node was/is currently connected  >--+ | | |',
    '         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |',
    "                        -<  The peer's disk was out-dated or inconsistent  >--+ |",
    '      -<  This node was a crashed primary, and has not seen its peer since   >--+',
    '',
    'flags: Primary, Connected, UpToDate',
    'meta-data: need apply-al',
  ]);
});

const offline: readonly (readonly [string, string])[] = [
  ['0:0:0:0:0:0:0', 'Inconsistent'],
  ['1:0:0:0:0:0:0', 'Outdated'],
  ['1:1:0:1:0:0:0', 'Consistent'],
  ['1:1:0:0:0:1:0', 'UpToDate'],
];
for (const [flags, state] of offline) {
  test(`the disk with flags ${flags} is ${state}`, () => {
    const gi = parseGetGi(`0000000000000004:0000000000000000:0000000000000000:0000000000000000:${flags}`);
    assert.ok(gi !== null);
    assert.equal(offlineDiskState(gi), state);
  });
}

test('a line that is no get-gi line is passed on', () => {
  assert.equal(parseGetGi('No valid meta data found'), null);
  assert.deepEqual(formatShowGi('strange'), ['strange']);
});
