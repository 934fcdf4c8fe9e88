/** The group machine, told as stories: events in, what it wants done and what it says out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { abortGraceMs } from '../../src/cluster/group-step.js';
import type { GroupAction, GroupEvent, GroupState } from '../../src/cluster/group-types.js';
import { initialGroup, nextTickMs, step } from '../../src/cluster/group.js';
import type { GroupConfig, MemberConfig } from '../../src/config/cluster-types.js';

const times = { startMs: 20_000, stopMs: 30_000, monitorMs: 5000, monitorEveryMs: 10_000 };

function member(kind: MemberConfig['kind'], name: string): MemberConfig {
  switch (kind) {
    case 'volume':
      return { kind, name, resource: 'r0', ...times };
    case 'filesystem':
      return { kind, name, device: '/dev/drbd0', mountPoint: '/store', type: 'ext4', options: '', fsck: 'auto', graceMs: 1000, ...times };
    case 'vip':
      return { kind, name, family: 4, address: '192.0.2.1', prefix: 24, interface: '', label: '', announceCount: 5, announceGapMs: 1, refreshMs: 0, ...times };
    case 'service':
      return { kind, name, service: { kind: 'systemd', unit: 'nginx.service' }, ...times };
  }
}

/** volume, filesystem, vip, service: indexes 0 to 3. */
function groupConfig(changes: Partial<GroupConfig> = {}): GroupConfig {
  const members = [member('volume', 'volume r0'), member('filesystem', 'filesystem /store'), member('vip', 'vip 192.0.2.1'), member('service', 'service nginx')];
  return { name: 'web', members, preferred: '', autoFailback: false, migrationThreshold: 3, failureTimeoutMs: 0, after: [], apart: [], ...changes };
}

/** Drives a machine; `did` is what it asked for since the last look, in short words. */
class Story {
  state: GroupState;
  now = 1000;
  actions: GroupAction[] = [];

  constructor(config: GroupConfig = groupConfig()) {
    this.state = initialGroup(config);
  }

  send(event: GroupEvent): void {
    const result = step(this.state, event, this.now);
    this.state = result.state;
    this.actions.push(...result.actions);
  }

  wait(ms: number): void {
    this.now += ms;
    this.send({ kind: 'tick' });
  }

  did(): string[] {
    const words = this.actions.flatMap((action) => {
      if (action.kind === 'run') return [`${action.action} ${action.index}${action.level === 'orderly' ? '' : ` ${action.level}`}`];
      if (action.kind === 'abort') return [`abort ${action.index}${action.hard ? ' hard' : ''}`];
      if (action.kind === 'phase') return [action.to];
      return action.kind === 'selfFence' ? ['selfFence'] : [];
    });
    this.actions = [];
    return words;
  }

  get life(): (index: number) => number {
    return (index) => this.state.members[index]?.running?.life ?? -1;
  }

  result(index: number, ok = true, reason = '', found?: 'started' | 'stopped'): void {
    const running = this.state.members[index]?.running;
    assert.ok(running, `member ${index} does something`);
    this.send({ kind: 'memberResult', index, action: running.action, life: running.life, ok, reason, ...(found === undefined ? {} : { found }) });
  }

  probed(...found: ('started' | 'stopped')[]): this {
    this.send({ kind: 'probe' });
    for (const [index, one] of found.entries()) this.result(index, true, '', one);
    this.did();
    return this;
  }

  started(): this {
    return this.probed('started', 'started', 'started', 'started');
  }
}

const allStopped = ['stopped', 'stopped', 'stopped', 'stopped'] as const;

