/** The real command line as a process, against a control socket of the test. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { encodeEvent } from '../../../src/control/sse.js';
import { drbdtsError, errorForDrbdCode } from '../../../src/shared/errors.js';
import { FakeDaemon, mainFile, type Responder, RunningCli, runProcess, sendJson } from './fake-daemon.js';
import { makeResource, makeResync, makeStatus, makeVolume } from './fixtures.js';

const syncing = (leftKib: number): ReturnType<typeof makeStatus> =>
  makeStatus([
    makeResource([makeVolume({ connection: 'SyncSource', role: 'Primary', peerDisk: 'Inconsistent', resync: makeResync({ leftKib }) })]),
  ]);

async function withDaemon(responder: Responder, body: (daemon: FakeDaemon) => Promise<void>): Promise<void> {
  const daemon = await FakeDaemon.start(responder);
  try {
    await body(daemon);
  } finally {
    await daemon.stop();
  }
}

test('status prints the table without colours into a pipe', async () => {
  await withDaemon(
    (_request, response) => sendJson(response, syncing(924860)),
    async ({ socket, requests }) => {
      const { code, stdout, stderr } = await runProcess(['--socket', socket, 'status']);
      assert.equal(stderr, '');
      assert.equal(code, 0);
      assert.equal(
        stdout,
        'drbdtsd running OK on master1; device status:\nversion: 0.1.0 (api:1/proto:100-101)\n' +
          'm:res  cs          ro                 ds                     p  mounted  fstype\n' +
          '0:r0   SyncSource  Primary/Secondary  UpToDate/Inconsistent  C\n' +
          "...    sync'ed:    12.2%              (924860/1048508)K\n" +
          '        [=>..................] finish: 0:00:44 speed: 20,608 (20,608) K/sec\n',
      );
      assert.deepEqual(requests, [{ method: 'GET', path: '/v1/status', body: null }]);
    },
  );
});

test('a refusal of the daemon reaches stderr and the exit code; the socket may come from the environment', async () => {
  await withDaemon(
    (_request, response) => sendJson(response, errorForDrbdCode(-2, '0').reply, 409),
    async ({ socket, requests }) => {
      const { code, stdout, stderr } = await runProcess(['primary', 'r0'], { DRBDTS_SOCKET: socket });
      assert.equal(code, 17);
      assert.equal(stdout, '');
      assert.match(stderr, /^0: State change failed: \(-2\) Need access to UpToDate data\n {2}.*\n$/);
      assert.deepEqual(requests, [{ method: 'POST', path: '/v1/resources/r0/primary', body: {} }]);
    },
  );
});

test('without a daemon every command that needs it exits with 20 and the remedy', async () => {
  for (const args of [['status'], ['up', 'r0'], ['role', 'all'], ['events'], ['status', '--watch']]) {
    const { code, stderr } = await runProcess(['--socket', '/nonexistent/drbdtsd.sock', ...args]);
    assert.equal(code, 20, args.join(' '));
    assert.match(stderr, /drbdtsd is not running\n {2}start drbdtsd: systemctl start drbdts/);
  }
});

test('a daemon that dies during a call is not taken for success', async () => {
  await withDaemon(
    (_request, response) => response.destroy(),
    async ({ socket }) => {
      const { code, stderr } = await runProcess(['--socket', socket, 'secondary', 'r0']);
      assert.equal(code, 20);
      assert.match(stderr, /drbdtsd went away during the call/);
    },
  );
});

test("an unknown resource is drbdadm's message and exit code", async () => {
  await withDaemon(
    (_request, response) =>
      sendJson(response, drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource: 'nosuch' }, place: 'nosuch' }).reply, 404),
    async ({ socket }) => {
      const { code, stderr } = await runProcess(['--socket', socket, 'up', 'nosuch']);
      assert.equal(code, 1);
      assert.equal(stderr.split('\n')[0], "'nosuch' not defined in your config (for this host).");
    },
  );
});

test('events prints what the stream brings until it is interrupted', async () => {
  await withDaemon(
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const time = '2026-11-20T14:46:34.123456+00:00';
      response.write(
        encodeEvent('message', {
          time,
          verb: 'exists',
          object: 'resource',
          attributes: { name: 'r0', role: 'Secondary', suspended: 'no' },
        }),
      );
      response.write(encodeEvent('message', { time, verb: 'exists', object: '-', attributes: {} }));
      response.write(encodeEvent('message', { time, verb: 'change', object: 'resource', attributes: { name: 'r0', role: 'Primary' } }));
    },
    async ({ socket }) => {
      const cli = new RunningCli(process.execPath, [mainFile, '--socket', socket, 'events', 'r0']);
      await cli.until(({ stdout }) => stdout.includes('role:Primary'));
      cli.child.kill('SIGINT');
      const { code, stdout, stderr } = await cli.finished;
      assert.equal(stdout, 'exists resource name:r0 role:Secondary suspended:no\nexists -\nchange resource name:r0 role:Primary\n');
      assert.equal(stderr, '');
      assert.equal(code, 0);
    },
  );
});

test('status --watch redraws when an event comes and ends on SIGINT', async () => {
  let left = 924860;
  let tell: () => void = () => {};
  await withDaemon(
    ({ path }, response) => {
      if (!path.startsWith('/v1/events')) return sendJson(response, syncing(left));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      tell = () => {
        const record = { time: '', verb: 'change', object: 'peer-device', attributes: { name: 'r0', volume: '0' } };
        response.write(encodeEvent('message', record));
      };
    },
    async ({ socket, requests }) => {
      // an hour between redraws: the second one is due to the event
      const cli = new RunningCli(process.execPath, [mainFile, '--socket', socket, 'status', 'r0', '--watch', '3600']);
      await cli.until(({ stdout }) => stdout.includes('(924860/1048508)K') && requests.some(({ path }) => path.startsWith('/v1/events')));
      left = 500000;
      const ticker = setInterval(() => tell(), 20);
      try {
        await cli.until(({ stdout }) => stdout.includes('(500000/1048508)K'));
      } finally {
        clearInterval(ticker);
      }
      cli.child.kill('SIGINT');
      const { code, stderr } = await cli.finished;
      assert.equal(stderr, '');
      assert.equal(code, 0);
    },
  );
});

test('wait-sync shows progress as lines where there is no terminal, and ends with the verb', async () => {
  let answer: () => void = () => {};
  await withDaemon(
    ({ path }, response) => {
      if (path === '/v1/status/r0') return sendJson(response, syncing(924860));
      answer = () => sendJson(response, { output: [], results: [] });
    },
    async ({ socket, requests }) => {
      const cli = new RunningCli(process.execPath, [mainFile, '--socket', socket, 'wait-sync', '--wfc-timeout', '0', 'r0']);
      await cli.until(({ stderr }) => stderr.includes('\n') && requests.some(({ method }) => method === 'POST'));
      answer();
      const { code, stdout, stderr } = await cli.finished;
      assert.equal(stderr, "r0: sync'ed: 12.2% finish: 0:00:44 speed: 20,608 (20,608) K/sec\n");
      assert.equal(stdout, '');
      assert.equal(code, 0);
      assert.deepEqual(
        requests.find(({ method }) => method === 'POST'),
        { method: 'POST', path: '/v1/resources/r0/wait-sync', body: { timeoutSeconds: 0 } },
      );
    },
  );
});

const noTerminal = existsSync('/usr/bin/script') ? false : 'script(1) is not installed, so no terminal can be made';

for (const [typed, forced] of [
  ['yes', true],
  ['no', false],
] as const) {
  test(`create-md on a terminal: ${typed}`, { skip: noTerminal }, async () => {
    await withDaemon(
      ({ method, body }, response) => {
        if (method === 'GET') return sendJson(response, makeStatus());
        const force = typeof body === 'object' && body !== null && 'force' in body;
        if (force) sendJson(response, { output: ['New drbd meta data block successfully created.'], results: [] });
        else sendJson(response, drbdtsError('ERR_META_DATA_EXISTS', { values: { disk: '/dev/sdb1' } }).reply, 409);
      },
      async ({ socket, requests }) => {
        const line = `'${process.execPath}' '${mainFile}' --socket '${socket}' create-md r0`;
        const cli = new RunningCli('/usr/bin/script', ['-qec', line, '/dev/null']);
        await cli.until(({ stdout }) => stdout.includes("[need to type 'yes' to confirm]"));
        cli.child.stdin?.write(`${typed}\n`);
        const { code, stdout } = await cli.finished;
        assert.match(stdout, /already in place on \/dev\/sdb1/);
        assert.equal(requests.filter(({ method }) => method === 'POST').length, forced ? 2 : 1);
        assert.equal(code, forced ? 0 : 1);
        assert.match(stdout, forced ? /successfully created/ : /Operation cancelled/);
      },
    );
  });
}

test('status on a terminal has colours, with NO_COLOR none', { skip: noTerminal }, async () => {
  await withDaemon(
    (_request, response) => sendJson(response, makeStatus()),
    async ({ socket }) => {
      const line = `'${process.execPath}' '${mainFile}' --socket '${socket}' status`;
      const colored = new RunningCli('/usr/bin/script', ['-qec', line, '/dev/null']);
      assert.ok((await colored.finished).stdout.includes('\u001b[32mConnected'));
      const plain = new RunningCli('/usr/bin/script', ['-qec', line, '/dev/null'], { NO_COLOR: '1' });
      assert.ok(!(await plain.finished).stdout.includes('\u001b[32m'));
    },
  );
});
