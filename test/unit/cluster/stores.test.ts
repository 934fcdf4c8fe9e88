/** What the cluster manager keeps on disk: the journal of decisions and the operator's wishes. */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { History } from '../../../src/cluster/history.js';
import { noWishes } from '../../../src/cluster/report.js';
import { WishesStore } from '../../../src/cluster/wishes-store.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'drbdts-stores-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('history', () => {
  let troubles: string[] = [];
  const open = (): History => {
    troubles = [];
    return new History({ file: join(directory, 'deep', 'history.jsonl'), node: 'alpha', now: () => new Date(0), onTrouble: (reason) => troubles.push(reason) });
  };
  const file = (): string => join(directory, 'deep', 'history.jsonl');
  const sentences = (history: History): string[] => history.last(10_000).map(({ sentence }) => sentence);

  it('survives a restart, oldest first, and `last` gives the last ones', () => {
    const first = open();
    first.add('info', '', 'one');
    first.add('warn', 'web', 'two');
    first.add('error', 'web', 'three');
    const second = open();
    assert.deepEqual(sentences(second), ['one', 'two', 'three']);
    assert.deepEqual(second.last(1), [{ time: '1970-01-01T00:00:00.000Z', node: 'alpha', group: 'web', level: 'error', sentence: 'three' }]);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
  });
  it('a line cut short is left out, and does not take the next one with it', () => {
    open().add('info', '', 'whole');
    appendFileSync(file(), '{"time":"t","node":"alpha","gro');
    const second = open();
    assert.deepEqual(sentences(second), ['whole']);
    second.add('info', '', 'after');
    assert.deepEqual(sentences(open()), ['whole', 'after']);
  });
  it('lines that mean nothing are left out', () => {
    mkdirSync(join(directory, 'deep'));
    writeFileSync(file(), 'text\n{}\nnull\n[1]\n{"time":"t","node":"a","group":"","level":"loud","sentence":"s"}\n');
    assert.deepEqual(sentences(open()), []);
  });
  it('is bounded: one old file, nothing of what is young is lost', () => {
    const history = open();
    const big = 'x'.repeat(1024 * 1024);
    for (let number = 0; number < 11; number++) history.add('info', '', `${number} ${big}`);
    assert.ok(statSync(file()).size + statSync(`${file()}.old`).size < 10 * 1024 * 1024);
    const kept = sentences(open()).map((sentence) => Number.parseInt(sentence, 10));
    assert.ok(kept.length >= 4, String(kept));
    assert.deepEqual(kept, Array.from({ length: kept.length }, (_, index) => 11 - kept.length + index));
  });
  it('keeps 2000 in memory', () => {
    const history = open();
    for (let number = 0; number < 2100; number++) history.add('info', '', String(number));
    assert.deepEqual([sentences(history).length, sentences(history)[0]], [2000, '100']);
  });
  it('what can not be written is said once, kept in memory, and said again after it worked', () => {
    const history = open();
    mkdirSync(file());
    history.add('info', '', 'one');
    history.add('info', '', 'two');
    assert.equal(troubles.length, 1);
    assert.deepEqual(sentences(history), ['one', 'two']);
    rmSync(file(), { recursive: true });
    history.add('info', '', 'three');
    rmSync(file());
    mkdirSync(file());
    history.add('info', '', 'four');
    assert.equal(troubles.length, 2);
  });
});

describe('wishes', () => {
  const file = (): string => join(directory, 'deep', 'wishes.json');
  const value = { wishes: { ...noWishes, standby: { alpha: { value: true, stamp: 7 } } }, cleaned: { web: 3 } };
  const read = (): { value: unknown; troubles: string[] } => {
    const troubles: string[] = [];
    return { value: new WishesStore(file()).read((reason) => troubles.push(reason)), troubles };
  };

  it('nothing at first, and that is no trouble', () => assert.deepEqual(read(), { value: { wishes: noWishes, cleaned: {} }, troubles: [] }));
  it('what was written is read, by root only', () => {
    new WishesStore(file()).write(value);
    assert.deepEqual(read(), { value, troubles: [] });
    assert.equal(statSync(file()).mode & 0o777, 0o600);
  });
  it('a write that was cut short leaves the old ones', () => {
    new WishesStore(file()).write(value);
    writeFileSync(`${file()}.new`, '{"wishes":');
    assert.deepEqual(read(), { value, troubles: [] });
    new WishesStore(file()).write({ ...value, cleaned: {} });
    assert.equal(existsSync(`${file()}.new`), false);
    assert.deepEqual(JSON.parse(readFileSync(file(), 'utf8')), { ...value, cleaned: {} });
  });
  for (const [what, text] of [['cut', '{"wishes":{"maint'], ['empty', ''], ['of another kind', '{"wishes":{"maintenance":true},"cleaned":{}}'], ['with a stamp that is none', JSON.stringify({ ...value, wishes: { ...value.wishes, maintenance: { value: true, stamp: -1 } } })]] as const) {
    it(`a file that is ${what}: told, and nothing is wished for`, () => {
      const store = new WishesStore(file());
      writeFileSync(file(), text);
      const troubles: string[] = [];
      assert.deepEqual(store.read((reason) => troubles.push(reason)), { wishes: noWishes, cleaned: {} });
      assert.equal(troubles.length, 1);
      assert.ok(troubles[0]?.startsWith(file()));
    });
  }
  it('what can not be written throws: a wish that is not durable is not acted upon unsaid', () => {
    const store = new WishesStore(file());
    mkdirSync(`${file()}.new`);
    assert.throws(() => store.write(value));
  });
});
