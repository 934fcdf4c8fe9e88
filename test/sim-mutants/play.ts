/** Plays lives and scenarios with a simulator and hears what it finds. */
import { spawn } from 'node:child_process';

/** What was found, of a seed or of a scenario's file. */
export interface Finding {
  readonly of: string;
  /** The word before the first colon. */
  readonly rule: string;
  readonly text: string;
}

/**
 * Runs the simulator. Where `announces` matches a line, its first group says whom the next line, the finding, is about. `onFinding` hears each as it
 * comes and ends the run by returning true. Resolves to false if the time was over first.
 */
function hear(program: string, args: readonly string[], announces: RegExp, timeoutMs: number, onFinding: (finding: Finding) => Promise<boolean>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // A group of its own: its jobs are processes, too.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let rest = '';
    let of: string | undefined;
    let inTime = true;
    let ended = false;
    let queue = Promise.resolve();
    const kill = (): void => {
      if (ended || child.pid === undefined) return;
      ended = true;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // it has just ended by itself
      }
    };
    const timer = setTimeout(() => {
      inTime = false;
      kill();
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const announced = announces.exec(line)?.[1];
        if (announced !== undefined) {
          of = announced;
        } else if (of !== undefined) {
          const finding = { of, rule: /^\s*([^:]+):/.exec(line)?.[1] ?? '?', text: line.trim() };
          of = undefined;
          queue = queue.then(async () => {
            if (!ended && (await onFinding(finding))) kill();
          });
        }
      }
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', () => {
      clearTimeout(timer);
      // Not `ended` yet if it came to its end by itself: what is in the queue is still to be heard.
      queue.then(() => resolve(inTime), reject);
    });
  });
}

/** Lives of the seeds [first, first + count). */
export function playLives(program: string, first: number, count: number, jobs: number, timeoutMs: number, onFinding: (finding: Finding) => Promise<boolean>): Promise<boolean> {
  return hear(program, ['--seed', String(first), '--count', String(count), '--jobs', String(jobs)], /--seed (\d+)$/, timeoutMs, onFinding);
}

/** Named scenarios, in this order. */
export function playScenarios(program: string, files: readonly string[], timeoutMs: number, onFinding: (finding: Finding) => Promise<boolean>): Promise<boolean> {
  return hear(program, ['--scenario', ...files], /^FAILED (.*)$/, timeoutMs, onFinding);
}
