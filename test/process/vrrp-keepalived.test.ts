/** Our virtual routers beside Debian's keepalived: both agree on one master, and every frame of ours is as it should be. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Lab, withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { Capture, Keepalived, keepalivedBinary, nowMs, OurRouter, type Pair, VipWatch, vrrpPair } from '../support/vrrp.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable() || (!existsSync(keepalivedBinary) && 'needs keepalived: npm run setup');
const limits = { skip, timeout: 90_000 };

/** keepalived.conf of one instance `web` with router id 171. */
function keepalivedConf(options: { priority: number; vips: readonly string[]; version?: 2 | 3; interval?: number; group?: string; more?: string }): string {
  const { priority, vips, version = 3, interval = 0.2, group = '224.0.0.18', more = '' } = options;
  return `global_defs {
  router_id peer
  vrrp_version ${version}
  vrrp_mcast_group4 ${group}
}
vrrp_instance web {
  state BACKUP
  interface eth0
  virtual_router_id 171
  priority ${priority}
  advert_int ${interval}
  virtual_ipaddress {
    ${vips.join('\n    ')}
  }
  ${more}
}
`;
}

const pass = 'authentication {\n auth_type PASS\n auth_pass renwole0\n }';
const v2 = { version: 2, interval: 1, group: '224.0.0.111', more: pass } as const;
const oursV2 = { version: 2, password: 'renwole0', 'multicast-group': '224.0.0.111' };

/** Section `vrrp:` with one instance `web`; alpha is ours. */
function ours(priority: number, addresses: readonly string[], more: Record<string, unknown> = {}, around: Record<string, unknown> = {}): unknown {
  return { ...around, instances: { web: { interface: 'eth0', 'router-id': 171, priority: { alpha: priority, beta: 100 }, 'advert-interval': '200ms', addresses, ...more } } };
}

interface Stage extends Pair {
  readonly vip: string;
  readonly capture: Capture;
  readonly watchA: VipWatch;
  readonly watchB: VipWatch;
  /** Exactly one of the hosts has the address, and it is this one. */
  alone(which: 'a' | 'b', limitMs?: number): Promise<void>;
}

async function play(lab: Lab, vip: (pair: Pair) => string, work: (stage: Stage) => Promise<void>): Promise<void> {
  const pair = await vrrpPair(lab);
  const address = vip(pair);
  const capture = await Capture.start(pair.b);
  const [watchA, watchB] = [new VipWatch(pair.a, [address]), new VipWatch(pair.b, [address])];
  await Promise.all([watchA.ready(), watchB.ready()]);
  const alone = async (which: 'a' | 'b', limitMs = 20_000): Promise<void> => {
    const [mine, other] = which === 'a' ? [watchA, watchB] : [watchB, watchA];
    await waitFor(`${which} alone has ${address}`, () => mine.here.length === 1 && other.here.length === 0, limitMs, () => JSON.stringify([watchA.changes, watchB.changes]));
  };
  await work({ ...pair, vip: address, capture, watchA, watchB, alone });
}

const stage = (name: string, work: (stage: Stage) => Promise<void>, vip: (pair: Pair) => string = ({ net }) => `${net}.100`): void => {
  it(name, limits, () => withLab('vrrp', (lab) => play(lab, vip, work)));
};

