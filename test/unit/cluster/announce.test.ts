import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { arpConflict, arpProbe, gratuitousArp, parseArp } from '../../../src/cluster/arp.js';
import { checksum, ipv4Bytes, ipv4Text, ipv6Bytes, ipv6Text, macBytes, macText } from '../../../src/cluster/frames.js';
import { duplicateProbe, neighbourConflict, parseNeighbour, solicitedNode, unsolicitedAdvertisement } from '../../../src/cluster/ndp.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Buffer.from(text.replace(/\s/g, ''), 'hex');
const mac = macBytes('02:00:00:00:00:0a') as Uint8Array;
const other = macBytes('02:00:00:00:00:0b') as Uint8Array;
const vip = ipv4Bytes('10.16.8.100') as Uint8Array;
const vip6 = ipv6Bytes('fd00::64') as Uint8Array;

describe('ARP', () => {
  it('an announcement has the bytes that keepalived sends, and a form for routers that only take replies', () => {
    const rest = '02000000000a 0a100864 ffffffffffff 0a100864'.replace(/ /g, '');
    assert.equal(hex(gratuitousArp(mac, vip, 'request')), `ffffffffffff02000000000a08060001080006040001${rest}`);
    assert.equal(hex(gratuitousArp(mac, vip, 'reply')), `ffffffffffff02000000000a08060001080006040002${rest}`);
  });

  it('a probe does not touch the caches of others: sender address zero (RFC 5227)', () => {
    assert.equal(hex(arpProbe(mac, vip)), 'ffffffffffff02000000000a0806000108000604000102000000000a000000000000000000000a100864');
  });

  it('an owner is recognised by his announcement, his answer, and his own questions; another asker by his probe', () => {
    const said = (frame: Uint8Array) => {
      const arp = parseArp(frame);
      return arp === null ? 'no ARP' : (arpConflict(arp, mac, vip)?.kind ?? 'nothing');
    };
    assert.equal(said(gratuitousArp(other, vip, 'request')), 'owned');
    assert.equal(said(gratuitousArp(other, vip, 'reply')), 'owned');
    // an answer to us, padded to 60 bytes
    assert.equal(said(bytes(`02000000000a 02000000000b 0806 0001 0800 06 04 0002 02000000000b 0a100864 02000000000a 00000000 ${'00'.repeat(18)}`)), 'owned');
    assert.equal(said(arpProbe(other, vip)), 'probed');
    assert.equal(said(arpProbe(mac, vip)), 'nothing');
    assert.equal(said(gratuitousArp(other, ipv4Bytes('10.16.8.101') as Uint8Array, 'request')), 'nothing');
    assert.equal(said(gratuitousArp(other, vip, 'request').subarray(0, 41)), 'no ARP');
    assert.equal(said(unsolicitedAdvertisement(other, vip6)), 'no ARP');
  });
});

describe('neighbour discovery', () => {
  it('an unsolicited advertisement has the bytes that keepalived sends', () => {
    const from = macBytes('f6:f9:6a:75:66:3f') as Uint8Array;
    const frame = unsolicitedAdvertisement(from, ipv6Bytes('fe80::6001') as Uint8Array);
    assert.equal(frame.length, 86);
    assert.equal(
      hex(frame),
      '333300000001f6f96a75663f86dd6000000000203aff' +
        'fe800000000000000000000000006001ff020000000000000000000000000001' +
        '8800d1ec20000000fe8000000000000000000000000060010201f6f96a75663f',
    );
  });

  it('the question for a duplicate goes from nobody to the group of the address', () => {
    const frame = duplicateProbe(mac, vip6);
    assert.equal(hex(frame.subarray(0, 6)), '3333ff000064');
    assert.equal(hex(frame.subarray(22, 54)), `${'00'.repeat(16)}ff0200000000000000000001ff000064`);
    assert.equal(hex(solicitedNode(vip6)), 'ff0200000000000000000001ff000064');
    assert.equal(parseNeighbour(frame)?.type, 'solicitation');
  });

  it('owners and other askers are recognised; what the RFC says to ignore is ignored', () => {
    const said = (frame: Uint8Array) => {
      const neighbour = parseNeighbour(frame);
      return neighbour === null ? 'ignored' : (neighbourConflict(neighbour, mac, vip6)?.kind ?? 'nothing');
    };
    const good = unsolicitedAdvertisement(other, vip6);
    assert.equal(said(good), 'owned');
    assert.equal(said(duplicateProbe(other, vip6)), 'probed');
    assert.equal(said(unsolicitedAdvertisement(mac, vip6)), 'nothing');
    const changed = (at: number, value: number): Uint8Array => {
      const copy = Uint8Array.from(good);
      copy[at] = value;
      return copy;
    };
    assert.equal(said(changed(21, 64)), 'ignored');
    assert.equal(said(changed(60, 1)), 'ignored');
    assert.equal(said(changed(79, 0)), 'ignored');
    for (let length = 0; length < good.length; length++) assert.equal(said(good.subarray(0, length)), 'ignored');
  });
});

describe('addresses', () => {
  it('there and back', () => {
    for (const text of ['::', '::1', 'fe80::6001', '2001:db8::1:0:0:1', '1:2:3:4:5:6:7:8', 'ff02::1:ff00:64', '1:0:0:2::'])
      assert.equal(ipv6Text(ipv6Bytes(text) as Uint8Array), text === '1:0:0:2::' ? '1:0:0:2::' : text);
    assert.equal(hex(ipv6Bytes('::ffff:10.0.0.1') as Uint8Array), '00000000000000000000ffff0a000001');
    assert.equal(ipv4Text(vip), '10.16.8.100');
    assert.equal(macText(mac), '02:00:00:00:00:0a');
    for (const text of ['', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', 'g::', '::1.2.3', '12345::']) assert.equal(ipv6Bytes(text), null, text);
    for (const text of ['1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', 'a.b.c.d']) assert.equal(ipv4Bytes(text), null, text);
    for (const text of ['', '02:00:00:00:00', '02-00-00-00-00-0a', 'zz:00:00:00:00:0a']) assert.equal(macBytes(text), null, text);
    assert.equal(checksum(bytes('0001f203f4f5f6f7')), 0x220d);
  });
});
