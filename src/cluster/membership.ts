/**
 * Is the peer there? A state machine over authentic heartbeats (see membership-types.ts); pure: no clock, no socket, no randomness.
 *
 * What counts as a sign of life. Every process start has a random boot identifier, every heartbeat a sequence, and every heartbeat says which
 * boot of the other side and which of its sequences it has received. A heartbeat is a sign of life only if
 *   1. it echoes our present boot, and the highest sequence it echoes was sent by us at most deadtime ago, and
 *   2. its own sequence is higher than any that came in on its link from that boot.
 * By 1 it was made after something that we did at most deadtime ago: no recording of an earlier life of either side, and no packet that lay in a
 * queue for long, can pass, without a clock shared with the peer and without anything kept on disk. By 2 a copy counts for nothing. A boot not
 * yet known is taken under the same rule; anything less only makes us answer, so that the peer has something to echo.
 *
 * The rule makes a one-way network symmetric: who is not heard stops being told "alive", so both sides come to the same view.
 */
import { addGap, type GapHistory, longestGapMs, noGaps } from './gap-history.js';
import type { Heartbeat, LinkHealth, LinkView, MembershipAction, MembershipConfig, MembershipEvent, MembershipView, NodeReport, PeerState } from './membership-types.js';

/** Own heartbeats whose time of sending is remembered; more than are sent in deadtime unless the report changes all the time. */
const sentKept = 256;
/** Former boots of the peer that are recognised. Older ones fail rule 1. */
const retiredKept = 8;
/** A report of at most this size travels with every heartbeat; a larger one until the peer has it. */
const smallReportBytes = 1000;
/** The same warning at most that often. */
const warnEveryMs = 10_000;
/** Two nodes of one name are forgotten when there was no sign of it for so long. */
const twinsKeptMs = 60_000;

interface Link {
  readonly name: string;
  /** Last sign of life. */
  readonly lifeMs: number | null;
  readonly highest: number;
  readonly highestMs: number;
  /** Our highest sequence that the peer has received on it. */
  readonly peerHeard: number;
  readonly rttMs: number | null;
  readonly lost: number;
  readonly gaps: GapHistory;
  readonly shown: LinkHealth;
  readonly shownOneWay: boolean;
}

/** One process start of the peer that has proven to be alive. */
interface Boot {
  readonly boot: string;
  readonly firstMs: number;
  readonly report: NodeReport | null;
  readonly reportVersion: number;
  readonly reportAtMs: number | null;
  /** newest report version that the peer has spoken of; above `reportVersion` while the report itself is missing. */
  readonly announcedVersion: number;
  readonly confirmedVersion: number;
  readonly confirmedSeq: number;
}

export interface MembershipState {
  readonly config: MembershipConfig;
  readonly boot: string;
  readonly sequence: number;
  /** Own heartbeats, newest last. */
  readonly sent: readonly { readonly sequence: number; readonly atMs: number }[];
  readonly nextSendMs: number;
  readonly lastSendMs: number;
  readonly lastStepMs: number;
  readonly ownVersion: number;
  readonly ownBytes: number;
  readonly leaving: boolean;
  readonly peer: PeerState;
  readonly sinceMs: number;
  /** When a peer that was never heard counts as dead. */
  readonly initdeadAtMs: number;
  /** Last sign of life on any link, or when the timer was restarted. */
  readonly lifeMs: number;
  /** Last heartbeat of the peer that was none (rule 1). */
  readonly deafMs: number | null;
  readonly shownDeaf: boolean;
  readonly replicationMs: number | null;
  readonly byReplicationOnly: boolean;
  readonly lastCheckMs: number;
  readonly current: Boot | null;
  readonly retired: readonly { readonly boot: string; readonly atSequence: number }[];
  /** A boot that has proven nothing yet; answered. */
  readonly candidate: { readonly boot: string; readonly links: Readonly<Record<string, { sequence: number; atMs: number }>> } | null;
  readonly links: readonly Link[];
  readonly gaps: GapHistory;
  readonly rival: { readonly boot: string; readonly sequence: number; readonly atMs: number; readonly proven: boolean } | null;
  readonly peerTwinsMs: number | null;
  /** A former boot that was taken back. */
  readonly comeback: { readonly boot: string; readonly atMs: number } | null;
  readonly lateSaidMs: number;
  readonly lateUnsaid: number;
  readonly closeSaidForMs: number;
}

