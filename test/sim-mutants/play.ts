/** Plays lives with a simulator and hears what it finds. */
import { spawn } from 'node:child_process';

export interface Finding {
  readonly seed: number;
  /** The word before the first colon. */
  readonly rule: string;
  readonly text: string;
}

/**
 * Lives of the seeds [first, first + count). `onFinding` hears each finding as it comes and ends the run by returning true. Resolves to false
 * if the time was over first.
 */
export function play(program: string, first: number, count: number, jobs: number, timeoutMs: number, onFinding: (finding: Finding) => Promise<boolean>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    // A group of its own: its jobs are processes, too.
    const child = spawn(program, ['--seed', String(first), '--count', String(count), '--jobs', String(jobs)], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    let rest = '';
    let seed: number | undefined;
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
        const announced = /--seed (\d+)$/.exec(line)?.[1];
        if (announced !== undefined) {
          seed = Number(announced);
        } else if (seed !== undefined) {
          const finding = { seed, rule: /^\s*([^:]+):/.exec(line)?.[1] ?? '?', text: line.trim() };
          seed = undefined;
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
