/** How long a start waits for its peer, when a wait is over, and what a daemon does with a resource that its predecessor left. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { offlineDiskState, parseGetGi } from '../../src/cli/format-gi.js';
import { formatGi, wasDegraded } from '../../src/daemon/meta-verbs.js';
import { recordOf, recoveryPlan } from '../../src/daemon/recovery-plan.js';
import { formatRunState, parseRunState } from '../../src/daemon/run-state.js';
import { waitLimit, waitState } from '../../src/daemon/wait.js';
import { connectionStates, roles } from '../../src/shared/terms.js';
import { goodResource, hostOf, sectionOf } from './configurations.js';
import { replay } from './replay.js';
import { resourceOf, volumeOf } from './snapshots.js';

const parameters = replay('waits', 400);

describe('waiting for the peer', () => {
  const limit = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 86_400 }));

  // otherwise: a boot hangs for ever though a limit is set, or a node starts alone before the time that was asked for
  it('the special limits only ever shorten the general one, for ever being longest', () => {
    fc.assert(
      fc.property(limit, limit, limit, fc.boolean(), fc.boolean(), (wfc, degr, outdated, degraded, peerOutdated) => {
        const got = waitLimit({ 'wfc-timeout': wfc, 'degr-wfc-timeout': degr, 'outdated-wfc-timeout': outdated }, degraded, peerOutdated);
        const time = (seconds: number): number => (seconds === 0 ? Number.POSITIVE_INFINITY : seconds);
        const asked = [wfc, ...(degraded || peerOutdated ? [degr] : []), ...(peerOutdated ? [outdated] : [])].map(time);
        assert.equal(time(got.seconds), Math.min(...asked));
        const cut = [
          ...(time(degr) > time(wfc) ? ['degr-wfc-timeout'] : []),
          ...(time(outdated) > Math.min(time(degr), time(wfc)) ? ['outdated-wfc-timeout'] : []),
        ];
        assert.deepEqual(got.notices.filter((notice) => notice.includes('implicitly set')).map((notice) => notice.split(' ')[0]), cut);
      }),
      parameters,
    );
  });

  const notThere = new Set([
    'StandAlone', 'Disconnecting', 'Unconnected', 'Timeout', 'BrokenPipe', 'NetworkFailure', 'ProtocolError', 'TearDown', 'WFConnection', 'WFReportParams',
  ]);

  // otherwise: wait-connect returns while a volume is still unconnected, or wait-sync before the last block is there
  it('wait-connect ends when every volume is connected, wait-sync when nothing is under way; both at once when there is no hope', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }).chain((count) => resourceOf('r0', 0, count)), (snapshot) => {
        const all = [snapshot.connection, ...snapshot.volumes.map(({ connection }) => connection)];
        const there = all.filter((state) => !notThere.has(state)).length === all.length;
        const idle = new Set(all).size === 1 && all[0] === 'Connected';
        if (snapshot.connection === 'StandAlone') {
          assert.equal(waitState('wait-connect', snapshot), 'stand-alone');
          assert.equal(waitState('wait-sync', snapshot), 'stand-alone');
        } else {
          assert.equal(waitState('wait-connect', snapshot), there ? 'done' : 'waiting');
          assert.equal(waitState('wait-sync', snapshot), idle ? 'done' : 'waiting');
        }
      }),
      { ...parameters, numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...connectionStates), resourceOf('r0', 0, 2), (state, base) => {
        const same = { ...base, connection: state, volumes: base.volumes.map((volume) => ({ ...volume, connection: state })) };
        const wanted = state === 'StandAlone' ? 'stand-alone' : notThere.has(state) ? 'waiting' : 'done';
        assert.equal(waitState('wait-connect', same), wanted);
        assert.equal(waitState('wait-sync', same), wanted === 'done' && state !== 'Connected' ? 'waiting' : wanted);
      }),
      parameters,
    );
  });
});

describe('generation identifiers', () => {
  // otherwise: the short limit of a node that was alone is not taken, or show-gi explains other flags than those on disk
  it('the line of an attached volume reads back flag by flag', () => {
    fc.assert(
      fc.property(volumeOf(0, 0), (volume) => {
        const bit = (number: number): boolean => Math.floor(volume.metaFlags / 2 ** number) % 2 === 1;
        const gi = parseGetGi(formatGi(volume));
        assert.deepEqual(gi, {
          uuids: volume.uuids,
          consistent: bit(0),
          primary: bit(1),
          connected: bit(2),
          fullSync: bit(3),
          wasUpToDate: bit(4),
          peerOutdated: bit(5),
          crashedPrimary: bit(6),
        });
        assert.equal(wasDegraded(formatGi(volume)), bit(1) && !bit(2));
        assert.equal(offlineDiskState(gi) === 'Inconsistent', !bit(0));
        // UpToDate without the peer's word only if the peer is known to be worse
        if (offlineDiskState(gi) === 'UpToDate') assert.ok(bit(0) && bit(4) && bit(5));
      }),
      parameters,
    );
  });
});

describe('after a crash of the daemon', () => {
  const life = fc.record({ role: fc.constantFrom(...roles), connection: fc.constantFrom(...connectionStates) });
  const config = goodResource({ resources: { r0: { on: { a: hostOf(1), b: hostOf(2) } } } });

  // otherwise: both nodes serve, because the peer took over while this daemon was down and was not asked
  it('a node that had its peer asks it before it is Primary again, and only one with its device becomes Primary', () => {
    fc.assert(
      fc.property(fc.option(life), fc.boolean(), (last, deviceKept) => {
        const record = last === null ? null : recordOf(config, last, false);
        const plan = recoveryPlan(record, deviceKept);
        const talking = last !== null && !/^(StandAlone|Disconnecting|Unconnected|Timeout|BrokenPipe|NetworkFailure|ProtocolError|TearDown|WF(Connection|ReportParams))$/.test(last.connection);
        assert.equal(plan.promote, deviceKept, 'who has the device open must get answers; nobody else gets a Primary');
        if (plan.promote && (last === null || talking)) assert.ok(plan.askPeer && plan.connect);
        if (plan.askPeer) assert.ok(plan.connect, 'asking needs a connection');
        // an administrator who disconnected the node finds it disconnected
        assert.equal(plan.connect, last?.connection !== 'StandAlone');
        assert.equal(plan.deviceLost, !deviceKept && last?.role === 'Primary');
      }),
      parameters,
    );
  });

  const record = fc
    .tuple(sectionOf('net', ['shared-secret', 'cram-hmac-alg']), fc.constantFrom('r0', 'r1', 'x.y-z'), life, fc.boolean())
    .map(([net, name, last, degraded]) => recordOf({ ...config, name, net: { ...config.net, ...net } }, last, degraded));

  // otherwise: what was up stays down after an upgrade of the daemon
  it('what was written down reads back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(record, { selector: (entry) => entry.config.name }), (records) => {
        const state = { resources: Object.fromEntries(records.map((entry) => [entry.config.name, entry])) };
        assert.deepEqual(parseRunState(formatRunState(state)), state);
      }),
      parameters,
    );
  });

  // otherwise: a damaged file below /run keeps the daemon from starting, and every volume of the node hangs
  it('whatever the file holds, the answer is records that can be worked with; a damaged entry does not take the others with it', () => {
    fc.assert(
      fc.property(record, fc.jsonValue(), fc.string(), (good, junk, name) => {
        fc.pre(name !== good.config.name && name !== '__proto__');
        const read = parseRunState(JSON.stringify({ version: 1, resources: { [name]: junk, [good.config.name]: good } }));
        assert.deepEqual(read, { resources: { [good.config.name]: good } });
      }),
      parameters,
    );
    fc.assert(
      fc.property(record, fc.nat(), fc.constantFrom('', '0', '}', 'null'), (good, at, put) => {
        const text = formatRunState({ resources: { [good.config.name]: good } }).trimEnd();
        const cut = at % text.length;
        const read = parseRunState(text.slice(0, cut) + put + text.slice(cut + 1));
        for (const [name, entry] of Object.entries(read?.resources ?? {})) {
          assert.equal(entry.config.name, name);
          assert.equal(entry.config.hosts.length, 2);
          assert.ok(roles.includes(entry.role) && typeof entry.networked === 'boolean');
        }
        assert.equal(parseRunState(text.slice(0, cut)), null, 'half a file');
      }),
      parameters,
    );
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        const read = parseRunState(text);
        assert.ok(read === null || Object.keys(read.resources).length === 0);
      }),
      parameters,
    );
  });
});
