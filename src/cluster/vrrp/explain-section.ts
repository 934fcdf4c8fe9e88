/** The explanation of everything in the configuration, for `drbdts vrrp explain`. Pure. */
import type { VrrpSection } from '../../config/vrrp-types.js';
import { type ExplainNode, explainInstance } from './explain.js';
import { groupOf, ownInstances } from './from-config.js';
import type { VrrpSnapshot } from './types.js';

/**
 * Paragraphs, one per instance, an empty line between them: what is, what happens if something fails, what will not work. `known` are the states
 * of this node's instances; the other nodes are taken from the configuration and taken to be well. `sourceOf` gives the address a node speaks
 * from, '' when it is not known.
 */
export function explainSection(section: VrrpSection, ownNode: string, known: ReadonlyMap<string, VrrpSnapshot>, sourceOf: (node: string, instance: string) => string = () => ''): string[] {
  const scripts = section.scripts.map(({ name, intervalMs, timeoutMs, fall }) => ({ name, intervalMs, timeoutMs, fall }));
  return section.instances.flatMap((instance, index) => {
    const names = Object.keys(instance.nodes).map((name) => (name === '*' ? ownNode : name));
    const nodes = [...new Set(names)].flatMap((node): ExplainNode[] => {
      const own = ownInstances(section, node).find((each) => each.instance === instance);
      if (own === undefined) return [];
      const snapshot = node === ownNode ? known.get(instance.name) : undefined;
      const now = snapshot === undefined ? null : { state: snapshot.state, terms: snapshot.terms.slice(1), faults: snapshot.faults };
      return [{ node, config: own.config, source: sourceOf(node, instance.name) || own.source, uses: own.uses, weightless: own.weightless, now }];
    });
    const { lines, findings } = explainInstance(nodes, scripts);
    const group = groupOf(section, instance.name);
    const together = group === null ? [] : [`It moves together with ${group.instances.filter((name) => name !== instance.name).join(', ')} (${group.name}): all are master or none is, and the slowest decides.`];
    return [...(index > 0 ? [''] : []), `${instance.name}:`, ...[...lines, ...together].map((line) => `  ${line}`), ...findings.map(({ kind, text }) => `  Attention, ${kind}: ${text}`)];
  });
}
