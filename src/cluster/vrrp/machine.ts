/**
 * One virtual router on one node: event in, actions out. Pure.
 *
 *                     start                        a fault
 *        initialize ---------> backup <-------+  <---------> fault     (from master as well: addresses dropped, priority 0 sent)
 *             |                   |           | a better advert; an own gap longer than any Master_Down ("lapse")
 *             | owner (255)       | Master_Down ends, all adverts up to then are known
 *             +---------------> master -------+
 *
 *   initialize  not started, or waits for its start delay; adverts are counted and otherwise ignored
 *   backup      holds no address; each advert that keeps it restarts Master_Down
 *   master      adverts go out; the addresses are held (with a gate: only while its group is served here)
 *   fault       something that is tracked is down; never master
 *
 * The addresses are dropped before anything tells another node that it may take them.
 */
import { rejected, taken } from './hearing.js';
import { type MachineState, ownFaults, priorityOf } from './machine-state.js';
import { type Rules, standardRules } from './rules.js';
import { ownerPriority } from '../../config/vrrp-types.js';
import type { Fault, GateState, VrrpAction, VrrpConfig, VrrpEvent, VrrpState } from './types.js';

/** Bursts that answer other masters come at most that often. */
const contentionEveryMs = 1000;

export interface Stepped {
  state: MachineState;
  actions: VrrpAction[];
}

/** One step in the making. */
class Step {
  /** the state given until something changes, from then on a copy that is changed in place: what is needed of before is read before. */
  state: MachineState;
  #copied = false;
  readonly actions: VrrpAction[] = [];
  readonly config: VrrpConfig;
  readonly nowMs: number;
  readonly rules: Rules;

  constructor(config: VrrpConfig, state: MachineState, nowMs: number, rules: Rules) {
    this.config = config;
    this.state = state;
    this.nowMs = nowMs;
    this.rules = rules;
  }

