/** Where a group should be, and every sentence that says why. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, inOrder, isStopped, obstacle, place, placeAll, runs } from '../../../src/cluster/placement.js';
import { type GroupReport, type NodeReport, noWishes, type VolumeReport, type Wishes } from '../../../src/cluster/report.js';
import type { GroupConfig, MemberConfig } from '../../../src/config/cluster-types.js';

const volumeMember = { kind: 'volume', name: 'volume r0', resource: 'r0', startMs: 1, stopMs: 1, monitorMs: 1, monitorEveryMs: 1 } satisfies MemberConfig;
const group = (changes: Partial<GroupConfig> = {}): GroupConfig => ({
  ...{ name: 'web', members: [volumeMember], preferred: '', autoFailback: false, migrationThreshold: 3, failureTimeoutMs: 0, after: [], apart: [] },
  ...changes,
});
const stopped: GroupReport = { phase: 'stopped', claim: false, failed: false, failCount: 0, held: false };
const good: VolumeReport = { role: 'Secondary', disk: 'UpToDate', peerDisk: 'UpToDate', connection: 'Connected', frozen: false };
const report = (node: string, changes: Partial<NodeReport> = {}): NodeReport => ({
  ...{ node, version: '1', configDigest: 'd', standby: false, leaving: false, pingLost: 0, wishes: noWishes },
  groups: { web: stopped, mail: stopped, base: stopped },
  volumes: { r0: good },
  ...changes,
});
const started = { groups: { web: { ...stopped, phase: 'started' } } } as const;
const alone: VolumeReport = { ...good, connection: 'WFConnection', peerDisk: 'DUnknown' };

interface Case {
  readonly what: string;
  readonly group?: Partial<GroupConfig>;
  /** null: not there. */
  readonly alpha?: Partial<NodeReport> | null;
  readonly beta?: Partial<NodeReport> | null;
  readonly pin?: string;
  readonly placed?: Readonly<Record<string, string | null>>;
  readonly worse?: string;
  readonly node: string | null;
  readonly why: string;
}
const pinned = (pins: Readonly<Record<string, string>>): Wishes => ({ ...noWishes, pins: Object.fromEntries(Object.entries(pins).map(([name, value]) => [name, { value, stamp: 1 }])) });
const candidatesOf = ({ alpha = {}, beta = {} }: Pick<Case, 'alpha' | 'beta'>): Candidate[] => [
  { node: 'alpha', report: alpha === null ? null : report('alpha', alpha) },
  { node: 'beta', report: beta === null ? null : report('beta', beta) },
];

const cases: readonly Case[] = [
  { what: 'nothing speaks for either', node: 'alpha', why: 'the first node of the cluster' },
  { what: 'a preferred node', group: { preferred: 'beta' }, node: 'beta', why: 'the preferred node' },
  { what: 'the volume is Primary there', group: { preferred: 'alpha' }, beta: { volumes: { r0: { ...good, role: 'Primary' } } }, node: 'beta', why: 'its volume is Primary there' },
  { what: 'it runs', group: { preferred: 'alpha' }, beta: started, node: 'beta', why: 'it runs there' },
  { what: 'a part of it runs', beta: { groups: { web: { ...stopped, phase: 'partial' } } }, node: 'beta', why: 'it runs there' },
  { what: 'an operator moved it', alpha: started, pin: 'beta', node: 'beta', why: 'an operator moved it there' },
  { what: 'an operator moved it to where it can not run', alpha: started, beta: { standby: true }, pin: 'beta', node: 'alpha', why: 'beta is in standby' },
  { what: 'a wish for a node that does not exist', alpha: started, pin: 'gamma', node: 'alpha', why: 'it runs there' },
  { what: 'auto-failback to a complete node', group: { preferred: 'alpha', autoFailback: true }, beta: started, node: 'alpha', why: 'auto-failback to the preferred node, which is complete again' },
  { what: 'auto-failback waits for the resync', group: { preferred: 'alpha', autoFailback: true }, alpha: { volumes: { r0: { ...good, connection: 'SyncTarget' } } }, beta: started, node: 'beta', why: 'it runs there' },
  { what: 'auto-failback waits for the other disk', group: { preferred: 'alpha', autoFailback: true }, alpha: { volumes: { r0: { ...good, peerDisk: 'Inconsistent' } } }, beta: started, node: 'beta', why: 'it runs there' },
  { what: 'the other node has lost its outer network', alpha: started, worse: 'alpha', node: 'beta', why: 'alpha has lost its outer network' },
  { what: 'an operator knows better than ping', alpha: started, worse: 'alpha', pin: 'alpha', node: 'alpha', why: 'an operator moved it there' },
  { what: 'the other node is not there', beta: null, node: 'alpha', why: 'beta is not there' },
  { what: 'the other node leaves', alpha: started, beta: { leaving: true }, node: 'alpha', why: 'beta is leaving' },
  { what: 'this one is in standby', alpha: { standby: true }, node: 'beta', why: 'alpha is in standby' },
  { what: 'it failed', alpha: { groups: { web: { ...stopped, phase: 'failed', failed: true, failCount: 3 } } }, node: 'beta', why: 'it failed on alpha' },
  { what: 'it could not be stopped', alpha: { groups: { web: { ...stopped, phase: 'stop-failed' } } }, node: 'beta', why: 'alpha could not stop it' },
  { what: 'an older configuration there', alpha: { groups: {} }, node: 'beta', why: 'alpha does not know the group' },
  { what: 'the volume is not up', alpha: { volumes: {} }, node: 'beta', why: 'volume r0 is not up on alpha' },
  { what: 'data that are not complete', alpha: { volumes: { r0: { ...good, disk: 'Inconsistent' } } }, node: 'beta', why: 'volume r0 is Inconsistent on alpha' },
  { what: 'old data', alpha: { volumes: { r0: { ...alone, disk: 'Outdated' } } }, node: 'beta', why: 'volume r0 is Outdated on alpha' },
  { what: 'both lack something', alpha: { standby: true }, beta: { volumes: { r0: { ...good, disk: 'Diskless' } } }, node: null, why: 'alpha is in standby; volume r0 is Diskless on beta' },
  { what: 'a Primary without a disk reads from its peer', alpha: { ...started, volumes: { r0: { ...good, role: 'Primary', disk: 'Diskless' } } }, node: 'alpha', why: 'it runs there' },
  { what: 'alone with a disk of unknown age: the arbiter will know', alpha: { volumes: { r0: { ...alone, disk: 'Consistent' } } }, beta: null, node: 'alpha', why: 'beta is not there' },
  { what: 'together with a disk of unknown age', alpha: { volumes: { r0: { ...alone, disk: 'Consistent' } } }, node: 'beta', why: 'volume r0 is Consistent on alpha' },
  { what: 'nobody', alpha: null, beta: null, node: null, why: 'alpha is not there; beta is not there' },
  { what: 'it follows another group', group: { after: ['base'] }, placed: { base: 'beta' }, node: 'beta', why: 'it follows base' },
  { what: 'it follows, against an operator', group: { after: ['base'] }, placed: { base: 'beta' }, pin: 'alpha', node: 'beta', why: 'it follows base' },
  { what: 'what it follows runs nowhere', group: { after: ['base'] }, placed: { base: null }, node: null, why: 'group base, which it follows, runs nowhere' },
  { what: 'it can not follow', group: { after: ['base'] }, beta: { groups: { web: { ...stopped, failed: true } } }, placed: { base: 'beta' }, node: null, why: 'it follows group base to beta, but there it failed on beta' },
  { what: 'apart from another', group: { apart: ['mail'] }, placed: { mail: 'alpha' }, node: 'beta', why: 'apart from mail' },
  { what: 'apart only if there is a choice', group: { apart: ['mail'] }, beta: null, placed: { mail: 'alpha' }, node: 'alpha', why: 'beta is not there' },
  { what: 'what runs is not moved to be apart', group: { apart: ['mail'] }, alpha: started, placed: { mail: 'alpha' }, node: 'alpha', why: 'it runs there' },
];

