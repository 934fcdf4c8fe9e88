/** The network addon against the kernel and against a neighbour, inside namespaces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cable } from '../support/heartbeat-host.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';

const limits = { skip: labUnavailable(), timeout: 60_000 };
const netModule = fileURLToPath(new URL('../../src/cluster/net-native.js', import.meta.url));
const folder = fileURLToPath(new URL('../../src/cluster/', import.meta.url));

/** Runs a script inside the host with `net`, `index` of hb0, `mac` of hb0 and `until(condition)`; what it gives back comes out. */
async function inside<T>(host: Host, script: string): Promise<T> {
  const program = `
    import { loadNet } from '${netModule}';
    import * as arp from '${folder}arp.js';
    import * as ndp from '${folder}ndp.js';
    import * as frames from '${folder}frames.js';
    const net = loadNet();
    const fail = (f) => { try { f(); return 'no error'; } catch (e) { return { code: e.code, place: e.place, remedy: e.remedy }; } };
    const until = async (f) => { const end = Date.now() + 10000; while (!f() && Date.now() < end) await new Promise((r) => setTimeout(r, 20)); return f(); };
    const { index = 0, mac: macName = '' } = net.links().find((link) => link.name === 'hb0') ?? {};
    const mac = frames.macBytes(macName);
    const result = await (async () => { ${script} })();
    console.log(JSON.stringify(result, (_, v) => (typeof v === 'bigint' ? String(v) : v)));
  `;
  return JSON.parse(await host.must([process.execPath, '--input-type=module', '-e', program])) as T;
}

test('interfaces and addresses: listed, set with a lifetime, set again, removed; mistakes have a name', limits, async () => {
  await withLab('net', async (lab) => {
    const [a, b] = [await Host.create(lab, 'a'), await Host.create(lab, 'b')];
    await cable(a, b, 'hb0', 0);
    const result = await inside<{
      link: { up: boolean; carrier: boolean; mtu: number };
      first: Record<string, unknown>;
      second: Record<string, unknown>;
      six: Record<string, unknown>;
      gone: boolean;
      changes: number;
      errors: Record<string, { code: string; place: string; remedy: string }>;
      scheduling: string;
      clock: string;
    }>(
      a,
      `
      let changes = 0;
      const monitor = net.monitor(() => changes++, (e) => { throw e; });
      const find = (address) => net.addresses().find((each) => each.address === address);
      net.setAddress({ index, address: '10.77.0.50', prefix: 24, label: 'hb0:vip', broadcast: '10.77.0.255', validSeconds: 100, preferredSeconds: 50, noPrefixRoute: true });
      const first = find('10.77.0.50');
      net.setAddress({ index, address: '10.77.0.50', prefix: 24, label: 'hb0:vip', broadcast: '10.77.0.255', validSeconds: 1000, noPrefixRoute: true });
      const second = find('10.77.0.50');
      net.setAddress({ index, address: 'fd00::50', prefix: 64, validSeconds: 100, noDad: true });
      const six = find('fd00::50');
      net.deleteAddress(index, '10.77.0.50', 24);
      net.deleteAddress(index, 'fd00::50', 64);
      // the kernel takes it away by itself
      net.setAddress({ index, address: '10.77.0.51', prefix: 32, validSeconds: 1 });
      const gone = await until(() => find('10.77.0.51') === undefined);
      await until(() => changes > 0);
      monitor.close();
      const errors = {
        interface: fail(() => net.setAddress({ index: 9999, address: '10.0.0.1', prefix: 24 })),
        absent: fail(() => net.deleteAddress(index, '10.77.0.99', 24)),
        text: fail(() => net.setAddress({ index, address: '10.0.0', prefix: 24 })),
        prefix: fail(() => net.setAddress({ index, address: '10.0.0.1', prefix: 33 })),
        label: fail(() => net.setAddress({ index, address: '10.0.0.1', prefix: 24, label: 'x'.repeat(16) })),
        packet: fail(() => net.packetSocket({ index: 9999, etherType: 0x0806 }, () => 0, () => 0)),
        udp: fail(() => net.udpSocket({ family: 4, address: '10.77.0.99', port: 5, interface: 'hb0' })),
        device: fail(() => net.udpSocket({ family: 4, address: '10.77.0.1', port: 5, interface: 'nothere' })),
        priority: fail(() => net.setRealtime(100)),
      };
      net.lockProgram();
      net.setRealtime(1);
      const scheduling = (await import('node:child_process')).execFileSync('chrt', ['-p', String(process.pid)]).toString();
      return { link: net.links().find((each) => each.name === 'hb0'), first, second, six, gone, changes, errors, scheduling, clock: net.bootTimeNs() };
    `,
    );
    assert.deepEqual({ ...result.link, index: 0, mac: '' }, { name: 'hb0', index: 0, up: true, carrier: true, loopback: false, mac: '', mtu: 1500 });
    const { label, validSeconds, preferredSeconds, noPrefixRoute, prefix } = result.first;
    assert.deepEqual({ label, prefix, noPrefixRoute }, { label: 'hb0:vip', prefix: 24, noPrefixRoute: true });
    assert.ok(Number(validSeconds) > 90 && Number(validSeconds) <= 100 && Number(preferredSeconds) <= 50);
    assert.ok(Number(result.second['validSeconds']) > 900);
    assert.equal(result.six['tentative'], false);
    assert.equal(result.gone, true);
    assert.ok(result.changes > 0);
    const codes = Object.fromEntries(Object.entries(result.errors).map(([name, { code }]) => [name, code]));
    assert.deepEqual(codes, {
      interface: 'ENODEV', absent: 'EADDRNOTAVAIL', text: 'EINVAL', prefix: 'EINVAL', label: 'EINVAL', packet: 'ENODEV', udp: 'EADDRNOTAVAIL', device: 'ENODEV', priority: 'EINVAL',
    });
    for (const { place, remedy } of Object.values(result.errors)) assert.ok(place.length > 0 && remedy.length > 10);
    assert.match(result.scheduling, /SCHED_RR\|SCHED_RESET_ON_FORK/);
    assert.ok(BigInt(result.clock) > 0n);
  });
});

