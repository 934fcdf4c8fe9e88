/** What one keepalived.conf says in terms of `vrrp:`, for one node: values with their places, before the nodes are put together. Plain data. */
import type { Place } from './findings.js';

export interface Valued {
  readonly value: unknown;
  readonly place: Place;
}

/** Values by their key in drbdts.yaml; `a.b` is b within a. */
export type Values = Map<string, Valued>;

export interface AddressDraft {
  /** without the prefix, one spelling. */
  readonly address: string;
  readonly prefix: number;
  /** '' for that of the instance. */
  readonly interface: string;
  readonly label: string;
  readonly advertised: boolean;
  readonly place: Place;
}

export interface InstanceDraft {
  readonly name: string;
  readonly place: Place;
  readonly routerId: number | null;
  readonly priority: number;
  /** '' where there is none. */
  readonly interface: string;
  /** adverts come from here, '' for what is usual. */
  readonly source: string;
  /** null: multicast. */
  readonly peers: readonly string[] | null;
  readonly addresses: readonly AddressDraft[];
  /** what is the same on all nodes, as it should be. */
  readonly values: Values;
}

export interface NamedDraft {
  readonly name: string;
  readonly place: Place;
  readonly values: Values;
}

/** Of one node. */
export interface NodeDraft {
  readonly node: string;
  readonly file: string;
  readonly instances: readonly InstanceDraft[];
  readonly scripts: readonly NamedDraft[];
  readonly groups: readonly NamedDraft[];
}
