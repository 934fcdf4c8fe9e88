/** All arbitration of this node: one arbiter, one arbitrator per volume of the configuration, and one per group that asks for it. */
import { join } from 'node:path';
import type { Arbiter } from '../arbiter/arbiter.js';
import { type ArbiterSurroundings, createArbiter } from '../arbiter/create.js';
import { appendDurable } from '../arbiter/durable-file.js';
import { groupKey, volumeKey } from '../arbiter/messages.js';
import type { ClusterConfig } from '../config/cluster-types.js';
import { type Config, type ResourceConfig, sidesOf } from '../config/types.js';
import type { ArbitrationStatus, RegisterReply } from '../control/messages.js';
import { drbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { connectionStates } from '../shared/terms.js';
import { fenceExit, type View } from './arbitration.js';
import { withoutArbiter } from './arbitration-status.js';
import { Arbitrator } from './arbitrator.js';
import type { NativeSnapshot, NativeVolumeSnapshot } from './native-api.js';

const connected = connectionStates.indexOf('Connected');

/** A volume as arbitration sees it. */
export function viewOf(volume: NativeVolumeSnapshot): View {
  return {
    primary: volume.role === 'Primary',
    upToDate: volume.disk === 'UpToDate',
    attached: !['Diskless', 'Attaching', 'Failed', 'Negotiating'].includes(volume.disk),
    peerUpToDate: volume.peerDisk === 'UpToDate',
    connected: connectionStates.indexOf(volume.connection) >= connected,
    quiet: volume.connection === 'Connected',
    frozen: volume.suspended.fencing,
    dataGeneration: volume.uuids[0],
  };
}

export interface ArbitersOptions {
  node: string;
  /** where records are kept across boots. */
  directory: string;
  log: Log;
  snapshot(resource: string): NativeSnapshot | null;
  /** asks the peer at once whether it is there; without an answer the connection is lost. */
  checkPeer(resource: string): void;
  onStatus(resource: string, volume: number, status: ArbitrationStatus): void;
  /** makes the arbiter; tests give their own. */
  create?(config: ClusterConfig, around: ArbiterSurroundings): Arbiter | null;
}

/** Shortest reason for what cannot be taken back. */
const reasonCharsMin = 10;
/** How long a claim waits for an arbiter nobody reaches. */
const claimPatienceMs = 3000;

/** A group without a volume: what clusterd says takes the place of what an engine would see. */
class Group {
  readonly arbitrator: Arbitrator;
  private holds = false;
  private peerGone = true;
  private claiming: Promise<number> | null = null;

  constructor(make: (view: () => View) => Arbitrator) {
    this.arbitrator = make(() => this.view());
  }

  /** Takes the group although the peer cannot be asked, or, with the peer's consent, says who has it. */
  async claim(peerGone: boolean): Promise<number> {
    this.peerGone = peerGone;
    if (!peerGone) {
      this.holds = true;
      this.arbitrator.look();
      return fenceExit.out;
    }
    if (this.claiming !== null) return this.claiming;
    const claim = this.arbitrator.fence(false, AbortSignal.timeout(claimPatienceMs));
    this.claiming = claim;
    try {
      const exitCode = await claim;
      // the peer may have come back meanwhile: then its consent is what counts
      if (exitCode === fenceExit.out) this.holds = true;
      return exitCode;
    } finally {
      this.claiming = null;
      this.arbitrator.look();
    }
  }

  release(peerGone: boolean): void {
    this.holds = false;
    this.peerGone = peerGone;
    this.arbitrator.look();
  }

  private view(): View {
    const together = !this.peerGone;
    return {
      ...{ primary: this.holds, attached: true, upToDate: true, peerUpToDate: together, connected: together, quiet: together },
      frozen: this.claiming !== null,
      dataGeneration: '',
    };
  }
}

export class Arbiters {
  private readonly options: ArbitersOptions;
  private cluster: ClusterConfig | null = null;
  private arbiter: Arbiter | null = null;
  private description = '';
  private testTimer: NodeJS.Timeout | undefined;
  /** why the last test fire failed; ''. */
  private testProblem = '';
  private readonly volumes = new Map<string, Arbitrator>();
  private readonly groups = new Map<string, Group>();

  constructor(options: ArbitersOptions) {
    this.options = options;
  }

  /** Takes a configuration; called again when it changes. */
  configure(config: Config): void {
    const { cluster } = config;
    const description = JSON.stringify(cluster === null ? null : [cluster.name, cluster.nodes, cluster.arbiter]);
    this.cluster = cluster;
    if (description !== this.description) {
      this.description = description;
      this.arbiter?.close();
      this.arbiter = cluster === null ? null : this.makeArbiter(cluster);
      this.testEvery(cluster?.arbiter.kind === 'stonith' ? cluster.arbiter.testEveryMs : 0);
      for (const arbitrator of this.all()) {
        if (this.arbiter !== null) arbitrator.use(this.arbiter);
        else arbitrator.stop();
      }
      if (this.arbiter === null) {
        this.volumes.clear();
        this.groups.clear();
      }
    }
    const wanted = new Set<string>();
    for (const resource of config.resources)
      for (const { volume } of resource.volumes) {
        wanted.add(volumeKey(resource.name, volume));
        this.ofVolume(resource, volume);
      }
    for (const [key, arbitrator] of this.volumes) {
      const [, resource = ''] = key.split('/');
      if (wanted.has(key) || this.options.snapshot(resource) !== null) continue;
      arbitrator.stop();
      this.volumes.delete(key);
    }
  }

  stop(): void {
    for (const arbitrator of this.all()) arbitrator.stop();
    clearInterval(this.testTimer);
    this.arbiter?.close();
  }

  /** The state of the resource changed. */
  changed(resource: ResourceConfig): void {
    for (const { volume } of resource.volumes) this.volumes.get(volumeKey(resource.name, volume))?.look();
  }

  /** Exit code of fence-peer or fence-self; null when nobody arbitrates and the configured handler decides. */
  fence(resource: ResourceConfig, volume: number, self: boolean): Promise<number> | null {
    return this.ofVolume(resource, volume)?.fence(self) ?? null;
  }

  /** null where there is no cluster. */
  status(resource: ResourceConfig, volume: number): ArbitrationStatus | null {
    if (this.cluster === null) return null;
    const status = this.ofVolume(resource, volume)?.status ?? withoutArbiter;
    if (this.testProblem === '') return status;
    return { ...status, reachable: false, sentence: [this.testProblem, status.sentence].filter((part) => part !== '').join('; ') };
  }

  /**
   * The register of a group without a volume, for clusterd. The register guards against two winners only: who lost sight of its peer claims
   * with `peerGone` before it goes on, and of two that do so one is denied; the one that was denied stays out until both are together again.
   */
  async claim(group: string, peerGone: boolean): Promise<RegisterReply> {
    const found = this.group(group);
    if (found === null) return this.unguarded(group);
    const exitCode = await found.claim(peerGone);
    return this.reply(group, found, exitCode === fenceExit.out, exitCode);
  }

  release(group: string, peerGone: boolean): RegisterReply {
    const found = this.group(group);
    if (found === null) return this.unguarded(group);
    found.release(peerGone);
    return this.reply(group, found, false, fenceExit.out);
  }

  record(group: string): RegisterReply {
    const found = this.group(group);
    return found === null ? this.unguarded(group) : this.reply(group, found, false, fenceExit.out);
  }

  /**
   * An operator's word that the other node is off for good, for all records: an arbiter that was restarted goes by this node's word alone.
   * Rejects with ERR_CONFIRM_FENCED. Kept for ever in `confirmed` beside the records before anything follows from it.
   */
  confirmFenced(node: string, reason: string): string[] {
    const refuse = (problem: string): Error => drbdtsError('ERR_CONFIRM_FENCED', { values: { node, problem } });
    const { cluster, arbiter } = this;
    const { node: self, directory, log } = this.options;
    if (cluster === null || arbiter === null) throw refuse('nothing arbitrates here');
    const peer = cluster.nodes.find((name) => name !== self) ?? '';
    if (node !== peer) throw refuse(`the other node of the cluster is ${peer}`);
    if (reason.trim().length < reasonCharsMin) throw refuse(`the reason has to say how it is known, in ${reasonCharsMin} characters or more`);
    const all = [...this.all()];
    const seen = all.find((arbitrator) => arbitrator.seesPeer);
    if (seen !== undefined) throw refuse(`${seen.place} sees it: it is on`);
    appendDurable(join(directory, 'confirmed'), `${new Date().toISOString()} ${node} is off for good: ${reason.trim().replace(/\s+/g, ' ')}\n`);
    log.warn(`an operator confirms that ${node} is off for good: ${reason.trim()}`);
    return all.map((arbitrator) => {
      const { vouched, reachable, state } = arbitrator.status;
      arbitrator.confirmFenced();
      const outcome = !reachable
        ? `the arbiter goes by the word of ${self} alone, should it wait for one when it answers again`
        : !vouched
          ? `the arbiter goes by the word of ${self} alone`
          : state === 'out'
            ? `${node} is recorded as the one that went on, and this node lacks what it acknowledged since; that does not change`
            : 'the arbiter does not wait to be vouched for; nothing changes';
      return `${arbitrator.place}: ${outcome}`;
    });
  }

  private *all(): Iterable<Arbitrator> {
    yield* this.volumes.values();
    for (const { arbitrator } of this.groups.values()) yield arbitrator;
  }

  /** A fence agent that is never used until it is needed is tried now and then. */
  private testEvery(everyMs: number): void {
    clearInterval(this.testTimer);
    this.testProblem = '';
    const { arbiter } = this;
    if (arbiter === null || everyMs === 0) return;
    const test = async (): Promise<void> => {
      const problem = await arbiter.test().then(
        () => '',
        (error: Error) => `the test of the fence agent failed: ${error.message}`,
      );
      if (arbiter !== this.arbiter || problem === this.testProblem) return;
      this.testProblem = problem;
      this.options.log[problem === '' ? 'info' : 'error'](problem === '' ? 'the test of the fence agent succeeds again' : problem);
      for (const arbitrator of this.all()) arbitrator.look();
    };
    void test();
    this.testTimer = setInterval(() => void test(), everyMs);
  }

  private makeArbiter(cluster: ClusterConfig): Arbiter | null {
    const { node, directory, log } = this.options;
    const peer = cluster.nodes.find((name) => name !== node) ?? '';
    if (!cluster.nodes.includes(node)) log.warn(`the cluster ${cluster.name} is not for this host: it has ${cluster.nodes.join(' and ')}`);
    const around: ArbiterSurroundings = { cluster: cluster.name, node, peer, directory };
    if (cluster.arbiter.kind === 'none') log.warn('arbiter: none. Nothing keeps two nodes that lost each other from both serving');
    return this.options.create === undefined ? createArbiter(cluster.arbiter, around) : this.options.create(cluster, around);
  }

  private ofVolume(resource: ResourceConfig, volume: number): Arbitrator | null {
    const { arbiter } = this;
    const key = volumeKey(resource.name, volume);
    const known = this.volumes.get(key);
    const sides = sidesOf(resource, this.options.node);
    if (known !== undefined || arbiter === null || sides === null) return known ?? null;
    const { node: self, directory, log } = this.options;
    const arbitrator = new Arbitrator({
      ...{ key, place: `${resource.name}/${volume}`, self, peer: sides.peer.name, directory, arbiter, log, tracksHolder: false },
      view: () => {
        const found = this.options.snapshot(resource.name)?.volumes.find((candidate) => candidate.volume === volume);
        return found === undefined ? null : viewOf(found);
      },
      checkPeer: () => this.options.checkPeer(resource.name),
      onStatus: (status) => this.options.onStatus(resource.name, volume, status),
    });
    this.volumes.set(key, arbitrator);
    return arbitrator;
  }

  private group(name: string): Group | null {
    const { arbiter, cluster } = this;
    const known = this.groups.get(name);
    if (known !== undefined || arbiter === null || cluster === null) return known ?? null;
    const { node: self, directory, log } = this.options;
    const peer = cluster.nodes.find((other) => other !== self) ?? '';
    const made = new Group(
      (view) =>
        new Arbitrator({
          ...{ key: groupKey(name), place: `group ${name}`, self, peer, directory, arbiter, log, tracksHolder: true, view },
          onStatus: () => {},
        }),
    );
    this.groups.set(name, made);
    return made;
  }

  private reply(group: string, { arbitrator }: Group, granted: boolean, exitCode: number): RegisterReply {
    const { record, status } = arbitrator;
    const reason =
      exitCode === fenceExit.weAreOut ? 'the other node has been taken in alone' : exitCode === fenceExit.unreachable ? 'the arbiter could not be asked' : '';
    return {
      ...status,
      ...{ key: groupKey(group), granted, inSync: record.inSync, holder: record.holder },
      sentence: [reason, status.sentence].filter((part) => part !== '').join('; '),
    };
  }

  private unguarded(group: string): RegisterReply {
    if (this.cluster === null) throw drbdtsError('ERR_UNKNOWN_GROUP', { values: { group } });
    return { ...withoutArbiter, key: groupKey(group), granted: true, inSync: [...this.cluster.nodes], holder: '' };
  }
}
