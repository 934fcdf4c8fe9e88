/** What the outage benchmark counts as an outage, and its table. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CaseSpec, missed, outageMs, outageTable } from '../bench/outage-table.js';

const cases: CaseSpec[] = [
  { name: 'own-kill', title: 'own', event: 'kill', barMs: 1000 },
  { name: 'their-kill', title: 'theirs', event: 'kill' },
  { name: 'own-planned', title: 'own', event: 'planned', barMs: 500 },
];

describe('an outage', () => {
  it('lasts from the last page before to the first page after, in whatever order the answers came', () => {
    assert.equal(outageMs([0, 10, 20, 730, 740], 25), 710);
    assert.equal(outageMs([740, 20, 0, 730, 10], 25), 710);
  });

  it('may begin later than the event, and a second one that is longer counts', () => {
    assert.equal(outageMs([0, 10, 20, 30, 40, 400, 410], 15), 360);
    assert.equal(outageMs([0, 10, 300, 310, 900, 910], 15), 590);
  });

  it('of before the event does not count', () => {
    assert.equal(outageMs([0, 900, 910, 920, 990, 1000], 915), 70);
  });

  it('can not be told when no page came before, or none after', () => {
    assert.throws(() => outageMs([20, 30], 10), /before/);
    assert.throws(() => outageMs([0, 5], 10), /after/);
    assert.throws(() => outageMs([], 10), /before/);
  });
});

describe('the table', () => {
  const outages = { 'own-kill': [700, 800, 900], 'their-kill': [3200, 1600, 2400], 'own-planned': [200, 501, 300] };

  it('has median, worst, bar and the ratio of the medians at the same event', () => {
    const [, planned = '', own = '', theirs = ''] = outageTable(cases, outages, 'own');
    assert.match(planned, /planned move +own +3 +0\.30 +0\.50 +0\.50 +FAIL +1\.0$/);
    assert.match(own, /SIGKILL of the node +own +3 +0\.80 +0\.90 +1\.00 +pass +1\.0$/);
    assert.match(theirs, /SIGKILL of the node +theirs +3 +2\.40 +3\.20 +3\.0$/);
  });

  it('the worst round decides whether a bar is reached', () => {
    assert.deepEqual(missed(cases, outages).map(({ name }) => name), ['own-planned']);
    assert.deepEqual(missed(cases, { ...outages, 'own-planned': [500] }), []);
  });

  it('shows a case that was not measured as such', () => {
    assert.match(outageTable(cases, {}, 'own')[1] ?? '', /own +0 +- +- +0\.50 +-$/);
  });
});
