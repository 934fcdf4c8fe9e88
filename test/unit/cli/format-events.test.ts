import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endsInitialDump, formatEvent } from '../../../src/cli/format-events.js';
import type { EventRecord } from '../../../src/control/messages.js';

const time = '2026-11-20T14:46:34.123456+00:00';
const record = (verb: EventRecord['verb'], object: EventRecord['object'], attributes: Record<string, string> = {}): EventRecord => ({
  time,
  verb,
  object,
  attributes,
});

test('events are the lines of events2', () => {
  assert.deepEqual(
    formatEvent(
      record('exists', 'peer-device', {
        name: 'r0',
        'peer-node-id': '0',
        'conn-name': 'peer',
        volume: '0',
        replication: 'Established',
        'peer-disk': 'UpToDate',
        'resync-suspended': 'no',
      }),
      false,
    ),
    ['exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate resync-suspended:no'],
  );
  assert.deepEqual(formatEvent(record('exists', '-'), false), ['exists -']);
  assert.deepEqual(formatEvent(record('change', 'resource', { name: 'r0', role: 'Primary' }), true), [
    `${time} change resource name:r0 role:Primary`,
  ]);
  assert.deepEqual(formatEvent(record('exists', '-', { skipped: '7' }), false), ['- skipped 7', 'exists -']);
});

test('only `exists -` ends the initial dump', () => {
  assert.equal(endsInitialDump(record('exists', '-')), true);
  assert.equal(endsInitialDump(record('exists', 'resource')), false);
});
