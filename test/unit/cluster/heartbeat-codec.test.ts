import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import { decodeHeartbeat, decodeReport, encodeHeartbeat, encodeReport, heartbeatKey, maxDatagramBytes } from '../../../src/cluster/heartbeat-codec.js';
import type { Heartbeat } from '../../../src/cluster/membership-types.js';

const key = heartbeatKey(Buffer.from('a key'));
const heartbeat: Heartbeat = {
  cluster: 'web',
  node: 'master1',
  link: 'eth1',
  boot: '000102030405060708090a0b0c0d0e0f',
  sequence: 2 ** 40 + 7,
  reportVersion: 3,
  goodbye: false,
  echo: { boot: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', heldUs: 1500, reportVersion: 2, links: [{ name: 'eth1', sequence: 9 }, { name: 'eth2', sequence: 8 }] },
  rival: null,
};

/** Text that does not compress. */
function noise(bytes: number): string {
  let text = '';
  for (let i = 0; text.length < bytes; i++) text += createHash('sha512').update(String(i)).digest('base64');
  return text.slice(0, bytes);
}

describe('heartbeat datagram', () => {
  it('has these bytes', () => {
    const bytes = encodeHeartbeat(heartbeat, { bytes: Buffer.from('{}'), deflated: false }, key);
    const signed = [
      '44544842', '01', '05', '0092',
      '000102030405060708090a0b0c0d0e0f', '0000010000000007', '0000000000000003',
      '03776562', '076d617374657231', '0465746831',
      'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', '000005dc', '0000000000000002', '02', '0465746831', '0000000000000009', '0465746832', '0000000000000008',
      '7b7d',
    ].join('');
    assert.equal(bytes.toString('hex', 0, bytes.length - 32), signed);
    assert.equal(bytes.toString('hex', bytes.length - 32), createHmac('sha256', key).update(Buffer.from(signed, 'hex')).digest('hex'));
  });

  it('comes back as it was', () => {
    for (const each of [heartbeat, { ...heartbeat, echo: null, goodbye: true, rival: { boot: heartbeat.boot, sequence: 4 } }]) {
      const decoded = decodeHeartbeat(encodeHeartbeat(each, null, key), 'web', key);
      assert.ok(decoded.ok);
      assert.deepEqual(decoded.heartbeat, each);
      assert.equal(decoded.report, null);
    }
  });

  it('a report is compressed when it is long, and refused when even that is too long', () => {
    const long = { text: 'x'.repeat(200_000) };
    const encoded = encodeReport(long);
    assert.ok(encoded.deflated && encoded.bytes.length < 1000);
    const decoded = decodeHeartbeat(encodeHeartbeat(heartbeat, encoded, key), 'web', key);
    assert.ok(decoded.ok && decoded.report !== null);
    assert.deepEqual(decodeReport(decoded.report), long);
    assert.equal(encodeReport({ a: 1 }).deflated, false);
    const most = encodeReport(noise(70_000));
    assert.ok(encodeHeartbeat(heartbeat, most, key).length <= maxDatagramBytes);
    assert.throws(() => encodeReport(noise(90_000)), { code: 'ERR_REPORT_TOO_LARGE' });
    assert.throws(() => encodeReport({ text: 'x'.repeat(2_000_000) }), { code: 'ERR_REPORT_TOO_LARGE' });
  });

  it('says what is wrong with one that is not taken', () => {
    const good = encodeHeartbeat(heartbeat, null, key);
    const kind = (bytes: Uint8Array, cluster = 'web', with_ = key): string => {
      const decoded = decodeHeartbeat(bytes, cluster, with_);
      return decoded.ok ? 'taken' : decoded.kind;
    };
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(good);
      copy[at] = value;
      return copy;
    };
    assert.equal(kind(good), 'taken');
    assert.equal(kind(good, 'mail'), 'cluster');
    assert.equal(kind(good, 'web', heartbeatKey(Buffer.from('another'))), 'key');
    assert.equal(kind(changed(50, 0xff)), 'key');
    assert.equal(kind(changed(4, 2)), 'version');
    assert.equal(kind(changed(0, 0)), 'garbage');
    assert.equal(kind(good.subarray(0, good.length - 1)), 'garbage');
    assert.equal(kind(Buffer.alloc(0)), 'garbage');
    assert.equal(kind(Buffer.alloc(maxDatagramBytes + 1)), 'oversized');
  });

  it('a bomb inside a report from a holder of the key stays bounded', () => {
    assert.equal(decodeReport({ bytes: encodeReport('x'.repeat(900_000)).bytes.subarray(0, 50), deflated: true }), null);
    assert.equal(decodeReport({ bytes: Buffer.from('{'), deflated: false }), null);
    assert.equal(decodeReport({ bytes: Buffer.from([0x22, 0xff, 0x22]), deflated: false }), null);
  });
});
