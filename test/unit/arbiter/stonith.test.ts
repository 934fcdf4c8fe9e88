/** A fence agent as arbiter: with fence_dummy of fence-agents, and with an agent that writes down what it is told. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import type { RegisterAnswer, RegisterRecord } from '../../../src/arbiter/messages.js';
import { StonithArbiter } from '../../../src/arbiter/stonith.js';

const root = mkdtempSync(join(tmpdir(), 'drbdts-stonith-'));
after(() => rmSync(root, { recursive: true, force: true }));
const nodes: [string, string] = ['alpha', 'beta'];
const key = 'volume/r0/0';
const both: RegisterRecord = { epoch: 1, inSync: ['alpha', 'beta'], holder: '', dataGeneration: '' };
const installed = (process.env.PATH ?? '').split(delimiter).concat('/usr/sbin').some((folder) => existsSync(join(folder, 'fence_dummy')));

describe('stonith as arbiter', () => {
  let directory = '';
  let agent = '';
  let arbiter: StonithArbiter;
  const make = (bootId: string, parameters: Record<string, string> = { plug: 'beta' }): void => {
    arbiter = new StonithArbiter({ agent, parameters, node: 'alpha', peer: 'beta', timeoutMs: 2000, directory, bootId });
  };
  const read = (together = false): Promise<RegisterAnswer> => arbiter.ask({ op: 'read', key, node: 'alpha', nodes }, { together });
  const vouch = async (together: boolean, record = both): Promise<RegisterAnswer> => {
    const { incarnation } = await read();
    return arbiter.ask({ op: 'vouch', key, node: 'alpha', nodes, incarnation, record, alone: false }, { together });
  };
  const swap = async (inSync: string[], to = key): Promise<RegisterAnswer> => {
    const { incarnation, record } = await arbiter.ask({ op: 'read', key: to, node: 'alpha', nodes }, { together: false });
    const change = { inSync, holder: 'alpha', dataGeneration: '' };
    return arbiter.ask({ op: 'swap', key: to, node: 'alpha', nodes, incarnation, expectedEpoch: record.epoch, record: change }, { together: false });
  };
  const shots = (): string[] => (existsSync(join(directory, 'shots')) ? readFileSync(join(directory, 'shots'), 'utf8').trim().split('\n') : []);
  const agentThat = (what: string): void => {
    agent = join(directory, 'agent');
    writeFileSync(agent, `#!/bin/sh\ntr '\\n' ' ' >> ${directory}/shots\necho >> ${directory}/shots\n${what}\n`, { mode: 0o755 });
  };

  beforeEach(() => {
    directory = mkdtempSync(join(root, 'node-'));
    agentThat('exit 0');
    make('boot-1');
  });

  it('shoots nobody before both were together', async () => {
    assert.equal((await swap(['alpha'])).done, false);
    assert.equal((await vouch(false)).vouched, false);
    assert.equal((await vouch(true)).vouched, true);
    assert.deepEqual(shots(), []);
  });

  it('taking the peer out is switching it off, once', async () => {
    await vouch(true);
    const answer = await swap(['alpha']);
    assert.deepEqual([answer.done, answer.record.inSync], [true, ['alpha']]);
    assert.deepEqual(shots(), ['plug=beta action=off']);
    assert.equal((await swap(['alpha'])).done, true);
    assert.equal(shots().length, 1, 'it is off already');
    assert.equal((await swap(['alpha', 'beta'])).done, true);
    assert.equal((await swap(['alpha'])).done, true);
    assert.equal(shots().length, 2, 'it was back');
  });

  it('volumes that lose the peer together share a shot', async () => {
    agentThat('sleep 0.3; exit 0');
    await vouch(true);
    const { incarnation } = await read();
    await arbiter.ask({ op: 'vouch', key: 'volume/r1/0', node: 'alpha', nodes, incarnation, record: both, alone: false }, { together: true });
    const answers = await Promise.all([swap(['alpha']), swap(['alpha'], 'volume/r1/0')]);
    assert.deepEqual(answers.map(({ done }) => done), [true, true]);
    assert.equal(shots().length, 1);
  });

  it('a shot that failed, hung or cannot be fired takes nobody out', async () => {
    await vouch(true);
    agentThat('echo the outlet does not answer >&2; exit 1');
    await assert.rejects(swap(['alpha']), { code: 'ERR_ARBITER_UNREACHABLE', message: /exit code 1 \(the outlet does not answer\)/ });
    agentThat('sleep 60 & sleep 60');
    await assert.rejects(swap(['alpha']), { message: /not done within 2000 ms/ });
    make('boot-1', {});
    await assert.rejects(swap(['alpha']), { code: 'ERR_ARBITER_REFUSED', message: /no parameters for beta/ });
    assert.deepEqual((await read()).record.inSync, ['alpha', 'beta']);
  });

  it('a node that booted does not believe its record, unless it says that it was alone', async () => {
    await vouch(true);
    make('boot-1');
    assert.equal((await read()).vouched, true, 'a new process is no boot');
    make('boot-2');
    assert.equal((await read()).vouched, false);
    assert.equal((await swap(['alpha'])).done, false);
    assert.deepEqual(shots(), []);
    await vouch(true);
    await swap(['alpha']);
    make('boot-3');
    const answer = await read();
    assert.deepEqual([answer.vouched, answer.record.inSync], [true, ['alpha']]);
  });

  it('a node that gave its copy up is out until it is together with the peer again', async () => {
    await vouch(true);
    assert.equal((await swap(['beta'])).done, true);
    assert.deepEqual(shots(), []);
    assert.deepEqual((await read()).record.inSync, ['beta']);
    assert.deepEqual((await read(true)).record.inSync, ['alpha', 'beta']);
  });

  it('a record that was lost starts where the node knows to have been', async () => {
    await vouch(true);
    rmSync(join(directory, 'stonith.json'));
    make('boot-1');
    assert.equal((await vouch(true, { ...both, epoch: 9 })).record.epoch, 10);
  });

  it('fence_dummy of fence-agents', { skip: installed ? false : 'fence-agents are not installed' }, async () => {
    agent = 'fence_dummy';
    const status = join(directory, 'status');
    writeFileSync(status, 'on');
    make('boot-1', { type: 'file', status_file: status });
    await arbiter.test();
    await vouch(true);
    assert.equal((await swap(['alpha'])).done, true);
    assert.match(readFileSync(status, 'utf8'), /off/);
    make('boot-1', { type: 'fail', status_file: status });
    await swap(['alpha', 'beta']);
    await assert.rejects(swap(['alpha']), { code: 'ERR_ARBITER_UNREACHABLE' });
  });
});
