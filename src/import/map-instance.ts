/** vrrp_instance, vrrp_sync_group, vrrp_script and what they track, as values of `vrrp:` (pure). */
import { isIP } from 'node:net';
import type { Place } from './findings.js';
import type { Word } from './keepalived-lines.js';
import type { KeepalivedNode } from './keepalived-parse.js';
import type { AddressDraft, InstanceDraft, NamedDraft, Values } from './vrrp-draft.js';
import { duration, nameOf, Section, type Walk, weightAt } from './vrrp-walk.js';

const dayMs = 86_400_000;
const passwordBytesMax = 8;

/** What of the rest of the file an instance depends on. */
export interface Surroundings {
  readonly globals: Section;
  /** `NAME` or `NAME:GROUP`, '' for that of the process. */
  readonly scriptUser: string;
  /** where changes are written, null for nowhere. */
  readonly fifo: Word | null;
  readonly defaultInterface: string;
  readonly scripts: ReadonlyMap<string, NamedDraft>;
  readonly files: ReadonlyMap<string, { readonly path: string; readonly weight: number | null; readonly reverse: boolean }>;
  readonly processes: ReadonlyMap<string, Readonly<Record<string, unknown>> | null>;
}

/** root without a group is what drbdts-clusterd runs as. */
export const accountOf = (words: readonly Word[]): string => {
  const text = words.slice(0, 2).map((word) => word.text).join(':');
  return text === 'root' || !/^[A-Za-z0-9_][A-Za-z0-9_.-]*(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/.test(text) ? '' : text;
};

/** The text of a script for the shell. */
function commandOf(words: readonly Word[], walk: Walk): string {
  const [first] = words;
  const text = words.map((word) => word.text).join(' ').trim();
  if (first === undefined || text === '') return '';
  if (text.includes('/dev/tcp/')) {
    walk.report('IMPORT_BASH', first, { command: text });
    return `bash -c '${text.replaceAll("'", "'\\''")}'`;
  }
  if (/[$`;&|<>*?~()]/.test(text)) walk.report('IMPORT_SHELL', first, { command: text });
  return text;
}

const put = (values: Values, key: string, value: unknown, place: Place): void => {
  if (value !== null && value !== undefined && value !== '') values.set(key, { value, place });
};

// --- scripts ---------------------------------------------------------------------------------------------------------------------------------

export function mapScript(node: KeepalivedNode, scriptUser: string, walk: Walk): NamedDraft | null {
  const section = new Section(node.block ?? [], walk);
  const values: Values = new Map();
  const call = section.first('script');
  const set = (key: string, word: string, value: unknown): void => put(values, key, value, section.first(word)?.word ?? node.word);
  set('command', 'script', commandOf(call?.values ?? [], walk));
  const time = (word: string): string | null => {
    // 0 counts as not given
    const ms = Number(section.value(word)?.text ?? 0) === 0 ? null : section.time(word, 10, dayMs);
    return ms === null ? null : duration(ms);
  };
  set('interval', 'interval', time('interval'));
  set('timeout', 'timeout', time('timeout'));
  const given = section.first('weight');
  if (given !== null) {
    const { weight, reverse } = weightAt([given.word, ...given.values], 0, walk.report);
    set('weight', 'weight', weight);
    if (reverse) set('reverse', 'weight', 'yes');
  }
  set('rise', 'rise', section.number('rise', 1, 1000));
  set('fall', 'fall', section.number('fall', 1, 1000));
  if (section.flag('init_fail') === true) set('init-fail', 'init_fail', 'yes');
  set('user', 'user', accountOf(section.first('user')?.values ?? []) || (section.first('user') === null ? scriptUser : ''));
  section.end();
  const name = nameOf(node.values[0], walk.report);
  if (!values.has('command')) {
    walk.report('IMPORT_LEFT_OUT', node.values[0] ?? node.word, { what: `vrrp_script ${name}`, reason: 'it has no script', hint: 'Add `script`.' });
    return null;
  }
  return { name, place: node.values[0] ?? node.word, values };
}

// --- what is tracked -------------------------------------------------------------------------------------------------------------------------

/** Names in a block, each with its weight; one line may hold several. */
function uses(lines: readonly (readonly Word[])[], walk: Walk): { readonly place: Word; readonly weight: number | null; readonly reverse: boolean }[] {
  return lines.flatMap((line) => {
    const found: { place: Word; weight: number | null; reverse: boolean }[] = [];
    for (let index = 0; index < line.length; ) {
      const place = line[index];
      if (place === undefined) break;
      const { weight, reverse, next } = weightAt(line, index + 1, walk.report);
      found.push({ place, weight, reverse });
      index = next;
    }
    return found;
  });
}

function mapTracks(section: Section, around: Surroundings, ownInterface: string, walk: Walk): { readonly list: unknown[]; readonly place: Place | null } {
  const list: unknown[] = [];
  const places: Place[] = [];
  const seen = new Set<string>();
  const use = (entry: Readonly<Record<string, unknown>>, weight: number | null, reverse: boolean, place: Word): void => {
    const whole = { ...entry, ...(weight === null ? {} : { weight }), ...(reverse ? { reverse: 'yes' } : {}) };
    const key = JSON.stringify(whole);
    if (seen.has(key)) return;
    seen.add(key);
    places.push(place);
    list.push(whole);
  };
  for (const { place, weight, reverse } of uses(section.lines('track_script'), walk)) {
    // one that is not defined has its error from the lint
    if (around.scripts.has(place.text)) use({ script: around.scripts.get(place.text)?.name }, weight, reverse, place);
  }
  for (const { place, weight, reverse } of uses(section.lines('track_interface'), walk)) {
    if (place.text === ownInterface) walk.report('IMPORT_NOTHING_LOST', place, { word: place.text, reason: 'the own interface is tracked always, and keepalived overlooks this line, too' });
    else use({ interface: place.text }, weight, reverse, place);
  }
  for (const { place, weight, reverse } of uses(section.lines('track_process'), walk)) {
    const process = around.processes.get(place.text);
    if (process === undefined) walk.report('IMPORT_SCRIPT_UNKNOWN', place, { kind: 'vrrp_track_process', name: place.text, hint: 'Add it, or remove the line.' });
    else if (process !== null) use(process, weight ?? (process['weight'] as number | undefined) ?? null, reverse || process['reverse'] === 'yes', place);
  }
  for (const { place, weight, reverse } of uses(section.lines('track_file'), walk)) {
    const file = around.files.get(place.text);
    if (file === undefined) walk.report('IMPORT_SCRIPT_UNKNOWN', place, { kind: 'track_file', name: place.text, hint: 'Add it, or remove the line.' });
    else use({ file: file.path }, weight ?? file.weight, weight === null ? file.reverse : reverse, place);
  }
  return { list, place: places[0] ?? null };
}

/** The path and weight of a track_file block; null when it names no path. */
export function mapTrackFile(node: KeepalivedNode, walk: Walk): { readonly path: string; readonly weight: number | null; readonly reverse: boolean } | null {
  const section = new Section(node.block ?? [], walk);
  const path = section.value('file');
  const given = section.first('weight');
  // here the number stands right behind the word
  const weight = given === null ? { weight: null, reverse: false } : weightAt([given.word, ...given.values], 0, walk.report);
  section.end();
  if (path?.text.startsWith('/') === true) return { path: path.text, weight: weight.weight, reverse: weight.reverse };
  walk.report('IMPORT_LEFT_OUT', path ?? node.word, { what: `track_file ${node.values[0]?.text ?? ''}`, reason: 'it names no file by its full path', hint: 'Add `file "/PATH"`.' });
  return null;
}

/** An entry of `track:`; null where drbdts could only do something else. */
export function mapTrackProcess(node: KeepalivedNode, walk: Walk): Readonly<Record<string, unknown>> | null {
  const section = new Section(node.block ?? [], walk);
  const command = section.first('process');
  const given = section.first('weight');
  const { weight, reverse } = given === null ? { weight: null, reverse: false } : weightAt([given.word, ...given.values], 0, walk.report);
  const quorum = section.number('quorum', 1, 65_535);
  const whole = section.flag('full_command') === true;
  const words = command?.values.map(({ text }) => text) ?? [];
  const limited = (node.block ?? []).find(({ word }) => ['quorum_max', 'param_match'].includes(word.text));
  section.end();
  const name = whole ? words.join(' ') : (words[0] ?? '');
  const reason = name === '' ? 'it names no process' : limited !== undefined ? `it depends on ${limited.word.text}` : '';
  if (reason !== '') {
    walk.report('IMPORT_LEFT_OUT', limited?.word ?? node.word, { what: `vrrp_track_process ${node.values[0]?.text ?? ''}`, reason, hint: 'Write a script that looks for the process.' });
    return null;
  }
  const [, argument] = command?.values ?? [];
  if (!whole && argument !== undefined) walk.report('IMPORT_NOTHING_LOST', argument, { word: argument.text, reason: 'without param_match keepalived does not compare arguments' });
  return { process: name, ...(quorum === null || quorum === 1 ? {} : { quorum }), ...(whole ? { 'full-command': 'yes' } : {}), ...(weight === null ? {} : { weight }), ...(reverse ? { reverse: 'yes' } : {}) };
}

// --- notify ----------------------------------------------------------------------------------------------------------------------------------

const notifyWords = { notify_master: 'master', notify_backup: 'backup', notify_fault: 'fault', notify_stop: 'stop', notify: 'any', notify_master_rx_lower_pri: 'master-rx-lower-pri' } as const;

function mapNotify(section: Section, around: Surroundings, values: Values, walk: Walk): void {
  let first: string | null = null;
  let firstPlace: Place | null = null;
  for (const [word, key] of Object.entries(notifyWords)) {
    const node = section.first(word);
    const [script, ...account] = node?.values ?? [];
    if (node === null || script === undefined) continue;
    put(values, `notify.${key}`, commandOf([script], walk), node.word);
    const user = account.length > 0 ? accountOf(account) : around.scriptUser;
    first ??= user;
    firstPlace ??= node.word;
    if (user !== first) walk.report('IMPORT_SCRIPT_USERS', account[0] ?? node.word, { keyword: word, user: user || 'root', first: first || 'root' });
  }
  if (firstPlace !== null) put(values, 'notify.user', first, firstPlace);
  if (around.fifo !== null) put(values, 'notify.fifo', around.fifo.text, around.fifo);
  const own = section.flag('notify_priority_changes');
  const priorities = own ?? around.globals.flag('vrrp_notify_priority_changes');
  if (priorities === true && around.fifo !== null) put(values, 'notify.fifo-priorities', 'yes', around.fifo);
  const deleted = section.first('notify_deleted');
  if (deleted !== null) walk.report('IMPORT_NOTHING_LOST', deleted.word, { word: 'notify_deleted', reason: 'an instance that is gone has its `stop` script called' });
}

// --- instances -------------------------------------------------------------------------------------------------------------------------------

const plain = (address: string): string => (isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address);

/** Options of an address that take a value, which is not another option. */
const valued = new Set(['brd', 'broadcast', 'scope', 'peer', 'preferred_lft', 'track_group']);

function mapAddress(line: readonly Word[], ownInterface: string, advertised: boolean, walk: Walk): AddressDraft | null {
  const [place, ...rest] = line;
  if (place === undefined) return null;
  const [address = '', bits] = place.text.split('/');
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? most : Number(bits);
  // what is no address has its error from the model
  if (family === 0 || !(Number.isInteger(prefix) && prefix >= 1 && prefix <= most)) return null;
  const at = rest.findIndex(({ text }) => text === 'dev');
  const dev = at === -1 ? '' : (rest[at + 1]?.text ?? '');
  let label = '';
  for (let index = 0; index < rest.length; index++) {
    const [word, value] = [rest[index], rest[index + 1]];
    if (word === undefined) break;
    if (word.text === 'label' && value !== undefined) {
      const named = `${value.text}:`.startsWith(`${dev || ownInterface}:`);
      const problem = family === 6 ? 'IPv6 addresses have none' : value.text.length > 15 ? 'it is longer than 15 characters' : named ? '' : 'it does not begin with the name of the interface';
      if (problem === '') label = value.text;
      else walk.report('IMPORT_VIP_LABEL', value, { value: value.text, problem });
    } else if (word.text !== 'dev' && !(word.text === 'scope' && value?.text === 'global')) {
      walk.report('IMPORT_ADDRESS_OPTION', word, { option: valued.has(word.text) ? `${word.text} ${value?.text ?? ''}` : word.text });
    }
    if (['dev', 'label'].includes(word.text) || valued.has(word.text)) index += 1;
  }
  return { address: plain(address), prefix, interface: dev === ownInterface ? '' : dev, label, advertised, place };
}

/** The family of an instance is that of its first address. */
function mapAddresses(section: Section, ownInterface: string, taken: Map<string, Place>, walk: Walk): AddressDraft[] {
  const read = (word: string, advertised: boolean): AddressDraft[] => section.lines(word).flatMap((line) => mapAddress(line, ownInterface, advertised, walk) ?? []);
  const all = [...read('virtual_ipaddress', true), ...read('virtual_ipaddress_excluded', false)];
  const family = isIP((all.find(({ advertised }) => advertised) ?? all[0])?.address ?? '');
  return all.filter(({ address, advertised, place }) => {
    // a second time has its error from the lint
    if (taken.has(address)) return false;
    if (advertised && isIP(address) !== family) {
      walk.report('IMPORT_LEFT_OUT', place, { what: address, reason: 'an advert names addresses of one family, and keepalived leaves it out, too', hint: 'Put it into virtual_ipaddress_excluded, or make an instance of its own for it.' });
      return false;
    }
    taken.set(address, place);
    return true;
  });
}

function mapPassword(section: Section, version: 2 | 3, values: Values, walk: Walk): void {
  const node = section.first('authentication');
  if (node === null) return;
  const inner = new Section(node.block ?? [], walk);
  const [type, pass] = [inner.value('auth_type'), inner.value('auth_pass')];
  inner.end();
  if (type?.text === 'AH') walk.report('IMPORT_AUTH_AH', type);
  if (type?.text !== 'PASS' || pass === null || version === 3) return;
  let text = pass.text;
  while (Buffer.byteLength(text) > passwordBytesMax) text = [...text].slice(0, -1).join('');
  put(values, 'password', text, pass);
}

function mapAnnounce(section: Section, globals: Section, values: Values, place: Place): void {
  const times = { repeat: 'garp_master_delay', 'lower-repeat': 'garp_lower_prio_delay', refresh: 'garp_master_refresh' } as const;
  const counts = { count: 'garp_master_repeat', 'lower-count': 'garp_lower_prio_repeat', 'refresh-count': 'garp_master_refresh_repeat' } as const;
  if (globals.flag('vrrp_min_garp') === true) {
    put(values, 'announce.count', 1, place);
    put(values, 'announce.repeat', '0s', place);
  }
  for (const [key, word] of Object.entries(counts)) {
    const [own, general] = [section.number(word, key === 'lower-count' ? 0 : 1, 1000), globals.number(`vrrp_${word}`, key === 'lower-count' ? 0 : 1, 1000)];
    put(values, `announce.${key}`, own ?? general, section.first(word)?.word ?? place);
  }
  for (const [key, word] of Object.entries(times)) {
    const ms = section.time(word, 0, dayMs) ?? globals.time(`vrrp_${word}`, 0, dayMs);
    put(values, `announce.${key}`, ms === null ? null : duration(ms), section.first(word)?.word ?? place);
  }
  const [arp, neighbour] = [globals.time('vrrp_garp_interval', 0, 60_000), globals.time('vrrp_gna_interval', 0, 60_000)];
  const gap = arp ?? neighbour;
  put(values, 'announce.gap', gap === null ? null : duration(gap), place);
}

function mapPreempt(section: Section, priority: number, values: Values): void {
  const nopreempt = section.first('nopreempt');
  const delayMs = section.time('preempt_delay', 0, 1_000_000);
  // keepalived overlooks both with state MASTER, as the lint says, and the first for an owner
  if (section.value('state')?.text === 'MASTER') return;
  if (nopreempt !== null && priority !== 255) put(values, 'preempt', 'no', nopreempt.word);
  else if (delayMs !== null && delayMs > 0) put(values, 'preempt-delay', duration(delayMs), section.first('preempt_delay')?.word ?? section.first('state')?.word ?? { file: '', line: 1, column: 1 });
}

/** null: multicast. */
function mapUnicast(section: Section, globals: Section, values: Values, place: Place, walk: Walk): string[] | null {
  const block = section.first('unicast_peer');
  const lines = section.lines('unicast_peer');
  const ttl = section.number('unicast_ttl', 1, 255);
  const checked = section.flag('check_unicast_src') ?? globals.flag('vrrp_check_unicast_src') ?? false;
  const least: number[] = [];
  const peers = lines.flatMap(([first, ...rest]) => {
    for (let index = 0; index < rest.length; index += 2) {
      const [word, value] = [rest[index], rest[index + 1]];
      if (word?.text === 'min_ttl' && /^\d{1,3}$/.test(value?.text ?? '')) least.push(Number(value?.text));
      else if (word !== undefined) walk.report('IMPORT_ADDRESS_OPTION', word, { option: `${word.text} ${value?.text ?? ''}`.trim() });
    }
    if (first === undefined) return [];
    if (isIP(first.text) !== 0) return [plain(first.text)];
    walk.report('IMPORT_ADDRESS', first, { value: first.text });
    return [];
  });
  if (block === null || peers.length === 0) return null;
  put(values, 'unicast.ttl', ttl, section.first('unicast_ttl')?.word ?? place);
  if (least.length > 0) put(values, 'unicast.min-ttl', Math.min(255, Math.max(1, Math.min(...least))), block.word);
  if (!checked && least.length === 0) put(values, 'unicast.check-source', 'no', block.word);
  return [...new Set(peers)];
}

/** Version 2 counts whole seconds, version 3 hundredths. */
function mapInterval(section: Section, version: 2 | 3, values: Values, walk: Walk): void {
  const word = section.value('advert_int');
  if (word === null || !/^\d{1,9}(?:\.\d{1,6})?$/.test(word.text)) return;
  const ms = Number(word.text) * 1000;
  const [step, most] = version === 2 ? [1000, 255_000] : [10, 40_950];
  const written = Math.min(most, Math.max(step, Math.round(ms / step) * step));
  if (written !== ms) walk.report('IMPORT_TIME_RANGE', word, { word: 'advert_int', value: word.text, range: `version ${version}: steps of ${duration(step)} up to ${duration(most)}`, written: duration(written) });
  put(values, 'advert-interval', duration(written), word);
}

/** `taken` are the addresses of the instances before. */
export function mapInstance(node: KeepalivedNode, priority: number, version: 2 | 3, around: Surroundings, taken: Map<string, Place>, walk: Walk): InstanceDraft {
  const section = new Section(node.block ?? [], walk);
  const { globals } = around;
  const place = node.word;
  const values: Values = new Map();
  const own = (word: string): Place => section.first(word)?.word ?? place;
  for (const word of ['state', 'priority', 'version', 'no_virtual_ipaddress']) section.all(word);
  const ownInterface = section.value('interface')?.text ?? around.defaultInterface;
  put(values, 'version', version, own('version'));
  mapInterval(section, version, values, walk);
  mapPassword(section, version, values, walk);
  const addresses = mapAddresses(section, ownInterface, taken, walk);
  const family = isIP((addresses.find(({ advertised }) => advertised) ?? addresses[0])?.address ?? '');
  const peers = mapUnicast(section, globals, values, place, walk);
  const general = [globals.value('vrrp_mcast_group4'), globals.value('vrrp_mcast_group6')];
  const group = section.value('mcast_dst_ip') ?? general[family === 6 ? 1 : 0] ?? null;
  if (peers === null && group !== null && isIP(group.text) === family) put(values, 'multicast-group', plain(group.text), group);
  const sources = [section.value('mcast_src_ip'), section.value('unicast_src_ip')];
  const source = (peers === null ? sources[0] : (sources[1] ?? sources[0]))?.text ?? '';
  if ((section.flag('v3_checksum_as_v2') ?? globals.flag('v3_checksum_as_v2')) === true && version === 3 && family === 4) put(values, 'checksum', 'rfc9568', own('v3_checksum_as_v2'));
  mapPreempt(section, priority, values);
  const startMs = globals.time('vrrp_startup_delay', 0, 3_600_000);
  put(values, 'start-delay', startMs === null || startMs === 0 ? null : duration(startMs), place);
  put(values, 'down-adverts', section.number('down_timer_adverts', 1, 100) ?? globals.number('vrrp_down_timer_adverts', 1, 100), own('down_timer_adverts'));
  if ((section.flag('lower_prio_no_advert') ?? globals.flag('vrrp_lower_prio_no_advert')) === true) put(values, 'answer-lower', 'no', own('lower_prio_no_advert'));
  if ((section.flag('higher_prio_send_advert') ?? globals.flag('vrrp_higher_prio_send_advert')) === true) put(values, 'answer-higher', 'yes', own('higher_prio_send_advert'));
  if ((section.flag('owner_ignore_adverts') ?? globals.flag('vrrp_owner_ignore_adverts')) === true) put(values, 'owner-ignores-adverts', 'yes', own('owner_ignore_adverts'));
  if (section.flag('dont_track_primary') === true) put(values, 'track-primary', 'no', own('dont_track_primary'));
  mapAnnounce(section, globals, values, place);
  const tracks = mapTracks(section, around, ownInterface, walk);
  if (tracks.list.length > 0) put(values, 'track', tracks.list, tracks.place ?? place);
  mapNotify(section, around, values, walk);
  const routerId = section.number('virtual_router_id', 1, 255);
  section.end();
  return { name: nameOf(node.values[0], walk.report), place, routerId, priority, interface: ownInterface, source: isIP(source) === 0 ? '' : plain(source), peers, addresses, values };
}

/** `known` are the instances that are in the result, by their name there. */
export function mapSyncGroup(node: KeepalivedNode, known: ReadonlyMap<string, string>, taken: Set<string>, around: Surroundings, walk: Walk): NamedDraft | null {
  const section = new Section(node.block ?? [], walk);
  const values: Values = new Map();
  const name = nameOf(node.values[0], walk.report);
  const named = [...new Set(section.lines('group').flat().map(({ text }) => text))];
  const instances = named.flatMap((text) => known.get(text) ?? []).filter((one) => !taken.has(one));
  put(values, 'instances', instances, section.first('group')?.word ?? node.word);
  if (section.flag('sync_group_tracking_weight') === true) put(values, 'tracking-weight', 'yes', section.first('sync_group_tracking_weight')?.word ?? node.word);
  const tracks = mapTracks(section, around, '', walk);
  if (tracks.list.length > 0) put(values, 'track', tracks.list, tracks.place ?? node.word);
  mapNotify(section, around, values, walk);
  section.end();
  if (instances.length < 2) {
    walk.report('IMPORT_LEFT_OUT', node.word, { what: `vrrp_sync_group ${name}`, reason: 'it has fewer than two instances that are in the result and in no other group', hint: 'Correct its `group`; an instance belongs to one group at most.' });
    return null;
  }
  for (const one of instances) taken.add(one);
  return { name, place: node.values[0] ?? node.word, values };
}
