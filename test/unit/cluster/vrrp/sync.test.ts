/** Instances that move together. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { initialSync, type SyncConfig, type SyncState, type SyncStepped, syncStep } from '../../../../src/cluster/vrrp/sync.js';
import type { VrrpConfig, VrrpEvent } from '../../../../src/cluster/vrrp/types.js';
import { vrrpConfig } from './configs.js';

const own = '10.0.0.2';
const peer = '10.0.0.1';

class Group {
  readonly config: SyncConfig;
  state: SyncState;
  nowMs = 0;
  notified: string[] = [];
  actions: SyncStepped['actions'] = [];

  constructor(change: Partial<VrrpConfig> = {}) {
    this.config = { name: 'g', members: ['in', 'out'].map((name, index) => vrrpConfig({ ...change, name, vrid: index + 1 })) };
    this.state = initialSync(this.config, 0);
    this.give(null, { kind: 'start', source: own });
  }
  give(member: string | null, event: VrrpEvent): SyncStepped['actions'] {
    const result = syncStep(this.config, this.state, member, event, this.nowMs);
    this.state = result.state;
    if (result.notify !== null) this.notified.push(result.notify);
    this.actions = result.actions;
    return result.actions;
  }
  to(untilMs: number): this {
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + 50);
      this.give(null, { kind: 'advertised', lastMs: this.nowMs, longestGapMs: 50 });
      this.give(null, { kind: 'tick', heardUntilMs: this.nowMs });
    }
    return this;
  }
  advert(member: string, priority: number): void {
    this.give(member, { kind: 'advert', receivedMs: this.nowMs, advert: { source: peer, priority, intervalMs: 1000 } });
  }
  get phases(): string {
    return this.config.members.map((each) => this.state.members[each.name]?.phase).join(' ');
  }
  did(member: string): string[] {
    return this.actions.filter((each) => each.member === member && each.action.kind !== 'log').map(({ action }) => (action.kind === 'notify' ? `notify ${action.state}` : action.kind));
  }
}

describe('a sync group', () => {
  it('becomes master as one', () => {
    const group = new Group().to(4000);
    assert.equal(group.phases, 'master master');
    assert.deepEqual(group.notified, ['backup', 'master']);
  });
  it('waits until every member wants to', () => {
    const group = new Group().to(3000);
    group.advert('out', 200);
    assert.equal(group.to(5000).phases, 'backup backup');
    assert.equal(group.state.members['in']?.wants, true);
    assert.equal(group.to(6700).phases, 'master master');
  });
  it('and does not want to any more once the master is heard', () => {
    const group = new Group().to(3000);
    group.advert('out', 200);
    group.to(5000);
    group.advert('in', 200);
    assert.equal(group.state.members['in']?.wants, false);
    assert.equal(group.to(7000).phases, 'backup backup');
  });
  it('a better master on one network takes both', () => {
    const group = new Group().to(4000);
    group.advert('in', 200);
    assert.equal(group.phases, 'backup backup');
    assert.deepEqual(group.did('in'), ['silence', 'dropAddresses', 'notify backup']);
    assert.deepEqual(group.did('out'), ['silence', 'dropAddresses', 'resign', 'notify backup']);
  });
  it('a fault of one is a fault of all, and so is its end', () => {
    const group = new Group().to(4000);
    group.give('in', { kind: 'tracked', result: { terms: [], faults: [{ text: 'interface eth1 is down', quiet: false }] } });
    assert.equal(group.phases, 'fault fault');
    assert.deepEqual(group.did('out'), ['silence', 'dropAddresses', 'resign', 'notify fault']);
    assert.equal(group.state.members['out']?.reason, 'in of the same group is in fault');
    group.give('in', { kind: 'tracked', result: { terms: [], faults: [] } });
    assert.equal(group.phases, 'backup backup');
    assert.deepEqual(group.notified, ['backup', 'master', 'fault', 'backup']);
    assert.equal(group.to(8000).phases, 'master master');
  });
  it('a check without a result keeps all in fault, quietly', () => {
    const group = new Group();
    group.notified = [];
    group.give('in', { kind: 'tracked', result: { terms: [], faults: [{ text: 'script x: no result yet', quiet: true }] } });
    assert.equal(group.phases, 'fault fault');
    assert.deepEqual([group.notified, group.did('in'), group.did('out')], [[], [], []]);
    group.give('in', { kind: 'tracked', result: { terms: [], faults: [{ text: 'script x failed', quiet: false }] } });
    assert.deepEqual([group.notified, group.did('in'), group.did('out')], [['fault'], ['notify fault'], ['notify fault']]);
  });
  it('owners are masters at once, together', () => assert.equal(new Group({ priority: 255 }).phases, 'master master'));
  it('stops as one', () => {
    const group = new Group().to(4000);
    group.give('in', { kind: 'stop' });
    assert.equal(group.phases, 'initialize initialize');
    assert.equal(group.notified.at(-1), 'stop');
  });
  it('a frozen node gives up all of it', () => {
    const group = new Group().to(4000);
    group.nowMs = 9000;
    group.give('out', { kind: 'tick', heardUntilMs: 9000 });
    assert.equal(group.phases, 'backup backup');
  });
  it('whatever happens: never one master and one that is not, after any event', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('advert' as const), priority: fc.constantFrom(0, 50, 100, 200) }),
      fc.record({ kind: fc.constant('fault' as const), on: fc.boolean(), quiet: fc.boolean() }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(50, 700, 4000) }),
      fc.record({ kind: fc.constant('frozen' as const), ms: fc.constantFrom(100, 2000, 9000) }),
      fc.record({ kind: fc.constant('weight' as const), value: fc.integer({ min: -60, max: 60 }) }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('in', 'out'), event), { maxLength: 25 }), (events) => {
        const group = new Group();
        const look = (): void => assert.ok(['master master', 'backup backup', 'fault fault'].includes(group.phases), group.phases);
        for (const [member, each] of events) {
          if (each.kind === 'advert') group.advert(member, each.priority);
          else if (each.kind === 'wait') group.to(group.nowMs + each.ms);
          else if (each.kind === 'frozen') {
            group.nowMs += each.ms;
            group.give(member, { kind: 'tick', heardUntilMs: group.nowMs });
          } else group.give(member, { kind: 'tracked', result: { terms: each.kind === 'weight' ? [{ value: each.value, from: 'x' }] : [], faults: each.kind === 'fault' && each.on ? [{ text: 'x', quiet: each.quiet }] : [] } });
          look();
        }
      }),
      { numRuns: 300 },
    );
  });
});
