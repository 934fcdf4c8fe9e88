/** /etc/drbdts/witness.yaml: where the witness listens, where it keeps its registers and markers, and the key of each cluster. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { readKeyFile } from '../arbiter/key-file.js';
import { defaultWitnessPort, namePattern } from '../arbiter/messages.js';
import { parseAddress } from '../config/schema.js';
import type { Address } from '../config/types.js';
import { drbdtsError } from '../shared/errors.js';
import { type LogLevel, logLevels } from '../shared/log.js';

export const defaultWitnessConfig = '/etc/drbdts/witness.yaml';
export const defaultWitnessState = '/var/lib/drbdts/witness';
export const defaultWitnessRun = '/run/drbdts/witness';
const clustersMax = 1024;

const address = z.string().transform((text, context): Address => {
  const found = parseAddress(text);
  if (found !== null) return found;
  context.addIssue({ code: 'custom', message: `'${text}' is no address; write 192.168.42.14:${defaultWitnessPort} or [fd00::1]:${defaultWitnessPort}` });
  return z.NEVER;
});
const schema = z.strictObject({
  listen: z.array(address).min(1, 'name at least one address'),
  'state-dir': z.string().startsWith('/').default(defaultWitnessState),
  'run-dir': z.string().startsWith('/').default(defaultWitnessRun),
  'log-level': z.enum(logLevels).default('info'),
  clusters: z.record(
    z.string().regex(namePattern, 'names of clusters have letters, digits, dot, dash and underscore'),
    z.strictObject({ 'key-file': z.string().startsWith('/', 'write the whole path') }),
  ),
});

export interface WitnessConfig {
  listen: Address[];
  stateDir: string;
  /** in a tmpfs: what tells a restart of the process from one of the host, or from a restored copy. */
  runDir: string;
  logLevel: LogLevel;
  /** keys by name of the cluster. */
  clusters: Map<string, Buffer>;
}

/** The configuration in `file`. Rejects with ERR_WITNESS_CONFIG or ERR_KEY_FILE. */
export function readWitnessConfig(file: string): WitnessConfig {
  const fail = (problem: string, cause?: unknown): Error => drbdtsError('ERR_WITNESS_CONFIG', { values: { file, problem }, place: file, cause });
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw fail((error as Error).message, error);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw fail(parsed.error.issues.map((issue) => `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`).join('; '));
  const { listen, clusters } = parsed.data;
  if (Object.keys(clusters).length > clustersMax) throw fail(`more than ${clustersMax} clusters`);
  return {
    listen,
    stateDir: parsed.data['state-dir'],
    runDir: parsed.data['run-dir'],
    logLevel: parsed.data['log-level'],
    clusters: new Map(Object.entries(clusters).map(([name, { 'key-file': keyFile }]) => [name, readKeyFile(keyFile)])),
  };
}
