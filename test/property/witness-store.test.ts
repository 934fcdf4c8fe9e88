/**
 * The witness' register over starts of its process, boots of its host and restored copies. One that goes on where the last process ended has
 * to answer as if that had never ended; in every other case nothing may be granted before the nodes have vouched.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RegisterRequest } from '../../src/arbiter/messages.js';
import { applyRequest, type Cell, newCell, restarted } from '../../src/arbiter/register.js';
import { createMarker, RunMarker } from '../../src/witness/marker.js';
import { RegisterStore } from '../../src/witness/store.js';
import { replay } from './replay.js';

const runs = Math.ceil(Number(process.env.DRBDTS_SCHEDULES ?? 2000) / 20);
const nodes: [string, string] = ['alpha', 'beta'];
const key = 'volume/r0/0';

const near = fc.integer({ min: -1, max: 1 });
const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('swap' as const), epoch: near, node: fc.nat(1), inSync: fc.constantFrom(['alpha'], ['beta'], ['alpha', 'beta']) }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('vouch' as const), epoch: near, node: fc.nat(1), inSync: fc.constantFrom(['alpha'], ['alpha', 'beta']), alone: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constantFrom('start' as const, 'boot' as const, 'copy' as const, 'restore' as const, 'half' as const) }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

interface Totals {
  continued: number;
  doubted: number;
}

async function play(directory: string, operations: readonly Operation[], totals: Totals): Promise<void> {
  const [state, marker, copy] = [join(directory, 'store.json'), join(directory, 'marker'), join(directory, 'copy')];
  let boot = 0;
  const open = (): RegisterStore => new RegisterStore(directory, 'store', (file) => new RunMarker(marker, file, `boot ${boot}`));
  let store = open();
  await store.load();
  // what the register would be if its process had never ended, and what its file and the copy hold
  let cell: Cell = newCell(nodes);
  let copied: Cell | null = null;
  const ask = async (request: RegisterRequest): Promise<void> => {
    const expected = applyRequest(cell, store.incarnation, request);
    cell = expected.cell;
    assert.deepEqual(await store.apply(request), { answer: expected.answer, refused: expected.refused });
  };
  const common = { key, nodes };
  await ask({ op: 'read', node: 'alpha', ...common });
  for (const drawn of operations) {
    if (drawn.op === 'swap' || drawn.op === 'vouch') {
      const epoch = Math.max(1, cell.record.epoch + drawn.epoch);
      const who = { ...common, node: nodes[drawn.node] ?? '', incarnation: store.incarnation };
      const record = { inSync: [...drawn.inSync], holder: '', dataGeneration: '' };
      if (drawn.op === 'swap') await ask({ op: 'swap', ...who, expectedEpoch: epoch, record });
      else await ask({ op: 'vouch', ...who, record: { ...record, epoch }, alone: drawn.alone });
      continue;
    }
    if (drawn.op === 'copy') {
      copyFileSync(state, copy);
      copied = cell;
      continue;
    }
    const before = store.incarnation;
    let doubt = false;
    if (drawn.op === 'boot') {
      boot += 1;
      doubt = true;
    }
    // it died between the file and the marker
    if (drawn.op === 'half') {
      rmSync(marker, { force: true });
      doubt = true;
    }
    if (drawn.op === 'restore' && copied !== null) {
      doubt = readFileSync(copy, 'utf8') !== readFileSync(state, 'utf8');
      writeFileSync(state, readFileSync(copy));
      if (doubt) cell = copied;
    }
    store = open();
    await store.load();
    if (doubt) {
      cell = restarted(cell);
      totals.doubted += 1;
      assert.notEqual(store.incarnation, before);
    } else {
      totals.continued += 1;
      assert.equal(store.incarnation, before);
    }
    assert.equal(store.continued, !doubt);
    await ask({ op: 'read', node: 'beta', ...common });
  }
}

describe('the register of a witness', () => {
  it('goes on only where nothing can have been lost', async () => {
    const totals: Totals = { continued: 0, doubted: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 30, size: 'max' }), async (operations) => {
        // in memory where there is such a place: every change is flushed
        const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'drbdts-store-'));
        try {
          await play(directory, operations, totals);
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      }),
      replay('witness-store', runs),
    );
    console.log(`witness store: ${runs} sequences, ${totals.continued} times continued, ${totals.doubted} times in doubt`);
    assert.ok(totals.continued > runs && totals.doubted > runs, 'the sequences reach what they are about');
  });

  it('has no marker but in memory, and none that was made for another file or is damaged', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'drbdts-marker-'));
    try {
      if (statfsSync(directory).type !== 0x0102_1994) assert.match(createMarker(join(directory, 'run'), 'store', '/f').problem, /no tmpfs/);
      assert.notEqual(createMarker('/dev/null/run', 'store', '/f').problem, '');
      const path = join(directory, 'marker');
      const marker = new RunMarker(path, '/f', 'boot');
      const part = { incarnation: 'i', cells: { [key]: { vouched: true, said: {} } } };
      marker.write('text', part);
      assert.deepEqual(marker.read('text'), part);
      assert.equal(marker.read('other text'), null);
      assert.equal(new RunMarker(path, '/g', 'boot').read('text'), null);
      assert.equal(new RunMarker(path, '/f', 'next boot').read('text'), null);
      writeFileSync(path, readFileSync(path, 'utf8').slice(0, -3));
      assert.equal(marker.read('text'), null);
      marker.remove();
      assert.equal(existsSync(path), false);
      if (!existsSync('/dev/shm')) t.diagnostic('no /dev/shm');
      else {
        const shm = mkdtempSync('/dev/shm/drbdts-marker-');
        assert.equal(createMarker(join(shm, 'run'), 'store', '/f').problem, '');
        rmSync(shm, { recursive: true });
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
