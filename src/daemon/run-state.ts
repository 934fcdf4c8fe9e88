/**
 * What was up, and as what, so that a daemon that was killed brings it back. A small JSON file in the state directory (below /run, so a
 * reboot forgets it), replaced as a whole. It holds the configuration each resource ran with: a file edited meanwhile changes nothing
 * until `adjust`.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClusterConfig } from '../config/cluster-types.js';
import type { ResourceConfig } from '../config/types.js';
import { type Role, replicationProtocols, roles } from '../shared/terms.js';

export interface ResourceRecord {
  config: ResourceConfig;
  role: Role;
  /** the peer was connected when this was written. */
  connected: boolean;
  /** the connection was wanted: false after `disconnect`. */
  networked: boolean;
  /** was a Primary without peer before its last attach (chooses degr-wfc-timeout). */
  degraded: boolean;
}

export interface RunState {
  resources: Record<string, ResourceRecord>;
  /** the cluster they ran in, so that a broken configuration does not change who decides about them. */
  cluster?: ClusterConfig;
}

const formatVersion = 1;

const optionValues = z.record(z.string(), z.union([z.number(), z.boolean(), z.string()]));
const hostConfig = z.object({
  name: z.string(),
  address: z.object({ family: z.union([z.literal(4), z.literal(6)]), host: z.string(), port: z.number().int() }),
  volumes: z.array(
    z.object({
      volume: z.number().int(),
      device: z.string(),
      minor: z.number().int(),
      disk: z.string(),
      metaDisk: z.string(),
      metaIndex: z.union([z.literal('internal'), z.literal('flexible'), z.number().int()]),
    }),
  ),
});
const resourceConfig: z.ZodType<ResourceConfig> = z.object({
  name: z.string(),
  protocol: z.enum(replicationProtocols),
  startup: optionValues,
  net: optionValues,
  handlers: z.record(z.string(), z.string()),
  volumes: z.array(z.object({ volume: z.number().int(), disk: optionValues })),
  hosts: z.tuple([hostConfig, hostConfig]),
});
const resourceRecord: z.ZodType<ResourceRecord> = z.object({
  config: resourceConfig,
  role: z.enum(roles),
  connected: z.boolean(),
  networked: z.boolean(),
  degraded: z.boolean(),
});
const runState = z.object({ version: z.literal(formatVersion), resources: z.record(z.string(), z.unknown()), cluster: z.unknown().optional() });
/** What arbitration needs; written by ourselves, so that the rest is as it was. */
const cluster = z.looseObject({
  name: z.string(),
  nodes: z.tuple([z.string(), z.string()]),
  arbiter: z.looseObject({ kind: z.enum(['witness', 'etcd', 'stonith', 'none']) }),
});

/**
 * The record that `text` holds; null when it is none. An entry that is damaged, or not about the resource it is filed under, is left out:
 * the others are brought back all the same.
 */
export function parseRunState(text: string): RunState | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const whole = runState.safeParse(value);
  if (!whole.success) return null;
  const resources: Record<string, ResourceRecord> = {};
  for (const [name, entry] of Object.entries(whole.data.resources)) {
    const record = resourceRecord.safeParse(entry);
    if (record.success && record.data.config.name === name) resources[name] = record.data;
  }
  const known = cluster.safeParse(whole.data.cluster);
  return { resources, ...(known.success ? { cluster: known.data as unknown as ClusterConfig } : {}) };
}

/** The text of `state.json`. */
export function formatRunState(state: RunState): string {
  return `${JSON.stringify({ version: formatVersion, ...state })}\n`;
}

/** The record of `stateDir`; null when there is none (first start since boot) or it cannot be understood. */
export function readRunState(stateDir: string): RunState | null {
  try {
    return parseRunState(readFileSync(join(stateDir, 'state.json'), 'utf8'));
  } catch {
    return null;
  }
}

/** Replaces the record; readable by its owner only, since configurations hold secrets. */
export function writeRunState(stateDir: string, state: RunState): void {
  const file = join(stateDir, 'state.json');
  const fresh = `${file}.new`;
  const fd = openSync(fresh, 'w', 0o600);
  try {
    writeSync(fd, formatRunState(state));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, file);
}
