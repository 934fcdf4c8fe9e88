/**
 * The processes of a service, whatever they did to their sessions and parents: a cgroup (v2) of its own where that can be made, else a mark in
 * the environment, which children inherit.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.js';
import { parseMountTable } from '../../shared/mount-table.js';
import { startTimeOf } from './openers.js';

export const markVariable = 'DRBDTS_MEMBER';
const pollMs = 20;

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

export class ServiceProcesses {
  private readonly mark: string;
  private readonly directory: string;
  private readonly clock: Clock;

  /** `parent`: path below the cgroup v2 root; `id`: unique on the node. */
  constructor(parent: string, id: string, clock: Clock) {
    this.mark = id;
    this.clock = clock;
    const root = parseMountTable(read('/proc/self/mountinfo')).find((entry) => entry.fstype === 'cgroup2');
    this.directory = root === undefined ? '' : join(root.mountPoint, parent, id.replace(/[^\w.-]/g, '_'));
  }

  /** Environment of everything the service starts. */
  get env(): NodeJS.ProcessEnv {
    return { [markVariable]: this.mark };
  }

  /** The command that runs `argv` among the processes of the service. */
  enter(argv: readonly string[]): string[] {
    if (this.directory === '') return [...argv];
    try {
      mkdirSync(this.directory, { recursive: true });
    } catch {
      return [...argv];
    }
    // when it may not enter it still runs, and the mark tells
    return ['/bin/sh', '-c', 'echo $$ >"$0" 2>/dev/null; exec "$@"', join(this.directory, 'cgroup.procs'), ...argv];
  }

  /** Whether its cgroup has processes; a quick look that says nothing about a service without one. */
  get isPopulated(): boolean {
    return this.directory !== '' && /^populated 1$/m.test(read(join(this.directory, 'cgroup.events')));
  }

  /** Living processes of the service. */
  pids(): number[] {
    const inGroup = this.directory === '' ? null : this.grouped(this.directory);
    const found = inGroup === null || inGroup.length === 0 ? this.marked() : inGroup;
    return found.filter((pid) => pid > 0 && pid !== process.pid && startTimeOf(pid) !== '');
  }

  /** `mysqld (pid 12), sh (pid 13)`, '' for none. */
  describe(): string {
    const pids = this.pids();
    const shown = pids.slice(0, 8).map((pid) => `${read(`/proc/${pid}/comm`).trim()} (pid ${pid})`);
    return shown.join(', ') + (pids.length > 8 ? ` and ${pids.length - 8} more` : '');
  }

  /** SIGKILL to all, until none is left. Resolves with '' or those that even that did not end when the signal fired. */
  async kill(signal: AbortSignal): Promise<string> {
    for (;;) {
      const pids = this.pids();
      if (pids.length === 0) {
        this.release();
        return '';
      }
      if (!this.killGroup()) for (const pid of pids) this.killOne(pid);
      if (signal.aborted) return this.describe();
      await this.clock.sleep(pollMs, signal).catch(() => undefined);
    }
  }

  /** Removes the empty group. */
  release(): void {
    try {
      if (this.directory !== '') rmdirSync(this.directory);
    } catch {
      // in use, or never made
    }
  }

  private killGroup(): boolean {
    try {
      // a kernel before 5.14 has no such file, and none is to be made
      if (this.directory === '' || read(join(this.directory, 'cgroup.procs')) === '') return false;
      writeFileSync(join(this.directory, 'cgroup.kill'), '1', { flag: 'r+' });
      return true;
    } catch {
      return false;
    }
  }

  private killOne(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  }

  /** Processes of a cgroup and those below it. */
  private grouped(directory: string): number[] {
    const own = read(join(directory, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);
    let below: string[] = [];
    try {
      below = readdirSync(directory, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [join(directory, entry.name)] : []));
    } catch {
      // not made
    }
    return [...own, ...below.flatMap((path) => this.grouped(path))];
  }

  private marked(): number[] {
    const entry = `${markVariable}=${this.mark}`;
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && read(`/proc/${name}/environ`).split('\0').includes(entry))
      .map(Number);
  }
}
