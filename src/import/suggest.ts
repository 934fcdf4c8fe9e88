/** "Did you mean" for words of other products, which write `_` where drbdts writes `-` (pure). */
import { nearest } from '../config/suggest.js';
import { didYouMean } from './findings.js';

const lengthMax = 60;

/** A remedy: the nearest known word, or `otherwise`. Long rubbish is not compared. */
export function suggestion(word: string, known: Iterable<string>, otherwise: string): string {
  if (word.length > lengthMax) return otherwise;
  const spelt = new Map([...known].map((one) => [one.replaceAll('_', '-').toLowerCase(), one]));
  const guess = nearest(word, spelt.keys());
  return didYouMean(guess === null ? null : (spelt.get(guess) ?? null), otherwise);
}
