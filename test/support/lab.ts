/**
 * A lab: everything one test makes outside of itself (namespaces, disks, processes, mounts), removed when the test ends, fails or is
 * interrupted. Hosts are held by processes that end with this one, so even a killed test leaves no namespace behind.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './exec.js';
import { commandOf, isAlive, processesWith } from './processes.js';
import { waitFor } from './wait.js';

/** Marks every process that a lab started, directly or not. */
const markVariable = 'DRBDTS_TEST_LAB';

interface Undo {
  readonly what: string;
  readonly undo: () => void | Promise<void>;
}

const open = new Set<Lab>();
let handlersInstalled = false;

function installHandlers(): void {
  if (handlersInstalled) return;
  handlersInstalled = true;
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]] as const) {
    process.on(signal, () => {
      void Promise.allSettled([...open].map((lab) => lab.close())).then(() => process.exit(code));
    });
  }
}

export class Lab {
  readonly id = randomBytes(4).toString('hex');
  /** Private directory for disks, logs and state. */
  readonly dir: string;
  readonly #undos: Undo[] = [];
  readonly #last: Undo[] = [];
  readonly #notes: (() => string)[] = [];
  #closing: Promise<void> | null = null;

  constructor(name: string) {
    installHandlers();
    this.dir = mkdtempSync(join(process.env['DRBDTS_TEST_DIR'] ?? tmpdir(), `drbdts-${name}-`));
    open.add(this);
  }

  /** Environment of everything started in this lab. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, [markVariable]: this.id };
  }

  /** Remembers how to undo something; undone in reverse order. */
  defer(what: string, undo: Undo['undo']): void {
    this.#undos.push({ what, undo });
  }

  /** As `defer`, for what can only go when all processes of the lab are gone. */
  deferLast(what: string, undo: Undo['undo']): void {
    this.#last.push({ what, undo });
  }

  /** Something to show when the test fails: the end of a log, a status. */
  note(text: () => string): void {
    this.#notes.push(text);
  }

  /** The error with the notes behind its message. */
  explain(error: unknown): unknown {
    if (error instanceof Error) {
      const notes = this.#notes.map((text) => text()).filter((text) => text !== '');
      error.message = [error.message, ...notes].join('\n');
    }
    return error;
  }

  /** True once the end began, by itself or after a signal. */
  get closing(): boolean {
    return this.#closing !== null;
  }

  /** Removes everything. Throws when something had to be left behind. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const problems: string[] = [];
    const undoAll = async (undos: Undo[]): Promise<void> => {
      for (const { what, undo } of undos.reverse()) {
        try {
          await undo();
        } catch (error) {
          problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    };
    await undoAll(this.#undos);
    problems.push(...(await this.#endProcesses()));
    await undoAll(this.#last);
    problems.push(...(await this.#detachLoops()));
    rmSync(this.dir, { recursive: true, force: true });
    open.delete(this);
    if (problems.length > 0) throw new Error(`left over from the lab ${this.id}:\n${problems.join('\n')}`);
  }

  async #endProcesses(): Promise<string[]> {
    const mine = (): number[] => processesWith(markVariable, this.id).filter(isAlive);
    const killAll = (): boolean => {
      for (const pid of mine()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // it ended by itself meanwhile
        }
      }
      return mine().length === 0;
    };
    try {
      await waitFor('all processes of the lab end', killAll, 20_000);
      return [];
    } catch {
      return mine().map((pid) => `process ${pid} does not end: ${commandOf(pid)}`);
    }
  }

  /** Loop devices over files of this lab. */
  async #detachLoops(): Promise<string[]> {
    const problems: string[] = [];
    for (const [device, file] of loopDevices()) {
      if (!file.startsWith(`${this.dir}/`)) continue;
      await run(['losetup', '-d', device]);
      try {
        await waitFor(`${device} is free`, () => loopDevices().get(device) !== file, 5000);
      } catch {
        problems.push(`loop device ${device} over ${file}`);
      }
    }
    return problems;
  }
}

/** Attached loop devices and their backing files. */
function loopDevices(): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync('/sys/block').filter((entry) => entry.startsWith('loop'))) {
    try {
      found.set(`/dev/${name}`, readFileSync(`/sys/block/${name}/loop/backing_file`, 'latin1').trim());
    } catch {
      // the attribute is missing while nothing is attached
    }
  }
  return found;
}

/** Runs `body` in a lab and closes it, whatever happens. A failure carries the notes of the lab. */
export async function withLab(name: string, body: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = new Lab(name);
  let failure: unknown = null;
  try {
    await body(lab);
  } catch (error) {
    failure = lab.explain(error);
    throw failure;
  } finally {
    await lab.close().catch((error: unknown) => {
      // a leftover must not hide why the test failed
      if (failure === null) throw error;
      console.error(error);
    });
  }
}
