/** Operators' commands: each becomes a wish that both nodes know, and a sentence. Refused when it would leave a group without a place. */
import type { GroupConfig } from '../config/cluster-types.js';
import type { ClusterReply, ClusterRequest, ClusterVerb } from '../control/cluster-messages.js';
import { drbdtsError } from '../shared/errors.js';
import { corrected } from './decide.js';
import type { Manager } from './manager.js';
import { obstacle } from './placement.js';
import { nextStamp, type NodeReport } from './report.js';

const takes: Record<ClusterVerb, readonly (keyof ClusterRequest)[]> = {
  move: ['group', 'node'],
  standby: ['node'],
  online: ['node'],
  takeover: ['which', 'node'],
  maintenance: ['on'],
  cleanup: ['group'],
};

function checkArguments(verb: ClusterVerb, request: ClusterRequest): void {
  const wrong = (Object.keys(request) as (keyof ClusterRequest)[]).filter((name) => request[name] !== undefined && !takes[verb].includes(name));
  if (wrong.length > 0) throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: `${verb} does not take ${wrong.join(', ')}; its arguments: ${takes[verb].join(', ')}` } });
}

function groupNamed(manager: Manager, name: string | undefined): GroupConfig {
  const { groups } = manager.parts;
  const found = groups.find((group) => group.name === name);
  if (found === undefined) throw drbdtsError('ERR_UNKNOWN_GROUP', { values: { group: name ?? '' }, remedy: `Groups: ${groups.map((group) => group.name).join(', ') || 'none'}.` });
  return found;
}

function nodeNamed(manager: Manager, name: string | undefined): string {
  const { cluster, node } = manager.parts;
  if (name === undefined) return node;
  if (!cluster.nodes.includes(name)) throw drbdtsError('ERR_UNKNOWN_NODE', { values: { node: name, nodes: cluster.nodes.join(', ') } });
  return name;
}

/** What a node says of itself, this one included, and the arbiter knows better of its disks. */
function reportOf(manager: Manager, node: string): NodeReport | null {
  const isOwn = node === manager.parts.node;
  const report = isOwn ? manager.ownReport : manager.peerReport;
  return report === null ? null : { ...report, volumes: corrected(report.volumes, manager.parts.daemon().standings, isOwn ? 'denied' : 'alone') };
}

/** Refuses to move a group to where it could not start. */
function checkPlace(manager: Manager, group: GroupConfig, node: string): void {
  const reason = obstacle(group, { node, report: reportOf(manager, node) }, false);
  if (reason !== '') throw drbdtsError('ERR_CLUSTER_MOVE', { values: { group: group.name, node, reason } });
}

function pin(manager: Manager, names: readonly string[], node: string): void {
  manager.wish((wishes) => {
    const stamp = nextStamp(wishes);
    return { ...wishes, pins: { ...wishes.pins, ...Object.fromEntries(names.map((name) => [name, { value: node, stamp }])) } };
  });
}

/** A group and those that must be with it. */
function withFollowers(groups: readonly GroupConfig[], name: string): string[] {
  const family = new Set([name]);
  for (let size = 0; size !== family.size; ) {
    size = family.size;
    for (const group of groups) {
      if (group.after.some((other) => family.has(other))) family.add(group.name);
      if (family.has(group.name)) for (const other of group.after) family.add(other);
    }
  }
  return [...family];
}

function move(manager: Manager, request: ClusterRequest): ClusterReply {
  const group = groupNamed(manager, request.group);
  const other = manager.parts.cluster.nodes.find((node) => node !== manager.decision.placements[group.name]?.node) ?? '';
  const node = request.node === undefined ? other : nodeNamed(manager, request.node);
  const family = withFollowers(manager.parts.groups, group.name);
  for (const name of family) checkPlace(manager, groupNamed(manager, name), node);
  manager.say('info', group.name, `an operator moves group ${family.join(' and ')} to ${node}`);
  pin(manager, family, node);
  return { output: family.map((name) => `group ${name} goes to ${node}`) };
}

function standby(manager: Manager, request: ClusterRequest, on: boolean): ClusterReply {
  const node = nodeNamed(manager, request.node);
  const sentence = on ? `${node} is in standby: it runs nothing` : `${node} may run groups again`;
  manager.say('info', '', `an operator's wish: ${sentence}`);
  manager.wish((wishes) => ({ ...wishes, standby: { ...wishes.standby, [node]: { value: on, stamp: nextStamp(wishes) } } }));
  return { output: [sentence] };
}

/** hb_takeover: all groups, those that are at home here, or those that are at home on the other node (heartbeat §8). */
function takeover(manager: Manager, request: ClusterRequest): ClusterReply {
  const node = nodeNamed(manager, request.node);
  const which = request.which ?? 'all';
  const wanted = manager.parts.groups.filter((group) => which === 'all' || (group.preferred === node) === (which === 'local'));
  for (const group of wanted) checkPlace(manager, group, node);
  manager.say('info', '', `an operator lets ${node} take over ${which} groups: ${wanted.map(({ name }) => name).join(', ') || 'there are none'}`);
  pin(
    manager,
    wanted.map(({ name }) => name),
    node,
  );
  return { output: wanted.map(({ name }) => `group ${name} goes to ${node}`) };
}

function cleanup(manager: Manager, request: ClusterRequest): ClusterReply {
  const names = request.group === undefined ? manager.parts.groups.map(({ name }) => name) : [groupNamed(manager, request.group).name];
  manager.say('info', request.group ?? '', `an operator forgets the failures of group ${names.join(', ')}`);
  manager.wish((wishes) => {
    const stamp = nextStamp(wishes);
    return { ...wishes, cleanups: { ...wishes.cleanups, ...Object.fromEntries(names.map((name) => [name, { value: true, stamp }])) } };
  });
  return { output: names.map((name) => `failures of group ${name} are forgotten on both nodes`) };
}

/** Carries out one verb. What it says has begun; `status` tells when it is done. */
export function carryOutVerb(manager: Manager, verb: ClusterVerb, request: ClusterRequest): ClusterReply {
  checkArguments(verb, request);
  switch (verb) {
    case 'move':
      return move(manager, request);
    case 'standby':
      return standby(manager, request, true);
    case 'online':
      return standby(manager, request, false);
    case 'takeover':
      return takeover(manager, request);
    case 'cleanup':
      return cleanup(manager, request);
    case 'maintenance': {
      const on = request.on ?? true;
      const sentence = on ? 'maintenance: nothing is monitored, started, stopped or moved' : 'maintenance is over';
      manager.say('info', '', `an operator's wish: ${sentence}`);
      manager.wish((wishes) => ({ ...wishes, maintenance: { value: on, stamp: nextStamp(wishes) } }));
      return { output: [sentence] };
    }
  }
}
