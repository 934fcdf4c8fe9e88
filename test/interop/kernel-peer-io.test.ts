/** Application I/O with the kernel module as the peer: every protocol, integrity, authentication, discards, diskless, two volumes. */
import assert from 'node:assert/strict';
import { mib } from '../support/disk.js';
import { kernelScenarios } from './kernel-pair.js';

const scenario = kernelScenarios('k-io');
const mixed = ['--rw=randwrite', '--bsrange=512-128k', '--blockalign=512', '--iodepth=16', '--size=4m', '--fsync=20'].join(' ');
const ourMixed = { size: '4m', offset: '6m', depth: 16, extra: ['--bsrange=512-128k', '--blockalign=512', '--fsync=20'] };

for (const protocol of ['A', 'B', 'C']) {
  scenario(`protocol ${protocol}: the kernel writes, then we write`, { protocol, long: true }, async (pair) => {
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio(mixed);
    assert.equal((await pair.peer.volume()).protocol, protocol);
    await pair.promoteUs();
    await pair.ourFio(ourMixed);
    await pair.assertSameData();
  });
}

for (const [integrity, auth] of [['sha1', 'sha1'], ['md5', 'sha256'], ['crc32c', 'sha256']] as const) {
  const net = { 'data-integrity-alg': integrity, 'cram-hmac-alg': auth, 'shared-secret': 'between-us' };
  scenario(`data-integrity-alg ${integrity} and cram-hmac-alg ${auth} with the same secret`, { net, long: integrity !== 'crc32c' }, async (pair) => {
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio(mixed);
    await pair.promoteUs();
    await pair.ourFio(ourMixed);
    // resync replies carry a digest, too
    await pair.host.drbdts('disconnect', 'r0');
    await pair.ourFio({ size: '1m' });
    await pair.host.drbdts('connect', 'r0');
    await pair.inSync();
    await pair.promoteGuest();
    await pair.host.drbdts('disconnect', 'r0');
    await pair.guestFio('--rw=write --bs=64k --size=1m');
    await pair.host.drbdts('connect', 'r0');
    await pair.inSync();
    await pair.assertSameData();
  });
}

const secret = { 'cram-hmac-alg': 'sha1', 'shared-secret': 'right' };
scenario('a wrong secret: neither side connects, both say so', { net: secret, ourNet: { 'shared-secret': 'wrong' }, long: true }, async (pair) => {
  await pair.start();
  await pair.waitReason(/auth|secret/i);
  assert.notEqual((await pair.host.running.volume()).connection, 'Connected');
  await pair.peer.waitState({ cs: 'StandAlone' });
  assert.match(await pair.peer.kernelLog(), /[Aa]uthentication/);
});

scenario('another protocol letter: both end StandAlone', { protocol: 'C', ourProtocol: 'B', long: true }, async (pair) => {
  await pair.start();
  await pair.waitReason(/protocol/i);
  await pair.host.running.waitState({ connection: 'StandAlone' });
  await pair.peer.waitState({ cs: 'StandAlone' });
});

scenario('another verify-alg: both end StandAlone', { net: { 'verify-alg': 'sha1' }, ourNet: { 'verify-alg': 'md5' }, long: true }, async (pair) => {
  await pair.start();
  await pair.waitReason(/verify-alg/i);
  await pair.host.running.waitState({ connection: 'StandAlone' });
  await pair.peer.waitState({ cs: 'StandAlone' });
});

scenario('discard and zeroing of ranges from either side', { long: true }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  await pair.guestFio('--rw=write --bs=128k --size=8m');
  await peer.sh('blkdiscard -o 1048576 -l 2097152 /dev/drbd0; blkdiscard -z -o 4194304 -l 1048576 /dev/drbd0');
  await pair.promoteUs();
  await host.sh(`dd if=/dev/drbd0 bs=1M skip=4 count=1 status=none | cmp -n ${mib} - /dev/zero`);
  await host.must(['blkdiscard', '-z', '-o', String(6 * mib), '-l', String(mib), '/dev/drbd0']);
  await host.must(['blkdiscard', '-o', String(7 * mib), '-l', String(mib), '/dev/drbd0']);
  await host.sh(`dd if=/dev/drbd0 bs=1M skip=6 count=1 status=none | cmp -n ${mib} - /dev/zero`);
  await pair.assertSameData();
});

scenario('the kernel loses its disk: its reads and writes come to us', {}, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  await pair.guestFio('--rw=write --bs=64k --size=2m');
  await peer.sh('drbdadm detach r0');
  await host.running.waitState({ peerDisk: 'Diskless', disk: 'UpToDate' });
  await pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=2m --offset=4m');
  await peer.sh('drbdadm attach r0');
  await pair.inSync();
  await pair.assertSameData();
});

scenario('we lose our disk: our reads and writes go to the kernel', {}, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await host.drbdts('primary', 'r0');
  await pair.ourFio({ size: '2m' });
  await host.drbdts('detach', 'r0');
  await peer.waitState({ ds: 'UpToDate/Diskless' });
  await pair.ourFio({ size: '2m', offset: '4m' });
  await host.drbdts('attach', 'r0');
  await pair.inSync();
  await pair.assertSameData();
});

for (const [who, us] of [['the kernel', false], ['we', true]] as const) {
  scenario(`${who} without a disk from the start, Primary over the network`, { long: true }, async (pair) => {
    const { peer, host } = pair;
    await pair.upInSync();
    if (us) {
      await host.drbdts('detach', 'r0');
      await host.drbdts('disconnect', 'r0');
      await host.drbdts('connect', 'r0');
      await host.running.waitState({ connection: 'Connected', disk: 'Diskless', peerDisk: 'UpToDate' });
      await host.drbdts('primary', 'r0');
      await pair.ourFio({ size: '2m', depth: 8 });
      await host.drbdts('secondary', 'r0');
      await host.drbdts('attach', 'r0');
    } else {
      await peer.sh('drbdadm detach r0 && drbdadm disconnect r0 && drbdadm connect r0');
      await peer.waitState({ cs: 'Connected', ds: 'Diskless/UpToDate' });
      await peer.sh('drbdadm primary r0');
      await pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=2m');
      await peer.sh('drbdadm secondary r0 && drbdadm attach r0');
    }
    await pair.inSync();
    await pair.assertSameData();
  });
}

scenario('two volumes over one connection', { volumes: 2 }, async (pair) => {
  const { peer, host } = pair;
  await pair.upInSync();
  await peer.sh('drbdadm primary r0');
  await pair.guestFio('--rw=randwrite --bs=4k --iodepth=4 --size=1m --name=w --filename=/dev/drbd1 --direct=1 --ioengine=libaio --verify=crc32c --rw=randwrite --bs=4k --size=1m');
  await pair.promoteUs();
  await Promise.all([0, 1].map((minor) => pair.ourFio({ size: '2m', offset: '4m' }, minor)));
  await host.drbdts('disconnect', 'r0');
  await Promise.all([0, 1].map((minor) => pair.ourFio({ size: '1m', offset: '8m' }, minor)));
  await host.drbdts('connect', 'r0');
  await pair.inSync();
  await pair.assertSameData();
});

scenario('two volumes: full sync of both', { volumes: 2, contents: 'random', long: true }, async (pair) => {
  await pair.up();
  await pair.host.drbdts('primary', '--force', 'r0');
  await pair.inSync();
  await pair.assertSameData();
});