test('a foreign owner answers the probe, IPv4 and IPv6; an announcement changes the neighbour table of others', limits, async () => {
  await withLab('net', async (lab) => {
    const [a, b] = [await Host.create(lab, 'a'), await Host.create(lab, 'b')];
    await cable(a, b, 'hb0', 0);
    await b.sh('ip address add 10.77.0.100/24 dev hb0; ip -6 address add fd00::64/64 dev hb0 nodad');
    await a.sh('ip -6 address add fd00::1/64 dev hb0 nodad');
    const owner = /link.ether ([0-9a-f:]+)/.exec(await b.sh('ip link show hb0'))?.[1] ?? '';
    const probe = `
      const ask = async (etherType, frame, look) => {
        let found = null;
        const socket = net.packetSocket({ index, etherType, ndpOnly: etherType === 0x86dd }, (f) => { found ??= look(f); }, (e) => { throw e; });
        socket.send(frame);
        await until(() => found !== null);
        const dropped = socket.dropped();
        socket.close();
        return { kind: found?.kind ?? null, mac: found === null ? '' : frames.macText(found.mac), dropped };
      };
      const four = frames.ipv4Bytes('10.77.0.100');
      const six = frames.ipv6Bytes('fd00::64');
      return {
        four: await ask(0x0806, arp.arpProbe(mac, four), (f) => { const p = arp.parseArp(f); return p === null ? null : arp.arpConflict(p, mac, four); }),
        six: await ask(0x86dd, ndp.duplicateProbe(mac, six), (f) => { const p = ndp.parseNeighbour(f); return p === null ? null : ndp.neighbourConflict(p, mac, six); }),
      };`;
    const found = await inside<Record<'four' | 'six', { kind: string; mac: string; dropped: number }>>(a, probe);
    assert.deepEqual(found, { four: { kind: 'owned', mac: owner, dropped: 0 }, six: { kind: 'owned', mac: owner, dropped: 0 } });

    // b knows where an address was; the announcement names another MAC and b believes it
    for (const address of ['10.77.0.101', 'fd00::65']) await b.sh(`ip neigh replace ${address} lladdr 02:00:00:00:00:11 dev hb0 nud stale`);
    await inside(a, `
      const moved = frames.macBytes('02:00:00:00:00:99');
      const four = net.packetSocket({ index, etherType: 0x0806 }, () => 0, () => 0);
      four.send(arp.gratuitousArp(moved, frames.ipv4Bytes('10.77.0.101'), 'request'));
      four.send(arp.gratuitousArp(moved, frames.ipv4Bytes('10.77.0.101'), 'reply'));
      four.close();
      const six = net.packetSocket({ index, etherType: 0x86dd, ndpOnly: true }, () => 0, () => 0);
      six.send(ndp.unsolicitedAdvertisement(moved, frames.ipv6Bytes('fd00::65')));
      six.close();
      return 0;`);
    const table = await b.sh('ip neigh show dev hb0');
    assert.match(table, /10\.77\.0\.101 lladdr 02:00:00:00:00:99/);
    assert.match(table, /fd00::65 lladdr 02:00:00:00:00:99/);
  });
});
