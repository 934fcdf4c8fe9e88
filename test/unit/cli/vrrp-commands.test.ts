/** `drbdts vrrp ...`: what is shown of a virtual router, and what an operator can see in it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatVrrpStatus } from '../../../src/cli/format-vrrp.js';
import { ClusterClient } from '../../../src/control/cluster-client.js';
import { type VrrpExplanation, type VrrpInstanceStatus, type VrrpStatus, vrrpStatus } from '../../../src/control/vrrp-messages.js';
import { drbdtsError } from '../../../src/shared/errors.js';
import { runFake } from './fake-context.js';

const backup: VrrpInstanceStatus = {
  ...{ name: 'web', interface: 'eth0', routerId: 171, version: 2, family: 4, state: 'backup', forMs: 12_000, reason: 'started', faults: [] },
  ...{ priorityText: '90 = 100 base, -10 script nginx', basePriority: 100, effectivePriority: 90, master: '10.0.0.2', masterPriority: 150, source: '10.0.0.1' },
  ...{ addresses: [{ address: '10.0.0.100', prefix: 24, interface: 'eth0', present: false }], holdsAddresses: false, gate: '', gateState: '' },
  ...{ intervalMs: 1000, masterIntervalMs: 1000, skewMs: 648.4, masterDownMs: 3648.4, masterDownInMs: 3100, preemptInMs: null, startInMs: null },
  ...{ hearing: 'heard', hearingText: '10.0.0.2 heard 0.5 s ago, priority 150', senders: [], worstSilenceMs: 1005, worstSilencePart: 0.275, worstOwnGapMs: 0 },
  ...{ failoverMs: { min: 2648.4, max: 3898.4 }, becameMaster: 0, lapses: 0, sent: 3, sendErrors: 0, lastSendError: '', worstLateMs: 0.2 },
  ...{ tracked: [{ kind: 'script', name: 'nginx', weight: -10, reverse: false, up: false, detail: 'exit status 1' }], scriptsWaiting: 0 },
  scripts: [{ script: 'notify any', command: '/bin/n', user: '', exitCode: 2, output: 'first\nno such host', tookMs: 7 }],
};
const status = (...instances: VrrpInstanceStatus[]): VrrpStatus => ({
  ...{ node: 'alpha', version: '1', instances, syncGroups: [{ name: 'both', state: 'backup', instances: ['web'], scripts: [] }] },
  checks: [{ name: 'nginx', command: 'pidof nginx', user: 'nobody', exitCode: 1, output: '', tookMs: 4, skipped: 2 }],
});

class FakeVrrp extends ClusterClient {
  override async vrrp(): Promise<VrrpStatus> {
    return status(backup);
  }
  override async vrrpExplain(): Promise<VrrpExplanation> {
    return { lines: ['web:', '  nobody else'] };
  }
}

describe('drbdts vrrp status', () => {
  it('says who is master, why, and what would happen', async () => {
    const { code, stdout } = await runFake(['vrrp', 'status'], { cluster: new FakeVrrp() });
    assert.equal(code, 0);
    for (const line of [
      'web: backup for 12 s, started',
      '  VRRPv2 router-id 171 on eth0 from 10.0.0.1',
      '  priority   90 = 100 base, -10 script nginx',
      '  master     10.0.0.2, priority 150',
      '  addresses  10.0.0.100/24; not held here',
      '  timers     advert every 1.00 s, skew 0.65 s, master down after 3.65 s; 3.10 s of it left',
      "  failover   expected 2.65 s to 3.90 s after the master's death",
      '  heard      10.0.0.2 heard 0.5 s ago, priority 150',
      '  tracked    script nginx (-10) down, exit status 1',
      '  script     notify any: /bin/n: exit 2 after 7 ms: no such host',
      'sync group both: backup (web)',
    ])
      assert.ok(stdout.includes(`${line}\n`), `${line}\n${stdout}`);
    assert.match(stdout, /nginx\s+exit 1\s+4 ms\s+pidof nginx as nobody; 2 turns left out/);
  });

  it('an address that should be there and is not, a fault, a rejected peer', () => {
    const lines = formatVrrpStatus(status({ ...backup, holdsAddresses: true, faults: ['interface eth1 is down (no carrier)'], hearing: 'heard but rejected', hearingText: 'peer heard but rejected: the password is another one (10.0.0.2)', source: '' })).join('\n');
    assert.match(lines, /10\.0\.0\.100\/24 \(is missing\); held here/);
    assert.match(lines, /fault: interface eth1 is down/);
    assert.match(lines, /peer heard but rejected: the password is another one/);
    assert.match(lines, /no address to send from/);
  });

  it('JSON is what the manager answered', async () => {
    const { stdout } = await runFake(['--json', 'vrrp', 'status'], { cluster: new FakeVrrp() });
    assert.deepEqual(vrrpStatus.parse(JSON.parse(stdout)), status(backup));
  });

  it('a node without virtual routers says what to do', async () => {
    const cluster = new FakeVrrp();
    cluster.vrrp = async () => {
      throw drbdtsError('ERR_VRRP_NOT_CONFIGURED');
    };
    const { code, stderr } = await runFake(['vrrp', 'status'], { cluster });
    assert.equal(code, 10);
    assert.match(stderr, /no instance for this node[\s\S]*vrrp\.md/);
  });
});

describe('drbdts vrrp explain', () => {
  it('prints the paragraphs', async () => {
    const { stdout } = await runFake(['vrrp', 'explain'], { cluster: new FakeVrrp() });
    assert.equal(stdout, 'web:\n  nobody else\n');
  });
});
