/** One instance: what an operator sees of it, event by event. Times are written in milliseconds since the start. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { initialMachine, type MachineState, nextDeadlineMs } from '../../../../src/cluster/vrrp/machine-state.js';
import { step } from '../../../../src/cluster/vrrp/machine.js';
import { priorityText } from '../../../../src/cluster/vrrp/rules.js';
import { snapshot } from '../../../../src/cluster/vrrp/snapshot.js';
import type { VrrpAction, VrrpConfig, VrrpEvent, VrrpSnapshot } from '../../../../src/cluster/vrrp/types.js';
import { vrrpConfig } from './configs.js';

const own = '10.0.0.2';
const peer = '10.0.0.1';
const higher = '10.0.0.9';

/** A router with a tick every 50 ms and a sending thread that is always in time. */
class Router {
  state: MachineState;
  nowMs = 0;
  config: VrrpConfig;
  actions: VrrpAction[] = [];

  constructor(change: Partial<VrrpConfig> = {}, start = true) {
    this.config = vrrpConfig(change);
    this.state = initialMachine(this.config, 0);
    if (start) this.give({ kind: 'start', source: own });
  }
  give(event: VrrpEvent): VrrpAction[] {
    const result = step(this.config, this.state, event, this.nowMs);
    this.state = result.state;
    this.actions.push(...result.actions);
    return result.actions;
  }
  /** Runs on to a time; `sends` false: the thread does not run. */
  to(untilMs: number, sends = true): this {
    while (this.nowMs < untilMs) {
      this.nowMs = Math.min(untilMs, this.nowMs + 50);
      if (sends && this.state.phase === 'master') this.give({ kind: 'advertised', lastMs: this.nowMs, longestGapMs: 50 });
      this.give({ kind: 'tick', heardUntilMs: this.nowMs });
    }
    return this;
  }
  advert(priority: number, source = peer, intervalMs = this.config.intervalMs, receivedMs = this.nowMs): VrrpAction[] {
    return this.give({ kind: 'advert', receivedMs, advert: { source, priority, intervalMs } });
  }
  master(): this {
    this.to(4000);
    assert.equal(this.state.phase, 'master');
    this.actions = [];
    return this;
  }
  get view(): VrrpSnapshot {
    return snapshot(this.config, this.state, this.nowMs);
  }
  /** Kinds of the actions, without texts. */
  kinds(actions: readonly VrrpAction[] = this.actions): string[] {
    return actions.filter((each) => each.kind !== 'log').map((each) => (each.kind === 'notify' ? `notify ${each.state}` : each.kind === 'announce' ? `announce ${each.frames}` : each.kind));
  }
}

describe('becoming master', () => {
  it('says whether the master before was silent, or spoke and was worth less', () => {
    const silent = new Router();
    silent.advert(150);
    silent.to(5000);
    assert.deepEqual([silent.state.phase, silent.view.reason], ['master', `${peer} is silent`]);
    const better = new Router();
    for (const untilMs of [1000, 2000, 3000, 4000]) better.to(untilMs).advert(90);
    assert.deepEqual([better.state.phase, better.view.reason], ['master', `${peer} has a lower priority, 90`]);
    const none = new Router().master();
    assert.equal(none.view.reason, 'no master was heard');
  });
  it('version 2, priority 100: after exactly 3.609375 s of silence, advert, addresses, announcement, second burst 5 s later', () => {
    const router = new Router();
    assert.equal(nextDeadlineMs(router.state), 3609.375);
    router.to(3600);
    assert.deepEqual([router.state.phase, router.kinds()], ['backup', ['notify backup']]);
    router.actions = [];
    router.nowMs = 3609.375;
    router.give({ kind: 'tick', heardUntilMs: 3609.375 });
    assert.deepEqual(router.kinds(), ['advertise', 'takeAddresses', 'announce 5', 'notify master']);
    assert.deepEqual(router.actions[0], { kind: 'advertise', priority: 100, intervalMs: 1000, lapseMs: 3000, atOnce: true });
    router.actions = [];
    router.to(8600);
    assert.deepEqual(router.kinds(), []);
    assert.deepEqual(router.to(20_000).kinds(), ['announce 5']);
  });
  it('version 3 counts the skew in parts of the interval', () => {
    assert.equal(nextDeadlineMs(new Router({ version: 3, intervalMs: 100, priority: 95 }).state), 300 + (161 * 100) / 256);
    assert.equal(nextDeadlineMs(new Router({ version: 3, intervalMs: 10, priority: 254 }).state), 30 + 20 / 256);
  });
  it('another number of adverts may be missing', () => assert.equal(nextDeadlineMs(new Router({ downAdverts: 5 }).state), 5609.375));
  it('an owner of the addresses is master at once', () => assert.deepEqual(new Router({ priority: 255 }).kinds(), ['advertise', 'takeAddresses', 'announce 5', 'notify master']));
  it('a start delay comes before everything, adverts in it do nothing', () => {
    const router = new Router({ priority: 255, startDelayMs: 2000 }).to(1000);
    router.advert(100);
    assert.deepEqual([router.state.phase, router.kinds()], ['initialize', []]);
    assert.equal(router.to(2000).state.phase, 'master');
  });
  it('refreshes its announcement when told to', () => {
    const router = new Router({ announce: { ...vrrpConfig().announce, refreshMs: 10_000, refreshFrames: 2 } }).master();
    assert.equal(router.to(35_000).kinds().filter((each) => each === 'announce 2').length, 3);
  });
});

