/** Looks at what instances track: runs scripts, counts processes, reads files. What follows is in track.ts. Interfaces are looked at by runtime.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import type { VrrpScript, VrrpSection } from '../../config/vrrp-types.js';
import type { Clock } from '../../shared/clock.js';
import { runProgram } from '../../shared/run-program.js';
import { asUser } from './as-user.js';
import type { TrackEvent, TrackRule } from './track.js';

/** After SIGTERM, until SIGKILL. */
const graceMs = 2000;
const processesEveryMs = 500;
const filesEveryMs = 250;
const outputMax = 300;
/** as long as the kernel keeps a name. */
const commBytes = 15;
const fileBytesMax = 64;

export interface CheckView {
  readonly name: string;
  readonly command: string;
  readonly user: string;
  readonly exitCode: number | null;
  readonly output: string;
  readonly tookMs: number | null;
  /** turns that came while the last run was not over. */
  readonly skipped: number;
}

export interface TrackersOptions {
  readonly section: VrrpSection;
  readonly rules: readonly TrackRule[];
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly onEvent: (event: TrackEvent) => void;
}

export class Trackers {
  readonly #options: TrackersOptions;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #views = new Map<string, CheckView>();
  readonly #ending = new AbortController();
  readonly #last = new Map<string, number | null>();

  constructor(options: TrackersOptions) {
    this.#options = options;
  }

  start(): void {
    const { rules, section } = this.#options;
    for (const rule of rules) {
      const script = rule.kind === 'script' ? section.scripts.find(({ name }) => name === rule.name) : undefined;
      if (script !== undefined) this.#watchScript(script);
    }
    const processes = rules.filter(({ kind }) => kind === 'process').map(({ name }) => name);
    if (processes.length > 0) this.#every(processesEveryMs, () => this.#count(processes));
    const files = rules.filter(({ kind }) => kind === 'file').map(({ name }) => name);
    if (files.length > 0)
      this.#every(filesEveryMs, () => {
        for (const file of files) this.#read(file);
      });
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#ending.abort();
  }

  get views(): CheckView[] {
    return [...this.#views.values()];
  }

  #every(ms: number, work: () => void): void {
    work();
    this.#timers.push(setInterval(work, ms));
  }

  #watchScript(script: VrrpScript): void {
    const { name, command, user } = script;
    this.#views.set(name, { name, command, user, exitCode: null, output: '', tookMs: null, skipped: 0 });
    let running = false;
    this.#every(script.intervalMs, () => {
      const view = this.#views.get(name);
      // no pile-up: a turn that comes while it still runs is left out
      if (running && view !== undefined) this.#views.set(name, { ...view, skipped: view.skipped + 1 });
      if (running) return;
      running = true;
      void this.#runScript(script).finally(() => {
        running = false;
      });
    });
  }

  async #runScript(script: VrrpScript): Promise<void> {
    const { name, command, timeoutMs, user } = script;
    const { clock, onEvent } = this.#options;
    const begin = clock.nowMs();
    let told = false;
    const tell = (ok: boolean, detail: string): void => {
      if (!told && !this.#ending.signal.aborted) onEvent({ kind: 'script', name, ok, detail });
      told = true;
    };
    // a hanging check has failed when its time is over, not when it has at last been ended
    const limit = new AbortController();
    const timer = setTimeout(() => {
      tell(false, `no answer within ${timeoutMs} ms`);
      limit.abort();
    }, timeoutMs);
    const account = await asUser(user);
    const result =
      account.problem === ''
        ? await runProgram([...account.prefix, '/bin/sh', '-c', command], { signal: AbortSignal.any([limit.signal, this.#ending.signal]), graceMs })
        : { exitCode: 126, how: 'exit' as const, tail: account.problem };
    clearTimeout(timer);
    tell(result.how === 'exit' && result.exitCode === 0, detailOf(result.exitCode, result.tail));
    const view = this.#views.get(name);
    const output = result.how === 'exit' ? result.tail : `no answer within ${timeoutMs} ms; ${result.tail}`;
    if (view !== undefined) this.#views.set(name, { ...view, exitCode: result.exitCode, output: output.slice(-outputMax), tookMs: Math.round(clock.nowMs() - begin) });
  }

  #count(names: readonly string[]): void {
    const full = (name: string): boolean => [...this.#options.section.instances, ...this.#options.section.syncGroups].some(({ track }) => track.some((one) => one.kind === 'process' && one.process === name && one.fullCommand));
    const wanted = names.map((name) => ({ name, full: full(name), text: full(name) ? name : Buffer.from(name).subarray(0, commBytes).toString('utf8') }));
    const counts = new Map(names.map((name) => [name, 0]));
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      const process = processOf(pid, wanted.some((one) => one.full));
      for (const { name, full: whole, text } of process === null ? [] : wanted) if ((whole ? process?.commandLine : process?.comm) === text) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const [name, running] of counts) this.#tellNew(`process ${name}`, running, { kind: 'process', name, running });
  }

  #read(file: string): void {
    let value: number | null = null;
    let detail = '';
    try {
      const text = readFileSync(file, 'utf8').trim().slice(0, fileBytesMax);
      if (/^[+-]?\d{1,9}$/.test(text)) value = Number(text);
      else detail = `'${text}' is no number`;
    } catch (error) {
      detail = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    }
    this.#tellNew(`file ${file}`, value, { kind: 'file', name: file, value, detail });
  }

  #tellNew(key: string, value: number | null, event: TrackEvent): void {
    if (this.#last.has(key) && this.#last.get(key) === value) return;
    this.#last.set(key, value);
    this.#options.onEvent(event);
  }
}

function detailOf(exitCode: number, tail: string): string {
  const line = tail.split('\n').at(-1)?.trim() ?? '';
  return exitCode === 0 ? 'exit status 0' : exitCode === 128 ? 'ended by a signal' : `exit status ${exitCode}${line === '' ? '' : `: ${line.slice(0, 120)}`}`;
}

/** null: gone, or a zombie. */
function processOf(pid: string, withCommandLine: boolean): { comm: string; commandLine: string } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    if (stat[end + 2] === 'Z') return null;
    const commandLine = withCommandLine ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').replaceAll('\0', ' ') : '';
    return { comm: stat.slice(stat.indexOf('(') + 1, end), commandLine };
  } catch {
    return null;
  }
}
