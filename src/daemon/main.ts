#!/usr/bin/env node
/**
 * drbdtsd: one per node. Order of start: configuration, lock, engine, control socket, what was up, READY. DRBDTS_FRONTEND=memory makes
 * volumes without a block device, for tests.
 */
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { defaultConfigFile, formatProblem, loadConfig, requireConfig } from '../config/load.js';
import type { Config } from '../config/types.js';
import { defaultSocket } from '../control/client.js';
import { ControlServer } from '../control/server.js';
import { asDrbdtsError, DrbdtsError, drbdtsError } from '../shared/errors.js';
import { closeOnExec, lockStateDir } from '../shared/lock.js';
import { createLog, type Log } from '../shared/log.js';
import { version } from '../shared/version.js';
import { loadAddon } from './addon.js';
import { Daemon } from './daemon.js';
import { type KeeperEnvironment, readKeeperEnvironment } from './keeper.js';
import { readRunState } from './run-state.js';

/** EX_TEMPFAIL: the keeper starts the next one at once. */
const startOverExitCode = 75;

const usage = `drbdtsd ${version}: the daemon of drbdts, one per node

  --config FILE      configuration (${defaultConfigFile})
  --socket PATH      control socket (${defaultSocket})
  --node NAME        this host's name in the configuration (as uname -n says)
  --state-dir DIR    lock and record of what is up (/run/drbdts)
  --register-dir DIR what is known of the in-sync sets, across boots (/var/lib/drbdts/register)
  --start-all        bring up all resources when nothing is recorded, i.e. after boot
  --foreground       log with time stamps, also where journald listens
  --version, --help
`;

interface Arguments {
  config: string;
  socket: string;
  node: string;
  stateDir: string;
  registerDir: string;
  startAll: boolean;
  foreground: boolean;
}

function readArguments(argv: string[]): Arguments | null {
  try {
    const { values } = parseArgs({
      args: argv,
      options: {
        config: { type: 'string', short: 'c', default: defaultConfigFile },
        socket: { type: 'string', default: defaultSocket },
        node: { type: 'string', default: hostname() },
        'state-dir': { type: 'string', default: '/run/drbdts' },
        'register-dir': { type: 'string', default: '/var/lib/drbdts/register' },
        'start-all': { type: 'boolean', default: false },
        foreground: { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help || values.version) {
      process.stdout.write(values.help ? usage : `${version}\n`);
      return null;
    }
    return {
      config: values.config,
      socket: values.socket,
      node: values.node,
      stateDir: values['state-dir'],
      registerDir: values['register-dir'],
      startAll: values['start-all'],
      foreground: values.foreground,
    };
  } catch (error) {
    throw drbdtsError('ERR_BAD_REQUEST', { values: { problem: (error as Error).message }, remedy: 'See drbdtsd --help.' });
  }
}

/**
 * The configuration. When it has errors and volumes were up, a broken file must not keep their I/O waiting: what was up runs on with
 * what it ran with, and the rest waits for a corrected file and `drbdts adjust`.
 */
function readConfig(args: Arguments, log: Log): Config {
  try {
    const result = loadConfig(args.config, args.node);
    for (const problem of result.problems) log[problem.severity === 'error' ? 'error' : 'warn'](formatProblem(problem));
    return requireConfig(result, args.config);
  } catch (error) {
    const state = readRunState(args.stateDir);
    const recorded = Object.values(state?.resources ?? {});
    if (recorded.length === 0) throw error;
    log.error(
      `${(error as Error).message} Resources that were up run on with the configuration they had: ${recorded.map((record) => record.config.name).join(', ')}`,
    );
    return {
      file: args.config,
      global: { logLevel: 'info', handlerTimeoutS: 120 },
      resources: recorded.map((record) => record.config),
      cluster: state?.cluster ?? null,
      groups: [],
      vrrp: null,
      balancing: null,
    };
  }
}

/** Descriptors and environment variables of the keeper are ours alone: a handler that inherited them would hold the device. */
function takeKeeperEnvironment(): KeeperEnvironment {
  const keeper = readKeeperEnvironment(process.env, process.pid);
  closeOnExec(keeper.kept.map(({ fd }) => fd));
  for (const name of ['NOTIFY_SOCKET', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PID', 'FDSTORE']) delete process.env[name];
  return keeper;
}

async function run(args: Arguments): Promise<void> {
  const log = createLog('info', args.foreground ? { journal: false } : {});
  // whoever reads the log may be gone; that must not end the daemon nor make it log about it
  process.stderr.on('error', () => {});
  process.on('uncaughtException', (error) => log.error(`internal error, data path not concerned: ${error.stack ?? error.message}`));
  process.on('unhandledRejection', (reason) =>
    log.error(`internal error, data path not concerned: ${reason instanceof Error ? reason.stack : String(reason)}`),
  );

  const keeper = takeKeeperEnvironment();
  const config = readConfig(args, log);
  const lock = await lockStateDir('drbdtsd', args.stateDir);
  const addon = await loadAddon();
  const frontend = process.env.DRBDTS_FRONTEND === 'memory' ? 'memory' : 'fuse_loop';
  const daemon = new Daemon({
    configFile: args.config,
    config,
    node: args.node,
    stateDir: args.stateDir,
    registerDir: args.registerDir,
    frontend,
    addon,
    log,
    keeper,
    startAll: args.startAll,
    startOver: () => process.exit(startOverExitCode),
  });
  const server = new ControlServer(daemon, (error) =>
    log.error(`internal error: ${error.message} ${error.cause instanceof Error ? (error.cause.stack ?? '') : ''}`),
  );
  await server.listen(args.socket);

  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info(`${signal}: ending`);
    if (keeper.notifySocket !== '') addon.notify(keeper.notifySocket, 'STOPPING=1');
    await daemon.stop();
    await server.close();
    lock.release();
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('SIGHUP', () => {
    daemon.reload().catch((error: Error) => log.error(`the configuration was not read again: ${error.message}`));
  });

  const recovered = daemon.start();
  if (keeper.notifySocket !== '')
    addon.notify(keeper.notifySocket, `READY=1\nSTATUS=node ${args.node}, ${config.resources.length} resources\n`);
  log.info(`drbdtsd ${version} on ${args.node} answers on ${args.socket}`);
  await recovered;
}

async function main(): Promise<void> {
  try {
    const args = readArguments(process.argv.slice(2));
    if (args !== null) await run(args);
  } catch (thrown) {
    const error = thrown instanceof DrbdtsError ? thrown : asDrbdtsError(thrown);
    process.stderr.write(`drbdtsd: ${error.message}\n${error.remedy}\n`);
    process.exit(error.exitCode === 0 ? 20 : error.exitCode);
  }
}

await main();
