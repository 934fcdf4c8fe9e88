import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { colorPainter } from '../../../src/cli/color.js';
import { formatStatus, formatTable } from '../../../src/cli/format-status.js';
import { makeResource, makeResync, makeStatus, makeVolume } from './fixtures.js';

const syncing = makeResource([
  makeVolume({
    connection: 'SyncSource',
    role: 'Primary',
    peerDisk: 'Inconsistent',
    mounted: '/mnt',
    fstype: 'ext4',
    resync: makeResync(),
  }),
]);
const idle = makeResource([makeVolume({ minor: 1 })], { name: 'r1' });

test('the table is that of `service drbd status`, with a bar under the syncing volume', () => {
  assert.deepEqual(formatTable([syncing, idle]), [
    'm:res  cs          ro                   ds                     p  mounted  fstype',
    '0:r0   SyncSource  Primary/Secondary    UpToDate/Inconsistent  C  /mnt     ext4',
    "...    sync'ed:    12.2%                (924860/1048508)K",
    '        [=>..................] finish: 0:00:44 speed: 20,608 (20,608) K/sec',
    '1:r1   Connected   Secondary/Secondary  UpToDate/UpToDate      C',
  ]);
});

test('the head names the node and the version', () => {
  assert.deepEqual(formatStatus(makeStatus([idle])).slice(0, 2), [
    'drbdtsd running OK on master1; device status:',
    'version: 0.1.0 (api:1/proto:100-101)',
  ]);
});

test('colours change nothing but colours', () => {
  const colored = formatTable([syncing, idle], { paint: colorPainter });
  assert.deepEqual(colored.map(stripVTControlCharacters), formatTable([syncing, idle]));
  assert.notDeepEqual(colored, formatTable([syncing, idle]));
});

test('a resource that is down is listed as Unconfigured', () => {
  const down = makeResource([makeVolume({ connection: 'StandAlone', disk: 'Diskless', peerDisk: 'DUnknown', peerRole: 'Unknown' })], {
    up: false,
  });
  assert.equal(formatTable([down])[1], '0:r0   Unconfigured');
});

test('volumes of one resource are told apart', () => {
  const two = makeResource([makeVolume(), makeVolume({ volume: 1, minor: 1 })]);
  assert.deepEqual(
    formatTable([two]).map((line) => line.split(/\s+/)[0]),
    ['m:res', '0:r0/0', '1:r0/1'],
  );
});

test('without a network configuration column p shows the flags, as it does in 8.4', () => {
  const alone = makeResource([makeVolume({ connection: 'StandAlone', peerRole: 'Unknown', peerDisk: 'DUnknown', flags: 'r----s' })]);
  assert.equal(formatTable([alone])[1], '0:r0   StandAlone  Secondary/Unknown  UpToDate/DUnknown  r----s');
});

test('reasons stand under the row; the reason of the connection once per resource', () => {
  const reason = 'split brain: both nodes wrote while disconnected';
  const split = makeResource(
    [
      makeVolume({ connection: 'StandAlone', peerRole: 'Unknown', peerDisk: 'DUnknown' }),
      makeVolume({ volume: 1, minor: 1, connection: 'StandAlone', disk: 'Diskless', role: 'Primary', reason: 'disk: I/O error, detached' }),
    ],
    { connectionReason: reason },
  );
  const lines = formatTable([split]);
  assert.equal(lines[2], `        ${reason}`);
  assert.equal(lines.filter((line) => line.includes(reason)).length, 1);
  assert.equal(lines.at(-1), '        disk: I/O error, detached');
});

test('a paused resync has no bar but says who paused it', () => {
  const paused = makeResource([makeVolume({ connection: 'PausedSyncS', resync: makeResync(), resyncSuspended: ['user', 'peer'] })]);
  assert.deepEqual(formatTable([paused]).slice(2), ['        resync paused here by the administrator (drbdts resume-sync), by the peer']);
});

test('suspended I/O says why', () => {
  const frozen = makeResource([makeVolume({ suspended: ['fencing'], flags: 's-----' })]);
  assert.deepEqual(formatTable([frozen]).slice(2), ['        I/O suspended: the peer has not been fenced yet']);
});

test('online verify has its own word', () => {
  const verifying = makeResource([makeVolume({ connection: 'VerifyS', resync: makeResync({ kind: 'verify', wantKibPerS: 250 }) })]);
  assert.match(formatTable([verifying])[2] ?? '', /^\.\.\. {4}verified: /);
  assert.match(formatTable([verifying])[3] ?? '', / want: 250 K\/sec$/);
});

test('verbose adds counters, size and generation identifiers', () => {
  const lines = formatTable([makeResource([makeVolume({ counters: { ns: 123648, dr: 124312 } })])], { verbose: true });
  assert.equal(lines[2], '    ns:123648 nr:0 dw:0 dr:124312 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:0 wo:f oos:0');
  assert.ok(lines.some((line) => line.includes('gi:1334DC39EA5265AC:0000000000000000:FDF45E65BE83C9C4:0000000000000004 meta-flags:0x015')));
});

test('no resources', () => {
  assert.deepEqual(formatTable([]), ['no resources defined!']);
});

test('arbitration: silent while all is well, red where nobody arbitrates or the arbiter is silent', () => {
  const arbitration = { arbiter: 'witness', state: 'together', epoch: 3, reachable: true, vouched: true, sentence: '' } as const;
  const lines = (change: object): string[] =>
    formatTable([makeResource([makeVolume({ arbitration: { ...arbitration, ...change } })])], { paint: colorPainter }).slice(2);
  assert.deepEqual(lines({}), []);
  assert.deepEqual(lines({ state: 'alone', sentence: 'recorded alone' }), ['        \u001b[33marbitration (witness): recorded alone\u001b[39m']);
  assert.deepEqual(lines({ reachable: false, sentence: 'no answer' }), ['        \u001b[31marbiter unreachable (witness): no answer\u001b[39m']);
  assert.deepEqual(lines({ arbiter: 'none', state: 'none', sentence: 'arbiter: none.' }), ['        \u001b[31marbiter: none.\u001b[39m']);
});
