/** Watches from a process of its own that never two nodes serve (service-readings.ts says what that means). */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Host } from './host.js';
import type { Lab } from './lab.js';
import { type CheckerConfig, type Reading, summaryOf } from './service-readings.js';
import { waitFor } from './wait.js';

const main = fileURLToPath(new URL('./service-checker-main.js', import.meta.url));

export interface Verdict {
  readonly violations: string[];
  readonly readings: number;
  /** longest time that a node was not looked at. */
  readonly gapMaxMs: number;
}

export class ServiceChecker {
  /** changes only, oldest first. */
  readonly timeline: Reading[] = [];
  readonly violations: string[] = [];
  /** the same, for those who want to know more of each. */
  readonly doubles: { readonly what: string; readonly readings: readonly Reading[] }[] = [];
  readonly #child: ChildProcess;
  #end: { readings: number; gapMaxMs: number } | null = null;

  constructor(lab: Lab, hosts: readonly Host[], options: { vip: string; mount: string; resource?: string; everyMs?: number }) {
    const { vip, mount, resource = 'r0', everyMs = 20 } = options;
    const config: CheckerConfig = {
      nodes: hosts.map((host) => ({ name: host.name, pid: host.pid, socket: host.outside(host.socket), resource, vip, mount })),
      everyMs,
    };
    const file = join(lab.dir, 'checker.json');
    writeFileSync(file, JSON.stringify(config));
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, main, file], { stdio: ['pipe', 'pipe', 'inherit'], env: lab.env });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (text) => {
      const line = JSON.parse(text) as { reading?: Reading; violation?: string; readings?: number | Reading[]; end?: boolean; gapMaxMs?: number };
      if (line.reading !== undefined) this.timeline.push(line.reading);
      if (line.violation !== undefined) {
        this.violations.push(`${line.violation}: ${JSON.stringify(line.readings)}`);
        this.doubles.push({ what: line.violation, readings: line.readings as Reading[] });
      }
      if (line.end === true) this.#end = { readings: Number(line.readings), gapMaxMs: Number(line.gapMaxMs) };
    });
    lab.note(() => `--- seen from outside\n${this.text()}`);
    lab.defer('checker', () => {
      this.#child.kill('SIGKILL');
    });
  }

  async ready(): Promise<void> {
    await waitFor('the checker has seen both nodes', () => new Set(this.timeline.map(({ node }) => node)).size === 2);
  }

  /** Changes since `sinceMs` (wall clock) in which a node had `what`, or lost it. */
  changes(what: 'vip' | 'mount' | 'role', sinceMs = 0): { node: string; atMs: number; value: boolean | string }[] {
    const last = new Map<string, boolean | string>();
    return this.timeline.flatMap((reading) => {
      if (what === 'role' && !reading.answered) return [];
      const value = reading[what];
      const before = last.get(reading.node);
      last.set(reading.node, value);
      return before !== undefined && before !== value && reading.atMs >= sinceMs ? [{ node: reading.node, atMs: reading.atMs, value }] : [];
    });
  }

  text(): string {
    const begin = this.timeline[0]?.atMs ?? 0;
    return [...this.timeline.slice(-80).map((reading) => `${((reading.atMs - begin) / 1000).toFixed(2)} s ${reading.node}: ${summaryOf(reading)}`), ...this.violations].join('\n');
  }

  async stop(): Promise<Verdict> {
    this.#child.stdin?.write('stop\n');
    const end = await waitFor('the checker ends', () => this.#end);
    return { violations: this.violations, ...end };
  }
}
