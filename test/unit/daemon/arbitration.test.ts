/** The agent step by step, where a random schedule rarely goes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RegisterAnswer, RegisterRecord } from '../../../src/arbiter/messages.js';
import {
  type ArbitrationAction,
  type ArbitrationEvent,
  type ArbitrationState,
  startArbitration,
  stepArbitration,
  type View,
} from '../../../src/daemon/arbitration.js';
import { arbitrationStatusOf } from '../../../src/daemon/arbitration-status.js';

const alone: RegisterRecord = { epoch: 4, inSync: ['alpha'], holder: 'alpha', dataGeneration: '' };
const servesAlone: View = {
  ...{ primary: true, attached: true, upToDate: true, peerUpToDate: false, connected: false, quiet: false, frozen: false },
  dataGeneration: '',
};
const cutOff: View = { ...servesAlone, frozen: true };
const together: View = { ...servesAlone, connected: true, quiet: true, peerUpToDate: true };
const diskGone: View = { ...together, upToDate: false };

class Agent {
  state: ArbitrationState = startArbitration('volume/r0/0', 'alpha', 'beta', { record: alone, mayBeUndone: false });
  now = 0;
  actions: readonly ArbitrationAction[] = [];

  step(event: ArbitrationEvent, view: View): this {
    this.now += 2000;
    ({ state: this.state, actions: this.actions } = stepArbitration(this.state, event, view, this.now));
    return this;
  }

  /** The request that is under way is answered. */
  answered(answer: Partial<RegisterAnswer>, view: View): this {
    const id = this.state.asking?.id ?? assert.fail('nothing was asked');
    return this.step({ type: 'answer', id, answer: { done: false, vouched: true, incarnation: 'i', record: alone, ...answer } }, view);
  }

  lost(view: View): this {
    return this.step({ type: 'no-answer', id: this.state.asking?.id ?? assert.fail('nothing was asked'), problem: 'no answer' }, view);
  }

  get kinds(): string[] {
    return this.actions.map((action) => (action.type === 'ask' ? action.request.op : action.type));
  }
}

