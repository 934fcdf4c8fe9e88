/** drbdtsd as a real process with a stand-in engine, driven through its socket as drbdts does. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { EventRecord, ProgressRecord } from '../../../src/control/messages.js';
import { DaemonProcess, exampleConfig, until } from '../../support/daemon-process.js';

/** A daemon per test, gone afterwards. */
async function withDaemon(work: (daemon: DaemonProcess) => Promise<void>, extra = ''): Promise<void> {
  const daemon = new DaemonProcess();
  if (extra !== '') daemon.write('drbdts.yaml', exampleConfig(daemon.directory, extra));
  try {
    await work(daemon);
  } finally {
    await daemon.remove();
  }
}

/** Meta-data that say: UpToDate. */
function writeGoodMetaData(daemon: DaemonProcess, flags = 0x91): void {
  const name = `md${daemon.directory.replaceAll('/', '_')}_disk-a.json`;
  writeFileSync(
    join(daemon.directory, name),
    JSON.stringify({ uuids: ['1334DC39EA5265AC', '0000000000000000', '0000000000000000', '0000000000000000'], flags, clean: false }),
  );
}

async function volume(daemon: DaemonProcess) {
  const { resources } = await daemon.client.status('r0');
  const found = resources[0]?.volumes[0];
  assert.ok(resources[0] && found);
  return { ...found, up: resources[0].up };
}

