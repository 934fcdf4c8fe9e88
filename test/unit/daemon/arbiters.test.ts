/** Two nodes' arbitration and a witness between them, over real sockets and files; the engine's state is what a test says. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import type { ClusterConfig } from '../../../src/config/cluster-types.js';
import type { Config, ResourceConfig } from '../../../src/config/types.js';
import type { ArbitrationStatus } from '../../../src/control/messages.js';
import { Arbiters } from '../../../src/daemon/arbiters.js';
import type { NativeSnapshot, NativeVolumeSnapshot } from '../../../src/daemon/native-api.js';
import { createLog } from '../../../src/shared/log.js';
import { WitnessServer } from '../../../src/witness/server.js';
import { RegisterStore } from '../../../src/witness/store.js';
import { waitFor } from '../../support/wait.js';

const quiet = createLog('error', { stream: { write: () => true } as unknown as NodeJS.WritableStream });
const directory = mkdtempSync(join(tmpdir(), 'drbdts-arbiters-'));
const keyFile = join(directory, 'key');
writeFileSync(keyFile, 'a key of the cluster store', { mode: 0o600 });
after(() => rmSync(directory, { recursive: true, force: true }));

const host = (name: string) => ({ name, address: { family: 4 as const, host: '127.0.0.1', port: 7788 }, volumes: [] });
const resource: ResourceConfig = {
  ...{ name: 'r0', protocol: 'C', startup: {}, net: {}, handlers: {}, volumes: [{ volume: 0, disk: {} }] },
  hosts: [host('alpha'), host('beta')],
};

function configFor(port: number, kind: 'witness' | 'none' = 'witness'): Config {
  const arbiter = kind === 'none' ? ({ kind } as const) : ({ kind, address: { family: 4, host: '127.0.0.1', port }, keyFile, timeoutMs: 500 } as const);
  const cluster = { name: 'store', nodes: ['alpha', 'beta'], arbiter } as unknown as ClusterConfig;
  return { file: '', global: { logLevel: 'info', handlerTimeoutS: 1 }, resources: [resource], cluster, groups: [], vrrp: null, balancing: null };
}

/** A witness that can go away and come back on its port. */
class Witness {
  readonly stateDir = mkdtempSync(join(directory, 'witness-'));
  port = 0;
  private server: WitnessServer | null = null;

  async start(): Promise<void> {
    const store = new RegisterStore(this.stateDir, 'store');
    this.server = new WitnessServer(new Map([['store', { key: readFileSync(keyFile), store }]]), quiet);
    this.port = await this.server.listen({ family: 4, host: '127.0.0.1', port: this.port });
  }

  async stop(): Promise<void> {
    await this.server?.close();
    this.server = null;
  }
}

class Node {
  readonly registerDir = mkdtempSync(join(directory, 'node-'));
  readonly statuses: ArbitrationStatus[] = [];
  volume: Partial<NativeVolumeSnapshot> | null = null;
  arbiters: Arbiters;
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
    this.arbiters = this.make();
  }

  private make(): Arbiters {
    return new Arbiters({
      ...{ node: this.name, directory: this.registerDir, log: quiet },
      checkPeer: () => {},
      snapshot: () => (this.volume === null ? null : ({ volumes: [this.volume] } as unknown as NativeSnapshot)),
      onStatus: (_resource, _volume, status) => this.statuses.push(status),
    });
  }

  /** A new process with the same files. */
  restart(config: Config): void {
    this.arbiters.stop();
    this.arbiters = this.make();
    this.arbiters.configure(config);
  }

  is(role: 'Primary' | 'Secondary', connected: boolean, peerDisk = connected ? 'UpToDate' : 'DUnknown', frozen = false): void {
    this.volume = {
      ...{ volume: 0, role, disk: 'UpToDate', peerDisk: peerDisk as 'UpToDate', connection: connected ? 'Connected' : 'WFConnection' },
      ...{ suspended: { user: false, noData: false, fencing: frozen }, uuids: ['A', 'B', 'C', 'D'] },
    };
    this.arbiters.changed(resource);
  }

  get status(): ArbitrationStatus {
    return this.arbiters.status(resource, 0) ?? assert.fail('there is a cluster');
  }

  async fence(self = false): Promise<number> {
    return this.arbiters.fence(resource, 0, self) ?? assert.fail('the arbiter answers');
  }

  async becomes(state: string): Promise<void> {
    await waitFor(`${this.name} ${state}`, () => this.status.state === state && this.status.reachable, 10_000, () => JSON.stringify(this.status));
  }
}

