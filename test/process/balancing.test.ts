/** Balancing with real packets: a client, directors and real servers in namespaces, nftables as data plane. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { initialServer, wantedOf } from '../../src/cluster/balancing/machine.js';
import { createScript, fillScript, type NftScene } from '../../src/cluster/balancing/nft-rules.js';
import type { VirtualServer } from '../../src/config/balancing-types.js';
import { Director, Floor, tally } from '../support/balancing.js';
import { exited } from '../support/exec.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 180_000 };
const natVip = '10.8.0.100';
const drVip = '10.9.0.100';
const quick = { 'delay-loop': '300ms', timeout: '1s', retries: 2, 'retry-delay': '50ms' };
const checks = [{ type: 'http', path: '/health', contains: 'fine' }];
const pair = { a: { address: '10.9.0.11' }, b: { address: '10.9.0.12' } };
const sorry = '10.9.0.13';

const nat = (more: object = {}): object => ({ address: natVip, port: 80, scheduler: 'rr', ...quick, checks, 'real-servers': pair, ...more });
const dr = (more: object = {}): object => ({ ...nat(more), address: drVip, kind: 'dr', interface: 'eth1' });
const section = (servers: Record<string, object>): object => ({ balancing: { 'virtual-servers': servers } });
const both = [['nat', natVip, nat, '10.8.0'], ['dr', drVip, dr, '10.9.0']] as const;

test('one director', limits, (context) =>
  withLab('balancing', async (lab) => {
    const floor = await Floor.create(lab, { real: 'abs', vip: drVip });
    const [host] = floor.directors;
    const [a, b] = floor.real;
    assert.ok(host !== undefined && a !== undefined && b !== undefined);
    await host.sh(`ip address add ${natVip}/32 dev eth0; ip address add ${drVip}/32 dev eth1`);

    // one port for each way to choose
    const ways = both.flatMap(([kind, , server]) => [
      [`${kind}-turns`, server()],
      [`${kind}-weights`, server({ port: 81, scheduler: 'wrr', 'real-servers': { a: { ...pair.a, weight: 3, port: 81 }, b: { ...pair.b, port: 81 } } })],
      [`${kind}-hash`, server({ port: 82, scheduler: 'sh' })],
      [`${kind}-sticky`, server({ port: 83, 'persistence-timeout': '300s' })],
    ] as [string, object][]);
    const director = new Director(host, section(Object.fromEntries(ways)));
    await director.start();
    for (const [kind, vip, , net] of both) {
      const clients = ['201', '202', '203', '204', '205', '206'].map((last) => `${net}.${last}`);
      await context.test(`${kind}: turns, and their counters`, async () => {
        const answers = await floor.ask(vip, 8);
        assert.match(answers.join(''), /^(abababab|babababa)$/);
        const { virtualServers } = await director.client.balancing();
        const own = virtualServers.find(({ name }) => name === `${kind}-turns`);
        assert.deepEqual(own?.realServers.map(({ connections }) => connections), [4, 4]);
        for (const real of own?.realServers ?? []) assert.ok(real.packets > real.connections && real.bytes > 0);
      });
      await context.test(`${kind}: weights`, async () => assert.deepEqual(tally(await floor.ask(vip, 12, '', 81)), { a: 9, b: 3 }));
      await context.test(`${kind}: a hash of the client`, async () => {
        const owners = await Promise.all(clients.map(async (from) => [...new Set(await floor.ask(vip, 4, from, 82))]));
        for (const own of owners) assert.equal(own.length, 1, `${own}`);
        assert.deepEqual([...new Set(owners.flat())].sort(), ['a', 'b']);
      });
      await context.test(`${kind}: persistence; a client whose server was away stays with whom it was given then`, async () => {
        const first = new Set(await floor.ask(vip, 4, clients[0], 83));
        const second = new Set(await floor.ask(vip, 4, clients[1], 83));
        assert.deepEqual([...first, ...second].sort(), ['a', 'b']);
        const [own, other] = first.has('a') ? [a, b] : [b, a];
        await own.kill();
        await director.states(own === a ? 'down serving' : 'serving down');
        assert.deepEqual(tally(await floor.ask(vip, 2, clients[0], 83)), { [other.name]: 2 });
        await own.start();
        await director.states('serving serving');
        assert.deepEqual(tally(await floor.ask(vip, 3, clients[0], 83)), { [other.name]: 3 });
      });
    }
    await director.end('SIGTERM');
    assert.equal((await host.must(['nft', 'list', 'tables'])).trim(), '');

    director.configure(section({ nat: nat({ 'sorry-server': { address: sorry } }), dr: dr({ 'sorry-server': { address: sorry } }) }));
    await director.start();
    const answered = async (count: number, wanted: Record<string, number>): Promise<void> => {
      for (const [kind, vip] of both) assert.deepEqual(tally(await floor.ask(vip, count)), wanted, kind);
    };
    await context.test('a server that hangs gets nothing and comes back; who holds a connection to it is told', async () => {
      await answered(4, { a: 2, b: 2 });
      const held = await Promise.all(
        both.flatMap(([, vip]) => [0, 1].map(() => floor.hold(vip))).map(async (one) => ({ ...one, owner: await one.ask() })),
      );
      assert.deepEqual(held.map(({ owner }) => owner).sort(), ['a', 'a', 'b', 'b']);
      b.hang();
      await director.states('serving down');
      await answered(4, { a: 4 });
      assert.match(director.log(), /balancing nat: real server b \(10\.9\.0\.12:80\) is down: check http failed 3 times: no answer within 1000 ms; its connections are ended/);
      for (const one of held) {
        assert.equal(await one.ask(), one.owner === 'a' ? 'a' : 'ECONNRESET');
        one.end();
      }
      b.goOn();
      await director.states('serving serving');
      await answered(4, { a: 2, b: 2 });
    });
    await context.test('a server that is killed gets nothing and comes back', async () => {
      await b.kill();
      await director.states('serving down');
      await answered(4, { a: 4 });
      await b.start();
      await director.states('serving serving');
      await answered(4, { a: 2, b: 2 });
    });
    await context.test('one that answers with something else gets nothing; without quorum the sorry server stands in', async () => {
      b.health('ill');
      await director.states('serving down');
      await answered(4, { a: 4 });
      assert.match(director.log(), /status 200, but the body does not contain 'fine'/);
      a.health('ill');
      const { virtualServers } = await director.states('down down');
      assert.deepEqual(virtualServers.map(({ quorum, sorryServer }) => [quorum, sorryServer?.state]), [[false, 'serving'], [false, 'serving']]);
      await answered(2, { s: 2 });
      for (const real of [a, b]) real.health('fine');
      await director.states('serving serving');
      await answered(4, { a: 2, b: 2 });
    });
    await context.test('a killed manager leaves the rules, and the next one takes them over; a firewall that is loaded anew takes them away for a moment', async () => {
      const counted = async (): Promise<number> => (await director.client.balancing()).virtualServers.flatMap(({ realServers }) => realServers).reduce((sum, { connections }) => sum + connections, 0);
      const before = await counted();
      await director.end('SIGKILL');
      await answered(2, { a: 1, b: 1 });
      await director.start();
      assert.equal(await counted(), before + 4);
      await host.must(['nft', 'flush', 'ruleset']);
      await waitFor('it balances again', async () => (await floor.ask(natVip, 2)).sort().join() === 'a,b');
      assert.match(director.log(), /somebody has taken the rules away/);
      await host.sh('echo 0 > /proc/sys/net/ipv4/ip_forward');
      await director.when('forwarding is missed', ({ warnings }) => warnings.some((warning) => /needs forwarding.*net\.ipv4\.ip_forward=1/.test(warning)));
      await host.sh('echo 1 > /proc/sys/net/ipv4/ip_forward');
    });
    await director.end('SIGTERM');

    await context.test('udp: a client that sends from one port leaves a server that is down', async () => {
      director.configure(section({ dns: nat({ protocol: 'udp', checks: [{ type: 'udp', 'require-reply': true }] }) }));
      await director.start();
      const socket = floor.hold(natVip, 'udp');
      const owner = await socket.ask();
      assert.equal(await socket.ask(), owner);
      await (owner === 'a' ? a : b).kill();
      await director.states(owner === 'a' ? 'down serving' : 'serving down');
      assert.equal(await socket.ask(), owner === 'a' ? 'b' : 'a');
      socket.end();
      await director.end('SIGTERM');
    });
    await context.test('the kernel takes the rules of every kind, family, protocol and scheduler, in every state', async () => {
      const combinations = (['nat', 'dr'] as const).flatMap((kind) => (kind === 'nat' ? ([4, 6] as const) : ([4] as const)).flatMap((family) => (['tcp', 'udp'] as const).flatMap((protocol) => (['rr', 'wrr', 'sh'] as const).flatMap((scheduler) => [0, 60_000].map((persistenceMs) => ({ kind, family, protocol, scheduler, persistenceMs }))))));
      const virtualServers = combinations.map((one, index): VirtualServer => {
        const address = (last: number): string => (one.family === 4 ? `10.77.0.${last}` : `fd77::${last}`);
        const real = ['a', 'b', 'c'].map((name, at) => ({ name, address: address(1 + at), port: 1000 + index, weight: 1 + at, inhibitOnFailure: false, checks: [] }));
        return { ...one, name: `v${index}`, address: address(99), port: 1000 + index, gate: null, interfaces: { '*': { clients: 'eth0', servers: 'eth1' } }, quorum: 1, hysteresis: 0, sorryServer: { address: address(9), port: 1000 + index }, initFail: false, realServers: real };
      });
      const scene: NftScene = { section: { plane: 'nftables', virtualServers }, node: host.name };
      const states = virtualServers.map((server) => {
        const all = wantedOf(server, initialServer(server, 0));
        return [all, { ...all, destinations: all.destinations.slice(1) }, { active: true, destinations: [] }, { active: false, destinations: [] }];
      });
      const script = [createScript(scene), ...states.flatMap((own, number) => own.map((wanted) => fillScript(scene, number, wanted)))].join('');
      writeFileSync(join(host.dir, 'all.nft'), script);
      await host.must(['nft', '--file', join(host.dir, 'all.nft')]);
      await host.must(['nft', 'flush', 'ruleset']);
    });
    await context.test('without nft it does not start, and says how to get it', async () => {
      await host.sh('mount -t tmpfs none /usr/sbin');
      assert.notEqual(await exited(director.launch()), 0);
      assert.match(director.log(), /nothing can be balanced here by nftables: nft is not installed\nInstall it: `apt install nftables`/);
    });
  }));

test('two directors behind a virtual router: the address moves at SIGKILL, and it goes on with what the other one knew already', limits, () =>
  withLab('balancing-vrrp', async (lab) => {
    const floor = await Floor.create(lab, { directors: 2, gateway: '10.9.0.254' });
    const [one, two] = floor.directors;
    assert.ok(one !== undefined && two !== undefined);
    const config = {
      vrrp: { instances: { web: { interface: 'eth0', 'router-id': 51, 'advert-interval': '200ms', priority: { one: 150, two: 100 }, addresses: [`${natVip}/24`, { address: '10.9.0.254/24', interface: 'eth1', advertised: false }] } } },
      ...section({ web: nat({ gate: { instance: 'web' } }) }),
    };
    const [first, second] = [new Director(one, config), new Director(two, config)];
    await Promise.all([first.start(), second.start()]);
    const gateOf = (director: Director, wanted: RegExp): Promise<unknown> => director.when(`gate is ${wanted}`, ({ virtualServers }) => wanted.test(virtualServers[0]?.gate ?? ''));
    await gateOf(first, /master here/);
    await gateOf(second, /the address is elsewhere/);
    assert.deepEqual(tally(await floor.ask(natVip, 4)), { a: 2, b: 2 });
    await floor.real[1]?.kill();
    await Promise.all([first.states('serving down'), second.states('serving down')]);
    await first.end('SIGKILL');
    await gateOf(second, /master here/);
    // what the dead director has left behind acts no more: its address is gone
    await waitFor('the address is gone there', async () => !(await one.must(['ip', 'address'])).includes(natVip));
    assert.deepEqual(tally(await floor.ask(natVip, 4)), { a: 4 });
    await floor.real[1]?.start();
    await second.states('serving serving');
    assert.deepEqual(tally(await floor.ask(natVip, 4)), { a: 2, b: 2 });
  }));