describe('the agent', () => {
  it('recorded alone and serving it goes on at once, in whatever life it has read the register', () => {
    const agent = new Agent().step({ type: 'look' }, servesAlone).answered({}, servesAlone);
    assert.deepEqual(agent.step({ type: 'fence', id: 1, self: false }, cutOff).actions, [{ type: 'end-fence', id: 1, exitCode: 7 }]);
    assert.deepEqual(new Agent().step({ type: 'fence', id: 1, self: false }, cutOff).kinds, ['read']);
  });

  it('the only member does not give its copy up to a peer that may lack what it acknowledged alone', () => {
    const agent = new Agent().step({ type: 'look' }, servesAlone).answered({}, servesAlone);
    agent.step({ type: 'fence', id: 1, self: true }, diskGone).answered({}, diskGone);
    assert.deepEqual(agent.kinds, [], 'I/O stays frozen until the disk is back or an operator decides');
    assert.notEqual(agent.state.fence, null);
  });

  for (const [name, view, self] of [
    ['taking the peer back in', together, null],
    ['handing over to the peer', diskGone, null],
    ['giving up its own copy', diskGone, true],
  ] as const) {
    it(`after ${name} without an answer it is not sure to be alone, and that is on stable storage before the request leaves`, () => {
      const agent = new Agent().step({ type: 'look' }, servesAlone).answered({}, servesAlone);
      // both were complete in this life, and nothing was acknowledged alone since
      agent.state = { ...agent.state, peerLacks: false };
      if (self === true) agent.step({ type: 'fence', id: 1, self: true }, view);
      else agent.step({ type: 'look' }, view);
      agent.answered({}, view);
      assert.deepEqual(agent.kinds, ['save', 'swap']);
      assert.equal(agent.state.durable.mayBeUndone, true);
      agent.lost(view);
      if (self === true) agent.step({ type: 'fence-gone', id: 1 }, cutOff);
      agent.step({ type: 'fence', id: 2, self: false }, cutOff);
      assert.deepEqual(agent.kinds, ['read'], 'it asks instead of saying that the peer is out');
      agent.answered({}, cutOff);
      assert.deepEqual(agent.kinds, ['swap'], 'and makes sure');
      agent.answered({ done: true, record: { ...alone, epoch: 5 } }, cutOff);
      assert.deepEqual(agent.kinds, ['save', 'end-fence']);
      assert.equal(agent.state.durable.mayBeUndone, false);
    });
  }

  it('serving and taken out by the peer it asks at once whether the connection it sees is one', () => {
    const record = { ...alone, inSync: ['alpha', 'beta'] };
    const out = { ...record, epoch: 5, inSync: ['beta'], holder: 'beta' };
    const agent = (): Agent => {
      const one = new Agent().step({ type: 'look' }, together).answered({ record }, together);
      assert.deepEqual(one.kinds, ['save']);
      return one.step({ type: 'look' }, together);
    };
    assert.deepEqual(agent().answered({ record: out }, together).kinds, ['save', 'check-peer']);
    assert.deepEqual(agent().answered({ record: out }, { ...together, primary: false, peerUpToDate: false }).kinds, ['save'], 'nothing is served here');
    assert.deepEqual(agent().answered({ record: out }, cutOff).kinds, ['save'], 'it is known to be lost');
  });

  it('an operator\'s word that the peer is off makes its own word enough, until the peer is seen', () => {
    const secondary: View = { ...cutOff, primary: false, frozen: false };
    const waiting = { vouched: false, record: { ...alone, epoch: 3 } };
    const agent = new Agent().step({ type: 'look' }, secondary).answered(waiting, secondary).answered(waiting, secondary);
    assert.match(arbitrationStatusOf(agent.state, 'witness', '').sentence, /waits until beta vouches .*drbdts confirm-fenced beta --reason/);
    const vouches = (of: Agent): boolean[] => of.actions.flatMap((action) => (action.type === 'ask' && action.request.op === 'vouch' ? [action.request.alone] : []));
    agent.step({ type: 'look' }, secondary).answered(waiting, secondary);
    assert.deepEqual(vouches(agent), [false]);
    agent.answered(waiting, secondary).step({ type: 'confirmed' }, secondary).answered(waiting, secondary);
    assert.deepEqual(vouches(agent), [true]);
    agent.answered({ vouched: true }, secondary);
    assert.equal(agent.state.confirmed, false);
    assert.equal(arbitrationStatusOf(agent.state, 'witness', '').vouched, true);
    agent.step({ type: 'confirmed' }, secondary).step({ type: 'look' }, { ...secondary, connected: true });
    assert.equal(agent.state.confirmed, false, 'it is not off');
    assert.equal(agent.step({ type: 'confirmed' }, { ...secondary, connected: true }).state.confirmed, false);
  });

  it('an answer to another request, or one older than what it knows, changes nothing', () => {
    const agent = new Agent().step({ type: 'look' }, servesAlone);
    const before = agent.state;
    agent.step({ type: 'answer', id: 77, answer: { done: true, vouched: true, incarnation: 'x', record: { ...alone, epoch: 9 } } }, servesAlone);
    assert.equal(agent.state, before);
    agent.answered({ record: { ...alone, epoch: 3, inSync: ['alpha', 'beta'] } }, servesAlone);
    assert.deepEqual(agent.state.durable.record, alone);
    assert.match(arbitrationStatusOf(agent.state, 'witness', '').sentence, /answer is not used: its record has epoch 3/);
  });

  it('its own copy is out only by a swap, also when the record says so already: the peer may be taking it back in', () => {
    const peersOnly: RegisterRecord = { ...alone, inSync: ['beta'], holder: 'beta' };
    const agent = new Agent().step({ type: 'look' }, together).answered({ record: peersOnly }, together);
    agent.step({ type: 'fence', id: 1, self: true }, diskGone);
    assert.deepEqual(agent.kinds, ['read']);
    agent.answered({ record: peersOnly }, diskGone);
    const [, asked] = agent.actions;
    assert.ok(asked?.type === 'ask' && asked.request.op === 'swap');
    assert.deepEqual([asked.request.expectedEpoch, asked.request.record.inSync], [4, ['beta']]);
    // the peer's swap came first
    const both: RegisterRecord = { ...alone, epoch: 5, inSync: ['alpha', 'beta'] };
    agent.answered({ record: both }, diskGone);
    assert.deepEqual(agent.kinds, ['save', 'swap']);
    agent.answered({ done: true, record: { ...peersOnly, epoch: 6 } }, diskGone);
    assert.deepEqual(agent.actions.filter((action) => action.type === 'end-fence'), [{ type: 'end-fence', id: 1, exitCode: 7 }]);
  });

  it('who took a copy out takes it in again, and nobody else', () => {
    // alpha gave up its own copy, and it is good again
    const own: RegisterRecord = { ...alone, inSync: ['beta'], by: 'alpha' };
    const agent = new Agent().step({ type: 'look' }, together).answered({ record: own }, together);
    const asked = agent.actions.find((action) => action.type === 'ask');
    assert.ok(asked?.type === 'ask' && asked.request.op === 'swap');
    assert.deepEqual(asked.request.record.inSync, ['alpha', 'beta']);
    // beta gave up its own: that it sees alpha's as good may be old
    const other = new Agent().step({ type: 'look' }, together).answered({ record: { ...alone, by: 'beta' } }, together);
    assert.deepEqual(other.kinds, ['save']);
    // nor is alpha alone by its own word: without the peer it asks before it goes on
    assert.deepEqual(other.step({ type: 'fence', id: 1, self: false }, cutOff).kinds, ['read']);
    other.answered({ record: { ...alone, by: 'beta' } }, cutOff);
    assert.deepEqual(other.kinds, ['save', 'swap'].slice(-1));
  });

  it('what was swapped out for an earlier question is no answer to one about the other disk', () => {
    const both: RegisterRecord = { ...alone, inSync: ['alpha', 'beta'] };
    const agent = new Agent().step({ type: 'look' }, together).answered({ record: both }, together);
    // our disk went, and its swap out is under way
    agent.step({ type: 'fence', id: 1, self: true }, diskGone).answered({ record: both }, diskGone);
    assert.deepEqual(agent.kinds, ['save', 'swap']);
    // the disk is back and good, and the peer is gone
    agent.step({ type: 'fence', id: 2, self: false }, cutOff);
    agent.answered({ done: true, record: { ...both, epoch: 5, inSync: ['beta'] } }, cutOff);
    assert.deepEqual(agent.actions.filter((action) => action.type === 'end-fence'), [{ type: 'end-fence', id: 2, exitCode: 6 }]);
  });

  it('a promotion gives up after its time, a Primary never', () => {
    for (const [view, kinds] of [
      [{ ...cutOff, primary: false, frozen: false }, ['end-fence']],
      [cutOff, ['read']],
    ] as const) {
      const agent = new Agent();
      agent.state = { ...agent.state, durable: { record: { ...alone, inSync: ['alpha', 'beta'] }, mayBeUndone: false } };
      agent.step({ type: 'fence', id: 1, self: false }, view).lost(view).step({ type: 'look' }, view);
      assert.deepEqual(agent.kinds, kinds);
    }
  });
});
