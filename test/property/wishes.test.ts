/** Merging of what operators wish on two nodes: a join, so that both come to the same, in whatever order and how often they hear of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeWishes, nextStamp, noWishes, type Wishes } from '../../src/cluster/report.js';
import { replay } from './replay.js';

const stamp = fc.nat(4);
const plain = { noNullPrototype: true };
const stamped = <T>(value: fc.Arbitrary<T>) => fc.record({ value, stamp }, plain);
const names = fc.constantFrom('web', 'mail', 'alpha');
const wishes: fc.Arbitrary<Wishes> = fc.record({
  maintenance: stamped(fc.boolean()),
  pins: fc.dictionary(names, stamped(fc.constantFrom('', 'alpha', 'beta')), plain),
  standby: fc.dictionary(names, stamped(fc.boolean()), plain),
  cleanups: fc.dictionary(names, stamped(fc.constant(true)), plain),
}, plain);
const options = replay('wishes', 2000);

test('commutative, associative, idempotent, and nothing is the neutral element', () => {
  fc.assert(
    fc.property(wishes, wishes, wishes, (a, b, c) => {
      assert.deepEqual(mergeWishes(a, b), mergeWishes(b, a));
      assert.deepEqual(mergeWishes(mergeWishes(a, b), c), mergeWishes(a, mergeWishes(b, c)));
      assert.deepEqual(mergeWishes(a, a), a);
      assert.deepEqual(mergeWishes(mergeWishes(a, b), b), mergeWishes(a, b));
      const { value } = mergeWishes(a, noWishes).maintenance;
      if (a.maintenance.stamp > 0) assert.equal(value, a.maintenance.value);
    }),
    options,
  );
});

test('a new wish counts on both nodes, whatever either had heard before', () => {
  fc.assert(
    fc.property(wishes, wishes, fc.boolean(), names, fc.constantFrom('', 'alpha', 'beta'), (own, peer, on, group, node) => {
      const known = mergeWishes(own, peer);
      const next = nextStamp(known);
      const wished: Wishes = { ...known, maintenance: { value: on, stamp: next }, pins: { ...known.pins, [group]: { value: node, stamp: next } } };
      for (const merged of [mergeWishes(wished, peer), mergeWishes(peer, wished), mergeWishes(own, wished)]) {
        assert.equal(merged.maintenance.value, on);
        assert.equal(merged.pins[group]?.value, node);
      }
    }),
    options,
  );
});

test('gossip in any order ends equal on both nodes', () => {
  fc.assert(
    fc.property(fc.array(wishes, { minLength: 1, maxLength: 8 }), fc.infiniteStream(fc.nat()), (said, choices) => {
      const shuffled = [...said];
      for (let at = shuffled.length - 1; at > 0; at--) {
        const other = (choices.next().value ?? 0) % (at + 1);
        [shuffled[at], shuffled[other]] = [shuffled[other] ?? noWishes, shuffled[at] ?? noWishes];
      }
      assert.deepEqual([...said, ...said].reduce(mergeWishes), shuffled.reduce(mergeWishes));
    }),
    options,
  );
});
