/** etcd as arbiter, against a real etcd: two nodes' clients, restarts, and an etcd restored from an old copy. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EtcdArbiter } from '../../../src/arbiter/etcd.js';
import type { RegisterAnswer, RegisterRecord } from '../../../src/arbiter/messages.js';
import { waitFor } from '../../support/wait.js';

const installed = spawnSync('etcd', ['--version']).status === 0;
const nodes: [string, string] = ['alpha', 'beta'];
const both: RegisterRecord = { epoch: 1, inSync: ['alpha', 'beta'], holder: '', dataGeneration: '' };

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

class Etcd {
  readonly directory = mkdtempSync(join(tmpdir(), 'drbdts-etcd-'));
  endpoint = '';
  private peerUrl = '';
  private child: ChildProcess | null = null;
  private output = '';

  async start(): Promise<void> {
    if (this.endpoint === '') [this.endpoint, this.peerUrl] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
    const urls = ['--listen-client-urls', this.endpoint, '--advertise-client-urls', this.endpoint, '--listen-peer-urls', this.peerUrl];
    const peers = ['--initial-advertise-peer-urls', this.peerUrl, '--initial-cluster', `default=${this.peerUrl}`];
    this.child = spawn('etcd', ['--data-dir', join(this.directory, 'data'), '--unsafe-no-fsync', ...urls, ...peers], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output = `${this.output}${text}`.slice(-4000);
      });
    const ready = async (): Promise<boolean> => (await (await fetch(`${this.endpoint}/health`)).text()).includes('true');
    await waitFor('etcd answers', ready, 30_000, () => this.output);
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    this.child = null;
  }

  backup(): void {
    cpSync(join(this.directory, 'data'), join(this.directory, 'old'), { recursive: true });
  }

  restore(): void {
    rmSync(join(this.directory, 'data'), { recursive: true });
    cpSync(join(this.directory, 'old'), join(this.directory, 'data'), { recursive: true });
  }
}

class Client {
  readonly node: string;
  readonly directory: string;
  arbiter: EtcdArbiter;
  private readonly endpoints: string[];

  constructor(etcd: Etcd, node: string, endpoints: string[] = [etcd.endpoint]) {
    this.node = node;
    this.directory = join(etcd.directory, node);
    this.endpoints = endpoints;
    this.arbiter = this.make();
  }

  /** A new process with the same files. */
  make(): EtcdArbiter {
    const { endpoints, node, directory } = this;
    this.arbiter = new EtcdArbiter({
      ...{ endpoints, user: '', password: '', ca: null, timeoutMs: 3000, prefix: '/drbdts/', cluster: 'store', node, directory },
    });
    return this.arbiter;
  }

  async read(key = 'volume/r0/0'): Promise<RegisterAnswer> {
    return this.arbiter.ask({ op: 'read', key, node: this.node, nodes });
  }

  async vouch(record = both, alone = false, key = 'volume/r0/0'): Promise<RegisterAnswer> {
    const { incarnation } = await this.read(key);
    return this.arbiter.ask({ op: 'vouch', key, node: this.node, nodes, incarnation, record, alone });
  }

  async swap(inSync: string[], seen?: RegisterAnswer): Promise<RegisterAnswer> {
    const { incarnation, record } = seen ?? (await this.read());
    const change = { inSync, holder: this.node, dataGeneration: '' };
    return this.arbiter.ask({ op: 'swap', key: 'volume/r0/0', node: this.node, nodes, incarnation, expectedEpoch: record.epoch, record: change });
  }
}

describe('etcd as arbiter', { skip: installed ? false : 'etcd is not installed' }, () => {
  const etcd = new Etcd();
  let alpha: Client;
  let beta: Client;
  before(async () => {
    await etcd.start();
    alpha = new Client(etcd, 'alpha', ['http://127.0.0.1:1', etcd.endpoint]);
    beta = new Client(etcd, 'beta');
  });
  after(async () => {
    await etcd.stop();
    rmSync(etcd.directory, { recursive: true, force: true });
  });

  it('an empty etcd takes no swap before both nodes were seen', async () => {
    assert.equal((await alpha.swap(['alpha'])).done, false);
    await alpha.vouch();
    assert.equal((await beta.vouch()).vouched, true);
  });

  it('one of two swaps wins, at whatever moment they come', async () => {
    for (let round = 0; round < 20; round += 1) {
      const [a, b] = [await alpha.read(), await beta.read()];
      assert.deepEqual(a.record, b.record);
      const answers = await Promise.all([alpha.swap(['alpha'], a), beta.swap(['beta'], b)]);
      assert.deepEqual(answers.map(({ done }) => done).sort(), [false, true]);
      assert.deepEqual(answers[0].record, answers[1].record, 'and both know who');
    }
  });

  it('volumes do not disturb each other', async () => {
    const keys = Array.from({ length: 10 }, (_, index) => `volume/r${index}/1`);
    await Promise.all(keys.flatMap((key) => [alpha.vouch(both, false, key), beta.vouch(both, false, key)]));
    for (const key of keys) assert.equal((await alpha.read(key)).vouched, true);
  });

  it('a restart of etcd or of a node changes nothing', async () => {
    const before = await alpha.read();
    await etcd.stop();
    await assert.rejects(beta.read(), { code: 'ERR_ARBITER_UNREACHABLE' });
    await etcd.start();
    alpha.make();
    assert.deepEqual(await alpha.read(), before);
    assert.equal(before.vouched, true);
  });

  it('restored from an old copy: noticed, and what the nodes know is the truth', async () => {
    await etcd.stop();
    etcd.backup();
    await etcd.start();
    // both leave a mark that the copy does not have
    alpha.make();
    beta.make();
    const now = await alpha.swap(['alpha']);
    await beta.read();
    assert.equal(now.done, true);
    await etcd.stop();
    etcd.restore();
    await etcd.start();
    assert.equal((await beta.swap(['beta'])).done, false);
    assert.equal((await beta.vouch()).vouched, false);
    assert.deepEqual((await alpha.vouch(now.record, true)).record, now.record);
    assert.deepEqual((await beta.swap(['alpha', 'beta'])).done, true, 'and it goes on from there');
  });

  it('wiped: as new', async () => {
    await etcd.stop();
    rmSync(join(etcd.directory, 'data'), { recursive: true });
    await etcd.start();
    assert.equal((await beta.read()).vouched, false);
  });
});
