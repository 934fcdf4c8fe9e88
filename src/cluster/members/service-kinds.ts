/** The four ways to run a service: what to call and what the answer means (heartbeat §5.1, §12). Pure but for looking for scripts. */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceSpec } from '../../config/cluster-types.js';

export type ServiceStatus = 'running' | 'stopped' | `failed:${string}`;
export type ServiceAction = 'start' | 'stop' | 'status';

export interface Call {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface CallContext {
  /** name of the member, for OCF_RESOURCE_INSTANCE. */
  readonly member: string;
  readonly timeoutMs: number;
  /** 0 for a probe. */
  readonly intervalMs: number;
}

export interface ServiceKind {
  /** '' or what is missing on this node. */
  missing(): string;
  /** null: there is no such command. */
  call(action: ServiceAction, context: CallContext): Call | null;
  status(exitCode: number, text: string): ServiceStatus;
  /** whether a stop that gave an error counts when status says stopped afterwards. */
  readonly forgivesStop: boolean;
}

export const ocfRoot = '/usr/lib/ocf';
/** Where heartbeat looks for a script, in this order (heartbeat §4.1). */
const scriptDirectories = ['/etc/ha.d/resource.d', '/etc/init.d'] as const;

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

const degraded = 190;
const ocfNames: Readonly<Record<number, string>> = {
  1: 'generic error', 2: 'bad arguments', 3: 'action not implemented', 4: 'no permission', 5: 'not installed', 6: 'not configured',
  7: 'not running', 8: 'running promoted', 9: 'failed while promoted', 190: 'degraded', 191: 'degraded while promoted',
};

/** What the exit code of an OCF agent means, in words. */
export function ocfMeaning(exitCode: number): string {
  return ocfNames[exitCode] ?? `exit code ${exitCode}`;
}

class Ocf implements ServiceKind {
  readonly forgivesStop = false;
  private readonly spec: Extract<ServiceSpec, { kind: 'ocf' }>;
  private readonly root: string;

  constructor(spec: Extract<ServiceSpec, { kind: 'ocf' }>, root: string) {
    this.spec = spec;
    this.root = root;
  }

  get path(): string {
    return join(this.root, 'resource.d', this.spec.provider, this.spec.agent);
  }

  missing(): string {
    return isProgram(this.path) ? '' : `the OCF agent ${this.path} is not there or can not be run`;
  }

  call(action: ServiceAction, { member, timeoutMs, intervalMs }: CallContext): Call {
    const { provider, agent, parameters } = this.spec;
    const own = Object.fromEntries(Object.entries(parameters).map(([name, value]) => [`OCF_RESKEY_${name}`, value]));
    return {
      argv: [this.path, action === 'status' ? 'monitor' : action],
      env: {
        ...own,
        OCF_ROOT: this.root,
        OCF_RA_VERSION_MAJOR: '1',
        OCF_RA_VERSION_MINOR: '1',
        OCF_RESOURCE_INSTANCE: member.replace(/[^\w.-]+/g, '_'),
        OCF_RESOURCE_TYPE: agent,
        OCF_RESOURCE_PROVIDER: provider,
        OCF_RESKEY_CRM_meta_timeout: String(timeoutMs),
        OCF_RESKEY_CRM_meta_interval: String(action === 'status' ? intervalMs : 0),
        OCF_RESKEY_crm_feature_set: '3.0.0',
        OCF_CHECK_LEVEL: '0',
        HA_LOGTAG: `drbdts-clusterd ${member}`,
      },
    };
  }

  status(exitCode: number, text: string): ServiceStatus {
    if (exitCode === 0 || exitCode === degraded || exitCode === 8 || exitCode === 191) return 'running';
    if (exitCode === 7 || exitCode === 5) return 'stopped';
    return `failed:${ocfMeaning(exitCode)}${text === '' ? '' : `: ${text}`}`;
  }
}

/** The text a heartbeat resource script prints for status; the exit code says nothing there (heartbeat §5.1). */
export function r1Status(text: string): ServiceStatus {
  if (/not running/i.test(text)) return 'stopped';
  return /[rR]unning|OK/.test(text) ? 'running' : 'stopped';
}

class Lsb implements ServiceKind {
  readonly forgivesStop = true;
  private readonly spec: Extract<ServiceSpec, { kind: 'lsb' }>;

