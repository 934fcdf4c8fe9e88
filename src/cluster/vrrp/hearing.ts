/** Who was heard, who was heard but rejected, who never was: the difference explains most cases of two masters. Pure. */
import type { Hearing, RejectReason, SenderView } from './types.js';

/** Senders remembered; a flood of forged sources drives out other rejected ones first. */
const sendersKept = 16;
/** Refusals of one kind and sender are logged at most that often, and all together at most `logsPerWindow` times in that time. */
const logEveryMs = 60_000;
const logsPerWindow = 10;

interface Sender extends SenderView {
  loggedMs: Partial<Record<RejectReason, number>>;
}

export interface HearingState {
  readonly senders: readonly Sender[];
  readonly windowMs: number;
  readonly logged: number;
}

export const heardNobody: HearingState = { senders: [], windowMs: Number.NEGATIVE_INFINITY, logged: 0 };

function withSender(state: HearingState, source: string, change: (sender: Sender) => Sender): HearingState {
  const blank: Sender = { source, taken: 0, lastTakenMs: null, lastPriority: null, rejected: 0, lastRejectedMs: null, rejectedBy: {}, lastReason: null, loggedMs: {} };
  const changed = change(state.senders.find((each) => each.source === source) ?? blank);
  const others = state.senders.filter((each) => each.source !== source);
  if (others.length >= sendersKept) {
    const lastMs = (each: Sender): number => Math.max(each.lastTakenMs ?? Number.NEGATIVE_INFINITY, each.lastRejectedMs ?? Number.NEGATIVE_INFINITY);
    // the least known one leaves: never taken before taken, then the one that is silent for longest
    const [first] = [...others].sort((a, b) => Math.sign(a.taken) - Math.sign(b.taken) || lastMs(a) - lastMs(b));
    return { ...state, senders: [...others.filter((each) => each !== first), changed] };
  }
  return { ...state, senders: [...others, changed] };
}

/** An advert was taken. */
export function taken(state: HearingState, source: string, priority: number, receivedMs: number): HearingState {
  return withSender(state, source, (sender) => ({ ...sender, taken: sender.taken + 1, lastTakenMs: receivedMs, lastPriority: priority }));
}

/** One was not; `log`: worth a line. */
export function rejected(state: HearingState, source: string, reason: RejectReason, text: string, receivedMs: number): { state: HearingState; log: boolean } {
  const fresh = receivedMs - state.windowMs >= logEveryMs;
  const logged = fresh ? 0 : state.logged;
  const known = state.senders.find((each) => each.source === source)?.loggedMs[reason] ?? Number.NEGATIVE_INFINITY;
  const log = receivedMs - known >= logEveryMs && logged < logsPerWindow;
  const next = withSender(state, source, (sender) => ({
    ...sender,
    rejected: sender.rejected + 1,
    lastRejectedMs: receivedMs,
    rejectedBy: { ...sender.rejectedBy, [reason]: (sender.rejectedBy[reason] ?? 0) + 1 },
    lastReason: text,
    loggedMs: log ? { ...sender.loggedMs, [reason]: receivedMs } : sender.loggedMs,
  }));
  return { state: { ...next, windowMs: fresh ? receivedMs : state.windowMs, logged: logged + (log ? 1 : 0) }, log };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** What to say of it: `withinMs` (Master_Down) is the age up to which something counts as now. */
export function hearingView(state: HearingState, nowMs: number, withinMs: number): { hearing: Hearing; text: string; senders: SenderView[] } {
  const senders = state.senders.map(({ loggedMs: _, ...view }) => view);
  const newest = (of: (each: SenderView) => number | null): SenderView | null =>
    senders.reduce<SenderView | null>((best, each) => (of(each) !== null && (best === null || (of(each) ?? 0) > (of(best) ?? 0)) ? each : best), null);
  const good = newest((each) => each.lastTakenMs);
  const bad = newest((each) => each.lastRejectedMs);
  const goodAge = good === null ? Number.POSITIVE_INFINITY : nowMs - (good.lastTakenMs ?? 0);
  const badAge = bad === null ? Number.POSITIVE_INFINITY : nowMs - (bad.lastRejectedMs ?? 0);
  if (good !== null && goodAge <= withinMs) return { hearing: 'heard', text: `${good.source} heard ${seconds(goodAge)} ago, priority ${good.lastPriority}`, senders };
  if (bad !== null && (badAge <= withinMs || good === null))
    return { hearing: 'heard but rejected', text: `peer heard but rejected: ${bad.lastReason} (${bad.source}, ${bad.rejected} times, the last ${seconds(badAge)} ago)`, senders };
  if (good !== null) return { hearing: 'silent', text: `nobody heard for ${seconds(goodAge)}; the last was ${good.source}`, senders };
  return { hearing: 'nobody ever', text: 'peer never heard', senders };
}
