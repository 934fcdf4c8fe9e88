/** Adverts as bytes: frames that keepalived 2.2.7 sent, every refusal by its name, and two judges from outside. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Received, decodeAdvert, encodeAdvert, isHigherAddress, vridOf } from '../../../../src/cluster/vrrp/codec.js';
import { ipPacket, splitIpv4 } from '../../../support/ip-packet.js';
import type { RejectReason, VrrpConfig } from '../../../../src/cluster/vrrp/types.js';
import { address, bytes, hex, vrrpConfig } from './configs.js';

const v2 = vrrpConfig({ password: 'renwole0', transport: { kind: 'multicast', group: '224.0.0.111' } });
const v3 = vrrpConfig({ version: 3, vrid: 41, intervalMs: 100, addresses: [address('10.16.8.104')] });
const v6 = vrrpConfig({ version: 3, family: 6, vrid: 61, intervalMs: 500, addresses: [address('fe80::6001', 64), address('fd00:16::100', 64)], transport: { kind: 'multicast', group: 'ff02::12' } });
const from4 = '10.16.8.10';
const from6 = 'fe80::f4f9:6aff:fe75:663f';

/** As keepalived sent them (v2: whole IP packet). */
const captured = {
  v2: '45c00028 00010000 ff70c81b 0a10080a e000006f 21ab6401 0101b164 0a100864 72656e77 6f6c6530',
  v3: '31296401 000a65aa 0a100868',
  v6: '313d6402 00324b18 fe800000 00000000 00000000 00006001 fd000016 00000000 00000000 00000100',
};

function received(config: VrrpConfig, change: Partial<Received> = {}, priority = 100): Received {
  const source = config.family === 4 ? from4 : from6;
  const destination = config.transport.kind === 'multicast' ? config.transport.group : '10.16.8.11';
  return { protocol: 112, source, destination, ttl: 255, payload: encodeAdvert(config, priority, source, destination), ...change };
}

function reasonOf(config: VrrpConfig, packet: Received): RejectReason | 'taken' {
  const result = decodeAdvert(config, packet);
  if (result.ok) return 'taken';
  assert.match(result.text, /^.{3,}[^.]$/, 'a refusal is a sentence without a full stop, to stand after "rejected: "');
  return result.reason;
}

describe('VRRP adverts as keepalived sends them', () => {
  it('version 2 with a password: the whole IP packet is the same', () => {
    const payload = encodeAdvert(v2, 100, from4, '224.0.0.111');
    assert.equal(hex(ipPacket(4, from4, '224.0.0.111', payload, 255, 1)), captured.v2.replaceAll(' ', ''));
  });
  it('priority 0, and no authentication: the sums that were captured', () => {
    assert.equal(hex(encodeAdvert(v2, 0, from4, '224.0.0.111').subarray(6, 8)), '1565');
    assert.equal(hex(encodeAdvert({ ...v2, password: null }, 100, from4, '224.0.0.111').subarray(6, 8)), '67de');
  });
  it('version 3 over IPv4, with the pseudo header in the sum and without', () => {
    assert.equal(hex(encodeAdvert(v3, 100, from4, '224.0.0.18')), captured.v3.replaceAll(' ', ''));
    assert.equal(hex(encodeAdvert({ ...v3, pseudoHeader: false }, 100, from4, '224.0.0.18').subarray(6, 8)), '5853');
  });
  it('version 3 over IPv6', () => {
    assert.equal(hex(encodeAdvert(v6, 100, from6, 'ff02::12')), captured.v6.replaceAll(' ', ''));
    assert.equal(hex(ipPacket(6, from6, 'ff02::12', bytes(captured.v6)).subarray(4, 8)), '002870ff', 'length, next header, hop limit');
  });
  it('are read as what they are', () => {
    const packet = splitIpv4(bytes(captured.v2));
    assert.ok(packet !== null);
    assert.equal(vridOf(packet), 171);
    assert.deepEqual(decodeAdvert(v2, packet), { ok: true, vrid: 171, advert: { source: from4, priority: 100, intervalMs: 1000 }, addresses: ['10.16.8.100'], checksum: 'plain', notes: [] });
    const result = decodeAdvert(v6, { protocol: 112, source: from6, destination: 'ff02::12', ttl: 255, payload: bytes(captured.v6) });
    assert.ok(result.ok);
    assert.deepEqual([result.addresses, result.advert.intervalMs, result.checksum], [['fe80::6001', 'fd00:16::100'], 500, 'with pseudo header']);
  });
});

