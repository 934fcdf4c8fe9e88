/** A file system as a member of a group, on loop devices in a host's own namespaces. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FilesystemMember, MemberConfig } from '../../src/config/cluster-types.js';
import { makeDisk, mib } from '../support/disk.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { type MemberAnswer, MemberProcess } from '../support/member-process.js';
import { labUnavailable } from '../support/paths.js';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 90_000 };

interface Store {
  readonly host: Host;
  readonly device: string;
  readonly point: string;
  readonly member: MemberProcess;
}

function fine(answer: MemberAnswer): MemberAnswer {
  assert.ok(answer.ok, `${answer.code}: ${answer.reason}\n${answer.log.join('\n')}`);
  return answer;
}

/** A host with an ext4 on a loop device and the member for it. */
function withStore(name: string, changes: Partial<FilesystemMember>, body: (store: Store) => Promise<void>, mkfs = ['mkfs.ext4', '-q', '-F']): () => Promise<void> {
  return () =>
    withLab(name, async (lab) => {
      const host = await Host.create(lab, 'alpha');
      const disk = makeDisk(join(host.dir, 'disk'), 32 * mib);
      await host.must([...mkfs, disk]);
      const device = (await host.must(['losetup', '-f', '--show', disk])).trim();
      const point = join(host.dir, 'deep', 'store');
      const config: MemberConfig = {
        kind: 'filesystem', name: 'filesystem /store', device, mountPoint: point, type: 'ext4', options: '', fsck: 'auto', graceMs: 500,
        startMs: 20_000, stopMs: 20_000, monitorMs: 5000, monitorEveryMs: 10_000, ...changes,
      };
      await body({ host, device, point, member: new MemberProcess(host, config) });
    });
}

/** A program in the host; resolves once it printed `ready`. */
async function holder(host: Host, script: string): Promise<number> {
  const child = host.spawn(['sh', '-c', script], ['ignore', 'pipe', 2]);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  // what runs in there, not the tool that entered the namespaces
  return child.pid ?? 0;
}

test('mounts, adopts, watches, unmounts; a second start and stop change nothing', limits, withStore('fs-plain', {}, async ({ host, point, member }) => {
  assert.equal(await member.probe(), 'stopped');
  assert.equal(existsSync(point), false);
  fine(await member.start());
  fine(await member.start());
  assert.equal(await member.probe(), 'started');
  assert.match(await host.must(['findmnt', '-n', '-o', 'FSTYPE', point]), /ext4/);
  fine(await member.monitor());
  fine(await member.stop());
  fine(await member.stop());
  assert.equal(await member.probe(), 'stopped');
  const after = await member.monitor();
  assert.equal(after.code, 'ERR_MEMBER_MONITOR');
  assert.match(after.reason ?? '', /not mounted/);
}));

test('holders are named, told to end, and killed after the grace time; others live on', limits, withStore('fs-busy', {}, async ({ host, point, member }) => {
  fine(await member.start());
  await host.sh(`cp /bin/sleep ${point}/program && mkdir ${point}/d`);
  const polite = await holder(host, `cd ${point}/d; trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done`);
  const stubborn = await holder(host, `exec 7>${point}/file; trap '' TERM; echo ready; while :; do sleep 0.05; done`);
  const program = await holder(host, `echo ready; exec ${point}/program 1000`);
  const socket = await holder(host, `exec python3 -c "import socket,time,os; s=socket.socket(socket.AF_UNIX); s.bind('${point}/sock'); print('ready',flush=True); time.sleep(1000)"`);
  const bystander = await holder(host, `cd ${host.dir}; echo ready ${point}; while :; do sleep 0.05; done`);
  await waitFor('the program runs from there', async () => (await host.sh(`readlink /proc/${program}/exe`)).includes('program'));
  const answer = fine(await member.stop());
  const log = answer.log.join('\n');
  assert.match(log, /is held by .*\(pid \d+, cwd\)/);
  assert.match(log, /file 7/);
  assert.match(log, /program \(pid \d+, program\)/);
  assert.match(log, /python3 \(pid \d+, socket\)/);
  assert.match(log, /told to end[\s\S]*killed/);
  assert.deepEqual([polite, stubborn, program, socket].map(isAlive), [false, false, false, false]);
  assert.ok(isAlive(bystander), 'who does not hold the mount is left alone');
}));

