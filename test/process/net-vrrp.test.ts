/** VRRP sockets and the thread of adverts, between two hosts: what arrives, and what is no longer sent when nobody stands behind it. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cable } from '../support/heartbeat-host.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 60_000 };
const netModule = fileURLToPath(new URL('../../src/cluster/net-native.js', import.meta.url));

interface Heard {
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly bytes: string;
  readonly receivedMs: number;
}

/** Runs a script inside a host with `net`, `index` of hb0 and `sleep`; what it gives back comes out. */
async function inside<T>(host: Host, script: string): Promise<T> {
  const program = `
    import { loadNet } from '${netModule}';
    import { spawn } from 'node:child_process';
    import { writeFileSync } from 'node:fs';
    const net = loadNet();
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const index = net.links().find((link) => link.name === 'hb0').index;
    const spin = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
    const bytes = (...list) => Uint8Array.from(list);
    console.log(JSON.stringify(await (async () => { ${script} })()));
  `;
  return JSON.parse(await host.must([process.execPath, '--input-type=module', '-e', program])) as T;
}

/** Listens on b until a packet begins with 0; `act` runs on a, which sends it as its last. */
async function heardWhile<T>(a: Host, b: Host, family: 4 | 6, groups: readonly string[], act: string): Promise<{ heard: Heard[]; acted: T }> {
  const ready = join(b.dir, `listens-${randomUUID()}`);
  const listen = inside<Heard[]>(b, `
    const heard = [];
    const socket = net.vrrpSocket({ index, family: ${family}, groups: ${JSON.stringify(groups)} }, ({ data, ...packet }) => heard.push({ ...packet, bytes: Buffer.from(data).toString('hex') }), (e) => { throw e; });
    writeFileSync('${ready}', '');
    const end = Date.now() + 20_000;
    while (!heard.some(({ bytes }) => bytes.startsWith('00')) && Date.now() < end) await sleep(20);
    const upTo = socket.drain();
    if (heard.some(({ receivedMs }) => receivedMs > upTo || receivedMs < upTo - 60_000)) throw new Error('the times are not of one clock');
    socket.close();
    return heard;`);
  await waitFor('b listens', () => existsSync(ready));
  const acted = await inside<T>(a, act);
  return { heard: await listen, acted };
}

function withHosts(work: (a: Host, b: Host) => Promise<void>): Promise<void> {
  return withLab('net-vrrp', async (lab) => {
    const [a, b] = [await Host.create(lab, 'a'), await Host.create(lab, 'b')];
    await cable(a, b, 'hb0', 0);
    for (const [host, last] of [[a, 1], [b, 2]] as const) await host.sh(`ip -6 address add fe80::${last}/64 dev hb0 nodad`);
    await work(a, b);
  });
}

const seen = (heard: readonly Heard[]): string[] => heard.map(({ source, destination, ttl, bytes }) => `${source} > ${destination} ${ttl} ${bytes}`);

