/** What is so on this host, as plain data: gathered by gather.ts, judged by judge.ts. */
import type { ClusterStatus } from '../control/cluster-messages.js';
import type { StatusReply } from '../control/messages.js';
import type { MountEntry } from '../shared/mount-table.js';

export interface InterfaceFact {
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  /** of a VLAN and its like: the interface that it is laid over. */
  readonly over?: string;
}

export interface AddressFact {
  readonly interface: string;
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
  /** without a lifetime; what drbdts-clusterd adds has one of seconds. */
  readonly permanent: boolean;
}

export interface PathFact {
  readonly kind: 'missing' | 'file' | 'directory' | 'block' | 'character' | 'other';
  readonly executable: boolean;
  /** `major:minor` of a device, '' for others. */
  readonly device: string;
  /** names in a directory, up to a few. */
  readonly entries: readonly string[];
}

export interface FstabEntry {
  readonly line: number;
  /** with UUID= and LABEL= resolved as far as the host knows them. */
  readonly source: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
}

export interface UnitFact {
  /** as `systemctl is-enabled` prints it; '' when there is no such unit. */
  readonly enabled: string;
  readonly active: boolean;
}

/** A socket that somebody has open. */
export interface PortFact {
  readonly protocol: 'tcp' | 'udp';
  /** 0.0.0.0 and :: are all of a family. */
  readonly address: string;
  readonly port: number;
}

/** A file outside of drbdts in which an address is written. */
export interface MentionFact {
  readonly address: string;
  /** file:line */
  readonly place: string;
  /** network: it is set at boot; else the name of the manager whose configuration it is. */
  readonly by: 'network' | 'keepalived' | 'heartbeat' | 'pacemaker';
  /** for managers: it runs. */
  readonly running: boolean;
}

/** Maps are by what the configuration says; what is not in one was not looked at, and nothing is concluded from it. */
export interface Facts {
  readonly interfaces: readonly InterfaceFact[];
  readonly addresses: readonly AddressFact[];
  /** whether there is a way to an address. */
  readonly routes: ReadonlyMap<string, boolean>;
  readonly ports: readonly PortFact[];
  /** who answers for a virtual address on the network: a hardware address; null: nobody. */
  readonly owners: ReadonlyMap<string, string | null>;
  /** hardware addresses of the other node. */
  readonly peerHardware: ReadonlySet<string>;
  /** which ping targets answered. */
  readonly pings: ReadonlyMap<string, boolean>;
  readonly mentions: readonly MentionFact[];
  readonly mounts: readonly MountEntry[];
  readonly fstab: readonly FstabEntry[];
  readonly paths: ReadonlyMap<string, PathFact>;
  /** where a program was found, '' for nowhere. */
  readonly programs: ReadonlyMap<string, string>;
  /** types of file systems that can not be mounted here. */
  readonly unknownTypes: ReadonlySet<string>;
  /** what blkid found on a device, '' for nothing. */
  readonly signatures: ReadonlyMap<string, string>;
  /** null: this host has no systemd. */
  readonly units: ReadonlyMap<string, UnitFact> | null;
  /** links in /etc/rc?.d that start an init script, by script. */
  readonly bootLinks: ReadonlyMap<string, string>;
  /** why a key can not be used, '' when it can. */
  readonly keys: ReadonlyMap<string, string>;
  /** why the arbiter can not do its work; null: it can, or was not asked. */
  readonly arbiterProblem: string | null;
  readonly sysrq: boolean;
  /** somebody has the watchdog open. */
  readonly watchdogBusy: boolean;
  /** null: it does not answer. */
  readonly drbdtsd: StatusReply | null;
  readonly clusterd: ClusterStatus | null;
  /** pauses of this node that clusterd noticed. */
  readonly pauses: readonly { readonly time: string; readonly ms: number }[];
  /** digest of the configuration that was read. */
  readonly digest: string;
}
