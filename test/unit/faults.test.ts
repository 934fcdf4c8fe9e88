/** Schedules of faults are drawn from a seed, and the judge of a played one lets nothing pass. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterStatus } from '../../src/control/cluster-messages.js';
import type { VolumeStatus } from '../../src/control/messages.js';
import { addressGoneMs, ailments, lostRows, type NodeView, type Observation, rowText, servedTwice, verdict } from '../faults/judge.js';
import { beginWithinMs, drawSchedule, endWithinMs, faultKinds, faultText, kindNames } from '../faults/schedule.js';
import { addressTwice, type Reading } from '../support/service-readings.js';

describe('schedules of faults', () => {
  const many = Array.from({ length: 3000 }, (_, index) => drawSchedule(index));

  it('the same seed gives the same schedule', () => {
    for (const { seed, ...rest } of many.slice(0, 50)) assert.deepEqual(drawSchedule(seed), { seed, ...rest });
    assert.notDeepEqual(many[1]?.faults, many[2]?.faults);
  });

  it('two to four faults, in order, within their times, each with a target where it needs one', () => {
    for (const { faults, endMs } of many) {
      assert.ok(faults.length >= 2 && faults.length <= 4);
      for (const [index, { kind, on, atMs, forMs }] of faults.entries()) {
        assert.ok(atMs >= (faults[index - 1]?.atMs ?? 0) && atMs < beginWithinMs);
        assert.ok(forMs >= 0 && atMs + forMs <= endWithinMs && atMs + forMs <= endMs);
        assert.equal(forMs === 0, faultKinds[kind].lastsMs === null || (forMs === 0 && faultKinds[kind].lastsMs?.[0] === 0), kind);
        assert.equal(on !== null, faultKinds[kind].targeted);
      }
    }
  });

  it('every kind is drawn, against both nodes, and they overlap; never do two disks fail', () => {
    const all = many.flatMap(({ faults }) => faults);
    for (const kind of kindNames) {
      assert.ok(all.some((fault) => fault.kind === kind), kind);
      if (faultKinds[kind].targeted) for (const on of ['active', 'passive']) assert.ok(all.some((fault) => fault.kind === kind && fault.on === on), `${kind} ${on}`);
    }
    assert.ok(many.some(({ faults: [first, second] }) => first !== undefined && second !== undefined && first.atMs + first.forMs > second.atMs));
    for (const { faults } of many) assert.ok(faults.filter(({ kind }) => kind === 'disk-errors').length <= 1);
  });

  it('only what was asked for', () => {
    for (let seed = 0; seed < 50; seed++) for (const { kind } of drawSchedule(seed, ['move', 'isolate']).faults) assert.ok(kind === 'move' || kind === 'isolate');
  });

  it('says what will happen', () => {
    assert.equal(faultText({ kind: 'isolate', on: 'active', atMs: 1230, forMs: 4000 }), 'the active node cut off from everybody at 1.2 s for 4.0 s');
    assert.equal(faultText({ kind: 'move', on: null, atMs: 100, forMs: 0 }), 'group moved by hand at 0.1 s');
  });
});

describe('the judge of a schedule', () => {
  const good: Observation = {
    faults: drawSchedule(1, ['move']).faults, violations: [], client: { acknowledged: [[1, 10]], attempts: 10, longestGapMs: 5, stale: [] }, lost: [], fenced: [], operator: [],
    healthyAfterMs: 100, ailments: [], differing: [], errors: [],
  };

  it('passes what is right', () => assert.deepEqual(verdict(good), []));

  it('lets nothing pass that is wrong', () => {
    const wrong: Partial<Observation>[] = [
      { violations: ['both'] }, { lost: [3] }, { lost: null }, { client: { ...good.client, stale: ['old'] } }, { client: { ...good.client, acknowledged: [] } },
      { healthyAfterMs: null, ailments: ['it is not'] }, { differing: [4096] }, { operator: [{ node: 'a', act: 'attach', sentence: '' }] }, { fenced: ['a'] }, { errors: ['x'] },
    ];
    for (const change of wrong) assert.equal(verdict({ ...good, ...change }).length, 1, JSON.stringify(change));
  });

  it('a node may fence itself where a fault left it no other way, and a person be asked for with a sentence', () => {
    const faults = drawSchedule(1, ['stop-drbdtsd']).faults;
    assert.deepEqual(verdict({ ...good, faults, fenced: ['a'], operator: [{ node: 'a', act: 'attach', sentence: 'the disk failed' }] }), []);
  });

  it('finds rows that are missing, altered or of another file', () => {
    const row = (number: number): string => rowText('f', number);
    assert.deepEqual(lostRows('f', `${row(1)}\n${row(2)}x\n${rowText('g', 3)}\n${row(4)}\n12 f`, [[1, 2], [3, 4]]), [2, 3]);
  });

  it('an address that two kernels have counts unless nobody reaches one of them', () => {
    const reading = (node: string, atMs: number): Reading => ({ node, atMs, vip: true, mount: false, answered: false, role: '', connection: '', suspended: false, deviceUp: false });
    const readings = [reading('a', 100), reading('b', 110), reading('a', 120)];
    assert.equal(servedTwice(addressTwice, readings, []), true);
    assert.equal(servedTwice(addressTwice, readings, [{ node: 'b', fromMs: 50, toMs: 200 }]), false);
    assert.equal(servedTwice(addressTwice, readings, [{ node: 'b', fromMs: 50, toMs: 105 }]), true);
    const cut = { node: 'b', fromMs: 50 };
    assert.equal(servedTwice(addressTwice, readings, [{ ...cut, toMs: addressGoneMs(105, true, 3500) }]), true, 'it gave up before clients came back');
    assert.equal(servedTwice(addressTwice, readings, [{ ...cut, toMs: addressGoneMs(105, false, 3500) }]), false, 'nobody there to give up');
    assert.equal(servedTwice('both nodes are Primary', readings, [{ node: 'b', fromMs: 50, toMs: null }]), true);
  });

  it('says what keeps a cluster from being healthy', () => {
    const volume = { connection: 'Connected', disk: 'UpToDate', peerDisk: 'UpToDate', suspended: [], arbitration: { state: 'together' } } as unknown as VolumeStatus;
    const cluster = (phase: string): ClusterStatus =>
      ({ nodes: [{ name: 'a', state: 'online' }, { name: 'b', state: 'online' }], groups: [{ name: 'web', phase, held: false, failure: '', why: '' }], warnings: ['deadtime is short'] }) as unknown as ClusterStatus;
    const a: NodeView = { name: 'a', volume, cluster: cluster('started'), hasVip: true };
    const b: NodeView = { name: 'b', volume, cluster: cluster('stopped'), hasVip: false };
    assert.deepEqual(ailments([a, b], 'web'), []);
    const ill: NodeView[][] = [
      [a, { ...b, volume: null }], [a, { ...b, cluster: null }], [a, { ...b, hasVip: true }], [{ ...a, hasVip: false }, b], [a, { ...b, cluster: cluster('failed') }], [b, b],
      [a, { ...b, volume: { ...volume, disk: 'Inconsistent' } }], [a, { ...b, volume: { ...volume, suspended: ['fencing'] } }],
      [a, { ...b, volume: { ...volume, arbitration: null } }], [a, { ...b, cluster: { ...cluster('stopped'), warnings: ['arbiter away'] } }],
    ];
    for (const views of ill) assert.notDeepEqual(ailments(views, 'web'), [], JSON.stringify(views));
  });
});
