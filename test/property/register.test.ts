/** The register of the daemon's arbiters against that of the engine's simulator: the same operations, the same answers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { RegisterAnswer, RegisterRecord, RegisterRequest } from '../../src/arbiter/messages.js';
import { applyRequest, type Cell, newCell, restarted } from '../../src/arbiter/register.js';
import { replay } from './replay.js';

const sim = fileURLToPath(new URL('../../../native/build/Release/sim', import.meta.url));
const nodes: [string, string] = ['alpha', 'beta'];
const runs = Number(process.env.DRBDTS_SCHEDULES ?? 2000);

const inSync = fc.constantFrom(1, 2, 3);
/** differences to what the register has now: nearly right is what matters */
const near = fc.integer({ min: -1, max: 1 });
const operation = fc.oneof(
  fc.record({ op: fc.constant('swap' as const), incarnation: near, epoch: near, inSync, node: fc.nat(1) }),
  fc.record({ op: fc.constant('vouch' as const), incarnation: near, epoch: fc.integer({ min: -2, max: 2 }), inSync, node: fc.nat(1), by: fc.integer({ min: -1, max: 1 }), alone: fc.boolean() }),
  fc.record({ op: fc.constantFrom('restart' as const, 'backup' as const, 'restore' as const, 'read' as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const names = (bits: number): string[] => nodes.filter((_, index) => (bits & (1 << index)) !== 0);
const bits = (list: readonly string[]): number => list.reduce((sum, name) => sum | (1 << nodes.indexOf(name)), 0);

/** Plays on our register; gives the lines for the simulator's and the answers. */
function play(operations: readonly Operation[]): { lines: string[]; answers: string[] } {
  const lines = ['restart'];
  // the simulator's register starts vouched for, ours never: the first restart makes them equal
  let incarnation = 2;
  let cell: Cell = newCell(nodes);
  let backup: RegisterRecord = cell.record;
  const format = (answer: RegisterAnswer): string =>
    [Number(answer.done), Number(answer.vouched), answer.incarnation, answer.record.epoch, bits(answer.record.inSync), answer.record.by === undefined ? -1 : nodes.indexOf(answer.record.by)].join(' ');
  const apply = (request: RegisterRequest): string => {
    const outcome = applyRequest(cell, String(incarnation), request);
    assert.equal(outcome.refused, '');
    cell = outcome.cell;
    return format(outcome.answer);
  };
  const common = { key: 'volume/r0/0', node: 'alpha', nodes };
  const answers = [apply({ op: 'read', ...common })];
  for (const drawn of operations) {
    if (drawn.op === 'swap' || drawn.op === 'vouch') {
      const named = Math.max(0, incarnation + drawn.incarnation);
      const epoch = Math.max(1, cell.record.epoch + drawn.epoch);
      const record = { inSync: names(drawn.inSync), holder: '', dataGeneration: '' };
      const who = { ...common, node: nodes[drawn.node] ?? '', incarnation: String(named) };
      if (drawn.op === 'swap') {
        lines.push(`swap ${named} ${epoch} ${drawn.inSync} ${drawn.node}`);
        answers.push(apply({ op: 'swap', ...who, expectedEpoch: epoch, record }));
      } else {
        lines.push(`vouch ${named} ${drawn.node} ${epoch} ${drawn.inSync} ${drawn.by} ${Number(drawn.alone)}`);
        const by = nodes[drawn.by];
        answers.push(apply({ op: 'vouch', ...who, record: { ...record, epoch, ...(by === undefined ? {} : { by }) }, alone: drawn.alone }));
      }
      continue;
    }
    lines.push(drawn.op);
    if (drawn.op === 'backup') backup = cell.record;
    if (drawn.op === 'restore') cell = { ...cell, record: backup };
    if (drawn.op === 'restart' || drawn.op === 'restore') {
      incarnation += 1;
      cell = restarted(cell);
    }
    answers.push(apply({ op: 'read', ...common }));
  }
  return { lines, answers };
}

describe('the register', () => {
  it("answers as the simulator's", () => {
    let swaps = 0;
    let vouched = 0;
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' }), (operations) => {
        const { lines, answers } = play(operations);
        const run = spawnSync(sim, ['--register'], { input: `${lines.join('\n')}\n`, encoding: 'utf8' });
        assert.equal(run.status, 0, run.stderr);
        assert.deepEqual(run.stdout.trimEnd().split('\n'), answers, lines.join('\n'));
        swaps += lines.filter((line, index) => line.startsWith('swap') && answers[index]?.startsWith('1')).length;
        vouched += lines.filter((line, index) => line.startsWith('vouch') && answers[index]?.startsWith('1')).length;
      }),
      replay('register', runs),
    );
    console.log(`register: ${runs} sequences equal to the simulator's, ${swaps} swaps made, ${vouched} times vouched for`);
    assert.ok(swaps > runs / 4 && vouched > runs / 4, 'the sequences reach what they are about');
  });
});
