/**
 * keepalived.conf as a tree of statements with places (pure): words against the tables, braces, and what is wrong with either. A missing brace
 * is found where the next block begins that could not be inside, and spoils no more than that. What the statements mean is not known here:
 * keepalived-model.ts reads them.
 */
import type { Place, Report, Values } from './findings.js';
import type { Line, Word } from './keepalived-lines.js';
import { blockWords, type Form, formsOf, homesOf, oldWords } from './keepalived-words.js';
import { placeText } from './sources.js';
import { suggestion } from './suggest.js';

export interface KeepalivedNode {
  readonly word: Word;
  readonly values: readonly Word[];
  readonly condition: string;
  /** null: it has none. */
  readonly block: KeepalivedNode[] | null;
}

interface Open {
  readonly node: KeepalivedNode | null;
  readonly context: string;
  readonly nodes: KeepalivedNode[];
  /** words of this block that are here already; for what may stand once only. */
  readonly seen: Map<string, Place>;
}

const depthMax = 16;
/** Words that may be repeated. */
const repeatable = new Set(['vrrp_instance', 'vrrp_script', 'vrrp_sync_group', 'virtual_server', 'virtual_server_group', 'real_server', 'track_file', 'vrrp_track_file', 'vrrp_track_process', 'track_process', 'track_group', 'bfd_instance', 'static_ipaddress', 'static_routes', 'static_rules', 'static_addresses', 'garp_group', 'global_defs', 'url', 'status_code', 'key', 'process', 'include_check', 'virtual_ipaddress', 'virtual_ipaddress_excluded', 'virtual_routes', 'virtual_rules', 'interface_up_down_delays', 'linkbeat_interfaces', 'TCP_CHECK', 'HTTP_GET', 'SSL_GET', 'SMTP_CHECK', 'DNS_CHECK', 'UDP_CHECK', 'MISC_CHECK', 'PING_CHECK', 'FILE_CHECK', 'BFD_CHECK', 'host', 'regex_options', 'unicast_peer', 'track_script', 'track_interface', 'notification_email', 'lvs_timeouts']);

class Parser {
  readonly #report: Report;
  readonly #stack: Open[] = [{ node: null, context: '', nodes: [], seen: new Map() }];
  /** the last statement that wants a block and has none yet. */
  #pending: { readonly node: KeepalivedNode; readonly context: string } | null = null;
  /** braces of a block that nobody knows. */
  #buried = 0;

  constructor(report: Report) {
    this.#report = report;
  }

  parse(lines: readonly Line[]): KeepalivedNode[] {
    for (const line of lines) this.#line(line);
    this.#dropPending();
    while (this.#stack.length > 1) this.#unclosed();
    return this.#stack[0]?.nodes ?? [];
  }

  get #top(): Open {
    const top = this.#stack.at(-1);
    if (top === undefined) throw new Error('the stack of blocks is empty');
    return top;
  }

