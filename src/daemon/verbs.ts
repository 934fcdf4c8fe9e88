/**
 * Each verb as a sequence of engine commands with drbdadm's meaning, messages and exit codes (drbd-protocol §5.7, §5.8). Verbs that
 * change a resource run one after the other; waits and forced ones do not queue.
 */
import { type AdjustStep, adjustPlan } from '../config/diff.js';
import type { OptionValues } from '../config/options.js';
import type { ResourceConfig } from '../config/types.js';
import { parseSectors } from '../config/units.js';
import type { Verb, VerbReply, VerbRequest } from '../control/messages.js';
import type { VerbContext } from '../control/server.js';
import { DrbdtsError, drbdtsError, errorForDrbdCode } from '../shared/errors.js';
import { followWait } from './follow-wait.js';
import { applyAl, attachedVolume, createMd, dumpMd, getGi, type MetaContext, requireDetached, wasDegraded, wipeMd } from './meta-verbs.js';
import type { NativeCommand, NativeCommandArgs } from './native-api.js';
import type { Resource } from './resource.js';

export interface VerbSurroundings extends MetaContext {
  /** configuration of a resource in the file; null when it is no longer there. */
  wanted(name: string): ResourceConfig | null;
  /** becomes Primary in the background as startup says (become-primary-on). */
  promoteLater(resource: Resource): void;
  cancelPromotion(resource: Resource): void;
  info(sentence: string): void;
  /** gives up the device that was kept for a resource and that no Primary serves, and starts its engine anew. */
  letGoOfDevice(resource: Resource, connect: boolean): Promise<void>;
}

type Argument = keyof VerbRequest;

/** Time the peer has to answer `check-peer` when none is given. */
const defaultCheckMs = 500;

/** Arguments each verb takes besides none. */
const argumentsOf: Record<Verb, readonly Argument[]> = {
  'create-md': ['volume', 'force', 'alStripes', 'alStripeSizeKb'],
  'dump-md': ['volume', 'force'],
  'get-gi': ['volume'],
  'apply-al': ['volume'],
  'wipe-md': ['volume', 'force'],
  up: [],
  down: [],
  attach: ['volume'],
  detach: ['volume', 'force'],
  connect: ['discardMyData', 'tentative'],
  disconnect: ['force'],
  primary: ['force'],
  secondary: ['force'],
  invalidate: ['volume'],
  'invalidate-remote': ['volume'],
  outdate: ['volume'],
  'pause-sync': ['volume'],
  'resume-sync': ['volume'],
  'new-current-uuid': ['volume', 'clearBitmap'],
  verify: ['volume', 'start'],
  resize: ['volume', 'size', 'assumeClean'],
  adjust: [],
  'wait-connect': ['timeoutSeconds', 'volume'],
  'wait-sync': ['timeoutSeconds', 'volume'],
  'suspend-io': ['volume'],
  'resume-io': ['volume'],
  'check-peer': ['timeoutMs'],
};

function checkArguments(verb: Verb, request: VerbRequest): void {
  const taken = argumentsOf[verb];
  const wrong = (Object.keys(request) as Argument[]).filter((name) => request[name] !== undefined && !taken.includes(name));
  if (wrong.length === 0) return;
  const expected = taken.length === 0 ? 'none' : taken.join(', ');
  throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: `${verb} does not take ${wrong.join(', ')}; its arguments: ${expected}` } });
}

function sectorsOf(name: string, text: string): bigint {
  const parsed = parseSectors(text);
  if (!parsed.ok) throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: `${name}: ${parsed.problem}` } });
  return BigInt(parsed.value);
}

function reply(resource: Resource, volume: number | null, output: string[], code = 1, text = ''): VerbReply {
  return { output, results: [{ resource: resource.name, volume, code, text }] };
}

/** The volumes a request means, all in ascending order unless one is named. */
function volumesOf(resource: Resource, request: VerbRequest): number[] {
  if (request.volume === undefined) return resource.volumeNumbers();
  resource.location(request.volume);
  return [request.volume];
}

async function eachVolume(resource: Resource, request: VerbRequest, work: (volume: number) => Promise<string[]>): Promise<VerbReply> {
  const output: string[] = [];
  const results: VerbReply['results'] = [];
  for (const volume of volumesOf(resource, request)) {
    output.push(...(await work(volume)));
    results.push({ resource: resource.name, volume, code: 1, text: '' });
  }
  return { output, results };
}

