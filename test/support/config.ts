/** Writing drbdts.yaml for tests. */
import { stringify } from 'yaml';

export interface VolumeSpec {
  readonly device: string;
  readonly disk: string;
  /** Default internal. */
  readonly metaDisk?: string;
}

export interface HostSpec {
  readonly name: string;
  /** ADDRESS:PORT */
  readonly address: string;
  readonly volumes: readonly VolumeSpec[];
}

export interface ConfigSpec {
  /** Default r0. */
  readonly resource?: string;
  readonly protocol?: 'A' | 'B' | 'C';
  readonly hosts: readonly HostSpec[];
  readonly startup?: Record<string, unknown>;
  readonly net?: Record<string, unknown>;
  readonly disk?: Record<string, unknown>;
  readonly handlers?: Record<string, string>;
  readonly global?: Record<string, unknown>;
}

function volume(spec: VolumeSpec): Record<string, string> {
  return { device: spec.device, disk: spec.disk, 'meta-disk': spec.metaDisk ?? 'internal' };
}

function host(spec: HostSpec): Record<string, unknown> {
  const [first] = spec.volumes;
  if (spec.volumes.length === 1 && first !== undefined) return { address: spec.address, ...volume(first) };
  return { address: spec.address, volumes: Object.fromEntries(spec.volumes.map((each, number) => [String(number), volume(each)])) };
}

/** The text of a configuration file. */
export function renderConfig(spec: ConfigSpec): string {
  const volumes = spec.hosts[0]?.volumes.length ?? 1;
  const resource = {
    protocol: spec.protocol ?? 'C',
    ...(spec.startup !== undefined && { startup: spec.startup }),
    ...(spec.disk !== undefined && { disk: spec.disk }),
    ...(spec.net !== undefined && { net: spec.net }),
    ...(spec.handlers !== undefined && { handlers: spec.handlers }),
    ...(volumes > 1 && { volumes: Object.fromEntries(Array.from({ length: volumes }, (_, number) => [String(number), {}])) }),
    on: Object.fromEntries(spec.hosts.map((each) => [each.name, host(each)])),
  };
  return stringify({ ...(spec.global !== undefined && { global: spec.global }), resources: { [spec.resource ?? 'r0']: resource } });
}
