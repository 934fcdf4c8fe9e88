/** drbdts import and drbdts config check of other products' files, as a user calls them. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseConfig } from '../../../src/config/load.js';
import { authkeys, drbdConf, haCf, haresources } from '../import/originals.js';
import { web } from '../import/vrrp-originals.js';
import { runFake } from './fake-context.js';

const directory = mkdtempSync(join(tmpdir(), 'drbdts-import-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode });
  return path;
}
const conf = write('drbd.conf', drbdConf);

test('import prints drbdts.yaml and exits with 0 when nothing is lost', async () => {
  const outcome = await runFake(['import', conf, '--node', 'master1']);
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.equal(parseConfig(outcome.stdout, 'f', 'master1').config?.resources[0]?.name, 'r0');
  assert.match(outcome.stderr, /drbd\.conf:12:10: note: .*\[IMPORT_RATE\]\ndrbdts: 0 errors, 0 lost, 0 warnings, 1 note\n$/);
});

test('import exits with 3 when something is lost, and names it with place', async () => {
  const file = write('lost.res', drbdConf.replace('timeout 60;', 'allow-two-primaries;'));
  const outcome = await runFake(['import', file, '--node', 'master1']);
  assert.equal(outcome.code, 3);
  assert.match(outcome.stderr, /lost\.res:6:1: lost: 'allow-two-primaries' has no equivalent: .* \[IMPORT_NO_EQUIVALENT\]/);
  assert.match(outcome.stdout, /^# Written by `drbdts import`[\s\S]*allow-two-primaries/);
});

test('import exits with 10 when the check would refuse the result', async () => {
  const file = write('half.res', 'resource r0 { on master1 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal; address 10.0.0.1:7788; } }\n');
  const outcome = await runFake(['import', file, '--node', 'master1']);
  assert.equal(outcome.code, 10);
  assert.match(outcome.stderr, /IMPORT_HOST_MISSING/);
});

test('import --output writes for the owner only and never over a file without --force', async () => {
  const output = join(directory, 'out.yaml');
  const outcome = await runFake(['import', conf, '--node', 'master1', '--output', output]);
  assert.equal(outcome.code, 0);
  assert.equal(outcome.stdout, '');
  assert.match(outcome.stderr, new RegExp(`written to ${output}`));
  assert.equal(statSync(output).mode & 0o777, 0o600);
  writeFileSync(output, 'mine\n');
  const refused = await runFake(['import', conf, '--node', 'master1', '--output', output]);
  assert.equal(refused.code, 64);
  assert.match(refused.stderr, /is there already\n {2}.*--force/);
  assert.equal(readFileSync(output, 'utf8'), 'mine\n');
  assert.equal((await runFake(['import', conf, '--node', 'master1', '--output', output, '--force'])).code, 0);
  assert.match(readFileSync(output, 'utf8'), /resources:/);
});

test('import takes a folder, heartbeat and DRBD together, and writes the key', async () => {
  const folder = join(directory, 'ha.d');
  mkdirSync(folder);
  writeFileSync(join(folder, 'ha.cf'), 'node master1 master2\nkeepalive 1\ndeadtime 10\nucast eth1 10.1.1.1\nucast eth1 10.1.1.2\nauto_failback off\n', { mode: 0o600 });
  writeFileSync(join(folder, 'haresources'), 'master1 drbddisk::r0 Filesystem::/dev/drbd0::/store::ext4\n');
  writeFileSync(join(folder, 'authkeys'), 'auth 1\n1 sha1 0123456789abcdef0123\n', { mode: 0o600 });
  writeFileSync(join(folder, 'README'), 'not for us\n');
  const [output, key] = [join(directory, 'cluster.yaml'), join(directory, 'cluster.key')];
  const outcome = await runFake(['import', folder, conf, '--node', 'master1', '--address', 'master1/eth1=10.1.1.1', '--witness', '10.1.1.3:7795', '--output', output, '--key-output', key]);
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.equal(readFileSync(key, 'utf8'), '0123456789abcdef0123\n');
  assert.equal(statSync(key).mode & 0o777, 0o600);
  const { config } = parseConfig(readFileSync(output, 'utf8'), output, 'master1');
  assert.deepEqual([config?.cluster?.keyFile, config?.cluster?.deadtimeMs, config?.groups[0]?.members.length], [key, 10_000, 2]);
  assert.equal((await runFake(['config', 'check', output, '--node', 'master1'])).code, 0);
});

for (const [what, args, words] of [
  ['no file', ['import'], /missing required argument/],
  ['a file that is not there', ['import', join(directory, 'none.conf')], /no such file/],
  ['a file of nobody', ['import', write('notes.txt', 'hello\n')], /looks like none of/],
  ['a drbdts.yaml', ['import', write('own.yaml', 'resources: {}\n')], /is a drbdts\.yaml already/],
  ['a folder without configuration', ['import', tmpdir()], /not a file/],
  ['an address without place', ['import', conf, '--address', '10.0.0.1'], /NODE\/INTERFACE=ADDRESS/],
  ['a witness without port', ['import', conf, '--witness', 'w'], /HOST:PORT/],
  ['an option nobody knows', ['import', conf, '--outptu', 'x'], /unknown option/],
] as const) {
  test(`import: ${what} is wrong use, exit code 64`, async () => {
    const outcome = await runFake([...args]);
    assert.equal(outcome.code, 64, outcome.stderr);
    assert.match(outcome.stderr, words);
    assert.equal(outcome.stdout, '');
  });
}

test('import --json has findings, exit code and the text', async () => {
  const outcome = await runFake(['--json', 'import', conf, '--node', 'master1']);
  const report = JSON.parse(outcome.stdout) as { files: unknown; complete: boolean; exitCode: number; findings: { code: string; file: string; line: number; column: number }[]; yaml: string };
  assert.deepEqual(report.files, [{ file: conf, kind: 'drbd' }]);
  assert.deepEqual(report.findings.map(({ code, line, column }) => [code, line, column]), [['IMPORT_RATE', 12, 10]]);
  assert.deepEqual([report.complete, report.exitCode], [true, 0]);
  assert.match(report.yaml, /^resources:/m);
});

test('config check takes the same files, compares them, and exits with 10 for errors', async () => {
  const files = [write('ha.cf', haCf), write('haresources', haresources), write('authkeys', authkeys, 0o644)];
  const outcome = await runFake(['config', 'check', ...files, conf, '--node', 'master1']);
  assert.equal(outcome.code, 10);
  for (const wanted of [/ha\.cf:4:13: error: .*IMPORT_SLASH_COMMENT/, /authkeys:1:1: error: .*mode 0644/, /authkeys:2:1: error: .*IMPORT_AUTH_NO_ID/, /haresources:1:41: warning: nginx starts before Filesystem/]) assert.match(outcome.stderr, wanted);
  assert.doesNotMatch(outcome.stderr, /: (?:note|lost): /);
  const { valid, problems } = JSON.parse((await runFake(['--json', 'config', 'check', ...files, '--node', 'master1'])).stdout) as { valid: boolean; problems: unknown[] };
  assert.equal(valid, false);
  assert.ok(problems.length > 10);
});

test('config check of a good drbd.conf says so', async () => {
  const outcome = await runFake(['config', 'check', conf, '--node', 'master1']);
  assert.equal(outcome.code, 0);
  assert.equal(outcome.stdout, `${conf}: OK\n`);
});

test('explain knows the findings', async () => {
  const outcome = await runFake(['explain', 'import_auth_no_id']);
  assert.equal(outcome.code, 0);
  assert.match(outcome.stdout, /^IMPORT_AUTH_NO_ID \(an error of the file/);
  assert.ok(!existsSync(join(directory, 'import_auth_no_id')));
});

test('import NAME=FILE puts the keepalived.conf of all nodes together', async () => {
  const [one, two] = [write('one.conf', web('one')), write('two.conf', web('two'))];
  const outcome = await runFake(['import', `alpha=${one}`, `beta=${two}`, '--node', 'alpha']);
  // mail is lost
  assert.equal(outcome.code, 3, outcome.stderr);
  assert.deepEqual(Object.entries(parseConfig(outcome.stdout, 'f', 'alpha').config?.vrrp?.instances[0]?.nodes ?? {}).map(([node, { priority }]) => [node, priority]), [['alpha', 100], ['beta', 85]]);
  const twice = await runFake(['import', `alpha=${one}`, `alpha=${two}`]);
  assert.equal(twice.code, 64);
  assert.match(twice.stderr, /alpha has a file already/);
  const foreign = await runFake(['import', `alpha=${conf}`]);
  assert.equal(foreign.code, 64);
  assert.match(foreign.stderr, /no keepalived\.conf/);
});