test('adverts reach the group, one peer, and nobody else; a host does not hear itself; mistakes have a name', limits, () =>
  withHosts(async (a, b) => {
    const own = `
      let echo = 0;
      const fail = (f) => { try { f(); return 'no error'; } catch (e) { return e.code; } };`;
    const four = await heardWhile<{ echo: number; codes: string[]; sent: number }>(a, b, 4, ['224.0.0.111'], `${own}
      const ear = net.vrrpSocket({ index, family: 4, groups: ['224.0.0.111'] }, () => echo++, (e) => { throw e; });
      const advertiser = net.advertiser({ index, source: '10.77.0.1' });
      advertiser.once([{ to: '224.0.0.18', data: bytes(9, 9) }]);
      advertiser.run({ packets: [{ to: '224.0.0.111', data: bytes(1, 2, 3) }], intervalMs: 10_000, lapseMs: 30_000, leaseMs: 30_000, now: true });
      advertiser.run({ packets: [{ to: '224.0.0.111', data: bytes(5) }], intervalMs: 10_000, lapseMs: 30_000, leaseMs: 30_000, now: false });
      advertiser.once([{ to: '10.77.0.2', data: bytes(4) }]);
      advertiser.stop([{ to: '224.0.0.111', data: bytes(0) }]);
      const { sent } = advertiser.state();
      await sleep(200);
      ear.drain();
      ear.close();
      const codes = [
        fail(() => net.advertiser({ index, source: '10.77.0.9' })), fail(() => net.advertiser({ index: 9999, source: '10.77.0.1' })),
        fail(() => net.vrrpSocket({ index, family: 4, groups: ['ff02::12'] }, () => 0, () => 0)), fail(() => advertiser.once([{ to: 'fe80::1', data: bytes(1) }])),
        fail(() => advertiser.run({ packets: [], intervalMs: 0, lapseMs: 1, leaseMs: 1, now: true })), fail(() => net.advertPriority(100)),
      ];
      advertiser.close();
      return { echo, sent, codes: [...codes, fail(() => advertiser.state())] };`);
    assert.deepEqual(seen(four.heard), ['10.77.0.1 > 224.0.0.111 255 010203', '10.77.0.1 > 10.77.0.2 255 04', '10.77.0.1 > 224.0.0.111 255 00']);
    assert.deepEqual(four.acted, { echo: 0, sent: 4, codes: ['EADDRNOTAVAIL', 'ENODEV', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL', 'EBADF'] });

    const six = await heardWhile<{ echo: number }>(a, b, 6, ['ff02::12'], `${own}
      const ear = net.vrrpSocket({ index, family: 6, groups: ['ff02::12'] }, () => echo++, (e) => { throw e; });
      const advertiser = net.advertiser({ index, source: 'fe80::1' });
      advertiser.run({ packets: [{ to: 'ff02::12', data: bytes(7) }, { to: 'fe80::2', data: bytes(8) }], intervalMs: 10_000, lapseMs: 30_000, leaseMs: 30_000, now: true });
      advertiser.stop([{ to: 'ff02::12', data: bytes(0) }]);
      await sleep(200);
      ear.drain();
      ear.close();
      return { echo };`);
    assert.deepEqual(seen(six.heard), ['fe80::1 > ff02::12 255 07', 'fe80::1 > fe80::2 255 08', 'fe80::1 > ff02::12 255 00']);
    assert.deepEqual(six.acted, { echo: 0 });
  }),
);

test('adverts go on while JavaScript is busy, and not beyond its lease; one that ran out is not brought back', limits, () =>
  withHosts(async (a, b) => {
    const { heard, acted } = await heardWhile<Record<'whileBusy' | 'atEnd' | 'later', { ended: string; sent: number }> & { renewed: boolean[] }>(a, b, 4, ['224.0.0.18'], `
      const advertiser = net.advertiser({ index, source: '10.77.0.1' });
      const packets = [{ to: '224.0.0.18', data: bytes(1) }];
      const pick = ({ ended, sent }) => ({ ended, sent });
      advertiser.run({ packets, intervalMs: 50, lapseMs: 5000, leaseMs: 1000, now: true });
      spin(600);
      const whileBusy = pick(advertiser.state());
      const renewed = [advertiser.renew(1000)];
      spin(2500);
      const atEnd = pick(advertiser.state());
      renewed.push(advertiser.renew(1000));
      spin(200);
      const later = pick(advertiser.state());
      advertiser.stop([{ to: '224.0.0.18', data: bytes(0) }]);
      return { whileBusy, atEnd, later, renewed };`);
    assert.ok(acted.whileBusy.sent >= 3, JSON.stringify(acted));
    assert.deepEqual(acted.renewed, [true, false]);
    assert.equal(acted.atEnd.ended, 'lease');
    // 1.6 s of lease in all: the 2.5 s that came after would be fifty more
    assert.ok(acted.atEnd.sent > acted.whileBusy.sent && acted.atEnd.sent <= 34, JSON.stringify(acted));
    assert.deepEqual(acted.later, acted.atEnd);
    assert.equal(heard.length, acted.atEnd.sent + 1);
  }),
);

test('a process that stood still for longer than others wait sends nothing when it goes on', limits, () =>
  withHosts(async (a, b) => {
    const { heard, acted } = await heardWhile<{ ended: string; before: number; after: number; renewed: boolean }>(a, b, 4, ['224.0.0.18'], `
      const advertiser = net.advertiser({ index, source: '10.77.0.1' });
      advertiser.run({ packets: [{ to: '224.0.0.18', data: bytes(1) }], intervalMs: 100, lapseMs: 600, leaseMs: 60_000, now: true });
      await sleep(350);
      spawn('sh', ['-c', 'kill -STOP ' + process.pid + '; sleep 2; kill -CONT ' + process.pid], { stdio: 'ignore' });
      const begin = net.bootTimeNs();
      let before = 0;
      // the moment of the stop is somewhere in here
      while (net.bootTimeNs() - begin < 1_900_000_000n) { const { running, sent } = advertiser.state(); if (running) before = sent; await sleep(5); }
      await sleep(400);
      const renewed = advertiser.renew(1000);
      const { ended, sent: after } = advertiser.state();
      advertiser.stop([{ to: '224.0.0.18', data: bytes(0) }]);
      return { ended, before, after, renewed };`);
    assert.equal(acted.ended, 'pause');
    assert.equal(acted.renewed, false);
    // what was sent between the last look and the stop
    assert.ok(acted.after - acted.before <= 1, JSON.stringify(acted));
    assert.equal(heard.length, acted.after + 1);
    const times = heard.map(({ receivedMs }) => receivedMs);
    assert.ok((times.at(-1) ?? 0) - (times.at(-2) ?? 0) > 1500, 'only the goodbye came after the pause');
  }),
);