describe('a backup', () => {
  it('each advert of the same or a higher priority starts Master_Down again', () => {
    const router = new Router();
    for (const at of [3000, 6000]) {
      router.to(at);
      router.advert(at === 3000 ? 100 : 200);
    }
    assert.equal(nextDeadlineMs(router.state), 9609.375);
    assert.equal(router.view.master, peer);
  });
  it('an advert of lower priority does not: the rest of the time runs on', () => {
    const router = new Router().to(3000);
    router.advert(99);
    assert.equal(nextDeadlineMs(router.state), 3609.375);
    assert.equal(router.to(3700).state.phase, 'master');
  });
  it('with nopreempt any master is left alone, and only its silence counts', () => {
    const router = new Router({ preempt: false }).to(3000);
    router.advert(1);
    assert.equal(nextDeadlineMs(router.state), 6609.375);
    assert.equal(router.to(6700).state.phase, 'master');
  });
  it('nopreempt means nothing for an owner that had to step back', () => {
    const router = new Router({ priority: 255, preempt: false });
    router.advert(255, higher);
    assert.equal(router.state.phase, 'backup');
    router.advert(100);
    assert.equal(router.to(3100).state.phase, 'master');
  });
  it('preempt_delay: a lower master is left alone for so long, a dead one is not waited for', () => {
    const router = new Router({ preemptDelayMs: 10_000 });
    for (let at = 1000; at <= 9000; at += 1000) {
      router.to(at);
      router.advert(50);
    }
    assert.equal(nextDeadlineMs(router.state), 12_609.375);
    for (let at = 10_000; at <= 12_000; at += 1000) {
      router.to(at);
      router.advert(50);
    }
    assert.equal(router.to(12_700).state.phase, 'master', 'after the delay the remaining Master_Down is waited for');
    const dead = new Router({ preemptDelayMs: 100_000 });
    dead.advert(50);
    assert.equal(dead.to(3700).state.phase, 'master');
  });
  it('preempt_delay: a better master cancels it, the next lower one starts it anew', () => {
    const router = new Router({ preemptDelayMs: 5000 }).to(1000);
    router.advert(100);
    assert.equal(router.view.preemptAtMs, null);
    router.to(2000);
    router.advert(50);
    assert.equal(router.view.preemptAtMs, 7000);
  });
  it('priority 0 of the master: the skew is waited for, no more', () => {
    const router = new Router().to(2000);
    router.advert(200);
    router.advert(0);
    assert.equal(nextDeadlineMs(router.state), 2609.375);
    router.to(2300);
    router.advert(0);
    assert.equal(nextDeadlineMs(router.state), 2609.375, 'a copy of it does not prolong it');
  });
  it('priority 0 of one that is not the master ends nothing', () => {
    const router = new Router().to(2000);
    router.advert(200);
    router.advert(0, higher);
    assert.equal(nextDeadlineMs(router.state), 5609.375);
  });
  it('version 3 learns the interval of the master', () => {
    const router = new Router({ version: 3, intervalMs: 100 });
    router.advert(200, peer, 1000);
    assert.equal(nextDeadlineMs(router.state), 3000 + (156 * 1000) / 256);
    assert.equal(router.view.masterIntervalMs, 1000);
  });
  it('version 2 does not', () => {
    const router = new Router();
    router.advert(200, peer, 5000);
    assert.equal(nextDeadlineMs(router.state), 3609.375);
  });
});

