/** What the benchmark compares: each target is a path to do I/O on, made on hosts of its own. */
import { join } from 'node:path';
import { makeDisk, mib } from '../support/disk.js';
import { must, run } from '../support/exec.js';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { Link } from '../support/link.js';
import { Pair } from '../support/pair.js';
import { waitFor } from '../support/wait.js';

export interface Target {
  readonly name: string;
  readonly title: string;
  readonly path: string;
  /** Processes that serve it. */
  readonly pids: readonly number[];
  readonly inside: (argv: readonly string[]) => string[];
}

const outside = (argv: readonly string[]): string[] => [...argv];

/** The file itself, and a loop device with direct I/O over another file like it. */
export async function rawTargets(lab: Lab, sizeMib: number): Promise<Target[]> {
  const raw = makeDisk(join(lab.dir, 'raw'), sizeMib * mib, 'random');
  const file = makeDisk(join(lab.dir, 'loop'), sizeMib * mib, 'random');
  const loop = (await must(['losetup', '--find', '--show', '--direct-io=on', file])).trim();
  return [
    { name: 'raw', title: 'raw file', path: raw, pids: [], inside: outside },
    { name: 'loop', title: 'loop over raw', path: loop, pids: [], inside: outside },
  ];
}

/** A volume without a peer: the other host has no daemon. */
export async function aloneTarget(lab: Lab, sizeMib: number): Promise<Target> {
  const pair = await Pair.create(lab, { bytes: sizeMib * mib, contents: 'random', names: ['solo', 'nobody'] });
  const daemon = await pair.a.startDaemon();
  await pair.a.drbdts('create-md', '--force', 'r0');
  await pair.a.drbdts('up', 'r0');
  await pair.a.drbdts('primary', '--force', 'r0');
  return { name: 'alone', title: 'drbdts alone', path: '/dev/drbd0', pids: [daemon.pid], inside: (argv) => pair.a.inside(argv) };
}

/** A connected pair, protocol C. */
export async function connectedTarget(lab: Lab, sizeMib: number): Promise<Target & { readonly pair: Pair }> {
  const pair = await Pair.create(lab, { bytes: sizeMib * mib, contents: 'random', names: ['here', 'there'] });
  await pair.up();
  await pair.a.drbdts('new-current-uuid', '--clear-bitmap', 'r0');
  await pair.inSync();
  await pair.a.drbdts('primary', 'r0');
  const pids = [pair.a.running.pid, pair.b.running.pid];
  return { name: 'connected', title: 'drbdts connected (C)', path: '/dev/drbd0', pids, inside: (argv) => pair.a.inside(argv), pair };
}

/**
 * A synchronous mirror by qemu-storage-daemon: a quorum of a local file and an NBD export of the other host, both must have a write; its
 * FUSE export under a loop device. Null when it is not installed.
 */
export async function quorumTarget(lab: Lab, sizeMib: number): Promise<Target | null> {
  if ((await run(['qemu-storage-daemon', '--version'])).code !== 0) return null;
  const here = await Host.create(lab, 'quorum-a');
  const there = await Host.create(lab, 'quorum-b');
  const link = await Link.create(here, there);
  // NBD servers before QEMU 8.1 lack TCP_NODELAY; without delayed acknowledgements the peer is at its best
  for (const [host, address] of [[here, link.address.b], [there, link.address.a]] as const) {
    await host.must(['ip', 'route', 'add', `${address}/32`, 'dev', 'eth0', 'quickack', '1']);
  }
  const disks = [here, there].map((host) => makeDisk(join(host.dir, 'disk'), sizeMib * mib, 'random'));
  await must(['cp', disks[0] ?? '', disks[1] ?? '']);
  const file = (name: string, path: string | undefined): string =>
    `driver=file,node-name=${name},filename=${path ?? ''},cache.direct=on,aio=io_uring,discard=unmap`;
  const export_ = join(here.dir, 'export');
  makeDisk(export_, 0);
  const server = there.spawn(
    ['qemu-storage-daemon', '--blockdev', file('f0', disks[1]), '--nbd-server', `addr.type=inet,addr.host=${link.address.b},addr.port=10809,max-connections=16`,
      '--export', 'type=nbd,id=e0,node-name=f0,name=vol,writable=on'],
    ['ignore', 'ignore', 'ignore'],
  );
  await waitFor('the NBD server listens', async () => (await there.sh('ss -Htln 2>/dev/null || cat /proc/net/tcp')).match(/10809|:2A39/i) !== null);
  const client = here.spawn(
    ['qemu-storage-daemon', '--blockdev', file('l0', disks[0]),
      '--blockdev', `driver=nbd,node-name=r0,server.type=inet,server.host=${link.address.b},server.port=10809,export=vol`,
      '--blockdev', 'driver=quorum,node-name=q0,vote-threshold=2,read-pattern=fifo,children.0=l0,children.1=r0',
      '--export', `type=fuse,id=x0,node-name=q0,mountpoint=${export_},writable=on,allow-other=on`],
    ['ignore', 'ignore', 'ignore'],
  );
  await waitFor('the FUSE export is mounted', async () => (await here.run(['mountpoint', '-q', export_])).code === 0 || (await here.sh(`stat -c %s ${export_}`)).trim() === String(sizeMib * mib));
  const loop = (await here.must(['losetup', '--find', '--show', '--direct-io=on', export_])).trim();
  lab.defer(loop, async () => {
    await run(['losetup', '-d', loop]);
  });
  return { name: 'quorum', title: 'qemu quorum pair', path: loop, pids: [client.pid ?? 0, server.pid ?? 0], inside: (argv) => here.inside(argv) };
}
