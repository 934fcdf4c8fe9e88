/** ha.cf: directives with places, and the mistakes that show in one file alone (pure). */
import { isIP } from 'node:net';
import type { Place, Report } from './findings.js';
import { type HostView, isReadable, placeText, type Source, type Token, wordsOf, wordsOfLineMax } from './sources.js';
import { suggestion } from './suggest.js';

export interface TimeValue extends Place {
  readonly ms: number;
  /** as it was written. */
  readonly text: string;
}
export interface Medium {
  readonly kind: 'ucast' | 'bcast' | 'mcast';
  readonly interface: Token;
  /** of the peer, or of either node. */
  readonly address: string;
  readonly group: string;
  readonly ttl: number;
  readonly port: number;
}
export type TimeName = 'keepalive' | 'deadtime' | 'warntime' | 'initdead' | 'deadping';

/** What a file says, in its own terms. */
export interface HaCf {
  readonly path: string;
  readonly times: Map<TimeName, TimeValue>;
  readonly nodes: Token[];
  readonly media: Medium[];
  readonly pings: Token[];
  autoFailback: { readonly value: 'on' | 'off' | 'legacy'; readonly place: Token } | null;
  cluster: Token | null;
  watchdog: Token | null;
  ipfail: Token | null;
  dopd: Token | null;
  stonith: Token | null;
  /** directives as written, by name, to compare the files of two nodes. */
  readonly written: Map<string, { readonly text: string; readonly place: Token }>;
}

const timeNames: readonly string[] = ['keepalive', 'deadtime', 'warntime', 'initdead', 'deadping'];
/** Read, and of no consequence for drbdts. */
const harmless: Readonly<Record<string, string>> = {
  debugfile: 'drbdts logs to the journal',
  logfile: 'drbdts logs to the journal',
  logfacility: 'drbdts logs to the journal',
  use_logd: 'drbdts logs to the journal',
  conn_logd_time: 'drbdts logs to the journal',
  debug: 'drbdts logs to the journal; `global: { log-level: debug }` says more',
  hopfudge: 'heartbeats are not passed on',
  apiauth: 'the control sockets are for root',
  uuidfrom: 'nodes are known by their names',
  msgfmt: 'heartbeats have one form',
  compression: 'heartbeats are small',
  compression_threshold: 'heartbeats are small',
  traditional_compression: 'heartbeats are small',
  rtprio: 'the priority is chosen by drbdts-clusterd',
  realtime: 'the priority is chosen by drbdts-clusterd',
  memreserve: 'memory is taken at the start',
  coredumps: 'systemd decides about core dumps',
  hbgenmethod: 'generations follow from the start of the node',
  max_rexmit_delay: 'heartbeats are not sent again',
  badpack: 'it is for tests',
  hbversion: 'it only prints the version',
};
const withoutEquivalent: Readonly<Record<string, readonly [string, string]>> = {
  serial: ['heartbeats travel over IP', 'Use a second network instead.'],
  baud: ['heartbeats travel over IP', 'Use a second network instead.'],
  hbaping: ['only IP addresses are pinged', 'Name a router in `ping:`.'],
  failfast: ['programs of heartbeat are not started', 'Make it a systemd unit.'],
  apphbd: ['programs do not report to the cluster manager', 'Give the service a monitor.'],
  quorum_server: ['that protocol is not spoken', 'Set up drbdts-witness on a third host.'],
  env: ['services get their environment from their units', 'Set it in the unit or script.'],
};
const known = [...timeNames, 'node', 'udpport', 'bcast', 'udp', 'mcast', 'mcast6', 'ucast', 'ucast6', 'ping', 'ping6', 'ping_group', 'auto_failback', 'nice_failback', 'watchdog', 'respawn', 'crm', 'pacemaker', 'autojoin', 'stonith', 'stonith_host', 'cluster', ...Object.keys(harmless), ...Object.keys(withoutEquivalent)];
const defaultPort = 694;
/** heartbeat's own limits. */
const nodesMax = 100;
const mediaMax = 64;
const pingsMax = 100;
const linesMax = 50_000;
const truth: Readonly<Record<string, boolean>> = { true: true, on: true, yes: true, y: true, '1': true, false: false, off: false, no: false, n: false, '0': false };

