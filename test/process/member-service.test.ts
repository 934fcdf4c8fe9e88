/** Services as members of a group: scripts and agents that behave, hang, flood, fork and lie. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MemberConfig, ServiceMember, ServiceSpec } from '../../src/config/cluster-types.js';
import { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { type MemberAnswer, MemberProcess } from '../support/member-process.js';
import { labUnavailable } from '../support/paths.js';
import { isAlive } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 90_000 };

function fine(answer: MemberAnswer): MemberAnswer {
  assert.ok(answer.ok, `${answer.code}: ${answer.reason}\n${answer.log.join('\n')}`);
  return answer;
}

function script(path: string, text: string): string {
  writeFileSync(path, `#!/bin/sh\n${text}`);
  chmodSync(path, 0o755);
  return path;
}

function serviceOf(host: Host, service: ServiceSpec, changes: Partial<ServiceMember> = {}, env: NodeJS.ProcessEnv = {}): MemberProcess {
  const config: MemberConfig = {
    kind: 'service', name: 'service test', service, startMs: 20_000, stopMs: 20_000, monitorMs: 5000, monitorEveryMs: 10_000, ...changes,
  };
  return new MemberProcess(host, config, env);
}

function withHost(name: string, body: (host: Host, lab: Lab) => Promise<void>): () => Promise<void> {
  return () => withLab(name, async (lab) => body(await Host.create(lab, 'alpha'), lab));
}

/** A daemon with a pid file: forks twice, leaves its session, keeps its output open. */
function daemonScript(dir: string): string {
  return `
pid=${dir}/pid
case "$1" in
  start) [ -e $pid ] && kill -0 $(cat $pid) && exit 0
         setsid sh -c 'echo $$ > ${dir}/pid; echo hello; while :; do sleep 0.05; done' & 
         while [ ! -s $pid ]; do sleep 0.01; done ;;
  stop) [ -e $pid ] && kill $(cat $pid); rm -f $pid; exit 0 ;;
  status) [ -e $pid ] || exit 3; kill -0 $(cat $pid) || exit 1; exit 0 ;;
  *) exit 2 ;;
esac
`;
}

test('LSB script with a daemon that keeps its output open: start, status, crash, stop', limits, withHost('svc-lsb', async (host) => {
  const path = script(join(host.dir, 'daemon'), daemonScript(host.dir));
  const member = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  assert.equal(await member.probe(), 'stopped');
  const started = fine(await member.start());
  assert.ok(started.ms < 10_000, 'a daemon that has the output open holds nobody up');
  fine(await member.start());
  fine(await member.monitor());
  assert.equal(await member.probe(), 'started');
  const pid = Number(readFileSync(join(host.dir, 'pid'), 'utf8'));
  process.kill(pid, 'SIGKILL');
  // not only dead: the script's kill -0 finds one that nobody has waited for, too
  await waitFor('it is gone', () => !existsSync(`/proc/${pid}`));
  assert.equal((await member.monitor()).code, 'ERR_MEMBER_MONITOR');
  fine(await member.stop());
  assert.equal(await member.probe(), 'stopped');
}));

test('the service lives on when who started it is killed, and is adopted', limits, withHost('svc-adopt', async (host) => {
  const path = script(join(host.dir, 'daemon'), daemonScript(host.dir));
  const first = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  fine(await first.start());
  const pid = Number(readFileSync(join(host.dir, 'pid'), 'utf8'));
  await first.kill();
  const second = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  assert.equal(await second.probe(), 'started');
  fine(await second.monitor());
  assert.ok(isAlive(pid));
  fine(await second.stop());
  assert.ok(!isAlive(pid));
}));

test('a start that says 0 and does nothing is a failure', limits, withHost('svc-liar', async (host) => {
  const path = script(join(host.dir, 'liar'), 'case "$1" in start|stop) exit 0;; status) exit 3;; esac');
  const answer = await serviceOf(host, { kind: 'lsb', script: path, arguments: [] }).start();
  assert.equal(answer.code, 'ERR_MEMBER_START');
  assert.match(answer.reason ?? '', /says that it is started, and its status that it is not/);
}));

