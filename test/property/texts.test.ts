/** The texts that people and scripts read, read back: /proc/drbd, the status table, progress, warnings. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toneOf } from '../../src/cli/color.js';
import { alignColumns } from '../../src/cli/format-columns.js';
import { formatForcedPrimaryLoss } from '../../src/cli/format-loss.js';
import { formatAmounts, formatBar, formatDuration, formatPercent, formatSpeed, formatThousands, progressPerMille } from '../../src/cli/format-progress.js';
import { formatTable } from '../../src/cli/format-status.js';
import { LineProgress } from '../../src/cli/progress-view.js';
import type { ResourceStatus, VolumeStatus } from '../../src/control/messages.js';
import type { NativeSnapshot } from '../../src/daemon/native-api.js';
import { perMille, procDrbd, progressBar, thousands } from '../../src/daemon/proc-drbd.js';
import { volumeStatusOf } from '../../src/daemon/status.js';
import { connectionStates, diskStates } from '../../src/shared/terms.js';
import { replay } from './replay.js';
import { resourceOf } from './snapshots.js';

const parameters = replay('texts', 300);

const statusOf = (snapshot: NativeSnapshot): ResourceStatus => ({
  name: snapshot.name,
  up: true,
  role: snapshot.role,
  peerRole: snapshot.peerRole,
  peerName: 'b',
  connection: snapshot.connection,
  connectionReason: '',
  protocol: snapshot.protocol,
  agreedVersion: snapshot.agreedVersion,
  features: snapshot.features,
  volumes: snapshot.volumes.map((volume) => volumeStatusOf({ ...volume, diskReason: '' }, () => null, null)),
});

const running = new Set(['SyncSource', 'SyncTarget', 'VerifyS', 'VerifyT']);
/** Up to three resources on minors with gaps between. */
const node = fc.tuple(fc.nat(3), fc.nat(2), fc.nat(2)).chain(([first, gap1, gap2]) =>
  fc.tuple(resourceOf('r0', first, 2), resourceOf('r1', first + 2 + gap1, 1), resourceOf('r2', first + 3 + gap1 + gap2, 1)),
);

describe('progress', () => {
  const bits = fc.oneof(fc.bigInt(0n, 5000n), fc.bigInt(0n, 1n << 34n), fc.bigInt(0n, 1n << 42n), fc.bigInt(3n << 30n, 1n << 34n));

  // otherwise: a resync runs backwards, shows 100 % with blocks left to go, or /proc/drbd and `drbdts status` contradict each other
  it('the share done is the true one to within the coarseness of the sum, and never falls', () => {
    fc.assert(
      fc.property(bits, bits, bits, (a, b, c) => {
        const [less = 0n, more = 0n, total = 0n] = [a, b, c].sort((x, y) => (x < y ? -1 : 1));
        const at = (left: bigint): number => perMille(left, total);
        assert.ok(at(less) >= at(more) && at(more) >= 0 && at(less) <= 1000);
        assert.equal(at(0n), 1000);
        for (const left of [less, more]) {
          assert.equal(progressPerMille(Number(left) * 4, Number(total) * 4), at(left), 'the same in /proc/drbd and in the table');
          // counted in chunks of 2^10 bits, 2^16 above 2^32: off by two chunks at most
          const chunk = Number(total) > 2 ** 32 ? 2 ** 16 : 2 ** 10;
          const exact = total === 0n ? 1000 : 1000 * (1 - Number(left) / Number(total));
          assert.ok(Math.abs(at(left) - exact) <= 1.001 + (2000 * chunk) / (chunk + Number(total)), `${at(left)} of ${exact}`);
        }
      }),
      { ...parameters, numRuns: 1000 },
    );
  });

  // otherwise: the estimate or the rate that somebody plans a night by is wrong by a digit
  it('times, rates, percent and bars read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: -5, max: 10_000_000 }), fc.nat(2 ** 40), fc.nat(1000), (seconds, rate, mille) => {
        const [hours, minutes, rest] = formatDuration(seconds).split(':');
        assert.equal(Number(hours) * 3600 + Number(minutes) * 60 + Number(rest), Math.max(0, seconds));
        assert.ok(minutes?.length === 2 && rest?.length === 2 && Number(minutes) < 60 && Number(rest) < 60);
        for (const text of [formatThousands(rate), thousands(rate)]) {
          const groups = text.split(',');
          assert.equal(Number(groups.join('')), rate);
          assert.ok(groups.every((group, index) => (index === 0 ? /^\d{1,3}$/ : /^\d{3}$/).test(group)), text);
        }
        assert.equal(Math.round(Number.parseFloat(formatPercent(mille)) * 10), mille);
        for (const bar of [formatBar(mille), progressBar(mille)]) {
          const [, done = '', left = ''] = /^\[(=*)>(\.*)\]$/.exec(bar) ?? assert.fail(bar);
          // twenty places, the head one place wide; the first step shows as the head only
          assert.equal(left.length, Math.ceil((1000 - mille) / 50));
          assert.equal(done.length, Math.max(0, 20 - left.length - 1));
        }
      }),
      parameters,
    );
  });
});

