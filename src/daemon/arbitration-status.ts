/** What a person is told of the arbitration of one volume or group (pure). */
import type { ArbiterKind } from '../arbiter/arbiter.js';
import { waitsToHear } from '../arbiter/register.js';
import type { ArbitrationStatus } from '../control/messages.js';
import type { ArbitrationState } from './arbitration.js';

/** What stands for a volume nobody arbitrates although there is a cluster. */
export const withoutArbiter: ArbitrationStatus = {
  arbiter: 'none',
  state: 'none',
  epoch: 0,
  reachable: true,
  vouched: true,
  sentence: 'arbiter: none. Nothing keeps two nodes that lost each other from both serving',
};

function wordOf(state: ArbitrationState): ArbitrationStatus['state'] {
  const { record } = state.durable;
  if (state.denied) return 'denied';
  if (state.fence !== null) return state.problem === '' ? 'asking' : 'unreachable';
  if (!record.inSync.includes(state.self)) return 'out';
  if (record.inSync.length === 2) return 'together';
  return 'alone';
}

/** Status as the control API gives it. `broken` says why nothing can be asked at all; ''. */
export function arbitrationStatusOf(state: ArbitrationState, arbiter: ArbiterKind, broken: string): ArbitrationStatus {
  const word = wordOf(state);
  const { epoch } = state.durable.record;
  const problem = broken === '' ? state.problem : broken;
  const unvouched = !state.vouched;
  const sentences: Record<ArbitrationStatus['state'], string> = {
    none: '',
    together: '',
    alone: `recorded alone in epoch ${epoch}: ${state.peer} comes back in when it is connected and UpToDate`,
    out: `recorded out in epoch ${epoch}: ${state.peer} has what this node lacks`,
    asking: `${state.fence?.self === true ? 'giving up this copy' : `taking ${state.peer} out`}: the arbiter is asked`,
    unreachable: `${state.fence?.self === true ? 'giving up this copy' : `taking ${state.peer} out`}: the arbiter does not answer and is asked again`,
    denied: `denied in epoch ${epoch}: ${state.peer} was taken in alone, this node may not go on; stop what uses the volume and make it Secondary`,
  };
  const parts = [sentences[word]];
  if (problem !== '') parts.push(state.reachable && broken === '' ? `the arbiter's answer is not used: ${problem}` : problem);
  else if (unvouched) parts.push(waitsToHear(state.peer));
  return {
    arbiter,
    state: word,
    epoch,
    reachable: broken === '' && state.reachable,
    vouched: !unvouched,
    sentence: parts.filter((part) => part !== '').join('; '),
  };
}
