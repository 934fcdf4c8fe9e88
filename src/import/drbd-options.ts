/** Options of drbd.conf to those of drbdts.yaml: names, units and ranges; each one that is not taken over is named (pure). */
import { type OptionSpec, optionSpec, type OptionValue, optionTable, type Section } from '../config/options.js';
import { formatNumber, parseNumber } from '../config/units.js';
import type { Statement } from './drbd-parse.js';
import { negated, reasonOf, renamed, wordsOfSection } from './drbd-words.js';
import type { Report } from './findings.js';
import { placeText, type Token } from './sources.js';
import { suggestion } from './suggest.js';

export type Options = Partial<Record<Section, Record<string, OptionValue>>>;

const truth: Readonly<Record<string, boolean>> = { yes: true, no: false, true: true, false: false, on: true, off: false };

/** Values that DRBD has and drbdts has not; any other is wrong in both. */
function isDrbdValue(option: string, value: string): boolean {
  if (option.endsWith('-alg')) return /^[a-z0-9()_-]{1,64}$/i.test(value);
  if (option === 'after-sb-0pri') return /^discard-node-\S/.test(value);
  return option === 'rr-conflict' && ['retry-connect', 'auto-discard'].includes(value);
}

function reportChoice(option: string, values: readonly string[], name: Token, place: Token, report: Report): void {
  const known = `Values: ${values.map((one) => (one === '' ? '""' : one)).join(', ')}.`;
  const value = place.text;
  if (isDrbdValue(option, value)) report('IMPORT_VALUE_UNAVAILABLE', place, { word: name.text, value, hint: known });
  else report('IMPORT_VALUE', place, { problem: `${name.text}: unknown value '${value}'`, hint: () => suggestion(value, values, known) });
}

/** The value as it is written into drbdts.yaml, or null after a report. */
function convert(spec: OptionSpec, name: Token, value: Token | undefined, report: Report): OptionValue | null {
  if (value === undefined && spec.kind !== 'boolean') {
    report('IMPORT_MISSING_VALUE', name, { word: name.text, what: 'a value' });
    return null;
  }
  const text = value?.text ?? '';
  const place = value ?? name;
  switch (spec.kind) {
    case 'boolean': {
      // a bare switch says yes
      const known = value === undefined ? true : Object.hasOwn(truth, text) ? truth[text] : undefined;
      if (known === undefined) report('IMPORT_VALUE', place, { problem: `${name.text}: '${text}' is neither yes nor no`, hint: 'Values: yes, no.' });
      return known ?? null;
    }
    case 'number': {
      const parsed = parseNumber(text, spec.unit);
      const hint = `Range ${formatNumber(spec.min, spec.unit)} to ${formatNumber(spec.max, spec.unit)}, default ${formatNumber(spec.default, spec.unit)}.`;
      if (!parsed.ok) report('IMPORT_VALUE', place, { problem: `${name.text}: ${parsed.problem}`, hint });
      else if (parsed.value < spec.min || parsed.value > spec.max) report('IMPORT_VALUE', place, { problem: `${name.text} ${text} is out of range`, hint });
      else return /^\d+$/.test(text) ? parsed.value : text;
      return null;
    }
    case 'enum':
      if (spec.values.includes(text)) return text;
      reportChoice(spec.name, spec.values, name, place, report);
      return null;
    case 'string':
      if (text.length * 3 <= spec.maxBytes || new TextEncoder().encode(text).length <= spec.maxBytes) return text;
      report('IMPORT_VALUE', place, { problem: `${name.text} is longer than ${spec.maxBytes} bytes`, hint: 'Shorten it.' });
      return null;
  }
}

function unknown(section: string, name: Token, report: Report): void {
  const elsewhere = optionTable.find((spec) => spec.name === name.text);
  if (elsewhere !== undefined) {
    report('IMPORT_MISPLACED', name, { word: name.text, where: `the section ${section}`, hint: `It belongs into the section ${elsewhere.section}; the import puts it there.` });
    return;
  }
  report('IMPORT_UNKNOWN_WORD', name, { word: name.text, where: `the section ${section}`, hint: () => suggestion(name.text, wordsOfSection(section), 'Remove it.') });
}

/** The option that a word of a section means today. */
function target(section: string, name: Token, report: Report): { spec: OptionSpec; negative: boolean } | null {
  const key = `${section}.${name.text}`;
  const moved = Object.hasOwn(renamed, key) ? renamed[key] : Object.hasOwn(negated, key) ? negated[key] : undefined;
  const found = moved !== undefined ? optionSpec(...moved) : optionSpec(section as Section, name.text);
  if (found !== undefined) return { spec: found, negative: Object.hasOwn(negated, key) };
  const why = reasonOf(section, name.text);
  if (why !== null) {
    if (why.harmless === true) report('IMPORT_NOTHING_LOST', name, { word: name.text, reason: why.reason });
    else report('IMPORT_NO_EQUIVALENT', name, { word: name.text, reason: why.reason, hint: why.hint });
    return null;
  }
  unknown(section, name, report);
  const elsewhere = optionTable.find((spec) => spec.name === name.text);
  return elsewhere === undefined ? null : { spec: elsewhere, negative: false };
}

/** A handler that talks to a part of heartbeat, which will not be there. */
const asksHeartbeat = (value: OptionValue): boolean => /drbd-peer-outdater|outdate-peer\.sh|dopd/.test(String(value));

function takeOne(section: string, statement: Statement, options: Options, seen: Map<string, Token>, report: Report): void {
  const [name, value, extra] = statement.words;
  if (name === undefined) return;
  if (statement.block !== null) {
    report('IMPORT_BRACE_UNEXPECTED', name, { word: name.text });
    return;
  }
  const first = seen.get(name.text);
  if (first !== undefined) report('IMPORT_DUPLICATE', name, { word: name.text, first: placeText(first) });
  else seen.set(name.text, name);
  const found = target(section, name, report);
  if (found === null) return;
  const { spec, negative } = found;
  if (name.text === 'become-primary-on' && (value?.text === 'both' || extra !== undefined)) {
    report('IMPORT_TWO_PRIMARIES', name);
    return;
  }
  if (extra !== undefined) report('IMPORT_EXTRA_VALUE', extra, { word: name.text, what: 'one value', extra: extra.text });
  const converted = convert(spec, name, value, report);
  if (converted === null) return;
  if (spec.section === 'handlers' && asksHeartbeat(converted)) {
    report('IMPORT_OUTDATER', name, { word: name.text });
    return;
  }
  if (name.text === 'rate') report('IMPORT_RATE', name, { value: value?.text ?? '' });
  // the first one counts in drbd.conf: it refuses the second
  if (first !== undefined) return;
  options[spec.section] = { ...options[spec.section], [spec.name]: negative ? converted !== true : converted };
}

/** Takes a section of options over. */
export function takeSection(section: string, statements: readonly Statement[], options: Options, report: Report): void {
  const seen = new Map<string, Token>();
  for (const statement of statements) takeOne(section, statement, options, seen, report);
}
