/** Virtual addresses as members of a group, between two hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemberConfig, VipMember } from '../../src/config/cluster-types.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { type MemberAnswer, MemberProcess } from '../support/member-process.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 90_000 };
const address = '192.0.2.100';

function fine(answer: MemberAnswer): MemberAnswer {
  assert.ok(answer.ok, `${answer.code}: ${answer.reason}\n${answer.log.join('\n')}`);
  return answer;
}

function vipOf(host: Host, changes: Partial<VipMember> = {}): MemberProcess {
  const config: MemberConfig = {
    kind: 'vip', name: `vip ${address}`, family: 4, address, prefix: 24, interface: '', label: '', announceCount: 3, announceGapMs: 10, refreshMs: 0,
    startMs: 20_000, stopMs: 20_000, monitorMs: 5000, monitorEveryMs: 10_000, ...changes,
  };
  return new MemberProcess(host, config);
}

/** Two hosts on one wire, both with an address of the service's network. */
function withTwo(name: string, body: (a: Host, b: Host) => Promise<void>): () => Promise<void> {
  return () =>
    withLab(name, async (lab) => {
      const a = await Host.create(lab, 'alpha');
      const b = await Host.create(lab, 'beta');
      await a.must(['ip', 'link', 'add', 'svc0', 'type', 'veth', 'peer', 'name', 'svc0', 'netns', String(b.pid)]);
      for (const [host, last] of [[a, 1], [b, 2]] as const) {
        await host.must(['ip', 'link', 'set', 'svc0', 'up']);
        await host.must(['ip', 'addr', 'add', `192.0.2.${last}/24`, 'dev', 'svc0']);
        await host.must(['ip', 'addr', 'add', `2001:db8::${last}/64`, 'dev', 'svc0', 'nodad']);
      }
      await body(a, b);
    });
}

function has(host: Host, what = address): Promise<boolean> {
  return host.must(['ip', 'addr', 'show']).then((text) => text.includes(`${what}/`));
}

/** A closed port refuses: somebody is there. */
async function reaches(host: Host, to: string): Promise<boolean> {
  const script = `import socket,sys
try: socket.create_connection((sys.argv[1], 9), 2)
except ConnectionRefusedError: sys.exit(0)
sys.exit(1)`;
  return (await host.run(['python3', '-c', script, to])).code === 0;
}

async function macOf(host: Host): Promise<string> {
  return /link\/ether (\S+)/.exec(await host.must(['ip', 'link', 'show', 'svc0']))?.[1] ?? '';
}

test('taken on the interface of its network, kept alive, given up', limits, withTwo('vip-plain', async (a, b) => {
  const member = vipOf(a, { label: 'svc0:0' });
  assert.equal(await member.probe(), 'stopped');
  fine(await member.start());
  const shown = await a.must(['ip', 'addr', 'show', 'svc0']);
  assert.match(shown, /192\.0\.2\.100\/24 .*svc0:0\s+valid_lft [123]sec/);
  assert.ok(await reaches(b, address));
  // longer than the lifetime it has in the kernel
  await a.sh('sleep 4');
  assert.ok(await has(a));
  fine(await member.monitor());
  fine(await member.stop());
  assert.ok(!(await has(a)));
  fine(await member.stop());
  assert.equal((await member.monitor()).code, 'ERR_MEMBER_MONITOR');
}));

test('a killed or frozen process leaves no address behind; one that goes on does not take it again', limits, withTwo('vip-killed', async (a) => {
  const first = vipOf(a);
  fine(await first.start());
  await first.kill();
  assert.ok(await has(a));
  const second = vipOf(a);
  assert.equal(await second.probe(), 'started');
  await a.sh('sleep 4');
  assert.ok(await has(a), 'adopted and kept');
  const pid = second.child.pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  await waitFor('the kernel removes it', async () => !(await has(a)), 10_000);
  process.kill(pid, 'SIGCONT');
  const answer = await second.monitor();
  assert.equal(answer.code, 'ERR_MEMBER_MONITOR');
  assert.ok(!(await has(a)), 'not taken again unasked');
  fine(await second.start());
  assert.ok(await has(a));
}));

test('while another machine answers, the address is waited for, with a code and its hardware address', limits, withTwo('vip-taken', async (a, b) => {
  await b.must(['ip', 'addr', 'add', `${address}/24`, 'dev', 'svc0']);
  const mac = await macOf(b);
  const member = vipOf(a);
  const refused = await member.start(3000);
  assert.equal(refused.code, 'ERR_MEMBER_TIME');
  assert.ok(refused.reason?.includes(mac), refused.reason);
  assert.ok(!(await has(a)));
  await b.must(['ip', 'addr', 'del', `${address}/24`, 'dev', 'svc0']);
  fine(await member.start());
}));

test('the others learn of the new owner', limits, withTwo('vip-announce', async (a, b) => {
  await b.must(['ip', 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:99', 'dev', 'svc0', 'nud', 'stale']);
  fine(await vipOf(a).start());
  const mac = await macOf(a);
  await waitFor('the neighbour entry is corrected', async () => (await b.must(['ip', 'neigh', 'show', address])).includes(mac));
}));

test('taken while nobody could hear it: the others learn of the new owner when the network is back', limits, withTwo('vip-unheard', async (a, b) => {
  await b.must(['ip', 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:01', 'dev', 'svc0', 'nud', 'reachable']);
  await a.must(['tc', 'qdisc', 'add', 'dev', 'svc0', 'root', 'blackhole']);
  const vip = vipOf(a, { refreshMs: 200 });
  fine(await vip.start());
  await a.must(['tc', 'qdisc', 'del', 'dev', 'svc0', 'root']);
  const owner = await macOf(a);
  await waitFor('b knows the new owner', async () => (await b.must(['ip', 'neigh', 'show', address])).includes(owner));
  await vip.end();
}));

test('no carrier, no network, and no address any more are failures', limits, withTwo('vip-down', async (a, b) => {
  const elsewhere = vipOf(a, { address: '198.51.100.1' });
  const lost = await elsewhere.start(3000);
  assert.equal(lost.code, 'ERR_MEMBER_SETUP');
  await elsewhere.end();
  const member = vipOf(a);
  fine(await member.start());
  await b.must(['ip', 'link', 'set', 'svc0', 'down']);
  await waitFor('the cable is out', async () => /no carrier/.test((await member.monitor()).reason ?? ''));
  await b.must(['ip', 'link', 'set', 'svc0', 'up']);
  await waitFor('it is in again', async () => (await member.monitor()).ok);
  await a.must(['ip', 'addr', 'del', `${address}/24`, 'dev', 'svc0']);
  assert.equal((await member.monitor()).ok, false);
}));

test('IPv6', limits, withTwo('vip-six', async (a, b) => {
  const six = '2001:db8::100';
  const member = vipOf(a, { family: 6, address: six, prefix: 64 });
  fine(await member.start());
  await waitFor('it answers', () => reaches(b, six), 10_000, () => a.must(['ip', 'addr', 'show']));
  fine(await member.stop());
  assert.ok(!(await has(a, six)));
}));
