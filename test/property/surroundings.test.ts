/** What comes from and goes to others: keeper, handlers, mount tables, the control API, exit codes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { worstExitCode } from '../../src/cli/exit-codes.js';
import { formatRefusal } from '../../src/cli/failure.js';
import { errorReply, statusReply } from '../../src/control/messages.js';
import { handlerEnvironment } from '../../src/daemon/handlers.js';
import { keptFdsOf, readKeeperEnvironment } from '../../src/daemon/keeper.js';
import { findMount } from '../../src/daemon/mounts.js';
import { resourceStatusOf } from '../../src/daemon/status.js';
import { asDrbdtsError, DrbdtsError, drbdtsError, errorForDrbdCode, errorTable, explain } from '../../src/shared/errors.js';
import { goodResource } from './configurations.js';
import { replay } from './replay.js';
import { resourceOf } from './snapshots.js';

const parameters = replay('surroundings', 300);

describe('the keeper', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}$/);
  const stored = fc.record({ resource: name, volume: fc.nat(20), loop: fc.nat(9) });

  // otherwise: after a crash a volume is served through the open device of another, or its application gets I/O errors
  it('each kept descriptor comes back to the resource that stored it, in the order of its number', () => {
    fc.assert(
      fc.property(fc.array(stored, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 99_999 }), fc.array(fc.constantFrom('x', 'other/r0/1', ''), { maxLength: 2 }), (list, pid, foreign) => {
        const names = [...list.map(({ resource, volume, loop }) => `drbdts/${resource}/${volume}/fuse/loop${loop}/512`), ...foreign];
        const environment = { LISTEN_PID: String(pid), LISTEN_FDS: String(names.length), LISTEN_FDNAMES: names.join(':'), NOTIFY_SOCKET: '/run/n' };
        const { kept, canStore } = readKeeperEnvironment(environment, pid);
        assert.equal(canStore, true);
        for (const resource of new Set(list.map((entry) => entry.resource))) {
          const expected = list.flatMap((entry, index) => (entry.resource === resource ? [{ name: names[index], fd: 3 + index }] : []));
          assert.deepEqual(keptFdsOf(kept, resource), expected);
        }
        assert.equal(kept.length, names.length, 'those of nobody are known, so that they can be reported');
        assert.deepEqual(readKeeperEnvironment(environment, pid + 1).kept, [], 'descriptors of another process');
      }),
      parameters,
    );
  });

  // otherwise: a strange environment keeps the daemon from starting
  it('takes any environment', () => {
    const text = fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom('NaN', '1e3', '0x10', ' 2 '));
    const environment = fc.record({ LISTEN_PID: text, LISTEN_FDS: text, LISTEN_FDNAMES: text, NOTIFY_SOCKET: text, FDSTORE: text }, { requiredKeys: [] });
    fc.assert(
      fc.property(environment, (env) => {
        const { kept, notifySocket, canStore } = readKeeperEnvironment(env, 42);
        assert.ok(kept.length <= 4096 && kept.every(({ fd }, index) => fd === index + 3));
        assert.ok(!canStore || notifySocket !== '', 'nothing can be stored where nobody listens');
        if (env.FDSTORE === '0') assert.equal(canStore, false);
      }),
      parameters,
    );
  });
});

describe('handlers', () => {
  // otherwise: a fence-peer or notify script of heartbeat times acts on another node, disk or volume
  it("the environment is drbdadm's, seen from this node", () => {
    const volumes = fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 3 });
    const address = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 99 }), fc.integer({ min: 101, max: 199 }));
    fc.assert(
      fc.property(volumes, address, fc.constantFrom('a', 'b'), fc.nat(30), (numbers, [six, one, two], node, asked) => {
        const ip = (last: number): string => (six ? `fd00::${last}` : `10.0.0.${last}`);
        const host = (which: string, last: number): object => ({
          address: six ? `[${ip(last)}]:7788` : `${ip(last)}:7788`,
          volumes: Object.fromEntries(
            numbers.map((number) => [number, { device: `/dev/drbd${number + 40}`, disk: `/dev/${which}${number}`, 'meta-disk': number % 2 === 0 ? 'internal' : `/dev/m${which}[${number}]` }]),
          ),
        });
        const config = goodResource({ resources: { r0: { on: { a: host('a', one), b: host('b', two) } } } });
        const env = handlerEnvironment(config, node, '/etc/x.yaml', asked);
        const [mine, theirs] = node === 'a' ? [one, two] : [two, one];
        assert.equal(env.DRBD_RESOURCE, 'r0');
        assert.equal(env.DRBD_PEER, node === 'a' ? 'b' : 'a');
        assert.equal(env.DRBD_PEERS, env.DRBD_PEER);
        assert.equal(env.DRBD_MY_ADDRESS, ip(mine));
        assert.equal(env.DRBD_PEER_ADDRESS, ip(theirs));
        assert.equal(env.DRBD_PEER_AF, six ? 'ipv6' : 'ipv4');
        assert.equal(env.DRBD_VOLUME, numbers.includes(asked) ? String(asked) : undefined, 'no volume but the one that is meant');
        if (numbers.includes(asked)) {
          assert.equal(env.DRBD_MINOR, String(asked + 40));
          assert.equal(env.DRBD_LL_DISK, `/dev/${node}${asked}`);
          assert.equal(env.DRBD_META_DISK, asked % 2 === 0 ? 'internal' : `/dev/m${node}`);
        }
        for (const number of numbers) assert.equal(env[`DRBD_LL_DISK_${number}`], `/dev/${node}${number}`);
        assert.ok(!Object.values(env).some((value) => value.startsWith(`/dev/${node === 'a' ? 'b' : 'a'}`)), "no disk of the peer's");
        assert.deepEqual(handlerEnvironment(config, 'elsewhere', '/etc/x.yaml', asked), {});
        const whole = handlerEnvironment(config, node, '/etc/x.yaml', -1);
        assert.equal(whole.DRBD_VOLUME, String(Math.min(...numbers)), 'the first volume stands for the resource');
      }),
      parameters,
    );
  });
});

describe('mounts', () => {
  // otherwise: status says that a mounted volume is free, and somebody takes it down
  it('a mounted device is found whatever the name of its mount point, and no other one is', () => {
    const octal = (text: string): string => text.replace(/[ \t\n\\]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, '0')}`);
    const point = fc.array(fc.constantFrom('a', 'b', ' ', '-', '\t', '\\', '\n', 'é', '040'), { maxLength: 6 }).map((parts) => `/${parts.join('')}`);
    const entry = fc.record({ minor: fc.nat(5), anonymous: fc.boolean(), point, tags: fc.constantFrom('', 'shared:1 ', 'shared:1 master:2 ') });
    const line = (table: { minor: number; anonymous: boolean; point: string; tags: string }): string =>
      `30 20 ${table.anonymous ? '0:50' : `7:${table.minor}`} / ${octal(table.point)} rw,relatime ${table.tags}- ${table.anonymous ? 'btrfs' : 'ext4'} /dev/drbd${table.minor} rw`;
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 4 }), { maxLength: 3 }), fc.nat(5), fc.boolean(), (tables, minor, known) => {
        const first = tables.flat().find((table) => table.minor === minor);
        const found = findMount(
          tables.map((table) => table.map(line).join('\n')),
          `/dev/drbd${minor}`,
          known ? `7:${minor}` : null,
        );
        assert.deepEqual(found, first === undefined ? null : { mountPoint: first.point, fstype: first.anonymous ? 'btrfs' : 'ext4' });
      }),
      parameters,
    );
    fc.assert(
      fc.property(fc.array(fc.string()), fc.string(), fc.option(fc.string()), (tables, device, number) => void findMount(tables, device, number)),
      parameters,
    );
  });
});

describe('the control API', () => {
  const config = goodResource({
    resources: { r0: { on: { a: { device: '/dev/drbd0', disk: '/dev/x', address: '10.0.0.1:1', 'meta-disk': 'internal' }, b: { device: '/dev/drbd0', disk: '/dev/x', address: '10.0.0.2:1', 'meta-disk': 'internal' } } } },
  });

  // otherwise: in some rare state every `drbdts status` fails with "the daemon's reply does not fit"
  it('whatever the engine reports is a reply that the client takes, and it survives the wire', () => {
    fc.assert(
      fc.property(fc.option(resourceOf('r0', 0, 2)), fc.boolean(), (snapshot, mounted) => {
        const status = resourceStatusOf(config, 'a', snapshot, 'why', () => (mounted ? { mountPoint: '/mnt', fstype: 'ext4' } : null));
        const reply = { node: 'a', version: '1', resources: [status] };
        const received = statusReply.parse(JSON.parse(JSON.stringify(reply)));
        assert.deepEqual(received, reply);
        const [resource] = received.resources;
        assert.equal(resource?.up, snapshot !== null);
        assert.equal(resource?.peerName, 'b');
        resource?.volumes.forEach((volume, index) => {
          const own = snapshot?.volumes[index];
          assert.equal(volume.mounted !== null, mounted && own?.deviceUp === true, 'only a device that is there is mounted');
          if (own === undefined) return;
          assert.equal(BigInt(volume.outOfSyncKib), own.outOfSyncBits * 4n);
          assert.equal(BigInt(volume.sizeKib), own.sizeSectors / 2n);
          assert.equal(volume.resync !== null, /^(Sync|PausedSync|Verify)[ST]/.test(own.connection));
          for (const [who, word] of [['user', 'user'], ['noData', 'no-data'], ['fencing', 'fencing']] as const)
            assert.equal(volume.suspended.includes(word), own.suspended[who]);
        });
      }),
      parameters,
    );
  });

  // otherwise: a script gets another exit code than drbdadm's, or a message without its remedy
  it("a refusal of the engine has drbdadm's exit code and words, and survives the wire", () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: -30, max: 0 }), fc.integer({ min: 100, max: 175 })), fc.constantFrom('', 'Its text'), fc.constantFrom('', 'the peer said no', 'Run drbdts up r0.'), (code, text, detail) => {
        const error = errorForDrbdCode(code, '0', text, detail);
        const exit = new Map([[-2, 17], [-4, 16], [-16, 5]]).get(code) ?? (code <= 0 ? 11 : 10);
        assert.equal(error.exitCode, exit, `exit code of ${code}`);
        assert.ok(error.message.startsWith(code <= 0 ? `0: State change failed: (${code}) ` : `0: Failure: (${code}) `));
        if (text !== '') assert.ok(error.message.endsWith(text));
        assert.ok(error.remedy !== '' && error.remedy.toLowerCase().includes(detail.toLowerCase()));
        const received = new DrbdtsError(errorReply.parse(JSON.parse(JSON.stringify(error.reply))));
        assert.deepEqual(received.reply, error.reply);
        const lines = formatRefusal(received.reply, 'r0');
        assert.equal(lines[0], error.message, 'the first line is the one that scripts know');
        assert.ok(lines.length === 2 && !lines.join().includes('RESOURCE'), lines.join('\n'));
      }),
      parameters,
    );
  });

  // otherwise: `drbdts explain` does not know a code that drbdts itself has just printed
  it('every code that is printed can be explained, in each of its spellings, and nothing else can', () => {
    fc.assert(
      fc.property(fc.constantFrom(...errorTable), fc.boolean(), (entry, lower) => {
        const text = explain(entry.code);
        assert.ok(text?.includes(entry.message) && text.includes(entry.remedy));
        const spellings = [entry.code.replace('ERR_', ''), ...(entry.drbdCode === undefined ? [] : [String(entry.drbdCode), `(${entry.drbdCode})`])];
        for (const spelling of spellings) assert.equal(explain(` ${lower ? spelling.toLowerCase() : spelling} `), text);
        assert.equal(drbdtsError(entry.code).exitCode, entry.exitCode);
      }),
      parameters,
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        const bare = text.trim().toUpperCase();
        if (!/^\(?-?\d+\)?$/.test(bare) && !errorTable.some(({ code }) => code.includes(bare.replace(/^\(|\)$/g, '')))) assert.equal(explain(text), null);
        assert.equal(drbdtsError(`NO_${text}`).code, 'ERR_INTERNAL');
      }),
      parameters,
    );
  });

  // otherwise: a fault inside leaves a client without an answer
  it('whatever is thrown becomes a refusal that the client takes', () => {
    const thrown = fc.oneof(
      fc.anything(),
      fc.string().map((text) => new Error(text)),
      fc.record({ code: fc.oneof(fc.string(), fc.constantFrom(...errorTable.map(({ code }) => code)), fc.integer()), place: fc.anything(), remedy: fc.anything() }).map((fields) => Object.assign(new Error('m'), fields)),
    );
    fc.assert(
      fc.property(thrown, (value) => {
        const { reply } = asDrbdtsError(value, 'here');
        assert.deepEqual(errorReply.parse(JSON.parse(JSON.stringify(reply))), reply);
        // two entries of the table are notices; the command line never ends with 0 for a refusal
        assert.ok(reply.exitCode !== 0 || ['ERR_CONFIG_WARNING', 'ERR_NOTHING_TO_ADJUST'].includes(reply.code), reply.code);
        assert.notEqual(reply.remedy, '');
      }),
      parameters,
    );
  });

  // otherwise: a script takes a partly failed command over several resources for a success
  it('the exit code of several is 0 only if all are, and one of theirs otherwise', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom<number[]>(0, 1, 5, 10, 11, 16, 17, 20)), (codes) => {
        const worst = worstExitCode(codes);
        assert.equal(worst === 0, codes.every((code) => code === 0));
        assert.ok(worst === 0 || codes.includes(worst));
      }),
      parameters,
    );
  });
});