  #line({ words, condition }: Line): void {
    let statement: Word[] = [];
    for (const word of words) {
      if (!word.quoted && word.text === '{') {
        if (statement.length > 0) this.#statement(statement, condition, true);
        statement = [];
        this.#open(word);
      } else if (!word.quoted && word.text === '}') {
        if (statement.length > 0) this.#statement(statement, condition, false);
        statement = [];
        this.#close(word);
      } else statement.push(word);
    }
    if (statement.length > 0) this.#statement(statement, condition, false);
  }

  #open(brace: Word): void {
    if (this.#buried > 0) {
      this.#buried += 1;
      return;
    }
    if (this.#pending === null) {
      this.#report('IMPORT_BRACE_UNEXPECTED', brace, { word: '{' });
      this.#buried = 1;
      return;
    }
    if (this.#stack.length > depthMax) {
      this.#report('IMPORT_TOO_DEEP', brace, { depth: depthMax });
      this.#pending = null;
      this.#buried = 1;
      return;
    }
    const { node, context } = this.#pending;
    this.#pending = null;
    this.#stack.push({ node, context, nodes: node.block ?? [], seen: new Map() });
  }

  #close(brace: Word): void {
    if (this.#buried > 0) {
      this.#buried -= 1;
      return;
    }
    this.#dropPending();
    if (this.#stack.length === 1) this.#report('IMPORT_BRACE_EXTRA', brace);
    else this.#stack.pop();
  }

  #dropPending(): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending !== null) this.#report('IMPORT_BRACE_MISSING', pending.node.word, { word: pending.node.word.text });
  }

  #unclosed(): void {
    const open = this.#stack.pop();
    if (open?.node !== null && open !== undefined) this.#report('IMPORT_BRACE_OPEN', open.node.word, { word: [open.node.word, ...open.node.values].map(({ text }) => text).join(' ') });
  }

  /** A block that can not stand here but further out: what is between is not closed. */
  #closeForgotten(word: Word, withBrace: boolean): void {
    const forms = formsOf(this.#top.context);
    if (forms.has(word.text) || word.quoted) return;
    // in blocks of free lines only a brace, or a word of the top of the file, says that a line is none of them
    const isBlock = (form: Form | undefined): boolean => form !== undefined && form.block !== '' && (withBrace || form.named);
    const at = this.#stack.findLastIndex(({ context }, index) => index < this.#stack.length - 1 && isBlock(formsOf(context).get(word.text)));
    if (at === -1) return;
    while (this.#stack.length > at + 1) this.#unclosed();
  }

  #statement(words: readonly Word[], condition: string, withBrace: boolean): void {
    const [word, ...values] = words;
    if (word === undefined) return;
    if (this.#buried > 0) {
      // the next block of the file gets out of what was not understood
      const form = formsOf('').get(word.text);
      if (!withBrace || form?.named !== true || word.quoted) return;
      this.#buried = 0;
    }
    this.#dropPending();
    this.#closeForgotten(word, withBrace);
    const { context, nodes } = this.#top;
    if (context === '=') {
      if (withBrace) {
        this.#report('IMPORT_BRACE_UNEXPECTED', word, { word: word.text });
        this.#bury(word, values);
        return;
      }
      nodes.push({ word, values, condition, block: null });
      return;
    }
    const form = word.quoteAt === -1 ? formsOf(context).get(word.text) : undefined;
    if (form === undefined) {
      this.#unknown(word, context);
      if (withBrace) this.#bury(word, values);
      return;
    }
    this.#known(form, word, values, condition, withBrace);
  }

  /** The brace that follows opens a block whose lines are not looked at. */
  #bury(word: Word, values: readonly Word[]): void {
    this.#pending = { node: { word, values, condition: '', block: [] }, context: '=' };
  }

  #known(form: Form, word: Word, values: readonly Word[], condition: string, withBrace: boolean): void {
    const { nodes, seen } = this.#top;
    const node: KeepalivedNode = { word, values, condition, block: form.block === '' ? null : [] };
    if (condition === '' && !repeatable.has(word.text)) {
      const first = seen.get(word.text);
      if (first !== undefined) this.#report('IMPORT_DUPLICATE', word, { word: word.text, first: placeText(first) });
      else seen.set(word.text, word);
    }
    const old = Object.hasOwn(oldWords, word.text) ? oldWords[word.text] : undefined;
    if (old !== undefined) this.#report('IMPORT_OLD_WORD', word, { word: word.text, what: old[0], hint: old[1] });
    nodes.push(node);
    if (form.block !== '') {
      if (form.named && values.length === 0) this.#report('IMPORT_NAME_MISSING', word, { word: word.text });
      this.#pending = { node, context: form.block };
      return;
    }
    checkForm(form, word, values, this.#report);
    if (withBrace) {
      this.#report('IMPORT_BRACE_UNEXPECTED', word, { word: word.text });
      this.#bury(word, values);
    }
  }

  #unknown(word: Word, context: string): void {
    const where = blockWords[context] ?? context;
    // `notify_"/path/script fault"`: the word is cut off by a quote
    if (word.quoteAt > 0) {
      const head = word.text.slice(0, word.quoteAt);
      const last = word.text.split(/\s+/).at(-1) ?? '';
      this.#report('IMPORT_UNKNOWN_WORD', word, { word: `${head}"`, where, hint: () => cutHint(head, last, context) });
      return;
    }
    const homes = homesOf(word.text);
    const values_: Values =
      homes.length > 0
        ? { word: word.text, where, hint: `It belongs into ${homes.slice(0, 4).map((home) => blockWords[home] ?? home).join(', ')}.` }
        : { word: word.text, where, hint: () => caseHint(word.text, context) };
    this.#report(homes.length > 0 ? 'IMPORT_MISPLACED' : 'IMPORT_UNKNOWN_WORD', word, values_);
  }
}

