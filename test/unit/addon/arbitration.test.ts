/** Two drbdtsd with the real engine, in this process, and a witness: what the arbiter says is what the volume does. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ClusterConfig } from '../../../src/config/cluster-types.js';
import { parseConfig, requireConfig } from '../../../src/config/load.js';
import type { Config } from '../../../src/config/types.js';
import type { Verb, VerbRequest, VolumeStatus } from '../../../src/control/messages.js';
import { loadAddon } from '../../../src/daemon/addon.js';
import { Daemon } from '../../../src/daemon/daemon.js';
import { createLog } from '../../../src/shared/log.js';
import { WitnessServer } from '../../../src/witness/server.js';
import { RegisterStore } from '../../../src/witness/store.js';
import { waitFor } from '../../support/wait.js';

const directory = mkdtempSync('/var/tmp/drbdts-arbitration-');
const secret = 'a key of the cluster store';
const port = 20_000 + ((process.pid * 7) % 20_000);
let logged = '';
const log = createLog('debug', {
  journal: false,
  stream: {
    write: (text: string) => {
      logged += text;
      return true;
    },
  } as unknown as NodeJS.WritableStream,
});

class Witness {
  port = 0;
  private server: WitnessServer | null = null;

  async start(): Promise<void> {
    const stateDir = join(directory, 'witness');
    mkdirSync(stateDir, { recursive: true });
    const clusters = new Map([['store', { key: Buffer.from(secret), store: new RegisterStore(stateDir, 'store') }]]);
    this.server = new WitnessServer(clusters, log);
    this.port = await this.server.listen({ family: 4, host: '127.0.0.1', port: this.port });
  }

  async stop(): Promise<void> {
    await this.server?.close();
    this.server = null;
  }
}

function configFor(node: string, witnessPort: number): Config {
  const host = (name: string, number: number): string =>
    `      ${name}: { device: /dev/drbd${910 + number}, disk: ${directory}/${name}.img, address: '127.0.0.1:${port + number}', meta-disk: internal }\n`;
  const text = `resources:\n  r0:\n    protocol: C\n    net: { timeout: 1s, ping-timeout: 300ms, connect-int: 1s }\n    disk: { fencing: resource-and-stonith }\n    on:\n${host('alpha', 0)}${host('beta', 1)}`;
  const parsed = requireConfig(parseConfig(text, 'test.yaml', node), 'test.yaml');
  const keyFile = join(directory, 'key');
  writeFileSync(keyFile, secret, { mode: 0o600 });
  const address = { family: 4 as const, host: '127.0.0.1', port: witnessPort };
  const arbiter = { kind: 'witness' as const, address, keyFile, timeoutMs: 500 };
  return { ...parsed, cluster: { name: 'store', nodes: ['alpha', 'beta'], arbiter } as unknown as ClusterConfig };
}

class Node {
  readonly daemon: Daemon;
  readonly name: string;

  constructor(name: string, daemon: Daemon) {
    this.name = name;
    this.daemon = daemon;
  }

  verb(verb: Verb, request: VerbRequest = {}): Promise<unknown> {
    return this.daemon.verb('r0', verb, request, { signal: new AbortController().signal, progress: () => {} });
  }

  get volume(): VolumeStatus {
    return this.daemon.status('r0').resources[0]?.volumes[0] ?? assert.fail('no volume');
  }

  async becomes(what: string, condition: (volume: VolumeStatus) => boolean): Promise<void> {
    await waitFor(`${this.name}: ${what}`, () => condition(this.volume), 30_000, () => `${JSON.stringify(this.volume)}\n${logged.slice(-6000)}`);
  }
}

describe('arbitration with the real engine', () => {
  const witness = new Witness();
  let alpha: Node;
  let beta: Node;

  const together = async (): Promise<void> => {
    for (const node of [alpha, beta])
      await node.becomes(
        'together',
        (volume) => volume.connection === 'Connected' && volume.peerDisk === 'UpToDate' && volume.arbitration?.state === 'together' && volume.arbitration.sentence === '' && volume.arbitration.reachable,
      );
  };

  before(async () => {
    await witness.start();
    const addon = await loadAddon();
    const make = async (name: string): Promise<Node> => {
      writeFileSync(join(directory, `${name}.img`), '');
      truncateSync(join(directory, `${name}.img`), 16 * 1024 * 1024);
      const daemon = new Daemon({
        ...{ configFile: 'test.yaml', config: configFor(name, witness.port), node: name, frontend: 'memory', addon, log, startAll: false },
        stateDir: join(directory, name),
        registerDir: join(directory, name, 'register'),
        keeper: { kept: [], canStore: false, notifySocket: '' },
        startOver: () => assert.fail('the engine was lost'),
      });
      mkdirSync(join(directory, name), { recursive: true });
      const node = new Node(name, daemon);
      await node.verb('create-md', { force: true });
      await node.verb('up');
      return node;
    };
    alpha = await make('alpha');
    beta = await make('beta');
    for (const node of [alpha, beta]) await node.becomes('connected', ({ connection }) => connection === 'Connected');
    await alpha.verb('primary', { force: true });
    await together();
  });
  after(async () => {
    for (const node of [alpha, beta]) {
      await node.verb('secondary', { force: true }).catch(() => {});
      await node.verb('down').catch(() => {});
      await node.daemon.stop();
    }
    await witness.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('the Primary that loses its peer goes on, the peer may not be promoted, and both come together again', async () => {
    await beta.verb('disconnect', { force: true });
    await alpha.becomes('alone and thawed', (volume) => volume.arbitration?.state === 'alone' && volume.suspended.length === 0 && volume.peerDisk === 'Outdated');
    await assert.rejects(beta.verb('primary'), { drbdCode: -7 });
    assert.equal(beta.volume.arbitration?.state, 'out');
    await beta.verb('connect');
    await together();
  });

  it('without the witness the Primary stands still, and goes on when it is back', async () => {
    await witness.stop();
    await beta.verb('disconnect', { force: true });
    await alpha.becomes('waits', (volume) => volume.arbitration?.state === 'unreachable' && volume.suspended.includes('fencing'));
    await assert.rejects(beta.verb('primary'), { drbdCode: -7 });
    await witness.start();
    await alpha.becomes('alone and thawed', (volume) => volume.arbitration?.state === 'alone' && volume.suspended.length === 0);
    await beta.verb('connect');
    await together();
  });

  it('the witness gone while both see each other: an alert, and nothing else', async () => {
    await witness.stop();
    await alpha.becomes('alert', (volume) => volume.arbitration?.reachable === false && volume.arbitration.sentence !== '');
    assert.deepEqual(alpha.volume.suspended, []);
    await alpha.verb('secondary');
    await beta.verb('primary');
    await beta.verb('secondary');
    await alpha.verb('primary');
    await witness.start();
    await together();
  });
});
