/** The pure parts of the daemon against outputs of the real DRBD 8.4. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultsOf } from '../../../src/config/options.js';
import type { EventRecord } from '../../../src/control/messages.js';
import { diffRecords, dumpRecords, helperRecord } from '../../../src/daemon/events.js';
import { keptFdsOf, readKeeperEnvironment } from '../../../src/daemon/keeper.js';
import { formatGi, wasDegraded } from '../../../src/daemon/meta-verbs.js';
import { findMount } from '../../../src/daemon/mounts.js';
import type { NativeSnapshot, NativeVolumeSnapshot } from '../../../src/daemon/native-api.js';
import { procDrbd, progressBar, thousands } from '../../../src/daemon/proc-drbd.js';
import { stateLines } from '../../../src/daemon/state-lines.js';
import { waitLimit, waitState } from '../../../src/daemon/wait.js';

const zero = '0000000000000000';

function volume(change: Partial<NativeVolumeSnapshot> = {}): NativeVolumeSnapshot {
  return {
    volume: 0,
    minor: 0,
    device: '/dev/drbd0',
    deviceUp: false,
    disk: 'Inconsistent',
    peerDisk: 'DUnknown',
    connection: 'WFConnection',
    role: 'Secondary',
    peerRole: 'Unknown',
    sizeSectors: 130_992n,
    uuids: ['0000000000000004', zero, zero, zero],
    metaFlags: 0,
    outOfSyncBits: 16_374n,
    resyncTotalBits: 0n,
    resyncLeftBits: 0n,
    resyncFailedBits: 0n,
    resyncSpeedKib: 0,
    resyncAverageKib: 0,
    resyncWantKib: 0,
    resyncFinishSeconds: -1,
    resyncStalled: false,
    flags: 'r----s',
    suspended: { user: false, noData: false, fencing: false },
    resyncSuspended: { user: false, peer: false, dependency: false },
    counters: { ns: 0n, nr: 0n, dw: 0n, dr: 0n, al: 8n, bm: 0n, lo: 0, pe: 0, ua: 0, ap: 0, ep: 1 },
    writeOrdering: 'f',
    diskReason: '',
    ...change,
  };
}

function snapshot(change: Partial<NativeSnapshot> = {}, ...volumes: NativeVolumeSnapshot[]): NativeSnapshot {
  const all = volumes.length === 0 ? [volume()] : volumes;
  return {
    name: 'r0',
    protocol: 'C',
    connection: all[0]?.connection ?? 'StandAlone',
    role: all[0]?.role ?? 'Secondary',
    peerRole: all[0]?.peerRole ?? 'Unknown',
    connectionReason: '',
    agreedVersion: 0,
    features: 0,
    volumes: all,
    ...change,
  };
}

const body = (text: string): string => text.split('\n').slice(2).join('\n');

describe('/proc/drbd', () => {
  it('waiting for the peer', () => {
    const text = procDrbd([snapshot()], '0.1.0');
    assert.match(text, /^version: 8\.4\.\d+ \(api:1\/proto:\d+-101\)\nsrcversion: \S+ \n/);
    assert.equal(
      body(text),
      ' 0: cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown C r----s\n    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:65496\n',
    );
  });

  it('a resync on its source', () => {
    const source = volume({
      connection: 'SyncSource',
      role: 'Primary',
      peerRole: 'Secondary',
      disk: 'UpToDate',
      peerDisk: 'Inconsistent',
      flags: 'r-----',
      outOfSyncBits: 14_128n,
      resyncTotalBits: 16_374n,
      resyncLeftBits: 14_128n,
      resyncSpeedKib: 1496,
      resyncAverageKib: 2244,
      resyncFinishSeconds: 36,
      counters: { ns: 9360n, nr: 0n, dw: 0n, dr: 9360n, al: 8n, bm: 0n, lo: 0, pe: 5, ua: 0, ap: 0, ep: 1 },
    });
    assert.equal(
      body(procDrbd([snapshot({}, source)], '1')),
      ' 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n' +
        '    ns:9360 nr:0 dw:0 dr:9360 al:8 bm:0 lo:0 pe:5 ua:0 ap:0 ep:1 wo:f oos:56512\n' +
        "\t[==>.................] sync'ed: 18.8% (56512/65496)K\n" +
        '\tfinish: 0:00:36 speed: 1,496 (2,244) K/sec\n',
    );
  });

  it('a resync on its target wants a rate', () => {
    const target = volume({
      connection: 'SyncTarget',
      role: 'Secondary',
      peerRole: 'Primary',
      disk: 'Inconsistent',
      peerDisk: 'UpToDate',
      flags: 'r-----',
      outOfSyncBits: 15_107n,
      resyncTotalBits: 16_374n,
      resyncLeftBits: 15_107n,
      resyncSpeedKib: 1688,
      resyncAverageKib: 1688,
      resyncWantKib: 2720,
      resyncFinishSeconds: 34,
      counters: { ns: 0n, nr: 5068n, dw: 5068n, dr: 0n, al: 8n, bm: 0n, lo: 0, pe: 0, ua: 0, ap: 0, ep: 1 },
    });
    assert.equal(
      body(procDrbd([snapshot({}, target)], '1')),
      ' 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n' +
        '    ns:0 nr:5068 dw:5068 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:60428\n' +
        "\t[=>..................] sync'ed: 12.5% (60428/65496)K\n" +
        '\tfinish: 0:00:34 speed: 1,688 (1,688) want: 2,720 K/sec\n',
    );
  });

  it('no progress lines while paused; minors in order, a blank line before a gap; a space for no protocol', () => {
    const paused = volume({ connection: 'PausedSyncS', minor: 3, resyncTotalBits: 10n, resyncLeftBits: 5n });
    const text = body(procDrbd([snapshot({}, paused), snapshot({ name: 'r1', protocol: ' ' }, volume({ connection: 'StandAlone' }))], '1'));
    assert.match(text, /^ 0: cs:StandAlone ro:Secondary\/Unknown ds:Inconsistent\/DUnknown {3}r----s\n {4}ns.*\n\n 3: cs:PausedSyncS/);
    assert.ok(!text.includes('finish'));
  });

  it('an unconfigured minor', () =>
    assert.equal(body(procDrbd([snapshot({}, volume({ connection: 'StandAlone', disk: 'Diskless' }))], '1')), ' 0: cs:Unconfigured\n'));
  it('nothing up: the head only', () => assert.equal(body(procDrbd([], '1')), ''));
  it('bars and thousands', () => {
    assert.equal(progressBar(0), '[>....................]');
    assert.equal(progressBar(1000), '[===================>]');
    assert.equal(thousands(20_608), '20,608');
    assert.equal(thousands(1_234_567), '1,234,567');
  });
});

const line = (event: EventRecord): string =>
  `${event.verb} ${event.object}${Object.entries(event.attributes)
    .map(([name, value]) => ` ${name}:${value}`)
    .join('')}`;

describe('events2', () => {
  const diskless = snapshot({ protocol: ' ' }, volume({ connection: 'StandAlone', disk: 'Diskless' }));
  const attached = snapshot({ protocol: ' ' }, volume({ connection: 'StandAlone' }));
  const connecting = snapshot();
  const connected = snapshot({}, volume({ connection: 'Connected', peerRole: 'Secondary', peerDisk: 'Inconsistent' }));

  it('the first dump', () => {
    assert.deepEqual(dumpRecords([diskless], 't').map(line), [
      'exists resource name:r0 role:Secondary suspended:no',
      'exists connection name:r0 peer-node-id:0 connection:StandAlone role:Unknown',
      'exists device name:r0 volume:0 minor:0 disk:Diskless',
      'exists peer-device name:r0 peer-node-id:0 volume:0 replication:Off peer-disk:DUnknown resync-suspended:no',
      'exists -',
    ]);
    assert.deepEqual(dumpRecords([], 't').map(line), ['exists -']);
  });

  it('the way from attached to a paused resync', () => {
    assert.deepEqual(diffRecords(diskless, attached, 't').map(line), ['change device name:r0 volume:0 minor:0 disk:Inconsistent']);
    assert.deepEqual(diffRecords(attached, connecting, 't').map(line), [
      'create connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting role:Unknown',
      'create peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no',
    ]);
    assert.deepEqual(diffRecords(connecting, connected, 't').map(line), [
      'change connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Secondary',
      'change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:Inconsistent',
    ]);
    const paused = snapshot(
      {},
      volume({
        connection: 'PausedSyncS',
        peerRole: 'Secondary',
        peerDisk: 'Inconsistent',
        resyncSuspended: { user: true, peer: true, dependency: false },
      }),
    );
    assert.deepEqual(diffRecords(connected, paused, 't').map(line), [
      'change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:PausedSyncS resync-suspended:user,peer',
    ]);
  });

  it('up and down', () => {
    assert.equal(diffRecords(null, connecting, 't')[0]?.verb, 'create');
    assert.deepEqual(
      diffRecords(connecting, null, 't').map((event) => `${event.verb} ${event.object}`),
      ['destroy peer-device', 'destroy device', 'destroy connection', 'destroy resource'],
    );
    assert.deepEqual(diffRecords(connecting, connecting, 't'), []);
  });

  it('helpers', () => {
    assert.equal(
      line(helperRecord(connected, 0, 'before-resync-source', null, 't')),
      'call helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 helper:before-resync-source',
    );
    assert.equal(
      line(helperRecord(connected, 0, 'before-resync-source', 0, 't')),
      'response helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 helper:before-resync-source status:0',
    );
  });
});

it('log lines of state changes have one shape', () => {
  const before = snapshot({}, volume({ disk: 'UpToDate', connection: 'Connected', peerRole: 'Secondary' }));
  const after = snapshot(
    { connectionReason: 'peer did not answer a ping' },
    volume({ disk: 'Outdated', connection: 'NetworkFailure', diskReason: 'fenced' }),
  );
  assert.deepEqual(stateLines(before, after), [
    'r0 peer(Secondary -> Unknown) conn(Connected -> NetworkFailure) reason="peer did not answer a ping"',
    'r0/0 disk(UpToDate -> Outdated) reason="fenced"',
  ]);
  assert.deepEqual(stateLines(after, after), []);
  assert.deepEqual(stateLines(after, null), ['r0 down']);
});

describe('waiting', () => {
  const startup = (values: Record<string, number>): Record<string, number | string | boolean> => ({ ...defaultsOf('startup'), ...values });
  it('limits are cut as drbdsetup does, and said', () => {
    assert.deepEqual(waitLimit(startup({ 'wfc-timeout': 2 }), false, false), {
      seconds: 2,
      option: 'wfc-timeout',
      notices: [
        'degr-wfc-timeout has to be shorter than wfc-timeout',
        'degr-wfc-timeout implicitly set to wfc-timeout (2s)',
        'outdated-wfc-timeout has to be shorter than degr-wfc-timeout',
        'outdated-wfc-timeout implicitly set to degr-wfc-timeout (2s)',
      ],
    });
    assert.deepEqual(waitLimit(startup({ 'degr-wfc-timeout': 120 }), false, false), {
      seconds: 0,
      option: 'wfc-timeout',
      notices: [
        'outdated-wfc-timeout has to be shorter than degr-wfc-timeout',
        'outdated-wfc-timeout implicitly set to degr-wfc-timeout (120s)',
      ],
    });
  });
  it('a node that was alone, or whose peer is outdated, waits shorter', () => {
    const values = startup({ 'wfc-timeout': 60, 'degr-wfc-timeout': 30, 'outdated-wfc-timeout': 10 });
    assert.equal(waitLimit(values, false, false).seconds, 60);
    assert.equal(waitLimit(values, true, false).seconds, 30);
    assert.equal(waitLimit(values, true, true).seconds, 10);
  });
  it('alone means Primary and not connected in the meta-data', () => {
    assert.equal(wasDegraded(`${zero}:${zero}:${zero}:${zero}:1:1:1:0:0:0:0`), true);
    assert.equal(wasDegraded(`${zero}:${zero}:${zero}:${zero}:1:1:1:1:0:0:0`), false);
    assert.equal(wasDegraded('nonsense'), false);
  });
  it('ends when connected, or when nothing resyncs any more', () => {
    const syncing = snapshot({ connection: 'Connected' }, volume({ connection: 'SyncTarget' }));
    assert.equal(waitState('wait-connect', snapshot()), 'waiting');
    assert.equal(waitState('wait-connect', syncing), 'done');
    assert.equal(waitState('wait-sync', syncing), 'waiting');
    assert.equal(waitState('wait-sync', snapshot({}, volume({ connection: 'Connected' }))), 'done');
    assert.equal(waitState('wait-sync', snapshot({}, volume({ connection: 'StandAlone' }))), 'stand-alone');
    assert.equal(waitState('wait-sync', null), 'down');
  });
});

it('get-gi of an attached volume', () => {
  const primary = volume({ uuids: ['1334DC39EA5265AD', zero, 'FDF45E65BE83C9C4', '0000000000000004'], metaFlags: 0x17 });
  assert.equal(formatGi(primary), `1334DC39EA5265AD:${zero}:FDF45E65BE83C9C4:0000000000000004:1:1:1:1:0:0:0`);
});

describe('keeper', () => {
  it("reads systemd's descriptors and sorts them by resource", () => {
    const read = readKeeperEnvironment(
      {
        NOTIFY_SOCKET: '/run/n',
        FDSTORE: '64',
        LISTEN_PID: '42',
        LISTEN_FDS: '3',
        LISTEN_FDNAMES: 'drbdts/r0/0/fuse/loop3/512:drbdts/r0/1/fuse/loop4/4096:drbdts/r1/0/fuse/loop5/512',
      },
      42,
    );
    assert.equal(read.canStore, true);
    assert.deepEqual(keptFdsOf(read.kept, 'r0'), [
      { name: 'drbdts/r0/0/fuse/loop3/512', fd: 3 },
      { name: 'drbdts/r0/1/fuse/loop4/4096', fd: 4 },
    ]);
    assert.deepEqual(keptFdsOf(read.kept, 'r'), []);
  });
  it("takes nothing that is another process's, too much or nonsense", () => {
    assert.deepEqual(readKeeperEnvironment({ LISTEN_PID: '41', LISTEN_FDS: '3' }, 42).kept, []);
    assert.deepEqual(readKeeperEnvironment({ LISTEN_FDS: '99999999' }, 42).kept, []);
    assert.deepEqual(readKeeperEnvironment({ LISTEN_FDS: 'x' }, 42), { kept: [], notifySocket: '', canStore: false });
    assert.equal(readKeeperEnvironment({ NOTIFY_SOCKET: '/run/n', FDSTORE: '0' }, 42).canStore, false, 'readiness without a store');
    assert.equal(readKeeperEnvironment({ NOTIFY_SOCKET: '/run/n' }, 42).canStore, true, 'older systemd, drbdts-keeper');
  });
});

it('a mount is found by device number or name, in any namespace, blanks included', () => {
  const own = '21 20 8:1 / / rw - ext4 /dev/sda1 rw\n';
  const other = '30 20 7:3 / /my\\040store rw,relatime shared:1 - ext4 /dev/loop3 rw\n31 20 0:5 / /x rw - xfs /dev/drbd1 rw\n';
  assert.deepEqual(findMount([own, other], '/dev/drbd0', '7:3'), { mountPoint: '/my store', fstype: 'ext4' });
  assert.deepEqual(findMount([own, other], '/dev/drbd1', null), { mountPoint: '/x', fstype: 'xfs' });
  assert.equal(findMount([own, other, 'garbage'], '/dev/drbd9', '7:9'), null);
});
