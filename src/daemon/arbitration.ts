/**
 * What a node does with the in-sync set register for one volume or group (pure): the other half of `fencing resource-and-stonith`. The
 * engine's simulator plays the same rules against the real core (native/sim/arbiter.cc).
 *
 * A node goes on without its peer only after it swapped the peer out of the set, and without its own copy after it swapped that out; who took a
 * copy out takes it in again, while both are connected and UpToDate. An answer that did not come means nothing: the swap may have happened, may still happen, or not. What a node knows is on
 * stable storage before anybody acts on it: `save` comes first among the actions, and the rest waits for it.
 */
import type { Circumstances } from '../arbiter/arbiter.js';
import { firstRecord, type RegisterAnswer, type RegisterRecord, type RegisterRequest } from '../arbiter/messages.js';

/** Exit codes of fence-peer and fence-self: who was asked for is out; nobody could be asked; we are out ourselves. */
export const fenceExit = { out: 7, unreachable: 5, weAreOut: 6 } as const;

/** How often a node that waits looks again. */
const lookEveryMs = 100;
/** After a request without an answer. */
const retryMs = 250;
/** How often a node asks although it wants nothing: a register that was restarted is vouched for before it is needed. */
const pollEveryMs = 1000;
/** How long a promotion waits for an arbiter nobody reaches. */
const patienceMs = 3000;

/** The volume as it is now. */
export interface View {
  readonly primary: boolean;
  /** our own disk is there, good or not: it has been compared with the peer's when both see each other. */
  readonly attached: boolean;
  /** our own disk is UpToDate. */
  readonly upToDate: boolean;
  readonly peerUpToDate: boolean;
  /** the nodes see each other. */
  readonly connected: boolean;
  /** and nothing is being resynced or compared. */
  readonly quiet: boolean;
  /** I/O stands still until the fencing is answered. */
  readonly frozen: boolean;
  readonly dataGeneration: string;
}

/** What survives every crash of this node. */
export interface Durable {
  readonly record: RegisterRecord;
  /** a swap that takes us out, or the peer back in, was sent and its answer is not known: our being alone may have ended. */
  readonly mayBeUndone: boolean;
}

export type Ask = 'read' | 'swap-out' | 'hand-over' | 'swap-both' | 'vouch';

interface Fence {
  readonly id: number;
  /** our own disk is the one that shall be out, else the peer's. */
  readonly self: boolean;
  readonly sinceMs: number;
}

export interface ArbitrationState {
  readonly key: string;
  readonly self: string;
  readonly peer: string;
  /** the record's holder follows who is Primary while both see each other: groups only. */
  readonly tracksHolder: boolean;
  readonly durable: Durable;
  /** of the register, as last read in this life; '' not read yet. */
  readonly incarnation: string;
  /** false: the register may be an old copy and waits until the peer vouches, too. */
  readonly vouched: boolean;
  /** an operator says that the peer is off for good: this node's word is enough for a register that waits to be vouched for. */
  readonly confirmed: boolean;
  readonly fence: Fence | null;
  readonly asking: { readonly id: number; readonly ask: Ask } | null;
  readonly nextId: number;
  /** no request before that. */
  readonly notBeforeMs: number;
  /** when it asks although it wants nothing. */
  readonly pollAtMs: number;
  /** the last request was answered. */
  readonly reachable: boolean;
  /** why the last request was not answered, or not believed; ''. */
  readonly problem: string;
  /** we may have acknowledged without the peer since both were last seen to be complete; also when this life has not seen that yet. */
  readonly peerLacks: boolean;
  /** we serve and are told that we are out. */
  readonly denied: boolean;
}

export type ArbitrationEvent =
  | { readonly type: 'look' }
  /** somebody waits for a disk to be out. */
  | { readonly type: 'fence'; readonly id: number; readonly self: boolean }
  /** an operator says that the peer is off for good. */
  | { readonly type: 'confirmed' }
  /** nobody waits any more. */
  | { readonly type: 'fence-gone'; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly answer: RegisterAnswer }
  | { readonly type: 'no-answer'; readonly id: number; readonly problem: string };

