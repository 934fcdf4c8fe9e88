/** drbdadm: what scripts written for DRBD call and read. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { translateArguments } from '../../../src/cli/drbdadm/arguments.js';
import { formatDrbdadmStatus } from '../../../src/cli/drbdadm/format-status.js';
import { withTimeLimits } from '../../../src/cli/drbdadm/time-limits.js';
import { formatShStatus } from '../../../src/control/sh-status.js';
import { errorForDrbdCode } from '../../../src/shared/errors.js';
import { FakeDaemon, type Responder, RunningCli, sendJson } from './fake-daemon.js';
import { makeResource, makeResync, makeStatus, makeVolume } from './fixtures.js';

const drbdadm = fileURLToPath(new URL('../../../src/cli/drbdadm.js', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const runDrbdadm = (...args: string[]): Promise<Outcome> => new RunningCli(process.execPath, [drbdadm, ...args]).finished;

async function withDaemon(responder: Responder, body: (daemon: FakeDaemon) => Promise<void>): Promise<void> {
  const daemon = await FakeDaemon.start(responder);
  try {
    await body(daemon);
  } finally {
    await daemon.stop();
  }
}

test('older spellings become those of drbdts', () => {
  for (const [given, expected] of [
    ['primary r0', 'primary r0'],
    ['-- --overwrite-data-of-peer primary r0', 'primary --force r0'],
    ['-- --discard-my-data connect r0', 'connect --discard-my-data r0'],
    ['-c /etc/x.yaml role r0', '--config /etc/x.yaml role r0'],
    ['--config-file=/etc/x.yaml state all', '--config=/etc/x.yaml role all'],
    ['primary --overwrite-data-of-peer r0', 'primary --force r0'],
    ['--socket /run/s -c f -- -o primary r0', '--socket /run/s --config f primary -o r0'],
    ['-d up r0', '-d up r0'],
    ['', ''],
  ] as const) {
    assert.equal(translateArguments(given.split(' ')).join(' '), expected, given);
  }
});

test('status is drbdsetup 8.4’s', () => {
  assert.deepEqual(formatDrbdadmStatus(makeStatus()), [
    'r0 role:Secondary', '  disk:UpToDate', '  peer role:Secondary', '    replication:Established peer-disk:UpToDate', '',
  ]);
  const alone = makeVolume({ connection: 'WFConnection', peerRole: 'Unknown', peerDisk: 'DUnknown', role: 'Primary', suspended: ['fencing'] });
  assert.deepEqual(formatDrbdadmStatus(makeStatus([makeResource([alone])])), [
    'r0 role:Primary suspended:fencing', '  disk:UpToDate', '  peer connection:Connecting', '',
  ]);
  const parted = makeVolume({ connection: 'StandAlone', disk: 'Inconsistent', peerRole: 'Unknown', peerDisk: 'DUnknown' });
  assert.deepEqual(formatDrbdadmStatus(makeStatus([makeResource([parted])])), ['r0 role:Secondary', '  disk:Inconsistent', '']);
  const source = makeVolume({
    connection: 'PausedSyncS', role: 'Primary', peerDisk: 'Inconsistent', sizeKib: 65496, outOfSyncKib: 56512, resync: makeResync(), resyncSuspended: ['user'],
  });
  assert.deepEqual(formatDrbdadmStatus(makeStatus([makeResource([source])])), [
    'r0 role:Primary', '  disk:UpToDate', '  peer role:Secondary', '    replication:PausedSyncS peer-disk:Inconsistent done:13.72',
    '        resync-suspended:user', '',
  ]);
  assert.deepEqual(formatDrbdadmStatus(makeStatus([makeResource([makeVolume()], { up: false })])), []);
});

test('sh-status can be evaluated by a shell, whatever the names are', async () => {
  const lines = formatShStatus(
    makeStatus([makeResource([makeVolume({ device: "/dev/it's; touch x", role: 'Primary' })]), makeResource([makeVolume({ volume: 1 })], { up: false })]),
  );
  const script = `_sh_status_process() { echo "$_res_name/$_volume $_known $_cstate $_role $_disk/$_pdsk $_device"; }\n${lines.join('\n')}\n`;
  const { code, stdout } = await new RunningCli('/bin/sh', ['-c', script]).finished;
  assert.equal(code, 0);
  assert.equal(stdout, "r0/0 Configured Connected Primary UpToDate/UpToDate /dev/it's; touch x\nr0/1 Unconfigured Unconfigured  / /dev/drbd0\n");
  assert.equal(existsSync('x'), false);
});

test('verbs keep drbdadm’s exit codes', async () => {
  await withDaemon(
    ({ method }, response) => {
      if (method === 'GET') sendJson(response, makeStatus());
      else sendJson(response, errorForDrbdCode(-2, '0').reply, 409);
    },
    async ({ socket, requests }) => {
      const { code, stderr } = await runDrbdadm('--socket', socket, '--', '--overwrite-data-of-peer', 'primary', 'r0');
      assert.equal(code, 17);
      assert.match(stderr, /^0: State change failed: \(-2\) Need access to UpToDate data\n/m);
      assert.deepEqual(requests.at(-1)?.body, { force: true });
    },
  );
});

test('what is not available is refused by name, with what to do instead; an option it does not have is not ignored', async () => {
  const syncer = await runDrbdadm('syncer', 'r0', '--rate', '5');
  assert.equal(syncer.code, 1);
  assert.match(syncer.stderr, /'syncer' is not available with drbdts\n {2}The rate is `resync-rate`/);
  const dry = await runDrbdadm('-d', 'primary', 'r0');
  assert.equal(dry.code, 1);
  assert.match(dry.stderr, /drbdadm: unknown option '-d'/);
  const unknown = await runDrbdadm('frobnicate', 'r0');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^drbdadm: Unknown command 'frobnicate'/);
});

test('dump prints drbd.conf, without the secret; facts for scripts come from the file', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'drbdts-dump-'));
  const file = join(directory, 'drbdts.yaml');
  writeFileSync(
    file,
    `resources:
  r0:
    protocol: C
    net: { timeout: 60, shared-secret: do-not-tell, cram-hmac-alg: sha1 }
    disk: { on-io-error: detach, resync-rate: 10M }
    on:
      master1: { address: "10.77.0.1:7788", device: /dev/drbd0, disk: /dev/vdb, meta-disk: internal }
      master2: { address: "10.77.0.2:7788", device: /dev/drbd0, disk: /dev/vdb, meta-disk: internal }
`,
  );
  try {
    const ask = (...args: string[]): Promise<Outcome> => runDrbdadm('-c', file, '--node', 'master1', ...args);
    const { code, stdout, stderr } = await ask('dump', 'r0');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^resource r0 \{\n {4}on master1 \{\n {8}device {11}\/dev\/drbd0 minor 0;\n/m);
    assert.match(stdout, /address {10}ipv4 10\.77\.0\.2:7788;/);
    assert.match(stdout, /protocol +C;/);
    assert.match(stdout, /cram-hmac-alg +sha1;/);
    assert.ok(!stdout.includes('do-not-tell'));
    assert.equal((await ask('sh-dev', 'r0')).stdout, '/dev/drbd0\n');
    assert.equal((await ask('sh-resource', 'minor-0')).stdout, 'r0\n');
    assert.equal((await ask('sh-md-idx', 'r0')).stdout, 'internal\n');
    assert.equal((await ask('sh-nop')).code, 0);
    assert.equal((await ask('dump', 'nosuch')).code, 1);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('role without a daemon: an error, so that a script does not take silence for an answer', async () => {
  const { code, stdout, stderr } = await runDrbdadm('--socket', '/nonexistent/drbdtsd.sock', '--config', '/nonexistent.yaml', 'role', 'r0');
  assert.equal(code, 20);
  assert.equal(stdout, '');
  assert.match(stderr, /drbdtsd is not running/);
});

test('a daemon that hangs: calls end with an error, waiting on purpose does not', async () => {
  const never = new Promise<never>(() => {});
  const reply = { output: [], results: [] };
  const api = {
    status: () => never,
    proc: () => never,
    config: () => never,
    confirmFenced: () => never,
    reload: () => never,
    events: () => (async function* () {})(),
    verb: (_resource: string, verb: string) => (verb === 'wait-sync' ? new Promise<typeof reply>((resolve) => setTimeout(resolve, 60, reply)) : never),
  };
  const limited = withTimeLimits(api, { questionMs: 10, changeMs: 20 });
  await assert.rejects(limited.status(), /drbdtsd did not answer within 0.01 s: status/);
  await assert.rejects(limited.verb('r0', 'primary', {}), /did not answer within 0.02 s: primary r0/);
  assert.deepEqual(await limited.verb('r0', 'wait-sync', {}), reply);
});
