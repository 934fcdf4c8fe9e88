/** The configuration after inheritance and defaults: what the daemon works with. Plain data. */

import type { LogLevel } from '../shared/log.js';
import type { ReplicationProtocol } from '../shared/terms.js';
import type { ClusterConfig, GroupConfig } from './cluster-types.js';
import type { OptionValues } from './options.js';
import type { BalancingSection } from './balancing-types.js';
import type { VrrpSection } from './vrrp-types.js';

export interface Address {
  family: 4 | 6;
  /** numeric, without brackets. */
  host: string;
  port: number;
}

export interface HostVolume {
  volume: number;
  device: string;
  minor: number;
  disk: string;
  /** `internal` or a path. */
  metaDisk: string;
  metaIndex: 'internal' | 'flexible' | number;
}

export interface HostConfig {
  name: string;
  address: Address;
  volumes: HostVolume[];
}

export interface VolumeConfig {
  volume: number;
  /** section disk of the volume, all options. */
  disk: OptionValues;
}

export interface ResourceConfig {
  name: string;
  protocol: ReplicationProtocol;
  startup: OptionValues;
  /** section net, all options, `protocol` among them. */
  net: OptionValues;
  handlers: Record<string, string>;
  volumes: VolumeConfig[];
  /** exactly two. */
  hosts: [HostConfig, HostConfig];
}

export interface GlobalConfig {
  logLevel: LogLevel;
  /** a handler running longer is ended and counts as failed; 0 waits for ever. */
  handlerTimeoutS: number;
}

export interface Config {
  file: string;
  global: GlobalConfig;
  resources: ResourceConfig[];
  /** null: no cluster manager, volumes only. */
  cluster: ClusterConfig | null;
  groups: GroupConfig[];
  /** null: no VRRP. */
  vrrp: VrrpSection | null;
  /** null: nothing is balanced. */
  balancing: BalancingSection | null;
}

/** One finding in a configuration file. Lines and columns count from 1; 0 when the whole file is meant. */
export interface Problem {
  severity: 'error' | 'warning';
  code: string;
  file: string;
  line: number;
  column: number;
  message: string;
  remedy: string;
}

/** The two hosts from the point of view of `node`; null when the resource is not for it. */
export function sidesOf(resource: ResourceConfig, node: string): { self: HostConfig; peer: HostConfig } | null {
  const [first, second] = resource.hosts;
  if (first.name === node) return { self: first, peer: second };
  if (second.name === node) return { self: second, peer: first };
  return null;
}

/** `192.168.42.12:7788` or `[fd00::1]:7788`. */
export function formatAddress(address: Address): string {
  return address.family === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** The configuration with every secret replaced, for replies and logs. */
export function maskSecrets(config: Config): Config {
  return {
    ...config,
    vrrp: config.vrrp === null ? null : { ...config.vrrp, instances: config.vrrp.instances.map((one) => (one.password === '' ? one : { ...one, password: '********' })) },
    resources: config.resources.map((resource) => ({
      ...resource,
      net: resource.net['shared-secret'] === '' ? resource.net : { ...resource.net, 'shared-secret': '********' },
    })),
  };
}