  set(change: Partial<MachineState>): void {
    if (!this.#copied) this.state = { ...this.state };
    this.#copied = true;
    Object.assign(this.state, change);
  }
  get priority(): number {
    return priorityOf(this.config, this.state);
  }
  get faults(): Fault[] {
    const { groupFault } = this.state;
    return [...ownFaults(this.config, this.state), ...(groupFault === null ? [] : [{ text: `${groupFault.member} of the same group is in fault`, quiet: groupFault.quiet }])];
  }
  get down(): number {
    return this.rules.masterDownMs(this.config, this.priority, this.state.masterIntervalMs);
  }
  log(level: 'info' | 'warn' | 'error', text: string): void {
    this.actions.push({ kind: 'log', level, text: `${this.config.name}: ${text}` });
  }
  advertise(atOnce: boolean): void {
    const { config, rules } = this;
    this.actions.push({ kind: 'advertise', priority: this.priority, intervalMs: config.intervalMs, lapseMs: rules.lapseMs(config), atOnce });
    if (atOnce) this.set({ lastSentMs: this.nowMs, answeredMs: this.nowMs });
  }
  notify(state: 'master' | 'backup' | 'fault' | 'stop'): void {
    this.actions.push({ kind: 'notify', state, priority: this.priority, reason: this.state.reason });
  }

  /** Addresses and adverts end here; `resign`: others need not wait for Master_Down. */
  leaveMaster(reason: string, resign: boolean): void {
    if (this.state.phase !== 'master') return;
    this.actions.push({ kind: 'silence' });
    if (this.state.held) this.actions.push({ kind: 'dropAddresses', reason });
    if (resign) this.actions.push({ kind: 'resign' });
    this.set({ held: false, burst: null, refreshAtMs: null });
  }

  enter(phase: VrrpState, reason: string, change: Partial<MachineState>): void {
    this.set({ phase, reason, sinceMs: this.nowMs, wants: false, downAtMs: null, preemptAtMs: null, keptMs: null, listened: false, heardUntilMs: Math.max(this.state.heardUntilMs, this.nowMs), ...change });
  }

  toBackup(reason: string, fromMs: number, resign: boolean, change: Partial<MachineState> = {}): void {
    this.leaveMaster(reason, resign);
    this.enter('backup', reason, { master: null, masterPriority: null, masterIntervalMs: this.config.intervalMs, ...change });
    this.set({ downAtMs: fromMs + this.down });
    this.notify('backup');
    this.log('info', `backup: ${reason}`);
  }

  toMaster(reason: string): void {
    const { config } = this;
    this.enter('master', reason, { master: this.state.source, masterPriority: this.priority, masterIntervalMs: config.intervalMs, stats: { ...this.state.stats, becameMaster: this.state.stats.becameMaster + 1 } });
    this.advertise(true);
    this.holdAddresses('takeover');
    this.notify('master');
    this.log('info', `master: ${reason}`);
  }

  /** Takes and announces the addresses if they may be held, drops them if not. */
  holdAddresses(reason: string): void {
    const { config, nowMs, state } = this;
    const may = state.phase === 'master' && (config.gate === null || state.gate?.state === 'serving');
    if (!may && state.held) {
      this.actions.push({ kind: 'dropAddresses', reason });
      this.set({ held: false, burst: null, refreshAtMs: null });
    }
    if (!may) return;
    const { announce } = config;
    this.actions.push({ kind: 'takeAddresses' });
    this.set({ held: true, burst: null, refreshAtMs: announce.refreshMs > 0 ? nowMs + announce.refreshMs : null });
    this.announce(announce.frames, announce.repeatAfterMs, reason);
  }

  announce(frames: number, repeatAfterMs: number, reason: string): void {
    this.actions.push({ kind: 'announce', frames, reason });
    if (repeatAfterMs > 0) this.set({ burst: { atMs: this.nowMs + repeatAfterMs, frames } });
  }

  /** After anything that faults, priority or start depend on. */
  settle(): void {
    const { started, startAtMs, phase, quiet, grouped, shownPriority } = this.state;
    if (!started || startAtMs !== null) return;
    const { faults, priority } = this;
    if (faults.length > 0) this.toFault(faults, phase, quiet);
    else if (phase === 'fault' || phase === 'initialize') {
      const first = phase === 'initialize' ? 'started' : 'all that is tracked is well';
      const delay = phase === 'initialize' && this.config.preemptDelayMs > 0 ? { preemptAtMs: this.nowMs + this.config.preemptDelayMs } : {};
      if (priority === ownerPriority && !grouped) this.toMaster(`${first}, owner of the addresses`);
      else this.toBackup(first, this.nowMs, false, delay);
      if (priority === ownerPriority && grouped) this.set({ wants: true });
    }
    if (priority === shownPriority) return;
    this.set({ shownPriority: priority });
    this.actions.push({ kind: 'notifyPriority', priority });
    if (this.state.phase !== 'master') return;
    this.set({ masterPriority: priority });
    if (phase === 'master') this.advertise(false);
  }

  toFault(faults: readonly Fault[], phase: VrrpState, wasQuiet: boolean): void {
    const reason = faults.map((fault) => fault.text).join('; ');
    // who is told of mastership is told of its end, whatever ends it
    const quiet = faults.every((fault) => fault.quiet) && phase !== 'master';
    this.leaveMaster(reason, true);
    if (phase !== 'fault') this.enter('fault', reason, { master: null, masterPriority: null });
    // told once: what was loud does not become quiet again
    this.set({ reason, quiet: quiet && (phase !== 'fault' || wasQuiet) });
    if (quiet || (phase === 'fault' && !wasQuiet)) return;
    this.notify('fault');
    this.log('warn', `fault: ${reason}`);
  }

  /** Nothing was sent for so long that another one may be master by now: look before acting. */
  lapse(gapMs: number): void {
    const limit = this.rules.lapseMs(this.config);
    if (this.state.phase !== 'master' || gapMs <= limit) return;
    const { stats } = this.state;
    this.set({ stats: { ...stats, lapses: stats.lapses + 1, worstOwnGapMs: Math.max(stats.worstOwnGapMs, gapMs) } });
    this.log('warn', `no own advert for ${(gapMs / 1000).toFixed(3)} s (limit ${(limit / 1000).toFixed(3)} s): mastership is given up`);
    this.toBackup('did not run for longer than others wait', this.nowMs, false);
  }

  /** A backup that did not run may have missed adverts (its machine stood still, or the kernel's queue was full): once per silence it waits for the next. */
  listen(sleptMs: number): void {
    const { phase, downAtMs, listened, masterIntervalMs } = this.state;
    const listen = this.rules.listenMs(this.config, this.priority, masterIntervalMs);
    if (phase !== 'backup' || listened || downAtMs === null || downAtMs >= this.nowMs + listen) return;
    this.log('warn', `did not run for ${(sleptMs / 1000).toFixed(3)} s: listens for ${(listen / 1000).toFixed(3)} s before it takes over`);
    this.set({ listened: true, downAtMs: this.nowMs + listen });
  }

  /** Why Master_Down has ended: a master that speaks with a lower priority does not hold it up. */
  whyDue(): string {
    const { master, masterPriority, hearing } = this.state;
    if (master === null) return 'no master was heard';
    const lastMs = hearing.senders.find(({ source }) => source === master)?.lastTakenMs ?? Number.NEGATIVE_INFINITY;
    const speaks = this.nowMs - lastMs <= this.down;
    return speaks && masterPriority !== null && masterPriority < this.priority ? `${master} has a lower priority, ${masterPriority}` : `${master} is silent`;
  }

  tick(heardUntilMs: number): void {
    const { rules, nowMs } = this;
    // since the last turn, or so old is what is given now
    const slept = Math.max(heardUntilMs - this.state.heardUntilMs, nowMs - heardUntilMs);
    // a master waits for nothing that it could hear
    if (this.state.phase !== 'master' && heardUntilMs > this.state.heardUntilMs) this.set({ heardUntilMs });
    if (this.state.startAtMs !== null && nowMs >= this.state.startAtMs) {
      this.set({ startAtMs: null });
      this.settle();
    }
    if (slept > this.state.masterIntervalMs) this.listen(slept);
    const { downAtMs, phase, wants } = this.state;
    if (phase === 'backup' && !wants && downAtMs !== null && rules.isDue(heardUntilMs, downAtMs)) {
      if (this.state.grouped) this.set({ wants: true, reason: 'the master is silent; waits for the rest of the group' });
      else this.toMaster(this.whyDue());
    }
    const { burst, refreshAtMs } = this.state;
    if (burst !== null && nowMs >= burst.atMs) {
      this.actions.push({ kind: 'announce', frames: burst.frames, reason: 'second burst' });
      this.set({ burst: null });
    }
    if (refreshAtMs !== null && nowMs >= refreshAtMs) {
      this.actions.push({ kind: 'announce', frames: this.config.announce.refreshFrames, reason: 'refresh' });
      this.set({ refreshAtMs: nowMs + this.config.announce.refreshMs });
    }
  }

  advert(source: string, priority: number, intervalMs: number, receivedMs: number): void {
    const { config, state } = this;
    if (source === state.source) {
      this.reject(source, 'source', 'an advert from our own address: a second node has it, or unicast_peer names this node', receivedMs);
      return;
    }
    this.set({ hearing: taken(state.hearing, source, priority, receivedMs) });
    if (config.ownerIgnoresAdverts && config.priority === ownerPriority) return;
    if (state.phase === 'backup') this.advertAsBackup(source, priority, intervalMs, receivedMs);
    else if (state.phase === 'master') this.advertAsMaster(source, priority, intervalMs, receivedMs);
  }

  advertAsBackup(source: string, priority: number, intervalMs: number, receivedMs: number): void {
    const { config, rules } = this;
    const { master, keptMs, masterIntervalMs, downAtMs, listened } = this.state;
    const knownMs = keptMs ?? this.state.sinceMs;
    if (priority === 0) {
      // one that is not the master leaves, or this is older than what is known: nothing ends by that
      if ((master !== null && master !== source) || receivedMs < knownMs) return;
      const soonMs = receivedMs + rules.skewMs(config, this.priority, masterIntervalMs);
      this.set({ master: null, masterPriority: null });
      // after a sleep it may be old news: another one may be master since
      if (!listened) this.set({ downAtMs: Math.min(downAtMs ?? soonMs, soonMs) });
      return;
    }
    const own = this.priority;
    let { preemptAtMs } = this.state;
    if (priority >= own) preemptAtMs = null;
    else if (preemptAtMs === null && config.preempt && config.preemptDelayMs > 0) preemptAtMs = receivedMs + config.preemptDelayMs;
    const delayed = priority < own && preemptAtMs !== null && receivedMs < preemptAtMs;
    this.set({ preemptAtMs, master: source, masterPriority: priority });
    if (!rules.isKept(config, priority, own, delayed)) return;
    if (config.version === 3) this.set({ masterIntervalMs: intervalMs });
    const { down } = this;
    if (master === source && keptMs !== null) {
      const silence = receivedMs - keptMs;
      const { stats } = this.state;
      if (silence > stats.worstSilenceMs || silence / down > stats.worstSilencePart)
        this.set({ stats: { ...stats, worstSilenceMs: Math.max(stats.worstSilenceMs, silence), worstSilencePart: Math.max(stats.worstSilencePart, silence / down) } });
    }
    // an old one is no reason to wait for less than what is known already
    const sinceMs = Math.max(receivedMs, knownMs);
    // nor is one that is worth less than we are, and only kept because of the delay: a better one may have been heard just before
    const notBeforeMs = delayed ? (downAtMs ?? 0) : 0;
    this.set({ keptMs: sinceMs, wants: false, listened: false, downAtMs: Math.max(notBeforeMs, sinceMs + down) });
  }

  advertAsMaster(source: string, priority: number, intervalMs: number, receivedMs: number): void {
    const { config, state, rules, nowMs } = this;
    if (priority === 0) {
      if (nowMs - state.answeredMs >= rules.answerEveryMs(config)) this.advertise(true);
      return;
    }
    if (rules.isBetter({ priority, source }, { priority: this.priority, source: state.source ?? '' })) {
      if (config.answerHigher) this.advertise(true);
      const master = { master: source, masterPriority: priority, keptMs: receivedMs, ...(config.version === 3 ? { masterIntervalMs: intervalMs } : {}) };
      this.toBackup(`${source} is master with priority ${priority}`, receivedMs, false, master);
      return;
    }
    if (config.answerLower && nowMs - state.answeredMs >= rules.answerEveryMs(config)) this.advertise(true);
    if (nowMs - state.contentionMs < contentionEveryMs) return;
    this.set({ contentionMs: nowMs });
    this.log('warn', `${source} is master as well, with priority ${priority} below ${this.priority}`);
    if (this.state.held) this.announce(config.announce.lowerFrames, config.announce.lowerRepeatAfterMs, 'another master was heard');
    this.actions.push({ kind: 'notifyLower', priority, source });
  }

  reject(source: string, reason: Parameters<typeof rejected>[2], text: string, receivedMs: number): void {
    if (reason === 'vrid') return;
    const result = rejected(this.state.hearing, source, reason, text, receivedMs);
    this.set({ hearing: result.state });
    if (result.log) this.log('warn', `peer heard but rejected: ${text} (${source})`);
  }

  advertised(lastMs: number, longestGapMs: number): void {
    const { phase, lastSentMs, stats } = this.state;
    if (phase !== 'master') return;
    if (lastMs > lastSentMs) this.set({ lastSentMs: lastMs });
    if (longestGapMs > stats.worstOwnGapMs) this.set({ stats: { ...stats, worstOwnGapMs: longestGapMs } });
    this.lapse(longestGapMs);
  }

  start(source: string | null): void {
    if (this.state.started) return;
    const { startDelayMs } = this.config;
    this.set({ started: true, source, heardUntilMs: this.nowMs, startAtMs: startDelayMs > 0 ? this.nowMs + startDelayMs : null });
    this.settle();
  }

  gate(state: GateState, reason: string): void {
    const { gate } = this.config;
    if (gate === null) return;
    const before = this.state.gate?.state;
    this.set({ gate: { state, reason } });
    this.settle();
    const serving = state === 'serving';
    if (before !== state && this.state.held !== serving) this.holdAddresses(serving ? `group ${gate.group} is served here` : `group ${gate.group}: ${reason}`);
  }

  stop(): void {
    if (!this.state.started) return;
    this.leaveMaster('stopped', true);
    this.enter('initialize', 'stopped', { started: false, startAtMs: null, master: null, masterPriority: null });
    this.notify('stop');
  }

  handle(event: VrrpEvent): void {
    switch (event.kind) {
      case 'start':
        this.start(event.source);
        break;
      case 'stop':
        this.stop();
        break;
      case 'tick':
        this.tick(event.heardUntilMs);
        break;
      case 'advert':
        this.advert(event.advert.source, event.advert.priority, event.advert.intervalMs, event.receivedMs);
        break;
      case 'rejected':
        this.reject(event.source, event.reason, event.text, event.receivedMs);
        break;
      case 'advertised':
        this.advertised(event.lastMs, event.longestGapMs);
        break;
      case 'tracked':
        this.set({ tracked: event.result });
        this.settle();
        break;
      case 'source':
        this.set({ source: event.source });
        this.settle();
        break;
      case 'gate':
        this.gate(event.state, event.reason);
        break;
      case 'addressesLost':
        if (!this.state.held) break;
        this.log('warn', `addresses are held again: ${event.reason}`);
        this.holdAddresses(event.reason);
        break;
      case 'permitted':
        if (this.state.phase === 'backup' && this.state.wants) this.toMaster('the whole group is without a master');
        break;
      case 'groupYields':
        if (this.state.phase === 'master') this.toBackup(`${event.member} of the same group is not master any more`, this.nowMs, true);
        break;
      case 'groupFault':
        this.set({ groupFault: event.member === null ? null : { member: event.member, quiet: event.quiet } });
        this.settle();
        break;
    }
  }
}

/**
 * What follows from one event at `nowMs`. The state given is not changed. Before anything else a master whose own adverts have a gap of `lapseMs`
 * gives up; `rules` is replaced by tests only.
 */
export function step(config: VrrpConfig, state: MachineState, event: VrrpEvent, nowMs: number, rules: Rules = standardRules): Stepped {
  const made = new Step(config, state, nowMs, rules);
  if (event.kind !== 'advertised') made.lapse(nowMs - made.state.lastSentMs);
  made.handle(event);
  return { state: made.state, actions: made.actions };
}