/** heartbeat's time: decimals, seconds without a unit. Units are taken at their word; heartbeat itself compares beginnings only. */
export function parseTime(text: string): { readonly ms: number } | { readonly problem: string } {
  const match = /^(\d{1,12}(?:\.\d{0,9})?|\.\d{1,9})(ms|msec|us|usec)?$/i.exec(text);
  if (match === null) return { problem: /^[\d.]+\s*[a-z]+$/i.test(text) ? 'the units are ms and us, none is seconds' : 'a number is expected' };
  const unit = (match[2] ?? 's').toLowerCase();
  const ms = unit === 's' ? Number(match[1]) * 1000 : unit.startsWith('m') ? Number(match[1]) : Math.round(Number(match[1]) / 1000);
  // 0.3 s is 300 ms, not 299.99...
  const whole = Math.round(ms);
  return Math.abs(whole - ms) < 1e-6 ? { ms: whole } : { problem: 'finer than a millisecond' };
}

class Reader {
  readonly result: HaCf;
  readonly #report: Report;
  readonly #host: HostView;
  #port = defaultPort;

  constructor(path: string, host: HostView, report: Report) {
    this.#report = report;
    this.#host = host;
    this.result = { path, times: new Map(), nodes: [], media: [], pings: [], autoFailback: null, cluster: null, watchdog: null, ipfail: null, dopd: null, stonith: null, written: new Map() };
  }

  take(words: readonly Token[]): void {
    const [word, ...values] = words;
    if (word === undefined) return;
    const [first] = values;
    const name = word.text;
    if (Object.hasOwn(harmless, name)) {
      this.#report('IMPORT_NOTHING_LOST', word, { word: name, reason: harmless[name] ?? '' });
      return;
    }
    if (Object.hasOwn(withoutEquivalent, name)) {
      const [reason = '', hint = ''] = withoutEquivalent[name] ?? [];
      this.#report('IMPORT_NOT_HERE', word, { word: name, reason, hint });
      return;
    }
    if (!known.includes(name)) {
      this.#report('IMPORT_UNKNOWN_WORD', word, { word: name, where: 'ha.cf', hint: () => suggestion(name, known, 'Remove the line.') });
      return;
    }
    if (first === undefined) {
      this.#report('IMPORT_MISSING_VALUE', word, { word: name, what: 'a value' });
      return;
    }
    const before = this.result.written.get(name);
    const text = values.map((value) => value.text).join(' ');
    this.result.written.set(name, { text: before === undefined ? text : `${before.text} ${text}`.slice(0, 4000), place: word });
    if (timeNames.includes(name)) this.#time(name as TimeName, word, first, values[1]);
    else this.#other(name, word, first, values);
  }

