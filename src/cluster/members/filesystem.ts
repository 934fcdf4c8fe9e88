/**
 * A mounted file system. Whatever could touch the file system itself runs in a child with a time limit: on a frozen device it would hang, and
 * a child may. Openers are searched by mount id (openers.ts), named in the log, and only then signalled.
 */
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { FilesystemMember, MemberConfig } from '../../config/cluster-types.js';
import { deviceNumberOf } from '../../shared/device-number.js';
import { isBelow, mountAt, type MountEntry, parseMountTable } from '../../shared/mount-table.js';
import { type ProgramResult, runProgram } from '../../shared/run-program.js';
import { drbdtsError } from '../../shared/errors.js';
import type { StopLevel } from '../group-types.js';
import { extSuperBlock, isExt, needsCheck } from './fsck.js';
import { type Member, type MemberContext, memberError, type ProbeResult, reasonOf, saying, setupError, timeError } from './member.js';
import { describeOpeners, findOpeners, signalOpeners } from './openers.js';
import { filesBelow, type LoopBelow } from './files-below.js';
import { cutDevice } from './volume.js';

const pollMs = 50;
/** Depth of file systems on loop devices on file systems ... that is unmounted. */
const nestingMax = 8;

export class Filesystem implements Member {
  readonly config: FilesystemMember & MemberConfig;
  private readonly context: MemberContext;

  constructor(config: FilesystemMember & MemberConfig, context: MemberContext) {
    this.config = config;
    this.context = context;
  }

  close(): void {}

  async probe(): Promise<ProbeResult> {
    const top = mountAt(this.table(), this.mountPoint());
    if (top === undefined) return 'stopped';
    if (this.isExact(top)) return 'started';
    if (this.isOurs(top)) return `failed:it is mounted from a ${this.config.device} that is gone`;
    return this.ours() === undefined ? 'stopped' : `failed:${top.source} is mounted over it`;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { name, device, type, options } = this.config;
    const point = this.mountPoint();
    const table = this.table();
    const top = mountAt(table, point);
    if (top !== undefined) {
      if (this.isExact(top)) return;
      throw memberError(name, 'start', `${top.source} is mounted there already`);
    }
    const nested = table.find((entry) => isBelow(entry.mountPoint, point));
    if (nested !== undefined) throw memberError(name, 'start', `${nested.source} is mounted at ${nested.mountPoint}, below it`);
    const elsewhere = table.find((entry) => this.isOurs(entry));
    if (elsewhere !== undefined) throw memberError(name, 'start', `${device} is mounted at ${elsewhere.mountPoint} already`);
    if (deviceNumberOf(device) === null) throw memberError(name, 'start', `${device} is not there or is no block device`);
    await this.check(signal);
    try {
      mkdirSync(point, { recursive: true });
    } catch (error) {
      throw setupError(name, `the mount point can not be made: ${reasonOf(error)}`);
    }
    const argv = ['mount', ...(type === '' ? [] : ['-t', type]), ...(options === '' ? [] : ['-o', options]), '--', device, point];
    const result = await this.program('start', argv, signal);
    if (result.exitCode !== 0) throw memberError(name, 'start', saying(result));
    if (this.ours() === undefined) throw memberError(name, 'start', `mount said nothing against it, and ${point} is not mounted`);
  }

  async stop(level: StopLevel, signal: AbortSignal): Promise<void> {
    if (level === 'cut' && this.ours() !== undefined) await this.cut(signal);
    // several on top of each other are several mounts
    for (let mount = this.ours(); mount !== undefined; mount = this.ours()) {
      await this.unmount(mount, level, signal, 0);
      if (signal.aborted) throw timeError(this.config.name, 'stop', 'still mounted');
    }
  }

  async monitor(signal: AbortSignal): Promise<void> {
    const { name, device, options } = this.config;
    const point = this.mountPoint();
    const top = mountAt(this.table(), point);
    if (top === undefined) throw memberError(name, 'monitor', 'not mounted');
    if (!this.isExact(top)) throw memberError(name, 'monitor', `${top.source} is mounted there instead of ${device}`);
    const wantsReadOnly = options.split(',').includes('ro');
    const bad = [...top.options, ...top.superOptions].find((option) => option === 'emergency_ro' || option === 'shutdown' || option === 'ro');
    if (bad !== undefined && !(bad === 'ro' && wantsReadOnly)) {
      throw memberError(name, 'monitor', bad === 'shutdown' ? 'it was shut down after an error' : 'it has become read-only, as after an error');
    }
    const result = await this.program('monitor', ['find', point, '-mindepth', '1', '-maxdepth', '1', '-print', '-quit'], signal);
    if (result.exitCode !== 0) throw memberError(name, 'monitor', `its root can not be read: ${saying(result)}`);
  }

