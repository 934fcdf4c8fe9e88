/** The longest silence of the last hour, kept per minute. Pure. */

const minutes = 60;

export interface GapHistory {
  /** minute of the newest entry, counted from the clock's zero. */
  readonly minute: number;
  /** longest gap of each of the last 60 minutes, newest first. */
  readonly longestMs: readonly number[];
}

export const noGaps: GapHistory = { minute: 0, longestMs: [] };

function aged(history: GapHistory, nowMs: number): GapHistory {
  const minute = Math.floor(nowMs / 60_000);
  const older = minute - history.minute;
  if (older <= 0) return history;
  return { minute, longestMs: [...Array<number>(Math.min(older, minutes)).fill(0), ...history.longestMs].slice(0, minutes) };
}

export function addGap(history: GapHistory, gapMs: number, nowMs: number): GapHistory {
  const present = aged(history, nowMs);
  const [newest = 0, ...rest] = present.longestMs;
  if (present === history && gapMs <= newest) return history;
  return { minute: present.minute, longestMs: [Math.max(newest, gapMs), ...rest] };
}

/** 0 when there was none in the last hour. */
export function longestGapMs(history: GapHistory, nowMs: number): number {
  return Math.max(0, ...aged(history, nowMs).longestMs);
}
