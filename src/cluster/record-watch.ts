/** Records of groups without volumes, which drbdtsd keeps at the arbiter for us. Asked for only when the other node is gone. */
import type { ControlClient } from '../control/client.js';
import type { Clock } from '../shared/clock.js';
import type { Standing } from './decide.js';

const retryMs = 300;

export class RecordWatch {
  readonly #control: ControlClient;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #onChange: () => void;
  readonly #standings = new Map<string, Standing>();
  readonly #asked = new Map<string, number>();

  constructor(control: ControlClient, clock: Pick<Clock, 'nowMs'>, onChange: () => void) {
    this.#control = control;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** What the arbiter said last; `open` before the first answer. */
  standing(group: string): Standing {
    return this.#standings.get(group) ?? 'open';
  }

  /** Asks for the record of a group; the answer changes its standing. */
  claim(group: string): void {
    const now = this.#clock.nowMs();
    if (now - (this.#asked.get(group) ?? Number.NEGATIVE_INFINITY) < retryMs) return;
    this.#asked.set(group, now);
    this.#control.claimRegister(`group/${group}`, true).then(
      ({ granted }: { granted: boolean }) => this.#set(group, granted ? 'alone' : 'denied'),
      () => this.#set(group, 'open'),
    );
  }

  #set(group: string, standing: Standing): void {
    if (this.#standings.get(group) === standing) return;
    this.#standings.set(group, standing);
    this.#onChange();
  }
}
