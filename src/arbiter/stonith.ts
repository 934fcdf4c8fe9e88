/**
 * A fence agent as arbiter (fence-agents' interface: `key=value` on stdin, exit code 0 is done). There is no third place that remembers: each
 * node keeps its own record, and taking the peer out means switching it off. So a node that was switched off must not believe its record:
 * since it booted, it has to have been together with its peer, or to have been alone by its own record, before it may be promoted alone.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { type Arbiter, type Circumstances, refused, unreachable } from './arbiter.js';
import { readDurable, writeDurable } from './durable-file.js';
import { type RegisterAnswer, type RegisterRequest, registerRecord } from './messages.js';
import { applyRequest, type Cell, newCell, restarted } from './register.js';

const outputBytesMax = 64 * 1024;
const killGraceMs = 2000;

const stored = z.object({
  bootId: z.string(),
  cells: z.record(z.string(), z.object({ nodes: z.tuple([z.string(), z.string()]), record: registerRecord, vouched: z.boolean() })),
});

export interface StonithOptions {
  agent: string;
  /** parameters of the agent that switch off the peer. */
  parameters: Record<string, string>;
  node: string;
  peer: string;
  timeoutMs: number;
  directory: string;
  /** changes with every boot of this node; tests give their own. */
  bootId?: string;
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ended meanwhile
  }
}

/** Runs the agent for one action. Rejects with ERR_ARBITER_UNREACHABLE and what it printed. */
export async function runAgent(agent: string, parameters: Readonly<Record<string, string>>, action: string, timeoutMs: number): Promise<void> {
  const input = Object.entries({ ...parameters, action }).map(([name, value]) => `${name}=${value}\n`);
  let late = false;
  const timers: NodeJS.Timeout[] = [];
  try {
    const child = execa(agent, [], {
      input: input.join(''),
      env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
      // a process group of its own, so that the time limit reaches what the agent started
      detached: true,
      cleanup: false,
      reject: false,
      all: true,
      maxBuffer: outputBytesMax,
      cwd: '/',
    });
    const { pid } = child;
    if (pid !== undefined) {
      timers.push(
        setTimeout(() => {
          late = true;
          endGroup(pid, 'SIGTERM');
          timers.push(setTimeout(() => endGroup(pid, 'SIGKILL'), killGraceMs));
        }, timeoutMs),
      );
    }
    const result = await child;
    if (late) throw unreachable(agent, `action ${action} was not done within ${timeoutMs} ms`);
    if (result.exitCode === 0) return;
    const printed = (result.all ?? '').trim().split('\n').at(-1) ?? '';
    const how = result.exitCode === undefined ? (result.shortMessage ?? 'it did not run') : `exit code ${result.exitCode}`;
    throw unreachable(agent, `action ${action}: ${how}${printed === '' ? '' : ` (${printed})`}`);
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

export class StonithArbiter implements Arbiter {
  readonly kind = 'stonith';
  private readonly options: StonithOptions;
  private readonly bootId: string;
  private readonly file: string;
  private readonly cells: Map<string, Cell>;
  /** the peer is being switched off: whoever asks meanwhile waits for the same shot. */
  private shot: Promise<void> | null = null;

  constructor(options: StonithOptions) {
    this.options = options;
    this.bootId = options.bootId ?? readBootId();
    this.file = join(options.directory, 'stonith.json');
    this.cells = this.load();
  }

  async ask(request: RegisterRequest, { together }: Circumstances): Promise<RegisterAnswer> {
    const { node, peer } = this.options;
    if (request.op === 'swap' && request.record.inSync.length === 1 && request.record.inSync[0] === node) {
      const answer = this.apply(request, together, false);
      // who is out by our own record was switched off and has not been together with us since
      const alone = answer.record.inSync.length === 1 && answer.record.inSync[0] === node;
      if (answer.done && !alone) await this.shoot(peer);
      if (!answer.done) return answer;
    }
    return this.apply(request, together, true);
  }

  async test(): Promise<void> {
    const { agent, parameters, timeoutMs } = this.options;
    await runAgent(agent, parameters, 'monitor', timeoutMs);
  }

  close(): void {
    // a shot that is under way is brought to its end
  }

  private async shoot(peer: string): Promise<void> {
    const { agent, parameters, timeoutMs } = this.options;
    if (Object.keys(parameters).length === 0)
      throw refused(agent, `no parameters for ${peer}`, `Write them below \`arbiter: { targets: { ${peer}: ... } }\`.`);
    this.shot ??= runAgent(agent, parameters, 'off', timeoutMs).finally(() => {
      this.shot = null;
    });
    await this.shot;
  }

  /** Carries the request out on the own record. Without `keep` it only says what would come of it: `record` is then the one before. */
  private apply(request: RegisterRequest, together: boolean, keep: boolean): RegisterAnswer {
    const { node } = this.options;
    const known = this.cells.get(request.key) ?? newCell(request.nodes);
    let cell = known;
    // both see each other with everything: whatever was before is over
    if (together && (cell.vouched ? !cell.record.inSync.includes(node) : request.op === 'vouch')) {
      const said = request.op === 'vouch' ? request.record.epoch : 0;
      const record = { ...cell.record, epoch: Math.max(cell.record.epoch, said) + 1, inSync: [...cell.nodes].sort() };
      cell = { ...cell, record, vouched: true, said: {} };
    }
    const outcome = applyRequest(cell, this.bootId, request);
    if (outcome.refused !== '') throw refused(this.options.agent, outcome.refused);
    if (!keep) return { ...outcome.answer, record: cell.record };
    if (outcome.cell.record !== known.record || outcome.cell.vouched !== known.vouched) {
      const after = new Map(this.cells).set(request.key, outcome.cell);
      this.store(after);
    }
    this.cells.set(request.key, outcome.cell);
    return outcome.answer;
  }

  private load(): Map<string, Cell> {
    const value = readDurable(this.file);
    const cells = new Map<string, Cell>();
    if (value === null) return cells;
    const parsed = stored.safeParse(value);
    if (!parsed.success) throw refused(this.options.agent, `${this.file} is damaged`, 'Move it away; both nodes have to be together once before one may go on alone.');
    for (const [key, { nodes, record, vouched }] of Object.entries(parsed.data.cells)) {
      const cell: Cell = { nodes, record, vouched, said: {} };
      const alone = record.inSync.length === 1 && record.inSync[0] === this.options.node;
      cells.set(key, parsed.data.bootId === this.bootId || alone ? cell : restarted(cell));
    }
    return cells;
  }

  private store(cells: ReadonlyMap<string, Cell>): void {
    const entries = [...cells].map(([key, { nodes, record, vouched }]) => [key, { nodes, record, vouched }]);
    writeDurable(this.file, { bootId: this.bootId, cells: Object.fromEntries(entries) });
  }
}
