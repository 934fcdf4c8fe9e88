/** A member of a group that lives in a host's namespaces, driven by a test. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { MemberConfig } from '../../src/config/cluster-types.js';
import { parseMountTable } from '../../src/shared/mount-table.js';
import { exited } from './exec.js';
import type { Host } from './host.js';
import { waitFor } from './wait.js';

export interface MemberAnswer {
  readonly ok: boolean;
  readonly found?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly ms: number;
  readonly log: string[];
}

const mainFile = fileURLToPath(new URL('member-main.js', import.meta.url));

export class MemberProcess {
  readonly child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(host: Host, config: MemberConfig, env: NodeJS.ProcessEnv = {}) {
    const cgroupParent = `drbdts-test-${host.lab.id}`;
    const setup = { config, runDir: `${host.dir}/run`, socket: host.socket, cgroupParent };
    this.child = host.spawn([process.execPath, mainFile, JSON.stringify(setup)], ['pipe', 'pipe', 2], env);
    if (this.child.stdout === null) throw new Error('no output');
    this.#answers = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    host.lab.deferLast('cgroup', () => {
      const root = parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8')).find((entry) => entry.fstype === 'cgroup2');
      const parent = join(root?.mountPoint ?? '/nowhere', cgroupParent);
      for (const name of existsSync(parent) ? readdirSync(parent, { withFileTypes: true }) : []) if (name.isDirectory()) rmdirSync(join(parent, name.name));
      if (existsSync(parent)) rmdirSync(parent);
    });
  }

  async #ask(request: object): Promise<MemberAnswer> {
    this.child.stdin?.write(`${JSON.stringify({ level: 'orderly', timeoutMs: 20_000, ...request })}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the member process ended');
    return JSON.parse(value) as MemberAnswer;
  }

  async probe(): Promise<string> {
    const answer = await this.#ask({ action: 'probe' });
    return answer.found ?? answer.reason ?? '';
  }

  start(timeoutMs = 20_000): Promise<MemberAnswer> {
    return this.#ask({ action: 'start', timeoutMs });
  }

  stop(level: 'orderly' | 'kill' | 'cut' = 'orderly', timeoutMs = 20_000): Promise<MemberAnswer> {
    return this.#ask({ action: 'stop', level, timeoutMs });
  }

  monitor(timeoutMs = 20_000): Promise<MemberAnswer> {
    return this.#ask({ action: 'monitor', timeoutMs });
  }

  /** SIGKILL, as after a crash. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await exited(this.child);
  }

  async end(): Promise<void> {
    this.child.stdin?.end();
    await waitFor('the member process ends', () => this.child.exitCode !== null || this.child.signalCode !== null, 5000);
  }
}
