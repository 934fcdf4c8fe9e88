/** Nodes, arbiter, times, self-fence, and other managers of the same things. Pure. */
import type { ArbiterConfig } from '../config/cluster-types.js';
import { sidesOf } from '../config/types.js';
import { membersOf, type Scene } from './scene.js';

function judgeNames({ cluster, node, peer, facts, report }: Scene): void {
  if (!cluster.nodes.includes(node)) report('CHECK_NODE_NAME', ['cluster', 'nodes'], { node, nodes: cluster.nodes.join(' and ') });
  const { clusterd } = facts;
  if (clusterd === null) return;
  if (clusterd.nodes.some((one) => one.name === peer && !one.sameConfiguration)) report('CHECK_PEER_CONFIG', ['cluster'], { peer });
  if (clusterd.configDigest !== facts.digest) report('CHECK_OLD_CONFIG', ['cluster']);
  // what is said more precisely elsewhere is not said twice
  const known = /^arbiter: none|^the configuration differs|^deadtime is close/;
  for (const text of clusterd.warnings.filter((warning) => !known.test(warning))) report('CHECK_CLUSTERD_SAYS', ['cluster'], { text });
}

/** Round up to something a person would write. */
const roundedMs = (ms: number): number => Math.ceil(ms / 100) * 100;

function judgeTimes({ cluster, facts, report }: Scene): void {
  const { deadtimeMs: deadtime } = cluster;
  const at = ['cluster', 'deadtime'];
  for (const { name, gapMaxMs, state } of facts.clusterd?.links ?? []) {
    // a link that is down, or was, has been silent for another reason
    if (state !== 'up') continue;
    const values = { deadtime, link: name, gap: Math.round(gapMaxMs), advice: roundedMs(2 * gapMaxMs) };
    if (gapMaxMs >= deadtime) report('CHECK_DEADTIME', at, values);
    else if (2 * gapMaxMs > deadtime) report('CHECK_DEADTIME_CLOSE', at, values);
  }
  const [worst] = [...facts.pauses].sort((a, b) => b.ms - a.ms);
  if (worst !== undefined && worst.ms >= deadtime) report('CHECK_STOOD_STILL', at, { deadtime, gap: worst.ms, time: worst.time, advice: roundedMs(2 * worst.ms) });
}

/** Numeric hosts on which an arbiter listens. */
export function arbiterHosts(arbiter: ArbiterConfig): string[] {
  if (arbiter.kind === 'witness') return [arbiter.address.host];
  if (arbiter.kind === 'etcd') return arbiter.endpoints.map((endpoint) => new URL(endpoint).hostname.replace(/^\[|\]$/g, ''));
  return [];
}

function judgeArbiter(scene: Scene): void {
  const { cluster, config, node, facts, report } = scene;
  const { arbiter } = cluster;
  const at = ['cluster', 'arbiter'];
  const hosts = arbiterHosts(arbiter);
  const ownerOf = (host: string): string | undefined =>
    cluster.nodes.find(
      (name) =>
        cluster.links.some((link) => link.addresses[name] === host) ||
        config.resources.some((resource) => sidesOf(resource, name)?.self.address.host === host) ||
        (name === node && facts.addresses.some((own) => own.address === host)),
    );
  const owners = hosts.map((host) => ownerOf(host) ?? (/^127\.|^::1$|^localhost$/.test(host) ? node : undefined));
  // several endpoints of etcd may well be on nodes, as long as a majority is not on one
  const [first] = owners;
  if (first !== undefined && owners.every((owner) => owner === first)) report('CHECK_ARBITER_ON_NODE', at, { address: hosts.join(', '), node: first });
  if (arbiter.kind === 'stonith' && facts.programs.get(arbiter.agent) === '') report('CHECK_FENCE_AGENT', [...at, 'stonith', 'agent'], { agent: arbiter.agent });
  else if (facts.arbiterProblem !== null) report('CHECK_ARBITER', at, { reason: facts.arbiterProblem });
}

function judgeKeys({ facts, report }: Scene): void {
  for (const [file, reason] of facts.keys) if (reason !== '') report('CHECK_KEY_FILE', file, { file, reason });
}

function judgeSelfFence({ cluster, facts, report }: Scene): void {
  const { command, watchdog, reboot } = cluster.selfFence;
  const at = ['cluster', 'self-fence'];
  const device = facts.paths.get(watchdog);
  if (watchdog !== '' && device !== undefined) {
    const reason = device.kind === 'missing' ? 'it is not there' : device.kind !== 'character' ? 'it is not a device' : '';
    if (reason !== '') report('CHECK_WATCHDOG', [...at, 'watchdog'], { file: watchdog, reason });
    else if (facts.watchdogBusy && facts.clusterd === null) report('CHECK_WATCHDOG_BUSY', [...at, 'watchdog'], { file: watchdog });
  }
  if (reboot && !facts.sysrq && command === '' && watchdog === '') report('CHECK_SELF_FENCE', at);
}

function judgeVolumes({ config, cluster, node, facts, report }: Scene): void {
  for (const { group, member, path } of membersOf(config)) {
    if (member.kind !== 'volume') continue;
    const resource = config.resources.find(({ name }) => name === member.resource);
    if (resource === undefined || sidesOf(resource, node) === null) continue;
    const values = { resource: resource.name, group: group.name };
    // with an arbiter the loading of the file says it
    if (cluster.arbiter.kind === 'none' && resource.volumes.some(({ disk }) => disk.fencing === 'dont-care')) report('CHECK_UNFENCED', path, values);
    if (resource.protocol !== 'C') report('CHECK_PROTOCOL', ['resources', resource.name, 'protocol'], { ...values, protocol: resource.protocol });
    const state = facts.drbdtsd?.resources.find(({ name }) => name === resource.name);
    if (facts.drbdtsd === null || state === undefined) continue;
    const disks = [...new Set(state.volumes.map(({ disk }) => disk).filter((disk) => disk !== 'UpToDate'))];
    const said = !state.up ? 'down' : state.connection === 'StandAlone' ? `StandAlone${state.connectionReason === '' ? '' : ` (${state.connectionReason})`}` : disks.join(', ');
    if (said !== '') report('CHECK_VOLUME', path, { resource: resource.name, state: said });
  }
}

function judgeRivals({ facts, report }: Scene): void {
  for (const { address, by, place, running } of facts.mentions) {
    if (by !== 'network') report(running ? 'CHECK_RIVAL_RUNS' : 'CHECK_RIVAL_CONFIGURED', place, { rival: by, address, file: place });
  }
}

export function judgeCluster(scene: Scene): void {
  judgeNames(scene);
  judgeTimes(scene);
  judgeArbiter(scene);
  judgeKeys(scene);
  judgeSelfFence(scene);
  judgeVolumes(scene);
  judgeRivals(scene);
}
