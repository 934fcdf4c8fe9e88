/** Configurations for property tests: two hosts `a` and `b`, everything else as a test says. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { parseConfig } from '../../src/config/load.js';
import { type OptionSpec, type OptionValue, optionsOf, type Section } from '../../src/config/options.js';
import type { Config, Problem, ResourceConfig } from '../../src/config/types.js';

/** A value the option takes, in DRBD's own unit. */
export function valueFor(spec: OptionSpec): fc.Arbitrary<OptionValue> {
  switch (spec.kind) {
    case 'number':
      return fc.integer({ min: spec.min, max: spec.max });
    case 'enum':
      return fc.constantFrom(...spec.values);
    case 'boolean':
      return fc.boolean();
    case 'string':
      return fc.string({ unit: 'grapheme-ascii', maxLength: 12 });
  }
}

/** Some options of a section; never those in `leaveOut`, which contradict others. */
export function sectionOf(section: Section, leaveOut: readonly string[] = []): fc.Arbitrary<Record<string, OptionValue>> {
  const model = Object.fromEntries(
    optionsOf(section)
      .filter((spec) => !leaveOut.includes(spec.name))
      .map((spec) => [spec.name, valueFor(spec)]),
  );
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Record<string, OptionValue>>;
}

/** A host entry with one volume of its own. */
export function hostOf(last: number, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { device: '/dev/drbd0', disk: '/dev/sdb1', address: `10.0.0.${last}:7788`, 'meta-disk': 'internal', ...changes };
}

export function load(file: unknown): { config: Config | null; problems: Problem[] } {
  return parseConfig(stringify(file), 'f', null);
}

/** The resource `r0` of a file that has to be good. */
export function goodResource(file: unknown): ResourceConfig {
  const { config, problems } = load(file);
  const resource = config?.resources.find(({ name }) => name === 'r0');
  assert.ok(resource, JSON.stringify(problems));
  return resource;
}
