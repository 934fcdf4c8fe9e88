/**
 * Records of groups without volumes, which drbdtsd keeps at the arbiter for us. While both nodes see each other the record says `together`; when
 * the other one is gone, who wants to serve asks for the record alone, and only one of two gets it.
 */
import type { ControlClient } from '../control/client.js';
import type { RegisterReply } from '../control/messages.js';
import type { Clock } from '../shared/clock.js';
import type { Standing } from './decide.js';

/** Between two questions about one group that were not answered as hoped. */
const retryMs = 300;

interface Watched {
  standing: Standing;
  /** this node's part was told at the present membership: that it has the group, or that it has not. */
  told: 'here' | 'elsewhere' | '';
  /** the peer was there when this was found out. */
  together: boolean;
  /** the arbiter waits until the peer vouches for the record. */
  unvouched: boolean;
  asking: boolean;
  askedMs: number;
}

export class RecordWatch {
  readonly #control: Pick<ControlClient, 'claim' | 'release'>;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #onChange: () => void;
  readonly #groups = new Map<string, Watched>();

  constructor(control: Pick<ControlClient, 'claim' | 'release'>, clock: Pick<Clock, 'nowMs'>, onChange: () => void) {
    this.#control = control;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** What the arbiter said last; `open` before the first answer, and again as soon as the other node comes or goes. */
  standing(group: string): Standing {
    return this.#groups.get(group)?.standing ?? 'open';
  }

  /** Whether the arbiter waits until the peer vouches for the record. */
  unvouched(group: string): boolean {
    return this.#groups.get(group)?.unvouched ?? false;
  }

  /** Called at every look: does it run `here`, is the other node there? Asks as far as needed. */
  tend(group: string, here: boolean, peerAlive: boolean): void {
    const known = this.#of(group);
    if (known.together !== peerAlive) {
      // what was granted or refused belongs to another time
      known.together = peerAlive;
      known.standing = 'open';
      known.told = '';
      known.askedMs = Number.NEGATIVE_INFINITY;
    }
    if (here ? known.standing === 'open' : known.told !== 'elsewhere') this.#ask(group, known, here);
  }

  /** The other node is gone and the group shall run here: asks for the record. */
  claim(group: string): void {
    this.#ask(group, this.#of(group), true);
  }

  #of(group: string): Watched {
    const known = this.#groups.get(group) ?? { standing: 'open' as const, told: '' as const, together: false, unvouched: false, asking: false, askedMs: Number.NEGATIVE_INFINITY };
    this.#groups.set(group, known);
    return known;
  }

  /** Both nodes tell drbdtsd what they have at every change: that is also how the set grows back to both. */
  #ask(group: string, known: Watched, here: boolean): void {
    const now = this.#clock.nowMs();
    if (known.asking || now - known.askedMs < retryMs) return;
    known.asking = true;
    known.askedMs = now;
    const { together } = known;
    const settle = (reply: RegisterReply | null): void => {
      known.asking = false;
      // an answer to a question that is over
      if (known.together !== together) return;
      const before = `${known.standing} ${known.unvouched}`;
      if (reply !== null) known.unvouched = !reply.vouched;
      if (reply !== null) known.told = here ? 'here' : 'elsewhere';
      if (here || reply === null) known.standing = reply === null ? 'open' : standingOf(reply, together);
      if (`${known.standing} ${known.unvouched}` !== before) this.#onChange();
    };
    (here ? this.#control.claim(group, !together) : this.#control.release(group, !together)).then(settle, () => settle(null));
  }
}

function standingOf(reply: RegisterReply, together: boolean): Standing {
  if (reply.state === 'none') return 'none';
  if (reply.granted) return together ? 'together' : 'alone';
  return reply.state === 'denied' || reply.state === 'out' ? 'denied' : 'open';
}