  constructor(spec: Extract<ServiceSpec, { kind: 'lsb' }>) {
    this.spec = spec;
  }

  get path(): string {
    const { script } = this.spec;
    if (script.startsWith('/')) return script;
    const candidates = scriptDirectories.map((directory) => join(directory, script));
    return candidates.find(isProgram) ?? join('/etc/init.d', script);
  }

  missing(): string {
    return isProgram(this.path) ? '' : `the script ${this.path} is not there or can not be run`;
  }

  call(action: ServiceAction): Call {
    return { argv: [this.path, ...this.spec.arguments, action], env: {} };
  }

  status(exitCode: number, text: string): ServiceStatus {
    if (/\/resource\.d\//.test(this.path)) return r1Status(text);
    if (exitCode === 0) return 'running';
    if (exitCode >= 1 && exitCode <= 3) return 'stopped';
    return `failed:status gives exit code ${exitCode}${text === '' ? '' : `: ${text}`}`;
  }
}

class Command implements ServiceKind {
  readonly forgivesStop = true;
  private readonly spec: Extract<ServiceSpec, { kind: 'command' }>;

  constructor(spec: Extract<ServiceSpec, { kind: 'command' }>) {
    this.spec = spec;
  }

  missing(): string {
    return '';
  }

  call(action: ServiceAction): Call | null {
    const text = action === 'status' ? this.spec.monitor : this.spec[action];
    return text === '' ? null : { argv: ['/bin/sh', '-c', text], env: {} };
  }

  status(exitCode: number): ServiceStatus {
    // 126 and 127 are the shell's: it did not even get to the command
    if (exitCode === 126 || exitCode === 127) return `failed:the monitor command can not be run (exit code ${exitCode})`;
    return exitCode === 0 ? 'running' : 'stopped';
  }
}

class Systemd implements ServiceKind {
  readonly forgivesStop = false;
  readonly unit: string;

  constructor(unit: string) {
    this.unit = /\.[a-z]+$/.test(unit) ? unit : `${unit}.service`;
  }

  missing(): string {
    return '';
  }

  call(action: ServiceAction): Call {
    const argv = action === 'status' ? ['show', '--property=LoadState,ActiveState,SubState,Result'] : [action];
    return { argv: ['systemctl', '--no-ask-password', ...argv, '--', this.unit], env: { SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' } };
  }

  status(exitCode: number, text: string): ServiceStatus {
    if (exitCode !== 0) return `failed:systemctl: ${text === '' ? `exit code ${exitCode}` : text}`;
    const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
    const active = value('ActiveState');
    if (active === 'active' || active === 'reloading' || active === 'refreshing') return 'running';
    if (active === 'inactive' || active === 'failed') return 'stopped';
    return `failed:${this.unit} is ${active} (${value('SubState')})`;
  }
}

/** The adapter of a service. */
export function serviceKind(spec: ServiceSpec, root: string = ocfRoot): ServiceKind {
  switch (spec.kind) {
    case 'systemd':
      return new Systemd(spec.unit);
    case 'lsb':
      return new Lsb(spec);
    case 'ocf':
      return new Ocf(spec, root);
    case 'command':
      return new Command(spec);
  }
}

const unitMs: Readonly<Record<string, number>> = { '': 1000, ms: 1, s: 1000, sec: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** Timeouts that an agent's meta-data advises, for defaults; what it does not say or says badly is left out. */
export function ocfTimeouts(metaData: string): { startMs?: number; stopMs?: number; monitorMs?: number } {
  const found: Record<string, number> = {};
  for (const [, attributes = ''] of metaData.matchAll(/<action\s([^>]*?)\/?>/g)) {
    const value = (name: string): string => new RegExp(`\\b${name}\\s*=\\s*["']([^"']*)["']`).exec(attributes)?.[1] ?? '';
    const [, number = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value('timeout')) ?? [];
    const factor = unitMs[unit.toLowerCase()];
    const ms = Math.round(Number(number) * (factor ?? 0));
    // of several monitors (roles, depths) the longest
    if (ms > 0) found[value('name')] = Math.max(ms, found[value('name')] ?? 0);
  }
  return {
    ...(found['start'] === undefined ? {} : { startMs: found['start'] }),
    ...(found['stop'] === undefined ? {} : { stopMs: found['stop'] }),
    ...(found['monitor'] === undefined ? {} : { monitorMs: found['monitor'] }),
  };
}
