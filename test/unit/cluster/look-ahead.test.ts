/** What members ask when their group begins to start: it saves the wait later, and never replaces a look that would see something else by now. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { MemberConfig, ServiceMember, VipMember } from '../../../src/config/cluster-types.js';
import type { MemberContext } from '../../../src/cluster/members/member.js';
import type { Net, NetAddress } from '../../../src/cluster/members/net.js';
import { Service } from '../../../src/cluster/members/service.js';
import { Vip } from '../../../src/cluster/members/vip.js';
import { systemClock } from '../../../src/shared/clock.js';
import { createLog } from '../../../src/shared/log.js';

const times = { startMs: 5000, stopMs: 5000, monitorMs: 5000, monitorEveryMs: 0 };
const never = new AbortController().signal;
const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true });
});

/** A clock that can be set forward. */
class MovedClock {
  ahead = 0;
  nowMs = (): number => systemClock.nowMs() + this.ahead;
  date = systemClock.date;
  sleep = systemClock.sleep;
}

class FakeNet implements Net {
  taken: 'free' | { mac: string } = 'free';
  probes = 0;
  private own: NetAddress | null = null;
  async interfaces() {
    return [{ name: 'svc0', index: 1, up: true, carrier: true }];
  }
  async addresses() {
    return this.own === null ? [] : [this.own];
  }
  async addAddress(address: Parameters<Net['addAddress']>[0]) {
    this.own = address;
  }
  async deleteAddress() {
    this.own = null;
  }
  async probe() {
    this.probes += 1;
    return this.taken;
  }
  async announce() {}
}

function context(changes: Partial<MemberContext>): MemberContext {
  const log = createLog('error');
  log.level = 'silent';
  return { ...{ node: 'alpha', group: 'web', log, clock: systemClock, control: {} as never, net: {} as never, runDir: '', cgroupParent: '', volumes: [] }, mayServe: () => true, ...changes };
}

describe('an address that was asked for ahead', () => {
  const config: VipMember & MemberConfig = {
    ...{ kind: 'vip', name: 'vip 192.0.2.100', family: 4, address: '192.0.2.100', prefix: 24, interface: 'svc0', label: '' },
    ...{ announceCount: 1, announceGapMs: 10, refreshMs: 0, ...times },
  };
  const make = () => {
    const net = new FakeNet();
    const clock = new MovedClock();
    return { net, clock, vip: new Vip(config, context({ net, clock })) };
  };

  it('is taken without asking again', async () => {
    const { net, vip } = make();
    vip.prepare();
    await vip.start(never);
    assert.equal(net.probes, 1);
    assert.equal((await net.addresses()).length, 1);
    await vip.stop('orderly', never);
    // and that answer is used up
    await vip.start(never);
    assert.equal(net.probes, 2);
    vip.close();
  });

  it('is asked for again when somebody had it, and when the answer is old', async () => {
    const { net, clock, vip } = make();
    net.taken = { mac: '02:00:00:00:00:01' };
    vip.prepare();
    await new Promise((resolve) => setTimeout(resolve, 5));
    net.taken = 'free';
    await vip.start(never);
    assert.equal(net.probes, 2);
    await vip.stop('orderly', never);
    vip.prepare();
    clock.ahead += 2001;
    await vip.start(never);
    assert.equal(net.probes, 4);
    vip.close();
  });
});

describe('a service that was looked at ahead', () => {
  /** A service that notes every call and runs while a file is there. */
  const make = (text = '') => {
    const directory = mkdtempSync(join(tmpdir(), 'drbdts-ahead-'));
    made.push(directory);
    const note = (what: string): string => `echo ${what} >>${directory}/calls; `;
    const service = { kind: 'command', start: `${note('start')}touch ${directory}/runs`, stop: `rm -f ${directory}/runs`, monitor: `${note('monitor')}test -e ${directory}/runs${text}` } as const;
    const config: ServiceMember & MemberConfig = { kind: 'service', name: 'web server', service, ...times };
    const clock = new MovedClock();
    const calls = (): string[] => readFileSync(join(directory, 'calls'), 'utf8').trim().split('\n');
    return { directory, calls, clock, member: new Service(config, context({ clock, runDir: directory })) };
  };

  it('is started without asking for its status again, which is asked for afterwards', async () => {
    const { calls, member } = make();
    member.prepare();
    await member.start(never);
    assert.deepEqual(calls(), ['monitor', 'start', 'monitor']);
  });

  it('is looked at again when it ran then: it may have ended since', async () => {
    const { directory, calls, member } = make();
    writeFileSync(join(directory, 'runs'), '');
    member.prepare();
    await member.start(never);
    assert.deepEqual(calls(), ['monitor', 'monitor']);
  });

  it('is looked at again when that was long ago', async () => {
    const { directory, calls, clock, member } = make();
    member.prepare();
    clock.ahead += 2001;
    // somebody has started it meanwhile
    await new Promise((resolve) => setTimeout(resolve, 100));
    writeFileSync(join(directory, 'runs'), '');
    await member.start(never);
    assert.deepEqual(calls(), ['monitor', 'monitor']);
  });
});
