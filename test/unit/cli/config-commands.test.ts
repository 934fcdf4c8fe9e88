import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runFake } from './fake-context.js';

const example = fileURLToPath(new URL('../../../../resources/examples/r0.yaml', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'drbdts-cli-config-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const here = ['--config', example, '--node', 'master1'];

test('config check of a good file names its resources', async () => {
  const outcome = await runFake(['config', 'check', example, '--node', 'master1']);
  assert.equal(outcome.stdout, `${example}: OK; resources: r0\n`);
  assert.equal(outcome.code, 0);
});

test('config check names line and column of a problem and exits with 10', async () => {
  const file = join(directory, 'bad.yaml');
  writeFileSync(file, 'resources:\n  r0:\n    net:\n      max-bufers: 2048\n');
  const outcome = await runFake(['config', 'check', file]);
  assert.equal(outcome.code, 10);
  assert.match(outcome.stderr, /bad\.yaml:4:7: .*max-bufers/);
  assert.equal(outcome.stdout, '');
  const { valid } = JSON.parse((await runFake(['config', 'check', file, '--json'])).stdout) as { valid: boolean };
  assert.equal(valid, false);
});

test('a missing file is exit code 20, as with drbdadm', async () => {
  const outcome = await runFake(['config', 'check', join(directory, 'none.yaml')]);
  assert.equal(outcome.code, 20);
  assert.match(outcome.stderr, /^Can not open '.*none\.yaml'/);
});

test('config schema is a JSON schema', async () => {
  const schema = JSON.parse((await runFake(['config', 'schema'])).stdout) as { properties: object };
  assert.ok('resources' in schema.properties);
});

for (const [command, expected] of [
  ['sh-resources', 'r0'],
  ['sh-dev r0', '/dev/drbd0'],
  ['sh-minor r0/0', '0'],
  ['sh-ll-dev r0', '/dev/sdb1'],
  ['sh-md-dev all', '/dev/sdb1'],
  ['sh-ip r0', '192.168.42.12'],
] as const) {
  test(`${command} prints ${expected}, without the daemon`, async () => {
    const outcome = await runFake([...here, ...command.split(' ')]);
    assert.equal(outcome.stdout, `${expected}\n`);
    assert.equal(outcome.code, 0);
  });
}

test('sh-ip is the address of the node that asks', async () => {
  assert.equal((await runFake(['--config', example, '--node', 'master2', 'sh-ip', 'r0'])).stdout, '192.168.42.13\n');
});

test('a resource this node has no side of is not defined for it', async () => {
  const outcome = await runFake(['--config', example, '--node', 'elsewhere', 'sh-dev', 'r0']);
  assert.equal(outcome.code, 1);
  assert.equal(outcome.stderr.split('\n')[0], "'r0' not defined in your config (for this host).");
});
