/** The numbers of VRRP: timers, who is better, effective priority. Pure; the machine asks here for everything that is a formula. */
import { ownerPriority } from '../../config/vrrp-types.js';
import { isHigherAddress } from './codec.js';
import type { PriorityTerm, VrrpConfig } from './types.js';

/** How often the machine wants a `tick` at least, in ms. */
export function tickMs(config: Pick<VrrpConfig, 'intervalMs'>): number {
  return Math.max(5, Math.min(config.intervalMs / 4, 250));
}

/** RFC 3768 §6.1 (independent of the interval), RFC 9568 §6.1. Multiples of 10/256 ms: exact in a double. */
export function skewMs(config: Pick<VrrpConfig, 'version'>, priority: number, masterIntervalMs: number): number {
  return ((256 - priority) * (config.version === 2 ? 1000 : masterIntervalMs)) / 256;
}

/** Silence after which a master is dead. */
export function masterDownMs(config: Pick<VrrpConfig, 'version' | 'downAdverts'>, priority: number, masterIntervalMs: number): number {
  return config.downAdverts * masterIntervalMs + skewMs(config, priority, masterIntervalMs);
}

/**
 * An own gap of that length ends mastership: another one may have taken over since. No backup can have done it earlier, its Master_Down is longer
 * by its skew.
 */
export function lapseMs(config: Pick<VrrpConfig, 'intervalMs' | 'downAdverts'>): number {
  return config.downAdverts * config.intervalMs;
}

/**
 * A backup that did not run when its Master_Down ended listens for so long before it believes its own timer: one interval, in which a living
 * master speaks, and its skew, so that not all that slept wake as masters.
 */
export function listenMs(config: Pick<VrrpConfig, 'version'>, priority: number, masterIntervalMs: number): number {
  return masterIntervalMs + skewMs(config, priority, masterIntervalMs);
}

/** A master answers others (lower priority, priority 0) at most that often: a flood must not become two. */
export function answerEveryMs(config: Pick<VrrpConfig, 'intervalMs'>): number {
  return Math.max(10, config.intervalMs / 10);
}

/** A master hears another one: does the other one stay? */
export function isBetter(theirs: { priority: number; source: string }, own: { priority: number; source: string }): boolean {
  return theirs.priority > own.priority || (theirs.priority === own.priority && isHigherAddress(theirs.source, own.source));
}

/** A backup hears a master: is it to be left alone? `delayed`: a preempt delay is running. */
export function isKept(config: Pick<VrrpConfig, 'preempt'>, priority: number, own: number, delayed: boolean): boolean {
  return priority >= own || delayed || (!config.preempt && own !== ownerPriority);
}

/** Sum of base and terms, kept in 1 to 254; an owner stays one. */
export function effectivePriority(base: number, terms: readonly PriorityTerm[]): { value: number; clamped: boolean } {
  if (base === ownerPriority) return { value: base, clamped: false };
  const sum = terms.reduce((total, term) => total + term.value, base);
  const value = Math.max(1, Math.min(254, sum));
  return { value, clamped: value !== sum };
}

/** `80 = 100 base, -20 script chk_nginx`. */
export function priorityText(base: number, terms: readonly PriorityTerm[]): string {
  const { value, clamped } = effectivePriority(base, terms);
  const parts = terms.filter((term) => term.value !== 0).map((term) => `, ${term.value > 0 ? '+' : ''}${term.value} ${term.from}`);
  return `${value} = ${base} base${parts.join('')}${clamped ? ', kept in 1 to 254' : ''}${base === ownerPriority && parts.length > 0 ? ' (an owner keeps 255)' : ''}`;
}

/** Everything that a test can replace to see whether it is noticed. */
export const standardRules = { skewMs, masterDownMs, lapseMs, listenMs, answerEveryMs, isBetter, isKept, isDue: (heardUntilMs: number, atMs: number): boolean => heardUntilMs >= atMs };
export type Rules = typeof standardRules;
