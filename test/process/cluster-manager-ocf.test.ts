/** The resource agent ocf:drbdts:drbdts against real daemons: the exit codes that Pacemaker acts on. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Boot, installFile, installForClusterManagers } from '../support/boot.js';
import { describe, type RunResult } from '../support/exec.js';
import type { Host } from '../support/host.js';
import { type Lab, withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, programsUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip = labUnavailable() || programsUnavailable('/usr/lib/ocf/lib/heartbeat/ocf-shellfuncs', '/usr/sbin/ocf-tester');
const skipPacemaker = skip || programsUnavailable('/usr/sbin/crm_resource');
const agentFile = '/usr/lib/ocf/resource.d/drbdts/drbdts';

const code = { success: 0, generic: 1, installed: 5, configured: 6, notRunning: 7, promoted: 8 };

/** A node as installed: daemon at its usual place, agent, command and configuration. */
async function install(host: Host): Promise<Boot> {
  host.socket = '/run/drbdts/drbdtsd.sock';
  installForClusterManagers(host);
  installFile(host, '/etc/drbdts/drbdts.yaml', readFileSync(host.configFile, 'utf8'));
  return Boot.start(host);
}

type Act = (action: string, env?: NodeJS.ProcessEnv) => Promise<RunResult>;

function agentOf(boot: Boot): Act {
  return (action, env = {}) =>
    boot.run([agentFile, action], {
      env: {
        ...boot.host.lab.env,
        OCF_ROOT: '/usr/lib/ocf',
        OCF_RESOURCE_INSTANCE: 'r0',
        OCF_RESKEY_resource: 'r0',
        OCF_RESKEY_CRM_meta_timeout: '20000',
        OCF_RESKEY_CRM_meta_interval: '10000',
        ...env,
      },
    });
}

async function expectCode(result: Promise<RunResult>, expected: number): Promise<RunResult> {
  const done = await result;
  assert.equal(done.code, expected, describe(done));
  return done;
}

interface Setup {
  readonly pair: Pair;
  readonly act: Act;
  readonly peer: Act;
  readonly boot: Boot;
}

/** Two nodes in sync, resource down on both. */
async function downPair(lab: Lab): Promise<Setup> {
  const pair = await Pair.create(lab);
  const boot = await install(pair.a);
  const peer = await install(pair.b);
  await pair.upInSync();
  await pair.both((host) => host.drbdts('down', 'r0'));
  return { pair, boot, act: agentOf(boot), peer: agentOf(peer) };
}

test('ocf-tester finds nothing wrong', { skip, timeout: 180_000 }, async () => {
  await withLab('ocf-tester', async (lab) => {
    const { boot } = await downPair(lab);
    const tester = await boot.run(['ocf-tester', '-v', '-n', 'r0', '-o', 'resource=r0', '-o', 'wfc_timeout=0', agentFile]);
    assert.equal(tester.code, 0, describe(tester));
    assert.match(tester.stdout, /passed all tests/);
  });
});

test('on a node without curl the command is asked instead', { skip, timeout: 180_000 }, async () => {
  await withLab('ocf-no-curl', async (lab) => {
    const { boot, act } = await downPair(lab);
    await boot.must(['rm', '/usr/bin/curl']);
    await expectCode(act('monitor'), code.notRunning);
    await expectCode(act('start', { OCF_RESKEY_wfc_timeout: '1' }), code.success);
    await expectCode(act('promote'), code.success);
    await expectCode(act('monitor'), code.promoted);
    await boot.spawn(['bash', '-c', 'exec sleep 600 </dev/drbd0'], 'opener.log');
    const busy = await expectCode(act('demote', { OCF_RESKEY_CRM_meta_timeout: '8000' }), code.generic);
    assert.match(busy.stderr, /Device is held open by someone/);
    await boot.must(['pkill', '-x', 'sleep']);
    await expectCode(act('stop'), code.success);
    await expectCode(act('monitor', { OCF_RESKEY_resource: 'nosuch' }), code.notRunning);
  });
});

test('crm_resource --validate takes good parameters and names what is wrong with bad ones', { skip: skipPacemaker, timeout: 120_000 }, async () => {
  await withLab('ocf-validate', async (lab) => {
    const pair = await Pair.create(lab);
    const boot = await install(pair.a);
    const validate = (...options: string[]): Promise<RunResult> =>
      boot.run([
        'crm_resource', '--validate', '--class', 'ocf', '--provider', 'drbdts', '--agent', 'drbdts',
        ...options.flatMap((option) => ['--option', option]),
      ]);
    await expectCode(validate('resource=r0'), 0);
    for (const [options, says] of [
      [['resource=nosuch'], /nosuch/],
      [[], /parameter resource is missing/],
      [['resource=a b'], /is not the name of a resource/],
      [['resource=r0', 'adjust_promotion_score=1 2 3'], /four numbers/],
      [['resource=r0', 'wfc_timeout=soon'], /'soon' is not a number/],
      [['resource=r0', 'config=/nonexistent.yaml'], /nonexistent.yaml/],
    ] as const) {
      const result = await validate(...options);
      assert.notEqual(result.code, 0, describe(result));
      assert.match(result.stdout + result.stderr, says);
    }
    const described = await boot.must(['crm_resource', '--show-metadata', 'ocf:drbdts:drbdts']);
    assert.match(described, /<parameter name="resource" unique="1" required="1">/);
  });
});