export type ArbitrationAction =
  /** on stable storage before anything that follows. */
  | { readonly type: 'save'; readonly durable: Durable }
  | { readonly type: 'ask'; readonly id: number; readonly request: RegisterRequest; readonly circumstances: Circumstances }
  | { readonly type: 'end-fence'; readonly id: number; readonly exitCode: number }
  /** the peer was taken in alone while this node serves and still believes to see it: is it really there? */
  | { readonly type: 'check-peer' };

export interface Step {
  readonly state: ArbitrationState;
  readonly actions: readonly ArbitrationAction[];
}

/** A new life: what was on stable storage (null: nothing was), and nothing read yet. */
export function startArbitration(
  key: string,
  self: string,
  peer: string,
  stored: Durable | null,
  options: { tracksHolder?: boolean } = {},
): ArbitrationState {
  const nodes: [string, string] = [self, peer];
  return {
    key,
    self,
    peer,
    tracksHolder: options.tracksHolder ?? false,
    durable: stored ?? { record: firstRecord(nodes), mayBeUndone: false },
    ...{ incarnation: '', vouched: true, confirmed: false, fence: null, asking: null, nextId: 1, notBeforeMs: 0, pollAtMs: 0 },
    ...{ reachable: false, problem: '', denied: false, peerLacks: true },
  };
}

const isOnly = (record: RegisterRecord, node: string): boolean => record.inSync.length === 1 && record.inSync[0] === node;
const isBoth = (record: RegisterRecord): boolean => record.inSync.length === 2;

/**
 * Both are not in, and it is this node that took the other copy, or its own, out: it alone may undo that. A member whose peer has given up its own
 * copy has not heard of that, maybe, and would take in what lacks everything that is acknowledged since.
 */
function mayGrow(record: RegisterRecord, self: string): boolean {
  return !isBoth(record) && (record.by === undefined ? record.inSync.includes(self) : record.by === self);
}

/** Alone in the set by its own word. */
const isAlone = (record: RegisterRecord, self: string): boolean => isOnly(record, self) && mayGrow(record, self);

function sameDurable(a: Durable, b: Durable): boolean {
  if (a === b) return true;
  const [one, other] = [a.record, b.record];
  return (
    a.mayBeUndone === b.mayBeUndone &&
    one.epoch === other.epoch &&
    one.inSync.join() === other.inSync.join() &&
    one.holder === other.holder &&
    one.by === other.by &&
    one.dataGeneration === other.dataGeneration
  );
}

/** Both see each other and both have everything. */
export function isTogether(view: View): boolean {
  return view.connected && view.quiet && view.upToDate && view.peerUpToDate;
}

/** By its own record, and nothing under way can change that. */
function servesAlone(state: ArbitrationState, view: View): boolean {
  return isAlone(state.durable.record, state.self) && !state.durable.mayBeUndone && view.primary && view.upToDate && !view.frozen;
}

/**
 * A member whose disk is not good while it sees one that lacks nothing, as the record says or because the two disks were compared. After a
 * restart without the disk nobody knows whether one that is no member has what this one acknowledged alone.
 */
function mustHandOver(state: ArbitrationState, view: View): boolean {
  const { inSync } = state.durable.record;
  const hasAll = inSync.includes(state.peer) || !state.peerLacks || view.attached;
  return inSync.includes(state.self) && hasAll && !view.upToDate && view.connected && view.peerUpToDate;
}

/** The register names somebody else than the one who has the group. */
function mustTell(state: ArbitrationState, view: View): boolean {
  if (!state.tracksHolder) return false;
  const { holder } = state.durable.record;
  return view.primary ? holder !== state.self : holder === state.self;
}

/** Who is to be left in the set. */
function wanted(state: ArbitrationState, ask: Ask): string[] {
  if (ask === 'swap-both') return [state.self, state.peer].sort();
  return ask === 'hand-over' || state.fence?.self === true ? [state.peer] : [state.self];
}

