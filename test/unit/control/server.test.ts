import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ControlClient } from '../../../src/control/client.js';
import type {
  ConfirmReply,
  ConfirmRequest,
  EventRecord,
  ProgressRecord,
  RegisterReply,
  RegisterRequest,
  StatusReply,
} from '../../../src/control/messages.js';
import { type ControlHandlers, ControlServer, type VerbContext } from '../../../src/control/server.js';
import { EventStreamReader, encodeEvent } from '../../../src/control/sse.js';
import { drbdtsError, errorForDrbdCode } from '../../../src/shared/errors.js';

const emptyStatus: StatusReply = { node: 'alpha', version: '1', resources: [] };
const record = (text: string): EventRecord => ({ time: 't', verb: 'change', object: 'resource', attributes: { text } });
const endOfDump: EventRecord = { time: 't', verb: 'exists', object: '-', attributes: {} };

/** Handlers whose verb a test replaces. */
class TestHandlers implements ControlHandlers {
  onVerb: (name: string, context: VerbContext) => Promise<string[]> = async () => [];
  listeners = new Set<(record: EventRecord) => void>();
  events = {
    dump: (): EventRecord[] => [endOfDump],
    subscribe: (_resource: string | null, listener: (record: EventRecord) => void): (() => void) => {
      this.listeners.add(listener);
      return () => this.listeners.delete(listener);
    },
  };
  status(resource: string | null): StatusReply {
    if (resource === 'nosuch') throw drbdtsError('ERR_UNKNOWN_RESOURCE', { values: { resource } });
    return emptyStatus;
  }
  proc = (): string => 'version: 8.4\n';
  verb: ControlHandlers['verb'] = async (resource, verb, body, context) => ({
    output: [resource, verb, JSON.stringify(body), ...(await this.onVerb(verb, context))],
    results: [],
  });
  config = (): unknown => ({ node: 1 });
  checkConfig = (): { problems: [] } => ({ problems: [] });
  reload = async (): Promise<{ changed: string[]; problems: [] }> => ({ changed: ['r0'], problems: [] });
  version = (): { version: string; protocol: { min: number; max: number }; pid: number } => ({
    version: '1',
    protocol: { min: 101, max: 101 },
    pid: 1,
  });
  asked: string[] = [];
  register = (group: string): RegisterReply => this.answer(`register ${group}`);
  claim = async (group: string, { peerGone }: RegisterRequest): Promise<RegisterReply> => this.answer(`claim ${group} ${peerGone}`);
  release = (group: string, { peerGone }: RegisterRequest): RegisterReply => this.answer(`release ${group} ${peerGone}`);
  confirmFenced = ({ node, reason }: ConfirmRequest): ConfirmReply => ({ output: [`${node}: ${reason}`] });
  private answer(asked: string): RegisterReply {
    this.asked.push(asked);
    const status = { arbiter: 'witness', state: 'together', epoch: 1, reachable: true, vouched: true, sentence: '' } as const;
    return { ...status, key: 'group/web', granted: true, inSync: ['a', 'b'], holder: 'a' };
  }
}