  #time(name: TimeName, word: Token, value: Token, extra: Token | undefined): void {
    const earlier = this.result.times.get(name);
    if (earlier !== undefined) this.#report('IMPORT_DUPLICATE', word, { word: name, first: placeText(earlier) });
    if (extra !== undefined) this.#report('IMPORT_EXTRA_VALUE', extra, { word: name, what: 'one value', extra: extra.text });
    const parsed = parseTime(value.text);
    if ('problem' in parsed) this.#report('IMPORT_TIME', value, { value: value.text, problem: parsed.problem });
    else this.result.times.set(name, { file: value.file, line: value.line, column: value.column, ms: parsed.ms, text: value.text });
  }

  #flag(value: Token): boolean | null {
    const lower = value.text.toLowerCase();
    if (Object.hasOwn(truth, lower)) return truth[lower] ?? null;
    this.#report('IMPORT_VALUE', value, { problem: `'${value.text}' is neither on nor off`, hint: 'Values: on, off.' });
    return null;
  }

  #other(name: string, word: Token, first: Token, values: readonly Token[]): void {
    const { result } = this;
    switch (name) {
      case 'node':
        for (const value of values) {
          if (result.nodes.length < nodesMax) result.nodes.push(value);
          else this.#report('IMPORT_TOO_MUCH', value, { what: `more than ${nodesMax} nodes` });
        }
        return;
      case 'udpport':
        this.#udpport(word, first);
        return;
      case 'bcast':
      case 'udp':
        for (const one of values) this.#medium({ kind: 'bcast', interface: one, address: '', group: '', ttl: 1, port: this.#port });
        return;
      case 'ucast':
      case 'ucast6':
        this.#ucast(first, values[1], values[2]);
        return;
      case 'mcast':
      case 'mcast6':
        this.#mcast(first, values);
        return;
      case 'ping':
      case 'ping6':
        this.#ping(values);
        return;
      case 'ping_group':
        this.#ping(values.slice(1));
        if (values.length > 2) this.#report('IMPORT_PING_GROUP', word, { name: first.text });
        return;
      case 'auto_failback':
        this.#failback(first);
        return;
      case 'nice_failback':
        this.#report('IMPORT_NICE_FAILBACK', word);
        return;
      case 'respawn':
        this.#respawn(word, values);
        return;
      case 'crm':
      case 'pacemaker':
        if (!/^(off|no|false|n|0)$/i.test(first.text)) this.#report('IMPORT_CRM', word, { word: name });
        return;
      case 'autojoin':
        if (first.text !== 'none') this.#report('IMPORT_NOT_HERE', word, { word: `autojoin ${first.text}`, reason: 'a cluster has the two nodes that are named', hint: 'Name both with `node`.' });
        return;
      case 'stonith':
      case 'stonith_host':
        result.stonith = word;
        this.#report('IMPORT_STONITH', word);
        return;
      case 'watchdog':
        result.watchdog = first;
        return;
      case 'cluster':
        result.cluster = first;
    }
  }

  #medium(medium: Medium): void {
    if (this.result.media.length < mediaMax) this.result.media.push(medium);
    else this.#report('IMPORT_TOO_MUCH', medium.interface, { what: `more than ${mediaMax} ways for heartbeats` });
  }

  #udpport(word: Token, value: Token): void {
    const port = Number(value.text);
    if (!/^\d+$/.test(value.text) || port < 1 || port > 65_535) {
      this.#report('IMPORT_VALUE', value, { problem: `'${value.text}' is not a port`, hint: '1 to 65535; 694 is heartbeat\'s.' });
      return;
    }
    if (this.result.media.length > 0 && port !== this.#port) this.#report('IMPORT_PORT_LATE', word);
    this.#port = port;
  }

  #ucast(name: Token, address: Token | undefined, extra: Token | undefined): void {
    if (address === undefined) {
      this.#report('IMPORT_MISSING_VALUE', name, { word: 'ucast', what: 'an interface and an address' });
      return;
    }
    if (isIP(address.text) === 0) {
      this.#report('IMPORT_VALUE', address, { problem: `'${address.text}' is not a numeric address`, hint: 'Write `ucast eth1 10.1.1.2`.' });
      return;
    }
    if (extra !== undefined) this.#report('IMPORT_EXTRA_VALUE', extra, { word: 'ucast', what: 'an interface and an address', extra: extra.text });
    this.#medium({ kind: 'ucast', interface: name, address: address.text, group: '', ttl: 1, port: this.#port });
  }

  #mcast(name: Token, [, group, port, ttl]: readonly Token[]): void {
    if (group === undefined) {
      this.#report('IMPORT_MISSING_VALUE', name, { word: 'mcast', what: 'an interface, a group, a port, a ttl and a loop flag' });
      return;
    }
    if (isIP(group.text) === 0 || !/^(?:2(?:2[4-9]|3\d)\.|ff)/i.test(group.text)) {
      this.#report('IMPORT_VALUE', group, { problem: `'${group.text}' is not a multicast address`, hint: 'Write, for example, 225.0.0.1.' });
      return;
    }
    const number = Number(port?.text ?? defaultPort);
    const hops = Number(ttl?.text ?? 1);
    if (!Number.isInteger(number) || number < 1 || number > 65_535) {
      this.#report('IMPORT_VALUE', port ?? group, { problem: `'${port?.text}' is not a port`, hint: '1 to 65535.' });
      return;
    }
    if (!Number.isInteger(hops) || hops < 0 || hops > 255) {
      this.#report('IMPORT_VALUE', ttl ?? group, { problem: `'${ttl?.text}' is not a ttl`, hint: '0 to 255.' });
      return;
    }
    this.#medium({ kind: 'mcast', interface: name, address: '', group: group.text, ttl: Math.max(1, hops), port: number });
  }

  #ping(values: readonly Token[]): void {
    for (const value of values) {
      if (isIP(value.text) === 0) this.#report('IMPORT_PING_NAME', value, { value: value.text });
      else if (this.result.pings.length < pingsMax) this.result.pings.push(value);
      else this.#report('IMPORT_TOO_MUCH', value, { what: `more than ${pingsMax} ping targets` });
    }
  }

  #failback(value: Token): void {
    const lower = value.text.toLowerCase();
    if (lower === 'legacy') {
      this.#report('IMPORT_LEGACY_FAILBACK', value);
      this.result.autoFailback = { value: 'legacy', place: value };
      return;
    }
    const flag = this.#flag(value);
    if (flag !== null) this.result.autoFailback = { value: flag ? 'on' : 'off', place: value };
  }

  #respawn(word: Token, [user, path]: readonly Token[]): void {
    if (user === undefined || path === undefined) {
      this.#report('IMPORT_MISSING_VALUE', word, { word: 'respawn', what: 'a user and the path of a program' });
      return;
    }
    const program = path.text.slice(path.text.lastIndexOf('/') + 1);
    if (this.#host.path(path.text) === null) this.#report('IMPORT_PATH_MISSING', path, { path: path.text });
    if (program === 'ipfail') {
      this.result.ipfail = word;
      this.#report('IMPORT_NOTHING_LOST', word, { word: 'respawn ipfail', reason: 'drbdts-clusterd looks at the ping targets itself' });
    } else if (program === 'dopd') {
      this.result.dopd = word;
      this.#report('IMPORT_NOT_HERE', word, { word: 'respawn dopd', reason: 'heartbeat does not carry the message that outdates the peer', hint: 'Set up an arbiter, which does that and more.' });
    } else this.#report('IMPORT_NOT_HERE', word, { word: `respawn ${program}`, reason: 'programs are not started by the cluster manager as such', hint: 'Make it a systemd unit.' });
  }
}

