/** An address that stands on a volume: VRRP moves it only where the group is served, and never promotes. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { VrrpInstanceStatus } from '../../src/control/vrrp-messages.js';
import { ClusterLab } from '../support/cluster.js';
import type { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

test('the address is where the volume is served, also when VRRP alone would have it elsewhere', { skip: labUnavailable(), timeout: 180_000 }, () =>
  withLab('vrrp-gate', async (lab) => {
    const cluster = await ClusterLab.create(lab, { groups: ({ store }) => ({ web: { members: [{ volume: 'r0' }, { filesystem: store, type: 'ext4' }] } }) });
    // the priorities wish for b, whatever the group does
    const vrrp = { instances: { web: { interface: 'eth1', 'router-id': 7, 'advert-interval': '200ms', priority: { [cluster.a.name]: 100, [cluster.b.name]: 200 }, addresses: [`${cluster.vip}/24`], gate: 'web' } } };
    for (const host of [cluster.a, cluster.b]) writeFileSync(host.configFile, stringify({ ...(parse(readFileSync(host.configFile, 'utf8')) as object), vrrp }), { mode: 0o600 });
    const first = await cluster.up();
    const router = async (host: Host): Promise<VrrpInstanceStatus> => {
      const [found] = (await cluster.clusterd(host).client.vrrp()).instances;
      assert.ok(found !== undefined);
      return found;
    };
    /** Master, address and mounted volume are on one node, and on no other. */
    const together = (host: Host): Promise<unknown> =>
      waitFor(`all is on ${host.name}`, async () => {
        const other = cluster.other(host);
        return (await router(host)).state === 'master' && (await cluster.hasVip(host)) && !(await cluster.hasVip(other)) && (await cluster.hasMount(host)) && !(await cluster.hasMount(other));
      }, 30_000, async () => JSON.stringify(await Promise.all([cluster.a, cluster.b].map(router))));
    await together(first);
    const refused = await router(cluster.other(first));
    assert.equal(refused.state, 'backup');
    assert.match(refused.gateState, /^refused: /);
    assert.match(refused.priorityText, /-253 group web/);

    // a planned move takes the address along; at no moment is it where the volume is not mounted
    let stray = '';
    let done = false;
    const watched = (async (): Promise<void> => {
      while (!done) {
        for (const host of [cluster.a, cluster.b]) {
          // one answer: of one moment
          const { addresses, gateState } = await router(host);
          if (addresses.some(({ present }) => present) && gateState.startsWith('refused')) stray = `${host.name}: ${gateState}`;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const second = cluster.other(first);
    await cluster.clusterd(first).client.verb('move', { group: 'web', node: second.name });
    await together(second);
    done = true;
    await watched;
    assert.equal(stray, '');

    // the serving node dies: the other one is promoted by the arbiter's leave, then has the address
    await cluster.together();
    await cluster.powerOff(second);
    await waitFor(`all is on ${first.name}`, async () => (await router(first)).holdsAddresses && (await cluster.hasVip(first)) && (await cluster.hasMount(first)), 60_000);
  }),
);