function raw(socketPath: string, method: string, path: string, body = ''): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('control API', () => {
  const directory = mkdtempSync(join(tmpdir(), 'drbdts-control-'));
  const socket = join(directory, 'sub', 's.sock');
  const handlers = new TestHandlers();
  const server = new ControlServer(handlers);
  const client = new ControlClient(socket);
  before(() => server.listen(socket));
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  it('the register of a group travels under its key', async () => {
    assert.equal((await client.register('web')).holder, 'a');
    await client.claim('web', true);
    await client.release('web', false);
    assert.deepEqual(handlers.asked, ['register web', 'claim web true', 'release web false']);
    assert.deepEqual(await client.confirmFenced('b', 'its board is burnt'), { output: ['b: its board is burnt'] });
    assert.equal((await raw(socket, 'POST', '/v1/confirm-fenced', '{}')).status, 400);
    assert.equal((await raw(socket, 'POST', '/v1/register/group%2Fweb/claim', '{}')).status, 400);
    assert.equal((await raw(socket, 'GET', '/v1/register/volume%2Fr0%2F0')).status, 404);
  });

  it('is a socket for its owner only', () => assert.equal(statSync(socket).mode & 0o777, 0o600));

  it('answers the simple calls', async () => {
    assert.deepEqual(await client.status(), emptyStatus);
    assert.equal(await client.proc(), 'version: 8.4\n');
    assert.deepEqual(await client.config(), { node: 1 });
    assert.deepEqual(await client.reload(), { changed: ['r0'], problems: [] });
    assert.deepEqual((await client.verb('r0', 'primary', { force: true })).output, ['r0', 'primary', '{"force":true}']);
  });

  it("a refusal arrives with DRBD's number, exit code and remedy", async () => {
    handlers.onVerb = async () => {
      throw errorForDrbdCode(-2, '0');
    };
    await assert.rejects(client.verb('r0', 'primary'), {
      code: 'ERR_STATE_NO_UP_TO_DATE_DATA',
      exitCode: 17,
      drbdCode: -2,
      message: '0: State change failed: (-2) Need access to UpToDate data',
    });
    await assert.rejects(client.verb('r0', 'primary', {}, { onProgress: () => {} }), {
      code: 'ERR_STATE_NO_UP_TO_DATE_DATA',
      exitCode: 17,
    });
    handlers.onVerb = async () => [];
  });

  it('a fault inside is an answer, too', async () => {
    handlers.onVerb = async () => {
      throw new TypeError('oops');
    };
    await assert.rejects(client.verb('r0', 'up'), { code: 'ERR_INTERNAL', exitCode: 20 });
    handlers.onVerb = async () => [];
  });

  it('progress comes before the reply', async () => {
    const progress: ProgressRecord = { resource: 'r0', volume: 0, connection: 'SyncSource', percent: 12.5, leftKib: 7, totalKib: 8 };
    handlers.onVerb = async (_verb, context) => {
      context.progress(progress);
      return ['done'];
    };
    const seen: ProgressRecord[] = [];
    const reply = await client.verb('r0', 'wait-sync', {}, { onProgress: (item) => seen.push(item) });
    assert.deepEqual(seen, [progress]);
    assert.equal(reply.output.at(-1), 'done');
    handlers.onVerb = async () => [];
  });

  it('a client that goes away ends its wait', async () => {
    const ended = new Promise<void>((resolve) => {
      handlers.onVerb = (_verb, context) =>
        new Promise((_, reject) => {
          context.signal.addEventListener('abort', () => {
            resolve();
            reject(context.signal.reason as Error);
          });
        });
    });
    const gone = new AbortController();
    const call = client.verb('r0', 'wait-connect', {}, { signal: gone.signal });
    setImmediate(() => setTimeout(() => gone.abort(), 50));
    await assert.rejects(call);
    await ended;
    handlers.onVerb = async () => [];
  });

  const bad: [string, string, string, string, number, string][] = [
    ['unknown path', 'GET', '/v1/nothing', '', 404, 'ERR_NOT_FOUND'],
    ['another version', 'GET', '/v2/status', '', 404, 'ERR_NOT_FOUND'],
    ['wrong escape', 'GET', '/v1/status/%zz', '', 404, 'ERR_NOT_FOUND'],
    ['unknown resource', 'GET', '/v1/status/nosuch', '', 404, 'ERR_UNKNOWN_RESOURCE'],
    ['unknown verb', 'POST', '/v1/resources/r0/frobnicate', '{}', 400, 'ERR_UNKNOWN_VERB'],
    ['body that is no JSON', 'POST', '/v1/resources/r0/up', '{', 400, 'ERR_BAD_REQUEST'],
    ['unknown argument', 'POST', '/v1/resources/r0/up', '{"forse":true}', 400, 'ERR_BAD_REQUEST'],
    ['argument of the wrong kind', 'POST', '/v1/resources/r0/up', '{"volume":-1}', 400, 'ERR_BAD_REQUEST'],
    ['a body without end', 'POST', '/v1/resources/r0/up', `"${'x'.repeat(1_100_000)}"`, 413, 'ERR_REQUEST_TOO_LARGE'],
    ['events of nobody', 'GET', '/v1/events?resource=nosuch', '', 404, 'ERR_UNKNOWN_RESOURCE'],
  ];
  for (const [what, method, path, body, status, code] of bad) {
    it(`${what} is refused with ${code}`, async () => {
      const answer = await raw(socket, method, path, body);
      assert.equal(answer.status, status);
      const reply = JSON.parse(answer.text) as { code: string; remedy: string; exitCode: number };
      assert.equal(reply.code, code);
      assert.ok(reply.remedy !== '' && reply.exitCode > 0);
    });
  }

  it('events: dump, then changes, until the client ends', async () => {
    const end = new AbortController();
    const seen: EventRecord[] = [];
    for await (const event of client.events({ signal: end.signal })) {
      seen.push(event);
      if (event.object === '-') for (const listener of handlers.listeners) listener(record('one'));
      else end.abort();
    }
    assert.deepEqual(seen, [endOfDump, record('one')]);
    while (handlers.listeners.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  it('events --now ends after the dump', async () => {
    const seen: EventRecord[] = [];
    for await (const event of client.events({ now: true })) seen.push(event);
    assert.deepEqual(seen, [endOfDump]);
  });

  it('a follower that does not read costs a bounded amount and gets a fresh dump that says what it missed', async () => {
    const response = await new Promise<import('node:http').IncomingMessage>((resolve) => {
      request({ socketPath: socket, path: '/v1/events' }, resolve).end();
    });
    response.pause();
    while (handlers.listeners.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const count = 4000;
    const text = 'x'.repeat(1000);
    for (let index = 0; index < count; index++) for (const listener of handlers.listeners) listener(record(text));
    const reader = new EventStreamReader();
    let received = 0;
    let skipped = 0;
    response.setEncoding('utf8');
    for await (const chunk of response as AsyncIterable<string>) {
      for (const { data } of reader.push(chunk)) {
        const event = JSON.parse(data) as EventRecord;
        if (event.object === 'resource') received += 1;
        else if (event.attributes.skipped !== undefined) skipped = Number(event.attributes.skipped);
      }
      if (skipped > 0) break;
    }
    assert.ok(skipped > 0 && received < count, `received ${received}, skipped ${skipped}`);
    assert.equal(received + skipped, count);
    response.destroy();
  });
});

describe('the socket', () => {
  it('left behind by a dead process is taken over; that of a living one is not', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'drbdts-control-'));
    const path = join(directory, 's.sock');
    writeFileSync(path, '');
    const first = new ControlServer(new TestHandlers());
    await first.listen(path);
    const second = new ControlServer(new TestHandlers());
    await assert.rejects(second.listen(path), { code: 'ERR_SOCKET_IN_USE' });
    assert.deepEqual(await new ControlClient(path).status(), emptyStatus);
    await first.close();
    rmSync(directory, { recursive: true });
  });

  it('nobody listens on is ERR_DAEMON_UNREACHABLE with a remedy', async () => {
    await assert.rejects(new ControlClient('/nonexistent/s.sock').status(), {
      code: 'ERR_DAEMON_UNREACHABLE',
      exitCode: 20,
      remedy: /systemctl start drbdts/,
    });
  });

  it('whose owner hangs up in the middle is ERR_DAEMON_UNREACHABLE', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'drbdts-control-'));
    const path = join(directory, 's.sock');
    const rude: Server = createServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => rude.listen(path, resolve));
    await assert.rejects(new ControlClient(path).verb('r0', 'up'), { code: 'ERR_DAEMON_UNREACHABLE' });
    rude.close();
    rmSync(directory, { recursive: true });
  });
});

it('the event stream survives any cutting', () => {
  const text = encodeEvent('message', { a: 'é\n' }) + encodeEvent('reply', [1]);
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventStreamReader();
    const events = [...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))];
    assert.deepEqual(events, [
      { event: 'message', data: JSON.stringify({ a: 'é\n' }) },
      { event: 'reply', data: '[1]' },
    ]);
  }
});