describe('arbitration of two nodes by a witness', () => {
  let witness: Witness;
  let alpha: Node;
  let beta: Node;
  let config: Config;

  beforeEach(async () => {
    witness = new Witness();
    await witness.start();
    config = configFor(witness.port);
    alpha = new Node('alpha');
    beta = new Node('beta');
    for (const node of [alpha, beta]) node.arbiters.configure(config);
    alpha.is('Primary', true);
    beta.is('Secondary', true);
    const vouched = (node: Node) => waitFor('vouched', () => node.status.sentence === '' && node.status.reachable, 10_000, () => JSON.stringify(node.status));
    await vouched(alpha);
    await vouched(beta);
  });
  afterEach(async () => {
    alpha.arbiters.stop();
    beta.arbiters.stop();
    await witness.stop();
  });

  it('the Primary that loses its peer takes it out; the peer is told that it is out', async () => {
    alpha.is('Primary', false, 'DUnknown', true);
    beta.is('Secondary', false);
    assert.equal(await alpha.fence(), 7);
    alpha.is('Primary', false);
    assert.deepEqual([alpha.status.state, alpha.status.epoch], ['alone', 2]);
    assert.equal(await beta.fence(), 6);
    await beta.becomes('out');
    assert.match(beta.status.sentence, /alpha has what this node lacks/);
    // together again, it comes back in
    alpha.is('Primary', true);
    beta.is('Secondary', true);
    await alpha.becomes('together');
    assert.equal(alpha.status.epoch, 3);
    await beta.becomes('together');
  });

  it('the Primary that was cut off is denied and says so', async () => {
    alpha.is('Primary', false, 'DUnknown', true);
    beta.is('Secondary', false);
    assert.equal(await beta.fence(), 7);
    beta.is('Primary', false);
    assert.equal(await alpha.fence(), 6);
    assert.equal(alpha.status.state, 'denied');
    assert.equal(alpha.statuses.at(-1)?.state, 'denied');
    alpha.is('Secondary', false);
    await alpha.becomes('out');
  });

  it('without the witness a Primary waits and goes on when it is back; a promotion is refused', async () => {
    await witness.stop();
    alpha.is('Primary', false, 'DUnknown', true);
    beta.is('Secondary', false);
    let answer = 0;
    const fenced = alpha.fence().then((exitCode) => {
      answer = exitCode;
    });
    assert.equal(await beta.fence(), 5);
    assert.equal(answer, 0);
    assert.deepEqual([alpha.status.state, alpha.status.reachable], ['unreachable', false]);
    await witness.start();
    // restarted, it waits for both nodes' word
    await fenced;
    assert.equal(answer, 7);
  });

  it('who is recorded alone goes on without the witness; what it knows survives its process', async () => {
    alpha.is('Primary', false, 'DUnknown', true);
    beta.volume = null;
    assert.equal(await alpha.fence(), 7);
    alpha.is('Primary', false);
    await witness.stop();
    alpha.is('Primary', true, 'Inconsistent');
    alpha.is('Primary', false, 'DUnknown', true);
    assert.equal(await alpha.fence(), 7);
    alpha.restart(config);
    assert.deepEqual([alpha.status.state, alpha.status.epoch], ['alone', 2]);
  });

  it('a restored register never lets the other one win', async () => {
    const file = join(witness.stateDir, 'store.json');
    const old = readFileSync(file);
    alpha.is('Primary', false, 'DUnknown', true);
    beta.is('Secondary', false);
    assert.equal(await alpha.fence(), 7);
    // alone, and its word counts alone; so it has to be gone for the register to stay unsure
    alpha.arbiters.stop();
    await witness.stop();
    writeFileSync(file, old);
    await witness.start();
    assert.equal(await beta.fence(), 5, 'the register says both, and is not believed');
    alpha.restart(config);
    alpha.is('Primary', false);
    assert.equal(await beta.fence(), 6);
  });

  it('a copy that failed on the Primary is given up to the peer', async () => {
    alpha.is('Primary', true, 'UpToDate', true);
    if (alpha.volume !== null) alpha.volume.disk = 'Failed';
    assert.equal(await alpha.fence(true), 7);
    assert.equal(alpha.status.state, 'out');
  });

  it('a record that cannot be written lets nobody go on', async () => {
    const name = `${encodeURIComponent('volume/r0/0')}.json`;
    // a folder in the place of the new file
    mkdirSync(join(alpha.registerDir, `${name}.new`));
    alpha.is('Primary', false, 'DUnknown', true);
    beta.is('Secondary', false);
    let answer = 0;
    const fenced = alpha.fence().then((exitCode) => {
      answer = exitCode;
    });
    await waitFor('said', () => alpha.status.sentence.includes('could not be written'));
    assert.equal(answer, 0);
    rmSync(join(alpha.registerDir, `${name}.new`), { recursive: true });
    await fenced;
    assert.equal(answer, 7);
  });

  it('a damaged record is not taken for no record', async () => {
    alpha.is('Primary', false, 'DUnknown', true);
    assert.equal(await alpha.fence(), 7);
    const [name = ''] = readdirSync(alpha.registerDir);
    chmodSync(join(alpha.registerDir, name), 0o600);
    writeFileSync(join(alpha.registerDir, name), 'nonsense');
    alpha.restart(config);
    assert.equal(await alpha.fence(), 5);
    assert.match(alpha.status.sentence, /damaged/);
    assert.equal(readFileSync(join(alpha.registerDir, name), 'utf8'), 'nonsense');
  });

  it('without an arbiter the configured handler decides, and status says that nobody arbitrates', () => {
    alpha.arbiters.configure(configFor(0, 'none'));
    assert.equal(alpha.arbiters.fence(resource, 0, false), null);
    assert.deepEqual([alpha.status.arbiter, alpha.status.state], ['none', 'none']);
  });

  describe('a group without a volume', () => {
    it('of two that lost each other one gets it, again and again; the other when they are together again', async () => {
      assert.equal((await alpha.arbiters.claim('web', false)).granted, true);
      beta.arbiters.release('web', false);
      await waitFor('recorded', () => alpha.arbiters.record('web').holder === 'alpha' && alpha.arbiters.record('web').vouched);
      const both = await Promise.all([alpha.arbiters.claim('web', true), beta.arbiters.claim('web', true)]);
      assert.deepEqual(both.map((reply) => reply.granted).sort(), [false, true]);
      const [winner, loser] = both[0]?.granted === true ? [alpha, beta] : [beta, alpha];
      assert.equal((await winner.arbiters.claim('web', true)).granted, true, 'claimed again');
      assert.equal((await loser.arbiters.claim('web', true)).granted, false, 'and never twice');
      assert.match(both.find((reply) => !reply.granted)?.sentence ?? '', /taken in alone/);
      loser.arbiters.release('web', false);
      await winner.arbiters.claim('web', false);
      await waitFor('both in', () => winner.arbiters.record('web').state === 'together' && loser.arbiters.record('web').state === 'together');
      assert.equal((await loser.arbiters.claim('web', true)).granted, true, 'its turn now');
    });

    it('nobody gets it without the witness, unless the peer agrees', async () => {
      await witness.stop();
      assert.equal((await alpha.arbiters.claim('web', false)).granted, true);
      const reply = await beta.arbiters.claim('web', true);
      assert.deepEqual([reply.granted, reply.reachable], [false, false]);
    });
  });
});
