/** What `GET /v1/cluster/balancing` answers: the virtual servers of this node. Times are milliseconds; ages count back from the answer. */
import { z } from 'zod';

const check = z.object({
  type: z.string(),
  up: z.boolean(),
  /** false: no result yet. */
  seen: z.boolean(),
  /** failures in a row. */
  failures: z.number(),
  detail: z.string(),
  tookMs: z.number().nullable(),
});

const target = z.object({
  name: z.string(),
  address: z.string(),
  port: z.number(),
  /** `serving`: gets connections; `draining`: keeps what it has; `down`, `waiting`: gets none. */
  state: z.enum(['serving', 'draining', 'down', 'waiting']),
  forMs: z.number().nullable(),
  weight: z.number(),
  /** since the tables were made. */
  connections: z.number(),
  /** from clients. */
  packets: z.number(),
  bytes: z.number(),
  checks: z.array(check),
});
export type BalancingTargetStatus = z.infer<typeof target>;

const virtualServer = z.object({
  name: z.string(),
  address: z.string(),
  port: z.number(),
  protocol: z.string(),
  kind: z.string(),
  scheduler: z.string(),
  persistenceMs: z.number(),
  /** closed: nothing is in force. */
  open: z.boolean(),
  gate: z.string(),
  quorum: z.boolean(),
  quorumForMs: z.number(),
  /** weight that is up, and how much is needed. */
  liveWeight: z.number(),
  neededWeight: z.number(),
  realServers: z.array(target),
  sorryServer: target.nullable(),
});
export type VirtualServerStatus = z.infer<typeof virtualServer>;

export const balancingStatus = z.object({
  node: z.string(),
  version: z.string(),
  plane: z.enum(['nftables', 'ipvs']),
  /** why what is wanted is not in force, '' for nothing. */
  problem: z.string(),
  warnings: z.array(z.string()),
  virtualServers: z.array(virtualServer),
});
export type BalancingStatus = z.infer<typeof balancingStatus>;
