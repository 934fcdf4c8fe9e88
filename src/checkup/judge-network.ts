/** Interfaces, links, replication, virtual addresses, ping targets. Pure. */
import type { LinkConfig, VipMember } from '../config/cluster-types.js';
import type { KeyPath } from '../config/places.js';
import { sidesOf } from '../config/types.js';
import { isInNetwork } from '../shared/network.js';
import type { AddressFact, PortFact } from './facts.js';
import { membersOf, type Scene } from './scene.js';

const networksOf = (addresses: readonly AddressFact[]): string => addresses.map((own) => `${own.address}/${own.prefix} on ${own.interface}`).join(', ') || 'none';

/** false when it can not be used. */
export function judgeInterface({ facts, report }: Scene, name: string, at: KeyPath): boolean {
  const found = facts.interfaces.find((one) => one.name === name);
  if (found === undefined) report('CHECK_INTERFACE_MISSING', at, { interface: name, interfaces: facts.interfaces.map((one) => one.name).join(', ') });
  else if (!found.up) report('CHECK_INTERFACE_DOWN', at, { interface: name });
  else if (!found.carrier) report('CHECK_NO_CARRIER', at, { interface: name });
  return found !== undefined;
}

const isTaken = (ports: readonly PortFact[], protocol: PortFact['protocol'], address: string, port: number): boolean =>
  ports.some((one) => one.protocol === protocol && one.port === port && (one.address === address || one.address === (address.includes(':') ? '::' : '0.0.0.0')));

/** The own side of a link that exists, or null. */
function judgeLink(scene: Scene, link: LinkConfig): { link: LinkConfig; own: AddressFact } | null {
  const { cluster, node, peer, facts, report } = scene;
  const path: KeyPath = ['cluster', 'links', link.name];
  const usable = link.interface === '' || judgeInterface(scene, link.interface, [...path, 'interface']);
  const address = link.addresses[node] ?? '';
  const theirs = link.addresses[peer] ?? '';
  const own = facts.addresses.find((one) => one.address === address);
  if (own === undefined) {
    if (cluster.nodes.includes(node)) report('CHECK_LINK_ADDRESS', [...path, 'addresses', node], { address, link: link.name });
    return null;
  }
  if (usable && link.interface !== '' && own.interface !== link.interface) {
    report('CHECK_LINK_INTERFACE', [...path, 'interface'], { address, link: link.name, interface: own.interface, wanted: link.interface });
  }
  if (facts.routes.get(theirs) === false) report('CHECK_NO_ROUTE', [...path, 'addresses', peer], { address: theirs, what: `${peer} on link ${link.name}` });
  if (facts.clusterd === null && isTaken(facts.ports, 'udp', address, link.port)) report('CHECK_PORT_TAKEN', [...path, 'addresses', node], { port: link.port, address });
  return { link, own };
}

/** The card whose cable an interface uses. */
function cardOf({ facts }: Scene, name: string): string {
  let card = name;
  // as deep as there are interfaces, and no deeper
  for (const _ of facts.interfaces) card = facts.interfaces.find((one) => one.name === card)?.over ?? card;
  return card;
}

function judgeLinks(scene: Scene): void {
  const { cluster, report } = scene;
  const card = (one: { own: AddressFact }): string => cardOf(scene, one.own.interface);
  const seen: { link: LinkConfig; own: AddressFact }[] = [];
  for (const link of cluster.links) {
    const found = judgeLink(scene, link);
    if (found === null) continue;
    const { own } = found;
    const shared = seen.find((other) => card(other) === card(found) || (other.own.family === own.family && isInNetwork(own.family, own.address, other.own.address, other.own.prefix)));
    if (shared !== undefined) {
      const what = shared.own.interface === own.interface ? `interface ${own.interface}` : card(shared) === card(found) ? `the card ${card(found)}` : `the network ${shared.own.address}/${shared.own.prefix}`;
      report('CHECK_LINKS_SHARED', ['cluster', 'links', link.name], { links: `${shared.link.name} and ${link.name}`, what });
    }
    seen.push(found);
  }
}

