import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { decodeHeartbeat, decodeReport, encodeHeartbeat, encodeReport, heartbeatKey } from '../../src/cluster/heartbeat-codec.js';
import type { Heartbeat } from '../../src/cluster/membership-types.js';
import { Rejects } from '../../src/cluster/rejects.js';
import { replay } from './replay.js';

const key = heartbeatKey(Buffer.from('k'));
const boot = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => Buffer.byteLength(text) <= 64);
const count = fc.maxSafeNat();
const heartbeats: fc.Arbitrary<Heartbeat> = fc.record({
  cluster: name,
  node: name,
  link: name,
  boot,
  sequence: count,
  reportVersion: count,
  goodbye: fc.boolean(),
  echo: fc.option(
    fc.record({ boot, heldUs: fc.nat(0xffff_ffff), reportVersion: count, links: fc.array(fc.record({ name, sequence: count }), { maxLength: 8 }) }),
  ),
  rival: fc.option(fc.record({ boot, sequence: count })),
});

describe('heartbeat codec', () => {
  it('what was encoded is decoded', () => {
    fc.assert(
      fc.property(heartbeats, fc.option(fc.jsonValue()), (heartbeat, value) => {
        const report = value === null ? null : encodeReport(value);
        const decoded = decodeHeartbeat(encodeHeartbeat(heartbeat, report, key), heartbeat.cluster, key);
        assert.ok(decoded.ok);
        assert.equal(JSON.stringify(decoded.heartbeat), JSON.stringify(heartbeat));
        assert.deepEqual(decoded.report === null ? null : decodeReport(decoded.report), value === null ? null : JSON.parse(JSON.stringify(value)));
      }),
      replay('codec round trip', 1000),
    );
  });

  it('any change of any byte is noticed, any bytes at all are survived', () => {
    fc.assert(
      fc.property(heartbeats, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 300 }), (heartbeat, at, flip, junk) => {
        const bytes = encodeHeartbeat(heartbeat, null, key);
        bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ flip;
        assert.equal(decodeHeartbeat(bytes, heartbeat.cluster, key).ok, false);
        assert.equal(decodeHeartbeat(junk, heartbeat.cluster, key).ok, false);
      }),
      replay('codec damage', 2000),
    );
  });

  it('a holder of the key who sends nonsense is refused or understood, and what is understood has one form only', () => {
    fc.assert(
      fc.property(heartbeats, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.uint8Array({ maxLength: 40 }), (heartbeat, changes, tail) => {
        const signed = Buffer.concat([encodeHeartbeat(heartbeat, null, key).subarray(0, -32), tail]);
        for (const [at, value] of changes) signed[5 + (at % (signed.length - 5))] = value;
        signed.writeUInt16BE(signed.length + 32, 6);
        const bytes = Buffer.concat([signed, createHmac('sha256', key).update(signed).digest()]);
        const decoded = decodeHeartbeat(bytes, heartbeat.cluster, key);
        if (decoded.ok) assert.deepEqual(encodeHeartbeat(decoded.heartbeat, decoded.report, key), bytes);
        if (decoded.ok && decoded.report !== null) decodeReport(decoded.report);
      }),
      replay('codec nonsense', 3000),
    );
  });
});

describe('what is refused', () => {
  it('is counted completely and said once a minute for each kind and source, however many sources there are', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ kind: fc.constantFrom('key', 'garbage'), source: fc.nat(200), afterMs: fc.nat(3000) }), { maxLength: 400 }), (arrivals) => {
        const rejects = new Rejects((kind, source) => `${kind} ${source}`);
        const said: { what: string; atMs: number }[] = [];
        let nowMs = 0;
        for (const { kind, source, afterMs } of arrivals) {
          nowMs += afterMs;
          const text = rejects.add(kind, String(source), '', nowMs);
          if (text !== null) said.push({ what: `${kind} ${source}`, atMs: nowMs });
        }
        assert.equal(rejects.total, arrivals.length);
        for (const [index, { what, atMs }] of said.entries()) {
          assert.ok(!said.slice(index + 1).some((later) => later.what === what && later.atMs - atMs < 60_000));
          assert.ok(said.filter((other) => other.atMs >= atMs && other.atMs < atMs + 60_000).length <= 128);
        }
        if (arrivals.length > 0) assert.ok(said.length > 0);
      }),
      replay('rejects', 300),
    );
  });
});
