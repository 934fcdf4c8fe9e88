/** drbdts.yaml as text, with remarks where a reader wants to know where something comes from (pure). */
import { Document, isMap, isScalar } from 'yaml';
import type { OptionValue } from '../config/options.js';
import { sections } from '../config/options.js';
import type { DrbdDraft, HostDraft, LevelDraft, ResourceDraft, VolumeDraft } from './drbd-map.js';
import { formatFinding, type ImportFinding } from './findings.js';
import type { Remark } from './map-cluster.js';
import { placeText } from './sources.js';

const yamlValue = (value: OptionValue): unknown => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : value);

function level(draft: LevelDraft): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  if (draft.protocol !== undefined) result['protocol'] = draft.protocol;
  for (const section of sections) {
    const options = Object.entries(draft.options[section] ?? {});
    if (options.length > 0) result[section] = Object.fromEntries(options.map(([name, value]) => [name, yamlValue(value)]));
  }
  return result;
}

function volume(draft: VolumeDraft, diskKey: 'disk' | 'disk-path'): Record<string, unknown> {
  return {
    ...(draft.device === undefined ? {} : { device: draft.device }),
    ...(draft.disk === undefined ? {} : { [diskKey]: draft.disk }),
    ...(draft.metaDisk === undefined ? {} : { 'meta-disk': draft.metaDisk }),
    ...(draft.options === undefined ? {} : { disk: Object.fromEntries(Object.entries(draft.options).map(([name, value]) => [name, yamlValue(value)])) }),
  };
}

function volumes(drafts: ReadonlyMap<string, VolumeDraft>, diskKey: 'disk' | 'disk-path'): Record<string, unknown> {
  if (drafts.size === 0) return {};
  return { volumes: Object.fromEntries([...drafts].map(([number, draft]) => [number, volume(draft, diskKey)])) };
}

function host(draft: HostDraft): Record<string, unknown> {
  return { ...(draft.address === undefined ? {} : { address: draft.address }), ...volume(draft.own, 'disk'), ...volumes(draft.volumes, 'disk') };
}

function resource(draft: ResourceDraft): Record<string, unknown> {
  return {
    ...level(draft),
    ...volume(draft.own, 'disk-path'),
    ...volumes(draft.volumes, 'disk-path'),
    on: Object.fromEntries(draft.hosts.map((one) => [one.hostName, host(one)])),
  };
}

export interface Written {
  readonly drbd: DrbdDraft;
  readonly cluster: Record<string, unknown> | null;
  readonly groups: Record<string, unknown>;
  readonly vrrp: Readonly<Record<string, unknown>> | null;
  readonly remarks: readonly Remark[];
}

/** As plain data, in the order in which one reads it. */
export function configurationOf({ drbd, cluster, groups, vrrp }: Written): Record<string, unknown> {
  const common = level(drbd.common);
  return {
    ...(Object.keys(common).length === 0 ? {} : { common }),
    ...(drbd.resources.size === 0 ? {} : { resources: Object.fromEntries([...drbd.resources].map(([name, draft]) => [name, resource(draft)])) }),
    ...(cluster === null ? {} : { cluster }),
    ...(Object.keys(groups).length === 0 ? {} : { groups }),
    ...(vrrp === null ? {} : { vrrp }),
  };
}

function remark(document: Document, { path, text }: Remark): void {
  const parent = document.getIn(path.slice(0, -1), true);
  if (!isMap(parent)) return;
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)));
  if (isScalar(pair?.key)) pair.key.commentBefore = ` ${text}`;
}

const headerMax = 40;

/** Where it comes from, and what is not in it. */
function header(files: readonly string[], findings: readonly ImportFinding[]): string {
  const lines = [` Written by \`drbdts import\` from ${files.slice(0, 8).join(', ')}${files.length > 8 ? ', ...' : ''}.`];
  const missing = findings.filter(({ severity }) => severity !== 'note');
  if (missing.length > 0) lines.push(' Not taken over, wrong or dangerous there:');
  for (const one of missing.slice(0, headerMax)) lines.push(`   ${formatFinding(one)}`);
  if (missing.length > headerMax) lines.push(`   and ${missing.length - headerMax} more`);
  return lines.join('\n');
}

/** The text of drbdts.yaml. */
export function writeConfiguration(written: Written, files: readonly string[], findings: readonly ImportFinding[]): string {
  const document = new Document(configurationOf(written));
  const remarks: Remark[] = [...written.drbd.resources].map(([name, draft]) => ({ path: ['resources', name], text: `from ${placeText(draft.name)}` }));
  for (const one of [...remarks, ...written.remarks]) remark(document, one);
  document.commentBefore = header(files, findings);
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}
