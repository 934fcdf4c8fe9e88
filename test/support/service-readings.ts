/**
 * What two nodes may not both do at once, judged on readings taken from outside (pure).
 *
 * Address: it is in the node's kernel. A frozen node and one that nobody reaches count, too: what its kernel has it would answer for.
 *
 * Mount and Primary: count while the node's volume could acknowledge a write. It could when drbdtsd answers and says Primary, its device is
 * there, its I/O is not suspended, and either it works without a peer, or the peer says as well that they are connected: while a node takes
 * itself for connected every write waits for the peer's own acknowledgement, so with a peer that has given up the connection nothing can be
 * acknowledged. A daemon that does not answer (stopped, killed) acknowledges nothing either.
 *
 * Both at once: three readings in a row, of one node, of the other, and of the first again, that all say so.
 */
export interface CheckedNode {
  readonly name: string;
  /** a process in the node's network and mount namespaces. */
  readonly pid: number;
  /** of its volume daemon, as seen from outside. */
  readonly socket: string;
  readonly resource: string;
  readonly vip: string;
  readonly mount: string;
}

export interface CheckerConfig {
  readonly nodes: readonly CheckedNode[];
  /** each node is looked at that often. */
  readonly everyMs: number;
}

export interface Reading {
  readonly node: string;
  /** wall clock. */
  readonly atMs: number;
  readonly vip: boolean;
  readonly mount: boolean;
  readonly answered: boolean;
  readonly role: string;
  readonly connection: string;
  readonly suspended: boolean;
  readonly deviceUp: boolean;
}

const unconnected = new Set([
  'StandAlone', 'Disconnecting', 'Unconnected', 'Timeout', 'BrokenPipe', 'NetworkFailure', 'ProtocolError', 'TearDown', 'WFConnection', 'WFReportParams', '',
]);

const isConnected = (reading: Reading): boolean => reading.answered && !unconnected.has(reading.connection);

/** Whether a write on `node` could be acknowledged, given what its peer says. */
export function canAcknowledge(node: Reading, peer: Reading): boolean {
  return node.answered && node.role === 'Primary' && node.deviceUp && !node.suspended && (!isConnected(node) || isConnected(peer));
}

export const addressTwice = 'the address is on both nodes';

/** What both nodes do at once in the last three readings; empty when they do not. */
export function servesTwice(readings: readonly Reading[]): string[] {
  const [first, second, third] = readings.slice(-3);
  if (first === undefined || second === undefined || third === undefined || first.node !== third.node || first.node === second.node) return [];
  const found: string[] = [];
  if (first.vip && second.vip && third.vip) found.push(addressTwice);
  if (!canAcknowledge(first, second) || !canAcknowledge(second, first) || !canAcknowledge(third, second)) return found;
  found.push('both nodes are Primary and acknowledge writes');
  if (first.mount && second.mount && third.mount) found.push('both nodes have the file system mounted and acknowledge writes');
  return found;
}

/** For showing changes only. */
export function summaryOf({ vip, mount, answered, role, connection, suspended }: Reading): string {
  const state = answered ? `${role} ${connection}${suspended ? ' suspended' : ''}` : 'silent';
  return `${state}${mount ? ' mounted' : ''}${vip ? ' vip' : ''}`;
}
