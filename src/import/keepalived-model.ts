/** What a keepalived.conf says about VRRP and load balancing, with places (pure). The lint reads it; so can a mapping. */
import { isIP } from 'node:net';
import type { Report } from './findings.js';
import type { Word } from './keepalived-lines.js';
import type { KeepalivedNode } from './keepalived-parse.js';

export interface VipLine {
  readonly place: Word;
  readonly family: 4 | 6;
  readonly address: string;
  /** null: not given. */
  readonly prefix: number | null;
  /** '' for the interface of the instance. */
  readonly interface: string;
}
export interface TrackedScript {
  readonly place: Word;
  readonly name: string;
  /** null: that of the script. */
  readonly weight: Word | null;
}
export interface ScriptCall {
  /** the word that runs it. */
  readonly keyword: string;
  readonly words: readonly Word[];
}
export interface VrrpInstance {
  readonly place: Word;
  readonly name: string;
  readonly state: Word | null;
  readonly interface: Word | null;
  readonly vrid: Word | null;
  readonly priority: Word | null;
  readonly advertInt: Word | null;
  readonly version: Word | null;
  readonly authentication: { readonly place: Word; readonly type: Word | null; readonly pass: Word | null } | null;
  readonly vips: readonly VipLine[];
  readonly hasVipBlock: boolean;
  readonly scripts: readonly TrackedScript[];
  readonly nopreempt: Word | null;
  readonly preemptDelay: Word | null;
  readonly unicast: boolean;
  readonly smtpAlert: boolean;
  readonly calls: readonly ScriptCall[];
}
export interface VrrpScript {
  readonly place: Word;
  readonly name: string;
  readonly weight: Word | null;
  readonly call: ScriptCall | null;
  readonly user: boolean;
  readonly interval: Word | null;
  readonly timeout: Word | null;
}
export interface SyncGroup {
  readonly place: Word;
  readonly name: string;
  readonly members: readonly Word[];
  readonly scripts: readonly TrackedScript[];
  readonly calls: readonly ScriptCall[];
}
export interface RealServer {
  readonly place: Word;
  readonly name: string;
  readonly port: string;
  readonly calls: readonly ScriptCall[];
}
export interface VirtualServer {
  readonly place: Word;
  readonly name: string;
  readonly port: string;
  readonly kind: Word | null;
  readonly quorum: Word | null;
  readonly hysteresis: Word | null;
  readonly real: readonly RealServer[];
  readonly calls: readonly ScriptCall[];
}
export interface Keepalived {
  readonly path: string;
  readonly instances: readonly VrrpInstance[];
  readonly scripts: readonly VrrpScript[];
  readonly sync: readonly SyncGroup[];
  readonly virtual: readonly VirtualServer[];
  /** every statement, whatever its condition says. */
  readonly all: readonly KeepalivedNode[];
  /** the ids that conditions of the file name. */
  readonly ids: readonly string[];
  readonly version: string;
  readonly mailTo: Word | null;
  readonly smtpAlert: boolean;
  readonly scriptUser: boolean;
  readonly scriptSecurity: boolean;
  readonly calls: readonly ScriptCall[];
}

const scriptWords = new Set(['notify', 'notify_master', 'notify_backup', 'notify_fault', 'notify_stop', 'notify_master_rx_lower_pri', 'startup_script', 'shutdown_script', 'notify_fifo_script', 'vrrp_notify_fifo_script', 'lvs_notify_fifo_script', 'notify_up', 'notify_down', 'quorum_up', 'quorum_down', 'misc_path', 'script']);

/** Statements of a block by their word; the first one counts. */
class Block {
  readonly nodes: readonly KeepalivedNode[];
  readonly #first = new Map<string, KeepalivedNode>();

