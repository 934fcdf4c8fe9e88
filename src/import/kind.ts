/** Which configuration a file is, by its name and then by what is in it. Pure. */
export type FileKind = 'drbd' | 'ha.cf' | 'haresources' | 'authkeys' | 'keepalived' | 'drbdts';

const byName: readonly (readonly [RegExp, FileKind])[] = [
  [/^drbd\.conf\b|^global_common\.conf$|\.res$/, 'drbd'],
  [/(?:^|[._-])ha\.cf(?:$|[._-])/, 'ha.cf'],
  [/^haresources\b/, 'haresources'],
  [/^authkeys\b/, 'authkeys'],
  [/keepalived.*\.conf\b|^keepalived\b/, 'keepalived'],
  [/\.ya?ml$/, 'drbdts'],
];

const byLine: readonly (readonly [RegExp, FileKind])[] = [
  [/^\s*(?:resource\s+[^\s:]+\s*\{|common\s*\{|global\s*\{|include\s+"[^"]*\.res"|skip\s+)/, 'drbd'],
  [/^\s*(?:vrrp_\w+|global_defs|virtual_server|static_\w+|bfd_instance|notify_\w+|!.*)(?:\s|\{|$)/, 'keepalived'],
  [/^\s*(?:keepalive|deadtime|warntime|initdead|udpport|ucast|bcast|mcast|auto_failback|logfacility|respawn|node|ping)\s+\S/, 'ha.cf'],
  [/^\s*auth\s+\d+\s*$|^\s*\d+\s+(?:crc|md5|sha1)\b/, 'authkeys'],
  [/^\s*(?:resources|cluster|groups|common|global):\s*(?:#.*)?$/, 'drbdts'],
  [/^\s*[\w.-]+\s+(?:\S*::\S|\d+\.\d+\.\d+\.\d+)/, 'haresources'],
];
const linesMax = 400;

/** null: nobody knows. A name that says what the file is wins over its contents. */
export function kindOf(path: string, text: string): FileKind | null {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const named = byName.find(([pattern]) => pattern.test(name));
  if (named !== undefined) return named[1];
  const votes = new Map<FileKind, number>();
  for (const line of text.slice(0, 100_000).split('\n', linesMax)) {
    const hit = byLine.find(([pattern]) => pattern.test(line.slice(0, 500)));
    if (hit !== undefined) votes.set(hit[1], (votes.get(hit[1]) ?? 0) + 1);
  }
  const [best] = [...votes].sort((a, b) => b[1] - a[1]);
  return best?.[0] ?? null;
}

/** The files of a folder that are read when the folder is named: those that their products read. */
export function isKnownName(name: string): boolean {
  return ['drbd.conf', 'ha.cf', 'haresources', 'authkeys', 'keepalived.conf'].includes(name) || /\.res$|^global_common\.conf$|\.keepalived\.conf$/.test(name);
}
