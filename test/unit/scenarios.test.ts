/** Every named scenario of the simulator holds, the table of scenarios is complete, and what is no scenario is refused with its place. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type RunResult, run } from '../support/exec.js';
import { projectRoot } from '../support/paths.js';

const sim = join(projectRoot, 'native/build/Release/sim');
const folder = join(projectRoot, 'test/scenarios');
const notBuilt = existsSync(sim) ? false : 'the simulator is not built: bash resources/build-native.sh sim';
const textFiles = (directory: string): string[] => readdirSync(directory).filter((name) => name.endsWith('.txt'));
const scenarios = textFiles(folder);

const play = (args: string[]): Promise<RunResult> => run([sim, ...args], { timeoutMs: 300_000 });

describe('named scenarios', { skip: notBuilt }, () => {
  let output = '';
  before(async () => {
    ({ stdout: output } = await play(['--scenario', ...scenarios.map((name) => join(folder, name))]));
  });

  for (const name of scenarios) {
    it(name, () => {
      const lines = output.split('\n');
      const at = lines.findIndex((line) => line === `ok ${join(folder, name)}` || line === `FAILED ${join(folder, name)}`);
      assert.notEqual(at, -1, 'the simulator says nothing about it');
      assert.ok(lines[at]?.startsWith('ok '), lines.slice(at, at + 4).join('\n'));
    });
  }
});

it('the table names every scenario file, and every file that it names exists', () => {
  const table = readFileSync(join(projectRoot, 'resources/docs/simulator-scenarios.md'), 'utf8');
  const rows = table.split('\n').filter((line) => line.startsWith('| '));
  const named = new Set(rows.flatMap((line) => [...line.matchAll(/`([a-z0-9/-]+)`/g)].map((match) => match[1])));
  const files = [...scenarios, ...textFiles(join(folder, 'known')).map((name) => `known/${name}`)].map((name) => name.replace(/\.txt$/, ''));
  assert.deepEqual(
    files.filter((name) => !named.has(name)),
    [],
    'files that the table does not name',
  );
  assert.deepEqual(
    [...named].filter((name) => name !== undefined && !files.includes(name)),
    [],
    'names without a file',
  );
});

it('every scenario says what it is for', () => {
  for (const name of scenarios) assert.match(readFileSync(join(folder, name), 'utf8'), /^# \S/, name);
});

describe('what the simulator refuses', { skip: notBuilt }, () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'drbdts-scenario-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const typos: [title: string, text: string, line: number, expected: RegExp][] = [
    ['a verb', '# a comment\ncut\nhael\n', 3, /unknown verb 'hael'; expected one of .*heal/],
    ['a node', 'crash C\n', 1, /expected A or B after crash/],
    ['a number', 'write A sector=x\n', 1, /expected a number in 'sector=x'/],
    ['a key', '+10 disk-slow A until=5\n', 1, /unexpected 'until=5' after disk-slow; expected us, by_us/],
    ['a delay', '+soon cut\n', 1, /expected \+MICROSECONDS, got '\+soon'/],
    ['a condition', 'cut\nuntil A cs=Conected\n', 2, /'Conected' is no value of cs/],
    ['the name of a condition', 'expect in-sink\n', 1, /unknown condition 'in-sink'; expected in-sync/],
    ['a command', 'command A promote\n', 1, /unknown command 'promote'; expected .*primary/],
    ['a packet', 'at-packet A P_DATUM hold\n', 1, /expected PACKET \(P_DATA, \.\.\.\) and one of hold/],
    ['a state', 'at-state A SyncSauce crash\n', 1, /expected CONNECTION-STATE \(SyncSource, \.\.\.\) and one of crash/],
    ['a step of the register', 'arbiter lots\n', 1, /unknown arbiter step 'lots'; expected slow/],
    ['an option', 'option protcol A\ncut\n', 1, /unknown option 'protcol'; known: .*protocol/],
    ['the value of an option', 'cut\noption protocol D\n', 2, /expected A, B or C for option protocol, got 'D'/],
  ];
  for (const [title, text, line, expected] of typos) {
    it(`a scenario with a typo in ${title}`, async () => {
      const file = join(directory, 'typo.txt');
      writeFileSync(file, text);
      const { code, stderr } = await play(['--scenario', file]);
      assert.equal(code, 64);
      assert.ok(stderr.startsWith(`sim: ${file}:${line}: `), stderr);
      assert.match(stderr, expected);
    });
  }

  const wrong: [title: string, args: string[], expected: RegExp][] = [
    ['an unknown option', ['--sede', '5'], /unknown option '--sede'/],
    ['a seed that is no number', ['--seed', 'five'], /--seed expects a number, got 'five'/],
    ['a negative seed', ['--seed', '-5'], /--seed expects a number, got '-5'/],
    ['a missing number', ['--count'], /--count expects a number/],
    ['no scenario', ['--scenario'], /--scenario expects a file/],
    ['too many jobs', ['--jobs', '1000'], /--jobs expects 1 to 64/],
    ['a file that is not there', ['--scenario', '/nonexistent/s.txt'], /s\.txt:0: cannot be read/],
  ];
  for (const [title, args, expected] of wrong) {
    it(title, async () => {
      const { code, stderr } = await play(args);
      assert.equal(code, 64);
      assert.match(stderr, expected);
    });
  }
});