describe('what is not taken has a name', () => {
  const base = received(v2);
  const other = (change: Partial<VrrpConfig>): Received => received({ ...v2, ...change });
  const changed = (index: number, value: number): Received => ({ ...base, payload: base.payload.map((byte, at) => (at === index ? value : byte)) });
  const cases: [RejectReason | 'taken', string, VrrpConfig, Received][] = [
    ['taken', 'as it is', v2, base],
    ['authentication header', 'IP protocol 51', v2, { ...base, protocol: 51 }],
    ['not IP', 'IP protocol 17', v2, { ...base, protocol: 17 }],
    ['length', 'seven bytes', v2, { ...base, payload: base.payload.slice(0, 7) }],
    ['length', 'no authentication', v2, { ...base, payload: base.payload.slice(0, 12) }],
    ['length', 'more addresses than bytes', v2, changed(3, 9)],
    ['length', 'a trailer of 28 bytes', v2, { ...base, payload: Uint8Array.from([...base.payload, ...new Uint8Array(28).fill(1)]) }],
    ['taken', 'padded to the shortest frame', v2, { ...base, payload: Uint8Array.from([...base.payload, ...new Uint8Array(46 - base.payload.length)]) }],
    ['vrid', 'another virtual router', v2, other({ vrid: 172 })],
    ['ttl', 'TTL 254', v2, { ...base, ttl: 254 }],
    ['version', 'version 3', v2, other({ version: 3 })],
    ['type', 'type 2', v2, changed(0, 0x22)],
    ['checksum', 'a flipped bit in the priority', v2, changed(2, 101)],
    ['destination', 'the standard group', v2, { ...base, destination: '224.0.0.18' }],
    ['authentication type', 'without a password', v2, other({ password: null })],
    ['authentication type', 'with a password where there is none', { ...v2, password: null }, base],
    ['password', 'another password', v2, other({ password: 'renwole1' })],
    ['taken', 'a password that is the same in its first 8 bytes', v2, other({ password: 'renwole0-and-more' })],
    ['address list', 'one address more', v2, other({ addresses: [...v2.addresses, address('10.16.8.101')] })],
    ['address list', 'another address', v2, other({ addresses: [address('10.16.8.101')] })],
    ['taken', 'another address, but it is only to be logged', { ...v2, addressMismatch: 'log' }, other({ addresses: [address('10.16.8.101')] })],
    ['taken', 'another address, of the owner', v2, received({ ...v2, addresses: [address('10.16.8.101')] }, {}, 255)],
    ['interval', 'two seconds', v2, other({ intervalMs: 2000 })],
    ['taken', 'another interval with version 3', v3, received({ ...v3, intervalMs: 250 })],
    ['taken', 'version 3 without pseudo header', v3, received({ ...v3, pseudoHeader: false })],
    ['checksum', 'without pseudo header where it is demanded', { ...v3, acceptChecksum: 'with pseudo header' }, received({ ...v3, pseudoHeader: false })],
    ['checksum', 'with pseudo header where it must not be', { ...v3, acceptChecksum: 'without pseudo header' }, received(v3)],
    ['checksum', 'IPv6 without pseudo header', v6, { ...received(v6), destination: 'ff02::13' }],
  ];
  for (const [reason, what, config, packet] of cases)
    it(`${what}: ${reason}`, () => assert.equal(reasonOf(config, packet), reason));

  it('an interval of zero would be a flood', () => {
    const packet = received({ ...v3, pseudoHeader: false });
    // 0x000a less in the message is 0x000a more in its sum
    const payload = packet.payload.map((byte, at) => (at === 5 ? 0 : byte));
    const total = ((payload[6] ?? 0) << 8) + (payload[7] ?? 0) + 10;
    payload[6] = total >> 8;
    payload[7] = total & 0xff;
    assert.equal(reasonOf(v3, { ...packet, payload }), 'interval');
  });
  it('unicast: the source, the group and the lowest TTL', () => {
    const peers = [{ address: from4, minTtl: 250 }];
    const unicast = vrrpConfig({ transport: { kind: 'unicast', peers, ttl: 255, checkSource: true } });
    assert.equal(reasonOf(unicast, received(unicast)), 'taken');
    assert.equal(reasonOf(unicast, received(unicast, { ttl: 249 })), 'ttl');
    assert.equal(reasonOf(unicast, received(unicast, { source: '10.16.8.99' })), 'source');
    assert.equal(reasonOf(unicast, received(unicast, { destination: '224.0.0.18' })), 'destination');
    assert.equal(reasonOf({ ...unicast, transport: { kind: 'unicast', peers: [{ address: from4, minTtl: null }], ttl: 255, checkSource: false } }, received(unicast, { ttl: 3 })), 'taken');
  });
  it('a password never appears in a refusal', () => {
    const result = decodeAdvert(v2, other({ password: 'secret77' }));
    assert.ok(!result.ok && !/renwole0|secret77/.test(result.text));
  });
});

