/** Application I/O with the kernel module as the peer: every protocol, integrity, discards, diskless, two volumes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withLab } from '../support/lab.js';
import { fioVerify } from '../support/load.js';
import { vmUnavailable } from '../support/vm.js';
import { KernelPair } from './kernel-pair.js';

const skip = vmUnavailable();
const limits = { skip, timeout: 400_000 };
const mixed = '--rw=randwrite --bsrange=512-128k --blockalign=512 --iodepth=16 --size=6m --fsync=20';

for (const protocol of ['A', 'B', 'C']) {
  test(`protocol ${protocol}: the kernel writes, then we write`, limits, async () => {
    await withLab('k-io', async (lab) => {
      const pair = await KernelPair.create(lab, { protocol });
      await pair.upInSync();
      await pair.peer.sh('drbdadm primary r0');
      await pair.guestFio(mixed);
      await pair.peer.sh('drbdadm secondary r0');
      await pair.host.drbdts('primary', 'r0');
      const result = await fioVerify(pair.host, '/dev/drbd0', { size: '6m', offset: '6m', depth: 16, extra: ['--bsrange=512-128k', '--blockalign=512', '--fsync=20'] });
      assert.equal(result.code, 0, result.stdout + result.stderr);
      await pair.assertSameData();
    });
  });
}

for (const algorithm of ['sha1', 'md5', 'crc32c']) {
  test(`data-integrity-alg ${algorithm} and cram-hmac-alg with the same secret`, limits, async () => {
    await withLab('k-integrity', async (lab) => {
      const pair = await KernelPair.create(lab, {
        net: { 'data-integrity-alg': algorithm, 'cram-hmac-alg': algorithm === 'crc32c' ? 'sha256' : 'sha1', 'shared-secret': 'between-us' },
      });
      await pair.upInSync();
      await pair.peer.sh('drbdadm primary r0');
      await pair.guestFio(mixed);
      await pair.promoteUs();
      const result = await fioVerify(pair.host, '/dev/drbd0', { size: '6m', depth: 8 });
      assert.equal(result.code, 0, result.stdout);
      await pair.assertSameData();
    });
  });
}

test('a wrong secret: neither side connects, both say so', limits, async () => {
  await withLab('k-secret', async (lab) => {
    const pair = await KernelPair.create(lab, { net: { 'cram-hmac-alg': 'sha1', 'shared-secret': 'right' }, ourNet: { 'shared-secret': 'wrong' } });
    await pair.peer.sh('drbdadm create-md --force r0 && drbdadm up r0');
    await pair.host.startDaemon();
    await pair.host.drbdts('create-md', 'r0');
    await pair.host.drbdts('up', 'r0');
    await pair.waitReason(/auth|secret/i);
    assert.notEqual((await pair.host.running.volume()).connection, 'Connected');
    assert.match(await pair.peer.kernelLog(), /[Aa]uthentication/);
  });
});

test('another protocol letter: both end StandAlone', limits, async () => {
  await withLab('k-letter', async (lab) => {
    const pair = await KernelPair.create(lab, { protocol: 'B' });
    await pair.peer.put('/etc/drbd.d/r0.res', (await pair.peer.sh('cat /etc/drbd.d/r0.res')).replace('protocol B', 'protocol C'));
    await pair.peer.sh('drbdadm create-md --force r0 && drbdadm up r0');
    await pair.host.startDaemon();
    await pair.host.drbdts('create-md', 'r0');
    await pair.host.drbdts('up', 'r0');
    await pair.waitReason(/protocol/i);
    await pair.host.running.waitState({ connection: 'StandAlone' });
  });
});

test('discard and zeroing of ranges from either side', limits, async () => {
  await withLab('k-discard', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio('--rw=write --bs=128k --size=8m');
    await pair.peer.sh('blkdiscard -o 1048576 -l 2097152 /dev/drbd0; blkdiscard -z -o 4194304 -l 1048576 /dev/drbd0');
    await pair.promoteUs();
    await pair.host.must(['blkdiscard', '-z', '-o', String(6 << 20), '-l', String(1 << 20), '/dev/drbd0']);
    await pair.host.run(['blkdiscard', '-o', String(7 << 20), '-l', String(1 << 20), '/dev/drbd0']);
    await pair.host.sh(`dd if=/dev/drbd0 bs=1M skip=6 count=1 status=none | cmp -n ${1 << 20} - /dev/zero`);
    await pair.assertSameData();
  });
});

test('the kernel loses its disk: its reads and writes come to us', limits, async () => {
  await withLab('k-diskless-k', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio('--rw=write --bs=64k --size=4m');
    await pair.peer.sh('drbdadm detach r0');
    await pair.host.running.waitState({ peerDisk: 'Diskless', disk: 'UpToDate' });
    await pair.guestFio('--rw=randwrite --bs=4k --iodepth=8 --size=4m --offset=4m');
    await pair.peer.sh('drbdadm attach r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

test('we lose our disk: our reads and writes go to the kernel', limits, async () => {
  await withLab('k-diskless-u', async (lab) => {
    const pair = await KernelPair.create(lab);
    await pair.upInSync();
    await pair.host.drbdts('primary', 'r0');
    assert.equal((await fioVerify(pair.host, '/dev/drbd0', { size: '4m' })).code, 0);
    await pair.host.drbdts('detach', 'r0');
    await pair.peer.waitState({ ds: 'UpToDate/Diskless' });
    const result = await fioVerify(pair.host, '/dev/drbd0', { size: '4m', offset: '4m' });
    assert.equal(result.code, 0, result.stdout + result.stderr);
    await pair.host.drbdts('attach', 'r0');
    await pair.inSync();
    await pair.assertSameData();
  });
});

test('two volumes over one connection', limits, async () => {
  await withLab('k-volumes', async (lab) => {
    const pair = await KernelPair.create(lab, { volumes: 2 });
    await pair.upInSync();
    await pair.peer.sh('drbdadm primary r0');
    await pair.guestFio('--rw=randwrite --bs=4k --iodepth=4 --size=2m', 0);
    await pair.guestFio('--rw=randwrite --bs=4k --iodepth=4 --size=2m', 1);
    await pair.promoteUs();
    for (const device of ['/dev/drbd0', '/dev/drbd1']) assert.equal((await fioVerify(pair.host, device, { size: '4m', offset: '4m' })).code, 0);
    await pair.assertSameData();
  });
});