  constructor(nodes: readonly KeepalivedNode[] | null) {
    this.nodes = nodes ?? [];
    for (const node of this.nodes) if (!this.#first.has(node.word.text)) this.#first.set(node.word.text, node);
  }
  has = (word: string): boolean => this.#first.has(word);
  node = (word: string): KeepalivedNode | null => this.#first.get(word) ?? null;
  word = (word: string): Word | null => this.#first.get(word)?.word ?? null;
  value = (word: string): Word | null => this.#first.get(word)?.values[0] ?? null;
  block = (word: string): Block => new Block(this.#first.get(word)?.block ?? null);
  /** Lines of all blocks of that name. */
  lines = (word: string): Word[][] => this.nodes.filter((node) => node.word.text === word).flatMap((node) => (node.block ?? []).map((line) => [line.word, ...line.values]));
  calls = (): ScriptCall[] => callsOf(this.nodes);
}

/** Scripts of a block and of the blocks in it. */
function callsOf(nodes: readonly KeepalivedNode[]): ScriptCall[] {
  return nodes.flatMap((node) => {
    const own = scriptWords.has(node.word.text) && node.values.length > 0 ? [{ keyword: node.word.text, words: node.values }] : [];
    return [...own, ...callsOf(node.block ?? [])];
  });
}

function vipLine([first, ...rest]: readonly Word[], report: Report): VipLine | null {
  if (first === undefined) return null;
  const [address = '', bits] = first.text.split('/');
  const family = isIP(address);
  const prefix = bits === undefined ? null : Number(bits);
  if ((family !== 4 && family !== 6) || (prefix !== null && !(Number.isInteger(prefix) && prefix >= 1 && prefix <= (family === 4 ? 32 : 128)))) {
    report('IMPORT_ADDRESS', first, { value: first.text });
    return null;
  }
  const at = rest.findIndex((word) => word.text === 'dev');
  return { place: first, family, address: family === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address, prefix, interface: at === -1 ? '' : (rest[at + 1]?.text ?? '') };
}

/** `NAME [weight N]`, one line or several in one. */
function trackedScripts(lines: readonly (readonly Word[])[]): TrackedScript[] {
  const result: TrackedScript[] = [];
  for (const line of lines) {
    for (let index = 0; index < line.length; index++) {
      const place = line[index];
      if (place === undefined) continue;
      const weight = line[index + 1]?.text === 'weight' ? (line[index + 2] ?? null) : null;
      result.push({ place, name: place.text, weight });
      if (line[index + 1]?.text === 'weight') index += 2;
      if (/^(?:no)?reverse$/.test(line[index + 1]?.text ?? '')) index += 1;
    }
  }
  return result;
}

function instance(node: KeepalivedNode, report: Report): VrrpInstance {
  const block = new Block(node.block);
  const auth = block.node('authentication');
  const inner = new Block(auth?.block ?? null);
  const vips = [...block.lines('virtual_ipaddress'), ...block.lines('virtual_ipaddress_excluded')].map((line) => vipLine(line, report)).filter((line) => line !== null);
  return {
    place: node.word,
    name: node.values[0]?.text ?? '',
    state: block.value('state'),
    interface: block.value('interface'),
    vrid: block.value('virtual_router_id'),
    priority: block.value('priority'),
    advertInt: block.value('advert_int'),
    version: block.value('version'),
    authentication: auth === null ? null : { place: auth.word, type: inner.value('auth_type'), pass: inner.value('auth_pass') },
    vips,
    hasVipBlock: block.has('virtual_ipaddress') || block.has('virtual_ipaddress_excluded') || block.has('no_virtual_ipaddress'),
    scripts: trackedScripts(block.lines('track_script')),
    nopreempt: block.word('nopreempt'),
    preemptDelay: block.word('preempt_delay'),
    unicast: block.has('unicast_peer'),
    smtpAlert: block.has('smtp_alert'),
    calls: block.calls(),
  };
}

function script(node: KeepalivedNode): VrrpScript {
  const block = new Block(node.block);
  const call = block.node('script');
  return {
    place: node.values[0] ?? node.word,
    name: node.values[0]?.text ?? '',
    weight: block.value('weight'),
    call: call === null || call.values.length === 0 ? null : { keyword: 'script', words: call.values },
    user: block.has('user'),
    interval: block.value('interval'),
    timeout: block.value('timeout'),
  };
}

function syncGroup(node: KeepalivedNode): SyncGroup {
  const block = new Block(node.block);
  return { place: node.word, name: node.values[0]?.text ?? '', members: block.lines('group').flat(), scripts: trackedScripts(block.lines('track_script')), calls: block.calls() };
}

function virtualServer(node: KeepalivedNode): VirtualServer {
  const block = new Block(node.block);
  const own = new Block(block.nodes.filter(({ word }) => word.text !== 'real_server'));
  const real = block.nodes
    .filter(({ word }) => word.text === 'real_server')
    .map((one): RealServer => ({ place: one.word, name: one.values.map(({ text }) => text).join(' '), port: one.values[1]?.text ?? '', calls: callsOf(one.block ?? []) }));
  return {
    place: node.word,
    name: node.values.map(({ text }) => text).join(' '),
    port: ['group', 'fwmark'].includes(node.values[0]?.text ?? '') ? '' : (node.values[1]?.text ?? ''),
    kind: block.value('lb_kind') ?? block.value('lvs_method'),
    quorum: block.value('quorum'),
    hysteresis: block.value('hysteresis'),
    real,
    calls: own.calls(),
  };
}

/** Only what holds for a config id; null: whatever the condition says. */
export function holding(nodes: readonly KeepalivedNode[], id: string | null): KeepalivedNode[] {
  return nodes
    .filter(({ condition }) => id === null || condition === '' || (condition.startsWith('^') ? condition.slice(1) !== id : condition === id))
    .map((node) => ({ ...node, block: node.block === null ? null : holding(node.block, id) }));
}

/** Reads the tree; `id` is that of the conditions, null when none of them is known; `ids` are all that they name. */
export function modelOf(path: string, all: readonly KeepalivedNode[], ids: readonly string[], id: string | null, report: Report): Keepalived {
  const nodes = holding(all, id);
  const named = (word: string): KeepalivedNode[] => nodes.filter((node) => node.word.text === word);
  const globals = new Block(named('global_defs').flatMap((node) => node.block ?? []));
  return {
    path,
    instances: named('vrrp_instance').map((node) => instance(node, report)),
    scripts: named('vrrp_script').map(script),
    sync: named('vrrp_sync_group').map(syncGroup),
    virtual: named('virtual_server').map(virtualServer),
    all,
    ids,
    version: globals.value('vrrp_version')?.text ?? '2',
    mailTo: globals.lines('notification_email').flat()[0] ?? null,
    smtpAlert: globals.has('smtp_alert') || globals.has('smtp_alert_vrrp'),
    scriptUser: globals.has('script_user'),
    scriptSecurity: globals.has('enable_script_security'),
    calls: globals.calls(),
  };
}