/** Nothing on the cable that tcpdump finds fault with, and adverts of ours among it. */
async function framesAreValid(capture: Capture, from: string, like: RegExp): Promise<string[]> {
  const lines = await capture.decoded();
  const adverts = lines.filter((line) => line.includes('VRRPv'));
  const own = adverts.filter((line) => line.includes(`${from} > `));
  assert.ok(own.length > 0, 'no advert of ours was captured');
  for (const line of lines) assert.doesNotMatch(line, /\bbad\b|\[\||invalid|wrong|malformed|truncated/i, line);
  for (const line of own) assert.match(line, like);
  return own;
}

describe('beside keepalived', { concurrency: 4 }, () => {
  stage('version 2 with a password and a group of its own: ours takes over, is killed, and leaves nothing behind', async ({ a, b, net, vip, capture, watchA, watchB, alone }) => {
    const other = new Keepalived(b, keepalivedConf({ ...v2, priority: 100, vips: [`${net}.100/24`] }));
    await other.is('MASTER');
    const router = new OurRouter(a, ours(150, [`${net}.100/24`], { ...oursV2, 'advert-interval': '1s' }));
    await router.is('master');
    await other.is('BACKUP');
    await alone('a');
    const killedAt = nowMs();
    await router.end('SIGKILL');
    await other.is('MASTER');
    await alone('b');
    const gone = watchA.changes.findLast(({ here }) => here.length === 0)?.atMs ?? Number.POSITIVE_INFINITY;
    const taken = watchB.changes.findLast(({ here }) => here.length === 1)?.atMs ?? 0;
    assert.ok(gone - killedAt <= 3000, `gone after ${gone - killedAt} ms`);
    assert.ok(gone < taken, `never on both: gone at ${gone}, taken at ${taken}`);
    await framesAreValid(capture, `${net}.1`, new RegExp(`tos 0xc0, ttl 255.*> 224\\.0\\.0\\.111: VRRPv2, Advertisement, vrid 171, prio 150, authtype simple, intvl 1s, length 20, addrs: ${vip} auth "renwole0"`));
  });

  stage('version 2 as the backup: takes over when keepalived leaves, gives way when it comes back', async ({ a, b, net, capture, alone }) => {
    const conf = keepalivedConf({ ...v2, priority: 150, vips: [`${net}.100/24`] });
    let other = new Keepalived(b, conf);
    await other.is('MASTER');
    const router = new OurRouter(a, ours(90, [`${net}.100/24`], { ...oursV2, 'advert-interval': '1s' }));
    const waiting = await router.is('backup');
    await waitFor('it has heard the master', async () => (await router.status()).master === `${net}.2`);
    assert.equal(waiting.source, `${net}.1`);
    const heard = await router.status();
    assert.equal(heard.hearing, 'heard');
    assert.deepEqual([heard.masterPriority, heard.masterDownMs], [150, 3000 + ((256 - 90) * 1000) / 256].map((ms) => Math.round(ms * 10) / 10));
    // priority 0 leaves only the skew to wait for: sooner than any advert would be missed
    await other.end('SIGTERM');
    await router.is('master', 'web', 2500);
    await alone('a');
    other = new Keepalived(b, conf);
    await other.is('MASTER');
    await router.is('backup');
    await alone('b');
    await framesAreValid(capture, `${net}.1`, /prio 90, authtype simple/);
  });

  stage('version 3 without preemption: a better one waits, and stays when it has the address', async ({ a, b, net, capture, alone }) => {
    const conf = keepalivedConf({ priority: 100, vips: [`${net}.100/24`], more: 'nopreempt' });
    let other = new Keepalived(b, conf);
    await other.is('MASTER');
    const router = new OurRouter(a, ours(150, [`${net}.100/24`], { preempt: false }));
    await router.is('backup');
    // longer than it would have waited for a dead one
    const adverts = async (): Promise<number> => (await router.status()).senders[0]?.taken ?? 0;
    const before = await adverts();
    await waitFor('it has let ten adverts pass', async () => (await adverts()) >= before + 10);
    assert.equal((await router.status()).state, 'backup');
    await alone('b');
    await other.end('SIGTERM');
    await router.is('master');
    await alone('a');
    other = new Keepalived(b, conf);
    await other.is('BACKUP');
    const sent = (await router.status()).sent;
    await waitFor('both have seen each other', async () => (await router.status()).sent >= sent + 10);
    assert.equal(other.state, 'BACKUP');
    await alone('a');
    // priority 0 on stop
    assert.equal(await router.end('SIGTERM'), 0);
    await other.is('MASTER', 3000);
    await alone('b');
    const own = await framesAreValid(capture, `${net}.1`, /ttl 255.*VRRPv3, Advertisement, vrid 171, prio (150|0), intvl 20cs, length 12/);
    assert.match(own.at(-1) ?? '', /prio 0/);
  });

  stage(
    'version 3 over IPv6: the address moves with a neighbour advertisement',
    async ({ a, b, capture, alone }) => {
      const vips = ['fe80::6001/64', 'fd00:16::100/64'];
      const other = new Keepalived(b, keepalivedConf({ priority: 100, vips }));
      await other.is('MASTER');
      const router = new OurRouter(a, ours(150, vips));
      await router.is('master');
      await other.is('BACKUP');
      await alone('a');
      await router.end('SIGTERM');
      await other.is('MASTER', 3000);
      await alone('b');
      await framesAreValid(capture, 'fe80::1', /hlim 255.*fe80::1 > ff02::12: .*VRRPv3, Advertisement, vrid 171, prio (150|0), intvl 20cs, length 40, addrs\(2\): fe80::6001,fd00:16::100/);
      const told = (await b.sh('ip -6 neigh show fd00:16::100 dev eth0 || true')).trim();
      assert.ok(told === '' || !told.includes('FAILED'), told);
    },
    () => 'fd00:16::100',
  );

  stage('unicast: no group, one packet for the peer; an address that somebody takes away is held again', async ({ a, b, net, vip, capture, watchA, alone }) => {
    const other = new Keepalived(b, keepalivedConf({ priority: 100, vips: [`${net}.100/24`], more: `unicast_src_ip ${net}.2\n unicast_peer {\n ${net}.1\n }` }));
    await other.is('MASTER');
    const router = new OurRouter(a, ours(150, [`${net}.100/24`], { unicast: { addresses: { alpha: `${net}.1`, beta: `${net}.2` }, 'min-ttl': 255 } }));
    await router.is('master');
    await other.is('BACKUP');
    await alone('a');
    // somebody takes it away
    const changes = watchA.changes.length;
    await a.sh(`ip address del ${vip}/24 dev eth0`);
    await waitFor('it is held again', () => watchA.changes.length >= changes + 2 && watchA.here.length === 1);
    assert.equal((await router.status()).state, 'master');
    await router.end('SIGTERM');
    await other.is('MASTER', 3000);
    await alone('b');
    await framesAreValid(capture, `${net}.1`, new RegExp(`${net}\\.1 > ${net}\\.2: VRRPv3, Advertisement, vrid 171`));
  });

  stage('a weight moves the address there and back; a check without weight is a fault; scripts are told', async ({ a, b, net, capture, alone }) => {
    const [load, healthy, notes] = ['load', 'healthy', 'notes'].map((name) => join(a.dir, name)) as [string, string, string];
    writeFileSync(load, '0\n');
    writeFileSync(healthy, '');
    const scripts = join(a.dir, 'scripts');
    mkdirSync(scripts);
    writeFileSync(join(scripts, 'notify.sh'), `#!/bin/sh\necho "$@" >> ${notes}\n`, { mode: 0o755 });
    const other = new Keepalived(b, keepalivedConf({ priority: 100, vips: [`${net}.100/24`] }));
    await other.is('MASTER');
    const router = new OurRouter(
      a,
      ours(
        110,
        [`${net}.100/24`],
        { track: [{ file: load, weight: -1 }, { script: 'healthy' }], notify: { any: `${scripts}/notify.sh any`, master: `${scripts}/notify.sh master; exit 3`, stop: `${scripts}/notify.sh stop` } },
        { scripts: { healthy: { command: `test -e ${healthy}`, interval: '200ms' } } },
      ),
    );
    await router.is('master');
    await alone('a');
    const told = (await router.client.vrrpExplain()).lines.join('\n');
    assert.match(told, /If alpha is stopped: beta is master 0\.12\d s later/);
    assert.match(told, /If script healthy fails on alpha: .*alpha drops the addresses and is in fault/);
    writeFileSync(load, '20\n');
    await router.is('backup');
    await other.is('MASTER');
    await alone('b');
    assert.equal((await router.status()).priorityText, `90 = 110 base, -20 file ${load}`);
    writeFileSync(load, '0\n');
    await router.is('master');
    await alone('a');
    await a.sh(`rm ${healthy}`);
    const fault = await router.is('fault');
    assert.match(fault.faults.join(), /script healthy is down \(exit status 1\)/);
    await other.is('MASTER');
    await alone('b');
    writeFileSync(healthy, '');
    await router.is('master');
    const ended = await waitFor('the script has ended', async () => (await router.status()).scripts.find(({ script }) => script === 'notify master'));
    assert.equal(ended.exitCode, 3);
    await router.end('SIGTERM');
    await alone('b');
    // an advert of keepalived that crosses our first one is told as well, or is not
    const lines = (await a.sh(`cat ${notes}`)).trim().split('\n').filter((line) => line !== 'any INSTANCE web MASTER_RX_LOWER_PRI 110');
    const generic = lines.filter((line) => line.startsWith('any '));
    assert.deepEqual(generic, [
      ...['any INSTANCE web BACKUP 110', 'any INSTANCE web MASTER 110', 'any INSTANCE web BACKUP 90', 'any INSTANCE web MASTER 110'],
      ...['any INSTANCE web FAULT 110', 'any INSTANCE web BACKUP 110', 'any INSTANCE web MASTER 110', 'any INSTANCE web STOP 110'],
    ]);
    // what is for one state comes before what is for all
    for (const [index, line] of lines.entries()) if (line === 'master') assert.match(lines[index + 1] ?? '', /MASTER/);
    assert.deepEqual(lines.slice(-2), ['stop', 'any INSTANCE web STOP 110']);
    await framesAreValid(capture, `${net}.1`, /prio (110|90|0), intvl 20cs/);
  });

  stage('a peer with another password is heard and rejected, and both sides of it are told', async ({ a, b, net }) => {
    new Keepalived(b, keepalivedConf({ ...v2, priority: 100, vips: [`${net}.100/24`], more: pass.replace('renwole0', 'other') }));
    const router = new OurRouter(a, ours(150, [`${net}.100/24`], { ...oursV2, 'advert-interval': '1s' }));
    await waitFor('it is told', async () => (await router.status()).hearing === 'heard but rejected');
    const { hearingText, senders } = await router.status();
    assert.match(hearingText, new RegExp(`peer heard but rejected: the password is another one \\(${net}\\.2`));
    assert.ok((senders[0]?.rejectedBy['password'] ?? 0) > 0);
    assert.match(router.log(), /peer heard but rejected/);
  });

  stage('a process that stood still gives the address up, and asks before it does anything again', async ({ a, b, net, capture, alone }) => {
    const other = new Keepalived(b, keepalivedConf({ priority: 100, vips: [`${net}.100/24`] }));
    await other.is('MASTER');
    const router = new OurRouter(a, ours(150, [`${net}.100/24`], { preempt: false }));
    await router.is('backup');
    await other.end('SIGTERM');
    await router.is('master');
    const again = new Keepalived(b, keepalivedConf({ priority: 100, vips: [`${net}.100/24`] }));
    await again.is('BACKUP');
    router.child.kill('SIGSTOP');
    await again.is('MASTER');
    await alone('b');
    router.child.kill('SIGCONT');
    const back = await router.is('backup');
    assert.equal(back.lapses, 1);
    await waitFor('it hears the new master', async () => (await router.status()).master === `${net}.2`);
    assert.equal(again.state, 'MASTER');
    assert.equal([...again.log().matchAll(/Entering BACKUP/g)].length, 1, 'keepalived was not disturbed');
    await alone('b');
    await framesAreValid(capture, `${net}.1`, /prio 150/);
  });
});