function requestOf(state: ArbitrationState, view: View, ask: Ask): RegisterRequest {
  const { key, self, peer, incarnation } = state;
  const nodes: [string, string] = self < peer ? [self, peer] : [peer, self];
  const { record } = state.durable;
  switch (ask) {
    case 'read':
      return { op: 'read', key, node: self, nodes };
    case 'vouch':
      return { op: 'vouch', key, node: self, nodes, incarnation, record, alone: state.confirmed || servesAlone(state, view) };
    default: {
      const serves = view.primary || (ask === 'swap-out' && state.fence !== null);
      const holder = serves ? self : record.holder === self ? '' : record.holder;
      const change = { inSync: wanted(state, ask), holder, dataGeneration: view.dataGeneration };
      return { op: 'swap', key, node: self, nodes, incarnation, expectedEpoch: record.epoch, record: change };
    }
  }
}

/** What one step wants to do; `durable` is saved before the rest when it changed. */
class Turn {
  state: ArbitrationState;
  private readonly before: Durable;
  private readonly view: View;
  private readonly nowMs: number;
  private readonly actions: ArbitrationAction[] = [];

  constructor(state: ArbitrationState, view: View, nowMs: number) {
    this.state = state;
    this.before = state.durable;
    this.view = view;
    this.nowMs = nowMs;
  }

  set(change: Partial<ArbitrationState>): void {
    this.state = { ...this.state, ...change };
  }

  ask(ask: Ask): void {
    const id = this.state.nextId;
    const request = requestOf(this.state, this.view, ask);
    // whatever becomes of it, until an answer says so we can not be sure to be alone
    if (request.op === 'swap' && !(request.record.inSync.length === 1 && request.record.inSync[0] === this.state.self))
      this.set({ durable: { ...this.state.durable, mayBeUndone: true } });
    this.set({ asking: { id, ask }, nextId: id + 1, pollAtMs: this.nowMs + pollEveryMs });
    this.actions.push({ type: 'ask', id, request, circumstances: { together: isTogether(this.view) } });
  }

  checkPeer(): void {
    this.actions.push({ type: 'check-peer' });
  }

  endFence(exitCode: number): void {
    const { fence } = this.state;
    if (fence === null) return;
    const denied = exitCode === fenceExit.weAreOut ? this.view.primary : exitCode === fenceExit.out ? false : this.state.denied;
    this.set({ fence: null, denied, ...(exitCode === fenceExit.out && !fence.self ? { peerLacks: true } : {}) });
    this.actions.push({ type: 'end-fence', id: fence.id, exitCode });
  }

  result(): Step {
    const { durable } = this.state;
    const same = sameDurable(durable, this.before);
    return { state: this.state, actions: same ? this.actions : [{ type: 'save', durable }, ...this.actions] };
  }
}

function look(turn: Turn, view: View, nowMs: number): void {
  const { state } = turn;
  const { fence } = state;
  if (state.denied && (isTogether(view) || !view.primary)) turn.set({ denied: false });
  if (state.asking !== null || nowMs < state.notBeforeMs) return;
  const { record, mayBeUndone } = state.durable;
  if (fence !== null) {
    if (isTogether(view)) turn.endFence(fenceExit.unreachable); // nobody is out
    // about our own disk the record alone says nothing: the peer, which is in, may be about to take us in
    else if (!fence.self && isAlone(record, state.self) && !mayBeUndone && state.incarnation !== '' && view.primary)
      turn.endFence(fenceExit.out); // it never came back in
    else if (!view.primary && nowMs > fence.sinceMs + patienceMs) turn.endFence(fenceExit.unreachable);
    else turn.ask('read');
    return;
  }
  const together = isTogether(view);
  if (together && (!isBoth(record) || state.incarnation === '' || mustTell(state, view))) turn.ask('read');
  else if (mustHandOver(state, view)) turn.ask('read');
  else if (nowMs >= state.pollAtMs) turn.ask('read'); // has it been restarted?
}

