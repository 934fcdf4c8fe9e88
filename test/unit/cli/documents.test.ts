/** What is installed beside the command line agrees with the command table. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { balancingWords } from '../../../src/config/balancing-schema.js';
import { clusterWords } from '../../../src/config/cluster-schema.js';
import { parseConfig } from '../../../src/config/load.js';
import { vrrpWords } from '../../../src/config/vrrp-schema.js';
import { optionTable } from '../../../src/config/options.js';
import type { Command } from 'commander';
import { bashCompletion } from '../../../src/cli/completion.js';
import { createProgram } from '../../../src/cli/program.js';

const read = (path: string): string => readFileSync(new URL(`../../../../resources/${path}`, import.meta.url), 'utf8');

const program = createProgram('0.1.0', () => {
  throw new Error('no command runs here');
}).command;

interface Leaf {
  readonly name: string;
  readonly command: Command;
}

const leaves: readonly Leaf[] = program.commands.flatMap((command): Leaf[] =>
  command.commands.length === 0
    ? [{ name: command.name(), command }]
    : command.commands.filter((sub) => sub.name() !== 'help').map((sub) => ({ name: `${command.name()} ${sub.name()}`, command: sub })),
);

test('resources/completion/drbdts.bash is what `drbdts completion bash` prints', () => {
  assert.equal(read('completion/drbdts.bash'), bashCompletion(program));
});

test('commands.md has every command with its description and options', () => {
  const text = read('docs/commands.md');
  for (const { name, command } of leaves) {
    const start = text.indexOf(`\n### ${name}\n`);
    assert.notEqual(start, -1, name);
    const section = text.slice(start + 1, text.indexOf('\n##', start + 2) + 1 || undefined).toLowerCase();
    assert.ok(section.includes(command.description().toLowerCase()), `description of ${name}`);
    for (const option of command.options) assert.ok(section.includes(option.flags.toLowerCase()), `${name} ${option.flags}`);
  }
});

test('drbdts.8 has every command with its options', () => {
  const text = read('man/drbdts.8');
  for (const { name, command } of leaves) {
    const start = text.search(new RegExp(`^\\.It Cm ${name}( |$)`, 'm'));
    assert.notEqual(start, -1, name);
    const end = text.indexOf('\n.It Cm ', start + 1);
    const section = text.slice(start, end === -1 ? undefined : end);
    for (const option of command.options) assert.ok(section.includes(`Fl Fl ${option.long?.slice(2)}`), `${name} ${option.flags}`);
  }
});

test('drbdts.yaml.5 has every option of the configuration', () => {
  const text = read('man/drbdts.yaml.5');
  for (const { section, name } of optionTable) {
    const start = text.indexOf(`.Ss Section ${section}\n`);
    assert.notEqual(start, -1, section);
    const end = text.indexOf('\n.Ss ', start + 1);
    assert.match(text.slice(start, end === -1 ? undefined : end), new RegExp(`^\\.It Cm ${name}$`, 'm'), `${section} ${name}`);
  }
});

test('drbdts.yaml.5 and configuration.md have every key of cluster and groups', () => {
  const page = read('man/drbdts.yaml.5');
  const [, chapter = ''] = read('docs/configuration.md').split('## Cluster and groups');
  const [, cluster = ''] = page.split('.Ss Section cluster\n');
  const [own = '', groups = ''] = cluster.split('.Ss Section groups\n');
  const wanted = [
    ...[...clusterWords.cluster, ...clusterWords.arbiter, ...clusterWords.selfFence, ...clusterWords.link].map((word) => ({ word, text: own })),
    ...[...clusterWords.group, ...clusterWords.member].map((word) => ({ word, text: groups })),
  ];
  for (const { word, text } of wanted) {
    assert.match(text, new RegExp(`^\\.(It )?Cm .*\\b${word}\\b|^\\.Cm ${word}`, 'm'), `drbdts.yaml.5: ${word}`);
    assert.ok(chapter.includes(word), `configuration.md: ${word}`);
  }
});

test('the example of a cluster has no problem on its nodes', () => {
  for (const node of ['master1', 'master2']) assert.deepEqual(parseConfig(read('examples/cluster.yaml'), 'cluster.yaml', node).problems, []);
});

test('cluster.md explains what keeps a group from running', () => {
  const text = read('docs/cluster.md');
  const source = ['cluster/placement', 'cluster/decide', 'cluster/manager', 'arbiter/register'].map((name) => readFileSync(new URL(`../../../../src/${name}.ts`, import.meta.url), 'utf8')).join('');
  for (const [, sentence = ''] of text.matchAll(/^\| (`[^|]*`) \|/gm)) {
    for (const [, quoted = ''] of sentence.matchAll(/`([^`]+)`/g)) {
      if (/^(drbdts|--|addresses are held back)/.test(quoted)) continue;
      // names stand for what the code puts there
      const [longest = ''] = quoted.split(/NODE|r0|GROUP|Inconsistent|, `|`/).map((part) => part.trim()).sort((a, b) => b.length - a.length);
      assert.ok(source.includes(longest), `no decision says '${longest}'`);
    }
  }
});

test('drbdts.yaml.5 and vrrp.md have every key of vrrp', () => {
  const [, page = ''] = read('man/drbdts.yaml.5').split('.Ss Section vrrp\n');
  const guide = read('docs/vrrp.md');
  for (const word of new Set(Object.values(vrrpWords).flat())) {
    assert.match(page, new RegExp(`\\b${word}\\b`), `drbdts.yaml.5: ${word}`);
    assert.match(guide, new RegExp(`\\b${word}\\b`), `vrrp.md: ${word}`);
  }
});

test('drbdts.yaml.5 and balancing.md have every key of balancing', () => {
  const [, page = ''] = read('man/drbdts.yaml.5').split('.Ss Section balancing\n');
  const guide = read('docs/balancing.md');
  for (const word of new Set(Object.values(balancingWords).flat())) {
    assert.match(page, new RegExp(`\\b${word}\\b`), `drbdts.yaml.5: ${word}`);
    assert.match(guide, new RegExp(`\\b${word}\\b`), `balancing.md: ${word}`);
  }
});

test('the example of two directors has no problem on them', () => {
  for (const node of ['lb1', 'lb2']) assert.deepEqual(parseConfig(read('examples/balancing.yaml'), 'balancing.yaml', node).problems, []);
});