test('a bind mount of another namespace and its user are not touched', limits, withStore('fs-foreign', {}, async ({ host, device, point, member }) => {
  fine(await member.start());
  // a namespace made before would not see it; this one has a mount of its own of the same device, elsewhere, and no tie to ours
  const foreign = await holder(
    host,
    `exec unshare --mount --propagation private sh -c 'mkdir -p /run/other && mount ${device} /run/other && umount ${point} && cd /run/other && echo ready && while :; do sleep 0.05; done'`,
  );
  const inside = await holder(host, `cd ${point}; echo ready; exec sleep 1000`);
  fine(await member.stop());
  assert.equal(isAlive(inside), false);
  assert.ok(isAlive(foreign), 'same device, other mount: not a holder of ours');
}));

test('what lies on it goes first: nested mounts, loop devices and swap files', limits, withStore('fs-nested', {}, async ({ host, point, member }) => {
  fine(await member.start());
  await host.sh(`mkdir ${point}/inner ${point}/inner2 && mount -t tmpfs none ${point}/inner && mkdir ${point}/inner/x && mount -t tmpfs none ${point}/inner/x`);
  await host.sh(`truncate -s 8M ${point}/image && mkfs.ext4 -q -F ${point}/image && mount -o loop ${point}/image ${point}/inner2`);
  const loops = async (): Promise<string> => host.sh(`losetup -n -O BACK-FILE -l | grep -c ${point}/image || true`);
  assert.equal((await loops()).trim(), '1');
  const inLoop = await holder(host, `cd ${point}/inner2; echo ready; exec sleep 1000`);
  fine(await member.stop());
  assert.equal((await loops()).trim(), '0');
  assert.equal(isAlive(inLoop), false);
  assert.equal(await member.probe(), 'stopped');
}));

test('held by what no signal reaches: refused with a code; at the last level it is taken out of sight', limits, withStore('fs-stuck', {}, async ({ host, point, member }) => {
  fine(await member.start());
  // a loop device opened from outside of the mount's path holds the mount, and no process does
  await host.sh(`truncate -s 8M ${point}/image`);
  const path = `${host.dir}/alias`;
  await host.sh(`mkdir ${path} && mount --bind ${point} ${path}`);
  const loop = (await host.must(['losetup', '-f', '--show', `${path}/image`])).trim();
  await host.sh(`umount -l ${path}`);
  const first = await member.stop('orderly', 3000);
  // the mount itself is free here: only the super block is held. Either way it must not be called mounted any more, or be refused by name
  if (!first.ok) assert.equal(first.code, 'ERR_MOUNT_BUSY');
  fine(await member.stop('cut', 5000));
  assert.equal(await member.probe(), 'stopped');
  await host.must(['losetup', '-d', loop]);
}));

test('a file system that became read-only after an error is failed', limits, withStore('fs-ro', {}, async ({ host, device, point, member }) => {
  fine(await member.start());
  await host.must(['mount', '-o', 'remount,ro', point]);
  const answer = await member.monitor();
  assert.match(answer.reason ?? '', /read-only/);
  fine(await member.stop());
  assert.ok(device);
}));

test('another device on the mount point is not ours', limits, withStore('fs-other', {}, async ({ host, point, member }) => {
  await host.sh(`mkdir -p ${point} && mount -t tmpfs other ${point}`);
  const answer = await member.start();
  assert.equal(answer.code, 'ERR_MEMBER_START');
  assert.match(answer.reason ?? '', /other is mounted there already/);
  fine(await member.stop());
  assert.match(await host.must(['findmnt', '-n', '-o', 'FSTYPE', point]), /tmpfs/);
}));

test('a super block that says errors is checked and repaired first', limits, withStore('fs-errors', {}, async ({ host, device, point, member }) => {
  await host.must(['debugfs', '-w', '-R', 'set_super_value state 2', device]);
  const answer = fine(await member.start());
  assert.match(answer.log.join('\n'), /super block says that it has errors/);
  assert.doesNotMatch(await host.must(['dumpe2fs', '-h', device]), /state:.*with errors/);
  assert.ok(existsSync(host.outside(point)));
  fine(await member.stop());
}));

test('what is no file system is refused, with the reason', limits, withStore('fs-none', {}, async ({ member }) => {
  const answer = await member.start();
  assert.equal(answer.code, 'ERR_MEMBER_START');
  assert.match(answer.reason ?? '', /wrong fs type|bad superblock|exit code 32/);
}, ['true']));