test('a stop that says 0 and leaves it running is a failure; kill ends it', limits, withHost('svc-undead', async (host) => {
  const path = script(join(host.dir, 'undead'), `
case "$1" in
  start) sh -c 'trap "" TERM; while :; do sleep 0.05; done' >/dev/null 2>&1 & 
         echo $! > ${host.dir}/pid; touch ${host.dir}/up ;;
  stop) rm -f ${host.dir}/up ;;
  status) [ -e ${host.dir}/up ] || exit 3 ;;
esac`);
  const member = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  fine(await member.start());
  const pid = Number(readFileSync(join(host.dir, 'pid'), 'utf8'));
  const orderly = await member.stop();
  assert.equal(orderly.code, 'ERR_MEMBER_STOP');
  assert.match(orderly.reason ?? '', /these are left: sh \(pid \d+\)/);
  assert.ok(isAlive(pid));
  fine(await member.stop('kill'));
  assert.ok(!isAlive(pid));
}));

test('a script that hangs is ended with all that it started', limits, withHost('svc-hang', async (host) => {
  const path = script(join(host.dir, 'hang'), `case "$1" in status) exit 3;; esac; echo $$ > ${host.dir}/pid; trap '' TERM; sleep 1000 & echo $! > ${host.dir}/child; while :; do sleep 1; done`);
  const member = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  const answer = await member.start(1000);
  assert.equal(answer.code, 'ERR_MEMBER_TIME');
  const left = ['pid', 'child'].map((name) => Number(readFileSync(join(host.dir, name), 'utf8')));
  await waitFor('both are gone', () => !left.some(isAlive));
  // its stop hangs too: at level kill that uses up a part of the time only
  fine(await member.stop('kill'));
}));

test('a script that floods its output is heard to the end of what matters, in bounded space', limits, withHost('svc-flood', async (host) => {
  const path = script(join(host.dir, 'flood'), `case "$1" in status) [ -e ${host.dir}/up ] && exit 0; exit 3;; stop) rm -f ${host.dir}/up; yes | head -c 50000000; exit 0;; esac
yes nonsense | head -c 200000000; touch ${host.dir}/up; echo the last word >&2`);
  const member = serviceOf(host, { kind: 'lsb', script: path, arguments: [] });
  fine(await member.start());
  const [out = ''] = readdirSync(join(host.dir, 'run')).filter((name) => name.endsWith('.out'));
  assert.ok(statSync(join(host.dir, 'run', out)).size < 120_000_000, 'cut off while it was written');
  fine(await member.monitor());
  assert.ok(statSync(join(host.dir, 'run', out)).size < 300_000);
  fine(await member.stop());
}));

test('a heartbeat script is judged by its words', limits, withHost('svc-r1', async (host) => {
  mkdirSync(join(host.dir, 'resource.d'));
  const path = script(join(host.dir, 'resource.d', 'thing'), `[ "$1" = first ] || exit 9; case "$2" in start) touch ${host.dir}/up;; stop) rm -f ${host.dir}/up;; status) if [ -e ${host.dir}/up ]; then echo "thing OK"; else echo "thing is not running"; fi; exit 0;; esac`);
  const member = serviceOf(host, { kind: 'lsb', script: path, arguments: ['first'] });
  assert.equal(await member.probe(), 'stopped');
  fine(await member.start());
  assert.equal(await member.probe(), 'started');
  fine(await member.stop());
  assert.equal(await member.probe(), 'stopped');
}));

test('plain commands: with a monitor, and without one', limits, withHost('svc-command', async (host) => {
  const file = join(host.dir, 'up');
  const watched = serviceOf(host, { kind: 'command', start: `touch ${file}`, stop: `rm -f ${file}`, monitor: `test -e ${file}` });
  assert.equal(await watched.probe(), 'stopped');
  fine(await watched.start());
  assert.equal(await watched.probe(), 'started');
  fine(await watched.stop());
  assert.ok(!existsSync(file));
  await watched.end();

  const blind: ServiceSpec = { kind: 'command', start: 'sleep 1000 & echo $! > /run/pid', stop: 'kill $(cat /run/pid)', monitor: '' };
  const first = serviceOf(host, blind);
  assert.equal(await first.probe(), 'stopped');
  fine(await first.start());
  await first.kill();
  const second = serviceOf(host, { ...blind, start: 'exit 1' });
  assert.equal(await second.probe(), 'started');
  fine(await second.stop());
  assert.equal(await second.probe(), 'stopped');
  const failing = await second.start();
  assert.match(failing.reason ?? '', /exit code 1/);
}));