describe('group', () => {
  it('starts left to right, each only after the one before', () => {
    const story = new Story().probed(...allStopped);
    assert.equal(story.state.phase, 'stopped');
    story.send({ kind: 'start', reason: 'preferred here' });
    assert.deepEqual(story.did(), ['starting', 'start 0']);
    for (const index of [0, 1, 2]) {
      story.result(index);
      assert.deepEqual(story.did(), [`start ${index + 1}`]);
    }
    story.result(3);
    assert.deepEqual(story.did(), ['started']);
  });

  it('stops right to left', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'standby', urgent: false });
    assert.deepEqual(story.did(), ['stopping', 'stop 3']);
    for (const index of [3, 2, 1]) {
      story.result(index);
      assert.deepEqual(story.did(), [`stop ${index - 1}`]);
    }
    story.result(0);
    assert.deepEqual(story.did(), ['stopped']);
  });

  it('rolls a failed start back, then is failed and can be started again', () => {
    const story = new Story().probed(...allStopped);
    story.send({ kind: 'start', reason: 'test' });
    story.result(0);
    story.did();
    story.result(1, false, 'wrong fs type');
    assert.deepEqual(story.did(), ['stopping', 'stop 1']);
    story.result(1);
    story.result(0);
    assert.deepEqual(story.did(), ['stop 0', 'failed']);
    assert.match(story.state.failure, /filesystem \/store did not start: wrong fs type/);
    assert.equal(story.state.failCount, 1);
    story.send({ kind: 'start', reason: 'nowhere else' });
    assert.deepEqual(story.did(), ['starting', 'start 0']);
  });

  it('a start that takes too long is ended, and what is left of it stopped', () => {
    const story = new Story().probed(...allStopped);
    story.send({ kind: 'start', reason: 'test' });
    story.did();
    story.wait(times.startMs);
    assert.deepEqual(story.did(), ['abort 0']);
    story.result(0, false, 'peer is Primary');
    assert.deepEqual(story.did(), ['stopping', 'stop 0']);
    assert.match(story.state.failure, /start not done within 20 s: peer is Primary/);
  });

  it('a stop during start ends the start first', () => {
    const story = new Story().probed(...allStopped);
    story.send({ kind: 'start', reason: 'test' });
    story.result(0);
    story.did();
    story.send({ kind: 'stop', reason: 'moved', urgent: false });
    assert.deepEqual(story.did(), ['stopping', 'abort 1']);
    story.result(1, false, 'ended');
    story.result(1);
    story.result(0);
    assert.deepEqual(story.did(), ['stop 1', 'stop 0', 'stopped']);
    assert.equal(story.state.failCount, 0);
  });

  it('urgent: addresses go at once, in parallel with the rest', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'arbiter denied', urgent: true });
    assert.deepEqual(story.did(), ['stopping', 'stop 2', 'stop 3']);
    story.result(3);
    assert.deepEqual(story.did(), ['stop 1']);
    story.result(1);
    story.result(0);
    assert.deepEqual(story.did(), ['stop 0']);
    assert.equal(story.state.phase, 'stopping');
    story.result(2);
    assert.deepEqual(story.did(), ['stopped']);
  });

  it('urgent during an orderly stop withdraws the address before its turn', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'moved', urgent: false });
    story.did();
    story.send({ kind: 'stop', reason: 'arbiter lost', urgent: true });
    assert.deepEqual(story.did(), ['stop 2']);
  });

  it('a failed stop is escalated, and never becomes a success', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'moved', urgent: false });
    story.result(3);
    story.result(2);
    story.did();
    story.result(1, false, 'busy');
    story.result(1, false, 'busy');
    assert.deepEqual(story.did(), ['stop 1 kill', 'stop 1 cut']);
    story.result(1, false, 'busy');
    assert.deepEqual(story.did(), ['stop-failed', 'selfFence']);
    story.send({ kind: 'stop', reason: 'again', urgent: true });
    story.send({ kind: 'start', reason: 'again' });
    story.wait(1e9);
    assert.deepEqual(story.did(), []);
    assert.equal(nextTickMs(story.state), null);
    story.send({ kind: 'cleanup' });
    assert.deepEqual(story.did(), ['unknown', 'probe 0', 'probe 1', 'probe 2', 'probe 3']);
  });

  it('a stop that hangs for ever fences', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'moved', urgent: false });
    story.did();
    story.wait(times.stopMs);
    assert.deepEqual(story.did(), ['abort 3']);
    story.wait(abortGraceMs);
    assert.deepEqual(story.did(), ['stop-failed', 'selfFence', 'stop 2']);
  });

  it('a limit for the whole stop is kept, and shared by the levels', () => {
    const story = new Story().started();
    story.send({ kind: 'stop', reason: 'denied', urgent: true, level: 'cut', withinMs: 3000 });
    const runs = story.actions.filter((action) => action.kind === 'run');
    assert.deepEqual(
      runs.map((action) => [action.index, action.level, action.timeoutMs]),
      [[2, 'kill', 3000], [3, 'cut', 3000]],
    );
    story.did();
    story.wait(2999);
    assert.deepEqual(story.did(), []);
    story.wait(1);
    assert.ok(story.did().includes('selfFence'));
  });

  it('a failed monitor restarts the member and those right of it until the threshold, then stops all', () => {
    const story = new Story().started();
    for (const failure of [1, 2]) {
      story.wait(times.monitorEveryMs);
      assert.deepEqual(story.did(), ['monitor 0', 'monitor 1', 'monitor 2', 'monitor 3']);
      for (const index of [0, 1, 3]) story.result(index);
      story.result(2, false, 'address is gone');
      assert.deepEqual(story.did(), ['starting', 'stop 3']);
      story.result(3);
      story.result(2);
      story.result(2);
      story.result(3);
      assert.deepEqual(story.did(), ['stop 2', 'start 2', 'start 3', 'started']);
      assert.equal(story.state.failCount, failure);
    }
    story.wait(times.monitorEveryMs);
    for (const index of [0, 1, 3]) story.result(index);
    story.did();
    story.result(2, false, 'address is gone');
    assert.deepEqual(story.did(), ['stopping', 'stop 3']);
    for (const index of [3, 2, 1, 0]) story.result(index);
    assert.equal(story.state.phase, 'failed');
    assert.match(story.state.failure, /vip 192.0.2.1 failed: address is gone \(failure 3 of 3\)/);
  });

  it('failures are forgotten after failureTimeoutMs, and by cleanup', () => {
    const story = new Story(groupConfig({ migrationThreshold: 1, failureTimeoutMs: 60_000 })).started();
    story.wait(times.monitorEveryMs);
    story.result(0, false, 'not Primary');
    for (const index of [3, 2, 1]) story.result(index, false, 'ended');
    for (const index of [3, 2, 1, 0]) story.result(index);
    assert.equal(story.state.phase, 'failed');
    assert.equal(nextTickMs(story.state), story.now + 60_000);
    story.wait(60_000);
    assert.equal(story.state.phase, 'stopped');
    assert.equal(story.state.failCount, 0);
  });

  it('maintenance: nothing is watched, started or stopped; afterwards it looks first', () => {
    const story = new Story().started();
    story.send({ kind: 'maintenance', on: true });
    story.send({ kind: 'stop', reason: 'moved', urgent: true });
    story.wait(1e6);
    story.send({ kind: 'probe' });
    assert.deepEqual(story.did(), []);
    assert.equal(story.state.phase, 'started');
    story.send({ kind: 'maintenance', on: false });
    assert.deepEqual(story.did(), ['unknown', 'probe 0', 'probe 1', 'probe 2', 'probe 3']);
  });

  it('adopts what runs, reports what runs in part', () => {
    const all = new Story();
    all.send({ kind: 'probe' });
    for (const index of [0, 1, 2, 3]) all.result(index, true, '', 'started');
    assert.deepEqual(all.did(), ['probe 0', 'probe 1', 'probe 2', 'probe 3', 'started']);

    const part = new Story().probed('started', 'stopped', 'stopped', 'started');
    assert.equal(part.state.phase, 'partial');
    part.send({ kind: 'start', reason: 'ours' });
    // the service does not run without its file system: it is stopped before the gap is filled
    assert.deepEqual(part.did(), ['starting', 'stop 3']);
    part.result(3);
    for (const index of [1, 2, 3]) part.result(index);
    assert.deepEqual(part.did(), ['start 1', 'start 2', 'start 3', 'started']);
  });

  it('a member of which nothing can be found out is stopped, not believed', () => {
    const story = new Story();
    story.send({ kind: 'probe' });
    for (const index of [1, 2, 3]) story.result(index, true, '', 'stopped');
    story.result(0, false, 'no answer from drbdtsd');
    assert.equal(story.state.phase, 'partial');
    story.did();
    story.send({ kind: 'stop', reason: 'not ours', urgent: false });
    assert.deepEqual(story.did(), ['stopping', 'stop 0']);
  });

  it('results of an earlier run and of nobody are ignored', () => {
    const story = new Story().probed(...allStopped);
    story.send({ kind: 'start', reason: 'test' });
    const life = story.life(0);
    story.send({ kind: 'memberResult', index: 0, action: 'start', life: life - 1, ok: true, reason: '' });
    story.send({ kind: 'memberResult', index: 9, action: 'start', life, ok: true, reason: '' });
    story.send({ kind: 'memberResult', index: 0, action: 'stop', life, ok: true, reason: '' });
    assert.deepEqual(story.did(), ['starting', 'start 0']);
    assert.equal(story.state.phase, 'starting');
  });
});
