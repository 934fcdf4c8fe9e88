import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Verb, VerbRequest } from '../../../src/control/messages.js';
import { verbs } from '../../../src/control/messages.js';
import { drbdtsError, errorForDrbdCode } from '../../../src/shared/errors.js';
import { emptyReply, runFake } from './fake-context.js';
import { makeResource, makeStatus, makeVolume } from './fixtures.js';

// a command line and the one call it makes
const commandLines: readonly (readonly [string, Verb, VerbRequest])[] = [
  ['create-md r0', 'create-md', {}],
  ['create-md --force --al-stripes 2 --al-stripe-size-kB 64 r0', 'create-md', { force: true, alStripes: 2, alStripeSizeKb: 64 }],
  ['dump-md r0', 'dump-md', {}],
  ['dump-md --force r0', 'dump-md', { force: true }],
  ['get-gi r0', 'get-gi', {}],
  ['apply-al r0', 'apply-al', {}],
  ['wipe-md --force r0', 'wipe-md', { force: true }],
  ['up r0', 'up', {}],
  ['down r0', 'down', {}],
  ['attach r0/1', 'attach', { volume: 1 }],
  ['detach r0/0', 'detach', { volume: 0 }],
  ['detach --force r0', 'detach', { force: true }],
  ['connect r0', 'connect', {}],
  ['connect --discard-my-data r0', 'connect', { discardMyData: true }],
  ['connect r0 --tentative', 'connect', { tentative: true }],
  ['disconnect r0', 'disconnect', {}],
  ['disconnect --force r0', 'disconnect', { force: true }],
  ['primary r0', 'primary', {}],
  ['primary --force r0', 'primary', { force: true }],
  ['secondary r0', 'secondary', {}],
  ['invalidate r0', 'invalidate', {}],
  ['invalidate-remote r0', 'invalidate-remote', {}],
  ['outdate r0', 'outdate', {}],
  ['pause-sync r0', 'pause-sync', {}],
  ['resume-sync r0', 'resume-sync', {}],
  ['new-current-uuid r0', 'new-current-uuid', {}],
  ['new-current-uuid --clear-bitmap r0/0', 'new-current-uuid', { clearBitmap: true, volume: 0 }],
  ['verify r0', 'verify', {}],
  ['verify --start 4096 r0', 'verify', { start: '4096' }],
  ['resize r0', 'resize', {}],
  ['resize --size 10G --assume-clean r0', 'resize', { size: '10G', assumeClean: true }],
  ['adjust r0', 'adjust', {}],
  ['wait-connect r0', 'wait-connect', {}],
  ['wait-connect -t 30 r0', 'wait-connect', { timeoutSeconds: 30 }],
  ['wait-sync --wfc-timeout 0 r0', 'wait-sync', { timeoutSeconds: 0 }],
  ['suspend-io r0', 'suspend-io', {}],
  ['resume-io r0', 'resume-io', {}],
  ['secondary --force r0', 'secondary', { force: true }],
  ['check-peer r0', 'check-peer', {}],
  ['check-peer --timeout 200 r0', 'check-peer', { timeoutMs: 200 }],
];

for (const [line, verb, request] of commandLines) {
  test(`drbdts ${line}`, async () => {
    const outcome = await runFake(line.split(' '), { onVerb: () => ({ ...emptyReply, output: ['said by the daemon'] }) });
    assert.deepEqual(outcome.calls, [{ resource: 'r0', verb, request }]);
    assert.equal(outcome.stdout, 'said by the daemon\n');
    assert.equal(outcome.code, 0);
  });
}

test('every verb of the API has a command', () => {
  assert.deepEqual([...new Set(commandLines.map(([, verb]) => verb))].sort(), [...verbs].sort());
});

test('`all` is every resource; one refusal does not stop the others and its exit code is kept', async () => {
  const status = makeStatus([
    makeResource(),
    makeResource([makeVolume({ minor: 1 })], { name: 'r1' }),
    makeResource([makeVolume({ minor: 2 })], { name: 'r2' }),
  ]);
  const outcome = await runFake(['primary', 'all'], {
    status,
    onVerb: ({ resource }) => {
      if (resource === 'r1') throw errorForDrbdCode(-2, '1');
      return emptyReply;
    },
  });
  assert.deepEqual(
    outcome.calls.map(({ resource }) => resource),
    ['r0', 'r1', 'r2'],
  );
  assert.equal(outcome.code, 17);
  assert.match(outcome.stderr, /^1: State change failed: \(-2\) Need access to UpToDate data\n {2}/);
});

test('`all` without a resource says so', async () => {
  const outcome = await runFake(['up', 'all'], { status: makeStatus([]) });
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /^no resources defined!\n/);
});

test('adjust reads the file again first', async () => {
  assert.equal((await runFake(['adjust', 'r0'])).reloads, 1);
});

test('--json prints what was done', async () => {
  const results = [{ resource: 'r0', volume: null, code: 1, text: 'Success' }];
  const outcome = await runFake(['--json', 'up', 'r0'], { onVerb: () => ({ output: ['text'], results }) });
  assert.deepEqual(JSON.parse(outcome.stdout), { results });
});

