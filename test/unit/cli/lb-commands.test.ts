/** `drbdts lb status`: what an operator sees of the virtual servers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatBalancingStatus } from '../../../src/cli/format-balancing.js';
import { type BalancingStatus, balancingStatus } from '../../../src/control/balancing-messages.js';
import { ClusterClient } from '../../../src/control/cluster-client.js';
import { drbdtsError } from '../../../src/shared/errors.js';
import { runFake } from './fake-context.js';

const counters = { connections: 4, packets: 40, bytes: 4000 };
const status: BalancingStatus = {
  ...{ node: 'alpha', version: '1', plane: 'nftables', problem: '', warnings: [] },
  virtualServers: [
    {
      ...{ name: 'web', address: '10.0.0.100', port: 80, protocol: 'tcp', kind: 'nat', scheduler: 'wrr', persistenceMs: 300_000, open: true, gate: 'instance vip: master here', quorum: true, quorumForMs: 61_000, liveWeight: 3, neededWeight: 1 },
      realServers: [
        { name: 'a', address: '10.0.1.1', port: 80, state: 'serving', forMs: 61_000, weight: 3, ...counters, checks: [{ type: 'http', up: true, seen: true, failures: 0, detail: 'status 200', tookMs: 3 }] },
        { name: 'b', address: '10.0.1.2', port: 80, state: 'down', forMs: 5000, weight: 1, ...counters, checks: [{ type: 'http', up: false, seen: true, failures: 2, detail: 'status 503', tookMs: 4 }] },
      ],
      sorryServer: { name: 'sorry-server', address: '10.0.1.9', port: 81, state: 'waiting', forMs: null, weight: 1, connections: 0, packets: 0, bytes: 0, checks: [] },
    },
  ],
};

class FakeBalancing extends ClusterClient {
  override async balancing(): Promise<BalancingStatus> {
    return status;
  }
}
class Without extends ClusterClient {
  override async balancing(): Promise<BalancingStatus> {
    throw drbdtsError('ERR_BALANCING_NOT_CONFIGURED');
  }
}

describe('drbdts lb status', () => {
  it('says who serves, why another one does not, and what each has got', async () => {
    const { code, stdout } = await runFake(['lb', 'status'], { cluster: new FakeBalancing() });
    assert.equal(code, 0);
    assert.match(stdout, /^web: tcp 10\.0\.0\.100:80 nat wrr, persistent for 5 min.* \(instance vip: master here\)$/m);
    assert.match(stdout, /quorum there for .*: weight 3 is up, needed 1/);
    assert.match(stdout, /^ {2}a +10\.0\.1\.1:80 +serving .* 3 +4 +40 +4000 +http up, status 200 \(3 ms\)$/m);
    assert.match(stdout, /^ {2}b +10\.0\.1\.2:80 +down .* http down, status 503 \(4 ms\)$/m);
    assert.match(stdout, /^ {2}sorry-server +10\.0\.1\.9:81 +waiting/m);
  });

  it('what is not in force is said first', () => {
    const [web] = status.virtualServers;
    assert.ok(web !== undefined);
    const lines = formatBalancingStatus({ ...status, problem: 'no such device', warnings: ['forwarding is off'], virtualServers: [{ ...web, open: false, quorum: false, liveWeight: 0 }] });
    assert.equal(lines[0], 'not in force: no such device');
    assert.equal(lines[1], 'warning: forwarding is off');
    assert.match(lines.join('\n'), /wrr, persistent for .*, not in force/);
    assert.match(lines.join('\n'), /quorum lost .* gained at 1/);
  });

  it('as JSON it is what the API answers', async () => {
    const { stdout } = await runFake(['--json', 'lb', 'status'], { cluster: new FakeBalancing() });
    assert.deepEqual(balancingStatus.parse(JSON.parse(stdout)), status);
  });

  it('without a section it names the way', async () => {
    const { code, stderr } = await runFake(['lb', 'status'], { cluster: new Without() });
    assert.equal(code, 10);
    assert.match(stderr, /Add `balancing:`/);
  });
});
