import fc from 'fast-check';
import { describe, it } from 'node:test';
import { type Fault, MembershipSim, type Plan } from '../support/membership-sim.js';
import { replay } from './replay.js';

/** DRBDTS_SCHEDULES=100000 plays more lives. */
const schedules = Number(process.env.DRBDTS_SCHEDULES ?? 2000);

const side = fc.constantFrom('a' as const, 'b' as const);
const link = fc.nat(2);
const forMs = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 400, max: 2500 }));
const fault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('cut' as const), from: side, link, forMs }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lossy' as const), from: side, link, forMs, percent: fc.integer({ min: 10, max: 95 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('slow' as const), from: side, link, forMs, delayMs: fc.integer({ min: 50, max: 1500 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), side, forMs }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('stall' as const), side, forMs }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), side, forMs: fc.integer({ min: 200, max: 2000 }) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('replay' as const), to: side, pick: fc.nat(400), onLink: fc.nat(3), count: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('report' as const), side, bytes: fc.constantFrom(10, 900, 5000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('replication' as const), side }) },
);
const plan: fc.Arbitrary<Plan> = fc.record({
  seed: fc.integer(),
  links: fc.integer({ min: 1, max: 3 }),
  duplicatePercent: fc.constantFrom(0, 20),
  faults: fc.array(fc.record({ atMs: fc.nat(5000), fault }), { maxLength: 16 }),
});

describe('membership', () => {
  it('no dead peer is alive, no living one on a good link is dead, a replay proves nothing', () => {
    let deaths = 0;
    fc.assert(
      fc.property(plan, (lives) => {
        const sim = new MembershipSim(lives);
        sim.run();
        deaths += sim.deaths;
      }),
      replay('membership', schedules),
    );
    console.log(`membership: ${schedules} schedules, ${deaths} times a peer was declared dead`);
  });
});
