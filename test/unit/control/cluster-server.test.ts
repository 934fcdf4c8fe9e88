/** The cluster manager's socket: server and client together, and what a client that is not ours may send. */
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { ClusterClient } from '../../../src/control/cluster-client.js';
import type { ClusterReply, ClusterRequest, ClusterStatus, ClusterVerb, HistoryEntry } from '../../../src/control/cluster-messages.js';
import { type ClusterHandlers, ClusterServer } from '../../../src/control/cluster-server.js';
import { DrbdtsError, drbdtsError } from '../../../src/shared/errors.js';

const status = (warnings: string[] = []): ClusterStatus => ({
  ...{ cluster: 'c', node: 'alpha', version: '1', configDigest: 'd', maintenance: false, drbdtsd: true, nodes: [], links: [], groups: [], warnings },
  arbiter: { kind: 'none', unvouched: [], standings: {} },
});
const entry = (sentence: string): HistoryEntry => ({ time: 't', node: 'alpha', group: '', level: 'info', sentence });

class Handlers implements ClusterHandlers {
  now = status();
  readonly listeners = new Set<() => void>();
  onVerb: (verb: ClusterVerb, request: ClusterRequest) => ClusterReply = () => ({ output: [] });
  status = (): ClusterStatus => this.now;
  history = (limit: number): HistoryEntry[] => [entry('one'), entry('two'), entry('three')].slice(-limit);
  verb = async (verb: ClusterVerb, body: ClusterRequest): Promise<ClusterReply> => this.onVerb(verb, body);
  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  change(next: ClusterStatus): void {
    this.now = next;
    for (const listener of this.listeners) listener();
  }
}

const directory = mkdtempSync(join(tmpdir(), 'drbdts-cluster-server-'));
const socket = join(directory, 'clusterd.sock');
const faults: string[] = [];
let handlers = new Handlers();
const server = new ClusterServer(
  {
    status: () => handlers.status(),
    subscribe: (listener) => handlers.subscribe(listener),
    history: (limit) => handlers.history(limit),
    verb: (verb, body) => handlers.verb(verb, body),
  },
  (error) => faults.push(error.message),
);
const client = new ClusterClient(socket);

