/** What `GET /v1/cluster/vrrp` answers: the virtual routers of this node. Times are milliseconds; ages count back from the answer. */
import { z } from 'zod';

const sender = z.object({
  source: z.string(),
  taken: z.number(),
  takenMsAgo: z.number().nullable(),
  priority: z.number().nullable(),
  rejected: z.number(),
  rejectedMsAgo: z.number().nullable(),
  /** by reason, how often. */
  rejectedBy: z.record(z.string(), z.number()),
  lastReason: z.string(),
});

const script = z.object({
  script: z.string(),
  command: z.string(),
  user: z.string(),
  exitCode: z.number(),
  output: z.string(),
  tookMs: z.number(),
});

const tracked = z.object({
  kind: z.enum(['script', 'interface', 'process', 'file']),
  name: z.string(),
  weight: z.number(),
  reverse: z.boolean(),
  /** null: no result yet. */
  up: z.boolean().nullable(),
  detail: z.string(),
});

const instance = z.object({
  name: z.string(),
  interface: z.string(),
  routerId: z.number(),
  version: z.number(),
  family: z.number(),
  state: z.enum(['initialize', 'backup', 'master', 'fault']),
  forMs: z.number(),
  reason: z.string(),
  faults: z.array(z.string()),
  /** `90 = 100 base, -10 script nginx`. */
  priorityText: z.string(),
  basePriority: z.number(),
  effectivePriority: z.number(),
  /** '' for none known. */
  master: z.string(),
  masterPriority: z.number().nullable(),
  /** address adverts are sent from, '' for none. */
  source: z.string(),
  addresses: z.array(z.object({ address: z.string(), prefix: z.number(), interface: z.string(), present: z.boolean() })),
  holdsAddresses: z.boolean(),
  /** the group whose service the addresses stand for, '' for none, and what it is here. */
  gate: z.string(),
  gateState: z.string(),
  intervalMs: z.number(),
  masterIntervalMs: z.number(),
  skewMs: z.number(),
  masterDownMs: z.number(),
  masterDownInMs: z.number().nullable(),
  preemptInMs: z.number().nullable(),
  startInMs: z.number().nullable(),
  hearing: z.enum(['nobody ever', 'heard', 'silent', 'heard but rejected']),
  hearingText: z.string(),
  senders: z.array(sender),
  worstSilenceMs: z.number(),
  worstSilencePart: z.number(),
  worstOwnGapMs: z.number(),
  /** if the master dies now without a word. */
  failoverMs: z.object({ min: z.number(), max: z.number() }).nullable(),
  becameMaster: z.number(),
  lapses: z.number(),
  sent: z.number(),
  sendErrors: z.number(),
  lastSendError: z.string(),
  /** how late the sending thread was at worst. */
  worstLateMs: z.number(),
  tracked: z.array(tracked),
  scripts: z.array(script),
  scriptsWaiting: z.number(),
});
export type VrrpInstanceStatus = z.infer<typeof instance>;

const check = z.object({
  name: z.string(),
  command: z.string(),
  user: z.string(),
  exitCode: z.number().nullable(),
  output: z.string(),
  tookMs: z.number().nullable(),
  skipped: z.number(),
});

export const vrrpStatus = z.object({
  node: z.string(),
  version: z.string(),
  instances: z.array(instance),
  syncGroups: z.array(z.object({ name: z.string(), state: z.string(), instances: z.array(z.string()), scripts: z.array(script) })),
  checks: z.array(check),
});
export type VrrpStatus = z.infer<typeof vrrpStatus>;

/** What `GET /v1/cluster/vrrp-explain` answers: sentences, in paragraphs. */
export const vrrpExplanation = z.object({ lines: z.array(z.string()) });
export type VrrpExplanation = z.infer<typeof vrrpExplanation>;