interface ProcVolume {
  minor: number;
  blankBefore: boolean;
  words: Record<string, string>;
  letterAndFlags: string;
  counters: Record<string, string>;
  progress: string[];
}

/** Reads /proc/drbd as a script would. */
function readProc(text: string): ProcVolume[] {
  const volumes: ProcVolume[] = [];
  let blank = false;
  for (const line of text.split('\n').slice(2)) {
    const head = /^ ?(\d+): (.*)$/.exec(line);
    const current = volumes.at(-1);
    if (head !== null) {
      assert.equal(line.indexOf(':'), Math.max(2, (head[1] ?? '').length), 'the minor stands right-aligned in two places');
      const words = Object.fromEntries([...(head[2] ?? '').matchAll(/(cs|ro|ds):(\S+)/g)].map(([, name, value]) => [name, value ?? '']));
      volumes.push({ minor: Number(head[1]), blankBefore: blank, words, letterAndFlags: / (. \S{6})$/.exec(line)?.[1] ?? '', counters: {}, progress: [] });
    } else if (line.startsWith('    ')) Object.assign(current?.counters ?? {}, Object.fromEntries(line.trim().split(' ').map((pair) => pair.split(':'))));
    else if (line.startsWith('\t')) current?.progress.push(line);
    blank = line === '';
  }
  return volumes;
}

describe('/proc/drbd and the status table', () => {
  // otherwise: check_drbd and other scripts that read /proc/drbd see a state, counter or progress that is not there
  it('/proc/drbd reads back: every minor once and in order, a blank line at each gap', () => {
    fc.assert(
      fc.property(node, fc.boolean(), (snapshots, reversed) => {
        const read = readProc(procDrbd(reversed ? [...snapshots].reverse() : snapshots, '1'));
        const all = snapshots.flatMap(({ protocol, volumes }) => volumes.map((volume) => ({ protocol, volume })));
        const minors = all.map(({ volume }) => volume.minor);
        assert.deepEqual(
          read.map(({ minor }) => minor),
          [...minors].sort((a, b) => a - b),
        );
        for (const { minor, blankBefore, words, letterAndFlags, counters, progress } of read) {
          assert.equal(blankBefore, minor !== 0 && !minors.includes(minor - 1), `before minor ${minor}`);
          const found = all.find(({ volume }) => volume.minor === minor) ?? assert.fail();
          const { volume, protocol } = found;
          if (words.cs === 'Unconfigured') {
            assert.deepEqual([volume.connection, volume.disk, volume.role], ['StandAlone', 'Diskless', 'Secondary']);
            assert.deepEqual([counters, progress], [{}, []]);
            continue;
          }
          assert.deepEqual(words, { cs: volume.connection, ro: `${volume.role}/${volume.peerRole}`, ds: `${volume.disk}/${volume.peerDisk}` });
          assert.equal(letterAndFlags, `${protocol} ${volume.flags}`);
          for (const [name, value] of Object.entries(volume.counters)) assert.equal(counters[name], String(value));
          assert.equal(counters.oos, String(volume.outOfSyncBits * 4n));
          assert.equal(progress.length, running.has(volume.connection) ? 2 : 0);
          if (progress.length > 0) {
            assert.equal(progress.join().includes("sync'ed:"), volume.connection.startsWith('Sync'));
            assert.equal(progress.join().includes(' want: '), ['SyncTarget', 'VerifyS'].includes(volume.connection));
            assert.equal(progress.join().includes('(stalled)'), volume.resyncStalled);
          }
        }
      }),
      parameters,
    );
  });

  // otherwise: a Primary that lost disk and peer is listed like one that nobody set up, or columns run into each other
  it('the table has one row for each volume, with the words of /proc/drbd, under its headings', () => {
    fc.assert(
      fc.property(node, (snapshots) => {
        const proc = readProc(procDrbd(snapshots, '1'));
        const [header = '', ...lines] = formatTable(snapshots.map(statusOf));
        const rows = lines.filter((line) => /^\d+:/.test(line));
        assert.equal(rows.length, proc.length);
        const columns = ['cs', 'ro', 'ds', 'p', 'mounted'].map((name) => header.indexOf(`  ${name}`) + 2);
        for (const line of [...rows, ...lines.filter((text) => text.startsWith('...'))]) {
          assert.equal(line, line.trimEnd());
          for (const at of columns.slice(0, 4)) if (at < line.length) assert.ok(line[at - 1] === ' ' && line[at] !== ' ', `${header}\n${line}`);
        }
        for (const row of rows) {
          const [name = '', ...cells] = row.split(/ {2,}/);
          const volume = proc.find(({ minor }) => minor === Number.parseInt(name, 10)) ?? assert.fail(row);
          const { cs, ro, ds } = volume.words;
          assert.deepEqual(cells.slice(0, 3), cs === 'Unconfigured' ? [cs] : [cs, ro, ds], row);
        }
        assert.equal(lines.filter((line) => line.startsWith('...')).length, proc.filter(({ progress }) => progress.length > 0).length);
        // both texts show the same bar, amounts and rates
        const squeeze = (text: string): string => text.replace(/\s+/g, ' ');
        for (const { progress } of proc) {
          for (const part of progress.flatMap((line) => [/\[.*\]/, /\(\d+\/\d+\)[KM]/, /finish:.*sec.*$/].map((pattern) => pattern.exec(line)?.[0] ?? '')))
            assert.ok(squeeze(lines.join('\n')).includes(squeeze(part)), part);
        }
      }),
      parameters,
    );
  });

  // otherwise: colour moves the columns, and a table with colours can not be read
  it('colours do not move columns', () => {
    const cell = fc.constantFrom('', 'a', 'word', 'a longer cell');
    fc.assert(
      fc.property(fc.array(fc.array(fc.tuple(cell, fc.boolean()), { minLength: 1, maxLength: 5 }), { maxLength: 5 }), (rows) => {
        const plain = alignColumns(rows.map((row) => row.map(([text]) => text)));
        const painted = alignColumns(rows.map((row) => row.map(([text, paint]) => (paint && text !== '' ? `\u001b[32m${text}\u001b[39m` : text))));
        assert.deepEqual(
          painted.map((line) => line.replaceAll('\u001b[32m', '').replaceAll('\u001b[39m', '')),
          plain,
        );
      }),
      parameters,
    );
    for (const state of [...connectionStates, ...diskStates]) assert.notEqual(toneOf(state), 'plain', `${state} has a tone`);
  });
});

