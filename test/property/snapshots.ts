/** Arbitrary states of a resource as the engine reports them: each field by itself, so that odd combinations come up, too. */
import fc from 'fast-check';
import type { NativeSnapshot, NativeVolumeSnapshot } from '../../src/daemon/native-api.js';
import { connectionStates, diskStates, roles } from '../../src/shared/terms.js';

const bits = fc.oneof(fc.bigInt(0n, 40_000n), fc.bigInt(0n, 1n << 40n), fc.constant(0n));
const kib = fc.oneof(fc.nat(5000), fc.nat(2_000_000_000));
const uuid = fc
  .bigInt(0n, (1n << 64n) - 1n)
  .map((value) => value.toString(16).toUpperCase().padStart(16, '0'));

/** Any state, that of a volume that has nothing more often. */
const connection = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...connectionStates) }, { weight: 1, arbitrary: fc.constant('StandAlone' as const) });
const disk = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...diskStates) }, { weight: 1, arbitrary: fc.constant('Diskless' as const) });

/** One volume whose number and minor are given. */
export function volumeOf(volume: number, minor: number): fc.Arbitrary<NativeVolumeSnapshot> {
  return fc
    .record({
      deviceUp: fc.boolean(),
      disk,
      peerDisk: fc.constantFrom(...diskStates),
      connection,
      role: fc.constantFrom(...roles),
      peerRole: fc.constantFrom(...roles),
      sizeSectors: fc.bigInt(0n, 1n << 45n),
      uuids: fc.tuple(uuid, uuid, uuid, uuid),
      metaFlags: fc.nat(0xfff),
      outOfSyncBits: bits,
      resyncTotalBits: bits,
      resyncLeftBits: bits,
      resyncFailedBits: bits,
      resyncSpeedKib: kib,
      resyncAverageKib: kib,
      resyncWantKib: kib,
      resyncFinishSeconds: fc.integer({ min: -1, max: 1_000_000 }),
      resyncStalled: fc.boolean(),
      flags: fc.constantFrom('r-----', 's---d-', 'r-p-bs', '------'),
      suspended: fc.record({ user: fc.boolean(), noData: fc.boolean(), fencing: fc.boolean() }),
      resyncSuspended: fc.record({ user: fc.boolean(), peer: fc.boolean(), dependency: fc.boolean() }),
      counters: fc.record({
        ns: bits, nr: bits, dw: bits, dr: bits, al: bits, bm: bits,
        lo: fc.nat(), pe: fc.nat(), ua: fc.nat(), ap: fc.nat(), ep: fc.nat(),
      }),
      writeOrdering: fc.constantFrom('b', 'f', 'd', 'n'),
      diskReason: fc.constantFrom('', 'I/O error', 'say "no"'),
    })
    .map((fields) => ({ volume, minor, device: `/dev/drbd${minor}`, ...fields }));
}

/** A resource with the volumes 0 to `count`-1, minors from `firstMinor` on. */
export function resourceOf(name: string, firstMinor: number, count: number): fc.Arbitrary<NativeSnapshot> {
  return fc
    .record({
      protocol: fc.constantFrom('A', 'B', 'C', ' '),
      connection,
      role: fc.constantFrom(...roles),
      peerRole: fc.constantFrom(...roles),
      connectionReason: fc.constantFrom('', 'peer did not answer', 'two\nlines "here"'),
      agreedVersion: fc.constantFrom(0, 101),
      features: fc.constantFrom(0, 0xf),
      volumes: fc.tuple(...Array.from({ length: count }, (_, index) => volumeOf(index, firstMinor + index))),
    })
    .map(({ volumes, ...fields }) => ({ name, ...fields, volumes: [...volumes] }));
}
