/** What is wrong between the keepalived.conf of two nodes, which no single file shows (pure). */
import type { Report } from './findings.js';
import { isVersion3, priorityOf } from './keepalived-lint.js';
import type { Keepalived, VrrpInstance, VrrpScript } from './keepalived-model.js';
import { placeText } from './sources.js';

interface Side {
  readonly file: Keepalived;
  readonly instance: VrrpInstance;
}

const vridOf = (instance: VrrpInstance): string => instance.vrid?.text ?? '';

/** The instance of the other node: the same virtual router, else the same name. */
function counterpart(instance: VrrpInstance, other: Keepalived): VrrpInstance | null {
  const byRouter = other.instances.filter((one) => one.vrid !== null && vridOf(one) === vridOf(instance));
  return byRouter.find((one) => one.interface?.text === instance.interface?.text) ?? byRouter[0] ?? other.instances.find((one) => one.name === instance.name) ?? null;
}

function compareSettings(a: Side, b: Side, report: Report): void {
  const { name } = b.instance;
  const pick = (side: Side): Readonly<Record<string, string>> => ({
    virtual_router_id: vridOf(side.instance),
    advert_int: String(Number(side.instance.advertInt?.text ?? 1)),
    version: isVersion3(side.file, side.instance) ? '3' : '2',
    auth_type: side.instance.authentication?.type?.text ?? 'none',
    auth_pass: side.instance.authentication?.pass?.text.slice(0, 8) ?? '',
    virtual_ipaddress: [...side.instance.vips].map(({ address }) => address).sort().join(' '),
  });
  const [here, there] = [pick(b), pick(a)];
  const places = { virtual_router_id: b.instance.vrid, advert_int: b.instance.advertInt, version: b.instance.version, auth_type: b.instance.authentication?.type, auth_pass: b.instance.authentication?.pass, virtual_ipaddress: b.instance.vips[0]?.place };
  for (const word of Object.keys(here)) {
    if (here[word] === there[word]) continue;
    // a password is not shown
    const secret = word === 'auth_pass';
    report('IMPORT_PEER_DIFFERS', places[word as keyof typeof places] ?? b.instance.place, { word, name, here: secret ? 'one' : (here[word] ?? ''), there: secret ? 'another' : (there[word] ?? ''), other: a.file.path });
  }
}

function comparePriorities(a: Side, b: Side, report: Report): void {
  const { instance } = b;
  const [mine, theirs] = [priorityOf(instance), priorityOf(a.instance)];
  const other = placeText(a.instance.priority ?? a.instance.place);
  const place = instance.priority ?? instance.place;
  if (mine === theirs) report('IMPORT_SAME_PRIORITY', place, { name: instance.name, priority: mine, other });
  if (a.instance.state?.text === 'MASTER' && instance.state?.text === 'MASTER') report('IMPORT_MASTER_TWICE', instance.state, { name: instance.name, other: placeText(a.instance.state) });
  const low = mine < theirs ? b : a;
  const high = low === b ? a : b;
  if (mine !== theirs && low.instance.state?.text === 'MASTER') {
    report('IMPORT_MASTER_LOW', low.instance.state, { priority: priorityOf(low.instance), other: high.file.path, higher: priorityOf(high.instance) });
  }
  if (mine !== theirs) checkWeights(high, low, report);
}

/** A script of the better node that fails must bring it below the other one. */
function checkWeights(high: Side, low: Side, report: Report): void {
  const [priority, backup] = [priorityOf(high.instance), priorityOf(low.instance)];
  if (priority === 255) return;
  for (const tracked of high.instance.scripts) {
    const script = high.file.scripts.find(({ name }) => name === tracked.name) ?? low.file.scripts.find(({ name }) => name === tracked.name);
    const place = tracked.weight ?? script?.weight ?? null;
    const weight = Number(place?.text ?? 0);
    if (place === null || weight === 0 || !Number.isInteger(weight)) continue;
    const values = { weight, script: tracked.name, name: high.instance.name, priority, other: low.file.path, backup };
    if (weight < 0 && priority + weight >= backup) report('IMPORT_WEIGHT_SMALL', place, { ...values, size: -weight, result: priority + weight, advice: -(priority - backup + 1) });
    // a positive weight is added on both nodes while the script succeeds, if both track it
    const added = low.instance.scripts.some(({ name }) => name === tracked.name) ? weight : 0;
    if (weight > 0 && priority >= backup + added) report('IMPORT_WEIGHT_UP', place, values);
  }
}

/** Compares the files of two nodes. */
export function comparePair(a: Keepalived, b: Keepalived, report: Report): void {
  if (a.instances.length === 0 || b.instances.length === 0) return;
  const missing = (instance: VrrpInstance, other: Keepalived): void =>
    report('IMPORT_PEER_MISSING', instance.place, { name: instance.name, vrid: vridOf(instance), interface: instance.interface?.text ?? '?', other: other.path });
  for (const instance of b.instances) {
    const other = counterpart(instance, a);
    if (other === null) {
      missing(instance, a);
      continue;
    }
    const [left, right] = [{ file: a, instance: other }, { file: b, instance }];
    compareSettings(left, right, report);
    comparePriorities(left, right, report);
  }
  for (const instance of a.instances) if (counterpart(instance, b) === null) missing(instance, b);
}

/** Scripts of files that hold nothing else: pieces that are added to the others. */
export const sharedScripts = (files: readonly Keepalived[]): VrrpScript[] => files.filter(({ instances }) => instances.length === 0).flatMap(({ scripts }) => scripts);