describe('the life of a resource', () => {
  const daemon = new DaemonProcess();
  const { client } = daemon;
  before(() => {
    daemon.write('drbdts.yaml', `global: { log-level: debug }\n${exampleConfig(daemon.directory)}`);
    return daemon.start();
  });
  after(() => daemon.remove());

  it('is configured and down at first', async () => {
    const status = await client.status();
    assert.equal(status.node, 'alpha');
    assert.equal(status.resources[0]?.up, false);
    assert.equal(status.resources[0]?.peerName, 'beta');
    for (const verb of ['primary', 'secondary', 'detach', 'pause-sync'] as const) {
      await assert.rejects(client.verb('r0', verb), { message: '900: Failure: (127) Device minor not allocated', exitCode: 10 });
    }
    assert.deepEqual((await client.verb('r0', 'down')).output, [], 'down of what is down does nothing');
  });

  it('up without meta-data is refused as drbdadm does', async () => {
    await assert.rejects(client.verb('r0', 'up'), { message: 'No valid meta data found', exitCode: 1, code: 'ERR_NO_META_DATA' });
    assert.equal((await volume(daemon)).up, false, 'nothing is left half up');
  });

  it('create-md writes, and asks before it overwrites', async () => {
    assert.equal((await client.verb('r0', 'create-md')).output.at(-1), 'New drbd meta data block successfully created.');
    await assert.rejects(client.verb('r0', 'create-md'), { code: 'ERR_META_DATA_EXISTS', exitCode: 1 });
    await client.verb('r0', 'create-md', { force: true });
    assert.deepEqual((await client.verb('r0', 'get-gi')).output, [
      '0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0',
    ]);
    const dump = (await client.verb('r0', 'dump-md')).output;
    assert.equal(dump[0], '# DRBD meta data dump');
    assert.match(dump[2] ?? '', /^# alpha> drbdmeta 900 v08 \S+disk-a internal dump-md$/);
  });

  it('create-md over a file system asks, and never cuts one', async () => {
    await client.verb('r0', 'wipe-md', { force: true });
    daemon.tell('foreign', 'ext4 file system');
    await assert.rejects(client.verb('r0', 'create-md'), { code: 'ERR_WOULD_OVERWRITE_DATA', exitCode: 1 });
    daemon.tell('foreign', 'cut ext4 file system');
    await assert.rejects(client.verb('r0', 'create-md', { force: true }), {
      code: 'ERR_CREATE_MD_REFUSED',
      exitCode: 40,
      message: /Operation refused/,
    });
    daemon.tell('foreign', '');
    await assert.rejects(client.verb('r0', 'wipe-md', { force: true }), { code: 'ERR_NO_META_DATA' });
    await client.verb('r0', 'create-md');
    await assert.rejects(client.verb('r0', 'wipe-md'), { code: 'ERR_CONFIRMATION_NEEDED' });
  });

  it('up attaches and connects; twice is refused', async () => {
    await client.verb('r0', 'up');
    const now = await volume(daemon);
    assert.deepEqual([now.connection, now.disk, now.role], ['WFConnection', 'Inconsistent', 'Secondary']);
    await assert.rejects(client.verb('r0', 'up'), { message: "Device '900' is configured!", exitCode: 1 });
    await assert.rejects(client.verb('r0', 'attach'), { message: "Device '900' is configured!", exitCode: 20 });
    await assert.rejects(client.verb('r0', 'create-md', { force: true }), { message: "Device '900' is configured!", exitCode: 20 });
    await assert.rejects(client.verb('r0', 'dump-md'), { exitCode: 20 });
    await assert.rejects(client.verb('r0', 'connect'), { message: 'r0: Failure: (102) Local address(port) already in use.', exitCode: 10 });
  });

  it('primary needs data; secondary and down are refused while the device is open, naming who has it', async () => {
    await assert.rejects(client.verb('r0', 'primary'), {
      message: '900: State change failed: (-2) Need access to UpToDate data',
      exitCode: 17,
    });
    await client.verb('r0', 'primary', { force: true });
    assert.equal((await volume(daemon)).role, 'Primary');
    daemon.tell('open', 'mkfs.ext4 (pid 4711) has it open.');
    await assert.rejects(client.verb('r0', 'secondary'), {
      message: '900: State change failed: (-12) Device is held open by someone',
      exitCode: 11,
      remedy: /pid 4711/,
    });
    await assert.rejects(client.verb('r0', 'down'), { exitCode: 11 });
    assert.equal((await volume(daemon)).up, true);
    daemon.tell('open', '');
    await client.verb('r0', 'secondary');
  });

  it('every verb takes its own arguments only', async () => {
    await assert.rejects(client.verb('r0', 'up', { force: true }), { code: 'ERR_BAD_REQUEST', message: /up does not take force/ });
    await assert.rejects(client.verb('r0', 'verify', { volume: 7 }), { code: 'ERR_UNKNOWN_VOLUME_NUMBER', exitCode: 1 });
    await assert.rejects(client.verb('r0', 'resize', { size: 'big' }), { code: 'ERR_BAD_REQUEST' });
    await assert.rejects(client.verb('nosuch', 'up'), { message: "'nosuch' not defined in your config (for this host).", exitCode: 1 });
  });

  it('wait-connect gives up after its time with exit code 5', async () => {
    await assert.rejects(client.verb('r0', 'wait-connect', { timeoutSeconds: 0.05 }), { code: 'ERR_WAIT_TIMEOUT', exitCode: 5 });
  });

  it('disconnect, then disconnect again', async () => {
    await client.verb('r0', 'disconnect');
    assert.equal((await volume(daemon)).connection, 'StandAlone');
    await assert.rejects(client.verb('r0', 'disconnect'), { message: '??: Failure: (162) Invalid configuration request', exitCode: 10 });
    await assert.rejects(client.verb('r0', 'wait-connect'), { code: 'ERR_WAIT_STANDALONE', exitCode: 5 });
  });

  it('a connection with a resync: events, progress, wait-sync, /proc text', async () => {
    daemon.tell('peer', 'connected');
    const end = new AbortController();
    const events: EventRecord[] = [];
    const followed = (async () => {
      for await (const event of client.events({ resource: 'r0', signal: end.signal })) events.push(event);
    })();
    await until(() => events.some((event) => event.object === '-'));
    await client.verb('r0', 'connect');
    await client.verb('r0', 'wait-connect');
    await client.verb('r0', 'invalidate');
    const progress: ProgressRecord[] = [];
    await client.verb('r0', 'down');
    await client.verb('r0', 'wipe-md', { force: true });
    await client.verb('r0', 'create-md');
    await client.verb('r0', 'up');
    await client.verb('r0', 'wait-connect');
    await client.verb('r0', 'primary', { force: true });
    assert.match(
      await client.proc(),
      /\n900: cs:SyncSource ro:Primary\/Secondary ds:UpToDate\/Inconsistent C r-----\n.*oos:\d+\n\t\[.*sync'ed:/,
    );
    await client.verb('r0', 'wait-sync', {}, { onProgress: (record) => progress.push(record) });
    assert.ok(progress.length > 0 && progress.every((record) => record.resource === 'r0'));
    assert.equal((await volume(daemon)).peerDisk, 'UpToDate');
    await until(() => events.some((event) => event.verb === 'change' && event.attributes.replication === 'SyncSource'));
    await until(() => events.at(-1)?.attributes['peer-disk'] === 'UpToDate');
    assert.ok(
      events.some((event) => event.verb === 'destroy' && event.object === 'resource'),
      'the down in between',
    );
    assert.ok(events.every((event) => event.object === '-' || event.attributes.name === 'r0'));
    end.abort();
    await followed;
  });

  it('down ends it, and says so in the log', async () => {
    await client.verb('r0', 'secondary');
    await client.verb('r0', 'down');
    assert.equal((await volume(daemon)).up, false);
    assert.match(daemon.stderr, /r0 role\(Secondary -> Primary\)/);
    assert.match(daemon.stderr, /r0\/0 .*disk\(Inconsistent -> UpToDate\)/);
    assert.match(daemon.stderr, /r0 down/);
  });

  it('outdate and invalidate of a resource that is down go to its meta-data', async () => {
    await client.verb('r0', 'outdate');
    await client.verb('r0', 'invalidate');
    await assert.rejects(client.verb('r0', 'outdate'), {
      message: '900: State change failed: (-16) Disk state is lower than outdated',
      exitCode: 5,
    });
  });
});

describe('restart', () => {
  it('what was up when the daemon was killed is up again, with the configuration it ran with', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'primary');
      await daemon.kill('SIGKILL');
      daemon.write('drbdts.yaml', exampleConfig(daemon.directory, '    disk: { al-extents: 257 }\n'));
      await daemon.start();
      await until(async () => (await volume(daemon)).connection === 'WFConnection');
      const now = await volume(daemon);
      assert.deepEqual([now.disk, now.role], ['UpToDate', 'Secondary'], 'nobody kept the device, so it is not Primary');
      assert.match(daemon.stderr, /was Primary and nobody kept its device/);
      assert.deepEqual(
        (await daemon.client.verb('r0', 'adjust')).results.map((result) => result.text),
        ['reattach: al-extents 1237 -> 257'],
      );
      assert.equal((await daemon.client.verb('r0', 'adjust')).results[0]?.code, 2);
    }));

  it('a kept device becomes Primary again, after the peer was asked', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.tell('peer', 'connected');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'wait-connect');
      await daemon.client.verb('r0', 'primary');
      await daemon.kill('SIGKILL');
      const asked = daemon.commands().length;
      await daemon.start([], {
        NOTIFY_SOCKET: '/nonexistent',
        FDSTORE: '16',
        LISTEN_FDS: '1',
        LISTEN_FDNAMES: 'drbdts/r0/0/fuse/loop3/512',
      });
      await until(async () => (await volume(daemon)).role === 'Primary');
      assert.deepEqual(daemon.commands().slice(asked), ['r0 attach {"volume":0}', 'r0 connect {}', 'r0 primary {"recover":true}']);
      assert.match(daemon.stderr, /Primary again with the device that was kept/);
      assert.match(readFileSync(join(daemon.directory, 'notified'), 'utf8'), /READY=1/);
    }));

  it('a kept device is given up when the peer has taken over: its users must not hang for ever', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.tell('peer', 'connected');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'wait-connect');
      await daemon.client.verb('r0', 'primary');
      await daemon.kill('SIGKILL');
      daemon.tell('taken-over', 'yes');
      const asked = daemon.commands().length;
      await daemon.start([], { NOTIFY_SOCKET: '/nonexistent', FDSTORE: '16', LISTEN_FDS: '1', LISTEN_FDNAMES: 'drbdts/r0/0/fuse/loop3/512' });
      const again = ['r0 attach {"volume":0}', 'r0 connect {}'];
      await until(() => daemon.commands().length >= asked + 5);
      assert.deepEqual(daemon.commands().slice(asked), [...again, 'r0 primary {"recover":true}', ...again]);
      assert.match(readFileSync(join(daemon.directory, 'notified'), 'utf8'), /FDSTOREREMOVE=1\nFDNAME=drbdts\/r0\/0\/fuse\/loop3\/512/);
      assert.match(daemon.stderr, /the peer has taken over: the device that was kept is given up/);
    }));

  it('a peer that died with us does not keep the I/O waiting for ever', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.tell('peer', 'connected');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'wait-connect');
      await daemon.client.verb('r0', 'primary');
      await daemon.kill('SIGKILL');
      daemon.tell('peer', '');
      await daemon.start([], { LISTEN_FDS: '1', LISTEN_FDNAMES: 'drbdts/r0/0/fuse/loop3/512' });
      await until(async () => (await volume(daemon)).role === 'Primary');
      assert.match(daemon.stderr, /the peer does not answer; going on without it/);
    }));

  it('a configuration broken meanwhile does not keep what was up down', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.kill('SIGKILL');
      daemon.write('drbdts.yaml', 'resources: [broken\n');
      await daemon.start();
      await until(async () => (await volume(daemon)).disk === 'UpToDate');
      assert.match(daemon.stderr, /drbdts\.yaml:\d+:\d+: /);
      await assert.rejects(daemon.client.reload(), { code: 'ERR_CONFIG', exitCode: 10 });
    }));

  it('what the admin took down stays down', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start(['--start-all']);
      await until(async () => (await volume(daemon)).up);
      await daemon.client.verb('r0', 'down');
      await daemon.kill('SIGKILL');
      await daemon.start(['--start-all']);
      assert.equal((await volume(daemon)).up, false);
    }));

  it('SIGTERM leaves the device to the keeper, and without one takes it down or says what follows', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start([], { NOTIFY_SOCKET: '/nonexistent', FDSTORE: '16' });
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'primary');
      assert.deepEqual(await daemon.kill('SIGTERM'), { code: 0, signal: null });
      assert.ok(!daemon.commands().includes('r0 down {}'));
      assert.match(daemon.stderr, /stays with the keeper/);

      await daemon.start([], { LISTEN_FDS: '1', LISTEN_FDNAMES: 'drbdts/r0/0/fuse/loop3/512' });
      await until(async () => (await volume(daemon)).role === 'Primary');
      daemon.tell('open', 'somebody');
      assert.equal((await daemon.kill('SIGTERM')).code, 0);
      assert.match(daemon.stderr, /its I\/O fails from now on/);
      assert.equal(existsSync(daemon.socket), false);
    }));
});