const usageErrors: readonly (readonly [string, RegExp])[] = [
  ['frobnicate', /^drbdts: Unknown command 'frobnicate'/],
  ['up', /^drbdts: No resource names specified\n {2}See `drbdts help up`\./],
  ['up --bogus r0', /^drbdts: unknown option '--bogus'/],
  ['up r0/x', /^drbdts: 'r0\/x' is not a resource\n/],
  ['up ../etc', /^drbdts: '..\/etc' is not a resource\n/],
  ['wait-sync -t soon r0', /whole number/],
  ['explain nothing', /^drbdts: there is no code 'nothing'/],
];
for (const [line, expected] of usageErrors) {
  test(`drbdts ${line} is a usage error`, async () => {
    const outcome = await runFake(line.split(' '));
    assert.equal(outcome.code, 1);
    assert.match(outcome.stderr, expected);
    assert.deepEqual(outcome.calls, []);
  });
}

test('help COMMAND shows an example', async () => {
  const outcome = await runFake(['help', 'primary']);
  assert.equal(outcome.code, 0);
  assert.match(outcome.stdout, /Example:\n {2}drbdts primary r0\n/);
});

const found = drbdtsError('ERR_META_DATA_EXISTS', { values: { disk: '/dev/sdb1' } });
const refuseUnlessForced = ({ request }: { request: VerbRequest }): typeof emptyReply => {
  if (request.force !== true) throw found;
  return { ...emptyReply, output: ['New drbd meta data block successfully created.'] };
};

test('create-md over meta-data asks on a terminal and goes on after yes', async () => {
  const outcome = await runFake(['create-md', 'r0'], { onVerb: refuseUnlessForced, stdinIsTty: true, typed: 'yes' });
  assert.match(outcome.stderr, /There appears to be a v08 meta data block already in place on \/dev\/sdb1/);
  assert.deepEqual(
    outcome.calls.map(({ request }) => request),
    [{}, { force: true }],
  );
  assert.equal(outcome.stdout, 'New drbd meta data block successfully created.\n');
  assert.equal(outcome.code, 0);
});

for (const [name, options] of Object.entries({
  'any other answer': { stdinIsTty: true, typed: 'y' },
  'no answer': { stdinIsTty: true },
  'no terminal': { stdinIsTty: false, typed: 'yes' },
})) {
  test(`create-md over meta-data is cancelled with ${name}`, async () => {
    const outcome = await runFake(['create-md', 'r0'], { onVerb: refuseUnlessForced, ...options });
    assert.equal(outcome.calls.length, 1);
    assert.match(outcome.stderr, /\nOperation cancelled\.\n/);
    assert.equal(outcome.code, 1);
  });
}

test('a yes for the disk of one volume does not count for the next', async () => {
  const status = makeStatus([makeResource([makeVolume(), makeVolume({ volume: 1, minor: 1 })])]);
  const outcome = await runFake(['create-md', 'r0'], { status, onVerb: refuseUnlessForced, stdinIsTty: true, typed: 'yes' });
  assert.deepEqual(
    outcome.calls.map(({ request }) => request),
    [{ volume: 0 }, { volume: 0, force: true }, { volume: 1 }, { volume: 1, force: true }],
  );
  assert.equal(outcome.stderr.split('already in place').length - 1, 2, 'asked twice');
});

test('the question names data that was found beside meta-data', async () => {
  const onVerb = (): never => {
    throw drbdtsError('ERR_META_DATA_EXISTS', {
      values: { disk: '/dev/sdb1' },
      details: { found: 'ext4 filesystem', lines: ['meta data is in place on /dev/sdb1'] },
    });
  };
  assert.match((await runFake(['create-md', 'r0'], { onVerb })).stderr, /^meta data is in place on \/dev\/sdb1\nFound ext4 filesystem\n/);
});

test('a file system that would be cut is refused without a question, --force or not', async () => {
  const onVerb = (): never => {
    throw drbdtsError('ERR_CREATE_MD_REFUSED', { values: { disk: '/dev/sdb1', found: 'ext3 filesystem' } });
  };
  for (const args of [
    ['create-md', 'r0'],
    ['create-md', '--force', 'r0'],
  ]) {
    const outcome = await runFake(args, { onVerb, stdinIsTty: true, typed: 'yes' });
    assert.equal(outcome.code, 40);
    assert.equal(outcome.calls.length, 1);
    assert.match(outcome.stderr, /Operation refused\./);
  }
});

test('primary --force tells what may be lost, before it is done', async () => {
  const alone = makeResource([makeVolume({ disk: 'Inconsistent', peerDisk: 'DUnknown', connection: 'WFConnection', outOfSyncKib: 4096 })]);
  const outcome = await runFake(['primary', '--force', 'r0'], { status: makeStatus([alone]) });
  assert.match(outcome.stderr, /r0: the disk here is Inconsistent; --force declares it UpToDate/);
  assert.match(outcome.stderr, /4096 KiB/);
  assert.match(outcome.stderr, /master2 is not connected; .*\n.*split brain/);
  const healthy = await runFake(['primary', '--force', 'r0']);
  assert.equal(healthy.stderr, '');
});
