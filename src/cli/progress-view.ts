/** Shows how a resync gets on while a command waits: a bar on a terminal, a line every 10 % otherwise. */
import { MultiBar, type SingleBar } from 'cli-progress';
import type { StatusReply, VolumeStatus } from '../control/messages.js';
import type { TextStream } from './context.js';
import { formatPercent, formatSpeed, progressPerMille, progressWord } from './format-progress.js';
import { drivesResync, showsProgress, volumeName } from './format-volume.js';

export interface ProgressView {
  update(reply: StatusReply): void;
  stop(): void;
}

interface RunningVolume {
  readonly name: string;
  readonly volume: VolumeStatus;
  readonly perMille: number;
  readonly text: string;
}

function runningVolumes(reply: StatusReply): RunningVolume[] {
  return reply.resources.flatMap((resource) =>
    resource.volumes.flatMap((volume) => {
      if (volume.resync === null || !showsProgress(volume)) return [];
      const perMille = progressPerMille(volume.resync.leftKib, volume.resync.totalKib);
      return [{ name: volumeName(resource, volume), volume, perMille, text: formatSpeed(volume.resync, drivesResync(volume)) }];
    }),
  );
}

/** Lines `r0: sync'ed: 10.4% finish: ...`, one per 10 % and volume. */
export class LineProgress implements ProgressView {
  readonly #stream: TextStream;
  readonly #shown = new Map<string, number>();

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  update(reply: StatusReply): void {
    for (const { name, volume, perMille, text } of runningVolumes(reply)) {
      const step = Math.floor(perMille / 100);
      const before = this.#shown.get(name);
      // less than before: a new resync has begun
      if (before !== undefined && step === before) continue;
      this.#shown.set(name, step);
      if (volume.resync !== null) this.#stream.write(`${name}: ${progressWord(volume.resync)} ${formatPercent(perMille)} ${text}\n`);
    }
  }

  stop(): void {
    this.#shown.clear();
  }
}

/** One bar per volume, redrawn in place. */
export class BarProgress implements ProgressView {
  readonly #bars: MultiBar;
  readonly #byName = new Map<string, SingleBar>();

  constructor(stream: NodeJS.WriteStream) {
    this.#bars = new MultiBar({
      stream,
      format: '{name} [{bar}] {percentText} {text}',
      barCompleteChar: '=',
      barIncompleteChar: '.',
      barGlue: '>',
      barsize: 20,
      // Ctrl-C ends the command at once: nothing of the terminal may have to be put back
      hideCursor: false,
      linewrap: true,
    });
  }

  update(reply: StatusReply): void {
    const running = runningVolumes(reply);
    for (const { name, perMille, text } of running) {
      let bar = this.#byName.get(name);
      if (bar === undefined) {
        bar = this.#bars.create(1000, perMille, { name, text, percentText: formatPercent(perMille) });
        this.#byName.set(name, bar);
      }
      bar.update(perMille, { name, text, percentText: formatPercent(perMille) });
    }
    for (const [name, bar] of this.#byName) {
      if (!running.some((volume) => volume.name === name)) bar.update(1000, { name, text: '', percentText: 'done' });
    }
  }

  stop(): void {
    this.#bars.stop();
  }
}

/** A bar for a terminal, lines for everything else. */
export function createProgressView(stream: TextStream): ProgressView {
  return stream === process.stderr && stream.isTTY === true ? new BarProgress(process.stderr) : new LineProgress(stream);
}