describe('a late event loop makes no wrong transition', () => {
  it('a timer that fires late is first given what was received before', () => {
    const router = new Router().to(1000);
    router.advert(200);
    router.nowMs = 5500;
    router.advert(200, peer, 1000, 2000);
    router.advert(200, peer, 1000, 3000);
    router.advert(200, peer, 1000, 4000);
    router.advert(200, peer, 1000, 5000);
    router.give({ kind: 'tick', heardUntilMs: 5500 });
    assert.deepEqual([router.state.phase, nextDeadlineMs(router.state)], ['backup', 8609.375]);
  });
  it('a tick that has not heard everything fires nothing', () => {
    const router = new Router().to(1000);
    router.nowMs = 9000;
    router.give({ kind: 'tick', heardUntilMs: 3600 });
    assert.equal(router.state.phase, 'backup');
  });
  it('a backup that slept over its Master_Down listens for one interval and its skew first', () => {
    const router = new Router().to(1000);
    router.advert(200);
    router.nowMs = 60_000;
    router.give({ kind: 'tick', heardUntilMs: 60_000 });
    assert.deepEqual([router.state.phase, nextDeadlineMs(router.state)], ['backup', 61_609.375]);
    router.advert(200);
    assert.equal(nextDeadlineMs(router.state), 63_609.375);
  });
  it('a sleep that ends just before Master_Down counts as well', () => {
    const router = new Router().to(1000);
    router.advert(200);
    router.nowMs = 4500;
    router.give({ kind: 'tick', heardUntilMs: 4500 });
    assert.equal(nextDeadlineMs(router.state), 4500 + 1609.375);
  });
  it('so does reading what came in long ago', () => {
    const router = new Router().to(1000);
    router.advert(200);
    router.nowMs = 9000;
    router.give({ kind: 'tick', heardUntilMs: 1500 });
    assert.equal(nextDeadlineMs(router.state), 10_609.375);
    router.advert(0, peer, 1000, 2000);
    router.give({ kind: 'tick', heardUntilMs: 9000 });
    assert.equal(router.state.phase, 'backup', 'priority 0 of seven seconds ago ends no listening');
  });
  it('nothing that is older than what is known shortens a wait', () => {
    const router = new Router().to(1000);
    router.give({ kind: 'tracked', result: { terms: [], faults: [{ text: 'x', quiet: false }] } });
    router.to(3000);
    router.give({ kind: 'tracked', result: { terms: [], faults: [] } });
    const full = 3000 + 3609.375;
    assert.equal(nextDeadlineMs(router.state), full);
    router.advert(0, peer, 1000, 2500);
    assert.equal(nextDeadlineMs(router.state), full);
    router.advert(200, peer, 1000, 2500);
    assert.equal(nextDeadlineMs(router.state), full);
    router.advert(0, peer, 1000, 2600);
    assert.equal(nextDeadlineMs(router.state), full);
    router.to(4000);
    router.advert(200);
    router.advert(200, peer, 1000, 3500);
    router.advert(0, peer, 1000, 3600);
    assert.equal(nextDeadlineMs(router.state), 4000 + 3609.375);
  });
  it('but only once: a machine that is always slow does take over', () => {
    const router = new Router();
    for (let at = 2000; at <= 8000; at += 2000) {
      router.nowMs = at;
      router.give({ kind: 'tick', heardUntilMs: at });
    }
    assert.equal(router.state.phase, 'master');
  });
});

