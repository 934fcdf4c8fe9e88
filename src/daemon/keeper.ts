/**
 * The daemon's side of the descriptor store (pure): systemd's protocol, which drbdts-keeper speaks too. Stored descriptors arrive as
 * numbers 3, 4, ... with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES; new ones are handed over through NOTIFY_SOCKET.
 */
export interface KeptFd {
  name: string;
  fd: number;
}

export interface KeeperEnvironment {
  kept: KeptFd[];
  /** NOTIFY_SOCKET when somebody listens to readiness messages, '' otherwise. */
  notifySocket: string;
  /** Whether descriptors may be stored there. */
  canStore: boolean;
}

const firstFd = 3;
const fdsMax = 4096;

/**
 * Reads the environment. Descriptors meant for another process id are not ours. FDSTORE is the number of descriptors the manager takes
 * (systemd from 254 on); where it is not said, whoever listens on NOTIFY_SOCKET is taken to keep them, as our unit file and
 * drbdts-keeper do.
 */
export function readKeeperEnvironment(env: Record<string, string | undefined>, pid: number): KeeperEnvironment {
  const notifySocket = env.NOTIFY_SOCKET ?? '';
  const canStore = notifySocket !== '' && (env.FDSTORE === undefined || Number(env.FDSTORE) > 0);
  const count = Number(env.LISTEN_FDS ?? '0');
  const mine = env.LISTEN_PID === undefined || Number(env.LISTEN_PID) === pid;
  const kept: KeptFd[] = [];
  if (mine && Number.isInteger(count) && count > 0 && count <= fdsMax) {
    const names = (env.LISTEN_FDNAMES ?? '').split(':');
    for (let index = 0; index < count; index++) kept.push({ name: names[index] ?? '', fd: firstFd + index });
  }
  return { kept, notifySocket, canStore };
}

/** Resource of a stored name `drbdts/RESOURCE/VOLUME/...` (native/frontend/notify.h), or null when it has another form. */
export function resourceOfFdName(name: string): string | null {
  return /^drbdts\/([A-Za-z0-9._-]+)\/\d+(?:\/|$)/.exec(name)?.[1] ?? null;
}

export function keptFdsOf(kept: readonly KeptFd[], resource: string): KeptFd[] {
  return kept.filter((fd) => resourceOfFdName(fd.name) === resource);
}
