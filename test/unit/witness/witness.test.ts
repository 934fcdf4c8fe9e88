/** drbdts-witness as a real process: durable answers, many clusters, and what it does with those who are not meant. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { seal } from '../../../src/arbiter/mac.js';
import type { RegisterRecord, RegisterRequest } from '../../../src/arbiter/messages.js';
import { askWitnessStatus, WitnessArbiter, type WitnessPlace } from '../../../src/arbiter/witness-client.js';
import { until } from '../../support/daemon-process.js';

const program = fileURLToPath(new URL('../../../src/witness/main.js', import.meta.url));
const cli = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
const nodes: [string, string] = ['alpha', 'beta'];
const common = { key: 'volume/r0/0', node: 'alpha', nodes };
const both: RegisterRecord = { epoch: 1, inSync: ['alpha', 'beta'], holder: '', dataGeneration: '' };

class Witness {
  readonly directory = mkdtempSync(join(tmpdir(), 'drbdts-witness-'));
  /** in a tmpfs, as /run is. */
  readonly runDir = mkdtempSync('/dev/shm/drbdts-witness-');
  stderr = '';
  port = 0;
  private child: ChildProcess | null = null;

  async start(): Promise<void> {
    this.stderr = '';
    for (const name of ['store', 'other']) writeFileSync(join(this.directory, `${name}.key`), `secret of the cluster ${name}\n`, { mode: 0o600 });
    writeFileSync(
      join(this.directory, 'witness.yaml'),
      `listen: ['127.0.0.1:${this.port === 0 ? await freePort() : this.port}']\nstate-dir: ${this.directory}/registers\nrun-dir: ${this.runDir}\nclusters:\n` +
        `  store: { key-file: ${this.directory}/store.key }\n  other: { key-file: ${this.directory}/other.key }\n`,
    );
    const child = spawn(process.execPath, [program, '--config', join(this.directory, 'witness.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    await until(() => this.stderr.includes('listens on') || child.exitCode !== null);
    this.port = Number(/127\.0\.0\.1:(\d+) for/.exec(this.stderr)?.[1] ?? assert.fail(this.stderr));
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  place(cluster = 'store', key = `secret of the cluster ${cluster}`): WitnessPlace {
    return { address: { family: 4, host: '127.0.0.1', port: this.port }, cluster, key: Buffer.from(key), timeoutMs: 5000 };
  }

  async ask(request: RegisterRequest, cluster = 'store') {
    return new WitnessArbiter(this.place(cluster)).ask(request);
  }

  /** Both nodes vouch for what they know. */
  async vouch(record: RegisterRecord = both) {
    const { incarnation } = await this.ask({ op: 'read', ...common });
    await this.ask({ op: 'vouch', ...common, incarnation, record, alone: false });
    return this.ask({ op: 'vouch', ...common, node: 'beta', incarnation, record: both, alone: false });
  }

  async swap(inSync: string[]) {
    const { incarnation, record } = await this.ask({ op: 'read', ...common });
    return this.ask({ op: 'swap', ...common, incarnation, expectedEpoch: record.epoch, record: { inSync, holder: 'alpha', dataGeneration: '' } });
  }

  async remove(): Promise<void> {
    await this.kill();
    for (const directory of [this.directory, this.runDir]) rmSync(directory, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Sends bytes and resolves with what came back before the end of the connection. */
async function raw(port: number, text: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let back = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      back += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(back));
  });
}

describe('drbdts-witness', () => {
  const witness = new Witness();
  before(() => witness.start());
  after(() => witness.remove());

  it('starts knowing nothing, and takes swaps once both nodes were seen', async () => {
    assert.equal((await witness.swap(['alpha'])).done, false);
    assert.equal((await witness.vouch()).vouched, true);
    const { done, record } = await witness.swap(['alpha']);
    assert.deepEqual([done, record.epoch, record.inSync], [true, 2, ['alpha']]);
    assert.ok(existsSync(join(witness.directory, 'registers', 'store.json')));
  });

  it('killed at once after its answer the next process goes on as if nothing had been', async () => {
    const { incarnation } = await witness.ask({ op: 'read', ...common });
    await witness.kill('SIGKILL');
    await witness.start();
    const answer = await witness.ask({ op: 'read', ...common });
    assert.deepEqual([answer.vouched, answer.record.epoch, answer.record.inSync], [true, 2, ['alpha']]);
    assert.equal(answer.incarnation, incarnation);
    assert.match(witness.stderr, /cluster store: goes on where the last process on this host ended/);
  });

  it('two processes never keep one register', async () => {
    const second = spawn(process.execPath, [program, '--config', join(witness.directory, 'witness.yaml')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    second.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    assert.notEqual(await new Promise((resolve) => second.once('close', resolve)), 0);
    assert.match(stderr, /another drbdts-witness holds .*drbdts-witness\.lock/);
  });

  it('after a boot of its host it still knows, and waits to be vouched for', async () => {
    const { incarnation } = await witness.ask({ op: 'read', ...common });
    await witness.kill('SIGKILL');
    for (const name of readdirSync(witness.runDir)) rmSync(join(witness.runDir, name));
    await witness.start();
    assert.match(witness.stderr, /cluster store: the register may be an old copy/);
    const answer = await witness.ask({ op: 'read', ...common });
    assert.deepEqual([answer.vouched, answer.record.epoch, answer.record.inSync], [false, 2, ['alpha']]);
    assert.notEqual(answer.incarnation, incarnation);
  });

  it('restored from an old copy: what the nodes know is the truth', async () => {
    const file = join(witness.directory, 'registers', 'store.json');
    const old = readFileSync(file);
    await witness.vouch();
    const now = await witness.swap(['beta']);
    assert.equal(now.record.epoch, 3);
    await witness.kill();
    writeFileSync(file, old);
    await witness.start();
    assert.equal((await witness.swap(['alpha'])).done, false, 'no promotion by the old copy');
    assert.deepEqual((await witness.vouch(now.record)).record, now.record);
  });

  it('clusters do not see each other', async () => {
    assert.deepEqual((await witness.ask({ op: 'read', ...common }, 'other')).record, both);
    await assert.rejects(new WitnessArbiter(witness.place('store', 'secret of the cluster other')).ask({ op: 'read', ...common }), {
      code: 'ERR_ARBITER_UNREACHABLE',
    });
  });

  it('what is not meant for it is dropped, counted, and said once', async () => {
    const count = async (): Promise<Record<string, number>> => (await askWitnessStatus(witness.place())).dropped;
    const first = await count();
    const request = JSON.stringify({ nonce: '0'.repeat(32), body: { op: 'read', ...common } });
    const key = Buffer.from('secret of the cluster store');
    assert.equal(await raw(witness.port, 'GET / HTTP/1.0\r\n\r\n'), '');
    assert.equal(await raw(witness.port, Buffer.alloc(300, 255)).then(() => ''), '');
    assert.equal(await raw(witness.port, `${seal(Buffer.from('wrong wrong wrong'), 'request', 'store', request)}\n`), '');
    assert.equal(await raw(witness.port, `${seal(key, 'reply', 'store', request)}\n`), '', 'a reply is no request');
    assert.equal(await raw(witness.port, `${seal(key, 'request', 'nosuch', request)}\n`), '');
    assert.equal(await raw(witness.port, `${seal(key, 'request', 'store', '{"nonce":1}')}\n`), '');
    assert.equal(await raw(witness.port, `${'x'.repeat(100_000)}\n`), '');
    for (let i = 0; i < 20; i += 1) await raw(witness.port, 'garbage\n');
    const last = await count();
    const more = (reason: string): number => (last[reason] ?? 0) - (first[reason] ?? 0);
    assert.equal(more('garbage'), 21);
    assert.deepEqual([more('unknown cluster'), more('not a request'), more('too long'), more('too slow')], [1, 1, 1, 1]);
    assert.equal(more('wrong key'), 2);
    assert.equal(witness.stderr.match(/garbage; further/g)?.length, 1);
  });

  it('a request recorded from the wire and sent again does no harm', async () => {
    await witness.vouch();
    const { incarnation, record } = await witness.ask({ op: 'read', ...common });
    const body = { op: 'swap', ...common, incarnation, expectedEpoch: record.epoch, record: { inSync: ['alpha'], holder: '', dataGeneration: '' } };
    const line = `${seal(Buffer.from('secret of the cluster store'), 'request', 'store', JSON.stringify({ nonce: '0'.repeat(32), body }))}\n`;
    assert.match(await raw(witness.port, line), /"done":true/);
    const back = await witness.swap(['alpha', 'beta']);
    assert.equal(back.done, true);
    assert.match(await raw(witness.port, line), /"done":false/);
    assert.deepEqual((await witness.ask({ op: 'read', ...common })).record, back.record);
  });

  it('drbdts witness status shows it', async () => {
    const { execa } = await import('execa');
    const place = ['--address', `127.0.0.1:${witness.port}`, '--key-file', join(witness.directory, 'store.key'), '--cluster', 'store'];
    const { stdout } = await execa(process.execPath, [cli, 'witness', 'status', ...place]);
    assert.match(stdout, /volume\/r0\/0 +\d+ +alpha,beta/);
    const json = await execa(process.execPath, [cli, '--json', 'witness', 'status', ...place]);
    assert.equal(JSON.parse(json.stdout).records[0].key, 'volume/r0/0');
    const refused = await execa(process.execPath, [cli, 'witness', 'status', '--config', '/nonexistent'], { reject: false });
    assert.notEqual(refused.exitCode, 0);
    assert.doesNotMatch(refused.stderr, /at .*\.js/);
  });

  it('a damaged register is refused, not replaced, and others go on', async () => {
    const file = join(witness.directory, 'registers', 'store.json');
    await witness.kill();
    const damaged = readFileSync(file, 'utf8').replace(/"epoch": \d+/, '"epoch": 77');
    writeFileSync(file, damaged);
    await witness.start();
    await assert.rejects(witness.ask({ op: 'read', ...common }), { code: 'ERR_ARBITER_REFUSED', message: /damaged: its contents do not match/ });
    assert.equal(readFileSync(file, 'utf8'), damaged);
    assert.equal((await witness.ask({ op: 'read', ...common }, 'other')).record.epoch, 1);
    rmSync(file);
    assert.equal((await witness.ask({ op: 'read', ...common })).vouched, false, 'moved away it starts empty, and vouched for by nobody');
  });
});
