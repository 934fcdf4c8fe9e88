/**
 * What is said between a node and the keeper of its in-sync set register (design: "in-sync set register"). One record per key; the one
 * operation that changes it is compare-and-swap of the epoch.
 */
import { z } from 'zod';

/** Names of clusters and nodes: they become parts of file names, keys and lines. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** `volume/r0/0`, `group/web`. */
export const keyPattern = /^(volume|group)\/[A-Za-z0-9][A-Za-z0-9._/-]{0,190}$/;

const name = z.string().regex(namePattern);
const epoch = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER - 1);
const incarnation = z.string().max(128);
const nonce = z.string().regex(/^[0-9a-f]{32}$/);

export const registerRecord = z.object({
  /** grows by one with every swap. */
  epoch,
  /** names of the nodes that hold every acknowledged write, sorted; never empty. */
  inSync: z.array(name).min(1).max(2),
  /** who served when this was swapped in; '' nobody or unknown. A volume's is for people, a group's says who has the group. */
  holder: z.union([name, z.literal('')]),
  /** current generation identifier of the data then, for people; '' unknown. */
  dataGeneration: z.string().max(64),
  /** who swapped this in; absent: nobody did. Who took a copy out of the set is the one who takes it in again. */
  by: name.optional(),
});
export type RegisterRecord = z.infer<typeof registerRecord>;

const common = {
  key: z.string().regex(keyPattern),
  /** who asks. */
  node: name,
  /** both nodes of the cluster, sorted. */
  nodes: z.tuple([name, name]),
};
export const readRequest = z.object({ op: z.literal('read'), ...common }).strict();
export const swapRequest = z
  .object({ op: z.literal('swap'), ...common, incarnation, expectedEpoch: epoch, record: registerRecord.omit({ epoch: true, by: true }) })
  .strict();
export const vouchRequest = z
  .object({
    op: z.literal('vouch'),
    ...common,
    incarnation,
    /** what the node has on stable storage. */
    record: registerRecord,
    /** the node serves, and by its own record nobody else can be in. */
    alone: z.boolean(),
  })
  .strict();
export const registerRequest = z.discriminatedUnion('op', [readRequest, swapRequest, vouchRequest]);
export type RegisterRequest = z.infer<typeof registerRequest>;

export const registerAnswer = z.object({
  /** the swap was made, or the vouching settled it. */
  done: z.boolean(),
  /** false: the register was restarted, perhaps from an old copy, and takes no swap before it is vouched for. */
  vouched: z.boolean(),
  /** changes whenever the register may have lost something. */
  incarnation,
  record: registerRecord,
});
export type RegisterAnswer = z.infer<typeof registerAnswer>;

export const statusRequest = z.object({ op: z.literal('status') }).strict();
export const witnessStatus = z.object({
  version: z.string(),
  cluster: z.string(),
  incarnation: z.string(),
  startedAt: z.string(),
  /** requests of this cluster since the start. */
  requests: z.number().int(),
  /** dropped requests of all clusters since the start, by reason. */
  dropped: z.record(z.string(), z.number().int()),
  records: z.array(z.object({ key: z.string(), nodes: z.tuple([z.string(), z.string()]), vouched: z.boolean(), record: registerRecord })),
});
export type WitnessStatus = z.infer<typeof witnessStatus>;

/** What travels in a witness' request line: a nonce that the reply repeats, so that no reply answers another request. */
export const witnessRequest = z.object({ nonce, body: z.union([registerRequest, statusRequest]) }).strict();
export type WitnessRequest = z.infer<typeof witnessRequest>;
export const witnessRefusal = z.object({ error: z.string(), remedy: z.string() });
export const witnessReply = z.object({ nonce, body: z.union([registerAnswer, witnessStatus, witnessRefusal]) });
export type WitnessReply = z.infer<typeof witnessReply>;

/** The longest line a witness reads; a request has well below 2 KiB. */
export const requestLineBytesMax = 8 * 1024;
/** The longest line a witness sends: a status of all its keys. */
export const replyLineBytesMax = 4 * 1024 * 1024;
/** Most keys of one cluster. */
export const keysMax = 4096;
export const defaultWitnessPort = 7795;

/** Key of a volume. */
export function volumeKey(resource: string, volume: number): string {
  return `volume/${resource}/${volume}`;
}

/** Key of a group that has no volume. */
export function groupKey(group: string): string {
  return `group/${group}`;
}

/** What a register and a node know when they know nothing: both hold everything, epoch 1. */
export function firstRecord(nodes: readonly [string, string]): RegisterRecord {
  return { epoch: 1, inSync: [...nodes].sort(), holder: '', dataGeneration: '' };
}

/** Both names in their one order. */
export function sortedNodes(a: string, b: string): [string, string] {
  return a < b ? [a, b] : [b, a];
}