describe('a master', () => {
  it('steps back for a higher priority, silently', () => {
    const router = new Router().master();
    assert.deepEqual(router.kinds(router.advert(101)), ['silence', 'dropAddresses', 'notify backup']);
    assert.equal(nextDeadlineMs(router.state), 4000 + 3609.375);
    assert.equal(router.view.master, peer);
  });
  it('with higher_prio_send_advert it speaks once before', () => {
    const router = new Router({ answerHigher: true }).master();
    assert.deepEqual(router.kinds(router.advert(101)), ['advertise', 'silence', 'dropAddresses', 'notify backup']);
  });
  it('equal priority: the higher address stays', () => {
    const router = new Router().master();
    router.advert(100, peer);
    assert.equal(router.state.phase, 'master');
    router.advert(100, higher);
    assert.equal(router.state.phase, 'backup');
  });
  it('answers a lower one at once, announces again, says so', () => {
    const router = new Router().master();
    const actions = router.advert(99);
    assert.deepEqual(router.kinds(actions), ['advertise', 'announce 5', 'notifyLower']);
    assert.ok(actions.some((each) => each.kind === 'advertise' && each.atOnce));
  });
  it('lower_prio_no_advert: announces only', () => assert.deepEqual(((router) => router.kinds(router.advert(99)))(new Router({ answerLower: false }).master()), ['announce 5', 'notifyLower']));
  it('answers priority 0', () => assert.deepEqual(((router) => router.kinds(router.advert(0)))(new Router().master()), ['advertise']));
  it('a flood of lower adverts is not answered with a flood', () => {
    const router = new Router().master();
    for (let count = 0; count < 1000; count++) {
      router.nowMs += 1;
      router.advert(count % 2 === 0 ? 1 : 0);
    }
    const count = (kind: string): number => router.kinds().filter((each) => each.startsWith(kind)).length;
    assert.ok(count('advertise') <= 11, `${count('advertise')} adverts in a second`);
    assert.equal(count('announce'), 1);
    assert.equal(count('notifyLower'), 1);
  });
  it('does not take itself for another', () => {
    const router = new Router().master();
    router.advert(255, own);
    assert.equal(router.state.phase, 'master');
    assert.match(router.view.hearingText, /rejected: an advert from our own address/);
  });
  it('stops: addresses first, then priority 0', () => assert.deepEqual(((router) => router.kinds(router.give({ kind: 'stop' })))(new Router().master()), ['silence', 'dropAddresses', 'resign', 'notify stop']));
  it('holds addresses again that somebody took', () => {
    const router = new Router().master();
    assert.deepEqual(router.kinds(router.give({ kind: 'addressesLost', reason: 'ip addr del' })), ['takeAddresses', 'announce 5']);
    const backup = new Router();
    assert.deepEqual(backup.kinds(backup.give({ kind: 'addressesLost', reason: 'x' })), []);
  });
  it('a new priority goes out with the next advert', () => {
    const router = new Router().master();
    const actions = router.give({ kind: 'tracked', result: { terms: [{ value: -20, from: 'script chk_nginx' }], faults: [] } });
    assert.deepEqual(router.kinds(actions), ['notifyPriority', 'advertise']);
    assert.ok(actions.some((each) => each.kind === 'advertise' && !each.atOnce && each.priority === 80));
    router.advert(95);
    assert.equal(router.state.phase, 'backup');
  });
});

describe('a process that was frozen', () => {
  it('gives up mastership before anything else, whatever it hears first', () => {
    const events: VrrpEvent[] = [
      { kind: 'tick', heardUntilMs: 7500 },
      { kind: 'advert', receivedMs: 5000, advert: { source: peer, priority: 1, intervalMs: 1000 } },
      { kind: 'addressesLost', reason: 'x' },
      { kind: 'tracked', result: { terms: [{ value: -1, from: 'x' }], faults: [] } },
      { kind: 'advertised', lastMs: 4000, longestGapMs: 3500 },
    ];
    for (const event of events) {
      const router = new Router().master();
      router.nowMs = 7500;
      const kinds = router.kinds(router.give(event));
      assert.deepEqual(kinds.slice(0, 3), ['silence', 'dropAddresses', 'notify backup'], event.kind);
      assert.ok(!kinds.includes('advertise') && !kinds.includes('takeAddresses'), event.kind);
      assert.equal(router.view.lapses, 1);
    }
  });
  it('not so if only this event loop was late and the adverts went on', () => {
    const router = new Router().master();
    router.nowMs = 20_000;
    router.give({ kind: 'advertised', lastMs: 19_900, longestGapMs: 1001 });
    router.give({ kind: 'tick', heardUntilMs: 20_000 });
    assert.deepEqual([router.state.phase, router.view.lapses, router.view.worstOwnGapMs], ['master', 0, 1001]);
  });
  it('a gap that no backup can have noticed changes nothing', () => {
    const router = new Router().master().to(7000, false);
    assert.equal(router.state.phase, 'master');
    assert.equal(router.to(7050, false).state.phase, 'backup');
  });
});