describe('the place of a group', () => {
  for (const one of cases) {
    it(`${one.what}: ${one.node ?? 'nowhere'}, ${one.why}`, () => {
      const wishes = pinned(one.pin === undefined ? {} : { web: one.pin });
      const worsePing = new Set(one.worse === undefined ? [] : [one.worse]);
      assert.deepEqual(place({ group: group(one.group), candidates: candidatesOf(one), wishes, placed: new Map(Object.entries(one.placed ?? {})), worsePing }), { node: one.node, why: one.why });
    });
  }
  it('both nodes come to the same, whichever is asked', () => {
    for (const one of cases) {
      const choice = { group: group(one.group), candidates: candidatesOf(one), wishes: noWishes, placed: new Map(Object.entries(one.placed ?? {})), worsePing: new Set<string>() };
      assert.deepEqual(place(choice), place(structuredClone(choice)));
    }
  });
});

describe('several groups', () => {
  it('followers come behind what they follow or keep apart from, others stay in their order', () => {
    const groups = [group({ name: 'web', after: ['base'] }), group({ name: 'mail', apart: ['web'] }), group({ name: 'base' }), group({ name: 'last' })];
    assert.deepEqual(inOrder(groups).map(({ name }) => name), ['base', 'web', 'mail', 'last']);
  });
  it('a family goes together, and who keeps apart takes what is left', () => {
    const groups = [group({ name: 'web', after: ['base'], members: [] }), group({ name: 'base', preferred: 'beta' }), group({ name: 'mail', apart: ['base'], members: [] })];
    const places = placeAll(groups, candidatesOf({}), noWishes, new Set());
    assert.deepEqual([...places].map(([name, { node }]) => `${name} ${node}`).sort(), ['base beta', 'mail alpha', 'web beta']);
  });
  it('who keeps apart from each other does not hang', () => {
    assert.equal(placeAll([group({ name: 'web', apart: ['mail'] }), group({ name: 'mail', apart: ['web'] })], candidatesOf({}), noWishes, new Set()).size, 2);
  });
});

describe('what a phase means', () => {
  const table = { unknown: [false, false], stopped: [false, true], partial: [true, false], starting: [true, false], started: [true, false], stopping: [false, false], failed: [false, true], 'stop-failed': [false, false] } as const;
  for (const [phase, [running, gone]] of Object.entries(table)) {
    it(phase, () => {
      const one = { ...stopped, phase: phase as GroupReport['phase'] };
      assert.deepEqual([runs(one), isStopped(one)], [running, gone]);
    });
  }
  it('of a group that nothing is known of, nothing is concluded', () => assert.deepEqual([runs(undefined), isStopped(undefined), obstacle(group(), { node: 'a', report: null }, false)], [false, false, 'a is not there']));
});
