/** Machines that are wrong in one small way each. The schedules must find every one of them. */
import { step, type Stepped } from '../../src/cluster/vrrp/machine.js';
import { type Rules, standardRules } from '../../src/cluster/vrrp/rules.js';
import type { VrrpAction, VrrpConfig, VrrpEvent } from '../../src/cluster/vrrp/types.js';
import type { Stepper } from './world.js';

export interface Mutant {
  name: string;
  stepper: Stepper;
}

function rules(name: string, change: Partial<Rules>): Mutant {
  const changed = { ...standardRules, ...change };
  return { name, stepper: (config, state, event, nowMs) => step(config, state, event, nowMs, changed) };
}
/** `change` of configuration or event before the real machine sees it; null: the event is lost. */
function given(name: string, change: (config: VrrpConfig, event: VrrpEvent, nowMs: number) => { config?: VrrpConfig; event?: VrrpEvent | null }): Mutant {
  return {
    name,
    stepper: (config, state, event, nowMs): Stepped => {
      const changed = { config, event, ...change(config, event, nowMs) };
      return changed.event === null ? { state, actions: [] } : step(changed.config, state, changed.event, nowMs);
    },
  };
}
function without(name: string, forgets: (action: VrrpAction, event: VrrpEvent) => boolean): Mutant {
  return {
    name,
    stepper: (config, state, event, nowMs) => {
      const result = step(config, state, event, nowMs);
      return { state: result.state, actions: result.actions.filter((action) => !forgets(action, event)) };
    },
  };
}

export const mutants: readonly Mutant[] = [
  rules('two masters of one priority both stay', { isBetter: (theirs, own) => theirs.priority > own.priority }),
  rules('a master never steps back', { isBetter: () => false }),
  rules('a master steps back for anybody', { isBetter: () => true }),
  rules('the lower address stays', { isBetter: (theirs, own) => (theirs.priority === own.priority ? standardRules.isBetter({ ...theirs, source: own.source }, { ...own, source: theirs.source }) : theirs.priority > own.priority) }),
  rules('a backup takes over from an equal master', { isKept: (config, priority, own, delayed) => standardRules.isKept(config, priority - 1, own, delayed) }),
  rules('a backup never preempts', { isKept: () => true }),
  rules('nopreempt means nothing', { isKept: (config, ...rest) => standardRules.isKept({ ...config, preempt: true }, ...rest) }),
  rules('a preempt delay means nothing', { isKept: (config, priority, own) => standardRules.isKept(config, priority, own, false) }),
  rules('Master_Down without the skew', { masterDownMs: (config, _, interval) => config.downAdverts * interval }),
  rules('Master_Down an interval too short', { masterDownMs: (config, ...rest) => standardRules.masterDownMs({ ...config, downAdverts: config.downAdverts - 1 }, ...rest) }),
  rules('Master_Down an interval too long', { masterDownMs: (config, ...rest) => standardRules.masterDownMs({ ...config, downAdverts: config.downAdverts + 1 }, ...rest) }),
  rules('the skew grows with the priority', { skewMs: (config, priority, interval) => standardRules.skewMs(config, 256 - priority, interval) }),
  rules('mastership never lapses', { lapseMs: () => Number.MAX_VALUE }),
  rules('a backup that slept does not listen', { listenMs: () => 0 }),
  given('a timer fires before everything was heard', (_, event, nowMs) => (event.kind === 'tick' ? { event: { ...event, heardUntilMs: nowMs } } : {})),
  given('silence is counted from when an advert was read', (_, event, nowMs) => (event.kind === 'advert' ? { event: { ...event, receivedMs: nowMs } } : {})),
  given('the interval of the master is not learned', (config, event) => (event.kind === 'advert' ? { event: { ...event, advert: { ...event.advert, intervalMs: config.intervalMs } } } : {})),
  given('priority 0 is not heard', (_, event) => (event.kind === 'advert' && event.advert.priority === 0 ? { event: null } : {})),
  given('faults are not heard', (_, event) => (event.kind === 'tracked' ? { event: { kind: 'tracked', result: { terms: event.result.terms, faults: [] } } } : {})),
  without('a stop without priority 0', (action, event) => action.kind === 'resign' && event.kind === 'stop'),
  without('stepping back keeps the addresses', (action, event) => action.kind === 'dropAddresses' && event.kind === 'advert'),
  without('stepping back does not stop the thread', (action) => action.kind === 'silence'),
  without('the first advert is forgotten', (action) => action.kind === 'advertise'),
];