interface Result {
  state: MembershipState;
  actions: MembershipAction[];
}

/** How often `tick` is wanted: fine enough that death is noticed at most this long after deadtime. */
export function tickMs(config: MembershipConfig): number {
  return Math.max(5, Math.min(config.keepaliveMs / 4, 250));
}

/** `boot` is 128 random bits in hexadecimal digits, new in every process. */
export function initialMembership(config: MembershipConfig, boot: string, nowMs: number): MembershipState {
  return {
    config,
    boot,
    sequence: 0,
    sent: [],
    nextSendMs: nowMs,
    lastSendMs: Number.NEGATIVE_INFINITY,
    lastStepMs: nowMs,
    ownVersion: 0,
    ownBytes: 0,
    leaving: false,
    peer: 'unknown',
    sinceMs: nowMs,
    initdeadAtMs: nowMs + config.initdeadMs,
    lifeMs: nowMs,
    deafMs: null,
    shownDeaf: false,
    replicationMs: null,
    byReplicationOnly: false,
    lastCheckMs: Number.NEGATIVE_INFINITY,
    current: null,
    retired: [],
    candidate: null,
    links: config.links.map((name) => ({
      name,
      lifeMs: null,
      highest: 0,
      highestMs: nowMs,
      peerHeard: 0,
      rttMs: null,
      lost: 0,
      gaps: noGaps,
      shown: 'never',
      shownOneWay: false,
    })),
    gaps: noGaps,
    rival: null,
    peerTwinsMs: null,
    comeback: null,
    lateSaidMs: Number.NEGATIVE_INFINITY,
    lateUnsaid: 0,
    closeSaidForMs: 0,
  };
}

/** One event. `nowMs` is monotonic and should go on while the machine sleeps (CLOCK_BOOTTIME). */
export function stepMembership(before: MembershipState, event: MembershipEvent, nowMs: number): Result {
  const step = new Step(before, nowMs);
  step.notice();
  switch (event.kind) {
    case 'packet':
      step.packet(event.link, event.heartbeat, event.report);
      break;
    case 'report':
      step.set({ ownVersion: step.s.ownVersion + 1, ownBytes: event.bytes });
      step.send();
      break;
    case 'replication':
      step.replication(event.sign);
      break;
    case 'goodbye':
      step.set({ leaving: true });
      step.send();
      break;
    case 'tick':
      step.tick();
      break;
  }
  if (signature(before) !== signature(step.s)) step.actions.push({ kind: 'viewChanged' });
  return { state: step.s, actions: step.actions };
}

/** Whether the report inside this heartbeat is worth decoding. */
export function wantsReport(state: MembershipState, heartbeat: Heartbeat): boolean {
  if (heartbeat.node !== state.config.peer) return false;
  if (state.current?.boot === heartbeat.boot) return heartbeat.reportVersion > state.current.reportVersion;
  return heartbeat.echo?.boot === state.boot;
}

class Step {
  s: MembershipState;
  readonly actions: MembershipAction[] = [];
  readonly #now: number;

  constructor(state: MembershipState, nowMs: number) {
    this.s = state;
    this.#now = nowMs;
  }

  set(change: Partial<MembershipState>): void {
    this.s = { ...this.s, ...change };
  }

