/** keepalived.conf of one or several nodes as `vrrp:` (pure): which file is whose, what each says, and both put together. */
import type { Place, Report } from './findings.js';
import { reportLosses } from './keepalived-losses.js';
import { isVersion3, priorityOf } from './keepalived-lint.js';
import { holding, type Keepalived, modelOf } from './keepalived-model.js';
import type { KeepalivedNode } from './keepalived-parse.js';
import type { Remark } from './map-cluster.js';
import { accountOf, mapInstance, mapScript, mapSyncGroup, mapTrackFile, mapTrackProcess, type Surroundings } from './map-instance.js';
import { mergeNodes } from './merge-vrrp.js';
import type { HostView } from './sources.js';
import type { InstanceDraft, NamedDraft, NodeDraft } from './vrrp-draft.js';
import { nameOf, Section, type Walk } from './vrrp-walk.js';

export interface VrrpDraft {
  /** as it is written; null when there is no instance. */
  readonly section: Readonly<Record<string, unknown>> | null;
  readonly remarks: readonly Remark[];
  /** the statements that were taken over. */
  readonly mapped: readonly Place[];
}

interface NodeFile {
  readonly node: string;
  readonly file: Keepalived;
  /** of the conditions in it; null: all lines hold. */
  readonly id: string | null;
}

const idsMax = 8;
const begin = (file: Keepalived): Place => ({ file: file.path, line: 1, column: 1 });

/** The name of a node in the name of a file: `ka67.keepalived.conf`, `keepalived-ka67.conf`; '' for none. */
function nameInPath(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1).replace(/\.(?:conf|cfg|txt)(?=\.|$)/g, '');
  return base.replace(/keepalived/g, '').replace(/^[._-]+|[._-]+$/g, '').replace(/[^A-Za-z0-9_.:-]/g, '_').slice(0, 64);
}

const idFor = (file: Keepalived, node: string): string | null => {
  const short = node.split('.')[0] ?? node;
  return file.ids.includes(node) ? node : file.ids.includes(short) ? short : file.ids.length > 0 ? node : null;
};

/** Whose each file is. `given` are names from the command line, by path. */
function nodesOf(files: readonly Keepalived[], given: ReadonlyMap<string, readonly string[]>, host: HostView, report: Report): NodeFile[] {
  const used = new Set<string>();
  const take = (name: string): string => {
    let free = name;
    for (let number = 2; used.has(free); number++) free = `${name}-${number}`;
    used.add(free);
    return free;
  };
  return files.flatMap((file): NodeFile[] => {
    const names = given.get(file.path) ?? [];
    if (names.length > 0) return names.map((name) => ({ node: take(name), file, id: idFor(file, name) }));
    // one file for all nodes, with lines that hold on one of them
    if (files.length === 1 && file.ids.length > 1) return file.ids.slice(0, idsMax).map((id) => ({ node: take(nameOf({ ...begin(file), text: id, quoted: false, quoteAt: -1 }, report)), file, id }));
    const inPath = nameInPath(file.path);
    const guess = inPath === '' ? host.node : inPath;
    const node = take(/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}$/.test(guess) ? guess : 'node');
    if (node !== host.node || (inPath === '' && files.length > 1)) report('IMPORT_NODE_NAME', begin(file), { node, file: file.path });
    return [{ node, file, id: idFor(file, node) }];
  });
}

/** Names lines that hold for none of the nodes. */
function reportConditions(file: Keepalived, nodes: readonly NodeFile[], report: Report): void {
  const ids = nodes.filter((one) => one.file === file).map(({ id }) => id);
  if (ids.includes(null)) return;
  const look = (all: readonly KeepalivedNode[]): void => {
    for (const node of all) {
      if (!ids.some((id) => holding([node], id).length > 0)) report('IMPORT_CONDITION_LEFT', node.word, { id: node.condition.replace('^', 'another than '), nodes: nodes.map((one) => one.node).join(', '), file: file.path });
      else look(node.block ?? []);
    }
  };
  look(file.all);
}

const vrrpWords: ReadonlySet<string> = new Set(['vrrp_instance', 'vrrp_sync_group', 'vrrp_script', 'track_file', 'vrrp_track_file', 'vrrp_track_process', 'track_process', 'global_defs']);