const idle: VolumeStatus['resync'] = null;

describe('warnings', () => {
  // otherwise: `primary --force` overwrites the good copy, or makes the second Primary, without having said so
  it('before a forced promotion, what may be lost is said in every state, and nothing where nothing is', () => {
    fc.assert(
      fc.property(resourceOf('r0', 0, 2), (snapshot) => {
        const resource = statusOf(snapshot);
        const lines = formatForcedPrimaryLoss(resource);
        for (const volume of resource.volumes) {
          const own = lines.filter((line) => line.startsWith(`r0/${volume.volume}: `)).join('\n');
          const apart = connectionStates.indexOf(volume.connection) < connectionStates.indexOf('Connected');
          assert.equal(own.includes('split brain'), apart, `${volume.connection}: ${own}`);
          assert.equal(own.includes('declares it UpToDate'), volume.disk !== 'UpToDate');
          // a full overwrite is only announced for a copy that is known to be of no use
          if (own.includes('full resync')) assert.ok(['Diskless', 'Attaching', 'Failed', 'Negotiating', 'Inconsistent'].includes(volume.peerDisk));
          if (!apart && volume.disk === 'UpToDate') assert.equal(own, '');
        }
      }),
      { ...parameters, numRuns: 600 },
    );
  });
});

describe('wait-sync without a terminal', () => {
  // otherwise: a log of a nightly resync has thousands of lines, or not one that says how far it got
  it('writes the first state and one line for each tenth, whatever the number of polls', () => {
    const polls = fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 80 }).map((lefts) => lefts.sort((a, b) => b - a));
    fc.assert(
      fc.property(polls, resourceOf('r0', 0, 1), (lefts, snapshot) => {
        const total = 1_000_000;
        const written: string[] = [];
        const view = new LineProgress({ write: (text: string) => written.push(text) > 0 } as never);
        const reached = new Set<number>();
        for (const left of lefts) {
          const [base] = snapshot.volumes.map((volume) => volumeStatusOf({ ...volume, connection: 'SyncTarget' }, () => null, null));
          if (base === undefined || base.resync === idle) assert.fail();
          const volume = { ...base, resync: { ...base.resync, leftKib: left * 4, totalKib: total * 4 } };
          view.update({ node: 'a', version: '1', resources: [{ ...statusOf(snapshot), volumes: [volume] }] });
          reached.add(Math.floor(progressPerMille(left * 4, total * 4) / 100));
        }
        assert.equal(written.length, reached.size);
        assert.ok(written.length <= 11 && written.every((line) => line.endsWith('\n') && line.startsWith('r0: ')));
      }),
      parameters,
    );
  });

  it('amounts keep their unit', () => {
    const kib = fc.oneof(fc.nat(2 ** 31), fc.integer({ min: 2 ** 19 - 1000, max: 2 ** 20 }), fc.constant(2 ** 19));
    fc.assert(
      fc.property(kib, kib, (a, b) => {
        const [left, total] = [Math.min(a, b) * 8, Math.max(a, b) * 8];
        const [, leftText, totalText, unit] = /^\((\d+)\/(\d+)\)([KM])$/.exec(formatAmounts(left, total)) ?? assert.fail();
        const factor = unit === 'M' ? 1024 : 1;
        assert.ok(left - Number(leftText) * factor < factor && total - Number(totalText) * factor < factor);
        assert.equal(unit === 'M', total > 4 * 1024 * 1024);
        assert.match(formatSpeed({ kind: 'resync', totalKib: total, leftKib: left, failedKib: 0, percent: 0, speedKibPerS: a, averageKibPerS: b, wantKibPerS: 1, finishSeconds: 1, stalled: false }, false), /K\/sec$/);
      }),
      parameters,
    );
  });
});
