/** The seed of a property test: printed when the file starts, taken from DRBDTS_SEED to replay a failure. */
import type { Parameters } from 'fast-check';

const seed = Number(process.env.DRBDTS_SEED ?? Date.now() % 2 ** 31);

/** Prints the seed of the properties called `name`; gives fast-check's parameters, which repeat it in a failure. */
export function replay(name: string, numRuns: number): Parameters<unknown> & { seed: number; numRuns: number } {
  console.log(`property ${name}: DRBDTS_SEED=${seed}`);
  return { seed, numRuns };
}
