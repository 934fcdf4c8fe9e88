/** The patches that break the core fit the core as it is, each is in the table of the last run, and wrong use of the script is refused. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { equivalentFolder, readMutants } from '../sim-mutants/mutant.js';
import { run } from '../support/exec.js';
import { projectRoot } from '../support/paths.js';

const mutants = readMutants([]);
const equivalent = readMutants([], equivalentFolder);
const script = join(projectRoot, 'dist/test/sim-mutants/main.js');

it('every patch fits the core', async () => {
  const refused: string[] = [];
  for (const { name, file } of [...mutants, ...equivalent]) {
    const { code, stdout } = await run(['patch', '-p1', '--fuzz=3', '--dry-run', '--force', '-i', file], { cwd: projectRoot });
    if (code !== 0) refused.push(`${name}: ${stdout.trim()}`);
  }
  assert.deepEqual(refused, []);
});

it('the table has a row for every mutant that is to be killed, every equivalent one, and no other', () => {
  const table = readFileSync(join(projectRoot, 'resources/docs/simulator-mutants.md'), 'utf8');
  const rows = [...table.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]);
  assert.deepEqual(rows.sort(), [...mutants, ...equivalent].map(({ name }) => name).sort());
  assert.doesNotMatch(table, /\*\*(survives|not built)\*\*/);
});

it('an equivalent one says why, the others do not claim to be', () => {
  assert.deepEqual(equivalent.filter((mutant) => mutant.equivalent === undefined).map(({ name }) => name), []);
  assert.deepEqual(mutants.filter((mutant) => mutant.equivalent !== undefined).map(({ name }) => name), []);
});

describe('what the script refuses', () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'drbdts-mutants-'));
    writeFileSync(join(directory, '001-header.patch'), '# A header. Noticed by: nothing.\n--- a/native/core/state.h\n+++ b/native/core/state.h\n@@ -1 +1 @@\n-a\n+b\n');
    writeFileSync(join(directory, '002-silent.patch'), '--- a/native/core/state.cc\n+++ b/native/core/state.cc\n@@ -1 +1 @@\n-a\n+b\n');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const wrong: [title: string, args: () => string[], expected: RegExp][] = [
    ['a name that no mutant has', () => ['--only', 'nothing-of-the-kind'], /no mutant's name contains 'nothing-of-the-kind'/],
    ['an unknown option', () => ['--onyl', '001'], /Unknown option '--onyl'/],
    ['a seed that is no number', () => ['--seed', 'five'], /--seed expects a number above zero, got 'five'/],
    ['half a life', () => ['--count', '0.5'], /--count expects a whole number, got '0.5'/],
    ['a folder that is not there', () => ['--folder', '/nonexistent'], /no such file or directory.*\/nonexistent/],
    ['a patch of a header', () => ['--folder', directory, '--only', '001'], /001-header\.patch: changes state\.h; mutants change \.cc files only/],
    ['a patch without a sentence', () => ['--folder', directory, '--only', '002'], /002-silent\.patch: expected a first line '# what it breaks/],
  ];
  for (const [title, args, expected] of wrong) {
    it(title, async () => {
      const { code, stderr } = await run([process.execPath, script, ...args()]);
      assert.equal(code, 64);
      assert.match(stderr, expected);
      assert.doesNotMatch(stderr, /^ {4}at /m, 'a stack is no message');
    });
  }
});
