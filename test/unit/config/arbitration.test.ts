/** What an arbiter changes in the configuration of volumes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkArbitration, type Finding, fencingDefault } from '../../../src/config/check.js';

const findings = (arbiter: 'witness' | 'none', fencing: string, handler: string): Finding[] => {
  const found: Finding[] = [];
  checkArbitration(['resources', 'r0'], arbiter, { fencing }, handler === '' ? {} : { 'fence-peer': handler }, (finding) => found.push(finding));
  return found;
};

test('with an arbiter a Primary stands still until it was asked', () => {
  assert.deepEqual(fencingDefault('witness'), { fencing: 'resource-and-stonith' });
  assert.deepEqual(fencingDefault('none'), {});
  assert.deepEqual(findings('witness', 'resource-and-stonith', ''), []);
});

test('a fence-peer handler beside an arbiter is refused, and fencing that would not ask is warned of', () => {
  const [refusal] = findings('witness', 'resource-and-stonith', '/usr/lib/drbd/crm-fence-peer.sh');
  assert.deepEqual([refusal?.severity, refusal?.code], ['error', 'ERR_CONFIG_CONFLICT']);
  assert.match(refusal?.message ?? '', /the arbiter decides/);
  assert.equal(findings('witness', 'dont-care', '')[0]?.severity, 'warning');
  assert.deepEqual(findings('none', 'dont-care', '/bin/true'), []);
});
