import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUnreachable } from '../../../src/cli/api.js';
import { worstExitCode } from '../../../src/cli/exit-codes.js';
import { CliError, formatRefusal, formatUnreachable, reportFailure } from '../../../src/cli/failure.js';
import { type DrbdtsError, drbdtsError, errorForDrbdCode } from '../../../src/shared/errors.js';

function report(error: unknown, json = false): { code: number; text: string } {
  let text = '';
  const stderr = { write: (part: string) => (text += part) };
  const code = reportFailure({ stderr, options: { socket: '/run/x.sock', clusterSocket: '/nonexistent', config: '/etc/x.yaml', json } }, error, 'r0');
  return { code, text };
}

// what the daemon throws, the first line and the exit code that drbdadm has for it
const refusals: readonly (readonly [DrbdtsError, string, number])[] = [
  [errorForDrbdCode(-2, '0'), '0: State change failed: (-2) Need access to UpToDate data', 17],
  [errorForDrbdCode(-1, '0'), '0: State change failed: (-1) Multiple primaries not allowed by config', 11],
  [errorForDrbdCode(-12, '0'), '0: State change failed: (-12) Device is held open by someone', 11],
  [errorForDrbdCode(-16, '0'), '0: State change failed: (-16) Disk state is lower than outdated', 5],
  [errorForDrbdCode(-4, '0'), '0: State change failed: (-4) Can not resync without local disk', 16],
  [errorForDrbdCode(102, 'r0'), 'r0: Failure: (102) Local address(port) already in use.', 10],
  [errorForDrbdCode(162, '??'), '??: Failure: (162) Invalid configuration request', 10],
  [drbdtsError('ERR_STATE_NO_UP_TO_DATE_DATA', { place: '0' }), '0: State change failed: (-2) Need access to UpToDate data', 17],
  [drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: 'nosuch' } }), "'nosuch' not defined in your config (for this host).", 1],
  [drbdtsError('ERR_NO_META_DATA', { place: 'r0/0' }), 'No valid meta data found', 1],
  [drbdtsError('ERR_DEVICE_CONFIGURED', { values: { minor: 0 } }), "Device '0' is configured!", 20],
  [drbdtsError('ERR_WAIT_STANDALONE', { values: { resource: 'r0' }, place: 'r0' }), 'r0 is StandAlone and will not connect by itself', 5],
];
for (const [error, line, exitCode] of refusals) {
  test(`${error.code} prints '${line}' and exits with ${exitCode}`, () => {
    const { code, text } = report(error);
    const [first, advice] = text.split('\n');
    assert.equal(first, line);
    assert.match(advice ?? '', /^ {2}\S.*[.!?]$/, 'cause and remedy follow');
    assert.equal(code, exitCode);
  });
}

test('the remedy names the resource', () => {
  const [, advice] = formatRefusal(errorForDrbdCode(-11, '0').reply, 'r0/1');
  assert.match(advice ?? '', /`drbdts attach r0`/);
});

test('--json prints the refusal as the API gave it', () => {
  const error = errorForDrbdCode(-2, '0');
  assert.deepEqual(JSON.parse(report(error, true).text), { error: error.reply });
});

test('a daemon that does not run is exit code 20 with the remedy', () => {
  const { code, text } = report(drbdtsError('ERR_DAEMON_UNREACHABLE', { cause: Object.assign(new Error('connect'), { code: 'ENOENT' }) }));
  assert.equal(code, 20);
  assert.match(text, /drbdtsd is not running\n {2}start drbdtsd: systemctl start drbdts/);
});

test('a socket error inside of another error counts as unreachable', () => {
  const error = drbdtsError('ERR_DAEMON_UNREACHABLE', {
    values: { socket: 'x', reason: 'y' },
    cause: Object.assign(new Error('connect'), { code: 'EACCES' }),
  });
  assert.ok(isUnreachable(error));
  assert.match(formatUnreachable(error, '/run/x.sock')[0] ?? '', /permission denied/);
  const ended = drbdtsError('ERR_DAEMON_UNREACHABLE', {
    values: { socket: 'x', reason: 'y' },
    cause: new Error('the daemon ended during the command'),
  });
  assert.match(formatUnreachable(ended, '/run/x.sock')[0] ?? '', /went away during the call/);
});

test('an answer is an answer, whatever its cause was', () => {
  const missing = drbdtsError('ERR_CONFIG_MISSING', {
    values: { file: '/etc/x', reason: 'no such file' },
    cause: Object.assign(new Error('open'), { code: 'ENOENT' }),
  });
  assert.equal(isUnreachable(missing), false);
  assert.match(report(missing).text, /Can not open '\/etc\/x': no such file\./);
});

test('errors of the command line carry their own code', () => {
  assert.deepEqual(report(new CliError(['r0: No such resource'], 10)), { code: 10, text: 'r0: No such resource\n' });
  assert.equal(report(new TypeError('oops')).code, 20);
});

test('the worst exit code wins', () => {
  assert.equal(worstExitCode([]), 0);
  assert.equal(worstExitCode([0, 17, 10]), 17);
});