function cutHint(head: string, last: string, context: string): string {
  const known = [...formsOf(context).keys()];
  const meant = known.find((one) => one === `${head}${last}`) ?? known.find((one) => one === head.replace(/_$/, ''));
  return `Did you mean '${meant ?? known.find((one) => one.startsWith(head)) ?? head}', a blank, and then the quote?`;
}

function caseHint(word: string, context: string): string {
  const known = [...formsOf(context).keys()];
  const same = known.find((one) => one.toLowerCase() === word.toLowerCase());
  return same === undefined ? suggestion(word, known, 'Remove it.') : `Did you mean '${same}'? Capital letters count.`;
}

const booleans = ['on', 'off', 'true', 'false', 'yes', 'no'];

/** How many values a word takes, and of what kind. */
function checkForm({ form, word: name }: Form, word: Word, values: readonly Word[], report: Report): void {
  const [first] = values;
  const most = form === 'f' ? 0 : form === 'S2' ? 2 : form === '*' || form === '+' || form === 'Q' ? Number.POSITIVE_INFINITY : 1;
  const least = form === 'f' || form === 'B' || form === '*' ? 0 : 1;
  if (values.length < least) {
    report('IMPORT_MISSING_VALUE', word, { word: name, what: form === 'Q' ? 'a script' : form.startsWith('N') ? 'a number' : form === 'T' ? 'a time in seconds' : 'a value' });
    return;
  }
  const extra = values[most];
  if (extra !== undefined) report('IMPORT_EXTRA_VALUE', extra, { word: name, what: most === 0 ? 'no value' : most === 1 ? 'one value' : `${most} values`, extra: extra.text });
  if (first === undefined) return;
  if (form === 'B' && !booleans.includes(first.text)) {
    report('IMPORT_RANGE', first, { word: name, value: first.text, what: 'on or off', hint: 'Values: on, off, true, false, yes, no, in small letters.' });
  } else if (form === 'T' && !/^\d{1,9}(?:\.\d{1,6})?$/.test(first.text)) {
    report('IMPORT_RANGE', first, { word: name, value: first.text, what: 'a time in seconds', hint: 'Write a number such as 1 or 0.5, without a unit.' });
  } else if (form.startsWith('N')) checkNumber(form, name, first, report);
}

function checkNumber(form: string, name: string, value: Word, report: Report): void {
  const [, least = '0', most = '0'] = /^N(-?\d+)-(-?\d+)$/.exec(form) ?? [];
  const number = /^-?\d{1,12}$/.test(value.text) ? Number(value.text) : Number.NaN;
  if (number >= Number(least) && number <= Number(most)) return;
  const range = Number(most) > 1_000_000_000 ? `a number from ${least} on` : `a number from ${least} to ${most}`;
  report('IMPORT_RANGE', value, { word: name, value: value.text, what: range, hint: 'keepalived takes its default instead, without stopping.' });
}

/** The tree of a file. */
export function parseKeepalived(lines: readonly Line[], report: Report): KeepalivedNode[] {
  return new Parser(report).parse(lines);
}
