/** Failures with the kernel module as the peer: crashes of either side, failover both ways, split brain, cut links, online verify. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { mib } from '../support/disk.js';
import { waitFor } from '../support/wait.js';
import { kernelScenarios } from './kernel-pair.js';

const scenario = kernelScenarios('k-fail', { bytes: 24 * mib });

scenario('the kernel Primary loses its power: we take over with its files; it is resynced when it is back', {}, async (pair) => {
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

scenario('we crash as Primary: the kernel takes over with every acknowledged write; we are resynced when we are back', {}, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  const writer = await pair.startWriter(1024);
  await waitFor('the load runs', async () => (await pair.counter('ns')) > 1000, 60_000);
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

scenario('we crash as Primary and come back first: we are the source', { long: true }, async (pair) => {
  const { host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  const writer = await pair.startWriter(512);
  await waitFor('the load runs', async () => (await pair.counter('ns')) > 1000, 60_000);
  await host.powerOff();
  await writer.stop();
  await host.startDaemon();
  await host.drbdts('up', 'r0');
  await pair.inSync();
  await host.drbdts('primary', 'r0');
  await writer.verify(host, '/dev/drbd0');
  await pair.assertSameData();
});

scenario('a Secondary kernel crashes under our load and comes back', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  const writer = await pair.startWriter(512);
  await waitFor('the load runs', async () => (await pair.counter('ns')) > 500, 60_000);
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

scenario('failover both ways by hand', {}, async (pair) => {
  await pair.upInSync();
  await pair.peer.sh('drbdadm primary r0');
  await pair.guestFio('--rw=write --bs=64k --size=2m');
  const two = await pair.host.cli('primary', 'r0');
  assert.equal(two.code, 11, two.stderr);
  await pair.promoteUs();
  await pair.ourFio({ size: '2m', offset: '2m' });
  const busy = await pair.peer.exec('drbdadm primary r0');
  assert.equal(busy.code, 11, busy.stdout);
  await pair.promoteGuest();
  await pair.guestFio('--rw=write --bs=64k --size=2m --offset=4m');
  await pair.assertSameData();
});

scenario('split brain is detected by both and solved with --discard-my-data on our side', {}, async (pair) => {
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

scenario('split brain solved with --discard-my-data on the kernel side', { long: true }, async (pair) => {
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

for (const [who, us] of [['us', true], ['the kernel', false]] as const) {
  scenario(`online verify from ${who} finds a difference; a reconnect repairs it`, { net: { 'verify-alg': 'sha1' }, long: !us }, async (pair) => {
    const { peer, host } = pair;
    const verify = async (oosKib: number): Promise<void> => {
      if (us) await host.drbdts('verify', 'r0');
      else await peer.sh('drbdadm verify r0');
      // the end of it is seen by both
      await waitFor('verify ran', async () => /[Oo]nline verify.*done/.test(await peer.kernelLog()), 60_000);
      await host.running.waitState({ connection: 'Connected', outOfSyncKib: oosKib });
      await peer.waitState({ cs: 'Connected', oosKib });
      await peer.sh('dmesg -c >/dev/null');
    };
    await pair.upInSync();
    await verify(0);
    await host.sh(`printf damage | dd of=${pair.ourDisks[0] ?? ''} bs=1 seek=${3 * mib + 77} conv=notrunc,fsync status=none`);
    await verify(4);
    // the generation of a Primary tells them apart after that, of two Secondaries nothing does
    if (us) await host.drbdts('primary', 'r0');
    else await peer.sh('drbdadm primary r0');
    await host.drbdts('disconnect', 'r0');
    await host.drbdts('connect', 'r0');
    await pair.inSync();
    await verify(0);
    await pair.assertSameData();
  });
}

scenario('a frozen guest is dropped, and comes back by its bitmap', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  await peer.freeze();
  await host.must(['dd', 'if=/dev/urandom', 'of=/dev/drbd0', 'bs=64k', 'count=32', 'oflag=direct', 'status=none']);
  await host.running.waitState({ connection: 'WFConnection', role: 'Primary' });
  await peer.thaw();
  await pair.inSync();
  await pair.assertSameData();
});

scenario('our frozen daemon is dropped, and comes back by the bitmap', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  host.running.freeze();
  await peer.sh('dd if=/dev/urandom of=/dev/drbd0 bs=64k count=32 oflag=direct 2>/dev/null');
  await peer.waitState({ cs: 'WFConnection', ro: 'Primary/Unknown' });
  host.running.thaw();
  await pair.inSync();
  await pair.assertSameData();
});

scenario('the cable is pulled under the load of the kernel', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  const load = pair.guestFio('--rw=randwrite --bsrange=4k-64k --iodepth=8 --size=8m --loops=3');
  await waitFor('the load runs', async () => (await pair.counter('nr')) > 2000, 60_000);
  await peer.unplug();
  await host.running.waitState({ connection: 'WFConnection' });
  await peer.waitState({ cs: 'WFConnection' });
  await peer.plug();
  await load;
  await pair.inSync();
  await pair.assertSameData();
});

scenario('the cable is pulled under our load', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  const writer = await pair.startWriter(1024);
  await waitFor('the load runs', async () => (await pair.counter('ns')) > 1000, 60_000);
  await peer.unplug();
  await host.running.waitState({ connection: 'WFConnection' });
  await peer.waitState({ cs: 'WFConnection' });
  await peer.plug();
  await pair.inSync();
  assert.equal((await writer.stop()).error, 0);
  await writer.verify(host, '/dev/drbd0');
  await pair.assertSameData();
});

scenario('we crash as Secondary under the load of the kernel and come back', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  const load = pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=4m --loops=3');
  await waitFor('the load runs', async () => (await pair.counter('nr')) > 1000, 60_000);
  await host.powerOff();
  await peer.waitState({ cs: 'WFConnection' });
  await host.startDaemon();
  await host.drbdts('up', 'r0');
  await load;
  await pair.inSync();
  await pair.assertSameData();
});

scenario('the kernel crashes as Primary and comes back first: it is the source of what its activity log covers', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  await peer.sh('fio --name=v --filename=/dev/drbd0 --direct=1 --ioengine=libaio --rw=randwrite --bs=4k --iodepth=8 --size=16m --time_based --runtime=60 >/dev/null 2>&1 </dev/null &');
  await waitFor('the load runs', async () => (await pair.counter('nr')) > 1000, 60_000);
  await peer.crash();
  await host.running.waitState({ connection: 'WFConnection', peerRole: 'Unknown' });
  await peer.boot();
  await pair.configureGuest();
  const before = await pair.counter('nr');
  await peer.sh('drbdadm up r0');
  await pair.inSync();
  assert.ok((await pair.counter('nr')) - before > 1000, 'the hot extents were copied');
  await pair.assertSameData();
});
