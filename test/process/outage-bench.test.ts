/** The outage benchmark, one round of drbdts alone: that it measures, not what. Its figures belong to a machine that does nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { describe, run } from '../support/exec.js';
import { labUnavailable, longRun, programsUnavailable } from '../support/paths.js';

const main = fileURLToPath(new URL('../bench/outage.js', import.meta.url));
const skip = labUnavailable() || programsUnavailable('/usr/sbin/nginx') || (!longRun && 'a long one: DRBDTS_LONG=1');

test('bench:outage measures a planned move and a killed node', { skip, timeout: 300_000 }, async () => {
  const result = await run([process.execPath, main, '--rounds', '1', '--only', 'drbdts-planned,drbdts-kill'], { timeoutMs: 280_000 });
  // 3: measured, and a bar was missed
  assert.ok(result.code === 0 || result.code === 3, describe(result));
  assert.match(result.stdout, /^planned move .* 1 +\d+\.\d\d +\d+\.\d\d +0\.50 /m);
  assert.match(result.stdout, /^SIGKILL of the node .* 1 +\d+\.\d\d +\d+\.\d\d +1\.00 /m);
});
