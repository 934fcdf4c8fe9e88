/** Peers that do not fit: DRBD's behaviour, one sentence in log and status, and never a crash. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { exited } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable();
const limits = { skip, timeout: 120_000 };

/** Waits until the host says in status why it is not connected; the same sentence has to be in its log. */
async function reasonOf(host: Host, pattern: RegExp): Promise<void> {
  await waitFor(
    `${host.name} says ${String(pattern)}`,
    async () => {
      const { connectionReason, volumes } = await host.running.resource();
      return pattern.test([connectionReason, ...volumes.map(({ reason }) => reason)].join(' '));
    },
    30_000,
    async () => `it says: ${(await host.running.resource()).connectionReason}`,
  );
  await waitFor(`the log of ${host.name} says it`, () => pattern.test(host.log()), 10_000);
}

async function bringUp(pair: Pair): Promise<void> {
  await pair.startDaemons();
  await pair.both((host) => host.drbdts('create-md', '--force', 'r0'));
  await pair.both((host) => host.drbdts('up', 'r0'));
}

test('another shared secret: both end StandAlone or keep trying, never connect', limits, async () => {
  await withLab('wrong-secret', async (lab) => {
    const pair = await Pair.create(lab);
    pair.configure({ net: { 'cram-hmac-alg': 'sha256', 'shared-secret': 'one' } }, [pair.a]);
    pair.configure({ net: { 'cram-hmac-alg': 'sha256', 'shared-secret': 'two' } }, [pair.b]);
    await bringUp(pair);
    await reasonOf(pair.a, /auth|secret/i);
    assert.notEqual((await pair.a.running.volume()).connection, 'Connected');
    assert.ok(!/\bone\b|\btwo\b/.test(pair.a.log() + pair.b.log()), 'secrets are not logged');
    // with the same secret they connect
    pair.configure({ net: { 'cram-hmac-alg': 'sha256', 'shared-secret': 'one' } });
    await pair.both((host) => host.cli('disconnect', '--force', 'r0'));
    await pair.both((host) => host.drbdts('adjust', 'r0'));
    await pair.both((host) => host.cli('connect', 'r0'));
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
  });
});

test('another protocol letter: refused by name', limits, async () => {
  await withLab('wrong-protocol', async (lab) => {
    const pair = await Pair.create(lab);
    pair.configure({ protocol: 'A' }, [pair.b]);
    await bringUp(pair);
    await reasonOf(pair.a, /protocol/i);
    await pair.a.running.waitState({ connection: 'StandAlone' });
  });
});

test('unrelated data: refused, nothing is overwritten', limits, async () => {
  await withLab('unrelated', async (lab) => {
    const pair = await Pair.create(lab, { contents: 'random' });
    // each lives a life of its own until nothing is left of the generation that create-md wrote: no common one
    await pair.startDaemons();
    await pair.both((host) => host.drbdts('create-md', '--force', 'r0'));
    for (const host of [pair.a, pair.b]) {
      await host.drbdts('attach', 'r0');
      await host.drbdts('primary', '--force', 'r0');
      await host.drbdts('secondary', 'r0');
      for (let generation = 0; generation < 4; generation++) await host.drbdts('new-current-uuid', 'r0');
    }
    await pair.both((host) => host.drbdts('connect', 'r0'));
    await reasonOf(pair.a, /unrelated data/i);
    await pair.both((host) => host.running.waitState({ connection: 'StandAlone', disk: 'UpToDate' }));
  });
});

test('a smaller disk of the peer: the device never shrinks under its data', limits, async () => {
  await withLab('smaller-disk', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 64 * mib, bytesB: 32 * mib });
    await pair.startDaemons();
    await pair.both((host) => host.drbdts('create-md', '--force', 'r0'));
    await pair.a.drbdts('up', 'r0');
    await pair.a.drbdts('primary', '--force', 'r0');
    const before = await pair.usableBytes();
    await pair.b.drbdts('up', 'r0');
    await reasonOf(pair.a, /size|small/i);
    assert.equal(await pair.usableBytes(), before);
    await pair.a.running.waitState({ role: 'Primary', disk: 'UpToDate' });
    assert.notEqual((await pair.a.running.volume()).connection, 'Connected');
  });
});

/** A program inside host b that behaves as a bad peer; `body` gets connect(), header() and the addresses. */
function badPeer(pair: Pair, body: string): ChildProcess {
  const program = `
    const net = require('net'), crypto = require('crypto');
    const header = (command, length) => { const b = Buffer.alloc(8); b.writeUInt32BE(0x83740267, 0); b.writeUInt16BE(command, 4); b.writeUInt16BE(length, 6); return b; };
    const peer = ${JSON.stringify(pair.link.address.a)};
    const dial = () => new Promise((resolve) => { const s = net.connect(7788, peer); s.on('error', () => resolve(null)); s.on('connect', () => resolve(s)); s.on('data', () => {}); });
    process.on('uncaughtException', () => {});
    (async () => { ${body} })();
    setInterval(() => {}, 1000);`;
  return pair.b.spawn([process.execPath, '-e', program]);
}