/** The words of a line without its comment; `//` is reported and ends the line, because heartbeat would take what follows for values. */
export function lineWords(source: Source, line: number, text: string, separators: RegExp, report: Report): Token[] {
  const words = wordsOf(source.path, line, text.replace(/#.*$/s, ''), separators);
  const last = words.at(-1);
  if (words.length >= wordsOfLineMax && last !== undefined) report('IMPORT_TOO_MUCH', last, { what: `a line of more than ${wordsOfLineMax} words` });
  const slashes = words.findIndex((word) => word.text.startsWith('//'));
  if (slashes === -1) return words;
  const at = words[slashes];
  if (at !== undefined) report('IMPORT_SLASH_COMMENT', at, { product: 'heartbeat' });
  return words.slice(0, slashes);
}

/** Lines without their line ends; Windows ones are reported once. */
export function linesOf(source: Source, report: Report): string[] {
  const lines = source.text.split('\n');
  const crlf = lines.findIndex((line) => line.endsWith('\r'));
  if (crlf !== -1) report('IMPORT_LINE_ENDS', { file: source.path, line: crlf + 1, column: (lines[crlf]?.length ?? 1) }, { file: source.path });
  if (lines.length > linesMax) {
    report('IMPORT_TOO_MUCH', { file: source.path, line: linesMax + 1, column: 1 }, { what: `more than ${linesMax} lines` });
    lines.length = linesMax;
  }
  return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
}

const seconds = (time: { ms: number }): string => (time.ms % 1000 === 0 ? `${time.ms / 1000}s` : `${time.ms}ms`);

/** heartbeat's defaults for what is not written. */
export function effectiveTimes(times: ReadonlyMap<TimeName, TimeValue>): Record<TimeName, number> {
  const keepalive = times.get('keepalive')?.ms ?? 1000;
  const deadtime = times.get('deadtime')?.ms ?? 30_000;
  const initdead = deadtime < 6000 ? 12_000 : deadtime > 10_000 ? deadtime : 2 * deadtime;
  return {
    keepalive,
    deadtime,
    warntime: times.get('warntime')?.ms ?? Math.round(deadtime / 2),
    initdead: times.get('initdead')?.ms ?? initdead,
    deadping: times.get('deadping')?.ms ?? deadtime,
  };
}

function checkTimes({ times }: HaCf, report: Report): void {
  const all = effectiveTimes(times);
  const [deadtime, warntime, initdead, keepalive] = [times.get('deadtime'), times.get('warntime'), times.get('initdead'), times.get('keepalive')];
  const values = { deadtime: seconds({ ms: all.deadtime }), warntime: seconds({ ms: all.warntime }), initdead: seconds({ ms: all.initdead }), keepalive: seconds({ ms: all.keepalive }) };
  const dead = deadtime ?? keepalive;
  if (dead !== undefined && all.deadtime <= 2 * all.keepalive) report('IMPORT_DEADTIME', dead, values);
  else if (dead !== undefined && all.deadtime < 4 * all.keepalive) report('IMPORT_DEADTIME_TIGHT', dead, values);
  const warn = warntime ?? deadtime;
  if (warn !== undefined && all.warntime >= all.deadtime) report('IMPORT_WARNTIME', warn, values);
  else if (warntime !== undefined && all.warntime < 2 * all.keepalive) report('IMPORT_WARNTIME_LOW', warntime, values);
  if (initdead !== undefined && all.initdead < all.deadtime) report('IMPORT_INITDEAD', initdead, values);
}

/** Reads one ha.cf. */
export function readHaCf(source: Source, host: HostView, report: Report): HaCf {
  const reader = new Reader(source.path, host, report);
  const { result } = reader;
  if (!isReadable(source, report)) return result;
  for (const [index, text] of linesOf(source, report).entries()) reader.take(lineWords(source, index + 1, text, /[^\s,]+/g, report));
  checkTimes(result, report);
  const top = { file: source.path, line: 1, column: 1 };
  if (result.nodes.length === 0) report('IMPORT_NO_NODES', top);
  if (result.media.length === 0) report('IMPORT_NO_MEDIUM', top);
  const [only] = result.media;
  if (only !== undefined && new Set(result.media.map((medium) => medium.interface.text)).size === 1) report('IMPORT_ONE_MEDIUM', only.interface);
  if (result.ipfail !== null && result.pings.length === 0) report('IMPORT_IPFAIL_ALONE', result.ipfail);
  if (result.ipfail === null && result.pings[0] !== undefined) report('IMPORT_PING_ALONE', result.pings[0]);
  return result;
}

/** Own name: heartbeat compares without regard to case. */
export function checkOwnNode(nodes: readonly Token[], host: HostView, report: Report): void {
  const [first] = nodes;
  if (first === undefined || nodes.some((node) => node.text.toLowerCase() === host.node.toLowerCase())) return;
  report('IMPORT_NODE_NOT_HERE', first, { node: host.node, nodes: nodes.slice(0, 8).map(({ text }) => text).join(', ') });
}

/** What must be the same on both nodes. Addresses of ucast are those of the other node, and what is logged where is a matter of taste. */
export function compareHaCf(a: HaCf, b: HaCf, report: Report): void {
  const own = new Set(['ucast', 'ucast6', 'watchdog', 'stonith', 'stonith_host']);
  for (const [name, { text, place }] of b.written) {
    const other = a.written.get(name);
    if (own.has(name) || other?.text === text) continue;
    report('IMPORT_FILES_DIFFER', place, { what: name, other: other === undefined ? a.path : placeText(other.place), value: other?.text ?? 'nothing' });
  }
  for (const [name, { text, place }] of a.written) {
    if (!own.has(name) && !b.written.has(name)) report('IMPORT_FILES_DIFFER', place, { what: `${name} ${text}`, other: b.path, value: 'nothing' });
  }
}
