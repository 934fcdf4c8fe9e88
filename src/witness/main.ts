#!/usr/bin/env node
/** drbdts-witness: a small daemon on a third host that keeps the in-sync set registers of one or many clusters. */
import { parseArgs } from 'node:util';
import { formatAddress } from '../config/types.js';
import { asDrbdtsError, drbdtsError } from '../shared/errors.js';
import { lockStateDir } from '../shared/lock.js';
import { createLog } from '../shared/log.js';
import { version } from '../shared/version.js';
import { defaultWitnessConfig, readWitnessConfig } from './config.js';
import { createMarker } from './marker.js';
import { type ServedCluster, WitnessServer } from './server.js';
import { RegisterStore } from './store.js';

const usage = `drbdts-witness ${version}: keeps the in-sync set registers of drbdts clusters, on a third host

  --config FILE      configuration (${defaultWitnessConfig})
  --foreground       log with time stamps, also where journald listens
  --version, --help
`;

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', short: 'c', default: defaultWitnessConfig },
      foreground: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help || values.version) {
    process.stdout.write(values.help ? usage : `${version}\n`);
    return;
  }
  const config = readWitnessConfig(values.config);
  const log = createLog(config.logLevel, values.foreground ? { journal: false } : {});
  process.stderr.on('error', () => {});
  // two processes on one register would answer for each other's past
  await lockStateDir('drbdts-witness', config.stateDir);
  const clusters = new Map<string, ServedCluster>();
  for (const [name, key] of config.clusters) {
    const store = new RegisterStore(config.stateDir, name, (file) => {
      const { marker, problem } = createMarker(config.runDir, name, file);
      if (problem !== '') log.warn(`cluster ${name}: no marker can be kept (run-dir: ${problem}); after every restart the nodes have to vouch`);
      return marker;
    });
    // a damaged register concerns its cluster alone; it is refused until somebody has looked at it
    await store.load().catch((error: unknown) => {
      const { message, remedy } = asDrbdtsError(error);
      log.error(`cluster ${name}: ${message}. ${remedy} Its requests are refused until then.`);
    });
    if (store.continued) log.info(`cluster ${name}: goes on where the last process on this host ended`);
    else if (store.incarnation !== '') log.info(`cluster ${name}: the register may be an old copy; both nodes, or one that serves alone, vouch first`);
    clusters.set(name, { key, store });
  }
  const server = new WitnessServer(clusters, log);
  for (const address of config.listen) {
    const port = await server.listen(address).catch((error: Error) => {
      throw drbdtsError('ERR_WITNESS_CONFIG', { values: { file: values.config, problem: `can not listen on ${formatAddress(address)}: ${error.message}` } });
    });
    log.info(`drbdts-witness ${version} listens on ${formatAddress({ ...address, port })} for ${[...clusters.keys()].join(', ') || 'no cluster'}`);
  }
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log.info(`${signal}: ending`);
    void server.close().then(() => process.exit(0));
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

try {
  await run();
} catch (thrown) {
  const error = thrown instanceof TypeError ? drbdtsError('ERR_BAD_REQUEST', { values: { problem: thrown.message }, remedy: 'See drbdts-witness --help.' }) : asDrbdtsError(thrown);
  process.stderr.write(`drbdts-witness: ${error.message}\n${error.remedy}\n`);
  process.exit(error.exitCode === 0 ? 20 : error.exitCode);
}
