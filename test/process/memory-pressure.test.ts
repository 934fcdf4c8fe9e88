/** Memory gets short while dirty pages wait to be written through our own device: nothing may hang. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryCgroup, memoryCgroupUnavailable } from '../support/cgroup.js';
import { mib } from '../support/disk.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, longRun } from '../support/paths.js';
import { residentBytes } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable() || memoryCgroupUnavailable();
const writtenMib = longRun ? 4096 : 600;

/** Grows and drops the heap of the process that loads it, for ever. */
const heapGrowth = `
const keep = [];
setInterval(() => {
  for (let i = 0; i < 40; i++) keep.push(new Array(20000).fill({ some: 'object', number: i }));
  if (keep.length > 400) keep.length = 0;
}, 20).unref();
`;

test('a buffered writer in a small memory cgroup while the JavaScript heap of the daemon grows', { skip, timeout: 400_000 }, async () => {
  await withLab('pressure', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 384 * mib });
    const growth = join(lab.dir, 'growth.cjs');
    await pair.a.sh(`cat > ${growth} <<'END'\n${heapGrowth}\nEND`);
    const daemonGroup = memoryCgroup(lab, 'daemon', 0);
    const writerGroup = memoryCgroup(lab, 'writer', 100 * mib);
    await pair.a.startDaemon({ nodeArgs: ['--require', growth], cgroup: daemonGroup });
    await pair.b.startDaemon();
    await pair.both((host) => host.drbdts('create-md', 'r0'));
    await pair.both((host) => host.drbdts('up', 'r0'));
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
    await pair.a.drbdts('new-current-uuid', '--clear-bitmap', 'r0');
    await pair.inSync();
    await pair.a.drbdts('primary', 'r0');
    const store = join(pair.a.dir, 'store');
    await pair.a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await pair.a.mount('/dev/drbd0', store);
    const { pid } = pair.a.running;
    let most = 0;
    const sampling = setInterval(() => (most = Math.max(most, residentBytes(pid))), 100);
    try {
      // buffered, no fsync until the end: the kernel writes back when the cgroup is full
      const rounds = Math.ceil(writtenMib / 200);
      const script = `echo $$ > ${writerGroup}/cgroup.procs; i=0; while [ $i -lt ${rounds} ]; do dd if=/dev/zero of=${store}/f bs=64k count=3200 status=none || exit 1; i=$((i + 1)); done; sync`;
      const result = await pair.a.run(['sh', '-c', script], { timeoutMs: 300_000 });
      assert.equal(result.code, 0, `${result.stdout}${result.stderr}`);
    } finally {
      clearInterval(sampling);
    }
    assert.ok(readFileSync(`${daemonGroup}/cgroup.procs`, 'utf8').includes(String(pid)), 'the daemon is in its own cgroup');
    assert.ok(most > 0);
    await pair.a.umount(store);
    await pair.a.must(['e2fsck', '-fn', '/dev/drbd0']);
    await pair.inSync();
    await pair.a.drbdts('secondary', 'r0');
    await pair.assertSameData();
  });
});

test('the daemon itself inside the writer\'s full cgroup', { skip, timeout: 400_000 }, async () => {
  await withLab('pressure-same', async (lab) => {
    const pair = await Pair.create(lab, { bytes: 384 * mib });
    // node's own needs come on top of the 100 MiB
    const group = memoryCgroup(lab, 'both', 400 * mib);
    await pair.a.startDaemon({ cgroup: group });
    await pair.b.startDaemon();
    await pair.both((host) => host.drbdts('create-md', 'r0'));
    await pair.both((host) => host.drbdts('up', 'r0'));
    await pair.both((host) => host.running.waitState({ connection: 'Connected' }));
    await pair.a.drbdts('new-current-uuid', '--clear-bitmap', 'r0');
    await pair.inSync();
    await pair.a.drbdts('primary', 'r0');
    const store = join(pair.a.dir, 'store');
    await pair.a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await pair.a.mount('/dev/drbd0', store);
    const script = `echo $$ > ${group}/cgroup.procs; for i in 1 2 3 4; do dd if=/dev/zero of=${store}/f bs=64k count=4800 status=none || exit 1; done; sync`;
    const result = await pair.a.run(['sh', '-c', script], { timeoutMs: 240_000 });
    assert.equal(result.code, 0, `${result.stdout}${result.stderr}`);
    await waitFor('the daemon answers', async () => (await pair.a.running.volume()).role === 'Primary');
    await pair.a.umount(store);
    await pair.a.must(['e2fsck', '-fn', '/dev/drbd0']);
  });
});