describe('faults and what is tracked', () => {
  const down = (text = 'interface eth1 is down', quiet = false): VrrpEvent => ({ kind: 'tracked', result: { terms: [], faults: [{ text, quiet }] } });
  const well: VrrpEvent = { kind: 'tracked', result: { terms: [], faults: [] } };
  it('a fault ends mastership with priority 0 and is told; then a full Master_Down', () => {
    const router = new Router().master();
    assert.deepEqual(router.kinds(router.give(down())), ['silence', 'dropAddresses', 'resign', 'notify fault']);
    assert.deepEqual(router.view.faults, ['interface eth1 is down']);
    router.to(5000);
    assert.deepEqual(router.kinds(router.give(well)), ['notify backup']);
    assert.equal(nextDeadlineMs(router.state), 8609.375);
  });
  it('an owner that is well again is master at once', () => {
    const router = new Router({ priority: 255 });
    router.give(down());
    assert.deepEqual(router.kinds(router.give(well)), ['advertise', 'takeAddresses', 'announce 5', 'notify master']);
  });
  it('a check without a result yet is a quiet fault: nobody is told until it is a real one', () => {
    const router = new Router({}, false);
    router.give(down('script x: no result yet', true));
    router.give({ kind: 'start', source: own });
    assert.deepEqual([router.state.phase, router.kinds()], ['fault', []]);
    assert.deepEqual(router.kinds(router.give(down('script x failed'))), ['notify fault']);
    assert.deepEqual(router.kinds(router.give(down('script x failed again'))), []);
  });
  it('but the end of mastership is always told', () => {
    const router = new Router().master();
    assert.deepEqual(router.kinds(router.give(down('script x: no result yet', true))), ['silence', 'dropAddresses', 'resign', 'notify fault']);
  });
  it('without an address to send from it is in fault', () => {
    const router = new Router().master();
    assert.deepEqual(router.kinds(router.give({ kind: 'source', source: null })), ['silence', 'dropAddresses', 'resign', 'notify fault']);
    router.give({ kind: 'source', source: own });
    assert.equal(router.state.phase, 'backup');
  });
  it('in fault nothing makes it master', () => {
    const router = new Router();
    router.give(down());
    router.advert(0);
    assert.equal(router.to(60_000).state.phase, 'fault');
  });
  it('the priority is shown with its sum', () => {
    const terms = [{ value: -20, from: 'script chk_nginx' }, { value: 5, from: 'interface eth1' }];
    const router = new Router();
    router.give({ kind: 'tracked', result: { terms, faults: [] } });
    assert.equal(router.view.effectivePriority, 85);
    assert.deepEqual(router.view.terms, [{ value: 100, from: 'base' }, ...terms]);
    assert.equal(priorityText(100, terms), '85 = 100 base, -20 script chk_nginx, +5 interface eth1');
    assert.equal(priorityText(10, terms.slice(0, 1)), '1 = 10 base, -20 script chk_nginx, kept in 1 to 254');
    assert.equal(priorityText(255, terms.slice(0, 1)), '255 = 255 base, -20 script chk_nginx (an owner keeps 255)');
  });
});

