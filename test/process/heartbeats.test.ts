/** Heartbeats between real processes: cables cut on one side or both, interfaces that go away, processes that stop, floods. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { exited } from '../support/exec.js';
import { cable, clusterOf, deafen, HeartbeatProcess, undeafen } from '../support/heartbeat-host.js';
import { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 150_000 };

async function hosts(lab: Lab): Promise<[Host, Host]> {
  const a = await Host.create(lab, 'a');
  const b = await Host.create(lab, 'b');
  await cable(a, b, 'hb0', 0);
  await cable(a, b, 'hb1', 1);
  return [a, b];
}

const start = (host: Host, self: string, native = false, key = 'secret'): HeartbeatProcess => new HeartbeatProcess(host, { cluster: clusterOf(), self, key, native });

for (const native of [false, true]) {
  test(`cables are cut, on one side and on both, and repaired (${native ? 'bound to interfaces' : 'bound to addresses'})`, limits, async () => {
    await withLab('heartbeats', async (lab) => {
      const [hostA, hostB] = await hosts(lab);
      const a = start(hostA, 'a', native);
      const b = start(hostB, 'b', native);
      for (const each of [a, b]) await each.wait('both links are up', (view) => view.peer === 'alive' && view.links.every((link) => link.state === 'up'));

      a.command('report hello over there');
      await b.wait('the report arrives', (view) => (view.report as { text?: string } | null)?.text === 'hello over there');
      await a.wait('and is confirmed', (view) => view.confirmedVersion === view.ownVersion && view.ownVersion === 2);

      await deafen(hostA, 'hb0');
      await deafen(hostB, 'hb0');
      for (const each of [a, b]) await each.wait('the first link is down', (view) => view.links[0]?.state === 'dead' && view.peer === 'alive');

      // b still hears a on the second link, a does not hear b any more
      await deafen(hostA, 'hb1');
      await a.wait('a hears nothing', (view) => view.peer === 'dead');
      await b.wait('b sees that it is not heard', (view) => view.peer === 'dead' && view.deaf);

      await undeafen(hostB, 'hb0');
      await undeafen(hostA, 'hb0');
      for (const each of [a, b]) await each.wait('they meet on the first link', (view) => view.peer === 'alive' && view.links[0]?.state === 'up');
      await b.wait('the second link is one-way', (view) => view.links[1]?.oneWay === true);
      await undeafen(hostA, 'hb1');
      for (const each of [a, b]) await each.wait('all is well', (view) => view.links.every((link) => link.state === 'up' && !link.oneWay));
      assert.match(a.log.join('\n'), /b is back on link hb0 after \d+ ms and has not been restarted/);
    });
  });
}

test('an interface that is made anew is used again', limits, async () => {
  await withLab('heartbeats', async (lab) => {
    const [hostA, hostB] = await hosts(lab);
    const a = start(hostA, 'a', true);
    const b = start(hostB, 'b', true);
    for (const each of [a, b]) await each.wait('both links are up', (view) => view.peer === 'alive' && view.links.every((link) => link.state === 'up'));
    await hostA.sh('ip link delete hb0; ip link delete hb1');
    await a.wait('nothing works', (view) => view.peer === 'dead');
    await cable(hostA, hostB, 'hb0', 0);
    await cable(hostA, hostB, 'hb1', 1);
    for (const each of [a, b]) await each.wait('both links are up again', (view) => view.peer === 'alive' && view.links.every((link) => link.state === 'up'));
    assert.ok((await a.status()).counters.links.every((link) => link.reopened > 0));
  });
});

test('a process that was stopped says so first; one that was killed comes back as another; one that leaves is not dead', limits, async () => {
  await withLab('heartbeats', async (lab) => {
    const [hostA, hostB] = await hosts(lab);
    const a = start(hostA, 'a');
    const b = start(hostB, 'b');
    for (const each of [a, b]) await each.wait('both are there', (view) => view.peer === 'alive');
    b.child.kill('SIGSTOP');
    await a.wait('b is dead', (view) => view.peer === 'dead');
    const seen = b.lines.length;
    b.child.kill('SIGCONT');
    await waitFor('b notices', () => b.lines.slice(seen).some((line) => line['stalled'] !== undefined));
    assert.ok(Number(b.lines.slice(seen)[0]?.['stalled']) > 1000, 'it is the first thing that b says');
    for (const each of [a, b]) await each.wait('both are there again', (view) => view.peer === 'alive');
    assert.ok(!b.views.some((view) => view.peer === 'dead'), 'b never blames a for its own standstill');

    const boot = a.view?.boot;
    await b.end('SIGKILL');
    const again = start(hostB, 'b');
    await a.wait('b is back as another', (view) => view.peer === 'alive' && view.boot !== boot);
    again.command('goodbye');
    await a.wait('b has left', (view) => view.peer === 'left');
  });
});

test('garbage and wrong keys at full speed, from a stranger and in the name of the peer, change nothing', limits, async () => {
  await withLab('heartbeats', async (lab) => {
    const [hostA, hostB] = await hosts(lab);
    await hostB.must(['ip', 'address', 'add', '10.77.0.9/24', 'dev', 'hb0']);
    const a = start(hostA, 'a');
    const b = start(hostB, 'b');
    await a.wait('both are there', (view) => view.peer === 'alive');
    const rssBefore = (await a.status()).rssBytes;
    // a third node with another key, and a flood of junk from a foreign address
    const wrong = new HeartbeatProcess(hostB, { cluster: clusterOf({ links: clusterOf().links.slice(0, 1).map((link) => ({ ...link, addresses: { a: '10.77.0.1', b: '10.77.0.9' } })) }), self: 'b', key: 'other' });
    await waitFor('the wrong key is noticed', async () => ((await a.status()).counters.refused['key'] ?? 0) > 0);
    const flood = (from: string, port: number): Promise<number> => {
      const [file = '', ...args] = hostB.inside([
        process.execPath,
        '-e',
        `const s = require('dgram').createSocket({ type: 'udp4', reuseAddr: true });
         s.on('error', () => undefined);
         s.bind(${port}, '${from}', () => { const end = Date.now() + 4000; const more = () => { for (let i = 0; i < 20; i++) s.send(Buffer.alloc(200, i), 6940, '10.77.0.1'); Date.now() < end ? setTimeout(more, 1) : s.close(); }; more(); });`,
      ]);
      return exited(spawn(file, args, { stdio: 'inherit', env: lab.env }));
    };
    await Promise.all([flood('10.77.0.9', 0), flood('10.77.0.2', 6940)]);
    const { view, counters, rssBytes } = await a.status();
    assert.equal(view.peer, 'alive');
    assert.ok((counters.refused['garbage'] ?? 0) > 500, JSON.stringify(counters));
    assert.ok(a.log.filter((line) => line.includes('refused')).length <= 6, a.log.join('\n'));
    assert.ok(rssBytes - rssBefore < 100 * 1024 * 1024, `${rssBytes - rssBefore} bytes more`);
    assert.ok(!a.views.some((each) => each.peer === 'dead'));
    await wrong.end('SIGKILL');
    await b.end('SIGKILL');
  });
});
