/** One seed: routers, a few rounds of trouble with calm in between, and single deaths out of a settled world whose takeover has an exact bound. */
import { priorityOf } from '../../src/cluster/vrrp/machine-state.js';
import { listenMs, masterDownMs, skewMs } from '../../src/cluster/vrrp/rules.js';
import type { VrrpConfig } from '../../src/cluster/vrrp/types.js';
import { Random, realStepper, type SimNode, type Stepper, World } from './world.js';

export interface Outcome {
  violation: string | null;
  takeovers: number;
  checks: number;
}

function configs(random: Random): VrrpConfig[] {
  const version = random.chance(0.5) ? 2 : 3;
  const interval = version === 2 ? random.of([1000, 2000]) : random.of([10, 50, 100, 250, 1000]);
  const mixed = version === 3 && random.chance(0.3);
  const downAdverts = random.chance(0.8) ? 3 : random.whole(2, 5);
  const delayed = random.chance(0.2);
  return Array.from({ length: random.whole(2, 3) }, (_, index) => {
    const intervalMs = mixed ? random.of([interval, interval * 2, interval * 3]) : interval;
    return {
      name: `n${index + 1}`, interface: 'eth0', family: 4, version, vrid: 1, priority: random.of([1, 90, 95, 99, 100, 100, 101, 150, 200, 254, 255]), intervalMs,
      addresses: [], password: null, transport: { kind: 'multicast', group: '224.0.0.18' }, pseudoHeader: true, acceptChecksum: 'either', addressMismatch: 'refuse',
      preempt: random.chance(0.75), preemptDelayMs: delayed ? random.of([0, intervalMs / 2, intervalMs * 3, intervalMs * 6]) : 0, startDelayMs: random.chance(0.1) ? random.between(0, 5) * intervalMs : 0,
      downAdverts, answerLower: random.chance(0.9), answerHigher: random.chance(0.1), ownerIgnoresAdverts: false,
      announce: { frames: 5, repeatAfterMs: random.of([0, 5000]), lowerFrames: 5, lowerRepeatAfterMs: 0, refreshMs: random.of([0, 3000]), refreshFrames: 1 }, gate: null,
    };
  });
}

class Play {
  readonly world: World;
  readonly random: Random;
  readonly longest: number;

  constructor(world: World, random: Random) {
    this.world = world;
    this.random = random;
    this.longest = Math.max(...world.nodes.map((node) => node.config.intervalMs));
  }

  /** What travel, event loops and clocks add to a bound. */
  slack(boundMs: number): number {
    return 6 * (this.world.delayMs + 2 * this.world.latencyMs) + 0.002 * boundMs + 5;
  }
  /** From any state of all nodes to one master, once all is calm. */
  general(): number {
    const worst = (of: (config: VrrpConfig) => number): number => Math.max(...this.world.nodes.map((node) => of(node.config)));
    const down = worst((config) => masterDownMs(config, 1, this.longest));
    const delay = worst((config) => config.preemptDelayMs);
    const bound = (delay > 0 ? 2 : 1) * down + worst((config) => listenMs(config, 1, this.longest)) + delay + worst((config) => config.startDelayMs);
    return bound + this.slack(bound);
  }
  /** Of the death of a settled master: the one of the others with the shortest time. */
  takeover(of: (config: VrrpConfig, priority: number, intervalMs: number) => number, master: SimNode): number {
    const others = this.world.nodes.filter((node) => node !== master && node.state?.phase === 'backup');
    const bound = Math.min(...others.map((node) => of(node.config, node.state === null ? 0 : priorityOf(node.config, node.state), master.config.intervalMs)));
    return bound + this.slack(bound);
  }