describe('start', () => {
  it('a second daemon on the same state directory is refused', () =>
    withDaemon(async (daemon) => {
      await daemon.start();
      const second = new DaemonProcess();
      second.spawn(['--state-dir', join(daemon.directory, 'state')]);
      assert.equal((await second.end()).code, 20);
      assert.match(second.stderr, /another drbdtsd holds/);
      await second.remove();
      assert.equal((await daemon.client.version()).protocol.max, 101);
    }));

  it('configuration errors: every problem with its place, exit code 10', () =>
    withDaemon(async (daemon) => {
      daemon.write('drbdts.yaml', exampleConfig(daemon.directory).replace('timeout: 1s', 'timeout: 1h, pong-int: 3'));
      daemon.spawn();
      assert.equal((await daemon.end()).code, 10);
      assert.match(daemon.stderr, /drbdts\.yaml:4:\d+: .*timeout: unknown unit 'h'/);
      assert.match(daemon.stderr, /Did you mean 'ping-int'/);
    }));

  it('a missing configuration: exit code 20', () =>
    withDaemon(async (daemon) => {
      daemon.spawn(['--config', '/nonexistent.yaml']);
      assert.equal((await daemon.end()).code, 20);
      assert.match(daemon.stderr, /Can not open '\/nonexistent\.yaml'/);
    }));

  it('an engine that cannot be loaded is said with a way out', () =>
    withDaemon(async (daemon) => {
      daemon.spawn([], { DRBDTS_NATIVE: '/nonexistent.js' });
      assert.equal((await daemon.end()).code, 20);
      assert.match(daemon.stderr, /npm run build:native/);
    }));

  it('an unknown argument: usage', () =>
    withDaemon(async (daemon) => {
      daemon.spawn(['--frobnicate']);
      assert.equal((await daemon.end()).code, 1);
    }));

  it('the record of what is up is for its owner only', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      assert.equal(statSync(join(daemon.directory, 'state', 'state.json')).mode & 0o777, 0o600);
    }));
});

