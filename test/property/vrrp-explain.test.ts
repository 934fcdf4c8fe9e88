/** What `vrrp explain` says of a failing check is what two routers then do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { explainInstance } from '../../src/cluster/vrrp/explain.js';
import { contribution, type TrackUse } from '../../src/cluster/vrrp/track.js';
import { vrrpConfig } from '../unit/cluster/vrrp/configs.js';
import { Random, realStepper, World } from '../vrrp-sim/world.js';
import { replay } from './replay.js';

describe('vrrp explain', () => {
  it('says whether a weight moves the addresses, and in what time', () => {
    const priority = fc.integer({ min: 60, max: 120 });
    fc.assert(
      fc.property(priority, priority, fc.integer({ min: -60, max: 60 }), fc.boolean(), fc.boolean(), fc.integer(), (base, peer, weight, preempt, v3, seed) => {
        const change = { version: v3 ? (3 as const) : (2 as const), intervalMs: v3 ? 100 : 1000, preempt };
        const use: TrackUse = { kind: 'script', name: 'x', weight, reverse: false };
        const configs = [vrrpConfig({ ...change, name: 'a', priority: base }), vrrpConfig({ ...change, name: 'b', priority: peer })] as const;
        const up = contribution(weight, true, false);
        const terms = up === 0 ? [] : [{ value: up, from: 'script x' }];
        const world = new World(configs, new Random(seed), realStepper, null);
        const [a, b] = world.nodes;
        assert.ok(a !== undefined && b !== undefined);
        world.judge.trouble();
        world.start(a);
        world.give(a, { kind: 'tracked', result: { terms, faults: [] } });
        world.runTo(5 * change.intervalMs);
        world.start(b);
        world.runTo(10 * change.intervalMs);
        if (a.state?.phase !== 'master') return;
        const { lines, findings } = explainInstance(
          [
            { node: 'a', config: configs[0], source: a.source, uses: [use], weightless: false, now: { state: 'master', terms, faults: [] } },
            { node: 'b', config: configs[1], source: b.source, uses: [], weightless: false, now: { state: 'backup', terms: [], faults: [] } },
          ],
          [],
        );
        const line = lines.find((each) => each.startsWith('If script x fails on a')) ?? '';
        const failedMs = world.now;
        const failed = contribution(weight, false, false);
        world.give(a, { kind: 'tracked', result: weight === 0 ? { terms: [], faults: [{ text: 'x', quiet: false }] } : { terms: failed === 0 ? [] : [{ value: failed, from: 'script x' }], faults: [] } });
        while (world.now < failedMs + 12 * change.intervalMs && b.state?.phase !== 'master') world.runTo(world.now + change.intervalMs / 100);
        const moved = b.state?.phase === 'master';
        assert.equal(moved, / b is master /.test(line), line);
        assert.equal(findings.some((each) => ['weight too small', 'nopreempt'].includes(each.kind)), !moved, line);
        if (!moved) return;
        const times = [.../([\d.]+) s(?: to ([\d.]+) s)? after the failure/.exec(line) ?? []].slice(1).map(Number);
        const low = times[0] ?? Number.NaN;
        const high = Number.isNaN(times[1] ?? Number.NaN) ? low : (times[1] ?? low);
        const took = (world.now - failedMs) / 1000;
        const slack = 0.03 + 0.1 * (change.intervalMs / 1000);
        assert.ok(took >= low - slack && took <= high + slack, `${took} s, said: ${line}`);
      }),
      replay('vrrp explain', 300),
    );
  });
});