function onAnswer(turn: Turn, view: View, nowMs: number, ask: Ask, answer: RegisterAnswer): void {
  const { self } = turn.state;
  // it waits for the peer only when our own word was not enough
  const vouched = answer.vouched || (ask !== 'vouch' && turn.state.vouched);
  turn.set({ incarnation: answer.incarnation, vouched, reachable: true, problem: '', notBeforeMs: nowMs + lookEveryMs });
  if (!answer.vouched) {
    if (ask !== 'vouch') turn.ask('vouch');
    return;
  }
  turn.set({ confirmed: false });
  const known = turn.state.durable.record;
  if (answer.record.epoch < known.epoch) {
    turn.set({ problem: `its record has epoch ${answer.record.epoch} and this node knows epoch ${known.epoch}: it is not to be believed` });
    return;
  }
  const { fence } = turn.state;
  const swapped = ask === 'swap-out' && answer.done;
  // what an earlier question took out of the set is no answer to one about the other disk
  const swappedOut = swapped && isOnly(answer.record, fence?.self === true ? turn.state.peer : self);
  const settled = isBoth(answer.record) || swapped;
  turn.set({ durable: { record: answer.record, mayBeUndone: settled ? false : turn.state.durable.mayBeUndone } });
  const { record } = turn.state.durable;
  const member = record.inSync.includes(self);
  // it went on without us: a connection that only seems to live must not keep this node serving until its time is over
  if (ask !== 'hand-over' && known.inSync.includes(self) && !member && view.primary && view.connected) turn.checkPeer();
  if (fence !== null) {
    if (isTogether(view)) turn.endFence(fenceExit.unreachable);
    else if (swappedOut) turn.endFence(fenceExit.out);
    else if (fence.self && isOnly(record, self) && turn.state.peerLacks) return; // nobody else has it all
    else if (!fence.self && !view.attached) turn.endFence(fenceExit.unreachable); // the peer's may be the only disk left
    else if (fence.self || member) turn.ask('swap-out'); // also when the record says so already: what is under way must not undo it
    else if (!view.connected) turn.endFence(fenceExit.weAreOut);
    return; // connected: the peer, which is in, hands over
  }
  if (isTogether(view) && (mayGrow(record, self) || (isBoth(record) && mustTell(turn.state, view)))) turn.ask('swap-both');
  else if (mustHandOver(turn.state, view) && ask !== 'hand-over') turn.ask('hand-over');
}

/** One event, with the volume as it is at this moment. */
export function stepArbitration(state: ArbitrationState, event: ArbitrationEvent, view: View, nowMs: number): Step {
  const turn = new Turn(state, view, nowMs);
  if (isTogether(view)) turn.set({ peerLacks: false });
  // whoever said so was wrong
  if (view.connected) turn.set({ confirmed: false });
  switch (event.type) {
    case 'look':
      look(turn, view, nowMs);
      break;
    case 'fence':
      // who asked before asked about something that is over
      turn.endFence(fenceExit.unreachable);
      turn.set({ fence: { id: event.id, self: event.self, sinceMs: nowMs }, notBeforeMs: nowMs });
      look(turn, view, nowMs);
      break;
    case 'confirmed':
      // a peer that is seen is not off
      if (!view.connected) turn.set({ confirmed: true, notBeforeMs: nowMs, pollAtMs: nowMs });
      look(turn, view, nowMs);
      break;
    case 'fence-gone':
      if (state.fence?.id === event.id) turn.set({ fence: null });
      break;
    case 'answer':
      if (state.asking?.id !== event.id) break;
      turn.set({ asking: null });
      onAnswer(turn, view, nowMs, state.asking.ask, event.answer);
      break;
    case 'no-answer':
      if (state.asking?.id !== event.id) break;
      turn.set({ asking: null, reachable: false, problem: event.problem, notBeforeMs: nowMs + retryMs });
      break;
  }
  return turn.result();
}

/** The state when `save` failed: as if the step had not happened, and whoever asks again finds out anew. */
export function unsaved(before: ArbitrationState, after: ArbitrationState, problem: string, nowMs: number): ArbitrationState {
  return {
    ...before,
    fence: after.fence ?? before.fence,
    asking: null,
    nextId: after.nextId,
    problem: `the record could not be written: ${problem}`,
    notBeforeMs: nowMs + retryMs,
  };
}

/** When to look again, in ms from now. */
export function lookAgainInMs(state: ArbitrationState, nowMs: number): number {
  if (state.asking !== null) return lookEveryMs;
  if (state.fence !== null) return Math.max(1, Math.min(lookEveryMs, state.notBeforeMs - nowMs));
  return Math.max(lookEveryMs, Math.min(state.pollAtMs - nowMs, pollEveryMs));
}
