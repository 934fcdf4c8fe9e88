/** What is told of failures that did not happen yet, and that the machines then do just that. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Explanation, type ExplainNode, explainInstance } from '../../../../src/cluster/vrrp/explain.js';
import type { TrackUse } from '../../../../src/cluster/vrrp/track.js';
import type { VrrpConfig } from '../../../../src/cluster/vrrp/types.js';
import { address, vrrpConfig } from './configs.js';

const scripts = [{ name: 'chk_nginx', intervalMs: 2000, timeoutMs: 2000, fall: 2 }];

function node(name: string, change: Partial<VrrpConfig> = {}, use: Partial<TrackUse> | null = null, rest: Partial<ExplainNode> = {}): ExplainNode {
  const uses: TrackUse[] = use === null ? [] : [{ kind: 'script', name: 'chk_nginx', weight: 0, reverse: false, ...use }];
  return { node: name, config: vrrpConfig(change), source: name === 'a' ? '10.16.8.10' : '10.16.8.11', uses, weightless: false, now: null, ...rest };
}
const explain = (...nodes: ExplainNode[]): Explanation => explainInstance(nodes, scripts);
const kinds = (result: Explanation): string[] => result.findings.map((each) => each.kind);
const line = (result: Explanation, pattern: RegExp): string => result.lines.find((each) => pattern.test(each)) ?? `no line like ${pattern} in\n${result.lines.join('\n')}`;

describe('deaths', () => {
  it('keepalived\'s figures: 2.63 to 3.63 s for a death, 0.629 s for a stop', () => {
    const result = explain(node('a'), node('b', { priority: 95 }));
    assert.equal(line(result, /dies without/), 'If a dies without a word (power, kernel, SIGKILL) or its network is cut: b is master 2.63 s to 3.63 s later.');
    assert.equal(line(result, /is stopped/), 'If a is stopped: b is master 0.629 s later.');
    assert.equal(line(result, /If b dies/), 'If b dies: the addresses stay on a, and nobody could take over from it.');
    assert.deepEqual(result.findings, []);
  });
  it('version 3 with 0.1 s', () => {
    const change = { version: 3 as const, intervalMs: 100 };
    assert.match(line(explain(node('a', change), node('b', { ...change, priority: 95 })), /dies without/), /b is master 0\.263 s to 0\.363 s later/);
  });
  it('the state that is known counts, not what the configuration would give', () => {
    const result = explain(node('a', {}, null, { now: { state: 'fault', terms: [], faults: ['interface eth0 is down'] } }), node('b', { priority: 95 }, null, { now: { state: 'master', terms: [], faults: [] } }));
    assert.match(line(result, /^a /), /^a is in fault, priority 100 = 100 base: interface eth0 is down\.$/);
    assert.match(line(result, /^If b/), /nobody takes over/);
    assert.deepEqual(kinds(result), ['nobody else']);
  });
  it('who comes back', () => {
    assert.match(line(explain(node('a'), node('b', { priority: 95 })), /comes back/), /takes over again after at most 3\.61 s/);
    assert.match(line(explain(node('a', { preempt: false }), node('b', { priority: 95, preempt: false })), /comes back/), /stays backup/);
  });
});

describe('checks', () => {
  it('a weight that is large enough', () => {
    const result = explain(node('a', {}, { weight: -10 }), node('b', { priority: 95 }, { weight: -10 }));
    assert.match(line(result, /If script chk_nginx fails on a/), /counts after 2 s to 6 s, its priority is then 90 = 100 base, -10 script chk_nginx, below the 95 of b: b is master 4\.63 s to 10\.63 s after the failure/);
    assert.deepEqual(kinds(result), ['slow check']);
  });
  it('a weight that is too small to move the addresses', () => {
    const result = explain(node('a', {}, { weight: -10 }), node('b', { priority: 85 }, { weight: -10 }));
    const finding = result.findings.find((each) => each.kind === 'weight too small');
    assert.equal(finding?.text, 'script chk_nginx: weight -10 is too small to move the addresses. a goes to 90, which is not below the 85 of b; it must lose 6 more.');
    assert.match(line(result, /If script/), /the addresses stay on a/);
  });
  it('equal is not below: one more is needed, and no more', () => {
    assert.ok(kinds(explain(node('a', {}, { weight: -15 }), node('b', { priority: 85 }))).includes('weight too small'));
    assert.ok(!kinds(explain(node('a', {}, { weight: -16 }), node('b', { priority: 85 }))).includes('weight too small'));
  });
  it('a positive weight is lost when the check fails', () => {
    const up = { now: { state: 'master' as const, terms: [{ value: 20, from: 'script chk_nginx' }], faults: [] } };
    assert.match(line(explain(node('a', { priority: 90 }, { weight: 20 }, up), node('b', { priority: 100 })), /If script/), /priority is then 90 = 90 base, below the 100 of b/);
  });
  it('weight 0 is a fault and moves quickly', () => {
    const result = explain(node('a', {}, {}), node('b', { priority: 95 }));
    assert.match(line(result, /If script/), /drops the addresses and is in fault; b is master 2\.63 s to 6\.63 s after the failure/);
  });
  it('the own interface: no priority 0 gets out', () => {
    const result = explain(node('a', {}, { kind: 'interface', name: 'eth0' }), node('b', { priority: 95 }));
    assert.match(line(result, /If interface eth0/), /at once, a drops the addresses and is in fault; b is master 2\.63 s to 3\.63 s/);
  });
  it('nopreempt makes a weight useless, as do a group and an owner', () => {
    assert.ok(kinds(explain(node('a', {}, { weight: -50 }), node('b', { priority: 95, preempt: false }))).includes('nopreempt'));
    assert.ok(kinds(explain(node('a', {}, { weight: -50 }, { weightless: true }), node('b', { priority: 95 }))).includes('weight without effect'));
    assert.ok(kinds(explain(node('a', { priority: 255 }, { weight: -50 }), node('b', { priority: 95 }))).includes('weight without effect'));
  });
});

describe('what will not work', () => {
  it('equal priorities', () => assert.deepEqual(kinds(explain(node('a'), node('b'))), ['equal priorities']));
  it('whatever makes the nodes reject each other, both values named, the password not', () => {
    const cases: [Partial<VrrpConfig>, RegExp][] = [
      [{ vrid: 80 }, /virtual router id differs: 171 on a, 80 on b/],
      [{ version: 3 }, /version differs/],
      [{ intervalMs: 2000 }, /interval differs: 1 s on a, 2 s on b/],
      [{ addresses: [address('10.16.8.101')] }, /list of addresses differs: 10\.16\.8\.100 on a, 10\.16\.8\.101 on b/],
      [{ password: 'secret' }, /^The password differs\. /],
      [{ transport: { kind: 'multicast', group: '224.0.0.111' } }, /group differs: 224\.0\.0\.18 on a, 224\.0\.0\.111 on b/],
    ];
    for (const [change, text] of cases) {
      const { findings } = explain(node('a'), node('b', { priority: 95, ...change }));
      assert.ok(findings.some((each) => each.kind === 'different' && text.test(each.text)), String(text));
      assert.doesNotMatch(JSON.stringify(findings), /secret|115,101/);
    }
  });
  it('version 3 may have two intervals', () => assert.deepEqual(kinds(explain(node('a', { version: 3 }), node('b', { version: 3, priority: 95, intervalMs: 500 }))), []));
});
