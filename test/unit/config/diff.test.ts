import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AdjustStep, adjustPlan } from '../../../src/config/diff.js';
import { parseConfig } from '../../../src/config/load.js';
import type { ResourceConfig } from '../../../src/config/types.js';

function resource(options: { net?: string; disk?: string; startup?: string; address?: string; device?: string } = {}): ResourceConfig {
  const text = `resources:
  r0:
    net: { ${options.net ?? ''} }
    disk: { ${options.disk ?? ''} }
    startup: { ${options.startup ?? ''} }
    on:
      a: { device: ${options.device ?? '/dev/drbd0'}, disk: /dev/sdb1, address: '${options.address ?? '10.0.0.1:7788'}', meta-disk: internal }
      b: { device: /dev/drbd0, disk: /dev/sdb1, address: '10.0.0.2:7788', meta-disk: internal }
`;
  const { config, problems } = parseConfig(text, 'f', null);
  assert.ok(config?.resources[0], JSON.stringify(problems));
  return config.resources[0];
}

function kinds(steps: AdjustStep[]): string[] {
  return steps.map((step) => step.kind);
}

describe('adjust plan', () => {
  it('does nothing when nothing changed', () => assert.deepEqual(adjustPlan(resource(), resource(), 'a'), []));
  it('writing a default out changes nothing', () => assert.deepEqual(adjustPlan(resource(), resource({ net: 'timeout: 6s' }), 'a'), []));
  it('brings up what is new and takes down what left', () => {
    assert.deepEqual(kinds(adjustPlan(null, resource(), 'a')), ['up']);
    assert.deepEqual(kinds(adjustPlan(resource(), null, 'a')), ['down']);
    assert.deepEqual(adjustPlan(null, null, 'a'), []);
  });
  it('changes timeouts and rates online', () => {
    const steps = adjustPlan(resource(), resource({ net: 'ping-int: 5', disk: 'resync-rate: 10M' }), 'a');
    assert.deepEqual(kinds(steps), ['disk-options', 'net-options']);
    assert.match(steps[0]?.reason ?? '', /resync-rate 250 -> 10240/);
  });
  it('reconnects for what is agreed with the peer, once, other options included, without telling the secret', () => {
    const steps = adjustPlan(
      resource(),
      resource({ net: "protocol: A, ping-int: 5, cram-hmac-alg: sha1, shared-secret: 'tell-nobody'" }),
      'a',
    );
    assert.deepEqual(kinds(steps), ['reconnect']);
    assert.match(steps[0]?.reason ?? '', /protocol C -> A/);
    assert.ok(!(steps[0]?.reason ?? '').includes('tell-nobody'));
  });
  it('detaches and attaches for what is fixed while attached', () => {
    const steps = adjustPlan(resource(), resource({ disk: 'al-extents: 257, resync-rate: 10M' }), 'a');
    assert.deepEqual(kinds(steps), ['reattach']);
    assert.match(steps[0]?.reason ?? '', /resync-rate.*al-extents 1237 -> 257/);
  });
  it('protocol and policies change without a new connection', () => {
    assert.deepEqual(kinds(adjustPlan(resource(), resource({ net: 'protocol: A, after-sb-0pri: discard-zero-changes' }), 'a')), [
      'net-options',
    ]);
  });
  it('restarts for addresses and devices', () => {
    assert.deepEqual(adjustPlan(resource(), resource({ address: '10.0.0.9:7788' }), 'a'), [
      { kind: 'restart', reason: 'an address changed' },
    ]);
    assert.deepEqual(kinds(adjustPlan(resource(), resource({ device: '/dev/drbd7' }), 'a')), ['restart']);
  });
  it("a device name of the peer is the peer's affair", () =>
    assert.deepEqual(adjustPlan(resource(), resource({ device: '/dev/drbd7' }), 'b'), []));
  it('a new size is a resize', () =>
    assert.deepEqual(adjustPlan(resource(), resource({ disk: 'size: 1G' }), 'a')[0], {
      kind: 'resize',
      volume: 0,
      sizeSectors: 2_097_152,
      reason: 'size 0 -> 2097152 sectors',
    }));
  it('time limits are only noted', () =>
    assert.deepEqual(kinds(adjustPlan(resource(), resource({ startup: 'wfc-timeout: 60' }), 'a')), ['note']));
});
