/** One short word for a configuration, so that two nodes can tell whether they mean the same by what they say. */
import { createHash } from 'node:crypto';
import type { ClusterConfig, GroupConfig } from './cluster-types.js';

/** JSON with the keys of objects in one order: how a file is written does not count. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

/** Of cluster and groups after defaults; the order and the spelling of keys in the file do not count, that of groups does. */
export function clusterDigest(cluster: ClusterConfig, groups: readonly GroupConfig[]): string {
  return createHash('sha256').update(canonical([cluster, groups])).digest('hex').slice(0, 16);
}