describe('joined to a group', () => {
  const gate = (state: 'promotable' | 'serving' | 'refused'): VrrpEvent => ({ kind: 'gate', state, reason: 'Inconsistent' });
  it('no address without data: they come when the group is served and go when it is not', () => {
    const router = new Router({ gate: { group: 'web', weight: -50 } });
    assert.deepEqual([router.state.phase, router.kinds()], ['fault', []]);
    router.give(gate('promotable'));
    router.to(4000);
    assert.deepEqual([router.state.phase, router.view.holdsAddresses], ['master', false]);
    assert.deepEqual(router.kinds(router.give(gate('serving'))), ['takeAddresses', 'announce 5']);
    assert.deepEqual(router.kinds(router.give(gate('serving'))), []);
    assert.deepEqual(router.kinds(router.give(gate('promotable'))), ['dropAddresses']);
    assert.equal(router.state.phase, 'master');
  });
  it('one that may not be promoted lowers the priority', () => {
    const router = new Router({ gate: { group: 'web', weight: -50 } });
    router.give(gate('promotable'));
    router.to(4000);
    router.actions = [];
    router.give(gate('refused'));
    assert.deepEqual(router.kinds(), ['notifyPriority', 'advertise']);
    assert.deepEqual(router.view.terms, [{ value: 100, from: 'base' }, { value: -50, from: 'group web' }]);
    router.advert(90);
    assert.equal(router.state.phase, 'backup');
  });
  it('weight 0, or an owner: it is a fault', () => {
    for (const change of [{ gate: { group: 'web', weight: 0 } }, { priority: 255, gate: { group: 'web', weight: -50 } }]) {
      const router = new Router(change);
      router.give(gate('serving'));
      router.to(4000);
      router.actions = [];
      assert.equal(router.view.holdsAddresses, true);
      router.give(gate('refused'));
      assert.deepEqual(router.kinds(), ['silence', 'dropAddresses', 'resign', 'notify fault']);
      assert.match(router.view.reason, /group web may not be served here: Inconsistent/);
    }
  });
});

describe('what was heard', () => {
  const rejected = (router: Router, reason: 'password' | 'interval' = 'password', source = peer): VrrpAction[] =>
    router.give({ kind: 'rejected', receivedMs: router.nowMs, source, reason, text: 'the password is another one' });
  it('never heard, heard, heard but rejected and silent are four things', () => {
    const router = new Router().to(1000);
    assert.equal(router.view.hearing, 'nobody ever');
    rejected(router);
    assert.equal(router.view.hearing, 'heard but rejected');
    assert.match(router.view.hearingText, /peer heard but rejected: the password is another one \(10\.0\.0\.1, 1 times/);
    router.advert(200, higher);
    assert.equal(router.view.hearing, 'heard');
    router.to(20_000);
    assert.equal(router.view.hearing, 'silent');
    rejected(router);
    assert.equal(router.view.hearing, 'heard but rejected');
  });
  it('a rejected advert does not keep a backup', () => {
    const router = new Router().to(3500);
    rejected(router);
    assert.equal(router.to(3700).state.phase, 'master');
  });
  it('the first of a kind is logged, a flood is not', () => {
    const router = new Router().to(1000);
    const warnings = (actions: VrrpAction[]): number => actions.filter((each) => each.kind === 'log' && each.level === 'warn').length;
    assert.equal(warnings(rejected(router)), 1);
    assert.equal(warnings(rejected(router)), 0);
    assert.equal(warnings(rejected(router, 'interval')), 1);
    let all = 0;
    for (let index = 0; index < 1000; index++) all += warnings(rejected(router, 'password', `10.1.${index >> 8}.${index & 255}`));
    assert.equal(all, 8, 'ten lines a minute in all');
    assert.ok(router.view.senders.length <= 17);
  });
  it('a flood of forged senders does not drive out the master', () => {
    const router = new Router().to(1000);
    router.advert(200, higher);
    for (let index = 0; index < 1000; index++) rejected(router, 'password', `10.1.${index >> 8}.${index & 255}`);
    assert.equal(router.view.senders.find((each) => each.source === higher)?.taken, 1);
  });
  it('the worst silence is measured, and which part of Master_Down it was', () => {
    const router = new Router().to(1000);
    router.advert(200);
    for (const at of [2000, 4700, 5700]) {
      router.to(at);
      router.advert(200);
    }
    assert.equal(router.view.worstSilenceMs, 2700);
    assert.equal(router.view.worstSilencePart, 2700 / 3609.375);
    assert.deepEqual(router.view.failoverMs, { min: 2609.375, max: 3859.375 });
  });
});