  /** The mount point as the kernel writes it, without looking into the file system mounted there. */
  private mountPoint(): string {
    const { mountPoint } = this.config;
    try {
      return join(realpathSync(dirname(mountPoint)), basename(mountPoint));
    } catch {
      return mountPoint.replace(/(?<=.)\/+$/, '');
    }
  }

  private table(): MountEntry[] {
    return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
  }

  /** Of our device as it is now. File systems with anonymous numbers (btrfs) are known by name. */
  private isExact(entry: MountEntry): boolean {
    const { device } = this.config;
    return entry.device.startsWith('0:') ? entry.source === device : entry.device === deviceNumberOf(device);
  }

  /** As isExact, or of a device of that name that was there before and is cut off. */
  private isOurs(entry: MountEntry): boolean {
    return this.isExact(entry) || entry.source === this.config.device;
  }

  /** Our device at our mount point, at whatever height of the pile. */
  private ours(): MountEntry | undefined {
    const point = this.mountPoint();
    return this.table().findLast((entry) => entry.mountPoint === point && this.isOurs(entry));
  }

  private async program(action: 'start' | 'stop' | 'monitor', argv: readonly string[], signal: AbortSignal): Promise<ProgramResult> {
    const result = await runProgram(argv, { signal, env: { LC_ALL: 'C' } });
    if (result.how !== 'exit') throw timeError(this.config.name, action, `${argv[0]}: ${saying(result)}`);
    return result;
  }

  private async check(signal: AbortSignal): Promise<void> {
    const { name, device, fsck } = this.config;
    if (fsck === 'no') return;
    const type = this.config.type !== '' && this.config.type !== 'auto' ? this.config.type : await this.typeOnDisk(signal);
    const superBlock = isExt(type) ? await this.superBlock(signal) : null;
    const why = needsCheck(fsck, type, superBlock);
    if (why === '') return;
    this.context.log.info(`${name}: file system check, because ${why}`);
    const result = await this.program('start', ['fsck', '-T', '-t', type, device, '-p', ...(fsck === 'force' && isExt(type) ? ['-f'] : [])], signal);
    if (/fsck\.\S+: (not found|No such file)/i.test(result.tail) || result.exitCode === 127) {
      if (fsck === 'force') throw setupError(name, `there is no program that checks ${type}`);
      this.context.log.warn(`${name}: there is no program that checks ${type}; it is mounted as it is`);
      return;
    }
    if (result.exitCode >= 4) throw memberError(name, 'start', `the file system check could not repair it: ${saying(result)}`);
    if (result.exitCode > 0) this.context.log.warn(`${name}: the file system check repaired something: ${saying(result)}`);
  }

  private async typeOnDisk(signal: AbortSignal): Promise<string> {
    const result = await this.program('start', ['blkid', '-p', '-o', 'value', '-s', 'TYPE', this.config.device], signal);
    return result.stdout.toString('utf8').trim();
  }

  private async superBlock(signal: AbortSignal): Promise<Buffer | null> {
    const { offsetBytes, bytes } = extSuperBlock;
    const argv = ['dd', `if=${this.config.device}`, `bs=${bytes}`, `skip=${offsetBytes / bytes}`, 'count=1', 'status=none'];
    const result = await this.program('start', argv, signal);
    return result.exitCode === 0 ? result.stdout : null;
  }

  /** I/O of whoever still uses it gets errors from now on: nothing can be written any more, and nothing waits for ever. */
  private async cut(signal: AbortSignal): Promise<void> {
    const { name, device } = this.config;
    try {
      const resource = await cutDevice(this.context.control, device, signal);
      this.context.log.warn(`${name}: ${resource === null ? `${device} is not a volume, it is not cut` : `${resource} is cut off from its users`}`);
    } catch (error) {
      throw memberError(name, 'stop', `${device} can not be cut: ${reasonOf(error)}`, error);
    }
  }