describe('become-primary-on', () => {
  const extra = '    startup: { become-primary-on: alpha }\n';
  it('promotes when the peer is connected', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.tell('peer', 'connected');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await until(async () => (await volume(daemon)).role === 'Primary');
    }, extra));
  it('a command of the admin cancels it', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'secondary');
      await until(() => daemon.stderr.includes('is cancelled'));
      assert.equal((await volume(daemon)).role, 'Secondary');
    }, extra));
});

describe('handlers', () => {
  it("get DRBD's environment, their exit code decides, and the log says it", () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.write(
        'drbdts.yaml',
        exampleConfig(daemon.directory, `    handlers: { fence-peer: 'env > ${daemon.directory}/env; echo fenced it; exit 4' }\n`),
      );
      daemon.tell('handler', 'fence-peer');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'primary');
      const env = readFileSync(join(daemon.directory, 'env'), 'utf8').split('\n');
      const expected = [
        'DRBD_RESOURCE=r0',
        'DRBD_VOLUME=0',
        'DRBD_MINOR=900',
        'DRBD_PEER=beta',
        'DRBD_PEER_ADDRESS=127.0.0.1',
        'DRBD_PEER_AF=ipv4',
        `DRBD_LL_DISK=${daemon.directory}/disk-a`,
        `DRBD_CONF=${daemon.directory}/drbdts.yaml`,
        'DRBD_FROM_ENGINE=yes',
      ];
      for (const line of expected) assert.ok(env.includes(line), line);
      await until(() => daemon.stderr.includes("handler fence-peer: exit code 4, peer's disk is Outdated; it printed: fenced it"));
    }));

  it('one that never ends is ended with all it started', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      daemon.write(
        'drbdts.yaml',
        `global: { handler-timeout: 1s }\n${exampleConfig(daemon.directory, `    handlers: { fence-peer: 'sleep 1000 & echo $! > ${daemon.directory}/pid; wait' }\n`)}`,
      );
      daemon.tell('handler', 'fence-peer');
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await assert.rejects(daemon.client.verb('r0', 'primary'), { drbdCode: -7 });
      assert.match(daemon.stderr, /fence-peer ended after 1 s without a result/);
      const pid = Number(readFileSync(join(daemon.directory, 'pid'), 'utf8'));
      await until(() => {
        try {
          return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
        } catch {
          return true;
        }
      });
    }));
});

