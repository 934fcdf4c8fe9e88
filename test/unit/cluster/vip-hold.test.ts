/** A virtual address that is held and given back: whatever comes in between, what was stopped stays away. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MemberConfig, VipMember } from '../../../src/config/cluster-types.js';
import type { Net, NetAddress } from '../../../src/cluster/members/net.js';
import { Vip } from '../../../src/cluster/members/vip.js';
import { systemClock } from '../../../src/shared/clock.js';
import { createLog } from '../../../src/shared/log.js';
import { waitFor } from '../../support/wait.js';

const config: VipMember & MemberConfig = {
  ...{ kind: 'vip', name: 'vip 192.0.2.100', family: 4, address: '192.0.2.100', prefix: 24, interface: 'svc0', label: '' },
  ...{ announceCount: 1, announceGapMs: 10, refreshMs: 0, startMs: 5000, stopMs: 5000, monitorMs: 1000, monitorEveryMs: 0 },
};

/** A kernel that takes its time. */
class FakeNet implements Net {
  taken: 'free' | { mac: string } = 'free';
  probes = 0;
  serves = true;
  private own: NetAddress | null = null;

  get present(): boolean {
    return this.own !== null;
  }
  async interfaces() {
    return [{ name: 'svc0', index: 1, up: true, carrier: true }];
  }
  async addresses() {
    return this.own === null ? [] : [this.own];
  }
  async addAddress(address: Parameters<Net['addAddress']>[0]) {
    this.own = { ...address, validSeconds: address.validSeconds };
  }
  async deleteAddress() {
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.own = null;
  }
  async probe() {
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.probes += 1;
    return this.taken;
  }
  async announce() {}
}

function setUp(): { net: FakeNet; vip: Vip } {
  const net = new FakeNet();
  const log = createLog('error');
  log.level = 'silent';
  const vip = new Vip(config, {
    ...{ node: 'alpha', group: 'web', log, clock: systemClock, control: {} as never, net, volumes: [], runDir: '', cgroupParent: '' },
    mayServe: () => net.serves,
  });
  return { net, vip };
}
const never = new AbortController().signal;

describe('a held address', () => {
  it('that is stopped while it is taken back stays away', async () => {
    const { net, vip } = setUp();
    await vip.start(never);
    vip.hold(true);
    await waitFor('withdrawn', () => !net.present);
    net.taken = { mac: '02:00:00:00:00:01' };
    const before = net.probes;
    vip.hold(false);
    await waitFor('asked for', () => net.probes > before);
    await vip.stop('orderly', never);
    net.taken = 'free';
    const asked = net.probes;
    await vip.monitor(never).then(
      () => assert.fail('a stopped address is no running one'),
      () => {},
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(net.present, false);
    assert.ok(net.probes <= asked + 1, 'nobody goes on asking for it');
    vip.close();
  });

  it('that is given back at once is there afterwards, and no monitor finds it gone', async () => {
    const { net, vip } = setUp();
    await vip.start(never);
    vip.hold(true);
    vip.hold(false);
    await vip.monitor(never);
    await waitFor('back', () => net.present && net.probes > 1);
    await vip.monitor(never);
    vip.hold(true);
    vip.hold(false);
    vip.hold(true);
    await waitFor('withdrawn', () => !net.present);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(net.present, false);
    await vip.monitor(never);
    assert.equal(await vip.probe(never), 'started', 'it is away on purpose');
    await vip.stop('orderly', never);
  });

  it('is not taken by a start in doubt before the doubt is over', async () => {
    const { net, vip } = setUp();
    net.serves = false;
    const start = vip.start(never);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(net.present, false);
    net.serves = true;
    await start;
    assert.equal(net.present, true);
    await vip.stop('orderly', never);
    assert.equal(net.present, false);
  });
});