describe('codec in general', () => {
  it('what is encoded is decoded, and any other bit that differs is refused', () => {
    const octet = fc.integer({ min: 1, max: 254 });
    const ip = fc.tuple(octet, octet).map(([a, b]) => `10.7.${a}.${b}`);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 0, max: 255 }), fc.uniqueArray(ip, { minLength: 1, maxLength: 20 }), fc.constantFrom(2 as const, 3 as const), fc.boolean(), fc.nat(), (vrid, priority, list, version, pseudoHeader, bit) => {
        const config = vrrpConfig({ vrid, version, pseudoHeader, intervalMs: 3000, addresses: list.map((each) => address(each)), password: version === 2 ? 'pass' : null });
        const packet = received(config, {}, priority);
        const result = decodeAdvert(config, packet);
        assert.ok(result.ok);
        assert.deepEqual([result.advert.priority, result.advert.intervalMs, result.addresses, result.notes], [priority, 3000, list, []]);
        const at = bit % (packet.payload.length * 8);
        const damaged = { ...packet, payload: packet.payload.map((byte, index) => (index === at >> 3 ? byte ^ (1 << (at & 7)) : byte)) };
        assert.equal(decodeAdvert({ ...config, acceptChecksum: pseudoHeader ? 'with pseudo header' : 'without pseudo header' }, damaged).ok, false);
      }),
    );
  });
  it('no bytes make it throw', () => {
    const configs = [v2, v3, v6, vrrpConfig({ transport: { kind: 'unicast', peers: [], ttl: 9, checkSource: true } })];
    fc.assert(
      fc.property(fc.constantFrom(...configs), fc.uint8Array({ maxLength: 90 }), fc.boolean(), fc.constantFrom(from4, from6, '', 'x', '::ffff:1.2.3.4'), fc.integer({ min: 0, max: 255 }), (config, raw, mended, source, ttl) => {
        // half of them get over the first checks
        const payload = mended && raw.length > 1 ? Uint8Array.from([(config.version << 4) | 1, config.vrid, ...raw.slice(2)]) : raw;
        const result = decodeAdvert(config, { protocol: 112, source, destination: config.transport.kind === 'multicast' ? config.transport.group : from4, ttl: mended ? 255 : ttl, payload });
        assert.equal(typeof result.ok, 'boolean');
        const split = splitIpv4(raw);
        if (split !== null) decodeAdvert(config, split);
      }),
      { numRuns: 3000 },
    );
  });
  it('configurations that have no bytes are refused', () => {
    for (const change of [{ intervalMs: 500 }, { vrid: 0 }, { addresses: [address('10.0.0.999')] }, { version: 3 as const, intervalMs: 41_000 }, { family: 6 as const }])
      assert.throws(() => encodeAdvert(vrrpConfig(change), 100, from4, '224.0.0.18'), RangeError);
    assert.throws(() => encodeAdvert(vrrpConfig(), 256, from4, '224.0.0.18'), RangeError);
  });
  it('higher addresses are compared as numbers', () => {
    assert.ok(isHigherAddress('10.0.0.10', '10.0.0.9'));
    assert.ok(!isHigherAddress('10.0.0.9', '10.0.0.10'));
    assert.ok(!isHigherAddress('10.0.0.9', '10.0.0.9'));
    assert.ok(isHigherAddress('fe80::10', 'fe80::9'));
  });
});

/** A capture file of raw IP packets. */
function pcap(packets: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(101, 20);
  const records = packets.flatMap((packet) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    return [record, Buffer.from(packet)];
  });
  return Buffer.concat([head, ...records]);
}

function judged(command: string, args: (file: string) => string[], packets: readonly Uint8Array[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'drbdts-vrrp-'));
  try {
    const file = join(directory, 'adverts.pcap');
    writeFileSync(file, pcap(packets));
    const result = spawnSync(command, args(file), { encoding: 'utf8' });
    assert.equal(result.status, 0, result.stderr);
    return result.stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe('judges from outside', () => {
  const has = (command: string): false | string => (spawnSync(command, ['--version']).error === undefined ? false : `${command} is not installed`);
  const packets = (damage: boolean): Uint8Array[] =>
    [v2, v3, v6].map((config) => {
      const { source, destination, payload } = received(config);
      if (damage) payload[6] = (payload[6] ?? 0) ^ 1;
      return ipPacket(config.family, source, destination, payload);
    });

  it('tcpdump reads every frame and finds no fault in it', { skip: has('tcpdump') }, () => {
    const args = (file: string): string[] => ['-n', '-vvv', '-r', file];
    const text = judged('tcpdump', args, packets(false));
    assert.match(text, /VRRPv2, Advertisement, vrid 171, prio 100, authtype simple, intvl 1s, length 20, addrs: 10\.16\.8\.100 auth "renwole0"/);
    assert.match(text, /VRRPv3, Advertisement, vrid 41, prio 100, intvl 10cs, length 12, addrs: 10\.16\.8\.104/);
    assert.match(text, /VRRPv3, Advertisement, vrid 61, prio 100, intvl 50cs, length 40, addrs\(2\): fe80::6001,fd00:16::100/);
    assert.doesNotMatch(text, /bad|invalid|truncated/i);
    assert.match(judged('tcpdump', args, packets(true)), /bad vrrp cksum/, 'the judge does look');
  });
  it('tshark reads every frame and finds no fault in it', { skip: has('tshark') }, () => {
    const args = (file: string): string[] => ['-r', file, '-T', 'fields', '-e', 'vrrp.virt_rtr_id', '-e', 'vrrp.checksum.status', '-e', '_ws.expert.message'];
    assert.deepEqual(judged('tshark', args, packets(false)).trim().split('\n').map((line) => line.trim()), ['171\t1', '41\t1', '61\t1']);
    assert.doesNotMatch(judged('tshark', args, packets(true)), /\t1$/m);
  });
});