  /** Unmounts one mount and all that lies below it. */
  private async unmount(mount: MountEntry, level: StopLevel, signal: AbortSignal, depth: number): Promise<void> {
    if (depth > nestingMax) throw memberError(this.config.name, 'stop', `more than ${nestingMax} file systems on each other below it`);
    await this.freeBelow(mount, level, signal, depth);
    if (await this.tryUmount(mount, signal)) return;
    const holders = await this.endOpeners(mount, level === 'orderly' ? this.config.graceMs : 0, signal);
    if (holders === null) return;
    if (level === 'cut') {
      const result = await this.program('stop', ['umount', '-c', '-l', '--', mount.mountPoint], signal);
      if (result.exitCode === 0 || !this.isMounted(mount)) {
        this.context.log.error(`${this.config.name}: taken out of sight while it is still held${holders === '' ? '' : ` by ${holders}`}`);
        return;
      }
    }
    const held = holders === '' ? 'the kernel (swap, loop device, NFS export or another name space)' : holders;
    throw drbdtsError('ERR_MOUNT_BUSY', { values: { mountPoint: mount.mountPoint, holders: held }, place: this.config.name, details: { holders: held } });
  }

  private isMounted(mount: MountEntry): boolean {
    return this.table().some((entry) => entry.id === mount.id);
  }

  private async tryUmount(mount: MountEntry, signal: AbortSignal): Promise<boolean> {
    await this.program('stop', ['umount', '-c', '--', mount.mountPoint], signal);
    return !this.isMounted(mount);
  }

  /** SIGTERM, after the grace time SIGKILL, until it can be unmounted (null), or time is up or there is nobody left to end (who holds it). */
  private async endOpeners(mount: MountEntry, graceMs: number, signal: AbortSignal): Promise<string | null> {
    const { clock, log } = this.context;
    const begin = clock.nowMs();
    const told = new Set<number>();
    let nobody = 0;
    let said = '';
    for (;;) {
      const openers = (await findOpeners(mount, signal)).filter(({ pid }) => pid !== process.pid && pid !== 1);
      const names = describeOpeners(openers);
      const kill = clock.nowMs() - begin >= graceMs;
      const sentence = `${mount.mountPoint} is held by ${names}; ${kill ? 'they are killed' : 'they are told to end'}`;
      if (names !== '' && sentence !== said) log.warn(`${this.config.name}: ${sentence}`);
      said = sentence;
      // each is asked once: a second SIGTERM ends many programs at once
      signalOpeners(kill ? openers : openers.filter(({ pid }) => !told.has(pid)), kill ? 'SIGKILL' : 'SIGTERM');
      for (const { pid } of openers) told.add(pid);
      nobody = openers.length === 0 ? nobody + 1 : 0;
      if (await this.tryUmount(mount, signal)) return null;
      // nothing that a signal could reach: once more in case somebody was quick, then it is for the next level
      if (nobody > 2 || signal.aborted) return names;
      await clock.sleep(pollMs, signal).catch(() => undefined);
    }
  }

  /** What lies on top: other mounts, swap files, loop devices on files in it. */
  private async freeBelow(mount: MountEntry, level: StopLevel, signal: AbortSignal, depth: number): Promise<void> {
    const nested = this.table().filter((entry) => isBelow(entry.mountPoint, mount.mountPoint));
    // the deepest first, and of several on one point the one on top
    for (const entry of nested.reverse().sort((a, b) => b.mountPoint.length - a.mountPoint.length)) {
      if (this.isMounted(entry)) await this.unmount(entry, level, signal, depth + 1);
    }
    const below = await filesBelow(mount, (argv) => this.program('stop', argv, signal));
    for (const file of below.swap) {
      this.context.log.warn(`${this.config.name}: ${file} is swap space and is given up`);
      await this.program('stop', ['swapoff', '--', file], signal);
    }
    for (const loop of below.loops) await this.freeLoop(loop, level, signal, depth);
  }

  private async freeLoop(loop: LoopBelow, level: StopLevel, signal: AbortSignal, depth: number): Promise<void> {
    this.context.log.warn(`${this.config.name}: ${loop.name} lies on ${loop.file} and is given up`);
    for (const entry of this.table().filter((candidate) => candidate.device === loop.device).reverse()) {
      if (this.isMounted(entry)) await this.unmount(entry, level, signal, depth + 1);
    }
    await this.program('stop', ['losetup', '-d', loop.name], signal);
  }
}
