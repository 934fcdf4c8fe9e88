/** Trackers: when a thing is up, what its weight does, what becomes a fault. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { contribution, initialTrack, type TrackRule, trackResult, type TrackState, trackStep, type TrackUse } from '../../../../src/cluster/vrrp/track.js';

function script(change: Partial<Extract<TrackRule, { kind: 'script' }>> = {}): Extract<TrackRule, { kind: 'script' }> {
  return { kind: 'script', name: 'chk', rise: 2, fall: 3, initFail: false, ...change };
}
/** `+` and `-` for results; up or down after each. */
function play(rule: Extract<TrackRule, { kind: 'script' }>, results: string): string {
  let state: TrackState = initialTrack([rule]);
  return [...results]
    .map((each) => {
      state = trackStep([rule], state, { kind: 'script', name: 'chk', ok: each === '+', detail: '' }).state;
      return state[0]?.up ? 'U' : 'd';
    })
    .join('');
}
const use = (change: Partial<TrackUse> = {}): TrackUse => ({ kind: 'script', name: 'chk', weight: 0, reverse: false, ...change });

describe('a script', () => {
  it('the first result decides', () => {
    assert.equal(play(script(), '+'), 'U');
    assert.equal(play(script(), '-'), 'd');
  });
  it('falls after so many failures in a row and rises after so many successes', () => {
    assert.equal(play(script(), '+--+---++'), 'UUUUUUddU');
    assert.equal(play(script(), '+---+-+-++'), 'UUUdddddd' + 'U');
  });
  it('init_fail: down until it rises', () => {
    assert.equal(initialTrack([script({ initFail: true })])[0]?.up, false);
    assert.equal(play(script({ initFail: true }), '++'), 'dU');
  });
  it('for any rise and fall: up turns down by exactly `fall` failures in a row, down turns up by `rise` successes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }), (rise, fall, results) => {
        let up = results[0] ?? false;
        let row = 0;
        const expected = results.map((ok, index) => {
          if (index > 0) {
            row = ok === up ? 0 : row + 1;
            if (row >= (up ? fall : rise)) {
              up = !up;
              row = 0;
            }
          }
          return up ? 'U' : 'd';
        });
        assert.equal(play(script({ rise, fall }), results.map((ok) => (ok ? '+' : '-')).join('')), expected.join(''));
      }),
    );
  });
  it('says what changed, and why', () => {
    const rules = [script({ fall: 1 })];
    const { state } = trackStep(rules, initialTrack(rules), { kind: 'script', name: 'chk', ok: true, detail: 'exit status 0' });
    assert.deepEqual(trackStep(rules, state, { kind: 'script', name: 'chk', ok: true, detail: 'exit status 0' }).changes, []);
    assert.deepEqual(trackStep(rules, state, { kind: 'script', name: 'chk', ok: false, detail: 'exit status 1' }).changes, ['script chk is down: exit status 1']);
    assert.deepEqual(trackStep(rules, state, { kind: 'script', name: 'stranger', ok: false, detail: '' }), { state, changes: [] });
  });
});

describe('what it does to an instance', () => {
  const known = (up: boolean): TrackState => [{ kind: 'script', name: 'chk', up, count: 0, detail: 'exit status 1' }];
  it('weights', () => {
    assert.deepEqual([contribution(20, true, false), contribution(20, false, false), contribution(-20, true, false), contribution(-20, false, false)], [20, 0, 0, -20]);
    assert.deepEqual([contribution(20, true, true), contribution(20, false, true), contribution(-20, true, true), contribution(-20, false, true)], [-20, 0, 0, 20]);
  });
  it('a weight is a term, weight 0 is a fault', () => {
    assert.deepEqual(trackResult([use({ weight: -20 })], known(false), 100), { terms: [{ value: -20, from: 'script chk' }], faults: [] });
    assert.deepEqual(trackResult([use({ weight: -20 })], known(true), 100), { terms: [], faults: [] });
    assert.deepEqual(trackResult([use()], known(false), 100).faults, [{ text: 'script chk is down (exit status 1)', quiet: false }]);
    assert.deepEqual(trackResult([use()], known(true), 100).faults, []);
    assert.equal(trackResult([use({ reverse: true })], known(true), 100).faults.length, 1);
  });
  it('no result yet: nothing with a weight, a quiet fault without', () => {
    const state = initialTrack([script()]);
    assert.deepEqual(trackResult([use({ weight: -20 })], state, 100), { terms: [], faults: [] });
    assert.deepEqual(trackResult([use()], state, 100).faults, [{ text: 'script chk: no result yet', quiet: true }]);
  });
  it('what nobody watches is a loud fault: the check must not disappear silently', () => assert.deepEqual(trackResult([use()], [], 100).faults, [{ text: 'script chk: is not watched', quiet: false }]));
  it('an owner and members of a group have no weights, but faults', () => {
    for (const [base, ignore] of [[255, false], [100, true]] as const) {
      assert.deepEqual(trackResult([use({ weight: -20 })], known(false), base, ignore), { terms: [], faults: [] });
      assert.equal(trackResult([use()], known(false), base, ignore).faults.length, 1);
    }
  });
  it('interfaces and processes', () => {
    const rules: TrackRule[] = [{ kind: 'interface', name: 'eth1' }, { kind: 'process', name: 'nginx', quorum: 2 }];
    const uses = [use({ kind: 'interface', name: 'eth1' }), use({ kind: 'process', name: 'nginx', weight: 30 })];
    let { state } = trackStep(rules, initialTrack(rules), { kind: 'interface', name: 'eth1', up: false, detail: 'no carrier' });
    assert.deepEqual(trackResult(uses, state, 100), { terms: [], faults: [{ text: 'interface eth1 is down (no carrier)', quiet: false }] });
    const terms = [0, 1, 2, 3, 4].map((running) => {
      ({ state } = trackStep(rules, state, { kind: 'process', name: 'nginx', running }));
      return trackResult(uses, state, 100).terms.length;
    });
    assert.deepEqual(terms, [0, 0, 1, 1, 1]);
  });
  it('a file adds its number times the weight', () => {
    const rules: TrackRule[] = [{ kind: 'file', name: 'load' }];
    const at = (value: number | null, weight: number, reverse = false): [number, string | undefined] => {
      const { state } = trackStep(rules, initialTrack(rules), { kind: 'file', name: 'load', value, detail: 'no such file' });
      const result = trackResult([use({ kind: 'file', name: 'load', weight, reverse })], state, 100);
      return [result.terms[0]?.value ?? 0, result.faults[0]?.text];
    };
    assert.deepEqual(at(7, 2), [14, undefined]);
    assert.deepEqual(at(7, 2, true), [-14, undefined]);
    assert.deepEqual(at(-1000, 1), [0, 'file load holds -1000, times its weight 1 that is -1000']);
    assert.deepEqual(at(1, 0), [0, 'file load holds 1']);
    assert.deepEqual(at(0, 0), [0, undefined]);
    assert.deepEqual(at(null, 0), [0, undefined]);
  });
});