test('OCF agent: parameters, codes and meta-data as an agent expects them', limits, withHost('svc-ocf', async (host) => {
  // agents live below /usr/lib/ocf; the host has its own
  await host.sh('mkdir -p /run/ocf && cp -a /usr/lib/ocf/. /run/ocf/ 2>/dev/null || true; mkdir -p /usr/lib/ocf && mount --bind /run/ocf /usr/lib/ocf && mkdir -p /usr/lib/ocf/resource.d/test');
  script(join(host.outside('/usr/lib/ocf/resource.d/test'), 'Thing'), `
env | grep ^OCF_ > ${host.dir}/env-$1
case "$1" in
  start) [ "$OCF_RESKEY_state" ] || exit 6; touch $OCF_RESKEY_state; exit 0 ;;
  stop) rm -f $OCF_RESKEY_state; exit 0 ;;
  monitor) [ -e ${host.dir}/broken ] && { echo it smokes >&2; exit 1; }; [ -e "$OCF_RESKEY_state" ] && exit 0; exit 7 ;;
  *) exit 3 ;;
esac`);
  const state = join(host.dir, 'state');
  const member = serviceOf(host, { kind: 'ocf', provider: 'test', agent: 'Thing', parameters: { state } });
  assert.equal(await member.probe(), 'stopped');
  assert.match(readFileSync(join(host.dir, 'env-monitor'), 'utf8'), /OCF_RESKEY_CRM_meta_interval=0/);
  fine(await member.start());
  const env = readFileSync(join(host.dir, 'env-start'), 'utf8');
  for (const line of ['OCF_ROOT=/usr/lib/ocf', `OCF_RESKEY_state=${state}`, 'OCF_RESOURCE_INSTANCE=service_test', 'OCF_RESOURCE_TYPE=Thing', 'OCF_RESKEY_CRM_meta_timeout=20000'])
    assert.ok(env.split('\n').includes(line), `${line} in\n${env}`);
  fine(await member.monitor());
  writeFileSync(join(host.dir, 'broken'), '');
  const broken = await member.monitor();
  assert.match(broken.reason ?? '', /generic error: it smokes/);
  await host.sh(`rm ${host.dir}/broken`);
  fine(await member.stop());
  await member.end();

  const missing = serviceOf(host, { kind: 'ocf', provider: 'test', agent: 'Nothing', parameters: {} });
  assert.equal(await missing.probe(), 'stopped');
  assert.equal((await missing.start()).code, 'ERR_MEMBER_SETUP');
  await missing.end();

}));

const noDummy = existsSync('/usr/lib/ocf/resource.d/heartbeat/Dummy') ? false : 'the package resource-agents is not installed';
test('the OCF agent Dummy of resource-agents', { ...limits, skip: limits.skip || noDummy }, withHost('svc-dummy', async (host) => {
  const dummy = serviceOf(host, { kind: 'ocf', provider: 'heartbeat', agent: 'Dummy', parameters: { state: join(host.dir, 'dummy') } });
  assert.equal(await dummy.probe(), 'stopped');
  fine(await dummy.start());
  fine(await dummy.start());
  fine(await dummy.monitor());
  fine(await dummy.stop());
  fine(await dummy.stop());
  assert.equal(await dummy.probe(), 'stopped');
}));

test('systemd: an unknown unit is refused, a known one started and stopped', limits, withHost('svc-systemd', async (host) => {
  const bin = join(host.dir, 'bin');
  mkdirSync(bin);
  // systemd is not the first process here: one that answers as systemctl does
  script(join(bin, 'systemctl'), `
for last; do :; done
[ "$last" = known.service ] || { [ "$2" = show ] && printf 'LoadState=not-found\\nActiveState=inactive\\nSubState=dead\\nResult=success\\n' && exit 0; exit 5; }
case "$2" in
  show) s=inactive; [ -e ${host.dir}/up ] && s=active; printf "LoadState=loaded\\nActiveState=$s\\nSubState=x\\nResult=success\\n" ;;
  start) touch ${host.dir}/up ;;
  stop) rm -f ${host.dir}/up ;;
esac`);
  const env = { PATH: `${bin}:${process.env['PATH']}` };
  const unknown = serviceOf(host, { kind: 'systemd', unit: 'unknown' }, {}, env);
  assert.equal(await unknown.probe(), 'stopped');
  const refused = await unknown.start();
  assert.equal(refused.code, 'ERR_MEMBER_SETUP');
  assert.match(refused.reason ?? '', /not-found/);
  const member = serviceOf(host, { kind: 'systemd', unit: 'known' }, {}, env);
  fine(await member.start());
  assert.equal(await member.probe(), 'started');
  fine(await member.monitor());
  fine(await member.stop());
  assert.equal(await member.probe(), 'stopped');
}));