async function engine<C extends NativeCommand>(
  resource: Resource,
  name: C,
  args: NativeCommandArgs[C],
  volume: number | undefined,
): Promise<VerbReply> {
  if (volume !== undefined) resource.location(volume);
  const result = await resource.command(name, args);
  return reply(resource, volume ?? null, [], result.code, result.text);
}

function withVolume(request: VerbRequest): { volume?: number } {
  return request.volume === undefined ? {} : { volume: request.volume };
}

/** Replays the activity logs and remembers whether this node was alone, which attach is about to overwrite. */
export async function prepareAttach(
  resource: Resource,
  volumes: readonly number[],
  around: MetaContext,
  exitCode: number,
): Promise<string[]> {
  for (const volume of volumes) requireDetached(resource, volume, exitCode);
  const output: string[] = [];
  let degraded = false;
  for (const volume of volumes) {
    resource.attachProblems.delete(volume);
    try {
      const [gi] = await getGi(resource, volume, around);
      degraded ||= wasDegraded(gi ?? '');
      output.push(...(await applyAl(resource, volume, around, exitCode)));
    } catch (error) {
      resource.attachProblems.set(volume, (error as Error).message.split('\n')[0] ?? '');
      throw error;
    }
  }
  resource.degraded = degraded;
  return output;
}

async function up(resource: Resource, around: VerbSurroundings): Promise<VerbReply> {
  const output = await prepareAttach(resource, resource.volumeNumbers(), around, 1);
  const fresh = !resource.up;
  resource.start();
  try {
    await resource.command('attach', {});
    if (resource.snapshot()?.connection === 'StandAlone') await resource.command('connect', {}, resource.name);
  } catch (error) {
    if (fresh) await undo(resource);
    throw error;
  }
  around.promoteLater(resource);
  return reply(resource, null, output);
}

/** Takes back a half-done `up`, so that it can be tried again. */
async function undo(resource: Resource): Promise<void> {
  try {
    await resource.command('down', {});
  } finally {
    await resource.stop();
  }
}

async function down(resource: Resource, around: VerbSurroundings): Promise<VerbReply> {
  around.cancelPromotion(resource);
  if (!resource.up) return reply(resource, null, [], 2);
  const result = await resource.command('down', {});
  await resource.stop();
  return reply(resource, null, [], result.code, result.text);
}

async function attach(resource: Resource, request: VerbRequest, around: VerbSurroundings): Promise<VerbReply> {
  const output = await prepareAttach(resource, volumesOf(resource, request), around, 20);
  resource.start();
  const result = await resource.command('attach', withVolume(request));
  return reply(resource, request.volume ?? null, output, result.code, result.text);
}

async function disconnect(resource: Resource, request: VerbRequest, around: VerbSurroundings): Promise<VerbReply> {
  around.cancelPromotion(resource);
  const snapshot = resource.snapshot();
  if (snapshot === null || snapshot.connection === 'StandAlone') {
    throw errorForDrbdCode(162, '??', '', 'There is no connection to end.', { connection: snapshot?.connection ?? null });
  }
  const result = await resource.command('disconnect', request.force === true ? { force: true } : {}, resource.objectOf(undefined));
  return reply(resource, null, [], result.code, result.text);
}

/** outdate and invalidate also work on the meta-data of a resource that is down, as drbdadm does through drbdmeta. */
async function offlineOr(
  resource: Resource,
  name: 'outdate' | 'invalidate',
  request: VerbRequest,
  around: VerbSurroundings,
): Promise<VerbReply> {
  if (resource.up && volumesOf(resource, request).some((volume) => attachedVolume(resource, volume) !== null)) {
    return engine(resource, name, withVolume(request), request.volume);
  }
  return eachVolume(resource, request, async (volume) => {
    const at = resource.location(volume);
    if (name === 'outdate' && (await around.addon.meta.dstate(at)) === 'Inconsistent')
      throw errorForDrbdCode(-16, resource.objectOf(volume));
    await around.addon.meta[name](at);
    return [];
  });
}

async function restart(resource: Resource, wanted: ResourceConfig, reason: string, around: VerbSurroundings): Promise<void> {
  const snapshot = resource.snapshot();
  if (snapshot?.role === 'Primary')
    throw drbdtsError('ERR_ADJUST_IN_USE', { values: { resource: resource.name, what: reason }, place: resource.name });
  await down(resource, around);
  resource.config = wanted;
  await up(resource, around);
}

