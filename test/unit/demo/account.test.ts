/** What the demo makes of its client's history. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acknowledged, type CaseResult, changesOfNode, errorsIn, longestOutage, type Operation, problemsOf, rowsLost, summaryOf, tableOf } from '../../demo/account.js';

const operation = (endMs: number, more: Partial<Operation> = {}): Operation => ({ beginMs: endMs - 2, endMs, error: '', row: 0, node: '', ...more });

test('an outage is the longest time without a success, failures do not end it', () => {
  const pages = [operation(100), operation(110), operation(150, { error: 'connection refused' }), operation(460), operation(470)];
  assert.deepEqual(longestOutage(pages, { fromMs: 105, toMs: 480 }), { ms: 350, beginMs: 110 });
});

test('an outage begins with the last success before the window', () => {
  assert.deepEqual(longestOutage([operation(90), operation(300)], { fromMs: 100, toMs: 301 }), { ms: 210, beginMs: 90 });
});

test('a window without a success at its end, or without any, is an outage to its end', () => {
  assert.deepEqual(longestOutage([operation(100), operation(110)], { fromMs: 100, toMs: 900 }), { ms: 790, beginMs: 110 });
  assert.deepEqual(longestOutage([operation(50, { error: 'x' })], { fromMs: 100, toMs: 900 }), { ms: 800, beginMs: 100 });
  // what came later does not shorten it
  assert.equal(longestOutage([operation(100), operation(2000)], { fromMs: 100, toMs: 900 }).ms, 800);
});

test('answers that arrive out of order are put in order', () => {
  assert.equal(longestOutage([operation(130), operation(100), operation(115)], { fromMs: 100, toMs: 131 }).ms, 15);
});

test('errors are counted in the window, the most frequent first', () => {
  const all = [operation(1, { error: 'a' }), operation(11, { error: 'b' }), operation(12, { error: 'a' }), operation(13, { error: 'b' }), operation(14), operation(99, { error: 'a' })];
  assert.deepEqual(errorsIn(all, { fromMs: 10, toMs: 20 }), [['b', 2], ['a', 1]]);
});

test('only acknowledged rows can be lost', () => {
  const rows = [operation(1, { row: 1 }), operation(2, { row: 2, error: 'no answer in time' }), operation(3, { row: 2 }), operation(4, { row: 3, error: 'connection reset' }), operation(9, { row: 4 })];
  assert.deepEqual(acknowledged(rows), [1, 2, 4]);
  assert.deepEqual(acknowledged(rows, 5), [1, 2]);
  assert.deepEqual(rowsLost([1, 2, 4], [4, 3, 1]), [2]);
  assert.deepEqual(rowsLost([1, 2], [1, 2, 3]), []);
});

test('a change of the answering node counts when the request began after the answer of the other one', () => {
  const from = (node: string, beginMs: number, endMs: number): Operation => operation(endMs, { beginMs, node });
  const window = { fromMs: 0, toMs: 1000 };
  assert.deepEqual(changesOfNode([from('a', 1, 3), from('b', 10, 12), from('b', 20, 22)], window), ['a -> b']);
  // on its way before b answered, and late
  assert.deepEqual(changesOfNode([from('a', 1, 3), from('b', 10, 12), from('a', 5, 14), from('b', 20, 22)], window), ['a -> b']);
  assert.deepEqual(changesOfNode([from('a', 1, 3), from('b', 10, 12), from('a', 13, 14)], window), ['a -> b', 'b -> a']);
  assert.deepEqual(changesOfNode([from('a', 1, 3), from('', 4, 5), from('a', 6, 7)], window), []);
});

const good: CaseResult = {
  name: 'kill', title: 'killed', from: 'alpha', to: 'beta', expected: ['beta'], pagesOutageMs: 1234.4, rowsOutageMs: 1300, errors: [['connection refused', 3], ['no answer in time', 2]],
  rowsAcknowledged: 100, rowsLost: [], changes: ['alpha -> beta'], violations: [],
};

test('what did not hold is named', () => {
  assert.deepEqual(problemsOf(good), []);
  assert.match(problemsOf({ ...good, rowsLost: [7, 9] }).join(), /2 acknowledged rows are lost: 7, 9/);
  assert.match(problemsOf({ ...good, rowsAcknowledged: 0 }).join(), /nothing was checked/);
  assert.deepEqual(problemsOf({ ...good, violations: ['the address is on both nodes'] }), ['the address is on both nodes']);
  assert.match(problemsOf({ ...good, changes: ['alpha -> beta', 'beta -> alpha'] }).join(), /the first again/);
  assert.match(problemsOf({ ...good, to: 'alpha' }).join(), /is on alpha and belongs on beta/);
  assert.match(problemsOf({ ...good, to: '' }).join(), /is on no node/);
});

test('the table tells each case in a line, numbers to the right', () => {
  assert.deepEqual(tableOf([['a', 'n'], ['x', '5 ms'], ['long', '1234 ms']]), ['a           n', '----  -------', 'x        5 ms', 'long  1234 ms']);
  const [head, , first, second] = summaryOf([good, { ...good, title: 'cut', to: 'alpha', expected: ['alpha'], rowsLost: [3] }]);
  assert.match(head ?? '', /case.*pages out.*rows out.*lost/);
  assert.match(first ?? '', /killed +alpha -> beta +1234 ms +1300 ms +5 +100 +0 +never +ok/);
  assert.match(second ?? '', /cut +stays on alpha .* 1 +never +FAILED/);
});