function raw(method: string, path: string, body = ''): Promise<{ status: number; body: { code?: string; message?: string } }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, method, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as object }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('cluster server and client', { timeout: 30_000 }, () => {
  before(() => server.listen(socket));
  beforeEach(() => {
    handlers = new Handlers();
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  it('the socket is for root only', () => assert.equal(statSync(socket).mode & 0o777, 0o600));
  it('status', async () => assert.deepEqual(await client.status(), status()));
  it('history: the last ones', async () => assert.deepEqual((await client.history(2)).entries.map(({ sentence }) => sentence), ['two', 'three']));
  it('verbs with their arguments', async () => {
    handlers.onVerb = (verb, body) => ({ output: [verb, JSON.stringify(body)] });
    assert.deepEqual(await client.verb('move', { group: 'web', node: 'beta' }), { output: ['move', '{"group":"web","node":"beta"}'] });
    assert.deepEqual(await client.verb('cleanup'), { output: ['cleanup', '{}'] });
  });
  it('a refusal arrives as it was thrown', async () => {
    handlers.onVerb = () => {
      throw drbdtsError('ERR_CLUSTER_MOVE', { values: { group: 'web', node: 'beta', reason: 'beta is not there' } });
    };
    await assert.rejects(client.verb('move', { group: 'web' }), (error: unknown) => error instanceof DrbdtsError && error.code === 'ERR_CLUSTER_MOVE' && error.exitCode === 11 && /beta is not there/.test(error.message));
    assert.deepEqual(faults, []);
  });
  it('a fault of ours is told to the log, and nothing of it to the client but that it was one', async () => {
    handlers.onVerb = () => {
      throw new TypeError('undefined is not a function');
    };
    await assert.rejects(client.verb('online'), (error: unknown) => error instanceof DrbdtsError && error.code === 'ERR_INTERNAL');
    assert.equal(faults.splice(0).length, 1);
    assert.deepEqual(await client.status(), status(), 'and the server goes on');
  });

  const bad: readonly (readonly [string, string, string, string])[] = [
    ['POST', '/v1/cluster/reboot', '{}', 'ERR_UNKNOWN_VERB'],
    ['POST', '/v1/cluster/status', '{}', 'ERR_UNKNOWN_VERB'],
    ['POST', '/v1/cluster/move', '{"group":1}', 'ERR_BAD_REQUEST'],
    ['POST', '/v1/cluster/move', '{"groop":"web"}', 'ERR_BAD_REQUEST'],
    ['POST', '/v1/cluster/takeover', '{"which":"some"}', 'ERR_BAD_REQUEST'],
    ['POST', '/v1/cluster/maintenance', '[]', 'ERR_BAD_REQUEST'],
    ['POST', '/v1/cluster/move', '{"group":', 'ERR_BAD_REQUEST'],
    ['GET', '/v1/cluster/history?limit=0', '', 'ERR_BAD_REQUEST'],
    ['GET', '/v1/cluster/history?limit=many', '', 'ERR_BAD_REQUEST'],
  ];
  for (const [method, path, body, code] of bad) {
    it(`${method} ${path} ${body}: ${code}`, async () => {
      const reply = await raw(method, path, body);
      assert.equal(reply.body.code, code);
      assert.ok(reply.status >= 400 && reply.status < 500, String(reply.status));
    });
  }
  for (const [method, path] of [['GET', '/'], ['GET', '/v1/cluster'], ['GET', '/v1/cluster/nothing'], ['GET', '/v1/resources/r0'], ['GET', '/v2/cluster/status'], ['GET', '/v1/cluster/status/more'], ['PUT', '/v1/cluster/status'], ['GET', '/v1/cluster/%']] as const) {
    it(`${method} ${path} is refused`, async () => {
      const reply = await raw(method, path);
      assert.ok(reply.status >= 400 && reply.status < 500, String(reply.status));
      assert.notEqual(reply.body.message, '');
    });
  }
  it('a body without end is cut off', async () => {
    const reply = await raw('POST', '/v1/cluster/move', `{"group":"${'x'.repeat(4 * 1024 * 1024)}"}`).catch((error: NodeJS.ErrnoException) => ({ status: 413, body: { code: error.code } }));
    assert.ok(reply.status >= 400 && reply.status < 500);
    assert.deepEqual(await client.status(), status());
  });

  it('the stream begins with the present state and tells every change, until its reader ends', async () => {
    const ended = new AbortController();
    const seen: string[][] = [];
    for await (const { warnings } of client.watch(ended.signal)) {
      seen.push(warnings);
      if (seen.length === 1) handlers.change(status(['one']));
      else if (seen.length === 2) handlers.change(status(['two']));
      else break;
    }
    assert.deepEqual(seen, [[], ['one'], ['two']]);
    ended.abort();
    const from = Date.now();
    while (handlers.listeners.size > 0 && Date.now() - from < 10_000) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(handlers.listeners.size, 0, 'nothing is sent to who has gone');
  });
  it('a reader that is told to end, ends without an error', async () => {
    const ended = new AbortController();
    for await (const _ of client.watch(ended.signal)) ended.abort();
  });
  it('too many readers are refused by name, others are served on', async () => {
    const ended = new AbortController();
    setMaxListeners(100, ended.signal);
    const readers = Array.from({ length: 32 }, () => client.watch(ended.signal));
    await Promise.all(readers.map((reader) => reader.next()));
    await assert.rejects(client.watch(ended.signal).next(), (error: unknown) => error instanceof DrbdtsError && error.code === 'ERR_TOO_MANY_CLIENTS');
    assert.deepEqual(await client.status(), status());
    ended.abort();
    await Promise.all(readers.map((reader) => reader.return(undefined)));
  });
  it('when the server ends, a reader is told so', async () => {
    const other = join(directory, 'other.sock');
    const short = new ClusterServer(new Handlers());
    await short.listen(other);
    const reader = new ClusterClient(other).watch();
    await reader.next();
    const rest = assert.rejects(reader.next(), (error: unknown) => error instanceof DrbdtsError && error.code === 'ERR_CLUSTERD_UNREACHABLE');
    await short.close();
    await rest;
  });
  it('nobody there', async () => {
    await assert.rejects(new ClusterClient(join(directory, 'none.sock')).status(), (error: unknown) => error instanceof DrbdtsError && error.code === 'ERR_CLUSTERD_UNREACHABLE' && error.exitCode === 20);
  });
  it('the socket is the lock: a second server is refused', async () => {
    await assert.rejects(new ClusterServer(new Handlers()).listen(socket));
    assert.deepEqual(await client.status(), status());
  });
});