/** All wanted options of a volume, but the size it has: that changes by resize. */
function diskOptions(resource: Resource, wanted: ResourceConfig | null, volume: number): OptionValues {
  const of = (config: ResourceConfig | null): OptionValues => config?.volumes.find((candidate) => candidate.volume === volume)?.disk ?? {};
  return { ...of(wanted), size: of(resource.config).size ?? 0 };
}

async function adjustStep(resource: Resource, step: AdjustStep, wanted: ResourceConfig | null, around: VerbSurroundings): Promise<void> {
  switch (step.kind) {
    case 'down':
      await down(resource, around);
      return;
    case 'up':
      if (wanted !== null) resource.config = wanted;
      await up(resource, around);
      return;
    case 'restart':
      if (wanted !== null) await restart(resource, wanted, step.reason, around);
      return;
    case 'net-options':
      await resource.command('net-options', { options: { ...wanted?.net } });
      return;
    case 'reconnect': {
      const connecting = resource.snapshot()?.connection !== 'StandAlone';
      if (connecting) await resource.command('disconnect', {});
      await resource.command('net-options', { options: { ...wanted?.net } });
      if (connecting) await resource.command('connect', {}, resource.name);
      return;
    }
    case 'disk-options':
      await resource.command('disk-options', { volume: step.volume, options: diskOptions(resource, wanted, step.volume) });
      return;
    case 'reattach': {
      const attached = attachedVolume(resource, step.volume) !== null;
      if (attached) await resource.command('detach', { volume: step.volume });
      await resource.command('disk-options', { volume: step.volume, options: diskOptions(resource, wanted, step.volume) });
      if (!attached) return;
      await prepareAttach(resource, [step.volume], around, 20);
      await resource.command('attach', { volume: step.volume });
      return;
    }
    case 'resize':
      await resource.command('resize', { volume: step.volume, sizeSectors: BigInt(step.sizeSectors) });
      return;
    case 'note':
      return;
  }
}

/** Brings the resource in line with the configuration; says what it did. What is missing of a half-up resource is added, too. */
async function adjust(resource: Resource, around: VerbSurroundings): Promise<VerbReply> {
  const wanted = around.wanted(resource.name);
  const steps = adjustPlan(resource.up ? resource.config : null, wanted, around.node);
  for (const step of steps) {
    around.info(`${resource.name} adjust: ${step.kind} (${step.reason})`);
    await adjustStep(resource, step, wanted, around);
  }
  if (wanted !== null) resource.config = wanted;
  const snapshot = resource.snapshot();
  if (snapshot !== null && !steps.some((step) => step.kind === 'up' || step.kind === 'restart')) {
    for (const volume of snapshot.volumes.filter((candidate) => candidate.disk === 'Diskless')) {
      await prepareAttach(resource, [volume.volume], around, 20);
      await resource.command('attach', { volume: volume.volume });
      steps.push({ kind: 'note', changes: [], reason: `attached volume ${volume.volume}` });
    }
    if (snapshot.connection === 'StandAlone') {
      await resource.command('connect', {}, resource.name);
      steps.push({ kind: 'note', changes: [], reason: 'connected' });
    }
  }
  return {
    output: [],
    results:
      steps.length === 0
        ? [{ resource: resource.name, volume: null, code: 2, text: 'nothing to adjust' }]
        : steps.map((step) => ({
            resource: resource.name,
            volume: 'volume' in step ? step.volume : null,
            code: 1,
            text: `${step.kind}: ${step.reason}`,
          })),
  };
}

async function secondary(resource: Resource, request: VerbRequest, around: VerbSurroundings): Promise<VerbReply> {
  around.cancelPromotion(resource);
  const cut = (): Promise<VerbReply> => engine(resource, 'secondary', request.force === true ? { force: true } : {}, undefined);
  if (request.force !== true || resource.keptUnserved.length === 0) return cut();
  // nobody has become Primary with it again: whoever has it open waits, and may wait for ever
  return resource.exclusively(async () => {
    if (resource.keptUnserved.length > 0) {
      around.info(`${resource.name} secondary --force: the device that was kept is given up, whoever has it open gets I/O errors`);
      await around.letGoOfDevice(resource, resource.snapshot()?.connection !== 'StandAlone');
    }
    return cut();
  });
}

async function verify(resource: Resource, request: VerbRequest): Promise<VerbReply> {
  const start = request.start === undefined ? {} : { startSector: sectorsOf('start', request.start) };
  return engine(resource, 'verify', { ...withVolume(request), ...start }, request.volume);
}

