/**
 * The in-sync set register of one key (pure), as every keeper of it runs it; the engine's simulator holds the same rules
 * (native/sim/arbiter.cc) and a test compares both answer by answer.
 *
 * A register that was restarted may have been restored from an old copy, and cannot tell (a witness whose process alone ended can, and then
 * nothing is restarted: decisions/0009). So it takes no swap until those who must know
 * vouch for a record: a Primary that is alone by its own record, or both nodes, and then the higher epoch is the truth: nobody acted on
 * anything newer. A key nobody has asked for yet is the oldest copy of all and treated alike.
 */
import { firstRecord, type RegisterAnswer, type RegisterRecord, type RegisterRequest } from './messages.js';

export interface Cell {
  /** both nodes, sorted. */
  readonly nodes: readonly [string, string];
  readonly record: RegisterRecord;
  readonly vouched: boolean;
  /** what each node vouched for since the restart. */
  readonly said: Readonly<Record<string, RegisterRecord>>;
}

export function newCell(nodes: readonly [string, string]): Cell {
  return { nodes, record: firstRecord(nodes), vouched: false, said: {} };
}

/** The cell after a restart of its keeper: whatever it holds may be old. */
export function restarted(cell: Cell): Cell {
  return { ...cell, vouched: false, said: {} };
}

export interface Outcome {
  readonly cell: Cell;
  readonly answer: RegisterAnswer;
}

function read(cell: Cell, incarnation: string, done = false): Outcome {
  return { cell, answer: { done, vouched: cell.vouched, incarnation, record: cell.record } };
}

function swap(cell: Cell, incarnation: string, request: Extract<RegisterRequest, { op: 'swap' }>): Outcome {
  if (!cell.vouched || request.incarnation !== incarnation || request.expectedEpoch !== cell.record.epoch) return read(cell, incarnation);
  const record = { ...request.record, inSync: [...request.record.inSync].sort(), epoch: request.expectedEpoch + 1, by: request.node };
  return read({ ...cell, record }, incarnation, true);
}

function vouch(cell: Cell, incarnation: string, request: Extract<RegisterRequest, { op: 'vouch' }>): Outcome {
  if (cell.vouched || request.incarnation !== incarnation) return read(cell, incarnation);
  const said = { ...cell.said, [request.node]: request.record };
  const [a, b] = cell.nodes.map((node) => said[node]);
  const waiting = { ...cell, said };
  if (!request.alone && (a === undefined || b === undefined)) return read(waiting, incarnation);
  let truth = request.record;
  if (!request.alone && a !== undefined && b !== undefined) truth = a.epoch >= b.epoch ? a : b;
  if (truth.epoch < cell.record.epoch) truth = cell.record;
  return read({ ...cell, record: truth, vouched: true, said: {} }, incarnation, true);
}

/** Why a request cannot be about this cell; '' when it can. */
function foreign(cell: Cell, request: RegisterRequest): string {
  const [a, b] = cell.nodes;
  if (request.nodes[0] !== a || request.nodes[1] !== b)
    return `the register of ${request.key} belongs to the nodes ${a} and ${b}, not to ${request.nodes.join(' and ')}`;
  if (request.node !== a && request.node !== b) return `${request.node} is not one of the nodes ${a} and ${b}`;
  const named = request.op === 'read' ? [] : request.record.inSync;
  const stranger = named.find((node) => node !== a && node !== b);
  return stranger === undefined ? '' : `${stranger} is not one of the nodes ${a} and ${b}`;
}

/** Carries out one request. `refused` is a sentence when the request cannot be about this cell; then nothing changes. */
export function applyRequest(cell: Cell, incarnation: string, request: RegisterRequest): Outcome & { refused: string } {
  const refused = foreign(cell, request);
  if (refused !== '') return { ...read(cell, incarnation), refused };
  switch (request.op) {
    case 'read':
      return { ...read(cell, incarnation), refused };
    case 'swap':
      return { ...swap(cell, incarnation, request), refused };
    case 'vouch':
      return { ...vouch(cell, incarnation, request), refused };
  }
}

/** Whether the record on stable storage has to be replaced before the answer is given. */
export function mustBeStored(before: Cell | undefined, after: Cell): boolean {
  return before === undefined || before.record !== after.record;
}

/** What a node is told while the register may be an old copy and `peer` has not vouched yet. */
export function waitsToHear(peer: string): string {
  return (
    `the arbiter was restarted, perhaps from an old copy, and waits until ${peer} vouches for the record, too: bring ${peer} up; ` +
    `only if it is off for good, \`drbdts confirm-fenced ${peer} --reason TEXT\``
  );
}
