/** What the system prints, and what is made of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences } from '../../../src/checkup/differences.js';
import { linesWith, mountUnitOf, parseFstab, parseIpAddresses, parseNeighbour, parsePorts } from '../../../src/checkup/parse.js';
import { canonical } from '../../../src/config/digest.js';

test('ip address: interfaces, and addresses with and without a lifetime', () => {
  const text = JSON.stringify([
    { ifname: 'lo', flags: ['LOOPBACK', 'UP', 'LOWER_UP'], addr_info: [{ family: 'inet6', local: '::1', prefixlen: 128, valid_life_time: 4294967295 }] },
    { ifname: 'eth0', flags: ['UP'], addr_info: [{ family: 'inet', local: '192.168.42.14', prefixlen: 24, valid_life_time: 3 }] },
    { ifname: 'eth1', flags: [], link: 'if7', linkinfo: { info_kind: 'veth' } },
    { ifname: 'eth1.10', flags: [], link: 'eth1', linkinfo: { info_kind: 'vlan' } },
  ]);
  assert.deepEqual(parseIpAddresses(text), {
    interfaces: [{ name: 'lo', up: true, carrier: true }, { name: 'eth0', up: true, carrier: false }, { name: 'eth1', up: false, carrier: false }, { name: 'eth1.10', up: false, carrier: false, over: 'eth1' }],
    addresses: [
      { interface: 'lo', family: 6, address: '::1', prefix: 128, permanent: true },
      { interface: 'eth0', family: 4, address: '192.168.42.14', prefix: 24, permanent: false },
    ],
  });
});

test('neighbours: who has it, and whether that is certain', () => {
  const stale = { dst: 'a', lladdr: '02::2', state: ['STALE'] };
  assert.deepEqual(parseNeighbour(JSON.stringify([stale, { dst: 'a', lladdr: '02::1', state: ['REACHABLE'] }])), { hardware: '02::1', confirmed: true });
  assert.deepEqual(parseNeighbour(JSON.stringify([stale])), { hardware: '02::2', confirmed: false });
  for (const nobody of ['', '[]', '[{"dst":"a","state":["INCOMPLETE"]}]', '[{"dst":"a","lladdr":"02::1","state":["FAILED"]}]']) assert.equal(parseNeighbour(nobody), null);
});

test('fstab: comments, blanks in names, line numbers', () => {
  assert.deepEqual(parseFstab('# comment\n\n/dev/sda1 / ext4 defaults 0 1\n/dev/drbd0 /my\\040store xfs noauto,noatime\nbroken\n'), [
    { line: 3, source: '/dev/sda1', mountPoint: '/', options: ['defaults'] },
    { line: 4, source: '/dev/drbd0', mountPoint: '/my store', options: ['noauto', 'noatime'] },
  ]);
});

test('ports: IPv4, IPv6, and of TCP only who listens', () => {
  const head = '   sl  local_address rem_address   st tx_queue\n';
  assert.deepEqual(parsePorts(`${head}   1: 0100000A:02B6 00000000:0000 07 00000000:00000000\n`, 'udp'), [{ protocol: 'udp', address: '10.0.0.1', port: 694 }]);
  assert.deepEqual(parsePorts(`${head}   1: 00000000000000000000000000000000:1E6C 0:0 0A 0\n   2: 000000FD000000000000000001000000:1E6C 0:0 0A 0\n`, 'tcp'), [
    { protocol: 'tcp', address: '::', port: 7788 },
    { protocol: 'tcp', address: 'fd00::1', port: 7788 },
  ]);
  assert.deepEqual(parsePorts(`${head}   1: 0100000A:1E6C 0200000A:9999 01 0\n`, 'tcp'), []);
});

test('an address in a file: whole, and not in a comment', () => {
  const text = '# 10.0.0.1\niface eth0 inet static\n  address 10.0.0.1/24\n  gateway 10.0.0.11\n  up ip a a 10.0.0.14 # was 10.0.0.1\nIPaddr::10.0.0.1\n';
  assert.deepEqual(linesWith(text, '10.0.0.1'), [3, 6]);
  assert.deepEqual(linesWith('ip = fd00::1/64\nfd00::10', 'fd00::1'), [1]);
});

test('mount units as systemd names them', () => {
  assert.deepEqual(['/store', '/srv/my data', '/a-b/.c', '/'].map(mountUnitOf), ['store.mount', 'srv-my\\x20data.mount', 'a\\x2db-.c.mount', '-.mount']);
});

test('differences: innermost keys, lists by place, order of keys is none', () => {
  assert.deepEqual(differences({ a: 1, b: { c: [1, 2] } }, { b: { c: [1, 3] }, a: 1 }), [{ path: ['b', 'c', 1], here: 2, there: 3 }]);
  assert.deepEqual(differences({ a: 1 }, { b: 1 }), [{ path: ['a'], here: 1, there: undefined }, { path: ['b'], here: undefined, there: 1 }]);
  assert.deepEqual(differences({ a: [1] }, { a: { 0: 1 } }).length, 1);
  assert.equal(canonical({ b: { d: 1, c: [{ y: 1, x: 2 }] }, a: 1 }), canonical({ a: 1, b: { c: [{ x: 2, y: 1 }], d: 1 } }));
});
