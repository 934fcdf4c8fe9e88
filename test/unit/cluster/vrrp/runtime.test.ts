/** The runtime over a network that is made up: what it makes of an interface on which nothing can be heard, and of adverts that differ. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { NativeNet, VrrpPacket } from '../../../../src/cluster/net-native.js';
import { encodeAdvert } from '../../../../src/cluster/vrrp/codec.js';
import { VrrpRuntime } from '../../../../src/cluster/vrrp/runtime.js';
import { parseConfig } from '../../../../src/config/load.js';
import { systemClock } from '../../../../src/shared/clock.js';
import { waitFor } from '../../../support/wait.js';

const text = `vrrp:
  instances:
    web:
      interface: eth0
      router-id: 51
      priority: 100
      advert-interval: 50ms
      addresses: [192.0.2.100/24]
      address-mismatch: log
`;

/** Addresses that were set, what was logged, and the network's one switch: whether a socket can be had. */
function world() {
  const set: string[] = [];
  const logged: string[] = [];
  const net = { deaf: true, hear: (_: VrrpPacket): void => {} };
  const say = (line: string): void => void logged.push(line);
  const nowMs = (): number => systemClock.nowMs();
  const fake: Partial<NativeNet> = {
    links: () => [{ name: 'eth0', index: 2, up: true, carrier: true, loopback: false, mac: '02:00:00:00:00:01', mtu: 1500 }],
    addresses: () => [{ index: 2, family: 4, address: '192.0.2.1', prefix: 24, label: '', validSeconds: null, preferredSeconds: null, noPrefixRoute: false, tentative: false, dadFailed: false }],
    setAddress: ({ address }) => void set.push(address),
    deleteAddress: () => {},
    bootTimeNs: () => BigInt(Math.round(nowMs() * 1e6)),
    monitor: () => ({ close: () => {} }),
    packetSocket: () => ({ send: () => {}, dropped: () => 0, close: () => {} }),
    vrrpSocket: (_, onPacket) => {
      if (net.deaf) throw new Error('no room for a socket');
      net.hear = onPacket;
      return { drain: nowMs, close: () => {} };
    },
    advertiser: () => ({
      run: () => {}, once: () => {}, renew: () => true, stop: () => {}, close: () => {},
      state: () => ({ running: true, ended: '', lastMs: nowMs(), longestGapMs: 0, sent: 1, failed: 0, lastError: '', worstLateMs: 0 }),
    }),
  };
  const { config } = parseConfig(text, 'test.yaml', 'alpha');
  const section = config?.vrrp ?? assert.fail('the configuration has virtual routers');
  const log = { info: say, warn: say, error: say };
  const runtime = new VrrpRuntime({ section, node: 'alpha', net: fake as NativeNet, clock: systemClock, log, handlerTimeoutMs: 0, gate: () => ({ state: 'refused', reason: '' }) });
  const web = () => runtime.status().instances[0] ?? assert.fail('there is one instance');
  return { net, set, logged, runtime, web };
}

it('who can not hear is in fault and takes no address, until it can', async () => {
  const { net, set, runtime, web } = world();
  await runtime.start();
  try {
    assert.equal(web().state, 'fault');
    assert.deepEqual(web().faults, ['adverts can not be received on eth0: no room for a socket']);
    assert.equal(set.length, 0);
    net.deaf = false;
    await waitFor('it is master', async () => web().state === 'master');
    assert.deepEqual(web().faults, []);
    assert.ok(set.includes('192.0.2.100'));
  } finally {
    await runtime.stop();
  }
});

it('another list of addresses is taken where the configuration says so, and said once', async () => {
  const { net, logged, runtime, web } = world();
  net.deaf = false;
  await runtime.start();
  try {
    const { config } = runtime.units[0]?.own ?? assert.fail('there is one instance');
    const other = { ...config, addresses: config.addresses.map((one) => ({ ...one, address: '192.0.2.101' })) };
    const data = encodeAdvert(other, 200, '192.0.2.2', '224.0.0.18');
    for (let number = 0; number < 3; number++) net.hear({ source: '192.0.2.2', destination: '224.0.0.18', ttl: 255, receivedMs: systemClock.nowMs(), data });
    assert.equal(web().master, '192.0.2.2');
    assert.equal(logged.filter((line) => line.includes('192.0.2.101')).length, 1, logged.join('\n'));
  } finally {
    await runtime.stop();
  }
});