describe('reload and adjust', () => {
  it('a new resource comes up, one that left goes down, and nothing happens before adjust', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      daemon.write('drbdts.yaml', exampleConfig(daemon.directory).replace('r0:', 'r1:'));
      assert.deepEqual((await daemon.client.reload()).changed.sort(), ['r0', 'r1']);
      assert.deepEqual(
        (await daemon.client.status()).resources.map((resource) => [resource.name, resource.up]),
        [
          ['r0', true],
          ['r1', false],
        ],
      );
      await daemon.client.verb('r0', 'adjust');
      await daemon.client.verb('r1', 'adjust');
      assert.deepEqual(
        (await daemon.client.status()).resources.map((resource) => [resource.name, resource.up]),
        [['r1', true]],
      );
    }));

  it('an address cannot change under a Primary', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'primary');
      daemon.write('drbdts.yaml', exampleConfig(daemon.directory).replace('7789', '7799'));
      await daemon.client.reload();
      await assert.rejects(daemon.client.verb('r0', 'adjust'), { code: 'ERR_ADJUST_IN_USE', exitCode: 11 });
      await daemon.client.verb('r0', 'secondary');
      await daemon.client.verb('r0', 'adjust');
      assert.equal((await volume(daemon)).connection, 'WFConnection');
    }));

  it('adjust completes what is half up', () =>
    withDaemon(async (daemon) => {
      writeGoodMetaData(daemon);
      await daemon.start();
      await daemon.client.verb('r0', 'up');
      await daemon.client.verb('r0', 'disconnect');
      await daemon.client.verb('r0', 'detach');
      await daemon.client.verb('r0', 'adjust');
      const now = await volume(daemon);
      assert.deepEqual([now.disk, now.connection], ['UpToDate', 'WFConnection']);
    }));

  it('a text can be checked without being used; secrets never leave', () =>
    withDaemon(async (daemon) => {
      await daemon.start();
      const { problems } = await daemon.client.checkConfig({ text: 'resources:\n  r0:\n    nett: {}\n' });
      assert.ok(
        problems.some((problem) => problem.line === 3 && problem.remedy.includes("'net'")),
        JSON.stringify(problems),
      );
      daemon.write(
        'drbdts.yaml',
        exampleConfig(daemon.directory).replace('timeout: 1s', 'timeout: 1s, cram-hmac-alg: sha1, shared-secret: tell-nobody'),
      );
      await daemon.client.reload();
      assert.ok(!JSON.stringify(await daemon.client.config()).includes('tell-nobody'));
      assert.ok(!daemon.stderr.includes('tell-nobody'));
    }));
});
