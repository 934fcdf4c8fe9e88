/**
 * Brings a resource back after the daemon was killed or replaced. With a kept device it becomes Primary again, so that whoever has the
 * device open sees only a pause. The order keeps both promises: the peer is asked first whether it took over meanwhile.
 */

import type { Clock } from '../shared/clock.js';
import { DrbdtsError } from '../shared/errors.js';
import type { Log } from '../shared/log.js';
import { connectionStates } from '../shared/terms.js';
import type { KeptFd } from './keeper.js';
import type { MetaContext } from './meta-verbs.js';
import type { NativeResult } from './native-api.js';
import { peerTookOver, recoveryPlan } from './recovery-plan.js';
import type { Resource } from './resource.js';
import type { ResourceRecord } from './run-state.js';
import { prepareAttach } from './verbs.js';

/** The killed process's disk I/O may outlive it; its lock on the disk goes with it. */
const diskPatienceMs = 60_000;
const retryMs = 100;
const busyCodes = new Set(['ERR_BUSY', 'ERR_DISK_CLAIMED', 'ERR_META_DISK_CLAIMED']);

const connected = connectionStates.indexOf('Connected');

export interface RecoverSurroundings extends MetaContext {
  log: Log;
  clock: Clock;
  signal: AbortSignal;
  /** The keeper shall keep the descriptor of this name no more. */
  forget(name: string): void;
}

/** Repeats `work` while somebody else holds the disk. */
async function whileBusy(work: () => Promise<unknown>, around: RecoverSurroundings, what: string): Promise<void> {
  const deadline = around.clock.nowMs() + diskPatienceMs;
  for (let told = false; ; told = true) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof DrbdtsError) || !busyCodes.has(error.code) || around.clock.nowMs() > deadline) throw error;
      if (!told) around.log.info(`${what} waiting for the previous process to let go of the disk`);
      await around.clock.sleep(retryMs, around.signal);
    }
  }
}

async function attachAgain(resource: Resource, around: RecoverSurroundings): Promise<void> {
  for (const volume of resource.volumeNumbers()) {
    const what = `${resource.name}/${volume}`;
    try {
      await whileBusy(() => prepareAttach(resource, [volume], around, 20), around, what);
      await whileBusy(() => resource.command('attach', { volume }), around, what);
    } catch (error) {
      // diskless is a way to serve, too, as long as the peer has the data
      around.log.error(`${what} could not be attached again: ${(error as Error).message}`);
    }
  }
}

/**
 * Carries out what `record` says was running. `kept`: descriptors of its devices. Never rejects; each failure is a sentence in the log,
 * and the rest is still tried.
 */
export async function recoverResource(
  resource: Resource,
  record: ResourceRecord | null,
  kept: KeptFd[],
  around: RecoverSurroundings,
): Promise<void> {
  const { log } = around;
  try {
    resource.start(kept);
    await attachAgain(resource, around);
    if (record?.degraded === true) resource.degraded = true;
    const plan = recoveryPlan(record, kept.length > 0);
    if (plan.connect) await resource.command('connect', {}, resource.name);
    if (plan.deviceLost) {
      log.warn(
        `${resource.name} was Primary and nobody kept its device: it is Secondary now (run drbdtsd under systemd or drbdts-keeper to keep it)`,
      );
    }
    if (plan.askPeer) await giveThePeerAChance(resource, around);
    if (!plan.promote) return;
    let result: NativeResult;
    try {
      result = await resource.command('primary', { recover: true });
    } catch (error) {
      if (!(error instanceof DrbdtsError && peerTookOver(error.code, resource.lastFenceExit))) throw error;
      log.warn(`${resource.name} the peer has taken over: the device that was kept is given up, whoever has it open gets I/O errors`);
      await letGoOfDevice(resource, plan.connect, around);
      return;
    }
    log.info(`${resource.name} is Primary again with the device that was kept${result.text === '' ? '' : `: ${result.text}`}`);
  } catch (error) {
    const remedy = error instanceof DrbdtsError ? ` ${error.remedy}` : '';
    log.error(`${resource.name} could not be brought back as it was: ${(error as Error).message}.${remedy}`);
  }
}

/**
 * What waits in the kept device was never acknowledged and never can be, and what its users have read is not what the peer goes on with. Without
 * its descriptors the kernel ends it: its users get errors and let go, where they would hang for ever and could not even be killed. The engine starts
 * anew; `connect`: and connects.
 */
export async function letGoOfDevice(resource: Resource, connect: boolean, around: RecoverSurroundings): Promise<void> {
  for (const { name } of resource.keptUnserved) around.forget(name);
  // the engine holds the last descriptors
  await resource.stop();
  resource.start();
  await attachAgain(resource, around);
  if (connect) await resource.command('connect', {}, resource.name);
}

/**
 * Waits for the connection, at most for the time after which an unanswering peer counts as dead. The peer was there a moment ago: it
 * either answers at once, and then has a say in who is Primary, or it died together with us.
 */
async function giveThePeerAChance(resource: Resource, around: RecoverSurroundings): Promise<void> {
  const limit = AbortSignal.timeout(Number(resource.config.net.timeout) * 100);
  try {
    await resource.waitFor(
      (snapshot) =>
        snapshot === null ||
        snapshot.connection === 'StandAlone' ||
        snapshot.volumes.every((volume) => connectionStates.indexOf(volume.connection) >= connected),
      AbortSignal.any([limit, around.signal]),
    );
  } catch {
    if (limit.aborted) around.log.warn(`${resource.name} the peer does not answer; going on without it`);
  }
}