/** What one file says, with what other files without instances add to it. */
function mapNode({ node, file, id }: NodeFile, shared: readonly Keepalived[], walk: Walk): NodeDraft {
  const top = [...shared.flatMap(({ all }) => holding(all, id)), ...holding(file.all, id)];
  const model = modelOf(file.path, file.all, file.ids, id, () => {});
  const named = (...words: string[]): KeepalivedNode[] => top.filter(({ word }) => words.includes(word.text));
  const globals = new Section(named('global_defs').flatMap(({ block }) => block ?? []), walk);
  for (const one of named(...vrrpWords)) walk.mapped.push(one.word);
  const scriptUser = accountOf(globals.first('script_user')?.values ?? []);
  const scripts = new Map<string, NamedDraft>();
  for (const one of named('vrrp_script')) {
    const script = mapScript(one, scriptUser, walk);
    const key = one.values[0]?.text ?? '';
    // a second one of the same name has its error from the lint, and keepalived skips it
    if (script !== null && !scripts.has(key)) scripts.set(key, script);
  }
  const files = new Map(named('track_file', 'vrrp_track_file').flatMap((one) => {
    const mapped = mapTrackFile(one, walk);
    return mapped === null ? [] : [[one.values[0]?.text ?? '', mapped] as const];
  }));
  const processes = new Map(named('vrrp_track_process', 'track_process').map((one) => [one.values[0]?.text ?? '', mapTrackProcess(one, walk)] as const));
  const fifos = [...globals.all('vrrp_notify_fifo'), ...globals.all('notify_fifo')];
  const [fifo, second] = fifos;
  const path = fifo?.values[0];
  if (path !== undefined && !path.text.startsWith('/')) walk.report('IMPORT_LEFT_OUT', path, { what: `the FIFO ${path.text}`, reason: 'it has no full path', hint: 'Write the full path.' });
  if (second !== undefined) walk.report('IMPORT_LEFT_OUT', second.word, { what: `${second.word.text} ${second.values[0]?.text ?? ''}`, reason: 'there is one FIFO', hint: 'Let both readers have the same, or add a program below `notify: any:`.' });
  if ((fifo?.values.length ?? 0) > 1) walk.report('IMPORT_LEFT_OUT', fifo?.values[1] ?? begin(file), { what: 'the owner of the FIFO', reason: 'it belongs to the user of drbdts-clusterd', hint: 'Make it beforehand with the owner that you want: one that is there is left as it is.' });
  const around: Surroundings = {
    ...{ globals, scriptUser, scripts, files, processes },
    fifo: path?.text.startsWith('/') === true ? path : null,
    defaultInterface: globals.value('default_interface')?.text ?? '',
  };
  globals.value('vrrp_version');
  const taken = new Map<string, Place>();
  const instances = new Map<string, InstanceDraft>();
  const blocks = named('vrrp_instance');
  for (const [index, block] of blocks.entries()) {
    const key = block.values[0]?.text ?? '';
    const own = model.instances[index - (blocks.length - model.instances.length)];
    if (own === undefined || instances.has(key)) continue;
    const global = globals.value('vrrp_version')?.text;
    const version = isVersion3({ ...model, version: global ?? model.version }, own) ? 3 : 2;
    const draft = mapInstance(block, priorityOf(own), version, around, taken, walk);
    if (draft.addresses.length === 0 || draft.routerId === null) {
      const reason = draft.routerId === null ? 'it has no virtual_router_id' : 'it has no address';
      walk.report('IMPORT_LEFT_OUT', block.word, { what: `vrrp_instance ${draft.name}`, reason, hint: 'Add what is missing and import again.' });
    } else instances.set(key, draft);
  }
  const known = new Map([...instances].map(([key, { name }]) => [key, name]));
  const inGroups = new Set<string>();
  const groups = named('vrrp_sync_group').flatMap((one) => mapSyncGroup(one, known, inGroups, around, walk) ?? []);
  globals.end();
  return { node, file: file.path, instances: [...instances.values()], scripts: [...scripts.values()], groups };
}

/** Everything of the files that `vrrp:` can say, and a finding for everything that it can not. `given`: names of nodes by the path of their file. */
export function mapVrrp(files: readonly Keepalived[], given: ReadonlyMap<string, readonly string[]>, host: HostView, report: Report): VrrpDraft {
  const walk: Walk = { report, mapped: [] };
  for (const { all } of files) reportLosses(all.filter(({ word }) => !vrrpWords.has(word.text)), report);
  const own = files.filter(({ all }) => all.some(({ word }) => word.text === 'vrrp_instance'));
  const shared = files.filter((file) => !own.includes(file));
  if (own.length === 0) {
    // nobody to use them: what stands in global_defs is looked at all the same
    for (const file of shared) mapNode({ node: host.node, file, id: null }, [], walk);
    for (const { all } of shared) for (const { word, values } of all) if (vrrpWords.has(word.text) && word.text !== 'global_defs') report('IMPORT_LEFT_OUT', word, { what: [word, ...values].map(({ text }) => text).join(' '), reason: 'no file has a vrrp_instance', hint: 'Name the file with the instances, too.' });
    return { section: null, remarks: [], mapped: walk.mapped };
  }
  const nodes = nodesOf(own, given, host, report);
  for (const file of own) reportConditions(file, nodes, report);
  const drafts = nodes.map((one) => mapNode(one, shared, walk));
  const [first, ...others] = drafts;
  if (first !== undefined && others.length === 0) report('IMPORT_OTHER_NODE', begin(own[0] as Keepalived), { node: first.node, file: first.file });
  return { ...mergeNodes(drafts, report), mapped: walk.mapped };
}
