/** The register by itself: compare-and-swap, vouching, and answers that come late or twice. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegisterRecord, RegisterRequest } from '../../../src/arbiter/messages.js';
import { applyRequest, type Cell, newCell, restarted } from '../../../src/arbiter/register.js';

const nodes: [string, string] = ['alpha', 'beta'];
const key = 'volume/r0/0';
const both: RegisterRecord = { epoch: 1, inSync: ['alpha', 'beta'], holder: '', dataGeneration: '' };

function swap(node: string, incarnation: string, expectedEpoch: number, inSync: string[]): RegisterRequest {
  return { op: 'swap', key, node, nodes, incarnation, expectedEpoch, record: { inSync, holder: node, dataGeneration: 'AB' } };
}
function vouch(node: string, incarnation: string, record: RegisterRecord, alone = false): RegisterRequest {
  return { op: 'vouch', key, node, nodes, incarnation, record, alone };
}
const vouched: Cell = { ...newCell(nodes), vouched: true };

describe('the register', () => {
  it('one of two swaps from the same epoch wins', () => {
    const first = applyRequest(vouched, 'i', swap('alpha', 'i', 1, ['alpha']));
    assert.equal(first.answer.done, true);
    assert.deepEqual(first.answer.record, { epoch: 2, inSync: ['alpha'], holder: 'alpha', dataGeneration: 'AB', by: 'alpha' });
    const second = applyRequest(first.cell, 'i', swap('beta', 'i', 1, ['beta']));
    assert.equal(second.answer.done, false);
    assert.deepEqual(second.answer.record, first.answer.record, 'and the loser is told who won');
  });

  it('a swap that comes twice is done once', () => {
    const request = swap('alpha', 'i', 1, ['alpha']);
    const { cell } = applyRequest(vouched, 'i', request);
    const again = applyRequest(cell, 'i', request);
    assert.equal(again.answer.done, false);
    assert.equal(again.cell, cell);
  });

  it('a swap that was sent to the register before its restart does nothing', () => {
    const cell = applyRequest(restarted(vouched), 'j', vouch('alpha', 'j', both, true)).cell;
    assert.equal(cell.vouched, true);
    assert.equal(applyRequest(cell, 'j', swap('alpha', 'i', 1, ['alpha'])).answer.done, false);
  });

  it('a new or restarted register takes no swap before it is vouched for', () => {
    for (const cell of [newCell(nodes), restarted(vouched)]) {
      const { answer } = applyRequest(cell, 'i', swap('alpha', 'i', 1, ['alpha']));
      assert.deepEqual([answer.done, answer.vouched], [false, false]);
      const one = applyRequest(cell, 'i', vouch('alpha', 'i', both));
      assert.deepEqual([one.answer.done, one.answer.vouched], [false, false], 'one node alone does not do');
      assert.equal(applyRequest(one.cell, 'i', vouch('alpha', 'i', both)).answer.done, false, 'nor twice the same');
      const other = applyRequest(one.cell, 'i', vouch('beta', 'i', both));
      assert.deepEqual([other.answer.done, other.answer.vouched], [true, true]);
    }
  });

  it('restored from an old copy: the higher epoch of both is the truth, wherever it stands', () => {
    const lost: RegisterRecord = { epoch: 5, inSync: ['beta'], holder: 'beta', dataGeneration: '' };
    const one = applyRequest(restarted(vouched), 'j', vouch('alpha', 'j', { ...both, epoch: 4 }));
    const other = applyRequest(one.cell, 'j', vouch('beta', 'j', lost));
    assert.deepEqual(other.answer.record, lost);
    const newer: Cell = { ...vouched, record: { ...lost, epoch: 9 } };
    const third = applyRequest(applyRequest(restarted(newer), 'j', vouch('alpha', 'j', both)).cell, 'j', vouch('beta', 'j', both));
    assert.equal(third.answer.record.epoch, 9, 'a swap whose answer nobody got counts');
  });

  it('who serves alone vouches alone', () => {
    const record: RegisterRecord = { epoch: 7, inSync: ['alpha'], holder: 'alpha', dataGeneration: '' };
    const { answer } = applyRequest(restarted(vouched), 'j', vouch('alpha', 'j', record, true));
    assert.deepEqual([answer.done, answer.record], [true, record]);
  });

  it('vouching that comes late or twice changes nothing', () => {
    const late = vouch('alpha', 'j', both, true);
    const { cell } = applyRequest(restarted(vouched), 'j', vouch('beta', 'j', { ...both, epoch: 3, inSync: ['beta'] }, true));
    assert.equal(applyRequest(cell, 'j', late).cell, cell);
    assert.equal(applyRequest(restarted(cell), 'k', late).answer.vouched, false, 'nor for the next incarnation');
  });

  it('refuses who does not belong to it', () => {
    assert.match(applyRequest(vouched, 'i', { op: 'read', key, node: 'gamma', nodes }).refused, /gamma is not one of/);
    assert.match(applyRequest(vouched, 'i', { op: 'read', key, node: 'alpha', nodes: ['alpha', 'gamma'] }).refused, /belongs to the nodes alpha and beta/);
    const refused = applyRequest(vouched, 'i', swap('alpha', 'i', 1, ['gamma']));
    assert.match(refused.refused, /gamma/);
    assert.equal(refused.cell, vouched);
  });
});
