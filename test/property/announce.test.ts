import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'node:test';
import { arpConflict, arpProbe, gratuitousArp, parseArp } from '../../src/cluster/arp.js';
import { equal, ipv6Bytes, ipv6Text } from '../../src/cluster/frames.js';
import { duplicateProbe, neighbourConflict, parseNeighbour, unsolicitedAdvertisement } from '../../src/cluster/ndp.js';
import { replay } from './replay.js';

const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const address6 = octets(16).filter(([first]) => first !== 0xff && first !== 0);

describe('frames of a moving address', () => {
  it('what one node sends, another understands; nobody takes his own for a conflict', () => {
    fc.assert(
      fc.property(octets(6), octets(6), octets(4).filter(([first]) => first !== 0), address6, fc.constantFrom('request' as const, 'reply' as const), (mac, mine, four, six, form) => {
        const arp = parseArp(gratuitousArp(mac, four, form));
        const probe = parseArp(arpProbe(mac, four));
        const here = parseNeighbour(unsolicitedAdvertisement(mac, six));
        const asked = parseNeighbour(duplicateProbe(mac, six));
        assert.ok(arp !== null && probe !== null && here !== null && asked !== null);
        const own = equal(mac, mine);
        assert.equal(arpConflict(arp, mine, four)?.kind ?? null, own ? null : 'owned');
        assert.equal(arpConflict(probe, mine, four)?.kind ?? null, own ? null : 'probed');
        assert.equal(neighbourConflict(here, mine, six)?.kind ?? null, own ? null : 'owned');
        assert.equal(neighbourConflict(asked, mine, six)?.kind ?? null, own ? null : 'probed');
        assert.equal(arpConflict(arp, mac, four), null);
        assert.equal(neighbourConflict(here, mac, six), null);
      }),
      replay('announcements', 500),
    );
  });

  it('any bytes are survived', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), address6, octets(6), fc.array(fc.tuple(fc.nat(85), fc.nat(255)), { maxLength: 3 }), (junk, six, mac, changes) => {
        parseArp(junk);
        parseNeighbour(junk);
        const frame = unsolicitedAdvertisement(mac, six);
        for (const [at, value] of changes) frame[at] = value;
        parseNeighbour(frame);
        parseArp(frame);
      }),
      replay('frames', 2000),
    );
  });

  it('an IPv6 address has one text', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 1, 0xab, 0xff), { minLength: 16, maxLength: 16 }), (list) => {
        const bytes = Uint8Array.from(list);
        assert.deepEqual(ipv6Bytes(ipv6Text(bytes)), bytes);
      }),
      replay('IPv6 text', 1000),
    );
  });
});
