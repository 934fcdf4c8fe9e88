/**
 * Scripts that call drbdadm have no time limit of their own, and a daemon that hangs would hang the cluster manager with it: questions
 * end after 5 s and changes after 121 s, as drbdadm ends its drbdsetup.
 */
import { drbdtsError } from '../../shared/errors.js';
import type { ControlApi } from '../api.js';

export const questionLimitMs = 5_000;
export const changeLimitMs = 121_000;

/** Verbs that wait for something by their own purpose. */
const unlimited: ReadonlySet<string> = new Set(['wait-connect', 'wait-sync']);

/** The answer of `call`, or ERR_NO_ANSWER after `limitMs`. The call itself stays open. */
async function within<T>(limitMs: number, what: string, call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(drbdtsError('ERR_NO_ANSWER', { values: { what, seconds: limitMs / 1000 } })), limitMs);
  });
  // whichever is later must not count as an unhandled rejection
  call.catch(() => {});
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same API with a limit on every call but those that wait on purpose and the event stream. */
export function withTimeLimits(api: ControlApi, limits = { questionMs: questionLimitMs, changeMs: changeLimitMs }): ControlApi {
  return {
    status: (resource) => within(limits.questionMs, 'status', api.status(resource)),
    proc: () => within(limits.questionMs, 'proc', api.proc()),
    events: (options) => api.events(options),
    config: () => within(limits.questionMs, 'config', api.config()),
    verb: (resource, verb, request) => {
      const call = api.verb(resource, verb, request);
      return unlimited.has(verb) ? call : within(limits.changeMs, `${verb} ${resource}`, call);
    },
    confirmFenced: (node, reason) => within(limits.changeMs, `confirm-fenced ${node}`, api.confirmFenced(node, reason)),
    reload: () => within(limits.changeMs, 'reload', api.reload()),
  };
}
