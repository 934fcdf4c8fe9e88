/**
 * The control API of drbdts-clusterd: JSON over HTTP/1.1 on a unix socket (mode 0600, default /run/drbdts/clusterd.sock).
 *
 *   GET  /v1/cluster/status             -> ClusterStatus
 *   GET  /v1/cluster/events             -> text/event-stream; a ClusterStatus at every change
 *   GET  /v1/cluster/history[?limit=N]  -> HistoryReply, oldest first
 *   GET  /v1/cluster/vrrp               -> VrrpStatus (vrrp-messages.ts)
 *   GET  /v1/cluster/balancing          -> BalancingStatus (balancing-messages.ts)
 *   GET  /v1/cluster/vrrp-explain       -> VrrpExplanation
 *   POST /v1/cluster/:verb              -> ClusterReply; body ClusterRequest
 */
import { z } from 'zod';

const memberStatus = z.object({
  name: z.string(),
  kind: z.enum(['volume', 'filesystem', 'vip', 'service']),
  phase: z.enum(['unknown', 'stopped', 'started', 'failed']),
  /** what is being done with it now, '' for nothing. */
  doing: z.string(),
  reason: z.string(),
});

const groupStatus = z.object({
  name: z.string(),
  /** on this node. */
  phase: z.string(),
  /** on the other one, as it said last; '' when it is not there. */
  peerPhase: z.string(),
  /** where it runs, '' for nowhere. */
  node: z.string(),
  /** where it should be, '' for nowhere, and why; or what it waits for. */
  target: z.string(),
  why: z.string(),
  /** its addresses are held back: it is not known whether this node may serve. */
  held: z.boolean(),
  failCount: z.number().int(),
  /** why it failed here, '' otherwise. */
  failure: z.string(),
  /** an operator's wish, '' for none. */
  pinned: z.string(),
  members: z.array(memberStatus),
});
export type GroupStatus = z.infer<typeof groupStatus>;

const linkStatus = z.object({
  name: z.string(),
  state: z.string(),
  oneWay: z.boolean(),
  /** ms since the last sign of life, null for never. */
  silentMs: z.number().nullable(),
  gapMaxMs: z.number(),
  rttMs: z.number().nullable(),
  lost: z.number(),
});

export const clusterStatus = z.object({
  cluster: z.string(),
  node: z.string(),
  version: z.string(),
  /** of the configuration clusterd works with; `drbdts cluster check` compares it with the file. */
  configDigest: z.string(),
  nodes: z.array(
    z.object({
      name: z.string(),
      state: z.enum(['online', 'standby', 'leaving', 'unknown', 'dead', 'left']),
      sinceMs: z.number(),
      pingLost: z.number().int(),
      /** its configuration is the same as ours. */
      sameConfiguration: z.boolean(),
    }),
  ),
  links: z.array(linkStatus),
  arbiter: z.object({
    kind: z.string(),
    standings: z.record(z.string(), z.string()),
    /** volumes, and `group/NAME`, whose arbiter was restarted and waits until the other node vouches for the record. */
    unvouched: z.array(z.string()).default([]),
  }),
  maintenance: z.boolean(),
  drbdtsd: z.boolean(),
  groups: z.array(groupStatus),
  warnings: z.array(z.string()),
});
export type ClusterStatus = z.infer<typeof clusterStatus>;

export const clusterVerbs = ['move', 'standby', 'online', 'takeover', 'maintenance', 'cleanup'] as const;
export type ClusterVerb = (typeof clusterVerbs)[number];

/** Arguments of all verbs; each takes only its own. */
export const clusterRequest = z
  .object({
    group: z.string().optional(),
    node: z.string().optional(),
    which: z.enum(['all', 'local', 'foreign']).optional(),
    on: z.boolean().optional(),
  })
  .strict();
export type ClusterRequest = z.infer<typeof clusterRequest>;

/** One sentence for each thing that was set in motion. */
export const clusterReply = z.object({ output: z.array(z.string()) });
export type ClusterReply = z.infer<typeof clusterReply>;

export const historyEntry = z.object({
  time: z.string(),
  node: z.string(),
  /** '' when it is about the node or the cluster. */
  group: z.string(),
  level: z.enum(['info', 'warn', 'error']),
  sentence: z.string(),
});
export type HistoryEntry = z.infer<typeof historyEntry>;
export const historyReply = z.object({ entries: z.array(historyEntry) });
export type HistoryReply = z.infer<typeof historyReply>;
