/**
 * The only file that loads the native engine. `native/build/Release/drbdts.node` is looked for relative to this file's place below
 * `dist`. For tests, DRBDTS_NATIVE names a JavaScript module that exports `addon: NativeAddon` and is loaded instead.
 */
import { createRequire } from 'node:module';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { drbdtsError } from '../shared/errors.js';
import type { NativeAddon } from './native-api.js';

const binary = fileURLToPath(new URL('../../../native/build/Release/drbdts.node', import.meta.url));

function looksRight(value: unknown): value is NativeAddon {
  return typeof value === 'object' && value !== null && 'createResource' in value && 'meta' in value && 'notify' in value;
}

/** Loads the engine, or fails with ERR_ADDON saying what to do. */
export async function loadAddon(): Promise<NativeAddon> {
  const replacement = process.env.DRBDTS_NATIVE;
  const file = replacement === undefined || replacement === '' ? binary : isAbsolute(replacement) ? replacement : resolve(replacement);
  let loaded: unknown;
  try {
    if (file === binary) loaded = createRequire(import.meta.url)(binary);
    else loaded = ((await import(pathToFileURL(file).href)) as { addon?: unknown }).addon;
  } catch (error) {
    const message = (error as Error).message.split('\n')[0] ?? '';
    throw drbdtsError('ERR_ADDON', { values: { file, reason: message }, place: file, cause: error });
  }
  if (!looksRight(loaded))
    throw drbdtsError('ERR_ADDON', { values: { file, reason: 'it does not offer what this version of drbdtsd needs' }, place: file });
  return loaded;
}