/** Features packet of protocol 86 to 101 without flags. */
const handshake = `
  const data = await dial(); if (!data) return; data.write(header(0xfff2, 0));
  const meta = await dial(); if (!meta) return; meta.write(header(0xfff1, 0));
  const features = Buffer.alloc(72); features.writeUInt32BE(86, 0); features.writeUInt32BE(15, 4); features.writeUInt32BE(101, 8);
  data.write(Buffer.concat([header(0xfffe, 72), features]));
  const packet = (command, payload) => { const b = Buffer.alloc(16); b.writeUInt32BE(0x8620ec20, 0); b.writeUInt16BE(0, 4); b.writeUInt16BE(command, 6); b.writeUInt32BE(payload.length, 8); return Buffer.concat([b, payload]); };
`;

const badPeers: readonly { readonly name: string; readonly body: string }[] = [
  { name: 'random bytes on every connection', body: `for (let i = 0; i < 60; i++) { const s = await dial(); if (s) { s.write(crypto.randomBytes(4096)); s.end(); } await new Promise((r) => setTimeout(r, 50)); }` },
  { name: 'an HTTP client', body: `for (let i = 0; i < 20; i++) { const s = await dial(); if (s) s.write('GET / HTTP/1.1\\r\\n\\r\\n'); await new Promise((r) => setTimeout(r, 100)); }` },
  { name: 'a first packet that is none', body: `for (let i = 0; i < 20; i++) { const s = await dial(); if (s) { s.write(header(0x7f, 0xffff)); s.end(crypto.randomBytes(100)); } await new Promise((r) => setTimeout(r, 100)); }` },
  { name: 'an unknown packet after the features', body: `while (true) { await (async () => { ${handshake} data.write(packet(0x7e, Buffer.alloc(8))); })(); await new Promise((r) => setTimeout(r, 300)); }` },
  { name: 'a packet that claims 4 GiB', body: `while (true) { await (async () => { ${handshake} const b = packet(0x0b, Buffer.alloc(0)); b.writeUInt32BE(0xffffffff, 8); data.write(b); data.write(crypto.randomBytes(65536)); })(); await new Promise((r) => setTimeout(r, 300)); }` },
  { name: 'garbage on the acknowledgement socket', body: `while (true) { await (async () => { ${handshake} meta.write(crypto.randomBytes(1000)); })(); await new Promise((r) => setTimeout(r, 300)); }` },
  { name: 'half a header, then silence', body: `const keep = []; for (let i = 0; i < 30; i++) { const s = await dial(); if (s) { s.write(Buffer.from([0x83, 0x74])); keep.push(s); } await new Promise((r) => setTimeout(r, 50)); }` },
];

for (const { name, body } of badPeers) {
  test(`${name}: the daemon lives, serves its volume and takes a proper peer afterwards`, limits, async () => {
    await withLab('bad-bytes', async (lab) => {
      const pair = await Pair.create(lab);
      await pair.a.startDaemon();
      await pair.a.drbdts('create-md', '--force', 'r0');
      await pair.a.drbdts('up', 'r0');
      await pair.a.drbdts('primary', '--force', 'r0');
      const { pid } = pair.a.running;
      const badPeerProcess = badPeer(pair, body);
      // the volume is served meanwhile
      const seed = randomInt(1, 1_000_000);
      await pair.a.must(['fio', '--name=x', '--filename=/dev/drbd0', '--direct=1', '--rw=randwrite', '--bs=4k', '--size=4m', '--verify=crc32c', `--randseed=${seed}`,
        '--rate_iops=300']);
      await waitFor('a log line about the bad peer', () => /drop|refus|wrong|unknown|unexpected|impossible|invalid|handshake|magic/i.test(pair.a.log()), 30_000);
      assert.equal(pair.a.running.pid, pid);
      assert.equal(pair.a.running.child.exitCode, null, 'the daemon lives');
      assert.notEqual((await pair.a.running.volume()).connection, 'Connected');
      badPeerProcess.kill('SIGKILL');
      await exited(badPeerProcess);
      await pair.b.startDaemon();
      await pair.b.drbdts('create-md', '--force', 'r0');
      await pair.b.drbdts('up', 'r0');
      if ((await pair.a.running.volume()).connection === 'StandAlone') await pair.a.drbdts('connect', 'r0');
      await pair.inSync();
    });
  });
}
