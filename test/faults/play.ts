/** Plays one schedule in an arena and says what came of it. */
import type { Arena } from './arena.js';
import { type End, effects } from './effects.js';
import { ailments, countRows, lostRows, type OperatorAct, servedTwice, verdict } from './judge.js';
import { type Fault, faultText, type Schedule } from './schedule.js';

/** The cluster has this long to be healthy after the last fault, and after each thing it asks a person for. */
export const healthyWithinMs = 30_000;
const operatorPatienceMs = 1000;
const operatorActsMax = 8;

export interface Played {
  readonly seed: number;
  readonly faults: readonly string[];
  readonly kinds: readonly string[];
  readonly outageMs: number;
  readonly rows: number;
  readonly healthyAfterMs: number | null;
  readonly operator: readonly OperatorAct[];
  readonly fenced: readonly string[];
  /** empty: passed. */
  readonly wrong: readonly string[];
  readonly tookMs: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class Playing {
  readonly #arena: Arena;
  readonly #seed: number;
  readonly #ends = new Set<End>();
  readonly #late: Promise<void>[] = [];

  constructor(arena: Arena, seed: number) {
    this.#arena = arena;
    this.#seed = seed;
  }

  async begin(fault: Fault, index: number): Promise<void> {
    const arena = this.#arena;
    const host = arena.hostOf(fault.on ?? 'active');
    arena.tell(`${faultText(fault)} (${host.name})`);
    await arena.attempt(fault.kind, async () => {
      const end = await effects[fault.kind](arena, { fault, host, other: arena.cluster.other(host), name: `f${this.#seed}x${index}`, seed: this.#seed });
      if (typeof end !== 'function') return;
      const once: End = async () => {
        if (!this.#ends.delete(once)) return;
        arena.tell(`over: ${fault.kind}`);
        await arena.attempt(`end of ${fault.kind}`, end);
      };
      this.#ends.add(once);
      this.#late.push(sleep(fault.forMs).then(once));
    });
  }

  /** Waits until every fault is over. */
  async over(): Promise<void> {
    await Promise.all(this.#late);
    for (const end of [...this.#ends]) await end();
  }
}

export async function play(arena: Arena, schedule: Schedule): Promise<Played> {
  const { seed, faults } = schedule;
  const beganMs = performance.now();
  const file = `rows-${seed}`;
  const doublesBefore = arena.checker.doubles.length;
  arena.fenced.length = 0;
  arena.errors.length = 0;
  arena.tell(`--- seed ${seed}`);
  arena.keepCopyOfRegister();
  arena.beginRows(file);
  const playing = new Playing(arena, seed);
  await Promise.all(
    faults.map(async (fault, index) => {
      await sleep(fault.atMs);
      await playing.begin(fault, index);
    }),
  );
  await playing.over();
  for (const host of arena.hosts) await arena.attempt(`start of ${host.name}`, () => arena.powerOn(host).then(() => arena.ensureProcesses(host)));
  arena.ensureWitness();
  arena.tell('all faults are over');

  let sinceMs = performance.now();
  const rowsBefore = arena.acknowledged;
  const operator: OperatorAct[] = [];
  let found: string[] = [];
  let healthyAfterMs: number | null = null;
  let askedSinceMs: number | null = null;
  while (performance.now() - sinceMs < healthyWithinMs) {
    const views = await arena.views();
    found = ailments(views, 'web');
    if (arena.acknowledged <= rowsBefore) found.push('no row is acknowledged to the client');
    if (found.length === 0) {
      healthyAfterMs = performance.now() - sinceMs;
      break;
    }
    // what mends itself is not an operator's business
    askedSinceMs ??= performance.now();
    if (performance.now() - askedSinceMs > operatorPatienceMs && operator.length < operatorActsMax) {
      await arena.attempt('operator', async () => {
        const act = await arena.operate(views, seed % 2 === 0);
        if (act === null) return;
        operator.push(act);
        arena.tell(`operator: ${act.act} on ${act.node} because "${act.sentence}"`);
        sinceMs = performance.now();
        askedSinceMs = null;
      });
    }
    // a node may have fenced itself, or lost a process, meanwhile
    for (const host of arena.hosts) if (!arena.off.has(host)) await arena.attempt(`start of ${host.name}`, () => arena.ensureProcesses(host));
    await sleep(150);
  }
  arena.tell(healthyAfterMs === null ? `not healthy: ${found.join('; ')}` : 'healthy');

  const client = await arena.endRows();
  const active = arena.hostOf('active');
  const contents = await arena.readRows(active, file);
  const differing: number[] = [];
  if (healthyAfterMs !== null) await arena.attempt('comparison of the disks', async () => void differing.push(...(await arena.differing(active))));
  const wrong = verdict({
    faults, client, operator, healthyAfterMs, differing,
    ailments: found,
    violations: arena.checker.doubles
      .slice(doublesBefore)
      .filter(({ what, readings }) => servedTwice(what, readings, arena.unreachable))
      .map(({ what, readings }) => `${what}: ${JSON.stringify(readings)}`),
    lost: contents === null ? null : lostRows(file, contents, client.acknowledged),
    fenced: [...arena.fenced],
    errors: [...arena.errors],
  });
  return {
    seed,
    faults: faults.map(faultText),
    kinds: faults.map(({ kind }) => kind),
    outageMs: Math.round(client.longestGapMs),
    rows: countRows(client.acknowledged),
    healthyAfterMs: healthyAfterMs === null ? null : Math.round(healthyAfterMs),
    operator,
    fenced: [...arena.fenced],
    wrong,
    tookMs: Math.round(performance.now() - beganMs),
  };
}

export function playedLine(played: Played): string {
  const { seed, faults, outageMs, rows, healthyAfterMs, operator, fenced, wrong } = played;
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  return [
    `${wrong.length === 0 ? 'ok    ' : 'FAILED'} seed ${seed}: ${faults.join(', ')}`,
    `outage ${seconds(outageMs)}`,
    `${rows} rows`,
    ...(healthyAfterMs === null ? [] : [`healthy after ${seconds(healthyAfterMs)}`]),
    ...fenced.map((node) => `${node} fenced itself`),
    ...operator.map(({ node, act, sentence }) => `operator: ${act} on ${node} ("${sentence}")`),
    ...wrong.map((text) => `WRONG: ${text}`),
  ].join('; ');
}
