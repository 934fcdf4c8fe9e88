/** The command table: commander's program with every command registered. */
import { Command, Option } from 'commander';
import type { Registry } from './commands/command.js';
import { registerCluster } from './commands/cluster.js';
import { registerCompletion } from './commands/completion.js';
import { registerConfig } from './commands/config.js';
import { registerConnection } from './commands/connection.js';
import { registerDevice } from './commands/device.js';
import { registerEvents } from './commands/events.js';
import { registerExplain } from './commands/explain.js';
import { registerFence } from './commands/fence.js';
import { registerImport } from './commands/import.js';
import { registerLifecycle } from './commands/lifecycle.js';
import { registerMetaData } from './commands/meta-data.js';
import { registerResync } from './commands/resync.js';
import { registerRole } from './commands/role.js';
import { registerShell } from './commands/shell.js';
import { registerStates } from './commands/states.js';
import { registerStatus } from './commands/status.js';
import { registerBalancing } from './commands/lb.js';
import { registerVrrp } from './commands/vrrp.js';
import { registerWait } from './commands/wait.js';
import { registerWitness } from './commands/witness.js';
import type { CliContext, GlobalOptions } from './context.js';
import { registerDrbdadm } from './drbdadm/commands.js';
import { exitCodes } from './exit-codes.js';

export const defaultSocket = '/run/drbdts/drbdtsd.sock';
export const defaultClusterSocket = '/run/drbdts/clusterd.sock';
export const defaultConfig = '/etc/drbdts/drbdts.yaml';

export interface Program {
  readonly command: Command;
  /** Exit code of the command that ran. */
  readonly exitCode: () => number;
}

/** The name the command line goes by; `drbdadm` has what scripts written for DRBD expect beside or instead of drbdts's own. */
export type ProgramName = 'drbdts' | 'drbdadm';

/** Builds the command table. `makeContext` is called when a command runs, with the global options of its command line. */
export function createProgram(
  version: string,
  makeContext: (options: GlobalOptions) => CliContext,
  name: ProgramName = 'drbdts',
): Program {
  let exitCode: number = exitCodes.ok;
  const program = new Command(name);
  program
    .description('administer replicated block volumes; commands and states are those of DRBD 8.4')
    .version(`drbdts ${version}`, '-V, --version', 'print the version')
    .addOption(new Option('--socket <path>', 'control socket of drbdtsd').env('DRBDTS_SOCKET').default(defaultSocket))
    .addOption(new Option('--cluster-socket <path>', 'control socket of drbdts-clusterd').env('DRBDTS_CLUSTER_SOCKET').default(defaultClusterSocket))
    .addOption(
      new Option('--config <file>', 'configuration, for commands that work without the daemon').env('DRBDTS_CONFIG').default(defaultConfig),
    )
    .addOption(new Option('--node <name>', 'name of this node in the configuration (default: host name)').env('DRBDTS_NODE'))
    .option('--json', 'print JSON')
    .option('-v, --verbose', 'print more')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help and an example for a command')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      '\nRESOURCE is a name such as r0, a volume such as r0/1, or all.\nExit codes are those of drbdadm; 20: drbdtsd is not running.\n',
    )
    .exitOverride();

  const registryFor = (parent: Command): Registry => ({
    add: (usage, description, example) => {
      const indented = example.replaceAll('\n', '\n  ');
      // drbdadm's own role and status came first and stay
      const replaced = parent.commands.some((command) => command.name() === usage.split(' ')[0]);
      return (replaced ? new Command() : parent.command(usage)).description(description).addHelpText('after', `\nExample:\n  ${indented}\n`);
    },
    group: (name, description) => registryFor(parent.command(name).description(description)),
    run: (handler) => {
      return async (...args) => {
        exitCode = await handler(makeContext(program.opts<GlobalOptions>()), ...args);
      };
    },
  });
  const registry = registryFor(program);
  if (name === 'drbdadm') registerDrbdadm(registry);
  program.commandsGroup('Life cycle:');
  registerLifecycle(registry);
  registerConnection(registry);
  registerRole(registry);
  program.commandsGroup('State:');
  registerStatus(registry);
  registerStates(registry);
  registerEvents(registry);
  registerWait(registry);
  registerWitness(registry);
  registerFence(registry);
  program.commandsGroup('Resync:');
  registerResync(registry);
  program.commandsGroup('Disk and meta-data:');
  registerMetaData(registry);
  registerDevice(registry);
  program.commandsGroup('Cluster:');
  registerCluster(registry);
  registerVrrp(registry);
  registerBalancing(registry);
  program.commandsGroup('Configuration:');
  registerConfig(registry);
  registerImport(registry);
  registerShell(registry);
  program.commandsGroup('Help:');
  registerExplain(registry);
  registerCompletion(registry, program);
  return { command: program, exitCode: () => exitCode };
}
