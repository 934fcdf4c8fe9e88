/** Decisions of one node in situations that went wrong once: each named by what a user would have seen. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterConfig, GroupConfig, MemberConfig } from '../../../src/config/cluster-types.js';
import { decide, type DecideInput, type Decision, freshMemory } from '../../../src/cluster/decide.js';
import { placeAll } from '../../../src/cluster/placement.js';
import { type GroupReport, type NodeReport, noWishes, type VolumeReport } from '../../../src/cluster/report.js';

const cluster: ClusterConfig = {
  ...{ name: 'demo', keyFile: '', nodes: ['alpha', 'beta'] as [string, string], links: [], ping: [], deadpingMs: 5000 },
  arbiter: { kind: 'witness', address: { family: 4, host: '192.0.2.9', port: 1 }, keyFile: '', timeoutMs: 500 },
  ...{ keepaliveMs: 100, warntimeMs: 300, deadtimeMs: 600, initdeadMs: 5000, selfFence: { command: '', watchdog: '', reboot: true } },
};
const times = { startMs: 1000, stopMs: 1000, monitorMs: 1000, monitorEveryMs: 1000 };

function group(changes: Partial<GroupConfig> = {}): GroupConfig {
  const members = [{ kind: 'volume', name: 'volume r0', resource: 'r0', ...times }] as MemberConfig[];
  return { ...{ name: 'store', members, preferred: '', autoFailback: false, migrationThreshold: 3, failureTimeoutMs: 0, after: [], apart: [] }, ...changes };
}
const primary: VolumeReport = { role: 'Primary', disk: 'UpToDate', peerDisk: 'UpToDate', connection: 'Connected', frozen: false };
const secondary: VolumeReport = { ...primary, role: 'Secondary' };

function report(node: string, own: Partial<GroupReport>, volume: VolumeReport, changes: Partial<NodeReport> = {}): NodeReport {
  return {
    ...{ node, version: '1', configDigest: 'same', standby: false, leaving: false, pingLost: 0, wishes: noWishes, volumes: { r0: volume } },
    groups: { store: { phase: 'stopped', claim: false, failed: false, failCount: 0, held: false, ...own } },
    ...changes,
  };
}

function input(own: NodeReport, peer: NodeReport | null, changes: Partial<DecideInput> = {}): DecideInput {
  return {
    ...{ cluster, groups: [group()], self: own.node, nowMs: 10_000, own, nextVersion: 8, peerReport: peer, confirmedVersion: 7, confirmedAgeMs: 10 },
    ...{ peer: peer === null ? 'dead' : 'alive', reportIsCurrent: true, twins: false, standings: { r0: 'together' }, silentArbiter: [], unvouched: [], replicationAgeMs: {}, daemonUp: true },
    ...changes,
  };
}
const kinds = ({ orders }: Decision): string[] => orders.map(({ kind }) => kind);

describe('decide', () => {
  it('of two that run a group after a cut, the one that won the arbiter keeps it, first node or not', () => {
    const winner = report('beta', { phase: 'started' }, primary);
    const loser = report('alpha', { phase: 'started', held: true }, { ...primary, connection: 'WFConnection', peerDisk: 'DUnknown', frozen: true });
    assert.deepEqual(kinds(decide(input(winner, loser, { standings: { r0: 'alone' } }), freshMemory)), []);
    // the loser may not have heard from the arbiter yet
    assert.deepEqual(kinds(decide(input(loser, winner), freshMemory)), ['stop']);
    // nor the winner, when it serves a group whose record has started anew
    assert.deepEqual(kinds(decide(input(winner, loser), freshMemory)), []);
  });

  it('of two that serve alike the first node keeps it, seen from both sides', () => {
    const [one, two] = [report('alpha', { phase: 'started' }, primary), report('beta', { phase: 'started' }, primary)];
    assert.deepEqual(kinds(decide(input(one, two), freshMemory)), []);
    assert.deepEqual(kinds(decide(input(two, one), freshMemory)), ['stop']);
  });

  it('addresses that were held in doubt come back although drbdtsd was away, or maintenance began, when the doubt ended', () => {
    const held = report('alpha', { phase: 'started', held: true }, primary);
    const peer = report('beta', {}, secondary);
    assert.deepEqual(kinds(decide(input(held, peer), freshMemory)), ['release']);
    const maintained = report('alpha', { phase: 'started', held: true }, primary, { wishes: { ...noWishes, maintenance: { value: true, stamp: 3 } } });
    assert.deepEqual(kinds(decide(input(maintained, peer), freshMemory)), ['release']);
    assert.deepEqual(kinds(decide(input(held, report('beta', {}, secondary, { configDigest: 'other' })), freshMemory)), ['release']);
  });

  it('and stay away while the other node has the group, while the volume is not Primary, and while drbdtsd does not answer', () => {
    const held = report('beta', { phase: 'started', held: true }, primary);
    assert.deepEqual(kinds(decide(input(held, report('alpha', { phase: 'stopping' }, primary)), freshMemory)), ['release']);
    assert.deepEqual(kinds(decide(input(held, report('alpha', { phase: 'started', held: true }, primary)), freshMemory)), ['stop']);
    assert.deepEqual(kinds(decide(input(held, report('alpha', {}, secondary), { reportIsCurrent: false }), freshMemory)), []);
    const coming = report('beta', { phase: 'started', held: true }, secondary);
    assert.deepEqual(kinds(decide(input(coming, report('alpha', {}, secondary)), freshMemory)), []);
    assert.deepEqual(kinds(decide(input(held, report('alpha', {}, secondary), { daemonUp: false }), freshMemory)), []);
  });
});

describe('an arbiter that can not be asked while the other node is dead', () => {
  const own = report('beta', {}, { ...secondary, connection: 'WFConnection', peerDisk: 'DUnknown' });
  const starting = report('beta', { phase: 'starting' }, { ...secondary, connection: 'WFConnection', peerDisk: 'DUnknown' });
  const [unvouched, silent, open] = [{ unvouched: ['r0'] }, { silentArbiter: ['r0'] }, { standings: { r0: 'open' as const } }];

  it('restarted: the group waits, names the way out, and starts when the arbiter has been vouched for', () => {
    const waits = decide(input(own, null, unvouched), freshMemory);
    assert.deepEqual(kinds(waits), []);
    assert.match(waits.placements['store']?.why ?? '', /^waiting: the arbiter was restarted.* until alpha vouches .*confirm-fenced alpha --reason TEXT/);
    assert.deepEqual(kinds(decide(input(own, null), waits.memory)), ['start']);
  });

  it('a start that has begun is taken back before it counts as failed: at once when it has to be vouched for, after a while when it is silent', () => {
    assert.deepEqual(decide(input(starting, null, { ...unvouched, ...open }), freshMemory).orders.map((order) => [order.kind, order.kind === 'stop' && order.urgent]), [['stop', false]]);
    const first = decide(input(starting, null, { ...silent, ...open }), freshMemory);
    assert.deepEqual(kinds(first), []);
    const later = input(starting, null, { ...silent, ...open, nowMs: 13_100 });
    assert.deepEqual(kinds(decide(later, first.memory)), ['stop']);
    const answered = decide(input(starting, null, open), first.memory);
    assert.deepEqual(kinds(decide(later, answered.memory)), [], 'it had answered in between');
  });

  it('changes nothing for who is Primary already, or while the other node lives', () => {
    const primaryAlone: VolumeReport = { ...primary, connection: 'WFConnection', peerDisk: 'Outdated' };
    assert.deepEqual(kinds(decide(input(report('beta', { phase: 'starting' }, primaryAlone), null, { ...unvouched, standings: { r0: 'alone' } }), freshMemory)), []);
    assert.deepEqual(kinds(decide(input(starting, report('alpha', {}, secondary), unvouched), freshMemory)), []);
  });
});

describe('a group that stops', () => {
  it('is told to hurry, its addresses first, when this node turns out to be denied or does not know', () => {
    const stopping = report('alpha', { phase: 'stopping' }, { ...primary, frozen: true, connection: 'WFConnection', peerDisk: 'DUnknown' });
    const denied = decide(input(stopping, report('beta', {}, secondary), { standings: { r0: 'denied' } }), freshMemory);
    assert.deepEqual(denied.orders.map((order) => [order.kind, order.kind === 'stop' && order.urgent]), [['stop', true]]);
    assert.deepEqual(kinds(decide(input(stopping, null, { standings: { r0: 'open' } }), freshMemory)), ['hold']);
    assert.deepEqual(kinds(decide(input(stopping, report('beta', { phase: 'starting' }, secondary)), freshMemory)), ['stop']);
    assert.deepEqual(kinds(decide(input(stopping, report('beta', {}, secondary)), freshMemory)), []);
  });
});

describe('a repaired node of which only drbdtsd is started', () => {
  const serving = report('alpha', { phase: 'started' }, primary);

  it('takes neither the addresses nor the group from the one that serves, while its engine answers', () => {
    const taken = input(serving, null, { standings: { r0: 'together' }, replicationAgeMs: { r0: 200 } });
    assert.deepEqual(kinds(decide(taken, freshMemory)), ['ask-replication']);
    const held = report('alpha', { phase: 'started', held: true }, primary);
    assert.deepEqual(kinds(decide({ ...taken, own: held }, freshMemory)), ['ask-replication', 'release']);
  });

  it('is asked before its disk is taken in, and an old answer, none, or a lost connection count for nothing', () => {
    assert.deepEqual(kinds(decide(input(serving, null, { standings: { r0: 'alone' } }), freshMemory)), ['ask-replication']);
    for (const replicationAgeMs of [{}, { r0: 601 }]) {
      assert.deepEqual(kinds(decide(input(serving, null, { standings: { r0: 'together' }, replicationAgeMs }), freshMemory)), ['ask-replication', 'hold']);
    }
    const cut = report('alpha', { phase: 'started' }, { ...primary, connection: 'WFConnection', peerDisk: 'DUnknown' });
    assert.deepEqual(kinds(decide(input(cut, null, { standings: { r0: 'together' }, replicationAgeMs: { r0: 10 } }), freshMemory)), ['hold']);
  });
});

describe('placement', () => {
  it('a group on its way home does not turn back while its volume is still said to be Primary where it was', () => {
    const home = group({ preferred: 'alpha', autoFailback: true });
    const candidates = [
      { node: 'alpha', report: report('alpha', {}, secondary) },
      { node: 'beta', report: report('beta', {}, primary) },
    ];
    assert.equal(placeAll([home], candidates, noWishes, new Set()).get('store')?.node, 'alpha');
    // home is not complete: it stays near its data
    const behind = [{ node: 'alpha', report: report('alpha', {}, { ...secondary, disk: 'UpToDate', peerDisk: 'UpToDate', connection: 'SyncSource' }) }, candidates[1] ?? { node: 'beta', report: null }];
    assert.equal(placeAll([home], behind, noWishes, new Set()).get('store')?.node, 'beta');
  });
});
