/**
 * Runs the commands of section `handlers` with DRBD's environment variables. Each end is one sentence in the log; one that runs too
 * long is ended together with everything it started.
 */
import { execa } from 'execa';
import type { HostConfig, ResourceConfig } from '../config/types.js';
import { sidesOf } from '../config/types.js';
import type { HandlerName } from '../shared/terms.js';

/** Exit code given for a handler that was ended because of its time, as timeout(1) does. */
export const timeoutExitCode = 124;
const outputBytesMax = 64 * 1024;
const killGraceMs = 2000;

/** Exit codes of fence-peer with a meaning (drbd-protocol §6.5, man drbd.conf); all others mean that fencing failed. */
export const fencePeerResults: Readonly<Record<number, string>> = {
  3: "peer's disk is Inconsistent",
  4: "peer's disk is Outdated",
  5: 'peer is unreachable and presumed dead',
  6: 'peer is Primary and refused',
  7: 'peer was shot (stonith)',
};

function volumeVariables(host: HostConfig, volume: number): Record<string, string> {
  const own = host.volumes.find((candidate) => candidate.volume === volume);
  if (own === undefined) return {};
  return {
    DRBD_VOLUME: String(own.volume),
    DRBD_MINOR: String(own.minor),
    DRBD_DEVICE: own.device,
    DRBD_LL_DISK: own.disk,
    DRBD_META_DISK: own.metaDisk,
  };
}

/**
 * The variables drbdadm gives to handlers: names of resource, volume, minor, disks and peer; for several volumes those with `_N`, too.
 * `volume` -1 means the whole resource.
 */
export function handlerEnvironment(config: ResourceConfig, node: string, configFile: string, volume: number): Record<string, string> {
  const sides = sidesOf(config, node);
  if (sides === null) return {};
  const { self, peer } = sides;
  const first = self.volumes[0]?.volume ?? 0;
  const env: Record<string, string> = {
    DRBD_RESOURCE: config.name,
    DRBD_CONF: configFile,
    DRBD_PEER: peer.name,
    DRBD_PEERS: peer.name,
    DRBD_PEER_ADDRESS: peer.address.host,
    DRBD_PEER_AF: peer.address.family === 6 ? 'ipv6' : 'ipv4',
    DRBD_MY_ADDRESS: self.address.host,
    DRBD_MY_AF: self.address.family === 6 ? 'ipv6' : 'ipv4',
    DRBD_NODE: node,
    ...volumeVariables(self, volume >= 0 ? volume : first),
  };
  for (const own of self.volumes) {
    env[`DRBD_MINOR_${own.volume}`] = String(own.minor);
    env[`DRBD_LL_DISK_${own.volume}`] = own.disk;
  }
  return env;
}

export interface HandlerRun {
  exitCode: number;
  /** What the log says. */
  sentence: string;
  /** end of what it printed. */
  output: string;
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ended meanwhile
  }
}

/** Meaning of an exit code, for the sentence. */
function meaning(name: HandlerName, exitCode: number): string {
  if (name !== 'fence-peer') return '';
  return `, ${fencePeerResults[exitCode] ?? 'which means that the peer is not fenced'}`;
}

/** Runs `command` through the shell. Never rejects. `timeoutS` 0 waits for ever. */
export async function runHandler(name: HandlerName, command: string, env: Record<string, string>, timeoutS: number): Promise<HandlerRun> {
  let timedOut = false;
  const timers: NodeJS.Timeout[] = [];
  try {
    // a process group of its own, so that the time limit reaches what the command started
    const child = execa('/bin/sh', ['-c', command], {
      env,
      extendEnv: true,
      detached: true,
      cleanup: false,
      reject: false,
      stdin: 'ignore',
      all: true,
      maxBuffer: outputBytesMax,
      cwd: '/',
    });
    const { pid } = child;
    if (timeoutS > 0 && pid !== undefined) {
      timers.push(
        setTimeout(() => {
          timedOut = true;
          endGroup(pid, 'SIGTERM');
          timers.push(setTimeout(() => endGroup(pid, 'SIGKILL'), killGraceMs));
        }, timeoutS * 1000),
      );
    }
    const result = await child;
    const output = (result.all ?? '').trimEnd();
    if (timedOut) {
      return {
        exitCode: timeoutExitCode,
        output,
        sentence: `handler ${name} ended after ${timeoutS} s without a result (handler-timeout)${meaning(name, timeoutExitCode)}`,
      };
    }
    const exitCode = result.exitCode ?? (result.signal === undefined ? 127 : 128);
    const how = result.signal === undefined ? `exit code ${exitCode}` : `ended by ${result.signal}`;
    return { exitCode, output, sentence: `handler ${name}: ${how}${meaning(name, exitCode)}` };
  } catch (error) {
    return {
      exitCode: 127,
      output: '',
      sentence: `handler ${name} could not be started: ${(error as Error).message}${meaning(name, 127)}`,
    };
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}
