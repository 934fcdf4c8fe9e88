/** Balancing with real packets: a client, directors and real servers in namespaces, nftables as data plane. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Director, Floor, tally } from '../support/balancing.js';
import { exited } from '../support/exec.js';
import { withLab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const limits = { skip: labUnavailable(), timeout: 90_000 };
const natVip = '10.8.0.100';
const drVip = '10.9.0.100';
const quick = { 'delay-loop': '200ms', timeout: '300ms', retries: 1, 'retry-delay': '50ms' };
const checks = [{ type: 'http', path: '/health', contains: 'fine' }];
const pair = { a: { address: '10.9.0.11' }, b: { address: '10.9.0.12' } };

const nat = (more: object = {}): object => ({ address: natVip, port: 80, scheduler: 'rr', ...quick, checks, 'real-servers': pair, ...more });
const dr = (more: object = {}): object => ({ ...nat(more), address: drVip, kind: 'dr', interface: 'eth1', ...more });
const section = (web: object): object => ({ balancing: { 'virtual-servers': { web } } });

describe('balancing', () => {
  for (const [kind, vip, device, server] of [['nat', natVip, 'eth0', nat], ['dr', drVip, 'eth1', dr]] as const) {
    it(`${kind}: turns, weights, hash, persistence`, limits, () =>
      withLab('balancing', async (lab) => {
        const floor = await Floor.create(lab, { vip: kind === 'dr' ? vip : '' });
        const [host] = floor.directors;
        assert.ok(host !== undefined);
        await host.sh(`ip address add ${vip}/32 dev ${device}`);
        const client = kind === 'nat' ? '10.8.0' : '10.9.0';
        const all = ['201', '202', '203', '204', '205', '206'].map((last) => `${client}.${last}`);
        const under = async (more: object, body: (director: Director) => Promise<void>): Promise<void> => {
          const director = new Director(host, section(server(more)));
          await director.start();
          await body(director);
          await director.end('SIGTERM');
        };
        await under({}, async (director) => {
          const answers = await floor.ask(vip, 8);
          for (const [index, answer] of answers.entries()) assert.match(answer, /^[ab]$/, `${index}: ${answers}`);
          for (let index = 1; index < answers.length; index++) assert.notEqual(answers[index], answers[index - 1], answers.join(' '));
          const { virtualServers } = await director.client.balancing();
          assert.deepEqual(virtualServers[0]?.realServers.map(({ connections }) => connections), [4, 4]);
          for (const real of virtualServers[0]?.realServers ?? []) assert.ok(real.packets > real.connections && real.bytes > 0);
        });
        await under({ scheduler: 'wrr', 'real-servers': { a: { ...pair.a, weight: 3 }, b: pair.b } }, async () => {
          assert.deepEqual(tally(await floor.ask(vip, 12)), { a: 9, b: 3 });
        });
        await under({ scheduler: 'sh' }, async () => {
          const owners = new Set<string>();
          for (const from of all) {
            const answers = new Set(await floor.ask(vip, 4, from));
            assert.equal(answers.size, 1, `${from}: ${[...answers]}`);
            for (const answer of answers) owners.add(answer);
          }
          assert.deepEqual([...owners].sort(), ['a', 'b']);
        });
        await under({ 'persistence-timeout': '300s' }, async (director) => {
          const first = await floor.ask(vip, 4, all[0]);
          const second = await floor.ask(vip, 4, all[1]);
          assert.deepEqual([...new Set(first)].length, 1);
          assert.deepEqual([...new Set(second)].length, 1);
          assert.notEqual(first[0], second[0]);
          // a client whose server was away stays with whom it was given then
          const [own, other] = floor.real[0]?.name === first[0] ? floor.real : [floor.real[1], floor.real[0]];
          assert.ok(own !== undefined && other !== undefined);
          await own.kill();
          await director.states(own.name === 'a' ? 'down serving' : 'serving down');
          assert.deepEqual(tally(await floor.ask(vip, 2, all[0])), { [other.name]: 2 });
          await own.start();
          await director.states('serving serving');
          assert.deepEqual(tally(await floor.ask(vip, 3, all[0])), { [other.name]: 3 });
        });
      }));

    it(`${kind}: a server that is dead, hangs or answers with something else gets nothing, and comes back; without quorum the sorry server`, limits, () =>
      withLab('balancing-down', async (lab) => {
        const floor = await Floor.create(lab, { real: 'abs', vip: kind === 'dr' ? vip : '' });
        const [host] = floor.directors;
        const [a, b, sorry] = floor.real;
        assert.ok(host !== undefined && a !== undefined && b !== undefined && sorry !== undefined);
        await host.sh(`ip address add ${vip}/32 dev ${device}`);
        const director = new Director(host, section(server({ quorum: 1, 'sorry-server': { address: sorry.address } })));
        await director.start();
        const both = async (): Promise<void> => assert.deepEqual(tally(await floor.ask(vip, 6)), { a: 3, b: 3 });
        await both();

        // killed: who holds a connection to it is told at once
        const held = [floor.hold(vip), floor.hold(vip)];
        const owners = [await held[0]?.ask(), await held[1]?.ask()];
        assert.deepEqual([...owners].sort(), ['a', 'b']);
        b.hang();
        await director.states('serving down');
        assert.deepEqual(tally(await floor.ask(vip, 4)), { a: 4 });
        assert.match(director.log(), /balancing web: real server b \(10\.9\.0\.12:80\) is down: check http failed 2 times: no answer within 300 ms; its connections are ended/);
        const [toA, toB] = owners[0] === 'a' ? held : [held[1], held[0]];
        assert.equal(await toA?.ask(), 'a');
        assert.equal(await toB?.ask(), 'ECONNRESET');
        for (const one of held) one.end();
        b.goOn();
        await director.states('serving serving');
        await both();

        await b.kill();
        await director.states('serving down');
        assert.deepEqual(tally(await floor.ask(vip, 4)), { a: 4 });
        await b.start();
        await director.states('serving serving');
        await both();

        b.health('ill');
        await director.states('serving down');
        assert.deepEqual(tally(await floor.ask(vip, 4)), { a: 4 });
        assert.match(director.log(), /status 200, but the body does not contain 'fine'/);

        a.health('ill');
        await director.states('down down');
        assert.deepEqual(tally(await floor.ask(vip, 3)), { s: 3 });
        const { virtualServers } = await director.client.balancing();
        assert.equal(virtualServers[0]?.quorum, false);
        assert.equal(virtualServers[0]?.sorryServer?.state, 'serving');
        for (const real of [a, b]) real.health('fine');
        await director.states('serving serving');
        await both();

        // nothing of it stays
        await director.end('SIGTERM');
        assert.equal((await host.must(['nft', 'list', 'tables'])).trim(), '');
      }));
  }

  it('a firewall that is loaded anew takes the rules away: they come back; a killed manager leaves them, the next one takes them over with their connections', limits, () =>
    withLab('balancing-rules', async (lab) => {
      const floor = await Floor.create(lab);
      const [host] = floor.directors;
      assert.ok(host !== undefined);
      await host.sh(`ip address add ${natVip}/32 dev eth0`);
      const director = new Director(host, section(nat()));
      await director.start();
      await floor.ask(natVip, 4);
      await director.end('SIGKILL');
      assert.deepEqual(tally(await floor.ask(natVip, 4)), { a: 2, b: 2 });
      await director.start();
      const { virtualServers } = await director.client.balancing();
      // counted on, not from the beginning
      assert.deepEqual(virtualServers[0]?.realServers.map(({ connections }) => connections), [4, 4]);
      await host.must(['nft', 'flush', 'ruleset']);
      await waitFor('it balances again', async () => (await floor.ask(natVip, 2)).sort().join() === 'a,b');
      assert.match(director.log(), /somebody has taken the rules away/);
      // the address goes, and with it what the rules match
      await host.sh(`ip address del ${natVip}/32 dev eth0; echo 0 > /proc/sys/net/ipv4/ip_forward`);
      await director.when('forwarding is missed', ({ warnings }) => warnings.some((warning) => /needs forwarding.*net\.ipv4\.ip_forward=1/.test(warning)));
    }));

  it('udp: a client that sends from one port leaves a server that is down', limits, () =>
    withLab('balancing-udp', async (lab) => {
      const floor = await Floor.create(lab);
      const [host] = floor.directors;
      assert.ok(host !== undefined);
      await host.sh(`ip address add ${natVip}/32 dev eth0`);
      const director = new Director(host, section(nat({ protocol: 'udp', checks: [{ type: 'udp', 'require-reply': true }] })));
      await director.start();
      const socket = floor.hold(natVip, 'udp');
      const owner = await socket.ask();
      assert.equal(await socket.ask(), owner);
      await floor.real.find(({ name }) => name === owner)?.kill();
      await director.states(owner === 'a' ? 'down serving' : 'serving down');
      assert.equal(await socket.ask(), owner === 'a' ? 'b' : 'a');
      socket.end();
    }));

  it('two directors behind a virtual router: the address moves at SIGKILL, and it goes on with what the other one knew already', limits, () =>
    withLab('balancing-vrrp', async (lab) => {
      const floor = await Floor.create(lab, { directors: 2, gateway: '10.9.0.254' });
      const [one, two] = floor.directors;
      assert.ok(one !== undefined && two !== undefined);
      const config = {
        vrrp: { instances: { web: { interface: 'eth0', 'router-id': 51, 'advert-interval': '200ms', priority: { one: 150, two: 100 }, addresses: [`${natVip}/24`, { address: '10.9.0.254/24', interface: 'eth1', advertised: false }] } } },
        ...section(nat({ gate: { instance: 'web' } })),
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

  it('says what it lacks: nft, or ip_vs', limits, () =>
    withLab('balancing-lack', async (lab) => {
      const floor = await Floor.create(lab, { real: '' });
      const [host] = floor.directors;
      assert.ok(host !== undefined);
      await host.sh('mount -t tmpfs none /usr/sbin');
      const director = new Director(host, section(nat()));
      assert.notEqual(await exited(director.launch()), 0);
      assert.match(director.log(), /nothing can be balanced here by nftables: nft is not installed\nInstall it: `apt install nftables`/);
    }));
});
