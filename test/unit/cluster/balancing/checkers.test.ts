/** Each check against a server that is well, one that is not, and one that says nothing. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { type CheckResult, runCheck } from '../../../../src/cluster/balancing/checkers/checker.js';
import type { BalancingCheck } from '../../../../src/config/balancing-types.js';

const common = { address: '', port: 0, timeoutMs: 5000, everyMs: 6000, retries: 0, retryDelayMs: 1 };
const http: Extract<BalancingCheck, { type: 'http' }> = { ...common, type: 'http', path: '/', host: '', status: [{ from: 200, to: 299 }], contains: '', regex: '', digest: '' };

/** Port of a TCP server that does `serve` with each connection. */
async function tcpServer(context: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
async function udpServer(context: TestContext, answer: (data: Buffer) => Buffer | null): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (data, from) => {
    const back = answer(data);
    if (back !== null) socket.send(back, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  context.after(() => socket.close());
  return socket.address().port;
}
const look = (check: BalancingCheck, port: number): Promise<CheckResult> => runCheck(check, { address: '127.0.0.1', port }, new AbortController().signal);
/** Of a port on which nobody listens any more. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('checks', () => {
  it('tcp: connected; refused', async (context) => {
    assert.deepEqual(await look({ ...common, type: 'tcp' }, await tcpServer(context, () => {})), { ok: true, detail: 'connected', weight: null });
    assert.deepEqual(await look({ ...common, type: 'tcp' }, await closedPort()), { ok: false, detail: 'connection refused', weight: null });
  });

  it('http: status, and what the body has to be', async (context) => {
    const seen: (string | undefined)[] = [];
    const server = createHttp((request, response) => {
      seen.push(request.headers.host);
      response.statusCode = request.url === '/ill' ? 503 : 200;
      response.end(request.url === '/long' ? 'h'.repeat(40) : 'hello world');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    context.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const of = async (more: object): Promise<string> => {
      const { ok, detail } = await look({ ...http, ...more }, port);
      return `${ok} ${detail}`;
    };
    assert.equal(await of({ host: 'www.example.org', digest: '5eb63bbbe01eeed093cb22bb8f5acdc3', contains: 'world', regex: '^hel+o' }), 'true status 200');
    assert.equal(seen[0], 'www.example.org');
    assert.equal(await of({ path: '/ill' }), 'false status 503');
    assert.equal(await of({ path: '/ill', status: [{ from: 503, to: 503 }] }), 'true status 503');
    assert.match(await of({ contains: 'moon' }), /^false status 200, but the body does not contain 'moon'/);
    assert.match(await of({ regex: '^world' }), /^false .* does not match/);
    // one that tries everything is given up
    assert.match(await of({ path: '/long', regex: '^((h|.)+)+#$' }), /^false .* was not known within/);
    assert.match(await of({ digest: '0'.repeat(32) }), /^false .* digest of the body is 5eb63bbb/);
  });

  it('who accepts and never answers has failed when the time is over', async (context) => {
    const silent = await tcpServer(context, () => {});
    for (const check of [{ ...http, timeoutMs: 50 }, { ...http, type: 'ssl', verify: false, serverName: '', timeoutMs: 50 }, { ...common, type: 'smtp', helo: 'x', timeoutMs: 50 }] as BalancingCheck[]) {
      assert.deepEqual(await look(check, silent), { ok: false, detail: 'no answer within 50 ms', weight: null });
    }
    const mute = await udpServer(context, () => null);
    assert.equal((await look({ ...common, type: 'dns', name: '.', query: 'SOA', timeoutMs: 50 }, mute)).detail, 'no answer within 50 ms');
  });

  it('smtp: greeted; turned away; something else', async (context) => {
    const smtp = (first: string, helo: string): Promise<number> =>
      tcpServer(context, (socket) => {
        socket.write(first);
        socket.on('data', (data) => {
          if (data.toString().startsWith('HELO')) socket.write(helo);
        });
      });
    const of = async (port: number): Promise<string> => {
      const { ok, detail } = await look({ ...common, type: 'smtp', helo: 'director' }, port);
      return `${ok} ${detail}`;
    };
    assert.equal(await of(await smtp('220-welcome\r\n220 here\r\n', '250 hello director\r\n')), 'true greeted');
    assert.equal(await of(await smtp('554 no service\r\n', '')), 'false the connection was answered with 554');
    assert.equal(await of(await smtp('220 here\r\n', '501 what\r\n')), 'false HELO was answered with 501');
    assert.equal(await of(await smtp('SSH-2.0-x\r\n', '')), 'false the answer is not SMTP');
  });

  it('udp: answered as asked for; otherwise; refused', async (context) => {
    const echo = await udpServer(context, (data) => data);
    const udp = { ...common, type: 'udp', payload: 'cafe', requireReply: true, reply: '' } as const;
    assert.equal((await look(udp, echo)).detail, 'answered with 2 bytes');
    assert.equal((await look({ ...udp, reply: 'ca' }, echo)).ok, true);
    assert.deepEqual(await look({ ...udp, reply: 'fe' }, echo), { ok: false, detail: 'the answer begins with cafe', weight: null });
    const quiet = await udpServer(context, () => null);
    assert.equal((await look({ ...udp, requireReply: false, timeoutMs: 100 }, quiet)).detail, 'nothing refused it');
    assert.deepEqual(await look({ ...udp, requireReply: false }, await closedPort()), { ok: false, detail: 'port unreachable', weight: null });
  });

  it('dns: answered, with nothing of the kind, too; an error of the name server; nobody there', async (context) => {
    const server = (rcode: number) => udpServer(context, (data) => Buffer.concat([data.subarray(0, 2), Buffer.from([0x81, 0x80 | rcode]), data.subarray(4)]));
    const dns = { ...common, type: 'dns', name: 'example.org', query: 'A' } as const;
    assert.equal((await look(dns, await server(0))).detail, 'answered');
    assert.equal((await look(dns, await server(2))).detail, 'the name server says: server failure');
    assert.deepEqual(await look({ ...dns, name: '.', query: 'SOA' }, await server(3)), { ok: false, detail: 'the name server says: no such name', weight: null });
    assert.deepEqual(await look(dns, await closedPort()), { ok: false, detail: 'connection refused', weight: null });
  });

  it('misc: exit status; a weight; what it said; no shell', async () => {
    const of = (script: string, more: object = {}): Promise<CheckResult> => look({ ...common, type: 'misc', argv: ['/bin/sh', '-c', script], user: '', dynamic: false, ...more }, 80);
    assert.deepEqual(await of('test "$DRBDTS_REAL_ADDRESS $DRBDTS_REAL_PORT" = "127.0.0.1 80"'), { ok: true, detail: 'exit status 0', weight: null });
    assert.deepEqual(await of('echo too hot; exit 7'), { ok: false, detail: 'exit status 7: too hot', weight: null });
    assert.deepEqual(await of('exit 7', { dynamic: true }), { ok: true, detail: 'exit status 7', weight: 5 });
    assert.deepEqual(await of('exit 1', { dynamic: true }), { ok: false, detail: 'exit status 1', weight: null });
    assert.equal((await of('sleep 60', { timeoutMs: 50 })).detail, 'no answer within 50 ms');
    assert.equal((await look({ ...common, type: 'misc', argv: ['/nonexistent/check'], user: '', dynamic: true }, 80)).ok, false);
    assert.equal((await look({ ...common, type: 'misc', argv: ['/bin/echo', '$HOME; exit 1'], user: '', dynamic: false }, 80)).detail, 'exit status 0: $HOME; exit 1');
  });
});