  #log(level: 'info' | 'warn' | 'error', text: string): void {
    this.actions.push({ kind: 'log', level, text });
  }

  #refuse(reason: 'stranger' | 'own name' | 'wrong link' | 'replay' | 'impossible', detail: string): void {
    this.actions.push({ kind: 'refused', reason, detail });
  }

  /** Did this very process stand still? Then the silence was its own, whatever comes first afterwards. */
  notice(): void {
    const { config, lastStepMs, lifeMs, initdeadAtMs, links } = this.s;
    const away = this.#now - lastStepMs;
    this.set({ lastStepMs: Math.max(this.#now, lastStepMs) });
    if (away <= config.deadtimeMs / 2 + tickMs(config)) return;
    this.actions.push({ kind: 'stalled', forMs: away });
    this.#log('error', `this node's cluster manager did not run for ${Math.round(away)} ms (stopped, suspended or out of CPU): silence in that time says nothing about ${config.peer}`);
    this.set({
      lifeMs: this.s.peer === 'alive' ? this.#now : lifeMs,
      initdeadAtMs: initdeadAtMs + away,
      links: links.map((link) => (link.lifeMs !== null && lastStepMs - link.lifeMs <= config.deadtimeMs ? { ...link, lifeMs: this.#now } : link)),
    });
  }

  tick(): void {
    const { config } = this.s;
    this.#judge();
    this.#judgeLinks();
    if (this.#now >= this.s.nextSendMs) {
      const next = this.s.nextSendMs + config.keepaliveMs;
      this.send();
      this.set({ nextSendMs: next > this.#now ? next : this.#now + config.keepaliveMs });
    }
  }

  /** One heartbeat to all links. A large report that the peer does not hold yet goes in a second one: its fragments may be lost. */
  send(): void {
    const { ownBytes, ownVersion, current, leaving } = this.s;
    const small = ownBytes <= smallReportBytes;
    this.#sendOne(small && ownVersion > 0);
    if (!small && !leaving && (current === null || current.confirmedVersion < ownVersion)) this.#sendOne(true);
  }

  #sendOne(withReport: boolean): void {
    const s = this.s;
    const sequence = s.sequence + 1;
    const known = s.current !== null ? { boot: s.current.boot, links: s.links.map(({ name, highest, highestMs }) => ({ name, sequence: highest, atMs: highestMs })) } : this.#candidateLinks();
    const rival = s.rival === null ? null : { boot: s.rival.boot, sequence: s.rival.sequence };
    const heartbeats = s.config.links.map((link): Heartbeat => {
      const own = known?.links.find(({ name }) => name === link);
      const echo =
        known === null
          ? null
          : {
              boot: known.boot,
              heldUs: Math.max(0, Math.round((this.#now - (own?.atMs ?? this.#now)) * 1000)),
              reportVersion: s.current?.reportVersion ?? 0,
              links: known.links.filter((each) => each.sequence > 0).map(({ name, sequence: heard }) => ({ name, sequence: heard })),
            };
      return { cluster: s.config.cluster, node: s.config.self, link, boot: s.boot, sequence, reportVersion: s.ownVersion, goodbye: s.leaving, echo, rival };
    });
    this.set({ sequence, sent: [...s.sent.slice(1 - sentKept), { sequence, atMs: this.#now }], lastSendMs: this.#now });
    this.actions.push({ kind: 'send', heartbeats, withReport });
  }

  #candidateLinks(): { boot: string; links: { name: string; sequence: number; atMs: number }[] } | null {
    const { candidate } = this.s;
    return candidate === null ? null : { boot: candidate.boot, links: Object.entries(candidate.links).map(([name, at]) => ({ name, ...at })) };
  }

  /** Answers out of turn, but never more often than four times per keepalive. */
  #answer(): void {
    if (this.#now - this.s.lastSendMs >= this.s.config.keepaliveMs / 4) this.send();
  }

  #sentAt(sequence: number): number | null {
    const { sent } = this.s;
    const first = sent[0]?.sequence ?? 0;
    return sequence < first ? null : (sent[sequence - first]?.atMs ?? null);
  }

  packet(arrivedOn: string, heartbeat: Heartbeat, report: { value: NodeReport } | null): void {
    const { config, current, boot, sequence, retired } = this.s;
    if (heartbeat.node === config.self) {
      this.#ownName(heartbeat);
      return;
    }
    if (heartbeat.node !== config.peer) {
      this.#refuse('stranger', `a node that is not configured, '${heartbeat.node}'`);
      return;
    }
    const link = this.s.links.find(({ name }) => name === arrivedOn);
    if (link === undefined || heartbeat.link !== arrivedOn) {
      this.#refuse('wrong link', `sent on link '${heartbeat.link}', came in on '${arrivedOn}': are the cables or addresses exchanged?`);
      return;
    }
    const echoed = heartbeat.echo?.boot === boot ? Math.max(0, ...heartbeat.echo.links.map((each) => each.sequence)) : 0;
    if (echoed > sequence) {
      this.#refuse('impossible', `${config.peer} says it has received what was never sent`);
      return;
    }
    const sentAt = echoed === 0 ? null : this.#sentAt(echoed);
    const fresh = sentAt !== null && this.#now - sentAt <= config.deadtimeMs;
    if (current !== null && heartbeat.boot === current.boot) {
      if (this.s.peer === 'left') return;
      if (heartbeat.sequence <= link.highest) {
        this.#refuse('replay', 'a copy, or overtaken by a later one');
        return;
      }
      this.#known(link, heartbeat, echoed, fresh, report);
      return;
    }
    const former = retired.find((each) => each.boot === heartbeat.boot);
    if (former !== undefined) {
      if (!fresh || echoed <= former.atSequence) {
        this.#refuse('replay', `of a former life of ${config.peer}`);
        return;
      }
      if (!this.#comesBack(heartbeat.boot)) return;
    } else if (current !== null && fresh && echoed < current.confirmedSeq) {
      this.#refuse('replay', `overtaken by a later life of ${config.peer}`);
      return;
    }
    if (fresh) this.#newBoot(heartbeat, echoed, report);
    else this.#handshake(arrivedOn, heartbeat);
  }

  /**
   * A former boot speaks again. Once it may be that a packet which was overtaken had displaced it: it is taken back. When another one did so before,
   * both live. False: it is not to be taken.
   */
  #comesBack(boot: string): boolean {
    const { comeback, peerTwinsMs, config } = this.s;
    if (comeback === null || comeback.boot === boot || this.#now - comeback.atMs > twinsKeptMs) {
      this.set({ comeback: { boot, atMs: this.#now } });
      if (peerTwinsMs === null) return true;
    } else if (peerTwinsMs === null)
      this.#log('error', `two nodes call themselves ${config.peer}: give each its own name; until then what they say is not acted on`);
    this.set({ peerTwinsMs: this.#now });
    // unless the other one went silent: then this one is the peer now
    return this.#now - this.s.lifeMs > config.deadtimeMs;
  }

  #ownName(heartbeat: Heartbeat): void {
    const { boot, rival } = this.s;
    // multicast gives us our own back
    if (heartbeat.boot === boot) return;
    const sentAt = heartbeat.rival?.boot === boot ? this.#sentAt(heartbeat.rival.sequence) : null;
    const proven = sentAt !== null && this.#now - sentAt <= this.s.config.deadtimeMs;
    this.#refuse('own name', `another node calls itself ${this.s.config.self}${proven ? '' : ', or an old heartbeat of this node was replayed'}`);
    if (proven && rival?.proven !== true)
      this.#log('error', `another node calls itself ${this.s.config.self}, with the right key: give each node its own name; nothing may be served under this one`);
    this.set({ rival: { boot: heartbeat.boot, sequence: heartbeat.sequence, atMs: this.#now, proven: proven || (rival?.proven === true && rival.boot === heartbeat.boot) } });
  }

  /** An unknown boot that proves nothing: remembered for the echo, answered. */
  #handshake(arrivedOn: string, heartbeat: Heartbeat): void {
    const { candidate, current } = this.s;
    if (heartbeat.echo?.boot === this.s.boot) this.set({ deafMs: this.#now });
    const known = candidate?.boot === heartbeat.boot ? candidate.links : {};
    const sequence = Math.max(heartbeat.sequence, known[arrivedOn]?.sequence ?? 0);
    this.set({ candidate: { boot: heartbeat.boot, links: { ...known, [arrivedOn]: { sequence, atMs: this.#now } } } });
    if (current === null || this.s.peer === 'dead' || this.s.peer === 'left') this.#answer();
  }

  /** A boot that was not known has proven to be alive: the peer's cluster manager has started, or we have. */
  #newBoot(heartbeat: Heartbeat, echoed: number, report: { value: NodeReport } | null): void {
    const { config, current, retired, sequence, peer } = this.s;
    const gone = retired.filter((each) => each.boot !== heartbeat.boot);
    this.set({
      retired: current === null ? gone : [...gone.slice(1 - retiredKept), { boot: current.boot, atSequence: sequence }],
      candidate: null,
      current: { boot: heartbeat.boot, firstMs: this.#now, report: null, reportVersion: 0, announcedVersion: 0, reportAtMs: null, confirmedVersion: 0, confirmedSeq: 0 },
      links: this.s.links.map((link) => ({ ...link, highest: 0, highestMs: this.#now, peerHeard: 0 })),
    });
    if (peer === 'alive' && current !== null) {
      this.#log('warn', `the cluster manager of ${config.peer} has been restarted`);
      // the time of its start is no gap of the network
      this.set({ lifeMs: this.#now });
    }
    const link = this.s.links.find(({ name }) => name === heartbeat.link);
    if (link !== undefined) this.#known(link, heartbeat, echoed, true, report);
    // it can not know yet that we know it
    this.send();
  }

  /** The next heartbeat of the peer's present boot. */
  #known(link: Link, heartbeat: Heartbeat, echoed: number, fresh: boolean, report: { value: NodeReport } | null): void {
    const { current, deafMs } = this.s;
    if (current === null) return;
    const now = this.#now;
    const heardOnLink = heartbeat.echo?.boot === this.s.boot ? heartbeat.echo.links : [];
    const links = this.s.links.map((each): Link => {
      const peerHeard = Math.max(each.peerHeard, heardOnLink.find(({ name }) => name === each.name)?.sequence ?? 0);
      if (each.name !== link.name) return peerHeard === each.peerHeard ? each : { ...each, peerHeard };
      const sentAt = this.#sentAt(peerHeard);
      const rttMs = sentAt === null || peerHeard === 0 ? each.rttMs : Math.max(0, now - sentAt - (heartbeat.echo?.heldUs ?? 0) / 1000);
      return {
        ...each,
        peerHeard,
        rttMs,
        highest: heartbeat.sequence,
        highestMs: now,
        lost: each.lost + (each.highest === 0 ? 0 : heartbeat.sequence - each.highest - 1),
        lifeMs: fresh ? now : each.lifeMs,
        gaps: fresh && each.lifeMs !== null && each.shown !== 'dead' ? addGap(each.gaps, now - each.lifeMs, now) : each.gaps,
      };
    });
    const newer = report !== null && heartbeat.reportVersion > current.reportVersion;
    this.set({
      links,
      deafMs: fresh ? null : now,
      current: {
        ...current,
        report: newer ? report.value : current.report,
        reportVersion: newer ? heartbeat.reportVersion : current.reportVersion,
        announcedVersion: Math.max(current.announcedVersion, heartbeat.reportVersion),
        reportAtMs: newer ? now : current.reportAtMs,
        confirmedSeq: Math.max(current.confirmedSeq, echoed),
        confirmedVersion: echoed === 0 ? current.confirmedVersion : Math.max(current.confirmedVersion, Math.min(heartbeat.echo?.reportVersion ?? 0, this.s.ownVersion)),
      },
    });
    if (fresh) this.#life(link.name, deafMs !== null);
    if (fresh && heartbeat.goodbye) {
      this.#log('info', `${this.s.config.peer} has left the cluster`);
      this.#become('left');
      return;
    }
    this.#judgeLinks();
    // the sooner it knows that its claim is known, the sooner it may act
    if (newer) this.send();
  }

  #life(link: string, wasDeaf: boolean): void {
    const { config, peer, lifeMs, current, byReplicationOnly } = this.s;
    const gap = this.#now - lifeMs;
    const silent = `${Math.round(gap)} ms`;
    if (peer === 'alive') {
      this.set({ gaps: addGap(this.s.gaps, gap, this.#now) });
      if (byReplicationOnly) this.#log('warn', `heartbeats of ${config.peer} are back on link ${link} after ${silent}; only the replication link showed that it lived`);
      else if (gap > config.warntimeMs) this.#late(gap);
      this.#closeCall();
    } else if (peer === 'dead' && current !== null && current.firstMs < this.s.sinceMs) {
      const why = wasDeaf ? 'the network was one-way' : 'the network was cut, or its cluster manager did not run';
      this.#log('warn', `${config.peer} is back on link ${link} after ${silent} and has not been restarted: ${why}`);
    } else this.#log('info', `${config.peer} is alive: heard on link ${link}`);
    this.set({ lifeMs: this.#now, byReplicationOnly: false });
    if (peer !== 'alive') this.#become('alive');
  }

  #late(gap: number): void {
    const { config, lateSaidMs, lateUnsaid } = this.s;
    if (this.#now - lateSaidMs < warnEveryMs) {
      this.set({ lateUnsaid: lateUnsaid + 1 });
      return;
    }
    const more = lateUnsaid === 0 ? '' : `; ${lateUnsaid} more since the last such line`;
    this.#log('warn', `late heartbeat of ${config.peer}: ${Math.round(gap)} ms on all links (warntime ${config.warntimeMs} ms, deadtime ${config.deadtimeMs} ms)${more}`);
    this.set({ lateSaidMs: this.#now, lateUnsaid: 0 });
  }

  /** Says once that deadtime is too near to what happens here, and again when it got worse. */
  #closeCall(): void {
    const text = closeWarning(this.s, this.#now);
    const longest = longestGapMs(this.s.gaps, this.#now);
    if (text === null) {
      if (this.s.closeSaidForMs > 0) this.set({ closeSaidForMs: 0 });
    } else if (longest > this.s.closeSaidForMs) {
      this.#log('warn', text);
      this.set({ closeSaidForMs: longest * 1.1 });
    }
  }

  replication(sign: 'alive' | 'dead' | 'unknown'): void {
    this.set({ replicationMs: sign === 'alive' ? this.#now : null });
    const { peer, config } = this.s;
    if (sign === 'alive' && peer === 'dead') {
      this.#log('error', `${config.peer} lives: the replication link says so, no heartbeat comes in; repair the heartbeat links`);
      this.set({ byReplicationOnly: true });
      this.#become('alive');
    } else this.#judge();
  }

  #become(peer: PeerState): void {
    if (this.s.peer !== peer) this.set({ peer, sinceMs: this.#now });
  }

  /** Silence: asks the replication link, and in the end declares death. */
  #judge(): void {
    const { config, peer, lifeMs, replicationMs, initdeadAtMs, lastCheckMs, deafMs } = this.s;
    const now = this.#now;
    const silent = now - lifeMs;
    const proven = replicationMs !== null && now - replicationMs <= config.deadtimeMs;
    const isDeaf = peer !== 'alive' || silent > config.deadtimeMs ? deafMs !== null && now - deafMs <= config.deadtimeMs : false;
    if (isDeaf !== this.s.shownDeaf) {
      if (isDeaf) this.#log('error', `heartbeats of ${config.peer} come in but it does not hear ours: the network is one-way, or old heartbeats are replayed`);
      this.set({ shownDeaf: isDeaf });
    }
    if ((peer === 'alive' || peer === 'unknown') && silent > config.warntimeMs && now - lastCheckMs >= config.keepaliveMs) {
      this.actions.push({ kind: 'checkReplication' });
      this.set({ lastCheckMs: now });
    }
    const over = peer === 'alive' ? silent > config.deadtimeMs : peer === 'unknown' && now >= initdeadAtMs;
    if (this.s.peerTwinsMs !== null && now - this.s.peerTwinsMs > twinsKeptMs) this.set({ peerTwinsMs: null });
    if (this.s.rival !== null && now - this.s.rival.atMs > twinsKeptMs) this.set({ rival: null });
    if (!over) return;
    if (proven) {
      if (!this.s.byReplicationOnly) {
        this.#log('error', `no heartbeat of ${config.peer} for ${Math.round(silent)} ms on any link, but the replication link shows that it lives; repair the heartbeat links`);
        this.set({ byReplicationOnly: true });
        this.#become('alive');
      }
      return;
    }
    const never = peer === 'unknown' ? `was not heard within initdead (${config.initdeadMs} ms)` : `is dead: nothing heard for ${Math.round(silent)} ms on any link (deadtime ${config.deadtimeMs} ms)`;
    this.#log('error', `${config.peer} ${never}, nor does the replication link show a sign of it`);
    this.set({ byReplicationOnly: false });
    this.#become('dead');
  }

  /** Link states that are shown, with a sentence for each change. */
  #judgeLinks(): void {
    const { config, peer } = this.s;
    let changed = false;
    const links = this.s.links.map((link): Link => {
      const shown = linkHealth(link, config, this.#now);
      const shownOneWay = this.#isOneWay(link, shown);
      if (shown === link.shown && shownOneWay === link.shownOneWay) return link;
      changed = true;
      const silent = link.lifeMs === null ? 0 : Math.round(this.#now - link.lifeMs);
      // when the peer died or left its links are silent with it
      if (shown === 'dead' && peer === 'alive') this.#log('warn', `link ${link.name} to ${config.peer} is down: nothing heard for ${silent} ms`);
      if (shown === 'up' && link.shown === 'dead') this.#log('info', `link ${link.name} to ${config.peer} is up again`);
      if (shownOneWay && !link.shownOneWay) this.#log('warn', `link ${link.name} is one-way: ${config.peer} is heard on it and does not hear us`);
      return { ...link, shown, shownOneWay };
    });
    if (changed) this.set({ links });
  }

  #isOneWay(link: Link, health: LinkHealth): boolean {
    const { current, peer, config } = this.s;
    if (peer !== 'alive' || current === null || health !== 'up' || this.#now - current.firstMs <= 2 * config.deadtimeMs) return false;
    const sentAt = this.#sentAt(link.peerHeard);
    return link.peerHeard === 0 || sentAt === null || this.#now - sentAt > 2 * config.deadtimeMs;
  }
}

function linkHealth(link: Link, config: MembershipConfig, nowMs: number): LinkHealth {
  if (link.lifeMs === null) return 'never';
  const silent = nowMs - link.lifeMs;
  return silent <= config.warntimeMs ? 'up' : silent <= config.deadtimeMs ? 'late' : 'dead';
}

/** At least twice the longest gap, on a round number. */
function closeWarning(state: MembershipState, nowMs: number): string | null {
  const longest = longestGapMs(state.gaps, nowMs);
  if (longest <= state.config.deadtimeMs / 2) return null;
  const wanted = Math.ceil((longest * 2) / 100) * 100;
  return `deadtime ${state.config.deadtimeMs} ms is close to what this network really does: largest gap ${Math.round(longest)} ms in the last hour, use at least ${wanted} ms`;
}

function twins(state: MembershipState): MembershipView['twins'] {
  if (state.rival?.proven === true) return 'own name';
  if (state.peerTwinsMs !== null) return 'peer name';
  return state.rival === null ? 'none' : 'own name suspected';
}

/** How old the newest own heartbeat is that the peer has received, in ms; Infinity when there is none or it is too old to tell. */
function confirmedAge(state: MembershipState, nowMs: number): number {
  const sequence = state.current?.confirmedSeq ?? 0;
  const sent = sequence === 0 ? undefined : state.sent.find((each) => each.sequence === sequence);
  return sent === undefined ? Number.POSITIVE_INFINITY : nowMs - sent.atMs;
}

/** What others may know; cheap, made anew at each call. */
export function membershipView(state: MembershipState, nowMs: number): MembershipView {
  const { current, config } = state;
  const close = closeWarning(state, nowMs);
  const view: MembershipView = {
    peer: state.peer,
    sinceMs: state.sinceMs,
    boot: current?.boot ?? null,
    byReplicationOnly: state.byReplicationOnly,
    deaf: state.shownDeaf,
    lastHeardMs: state.links.reduce<number | null>((last, { lifeMs }) => (lifeMs === null ? last : Math.max(last ?? lifeMs, lifeMs)), null),
    report: current?.report ?? null,
    reportVersion: current?.reportVersion ?? 0,
    reportAtMs: current?.reportAtMs ?? null,
    ownVersion: state.ownVersion,
    reportIsCurrent: current !== null && current.reportVersion >= current.announcedVersion,
    confirmedVersion: current?.confirmedVersion ?? 0,
    confirmedAgeMs: confirmedAge(state, nowMs),
    confirmedSeq: current?.confirmedSeq ?? 0,
    links: state.links.map((link): LinkView => {
      const open = link.lifeMs !== null && state.peer === 'alive' ? nowMs - link.lifeMs : 0;
      return {
        name: link.name,
        state: linkHealth(link, config, nowMs),
        oneWay: link.shownOneWay,
        lastHeardMs: link.lifeMs,
        gapMaxMs: Math.max(longestGapMs(link.gaps, nowMs), Math.min(open, config.deadtimeMs)),
        rttMs: link.rttMs,
        lost: link.lost,
      };
    }),
    twins: twins(state),
    gapMaxMs: longestGapMs(state.gaps, nowMs),
    warnings: [],
  };
  if (close !== null) view.warnings.push(close);
  if (view.byReplicationOnly) view.warnings.push(`no heartbeat link to ${config.peer} works; only the replication link shows that it lives`);
  if (view.deaf) view.warnings.push(`${config.peer} is heard but does not hear this node`);
  if (view.twins === 'own name') view.warnings.push(`another node calls itself ${config.self}`);
  if (view.twins === 'peer name') view.warnings.push(`two nodes call themselves ${config.peer}`);
  for (const link of view.links) {
    if (link.oneWay) view.warnings.push(`link ${link.name} is one-way: ${config.peer} does not hear this node on it`);
    else if (view.peer === 'alive' && (link.state === 'dead' || link.state === 'never')) view.warnings.push(`link ${link.name} is down`);
  }
  return view;
}

/** What a change of is worth a new look at the view. */
function signature(state: MembershipState): string {
  const { peer, sinceMs, byReplicationOnly, shownDeaf, current, links, ownVersion } = state;
  const peerSide = current === null ? '' : `${current.boot} ${current.reportVersion} ${current.confirmedVersion}`;
  return `${peer} ${sinceMs} ${byReplicationOnly} ${shownDeaf} ${ownVersion} ${twins(state)} ${peerSide} ${links.map(({ shown, shownOneWay }) => `${shown}${shownOneWay}`).join(' ')}`;
}