function judgeReplication({ config, node, facts, report }: Scene): void {
  for (const resource of config.resources) {
    const sides = sidesOf(resource, node);
    if (sides === null) continue;
    const { host: address, port } = sides.self.address;
    const path: KeyPath = ['resources', resource.name, 'on'];
    if (!facts.addresses.some((own) => own.address === address)) report('CHECK_REPLICATION_ADDRESS', [...path, node, 'address'], { address, resource: resource.name });
    else if (facts.drbdtsd === null && isTaken(facts.ports, 'tcp', address, port)) report('CHECK_REPLICATION_PORT', [...path, node, 'address'], { address, port, resource: resource.name });
    const theirs = sides.peer.address.host;
    if (facts.routes.get(theirs) === false) report('CHECK_NO_ROUTE', [...path, sides.peer.name, 'address'], { address: theirs, what: `${sides.peer.name}, replication of ${resource.name}` });
  }
}

/** Whose own address it is, '' for nobody's that the configuration knows. */
function ownerIn({ cluster, config }: Scene, address: string): string {
  for (const link of cluster.links) {
    const node = cluster.nodes.find((name) => link.addresses[name] === address);
    if (node !== undefined) return `${node} on link ${link.name}`;
  }
  for (const resource of config.resources) {
    const host = resource.hosts.find((one) => one.address.host === address);
    if (host !== undefined) return `${host.name}, replication of ${resource.name}`;
  }
  return cluster.arbiter.kind === 'witness' && cluster.arbiter.address.host === address ? 'the witness' : '';
}

function judgeVip(scene: Scene, vip: VipMember, group: string, path: KeyPath): void {
  const { facts, report } = scene;
  const { address, family, prefix } = vip;
  const at = [...path, 'vip'];
  const owner = ownerIn(scene, address);
  if (owner !== '') {
    report('CHECK_VIP_IS_NODE', at, { address, what: owner });
    return;
  }
  for (const mention of facts.mentions) if (mention.by === 'network' && mention.address === address) report('CHECK_VIP_AT_BOOT', mention.place, { address, file: mention.place });
  const here = facts.addresses.find((own) => own.address === address);
  if (here?.permanent === true) report('CHECK_VIP_PERMANENT', at, { address, prefix: here.prefix, interface: here.interface });
  else if (here === undefined && facts.clusterd?.groups.some((one) => one.name === group && one.node !== '') !== true) {
    const hardware = facts.owners.get(address) ?? null;
    // the other node's cluster manager may well serve it
    if (hardware !== null && !facts.peerHardware.has(hardware)) report('CHECK_VIP_IN_USE', at, { address, owner: hardware });
  }
  if (vip.interface !== '' && !judgeInterface(scene, vip.interface, [...path, 'interface'])) return;
  const candidates = facts.addresses.filter((own) => own.family === family && own.address !== address && own.permanent && (vip.interface === '' || own.interface === vip.interface));
  const networks = candidates.filter((own) => own.prefix < (family === 4 ? 32 : 128) && isInNetwork(family, address, own.address, own.prefix));
  const [network] = networks.sort((a, b) => b.prefix - a.prefix);
  if (network === undefined) {
    report('CHECK_VIP_NETWORK', at, { address, interface: vip.interface === '' ? 'any interface' : vip.interface, networks: networksOf(facts.addresses.filter((own) => own.family === family)) });
  } else if (prefix !== network.prefix && prefix !== (family === 4 ? 32 : 128)) {
    report('CHECK_VIP_PREFIX', at, { address, prefix, network: network.prefix, interface: network.interface });
  }
}

function judgePings(scene: Scene): void {
  const { cluster, facts, report } = scene;
  const vips = [...membersOf(scene.config)].flatMap(({ member }) => (member.kind === 'vip' ? [member.address] : []));
  for (const program of ['ping', 'ping6']) if (facts.programs.get(program) === '') report('CHECK_PROGRAM', ['cluster', 'ping'], { program, package: 'iputils-ping' });
  for (const [index, address] of cluster.ping.entries()) {
    const at: KeyPath = ['cluster', 'ping', index];
    const owner = ownerIn(scene, address);
    const what = vips.includes(address) ? 'an address of a group' : facts.addresses.some((own) => own.address === address) ? 'an address of this host' : owner.startsWith('the witness') ? '' : owner === '' ? '' : `an address of ${owner}`;
    if (what !== '') report('CHECK_PING_USELESS', at, { address, what });
    else if (facts.pings.get(address) === false) report('CHECK_PING_SILENT', at, { address });
  }
}

export function judgeNetwork(scene: Scene): void {
  judgeLinks(scene);
  judgeReplication(scene);
  for (const { group, member, path } of membersOf(scene.config)) if (member.kind === 'vip') judgeVip(scene, member, group.name, path);
  judgePings(scene);
}