  /** One kind of trouble for a while. */
  trouble(): void {
    const { world, random, longest } = this;
    const { judge } = world;
    const forMs = random.between(0.1, 8) * longest;
    const node = random.of(world.nodes);
    judge.trouble();
    let mend: () => void = () => undefined;
    const kind = random.whole(0, 8);
    if (kind === 0) {
      for (const row of world.links) for (const link of row) link.cut = random.chance(0.5);
      world.say('some ways are cut');
      mend = () => world.calmLinks();
    } else if (kind === 1) {
      const loss = random.between(0.1, 0.9);
      for (const row of world.links) for (const link of row) Object.assign(link, { loss, double: 0.2, maxMs: random.between(0.01, 2) * longest });
      world.say(`loss ${loss.toFixed(2)}, late and doubled packets`);
      // a late packet is on its way for a while after the links are well again
      mend = () => world.calmLinks();
    } else if (kind === 2 || kind === 3) {
      if (node.state !== null && node.paused === null) {
        const { life } = node;
        world.pause(node, kind === 2 ? 'process' : 'machine');
        mend = () => world.wake(node, life);
      }
    } else if (kind === 4) {
      if (!node.stalled) world.stall(node, forMs);
    } else if (kind === 5) {
      world.crash(node);
      mend = () => world.start(node);
    } else if (kind === 6) {
      if (node.paused === null) {
        world.stop(node);
        mend = () => world.start(node);
      }
    } else if (kind === 7) {
      const value = random.whole(-60, 60);
      this.track(node, [{ value, from: 'script x' }], []);
    } else {
      this.track(node, [], [{ text: 'script y failed', quiet: random.chance(0.2) }]);
      mend = () => this.track(node, [], []);
    }
    world.at(world.now + forMs, () => {
      mend();
      // packets sent in the trouble may be late by two intervals
      world.at(world.now + 2 * longest, () => judge.calm(this.general()));
    });
  }
  track(node: SimNode, terms: { value: number; from: string }[], faults: { text: string; quiet: boolean }[]): void {
    this.world.say(`${node.source}: tracked ${JSON.stringify({ terms, faults })}`);
    if (node.paused !== null || node.state === null) return;
    node.faulty = faults.length > 0;
    this.world.give(node, { kind: 'tracked', result: { terms, faults } });
  }

  /** A settled master goes; one backup's event loop may be late at that time, but not when it matters. */
  death(): void {
    const { world, random } = this;
    const [master] = world.judge.masters();
    const others = world.nodes.filter((node) => node.state?.phase === 'backup');
    if (master === undefined || others.length === 0) return;
    const clean = random.chance(0.4);
    const late = random.of(others);
    if (!clean && random.chance(0.5)) {
      const forMs = random.between(0, Math.min(1.5, 0.9 * (late.config.downAdverts - 1))) * Math.min(late.config.intervalMs, master.config.intervalMs);
      world.stall(late, forMs);
      world.runTo(world.now + random.between(0, 0.9) * forMs);
    }
    const bound = this.takeover(clean ? skewMs : masterDownMs, master);
    if (clean) world.stop(master);
    else world.crash(master);
    // who hears another new master first may have to wait for its preempt delay
    world.judge.expect(bound, world.nodes.some((node) => node.config.preemptDelayMs > 0) ? this.general() : bound);
    if (!world.runTo(world.now + bound + this.longest * random.between(0.1, 5))) return;
    world.start(master);
    world.judge.expect(this.general());
    world.runTo(world.now + this.general() * random.between(1, 1.2));
  }
}

/** Plays one seed to its end or to the first violation. */
export function playSchedule(seed: number, stepper: Stepper = realStepper, trace: ((line: string) => void) | null = null): Outcome {
  const random = new Random(seed);
  // the choice of configurations must not look alike for neighbouring seeds
  for (let count = 0; count < 3; count++) random.next();
  const world = new World(configs(random), random, stepper, trace);
  const play = new Play(world, random);
  world.say(world.nodes.map(({ config }) => `${config.name}: v${config.version} ${config.priority} ${config.intervalMs} ms x${config.downAdverts}${config.preempt ? '' : ' nopreempt'} delay ${config.preemptDelayMs}`).join('; '));
  for (const node of world.nodes) world.at(random.between(0, 3) * play.longest, () => world.start(node));
  world.judge.trouble();
  world.runTo(3 * play.longest);
  world.judge.calm(play.general());
  let well = world.runTo(world.now + play.general() * 1.2);
  for (let round = random.whole(1, 2); round > 0 && well; round--) {
    for (let count = random.whole(1, 3); count > 0; count--) world.at(world.now + random.between(0, 3) * play.longest, () => play.trouble());
    world.runTo(world.now + 13.2 * play.longest);
    well = world.runTo(world.now + play.general() * random.between(0.3, 1.6));
    if (well && random.chance(0.6)) {
      well = world.runTo(Math.max(world.now, Math.min(world.judge.settledFrom, world.now + 100 * play.longest)) + 2);
      if (well) play.death();
      well = world.judge.violation === null;
    }
  }
  return { violation: world.judge.violation, takeovers: world.judge.takeovers, checks: world.judge.checks };
}
