/** SIGHUP with a configuration that the next process would refuse: nothing moves, and the log says why. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { OurRouter, VipWatch, vrrpPair } from '../support/vrrp.js';
import { exited } from '../support/exec.js';
import { waitFor } from '../support/wait.js';

test('a broken configuration is not taken by SIGHUP: the address stays, and a good one is taken', { skip: labUnavailable(), timeout: 60_000 }, () =>
  withLab('vrrp-reload', async (lab) => {
    const { a, net } = await vrrpPair(lab);
    const vip = `${net}.100`;
    const watch = new VipWatch(a, [vip]);
    await watch.ready();
    const router = new OurRouter(a, { instances: { web: { interface: 'eth0', 'router-id': 171, priority: { alpha: 150, beta: 100 }, 'advert-interval': '200ms', addresses: [`${vip}/24`] } } });
    await router.is('master');
    await waitFor('the address is here', () => watch.here.length === 1);
    const config = join(a.dir, 'vrrp.yaml');
    const good = readFileSync(config, 'utf8');
    writeFileSync(config, good.replace('router-id: 171', 'router-id: 300'));
    router.child.kill('SIGHUP');
    await waitFor('the refusal is logged', () => /SIGHUP: the configuration is refused and everything goes on as it was/.test(router.log()), 20_000, () => router.log());
    assert.match(router.log(), /router-id/);
    await router.is('master');
    // what the kernel told of the address since it came: nothing
    assert.equal(watch.changes.length, 1, JSON.stringify(watch.changes));
    writeFileSync(config, good);
    router.child.kill('SIGHUP');
    assert.equal(await exited(router.child), 75);
    await waitFor('the address is handed over', () => watch.here.length === 0);
  }),
);
