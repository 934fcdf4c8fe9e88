/** What every part of the check works with: the configuration, this node's place in it, the facts, and a way to say something. */
import type { ClusterConfig, GroupConfig, MemberConfig } from '../config/cluster-types.js';
import type { KeyPath } from '../config/places.js';
import type { Config } from '../config/types.js';
import type { Facts } from './facts.js';
import type { CheckCode } from './findings.js';

export interface Scene {
  readonly config: Config;
  readonly cluster: ClusterConfig;
  readonly node: string;
  readonly peer: string;
  readonly facts: Facts;
  /** `at`: keys of the configuration, or another place as a text. */
  report(code: CheckCode, at: KeyPath | string, values?: Readonly<Record<string, string | number>>): void;
}

/** Each member with its place. */
export function* membersOf(config: Config): Generator<{ group: GroupConfig; member: MemberConfig; index: number; path: KeyPath }> {
  for (const group of config.groups) {
    for (const [index, member] of group.members.entries()) yield { group, member, index, path: ['groups', group.name, 'members', index] };
  }
}

/** clusterd says that (some of) the group is on this node: what is mounted or running is as it should be. */
export function runsHere({ facts, node }: Scene, group: string): boolean {
  return facts.clusterd?.groups.some((one) => one.name === group && one.node === node) ?? false;
}
