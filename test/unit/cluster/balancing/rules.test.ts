/** Scripts for nft and lines for ipvsadm, and what is read back from them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ipvsLines, parseSaved, parseStats } from '../../../../src/cluster/balancing/ipvs-lines.js';
import { IpvsPlane } from '../../../../src/cluster/balancing/ipvs-plane.js';
import { initialServer, serverStep, type Wanted, wantedOf } from '../../../../src/cluster/balancing/machine.js';
import { createScript, fillScript, structureDigest } from '../../../../src/cluster/balancing/nft-rules.js';
import type { RunTool } from '../../../../src/cluster/balancing/tool.js';
import type { VirtualServer } from '../../../../src/config/balancing-types.js';

const server = (more: Partial<VirtualServer> = {}): VirtualServer => ({
  ...{ name: 'web', family: 4, address: '192.168.100.10', port: 80, protocol: 'tcp', kind: 'nat', scheduler: 'rr', gate: null, interfaces: { '*': { clients: 'eth0', servers: 'eth1' } }, persistenceMs: 0 },
  ...{ quorum: 1, hysteresis: 0, sorryServer: null, initFail: false },
  realServers: [
    { name: 'a', address: '192.168.100.221', port: 80, weight: 1, inhibitOnFailure: false, checks: [{ type: 'tcp', address: '', port: 0, timeoutMs: 1, everyMs: 1, retries: 0, retryDelayMs: 1 }] },
    { name: 'b', address: '192.168.100.222', port: 80, weight: 1, inhibitOnFailure: false, checks: [] },
  ],
  ...more,
});
const scene = (one: VirtualServer): { section: { plane: 'nftables'; virtualServers: VirtualServer[] }; node: string } => ({ section: { plane: 'nftables', virtualServers: [one] }, node: 'alpha' });
const start = (one: VirtualServer): Wanted => wantedOf(one, initialServer(one, 0));
const aDown = (one: VirtualServer): Wanted => wantedOf(one, serverStep(one, initialServer(one, 0), { kind: 'check', real: 'a', check: 0, ok: false, detail: '', weight: null }, 0).state);

describe('scripts for nft', () => {
  it('a server that is down is in no rule of a change; its connections meet a reset', () => {
    const one = server();
    const before = fillScript(scene(one), 0, start(one));
    const after = fillScript(scene(one), 0, aDown(one));
    assert.match(before, /numgen inc mod 2 vmap \{ 0 : goto v0_s0, 1 : goto v0_s1 \}/);
    assert.match(before, /ct reply ip saddr 192\.168\.100\.221 ct reply proto-src 80 goto v0_s0_live/);
    assert.doesNotMatch(after, /v0_s0|192\.168\.100\.221/);
    assert.match(after, /goto v0_s1_live\n {4}meta l4proto tcp reject with tcp reset/);
    // counters, sets and other chains are not touched
    assert.doesNotMatch(after, /delete|counter \w+ \{|set /);
  });

  it('a closed gate leaves empty chains', () => {
    const one = server();
    const script = fillScript(scene(one), 0, { ...start(one), active: false });
    assert.match(script, /chain v0 \{\n {2}\}/);
    assert.doesNotMatch(script, /reject|goto/);
  });

  it('matches nothing without the address', () => {
    for (const kind of ['nat', 'dr'] as const) {
      const script = createScript(scene(server({ kind })));
      const entering = script.split('\n').filter((line) => line.includes('daddr 192.168.100.10') && !line.includes('ct original'));
      assert.notEqual(entering.length, 0);
      for (const line of entering) assert.match(line, /fib daddr( \. iif)? type local/);
    }
  });

  it('a dead server loses its clients with persistence', () => {
    const one = server({ persistenceMs: 60_000 });
    assert.match(fillScript(scene(one), 0, start(one)), /ip saddr @v0_s0_sticky goto v0_s0/);
    assert.match(fillScript(scene(one), 0, aDown(one)), /^flush set inet drbdts_lb v0_s0_sticky\n/);
  });

  it('the digest is of what the fixed part is made of, not of the checks or weights', () => {
    const of = (one: VirtualServer): string => structureDigest(scene(one));
    assert.equal(of(server()), of(server({ quorum: 2, initFail: true, realServers: server().realServers.map((real) => ({ ...real, weight: 7, checks: [] })) })));
    for (const other of [server({ port: 81 }), server({ kind: 'dr' }), server({ persistenceMs: 1000 }), server({ sorryServer: { address: '10.0.0.1', port: 80 } }), server({ realServers: server().realServers.slice(1) })]) assert.notEqual(of(server()), of(other));
  });
});

describe('lines for ipvsadm', () => {
  it('what the original set-up of LVS-DR writes', () => {
    assert.deepEqual(ipvsLines(server({ kind: 'dr' }), null, start(server())), ['-A -t 192.168.100.10:80 -s rr', '-a -t 192.168.100.10:80 -r 192.168.100.221:80 -g -w 1', '-a -t 192.168.100.10:80 -r 192.168.100.222:80 -g -w 1']);
  });

  it('only what differs is changed', () => {
    const one = server({ scheduler: 'wlc', kind: 'tun', protocol: 'udp', persistenceMs: 360_000 });
    const present = new Map([['192.168.100.221:80', 1], ['192.168.100.222:80', 0], ['10.0.0.9:80', 3]]);
    assert.deepEqual(ipvsLines(one, present, aDown(one)), ['-E -u 192.168.100.10:80 -s wlc -p 360', '-d -u 192.168.100.10:80 -r 192.168.100.221:80', '-d -u 192.168.100.10:80 -r 10.0.0.9:80', '-e -u 192.168.100.10:80 -r 192.168.100.222:80 -i -w 1']);
    assert.deepEqual(ipvsLines(one, present, { ...start(one), active: false }), ['-D -u 192.168.100.10:80']);
    assert.deepEqual(ipvsLines(one, null, { ...start(one), active: false }), []);
  });

  it('IPv6 in brackets', () => {
    const one = server({ family: 6, address: 'fd00::10', realServers: [{ name: 'a', address: 'fd00::1', port: 80, weight: 2, inhibitOnFailure: false, checks: [] }] });
    assert.deepEqual(ipvsLines(one, null, start(one)), ['-A -t [fd00::10]:80 -s rr', '-a -t [fd00::10]:80 -r [fd00::1]:80 -m -w 2']);
  });

  it('what ipvsadm says is read back', () => {
    const saved = parseSaved('-A -t 192.168.100.10:80 -s rr\n-a -t 192.168.100.10:80 -r 192.168.100.221:80 -g -w 1\n-a -t 192.168.100.10:80 -r 192.168.100.222:80 -g -w 0\n-A -u 10.0.0.1:53 -s wlc -p 360\n');
    assert.deepEqual([...(saved.get('-t 192.168.100.10:80') ?? [])], [['192.168.100.221:80', 1], ['192.168.100.222:80', 0]]);
    assert.equal(saved.get('-u 10.0.0.1:53')?.size, 0);
    const stats = parseStats(`IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.168.100.10:80                  12       60       50     3600    99000
  -> 192.168.100.221:80                  7       35       30     2100    50000
  -> 192.168.100.222:80                  5       25       20     1500    49000
`);
    assert.deepEqual(stats.get('-t 192.168.100.10:80 192.168.100.221:80'), { connections: 7, packets: 35, bytes: 2100 });
  });

  it('the plane brings a service from what is there to what is wanted, leaves those of others alone, and takes its own away', async () => {
    const calls: { argv: string; input: string }[] = [];
    let saved = '-A -t 10.0.0.1:443 -s wlc\n-A -t 192.168.100.10:80 -s rr\n-a -t 192.168.100.10:80 -r 192.168.100.221:80 -m -w 1\n';
    const run: RunTool = async (argv, input = '') => {
      calls.push({ argv: argv.join(' '), input });
      return { code: 0, stdout: argv.includes('--save') ? saved : '', problem: '', missing: false };
    };
    const plane = new IpvsPlane({ plane: 'ipvs', virtualServers: [server()] }, run);
    await plane.apply([start(server())], [0]);
    assert.deepEqual(calls.at(-1), { argv: 'ipvsadm --restore', input: '-E -t 192.168.100.10:80 -s rr\n-a -t 192.168.100.10:80 -r 192.168.100.222:80 -m -w 1\n' });
    assert.equal((await plane.look()).intact, true);
    await plane.remove();
    assert.deepEqual(calls.at(-1), { argv: 'ipvsadm --restore', input: '-D -t 192.168.100.10:80\n' });
    saved = '';
    await plane.apply([start(server())], [0]);
    assert.equal((await plane.look()).intact, false);
  });

  it('a kernel without ip_vs: says so, with the way out', async () => {
    const without = new IpvsPlane({ plane: 'ipvs', virtualServers: [] }, async () => ({ code: 1, stdout: '', problem: "Can't initialize ipvs: Protocol not available", missing: false }));
    await assert.rejects(without.ready(), /nothing can be balanced here by ipvs: Can't initialize ipvs/);
  });
});
