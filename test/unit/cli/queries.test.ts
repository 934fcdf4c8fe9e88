import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventRecord } from '../../../src/control/messages.js';
import { errorTable } from '../../../src/shared/errors.js';
import { emptyReply, runFake } from './fake-context.js';
import { makeResource, makeStatus, makeVolume } from './fixtures.js';

const connected = makeStatus([
  makeResource([
    makeVolume({ role: 'Primary', peerDisk: 'Inconsistent', connection: 'SyncSource' }),
    makeVolume({ volume: 1, minor: 1, role: 'Primary' }),
  ]),
]);
const down = makeStatus([
  makeResource([makeVolume({ minor: 3, connection: 'StandAlone', disk: 'Diskless', peerDisk: 'DUnknown', peerRole: 'Unknown' })], {
    up: false,
  }),
]);

test('role, cstate and dstate print one line per volume', async () => {
  assert.equal((await runFake(['role', 'r0'], { status: connected })).stdout, 'Primary/Secondary\nPrimary/Secondary\n');
  assert.equal((await runFake(['cstate', 'r0'], { status: connected })).stdout, 'SyncSource\nConnected\n');
  assert.equal((await runFake(['dstate', 'r0/0'], { status: connected })).stdout, 'UpToDate/Inconsistent\n');
});

test('an up volume with neither disk nor network is Unconfigured', async () => {
  const bare = makeStatus([makeResource([makeVolume({ connection: 'StandAlone', disk: 'Diskless' })])]);
  for (const question of ['role', 'cstate', 'dstate'])
    assert.equal((await runFake([question, 'r0'], { status: bare })).stdout, 'Unconfigured\n');
});

test('role and cstate of a resource that is down fail as drbdadm does', async () => {
  for (const question of ['role', 'cstate']) {
    const outcome = await runFake([question, 'r0'], { status: down });
    assert.equal(outcome.code, 10);
    assert.equal(outcome.stderr.split('\n')[0], '3: Failure: (127) Device minor not allocated');
  }
});

test('dstate of a resource that is down comes from its meta-data', async () => {
  const line = '1334DC39EA5265AC:0000000000000000:FDF45E65BE83C9C4:0000000000000004:1:0:0:0:0:0:0';
  const outcome = await runFake(['dstate', 'r0'], { status: down, onVerb: () => ({ ...emptyReply, output: [line] }) });
  assert.equal(outcome.stdout, 'Outdated\n');
});

test('a volume that is not there is an error with the ones that are', async () => {
  const outcome = await runFake(['role', 'r0/7'], { status: connected });
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /resource r0 has no volume 7\n {2}Its volumes: 0, 1\./);
});

test("status of an unknown resource is drbdsetup's message and exit code", async () => {
  const outcome = await runFake(['status', 'nosuch']);
  assert.equal(outcome.stderr.split('\n')[0], 'nosuch: No such resource');
  assert.equal(outcome.code, 10);
});

test('status --json is the reply of the API, of one resource or volume if asked', async () => {
  assert.deepEqual(JSON.parse((await runFake(['status', '--json'], { status: connected })).stdout), connected);
  const volume = JSON.parse((await runFake(['status', 'r0/1', '--json'], { status: connected })).stdout) as typeof connected;
  assert.deepEqual(
    volume.resources[0]?.volumes.map(({ minor }) => minor),
    [1],
  );
});

test('status --proc prints the text of /proc/drbd', async () => {
  assert.equal((await runFake(['status', '--proc'])).stdout, 'version: 8.4.11 (api:1/proto:86-101)\n 0: cs:Unconfigured\n');
});

const time = '2026-11-20T14:46:34.123456+00:00';
const dump: readonly EventRecord[] = [
  { time, verb: 'exists', object: 'resource', attributes: { name: 'r0', role: 'Secondary', suspended: 'no' } },
  { time, verb: 'exists', object: '-', attributes: {} },
  { time, verb: 'change', object: 'resource', attributes: { name: 'r0', role: 'Primary' } },
];

test('events --now stops after the initial dump', async () => {
  const outcome = await runFake(['events', '--now', '--timestamps'], { events: dump });
  assert.equal(outcome.stdout, `${time} exists resource name:r0 role:Secondary suspended:no\n${time} exists -\n`);
  assert.equal(outcome.code, 0);
});

test('events goes on after the dump and says when the daemon ends it', async () => {
  const outcome = await runFake(['events', 'r0', '--json'], { events: dump });
  assert.deepEqual(
    outcome.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    dump,
  );
  assert.equal(outcome.code, 20);
  assert.match(outcome.stderr, /ended the event stream/);
});

test('show-gi draws the legend per volume', async () => {
  const line = '1334DC39EA5265AC:0000000000000000:FDF45E65BE83C9C4:0000000000000004:1:1:0:1:0:0:0';
  const outcome = await runFake(['show-gi', 'r0/0'], { status: connected, onVerb: () => ({ ...emptyReply, output: [line] }) });
  assert.match(outcome.stdout, /Current data generation UUID/);
  assert.match(
    outcome.stdout,
    /\nflags: Secondary, Connected, UpToDate\nmeta-data: need apply-al\nsize: 1048508 KB \(2097016 sectors\)\n$/,
  );
});

test('explain knows numbers and names, and lists all codes', async () => {
  assert.match((await runFake(['explain', '-2'])).stdout, /Need access to UpToDate data/);
  assert.match((await runFake(['explain', '119'])).stdout, /No valid meta-data signature found/);
  assert.match((await runFake(['explain', 'ERR_NO_META_DATA'])).stdout, /create-md/);
  assert.equal((await runFake(['explain'])).stdout.trimEnd().split('\n').length, errorTable.length);
});
