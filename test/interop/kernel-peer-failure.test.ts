/** Failures with the kernel module as the peer: crashes of either side, failover both ways, split brain, cut links, online verify. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { mib } from '../support/disk.js';
import { withLab } from '../support/lab.js';
import { AckWriter, fioVerify } from '../support/load.js';
import { vmUnavailable } from '../support/vm.js';
import { waitFor } from '../support/wait.js';
import { KernelPair } from './kernel-pair.js';

const skip = vmUnavailable();
const limits = { skip, timeout: 400_000 };

test('the kernel Primary loses its power: we take over with its files; it is resynced when it is back', limits, async () => {
  await withLab('k-crash-k', async (lab) => {
    const pair = await KernelPair.create(lab, { bytes: 32 * mib });
    const { peer, host } = pair;
    await pair.upInSync();
    await peer.sh('drbdadm primary r0 && mkfs.ext4 -q /dev/drbd0 && mkdir -p /store && mount /dev/drbd0 /store');
    await peer.sh('for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/store/f$i bs=64k count=4 2>/dev/null; done; sync; cd /store && sha256sum f* > sums && sync');
    await peer.crash();
    await host.running.waitState({ connection: 'WFConnection', peerRole: 'Unknown' });
    await host.drbdts('primary', 'r0');
    const store = join(host.dir, 'store');
    await host.mount('/dev/drbd0', store);
    await host.sh(`cd ${store} && sha256sum -c --quiet sums`);
    await host.sh(`dd if=/dev/urandom of=${store}/ours bs=64k count=16 conv=fsync status=none`);
    await peer.boot();
    await pair.configureGuest();
    await peer.sh('drbdadm up r0');
    await pair.inSync();
    await host.umount(store);
    await pair.promoteGuest();
    await peer.sh('mkdir -p /store && mount /dev/drbd0 /store && cd /store && sha256sum -c sums >/dev/null && ls ours && cd / && umount /store');
    await pair.assertSameData();
  });
});

test('we crash as Primary: the kernel takes over with every acknowledged write; we are resynced when we are back', limits, async () => {
  await withLab('k-crash-u', async (lab) => {
    const pair = await KernelPair.create(lab, { bytes: 32 * mib });
    const { peer, host } = pair;
    await pair.upInSync();
    await host.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir, { blocks: 1024 });
    await writer.start(host, '/dev/drbd0');
    await waitFor('the load runs', async () => ((await host.running.volume()).counters['ns'] ?? 0) > 1000, 60_000);
    await host.powerOff();
    await writer.stop();
    await peer.waitState({ cs: 'WFConnection' });
    await peer.sh('drbdadm primary r0');
    await peer.sh('dd if=/dev/urandom of=/dev/drbd0 bs=64k seek=128 count=16 oflag=direct 2>/dev/null');
    await host.startDaemon();
    await host.drbdts('up', 'r0');
    await pair.inSync();
    // what the kernel has is what we have now
    await pair.promoteUs();
    await writer.verify(host, '/dev/drbd0');
    await pair.assertSameData();
  });
});

test('we crash as Primary and come back first: we are the source', limits, async () => {
  await withLab('k-crash-back', async (lab) => {
    const pair = await KernelPair.create(lab);
    const { host } = pair;
    await pair.upInSync();
    await host.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir, { blocks: 512 });
    await writer.start(host, '/dev/drbd0');
    await waitFor('the load runs', async () => ((await host.running.volume()).counters['ns'] ?? 0) > 1000, 60_000);
    await host.powerOff();
    await writer.stop();
    await host.startDaemon();
    await host.drbdts('up', 'r0');
    await pair.inSync();
    await host.drbdts('primary', 'r0');
    await writer.verify(host, '/dev/drbd0');
    await pair.assertSameData();
  });
});

test('a Secondary kernel crashes under our load and comes back', limits, async () => {
  await withLab('k-crash-sec', async (lab) => {
    const pair = await KernelPair.create(lab);
    const { peer, host } = pair;
    await pair.upInSync();
    await host.drbdts('primary', 'r0');
    const writer = new AckWriter(lab.dir, { blocks: 512 });
    await writer.start(host, '/dev/drbd0');
    await waitFor('the load runs', async () => ((await host.running.volume()).counters['ns'] ?? 0) > 500, 60_000);
    await peer.crash();
    await host.running.waitState({ connection: 'WFConnection', role: 'Primary', disk: 'UpToDate' });
    assert.ok(writer.running);
    await peer.boot();
    await pair.configureGuest();
    await peer.sh('drbdadm up r0');
    await waitFor('resynced', async () => (await host.running.volume()).peerDisk === 'UpToDate', 120_000);
    assert.equal((await writer.stop()).error, 0);
    await writer.verify(host, '/dev/drbd0');
    await pair.assertSameData();
  });
});

test('failover both ways by hand', limits, async () => {
  await withLab('k-failover', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio('--rw=write --bs=64k --size=2m');
    const two = await pair.host.cli('primary', 'r0');
    assert.equal(two.code, 11, two.stderr);
    await pair.promoteUs();
    assert.equal((await fioVerify(pair.host, '/dev/drbd0', { size: '2m', offset: '2m' })).code, 0);
    const busy = await pair.peer.exec('drbdadm primary r0');
    assert.equal(busy.code, 11, busy.stdout);
    await pair.promoteGuest();
    await pair.guestFio('--rw=write --bs=64k --size=2m --offset=4m');
    await pair.assertSameData();
  });
});

test('split brain is detected by both and solved with --discard-my-data on our side', limits, async () => {
  await withLab('k-split', async (lab) => {
    const pair = await KernelPair.create(lab);
    const { peer, host } = pair;
    await pair.upInSync();
    await peer.unplug();
    await host.running.waitState({ connection: 'WFConnection' });
    await peer.waitState({ cs: 'WFConnection' });
    await peer.sh('drbdadm primary r0 && dd if=/dev/urandom of=/dev/drbd0 bs=64k count=16 oflag=direct 2>/dev/null && drbdadm secondary r0');
    await host.drbdts('primary', 'r0');
    await host.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=64k', 'seek=8', 'count=16', 'oflag=direct', 'status=none']);
    await host.drbdts('secondary', 'r0');
    await peer.plug();
    await waitFor('the kernel notices', async () => /Split-Brain detected/.test(await peer.kernelLog()), 60_000);
    await waitFor('we notice', async () => /split.brain/i.test((await host.running.resource()).connectionReason), 60_000);
    await host.cli('disconnect', 'r0');
    await host.drbdts('connect', '--discard-my-data', 'r0');
    await peer.exec('drbdadm connect r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

test('split brain solved with --discard-my-data on the kernel side', limits, async () => {
  await withLab('k-split-k', async (lab) => {
    const pair = await KernelPair.create(lab);
    const { peer, host } = pair;
    await pair.upInSync();
    await peer.unplug();
    await host.running.waitState({ connection: 'WFConnection' });
    await peer.waitState({ cs: 'WFConnection' });
    await peer.sh('drbdadm primary r0 && dd if=/dev/urandom of=/dev/drbd0 bs=64k count=4 oflag=direct 2>/dev/null && drbdadm secondary r0; drbdadm disconnect r0');
    await host.drbdts('primary', 'r0');
    await host.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=64k', 'seek=8', 'count=4', 'oflag=direct', 'status=none']);
    await host.drbdts('secondary', 'r0');
    await peer.plug();
    await peer.sh('drbdadm connect --discard-my-data r0');
    await host.cli('connect', 'r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

test('online verify from either side finds a difference; a reconnect repairs it', limits, async () => {
  await withLab('k-verify', async (lab) => {
    const pair = await KernelPair.create(lab, { net: { 'verify-alg': 'sha1' } });
    const { peer, host } = pair;
    await pair.upInSync();
    await host.sh(`printf damage | dd of=${pair.ourDisks[0] ?? ''} bs=1 seek=${3 * mib + 77} conv=notrunc,fsync status=none`);
    await host.drbdts('verify', 'r0');
    await host.drbdts('wait-sync', 'r0');
    assert.equal((await host.running.volume()).outOfSyncKib, 4);
    await peer.waitState({ cs: 'Connected', oosKib: 4 });
    await host.drbdts('disconnect', 'r0');
    await host.drbdts('connect', 'r0');
    await pair.inSync();
    await peer.waitState({ oosKib: 0 });
    await peer.sh('drbdadm verify r0');
    await peer.waitState({ cs: 'Connected', oosKib: 0 });
    await pair.assertSameData();
  });
});

test('a frozen guest is dropped, and comes back by its bitmap', limits, async () => {
  await withLab('k-freeze', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.host.drbdts('primary', 'r0');
    await pair.peer.freeze();
    await pair.host.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=64k', 'count=32', 'oflag=direct', 'status=none']);
    await pair.host.running.waitState({ connection: 'WFConnection', role: 'Primary' });
    await pair.peer.thaw();
    await pair.inSync();
    await pair.assertSameData();
  });
});
