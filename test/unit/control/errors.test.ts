import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { asDrbdtsError, drbdtsError, errorForDrbdCode, errorTable, explain } from '../../../src/shared/errors.js';
import { formatLine } from '../../../src/shared/log.js';

describe('error table', () => {
  it('has each code once, with cause, remedy and explanation', () => {
    const codes = errorTable.map((entry) => entry.code);
    assert.equal(new Set(codes).size, codes.length);
    const numbers = errorTable.flatMap((entry) => (entry.drbdCode === undefined ? [] : [entry.drbdCode]));
    assert.equal(new Set(numbers).size, numbers.length);
    for (const entry of errorTable)
      assert.ok(/^ERR_[A-Z0-9_]+$/.test(entry.code) && entry.message !== '' && entry.remedy !== '' && entry.explain !== '', entry.code);
  });

  const cases: [number, string, string, number][] = [
    [-2, '0', '0: State change failed: (-2) Need access to UpToDate data', 17],
    [-1, '0', '0: State change failed: (-1) Multiple primaries not allowed by config', 11],
    [-4, '0', '0: State change failed: (-4) Can not resync without local disk', 16],
    [-16, '0', '0: State change failed: (-16) Disk state is lower than outdated', 5],
    [-12, '0', '0: State change failed: (-12) Device is held open by someone', 11],
    [102, 'r0', 'r0: Failure: (102) Local address(port) already in use.', 10],
    [123, 'r0', 'r0: Failure: (123) --discard-my-data not allowed when primary.', 10],
    [127, '0', '0: Failure: (127) Device minor not allocated', 10],
    [162, '??', '??: Failure: (162) Invalid configuration request', 10],
  ];
  for (const [code, object, message, exitCode] of cases) {
    it(`${code} reads and exits as drbdadm's`, () => {
      const error = errorForDrbdCode(code, object);
      assert.equal(error.message, message);
      assert.equal(error.exitCode, exitCode);
      assert.equal(error.reply.drbdCode, code);
    });
  }

  it('an unknown number still is a refusal with an exit code', () => {
    assert.equal(errorForDrbdCode(-77, '0', 'what').exitCode, 11);
    assert.equal(errorForDrbdCode(199, '0').exitCode, 10);
  });

  it('an error of the addon keeps code, place and remedy; anything else is internal', () => {
    const native = Object.assign(new Error('No valid meta data found'), {
      code: 'ERR_NO_META_DATA',
      place: '/dev/sdb1',
      remedy: 'do this',
    });
    assert.deepEqual(asDrbdtsError(native).reply, {
      code: 'ERR_NO_META_DATA',
      message: 'No valid meta data found',
      remedy: 'do this',
      place: '/dev/sdb1',
      exitCode: 1,
      drbdCode: null,
      details: {},
    });
    assert.equal(asDrbdtsError(new TypeError('x')).code, 'ERR_INTERNAL');
    assert.equal(asDrbdtsError('text').code, 'ERR_INTERNAL');
  });

  it('a message without value for a place does not fail', () => assert.match(drbdtsError('ERR_BUSY').message, /in use by another process/));

  it('explain takes codes and numbers in every spelling', () => {
    for (const code of ['-2', '(-2)', 'ERR_STATE_NO_UP_TO_DATE_DATA', 'state_no_up_to_date_data'])
      assert.match(explain(code) ?? '', /exit code 17[\s\S]*What to do:/);
    assert.match(explain('119') ?? '', /create-md/);
    assert.equal(explain('ERR_NONSENSE'), null);
  });
});

describe('log line', () => {
  it('for journald begins with the priority and is one line', () => {
    assert.equal(
      formatLine(JSON.stringify({ level: 40, msg: 'r0/0 a\nb', time: 1, volume: 3 }), true, new Date(0)),
      '<4>r0/0 a | b volume=3\n',
    );
  });
  it('elsewhere begins with the time', () => {
    assert.equal(formatLine(JSON.stringify({ level: 30, msg: 'r0 x' }), false, new Date(0)), '1970-01-01T00:00:00.000Z r0 x\n');
  });
});
