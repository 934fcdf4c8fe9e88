/** From a configuration and the facts of a host to what will hurt. Pure. */
import { canonical } from '../config/digest.js';
import type { KeyPath } from '../config/places.js';
import type { Config, Problem } from '../config/types.js';
import { differences } from './differences.js';
import type { Facts } from './facts.js';
import { type CheckFinding, finding } from './findings.js';
import { judgeCluster } from './judge-cluster.js';
import { judgeNetwork } from './judge-network.js';
import { judgeServices } from './judge-services.js';
import { judgeStorage } from './judge-storage.js';
import { judgeVrrp } from './judge-vrrp.js';
import type { Scene } from './scene.js';

export interface Subject {
  readonly config: Config;
  readonly node: string;
  /** `file:line:column` of keys in the configuration. */
  place(path: KeyPath): string;
}

/** A problem that the loading of the file found, as a finding. */
export function findingOf({ code, severity, file, line, column, message, remedy }: Problem): CheckFinding {
  return { code, severity, place: `${file}:${line}:${column}`, message, remedy };
}

/** Findings in the order of importance: errors first, otherwise as they were found; each once. */
export function inOrder(findings: readonly CheckFinding[]): CheckFinding[] {
  const unique = findings.filter((one, index) => findings.findIndex((other) => other.code === one.code && other.place === one.place && other.message === one.message) === index);
  return [...unique.filter(({ severity }) => severity === 'error'), ...unique.filter(({ severity }) => severity === 'warning')];
}

/** Everything that is wrong with this host for this configuration. */
export function judge(subject: Subject, facts: Facts): CheckFinding[] {
  const { config, node } = subject;
  const { cluster } = config;
  if (cluster === null) return [finding('CHECK_NO_CLUSTER', config.file)];
  const findings: CheckFinding[] = [];
  const scene: Scene = {
    ...{ config, cluster, node, facts },
    peer: cluster.nodes.find((name) => name !== node) ?? '',
    report: (code, at, values) => {
      findings.push(finding(code, typeof at === 'string' ? at : subject.place(at), values));
    },
  };
  judgeCluster(scene);
  judgeNetwork(scene);
  judgeVrrp(scene);
  judgeStorage(scene);
  judgeServices(scene);
  return findings;
}

const shown = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value));
const differencesMax = 20;

/** Keys in which the other node's file differs, secrets left out of what is said. `raw`: the files as they are written. */
export function compareFiles(subject: Subject, rawHere: unknown, other: { config: Config; file: string; raw: unknown }): CheckFinding[] {
  const { config } = subject;
  const meaning = ({ cluster, groups, resources, vrrp, balancing }: Config): string => canonical([cluster, groups, resources, vrrp, balancing]);
  if (meaning(config) === meaning(other.config)) return [];
  const found = differences(rawHere, other.raw).filter(({ path }) => path[0] !== 'global');
  if (found.length === 0) found.push({ path: ['groups'], here: 'one order of groups', there: 'another' });
  return found.slice(0, differencesMax).map(({ path, here, there }) => {
    const secret = path.some((key) => /secret|password|parameters|targets/.test(String(key)));
    const values = secret ? { here: 'one value', there: 'another' } : { here: shown(here), there: shown(there) };
    return finding('CHECK_CONFIG_DIFFERS', subject.place(path), { ...values, key: path.join('.'), other: other.file });
  });
}
