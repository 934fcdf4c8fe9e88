/**
 * Was it the mutant that was found, or something that the unmutated core does as well? A scenario or a seed on which the unmutated core is at fault,
 * too, says nothing. Scenarios come first: they are quick and always do the same. Then lives; there, if the unmutated core is not clean (`learn`), old
 * faults show on other seeds, as a mutant changes what happens after it. So the findings of a rule must be more than the unmutated core's rate of them
 * explains. If that core is clean, the first finding kills.
 */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { projectRoot } from '../support/paths.js';
import { type Finding, playLives, playScenarios } from './play.js';

/** Chance of a Poisson variable with this mean to be at least `least`. */
export function poissonTail(mean: number, least: number): number {
  let term = Math.exp(-mean);
  let below = 0;
  for (let k = 0; k < least; k++) {
    below += term;
    term *= mean / (k + 1);
  }
  return Math.max(0, 1 - below);
}

/** A finding is the mutant's if chance would have it once in so many mutants. */
const kLuck = 1e-3;

const scenarioFolder = join(projectRoot, 'test/scenarios');

export class Judge {
  readonly rates = new Map<string, number>();
  private readonly faulty = new Map<number, boolean>();
  private lives = 0;
  /** Scenarios that hold with the unmutated core. */
  private scenarios: string[] = [];

  private readonly unmutated: string;

  /** `unmutated`: path of the simulator over the core as it is. */
  constructor(unmutated: string) {
    this.unmutated = unmutated;
  }

  /** Plays the scenarios with the unmutated core. Returns the names of those that fail there and so say nothing. */
  async learnScenarios(timeoutMs: number): Promise<string[]> {
    const files = readdirSync(scenarioFolder).filter((name) => name.endsWith('.txt')).sort().map((name) => join(scenarioFolder, name));
    const failing = new Set<string>();
    await playScenarios(this.unmutated, files, timeoutMs, async (finding) => {
      failing.add(finding.of);
      return false;
    });
    this.scenarios = files.filter((file) => !failing.has(file));
    return [...failing].map((file) => basename(file, '.txt'));
  }

  get scenarioFiles(): readonly string[] {
    return this.scenarios;
  }

  /** What has just killed a mutant is tried first with the next ones. */
  prefer(file: string): void {
    this.scenarios = [file, ...this.scenarios.filter((other) => other !== file)];
  }

  /** Plays lives of the unmutated core. Calls `progress` with the lives played. */
  async learn(first: number, count: number, jobs: number, timeoutMs: number, progress: (lives: number, found: number) => void): Promise<number> {
    const step = 500;
    let found = 0;
    const until = Date.now() + timeoutMs;
    for (let seed = first; seed < first + count && Date.now() < until; seed += step) {
      const lives = Math.min(step, first + count - seed);
      await playLives(this.unmutated, seed, lives, jobs, timeoutMs, async (finding) => {
        found += 1;
        this.faulty.set(Number(finding.of), true);
        this.rates.set(finding.rule, (this.rates.get(finding.rule) ?? 0) + 1);
        return false;
      });
      this.lives += lives;
      progress(this.lives, found);
    }
    for (const [rule, times] of this.rates) this.rates.set(rule, times / this.lives);
    return found;
  }

  get clean(): boolean {
    return this.rates.size === 0;
  }

  /** Does the unmutated core fail on this seed? */
  async failsUnmutated(seed: number): Promise<boolean> {
    let known = this.faulty.get(seed);
    if (known === undefined) {
      known = false;
      await playLives(this.unmutated, seed, 1, 1, 60_000, async () => {
        known = true;
        return true;
      });
      this.faulty.set(seed, known);
    }
    return known;
  }

  /** Are these findings, all of one rule and in so many lives, more than the unmutated core's? */
  convicts(rule: string, findings: number, lives: number): boolean {
    if (this.clean) return findings > 0;
    // Half a finding where none was seen: it may just not have come up.
    const rate = this.rates.get(rule) ?? 0.5 / this.lives;
    return poissonTail(rate * lives, findings) < kLuck;
  }
}

export interface Verdict {
  readonly killed: boolean;
  readonly rule: string;
  /** The scenario that noticed it, or `seed N`. */
  readonly by: string;
  /** Scenarios or lives up to the first finding of that rule. */
  readonly needed: number;
  readonly text: string;
  /** Lives played in all. */
  readonly played: number;
}

/** Plays the scenarios until one fails. */
export async function tryScenarios(program: string, judge: Judge, timeoutMs: number): Promise<Verdict | undefined> {
  const files = judge.scenarioFiles;
  let verdict: Verdict | undefined;
  await playScenarios(program, files, timeoutMs, async ({ of, rule, text }) => {
    verdict = { killed: true, rule, by: basename(of, '.txt'), needed: files.indexOf(of) + 1, text, played: 0 };
    judge.prefer(of);
    return true;
  });
  return verdict;
}

/** Plays growing numbers of lives until the mutant is found, or the limits are reached. */
export async function hunt(program: string, judge: Judge, first: number, count: number, timeoutMs: number, progress: (lives: number) => void): Promise<Verdict> {
  const byRule = new Map<string, Finding[]>();
  const until = Date.now() + timeoutMs;
  let verdict: Verdict | undefined;
  let played = 0;
  // A job stops at twenty findings; where the unmutated core has some, pieces stay small enough to get past them.
  const largest = judge.clean ? 4000 : 500;
  for (let piece = 50; played < count && verdict === undefined && Date.now() < until; piece = Math.min(piece * 3, largest)) {
    const lives = Math.min(piece, count - played);
    const from = first + played;
    await playLives(program, from, lives, 1, until - Date.now(), async (finding) => {
      const seed = Number(finding.of);
      if (await judge.failsUnmutated(seed)) return false;
      const so = [...(byRule.get(finding.rule) ?? []), finding];
      byRule.set(finding.rule, so);
      if (!judge.convicts(finding.rule, so.length, seed - first + 1)) return false;
      const earliest = so.reduce((a, b) => (Number(b.of) < Number(a.of) ? b : a));
      verdict = { killed: true, rule: earliest.rule, by: `seed ${earliest.of}`, needed: Number(earliest.of) - first + 1, text: earliest.text, played: seed - first + 1 };
      return true;
    });
    played += lives;
    progress(played);
  }
  return verdict ?? { killed: false, rule: '', by: '', needed: 0, text: [...byRule].map(([rule, all]) => `${rule} ${all.length}`).join(', '), played };
}
