/** A resource of a real drbdtsd as a member of a group. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemberConfig } from '../../src/config/cluster-types.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { type MemberAnswer, MemberProcess } from '../support/member-process.js';
import { Pair, quickDisk, quickNet } from '../support/pair.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 120_000 };

function fine(answer: MemberAnswer): MemberAnswer {
  assert.ok(answer.ok, `${answer.code}: ${answer.reason}\n${answer.log.join('\n')}`);
  return answer;
}

function volumeOf(host: Host): MemberProcess {
  const config: MemberConfig = { kind: 'volume', name: 'volume r0', resource: 'r0', startMs: 20_000, stopMs: 20_000, monitorMs: 5000, monitorEveryMs: 10_000 };
  return new MemberProcess(host, config);
}

test('Primary is started: promote, wait for the peer, demote, and a device in use is refused by name', limits, () =>
  withLab('member-volume', async (lab) => {
    const pair = await Pair.create(lab, { net: quickNet, disk: quickDisk });
    for (const host of [pair.a, pair.b]) {
      await host.startDaemon();
      await host.drbdts('create-md', 'r0');
      await host.drbdts('up', 'r0');
    }
    await pair.a.drbdts('wait-connect', 'r0');
    await pair.a.drbdts('primary', '--force', 'r0');
    await pair.a.drbdts('wait-sync', 'r0');
    const here = volumeOf(pair.a);
    const there = volumeOf(pair.b);
    assert.equal(await here.probe(), 'started');
    assert.equal(await there.probe(), 'stopped');
    fine(await here.start());
    fine(await here.monitor());

    const refused = await there.start(3000);
    assert.equal(refused.code, 'ERR_MEMBER_TIME');
    assert.match(refused.reason ?? '', /Multiple primaries|refused by peer|peer Primary/i);

    const holder = pair.a.spawn(['sh', '-c', 'exec 9</dev/drbd0; echo ready; exec sleep 1000'], ['ignore', 'pipe', 2]);
    await new Promise((resolve) => holder.stdout?.once('data', resolve));
    const busy = await here.stop('orderly', 2000);
    assert.equal(busy.code, 'ERR_MEMBER_TIME');
    assert.match(busy.reason ?? '', /held open|sleep/i);
    assert.equal(await here.probe(), 'started');
    holder.kill('SIGKILL');

    // a start that waits goes on as soon as the other gives way
    const waiting = there.start(20_000);
    fine(await here.stop());
    fine(await waiting);
    assert.equal(await there.probe(), 'started');
    assert.equal((await here.monitor()).code, 'ERR_MEMBER_MONITOR');

    // a daemon that restarts is waited for, a resource that nobody knows is not
    await pair.b.running.stop();
    const patient = there.monitor(20_000);
    await pair.b.startDaemon();
    await patient;
    await waitFor('it answers again', async () => ['started', 'stopped'].includes(await there.probe()));
  }),
);