test('start, promote, demote while mounted, stop', { skip, timeout: 180_000 }, async () => {
  await withLab('ocf-actions', async (lab) => {
    const { pair, act, peer, boot } = await downPair(lab);
    await expectCode(act('monitor'), code.notRunning);
    await expectCode(act('start'), code.success);
    await expectCode(act('monitor'), code.success);
    await expectCode(peer('start'), code.success);
    await pair.inSync();
    await expectCode(act('promote'), code.success);
    await expectCode(act('monitor'), code.promoted);
    // the other one is refused as long as this one is Primary
    const second = await expectCode(peer('promote', { OCF_RESKEY_CRM_meta_timeout: '8000' }), code.generic);
    assert.match(second.stderr, /Multiple primaries/);

    await boot.sh('mkfs.ext4 -q /dev/drbd0 && mkdir -p /var/store && mount /dev/drbd0 /var/store && echo kept >/var/store/file');
    const busy = await expectCode(act('demote', { OCF_RESKEY_CRM_meta_timeout: '8000' }), code.generic);
    assert.match(busy.stderr, /Device is held open by someone/);
    const stop = await expectCode(act('stop', { OCF_RESKEY_CRM_meta_timeout: '8000' }), code.generic);
    assert.match(stop.stderr, /could not be demoted/);
    await expectCode(act('monitor'), code.promoted);

    await boot.must(['umount', '/var/store']);
    await expectCode(act('demote'), code.success);
    await expectCode(act('demote'), code.success);
    await expectCode(act('monitor'), code.success);
    await expectCode(act('stop'), code.success);
    await expectCode(act('stop'), code.success);
    await expectCode(act('monitor'), code.notRunning);
    await expectCode(act('demote'), code.notRunning);
  });
});

test('a node without UpToDate data is not promoted', { skip, timeout: 180_000 }, async () => {
  await withLab('ocf-outdated', async (lab) => {
    const { pair, act } = await downPair(lab);
    await pair.a.drbdts('outdate', 'r0');
    await expectCode(act('start', { OCF_RESKEY_wfc_timeout: '0' }), code.success);
    const refused = await expectCode(act('promote'), code.generic);
    assert.match(refused.stderr, /Need access to UpToDate data/);
  });
});

test('stop_outdates_secondary: a Secondary that leaves its Primary can not be promoted alone', { skip, timeout: 180_000 }, async () => {
  await withLab('ocf-outdates', async (lab) => {
    const { pair, act, peer } = await downPair(lab);
    await expectCode(act('start'), code.success);
    await expectCode(peer('start'), code.success);
    await pair.inSync();
    await expectCode(peer('promote'), code.success);
    await expectCode(act('stop', { OCF_RESKEY_stop_outdates_secondary: 'true' }), code.success);
    assert.equal(await pair.a.drbdts('dstate', 'r0'), 'Outdated');
  });
});

test('a daemon that is away: no device, nothing runs; a device, and it is an error until the daemon is back', { skip, timeout: 240_000 }, async () => {
  await withLab('ocf-no-daemon', async (lab) => {
    const pair = await Pair.create(lab);
    const act = agentOf(await install(pair.a));
    const short = { OCF_RESKEY_CRM_meta_timeout: '8000' };
    // before the daemon was ever started
    await expectCode(act('monitor', { OCF_RESKEY_CRM_meta_interval: '0' }), code.notRunning);
    await expectCode(act('stop', short), code.success);
    const start = await expectCode(act('start', short), code.generic);
    assert.match(start.stderr, /drbdtsd gives no answer/);

    await pair.upInSync({ keeper: true });
    await expectCode(act('promote'), code.success);
    // it hangs: the state is not known, and the device says that it is served
    pair.a.running.freeze();
    await expectCode(act('monitor', short), code.generic);
    await expectCode(act('stop', short), code.generic);
    pair.a.running.thaw();
    await expectCode(act('monitor'), code.promoted);
    // it is restarted: monitor waits and sees no difference
    await pair.a.running.crash();
    await expectCode(act('monitor'), code.promoted);

    // a Secondary without its daemon serves nothing
    await pair.b.running.kill();
    await waitFor('the Primary is alone', async () => (await pair.a.running.volume()).connection === 'WFConnection');
    await expectCode(act('monitor'), code.promoted);
  });
});
