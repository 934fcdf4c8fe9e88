/**
 * A stand-in for the native engine: simple states in memory, meta-data as small JSON files in DRBDTS_FAKE_DIR, so that daemon and client
 * run as real processes without the binary. Knows what a test tells it through files in that directory:
 *   peer       `connected` when a peer with an Inconsistent disk answers each connect
 *   open       names the holder of the device
 *   foreign    text of what probe() finds on every disk; `cut` in it: internal meta-data would not fit
 *   taken-over the peer is Primary
 *   handler    name of a handler that `primary` calls and waits for
 * and tells the test what it was asked in `commands`.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  MetaDataLocation,
  NativeAddon,
  NativeCommand,
  NativeCommandArgs,
  NativeEvent,
  NativeMetaTools,
  NativeResource,
  NativeResourceConfig,
  NativeResult,
  NativeSnapshot,
  NativeVolumeSnapshot,
} from '../../src/daemon/native-api.js';
import { connectionStates, diskStates, roles } from '../../src/shared/terms.js';

interface Meta {
  uuids: [string, string, string, string];
  flags: number;
  clean: boolean;
}

const zero = '0000000000000000';

function directory(): string {
  const dir = process.env.DRBDTS_FAKE_DIR ?? '/tmp/drbdts-fake';
  mkdirSync(dir, { recursive: true });
  return dir;
}

function told(name: string): string {
  try {
    return readFileSync(join(directory(), name), 'utf8').trim();
  } catch {
    return '';
  }
}

function metaFile(loc: MetaDataLocation): string {
  return join(directory(), `md${loc.disk.replaceAll('/', '_')}.json`);
}

function readMeta(loc: MetaDataLocation): Meta {
  try {
    return JSON.parse(readFileSync(metaFile(loc), 'utf8')) as Meta;
  } catch {
    throw Object.assign(new Error('No valid meta data found'), { code: 'ERR_NO_META_DATA', place: loc.disk, remedy: '' });
  }
}

function writeMeta(loc: MetaDataLocation, meta: Meta): void {
  writeFileSync(metaFile(loc), JSON.stringify(meta));
}

const meta: NativeMetaTools = {
  async probe(loc) {
    const foreign = told('foreign');
    return { found: foreign.replace('cut ', ''), hasMetaData: existsSync(metaFile(loc)), wouldCut: foreign.startsWith('cut ') };
  },
  async createMd(loc) {
    writeMeta(loc, { uuids: ['0000000000000004', zero, zero, zero], flags: 0x80, clean: true });
  },
  async dumpMd(loc, { force }) {
    const found = readMeta(loc);
    if (!found.clean && !force)
      throw Object.assign(new Error('Found meta data is "unclean", please apply-al first'), {
        code: 'ERR_UNCLEAN_META_DATA',
        place: loc.disk,
        remedy: '',
      });
    return `version "v08";\n\nuuid {\n    0x${found.uuids.join('; 0x')};\n}\n`;
  },
  async getGi(loc) {
    const found = readMeta(loc);
    return [...found.uuids, ...[0x01, 0x10, 0x02, 0x04, 0x08, 0x20, 0x40].map((bit) => ((found.flags & bit) === 0 ? '0' : '1'))].join(':');
  },
  async applyAl(loc) {
    const found = readMeta(loc);
    writeMeta(loc, { ...found, clean: true });
    return { markedKib: found.clean ? 0n : 8192n, wasClean: found.clean };
  },
  async dstate(loc) {
    return (readMeta(loc).flags & 1) === 0 ? 'Inconsistent' : 'Consistent';
  },
  async outdate(loc) {
    const found = readMeta(loc);
    writeMeta(loc, { ...found, flags: found.flags & ~0x10 });
  },
  async invalidate(loc) {
    const found = readMeta(loc);
    writeMeta(loc, { ...found, flags: (found.flags & ~0x11) | 0x08 });
  },
  async wipeMd(loc) {
    rmSync(metaFile(loc), { force: true });
  },
};

const totalBits = 16_374n;

class FakeResource implements NativeResource {
  private readonly config: NativeResourceConfig;
  private readonly emit: (events: NativeEvent[]) => void;
  private state: NativeSnapshot;
  private waiting: ((exitCode: number) => void) | null = null;
  private stopped = false;

  constructor(config: NativeResourceConfig, emit: (events: NativeEvent[]) => void) {
    this.config = config;
    this.emit = emit;
    this.state = {
      name: config.name,
      protocol: ' ',
      connection: 'StandAlone',
      role: 'Secondary',
      peerRole: 'Unknown',
      connectionReason: '',
      agreedVersion: 0,
      features: 0,
      volumes: config.volumes.map((volume) => ({
        volume: volume.volume,
        minor: volume.minor,
        device: volume.device,
        deviceUp: config.keptFds.length > 0,
        disk: 'Diskless',
        peerDisk: 'DUnknown',
        connection: 'StandAlone',
        role: 'Secondary',
        peerRole: 'Unknown',
        sizeSectors: 0n,
        uuids: [zero, zero, zero, zero],
        metaFlags: 0,
        outOfSyncBits: 0n,
        resyncTotalBits: 0n,
        resyncLeftBits: 0n,
        resyncFailedBits: 0n,
        resyncSpeedKib: 0,
        resyncAverageKib: 0,
        resyncWantKib: 0,
        resyncFinishSeconds: -1,
        resyncStalled: false,
        flags: 'r-----',
        suspended: { user: false, noData: false, fencing: false },
        resyncSuspended: { user: false, peer: false, dependency: false },
        counters: { ns: 0n, nr: 0n, dw: 0n, dr: 0n, al: 0n, bm: 0n, lo: 0, pe: 0, ua: 0, ap: 0, ep: 1 },
        writeOrdering: 'f',
        diskReason: '',
      })),
    };
  }

  snapshot(): NativeSnapshot {
    return structuredClone(this.state);
  }

  handlerResult(_id: number, exitCode: number): void {
    this.waiting?.(exitCode);
  }

  async stop(): Promise<void> {
    this.stopped = true;
  }

  async command<C extends NativeCommand>(name: C, args: NativeCommandArgs[C]): Promise<NativeResult> {
    appendFileSync(
      join(directory(), 'commands'),
      `${this.config.name} ${name} ${JSON.stringify(args, (_, value) => (typeof value === 'bigint' ? String(value) : value))}\n`,
    );
    const result = await this.carryOut(name, args as Record<string, unknown>);
    this.changed();
    return result;
  }

  private changed(): void {
    if (!this.stopped) setImmediate(() => this.emit([{ type: 'changed' }]));
  }

  private volumes(args: Record<string, unknown>): NativeVolumeSnapshot[] {
    return this.state.volumes.filter((volume) => args.volume === undefined || volume.volume === args.volume);
  }

  private location(volume: NativeVolumeSnapshot): MetaDataLocation {
    const found = this.config.volumes.find((candidate) => candidate.volume === volume.volume);
    return { disk: found?.disk ?? '', metaDisk: found?.metaDisk ?? '', metaIndex: found?.metaIndex ?? 'internal' };
  }

  private keep(volume: NativeVolumeSnapshot): void {
    if (volume.disk !== 'Diskless') writeMeta(this.location(volume), { uuids: volume.uuids, flags: volume.metaFlags, clean: false });
  }

  private connection(state: NativeSnapshot['connection']): void {
    this.state.connection = state;
    for (const volume of this.state.volumes) volume.connection = state;
  }

  private peerAnswers(): void {
    if (this.stopped || this.state.connection !== 'WFConnection') return;
    this.connection('Connected');
    this.state.peerRole = 'Secondary';
    this.state.agreedVersion = 101;
    for (const volume of this.state.volumes) {
      volume.peerRole = 'Secondary';
      volume.peerDisk = volume.disk === 'UpToDate' ? 'UpToDate' : 'Inconsistent';
    }
    this.emit([
      { type: 'log', level: 'info', volume: -1, message: 'Handshake successful: Agreed network protocol version 101' },
      { type: 'changed' },
    ]);
  }

  private resync(): void {
    this.connection('SyncSource');
    for (const volume of this.state.volumes)
      Object.assign(volume, { peerDisk: 'Inconsistent', resyncTotalBits: totalBits, resyncLeftBits: totalBits, outOfSyncBits: totalBits });
    const step = (): void => {
      if (this.stopped || this.state.connection !== 'SyncSource') return;
      let running = false;
      for (const volume of this.state.volumes) {
        volume.resyncLeftBits = volume.resyncLeftBits > 8000n ? volume.resyncLeftBits - 8000n : 0n;
        volume.outOfSyncBits = volume.resyncLeftBits;
        running ||= volume.resyncLeftBits > 0n;
      }
      if (!running) {
        this.connection('Connected');
        for (const volume of this.state.volumes) Object.assign(volume, { peerDisk: 'UpToDate', resyncTotalBits: 0n });
      } else setTimeout(step, 30);
      this.emit([{ type: 'changed' }]);
    };
    setTimeout(step, 30);
  }

  private async carryOut(name: NativeCommand, args: Record<string, unknown>): Promise<NativeResult> {
    const done: NativeResult = { code: 1, text: '', detail: '' };
    const refuse = (code: number, text: string, detail = ''): NativeResult => ({ code, text, detail });
    switch (name) {
      case 'attach':
        for (const volume of this.volumes(args)) {
          const found = readMeta(this.location(volume));
          Object.assign(volume, {
            uuids: found.uuids,
            metaFlags: found.flags,
            disk: (found.flags & 1) === 0 ? 'Inconsistent' : 'UpToDate',
            sizeSectors: 130_992n,
          });
          this.keep(volume);
        }
        return done;
      case 'connect':
        if (this.state.connection !== 'StandAlone') return refuse(102, 'Local address(port) already in use.');
        if (args.discardMyData === true && this.state.role === 'Primary') return refuse(123, '--discard-my-data not allowed when primary.');
        this.state.protocol = String(this.config.options.protocol);
        this.connection('WFConnection');
        if (told('peer') === 'connected') setTimeout(() => this.peerAnswers(), 10);
        return done;
      case 'disconnect':
        this.connection('StandAlone');
        this.state.protocol = ' ';
        this.state.peerRole = 'Unknown';
        for (const volume of this.state.volumes) Object.assign(volume, { peerDisk: 'DUnknown', peerRole: 'Unknown' });
        return done;
      case 'primary':
        return this.primary(args, done, refuse);
      case 'secondary':
      case 'down':
        if (told('open') !== '' && this.state.role === 'Primary') return refuse(-12, 'Device is held open by someone', told('open'));
        this.state.role = 'Secondary';
        for (const volume of this.state.volumes) {
          Object.assign(volume, { role: 'Secondary', deviceUp: false, metaFlags: volume.metaFlags & ~2 });
          this.keep(volume);
          if (name === 'down') volume.disk = 'Diskless';
        }
        return done;
      case 'detach':
        for (const volume of this.volumes(args)) volume.disk = 'Diskless';
        return done;
      case 'suspend-io':
      case 'resume-io':
        for (const volume of this.volumes(args)) volume.suspended.user = name === 'suspend-io';
        return done;
      case 'pause-sync':
      case 'resume-sync': {
        const pause = name === 'pause-sync';
        if (this.volumes(args).some((volume) => volume.resyncSuspended.user === pause))
          return refuse(pause ? 134 : 135, pause ? 'Sync-pause flag is already set' : 'Sync-pause flag is already cleared');
        for (const volume of this.volumes(args)) volume.resyncSuspended.user = pause;
        return done;
      }
      case 'verify':
        return refuse(-15, 'Need a connection to start verify or resync');
      default:
        return done;
    }
  }

  private async primary(
    args: Record<string, unknown>,
    done: NativeResult,
    refuse: (code: number, text: string) => NativeResult,
  ): Promise<NativeResult> {
    if (told('taken-over') !== '') return refuse(-1, 'Multiple primaries not allowed by config');
    const handler = told('handler');
    if (handler !== '') {
      const exitCode = await new Promise<number>((resolve) => {
        this.waiting = resolve;
        this.emit([{ type: 'handler', id: 1, name: handler, volume: 0, wait: true, env: { DRBD_FROM_ENGINE: 'yes' } }]);
      });
      if (exitCode !== 4) return refuse(-7, 'Refusing to be Primary while peer is not outdated');
    }
    const usable = this.state.volumes.every((volume) => volume.disk === 'UpToDate');
    if (!usable && args.force !== true) return refuse(-2, 'Need access to UpToDate data');
    this.state.role = 'Primary';
    for (const volume of this.state.volumes) {
      Object.assign(volume, { role: 'Primary', disk: 'UpToDate', deviceUp: true, metaFlags: volume.metaFlags | 0x13 });
      if (!usable) volume.uuids = ['1334DC39EA5265AD', volume.uuids[0], volume.uuids[1], volume.uuids[2]];
      this.keep(volume);
    }
    if (!usable && this.state.connection === 'Connected') this.resync();
    return done;
  }
}

export const addon: NativeAddon = {
  createResource: (config, onEvents) => new FakeResource(config, onEvents),
  meta,
  names: { roles: [...roles], connectionStates: [...connectionStates], diskStates: [...diskStates], commands: {} },
  notify: (_socket, message) => {
    appendFileSync(join(directory(), 'notified'), message);
    return true;
  },
  core: {},
};
