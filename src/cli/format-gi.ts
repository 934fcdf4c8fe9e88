/**
 * Generation identifiers as drbdmeta prints them: the one-line form, and the legend that `show-gi` draws around it
 * (drbd-protocol §4.3, §4.6).
 */

/** The parts of a `get-gi` line. */
export interface GenerationIdentifiers {
  /** current, bitmap, younger history, older history: 16 upper-case hex digits each */
  readonly uuids: readonly [string, string, string, string];
  readonly consistent: boolean;
  readonly wasUpToDate: boolean;
  readonly primary: boolean;
  readonly connected: boolean;
  readonly fullSync: boolean;
  readonly peerOutdated: boolean;
  readonly crashedPrimary: boolean;
}

const linePattern = /^([0-9A-F]{16}):([0-9A-F]{16}):([0-9A-F]{16}):([0-9A-F]{16}):([01]):([01]):([01]):([01]):([01]):([01]):([01])$/;

/** Reads a `get-gi` line; null when it is none. */
export function parseGetGi(line: string): GenerationIdentifiers | null {
  const match = linePattern.exec(line.trim());
  if (match === null) return null;
  const bit = (index: number): boolean => match[index] === '1';
  return {
    uuids: [match[1] ?? '', match[2] ?? '', match[3] ?? '', match[4] ?? ''],
    consistent: bit(5),
    wasUpToDate: bit(6),
    primary: bit(7),
    connected: bit(8),
    fullSync: bit(9),
    peerOutdated: bit(10),
    crashedPrimary: bit(11),
  };
}

const uuidLegend = [
  '       +--<  Current data generation UUID  >-',
  "       |               +--<  Bitmap's base data generation UUID  >-",
  '       |               |                 +--<  younger history UUID  >-',
  '       |               |                 |         +-<  older history  >-',
  '       V               V                 V         V',
];

const flagTexts = [
  'Data consistency flag',
  'Data was/is currently up-to-date',
  'Node was/is currently primary',
  'Node was/is currently connected',
  'Node was in the progress of setting all bits in the bitmap',
  "The peer's disk was out-dated or inconsistent",
  'This node was a crashed primary, and has not seen its peer since ',
];

/** Column of the first of the seven flags in a get-gi line. */
const firstFlagColumn = 68;

function flagLegend(): string[] {
  const lines = [`${' '.repeat(firstFlagColumn)}${flagTexts.map(() => '^').join(' ')}`];
  flagTexts.forEach((text, index) => {
    const tail = `+${' |'.repeat(flagTexts.length - 1 - index)}`;
    lines.push(`${`-<  ${text}  >--`.padStart(firstFlagColumn + 2 * index)}${tail}`);
  });
  return lines;
}

/** Disk state that an attach would find, as `drbdmeta dstate` names it. */
export function offlineDiskState(gi: GenerationIdentifiers): 'Inconsistent' | 'Outdated' | 'Consistent' | 'UpToDate' {
  if (!gi.consistent) return 'Inconsistent';
  if (!gi.wasUpToDate) return 'Outdated';
  return gi.peerOutdated ? 'UpToDate' : 'Consistent';
}

/** The legend of `show-gi` around a `get-gi` line, with what the flags say in words. */
export function formatShowGi(line: string, extra: readonly string[] = []): string[] {
  const gi = parseGetGi(line);
  if (gi === null) return [line, ...extra];
  const words = [
    gi.primary ? 'Primary' : 'Secondary',
    gi.connected ? 'Connected' : 'StandAlone',
    gi.consistent ? (gi.wasUpToDate ? 'UpToDate' : 'Outdated') : 'Inconsistent',
    ...(gi.fullSync ? ['need full sync'] : []),
    ...(gi.peerOutdated ? ['peer Outdated'] : []),
    ...(gi.crashedPrimary ? ['crashed Primary'] : []),
  ];
  return ['', ...uuidLegend, line.trim(), ...flagLegend(), '', `flags: ${words.join(', ')}`, ...extra];
}
