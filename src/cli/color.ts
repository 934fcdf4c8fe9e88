/** Colours for state names, only where a person looks at a terminal. */

export type Tone = 'good' | 'busy' | 'bad' | 'plain';

const busyStates: ReadonlySet<string> = new Set([
  'WFConnection',
  'WFReportParams',
  'StartingSyncS',
  'StartingSyncT',
  'WFBitMapS',
  'WFBitMapT',
  'WFSyncUUID',
  'SyncSource',
  'SyncTarget',
  'VerifyS',
  'VerifyT',
  'PausedSyncS',
  'PausedSyncT',
  'Ahead',
  'Behind',
  'Unconnected',
  'TearDown',
  'Attaching',
  'Negotiating',
  'Consistent',
  'Outdated',
  'DUnknown',
  'Unknown',
]);
const badStates: ReadonlySet<string> = new Set([
  'StandAlone',
  'Disconnecting',
  'Timeout',
  'BrokenPipe',
  'NetworkFailure',
  'ProtocolError',
  'Diskless',
  'Failed',
  'Inconsistent',
]);
const goodStates: ReadonlySet<string> = new Set(['Connected', 'UpToDate', 'Primary']);

/** How a role, connection or disk state should look. */
export function toneOf(state: string): Tone {
  if (goodStates.has(state)) return 'good';
  if (busyStates.has(state)) return 'busy';
  return badStates.has(state) ? 'bad' : 'plain';
}

export type Painter = (tone: Tone, text: string) => string;

export const plainPainter: Painter = (_tone, text) => text;

const openings = { good: '\u001b[32m', busy: '\u001b[33m', bad: '\u001b[31m' } as const;
const closing = '\u001b[39m';

export const colorPainter: Painter = (tone, text) => (tone === 'plain' ? text : `${openings[tone]}${text}${closing}`);

/** Colours on a terminal, unless the user asked for none (https://no-color.org). */
export function choosePainter(isTty: boolean, env: NodeJS.ProcessEnv): Painter {
  return isTty && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' ? colorPainter : plainPainter;
}