async function resize(resource: Resource, request: VerbRequest): Promise<VerbReply> {
  const size = request.size === undefined ? {} : { sizeSectors: sectorsOf('size', request.size) };
  const clean = request.assumeClean === true ? { assumeClean: true } : {};
  return engine(resource, 'resize', { ...withVolume(request), ...size, ...clean }, request.volume);
}

async function connect(resource: Resource, request: VerbRequest): Promise<VerbReply> {
  const { connection } = resource.snapshot() ?? { connection: 'StandAlone' };
  if (connection !== 'StandAlone') throw errorForDrbdCode(102, resource.name, '', '', { connection });
  resource.start();
  const args = {
    ...(request.discardMyData === true ? { discardMyData: true } : {}),
    ...(request.tentative === true ? { tentative: true } : {}),
  };
  const result = await resource.command('connect', args, resource.name);
  return reply(resource, null, [], result.code, result.text);
}

async function change(resource: Resource, verb: Verb, request: VerbRequest, around: VerbSurroundings): Promise<VerbReply> {
  switch (verb) {
    case 'create-md':
      return eachVolume(resource, request, (volume) => createMd(resource, volume, request, around));
    case 'wipe-md':
      return eachVolume(resource, request, (volume) => wipeMd(resource, volume, request, around));
    case 'dump-md':
      return eachVolume(resource, request, (volume) => dumpMd(resource, volume, request, around));
    case 'get-gi':
      return eachVolume(resource, request, (volume) => getGi(resource, volume, around));
    case 'apply-al':
      return eachVolume(resource, request, (volume) => applyAl(resource, volume, around));
    case 'up':
      return up(resource, around);
    case 'down':
      return down(resource, around);
    case 'attach':
      return attach(resource, request, around);
    case 'detach':
      return engine(resource, 'detach', { ...withVolume(request), ...(request.force === true ? { force: true } : {}) }, request.volume);
    case 'connect':
      return connect(resource, request);
    case 'disconnect':
      return disconnect(resource, request, around);
    case 'primary':
      around.cancelPromotion(resource);
      return engine(resource, 'primary', request.force === true ? { force: true } : {}, undefined);
    case 'secondary':
      return secondary(resource, request, around);
    case 'outdate':
    case 'invalidate':
      return offlineOr(resource, verb, request, around);
    case 'invalidate-remote':
    case 'pause-sync':
    case 'resume-sync':
    case 'suspend-io':
    case 'resume-io':
      return engine(resource, verb, withVolume(request), request.volume);
    case 'new-current-uuid':
      return engine(
        resource,
        verb,
        { ...withVolume(request), ...(request.clearBitmap === true ? { clearBitmap: true } : {}) },
        request.volume,
      );
    case 'check-peer':
      return engine(resource, 'check-peer', { timeoutMs: request.timeoutMs ?? defaultCheckMs }, undefined);
    case 'verify':
      return verify(resource, request);
    case 'resize':
      return resize(resource, request);
    case 'adjust':
      return adjust(resource, around);
    case 'wait-connect':
    case 'wait-sync':
      throw drbdtsError('ERR_INTERNAL', { values: { reason: `${verb} does not change anything` } });
  }
}

/** Ways out of a verb that hangs must not wait for it. */
function jumpsTheQueue(verb: Verb, request: VerbRequest): boolean {
  const forced = request.force === true && (verb === 'disconnect' || verb === 'detach' || verb === 'secondary');
  return forced || verb === 'get-gi' || verb === 'resume-io' || verb === 'check-peer';
}

/** Carries out one verb on one resource. */
export async function runVerb(
  resource: Resource,
  verb: Verb,
  request: VerbRequest,
  context: VerbContext,
  around: VerbSurroundings,
): Promise<VerbReply> {
  checkArguments(verb, request);
  if (request.volume !== undefined) resource.location(request.volume);
  if (verb === 'wait-connect' || verb === 'wait-sync') {
    const output = await followWait(resource, verb, request.timeoutSeconds, context);
    return reply(resource, request.volume ?? null, output);
  }
  const work = (): Promise<VerbReply> => change(resource, verb, request, around);
  try {
    return await (jumpsTheQueue(verb, request) ? work() : resource.exclusively(work));
  } catch (error) {
    if (error instanceof DrbdtsError) around.info(`${resource.name} ${verb} refused: ${error.message.split('\n')[0]} (${error.remedy})`);
    throw error;
  }
}
