/** Two resources in this process, memory front ends, real disks (files) and real sockets on loopback addresses. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAddon } from '../../../src/daemon/addon.js';
import type {
  NativeAddon,
  NativeCommand,
  NativeCommandArgs,
  NativeEvent,
  NativeOptions,
  NativeResource,
  NativeResourceConfig,
  NativeResult,
  NativeSnapshot,
} from '../../../src/daemon/native-api.js';

const mib = 1024 * 1024;
let dir = '';
let addon: NativeAddon;
let port = 20000 + (process.pid % 20000);

before(async () => {
  dir = mkdtempSync('/var/tmp/drbdts-resource-');
  addon = await loadAddon();
});
after(() => rmSync(dir, { recursive: true, force: true }));

class Node {
  readonly events: NativeEvent[] = [];
  readonly resource: NativeResource;
  #wake: (() => void)[] = [];

  constructor(config: NativeResourceConfig) {
    this.resource = addon.createResource(config, (events) => {
      this.events.push(...events);
      for (const event of events) {
        if (event.type === 'handler' && event.wait) this.resource.handlerResult(event.id, 0);
      }
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  command<C extends NativeCommand>(name: C, args: NativeCommandArgs[C]): Promise<NativeResult> {
    return this.resource.command(name, args);
  }

  async done<C extends NativeCommand>(name: C, args: NativeCommandArgs[C]): Promise<void> {
    const { code, text, detail } = await this.command(name, args);
    assert.ok(code > 0 && code < 100, `${name}: (${code}) ${text} ${detail}\n${this.log()}`);
  }

  log(): string {
    return this.events.map((event) => (event.type === 'log' ? event.message : JSON.stringify(event))).join('\n');
  }

  async until(what: string, condition: (snapshot: NativeSnapshot) => boolean): Promise<NativeSnapshot> {
    const end = Date.now() + 60_000;
    for (;;) {
      const snapshot = this.resource.snapshot();
      if (condition(snapshot)) return snapshot;
      if (Date.now() > end) assert.fail(`not reached: ${what}\n${this.log()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async end(): Promise<void> {
    await this.command('down', {});
    await this.resource.stop();
  }
}

async function disk(name: string, bytes: number): Promise<string> {
  const path = join(dir, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  await addon.meta.createMd({ disk: path, metaDisk: 'internal', metaIndex: 'internal' }, { force: false });
  return path;
}

function config(own: number, disks: string[], options: NativeOptions = {}): NativeResourceConfig {
  return {
    name: 'r0',
    localAddress: { family: 4, host: `127.0.0.${own}`, port },
    peerAddress: { family: 4, host: `127.0.0.${own === 1 ? 2 : 1}`, port },
    peerName: own === 1 ? 'b' : 'a',
    options: { protocol: 'C', 'connect-int': 1, ...options },
    volumes: disks.map((path, volume) => ({
      volume,
      minor: volume,
      device: `/dev/drbd${volume}`,
      links: [],
      disk: path,
      metaDisk: 'internal',
      metaIndex: 'internal',
      options: { 'c-plan-ahead': 0, 'resync-rate': 1024 * 1024 },
      frontend: 'memory',
    })),
    keptFds: [],
    notifySocket: '',
  };
}

describe('a resource', () => {
  test('comes up, syncs to its peer, and goes down again', async () => {
    port++;
    const a = new Node(config(1, [await disk('a0', 32 * mib), await disk('a1', 16 * mib)]));
    const b = new Node(config(2, [await disk('b0', 32 * mib), await disk('b1', 16 * mib)]));
    for (const node of [a, b]) {
      await node.done('attach', {});
      assert.equal(node.resource.snapshot().volumes[0]?.disk, 'Inconsistent');
      await node.done('connect', {});
    }
    await a.until('Connected', (s) => s.connection === 'Connected');
    await b.until('Connected', (s) => s.connection === 'Connected');
    await a.done('primary', { force: true });
    for (const node of [a, b]) {
      await node.until('UpToDate/UpToDate', (s) => s.volumes.length === 2 && s.volumes.every((v) => v.disk === 'UpToDate' && v.peerDisk === 'UpToDate'));
    }
    const [first, second] = [a.resource.snapshot(), b.resource.snapshot()];
    assert.equal(first.role, 'Primary');
    assert.equal(second.peerRole, 'Primary');
    assert.equal(first.protocol, 'C');
    assert.equal(first.agreedVersion, 101);
    assert.equal(first.volumes[0]?.outOfSyncBits, 0n);
    assert.equal(first.volumes[0]?.sizeSectors, second.volumes[0]?.sizeSectors);
    assert.equal(first.volumes[0]?.uuids[0].slice(0, 15), second.volumes[0]?.uuids[0].slice(0, 15));
    await a.done('secondary', {});
    await a.end();
    await b.end();
    const at = { disk: join(dir, 'a0'), metaDisk: 'internal', metaIndex: 'internal' } as const;
    assert.match(await addon.meta.getGi(at), /:1:1:0:/);
  });

  test('a second daemon on the same disk is refused and told who has it', async () => {
    port++;
    const path = await disk('shared', 16 * mib);
    const first = new Node(config(1, [path]));
    const second = new Node(config(2, [path]));
    await first.done('attach', {});
    const { code, text, detail } = await second.command('attach', {});
    assert.ok(code < 0 || code >= 100, text);
    assert.match(`${text} ${detail} ${second.log()}`, /in use: .*\(pid \d+\)/);
    const tool = await addon.meta.getGi({ disk: path, metaDisk: 'internal', metaIndex: 'internal' }).then(
      () => 'read',
      (error: { code: string }) => error.code,
    );
    assert.equal(tool, 'ERR_BUSY');
    await first.end();
    await second.done('attach', {});
    await second.end();
  });

  test('stop without down lets go of disk and port', async () => {
    port++;
    const path = await disk('stopped', 16 * mib);
    for (let life = 0; life < 3; life++) {
      // a stop without down leaves the meta-data as a crash would
      await addon.meta.applyAl({ disk: path, metaDisk: 'internal', metaIndex: 'internal' });
      const node = new Node(config(1, [path]));
      await node.done('attach', {});
      await node.done('connect', {});
      await node.resource.stop();
      await assert.rejects(node.command('connect', {}), { code: 'ERR_NOT_FOUND' });
    }
  });

  test('options are taken by their DRBD names; what is unknown is named', async () => {
    port++;
    const path = await disk('options', 16 * mib);
    const good = config(1, [path]);
    assert.throws(() => addon.createResource({ ...good, options: { 'ping-intt': 3 } }, () => undefined), {
      code: 'ERR_INVALID_ARGUMENT',
      place: 'ping-intt',
    });
    assert.throws(() => addon.createResource({ ...good, options: { 'after-sb-0pri': 'guess' } }, () => undefined), /after-sb-0pri/);
    assert.throws(() => addon.createResource({ ...good, localAddress: { family: 4, host: 'here', port: 7788 } }, () => undefined), /IPv4/);
    const node = new Node(good);
    await assert.rejects(node.command('attach', { volume: 7 }), { code: 'ERR_INVALID_ARGUMENT' });
    await assert.rejects(node.command('net-options', { options: { timeout: -1 } }), { code: 'ERR_INVALID_ARGUMENT' });
    await node.done('net-options', { options: { timeout: 40, 'tcp-cork': false } });
    await node.end();
  });
});
