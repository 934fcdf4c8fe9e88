/** What drbdadm has beside drbdts: dump, status in drbdsetup's form, facts for scripts; and what is refused by name, with the reason. */
import { printLines } from '../context.js';
import { exitCodes, worstExitCode } from '../exit-codes.js';
import { CliError, reportFailure } from '../failure.js';
import { formatTarget, parseTarget, resolveTargets, volumesIn } from '../target.js';
import { type Registry, resourceArgument } from '../commands/command.js';
import { localResourceNames, localSideOf, readLocal } from '../commands/local-config.js';
import { fetchStatus } from '../commands/status.js';
import { formatDrbdConf } from './format-drbd-conf.js';
import { formatDrbdadmStatus } from './format-status.js';
import { roleByDevice, roleOfSilentDaemon } from './silent-daemon.js';

/** Commands of drbdadm that drbdts does not have: what to do instead. */
const unsupported: Readonly<Record<string, string>> = {
  'disk-options': 'Write the option into drbdts.yaml, then `drbdadm adjust RESOURCE`.',
  'net-options': 'Write the option into drbdts.yaml, then `drbdadm adjust RESOURCE`.',
  'resource-options': 'Write the option into drbdts.yaml, then `drbdadm adjust RESOURCE`.',
  syncer: 'The rate is `resync-rate` of section disk in drbdts.yaml; then `drbdadm adjust RESOURCE`.',
  'dump-xml': '`drbdts config show --json` prints the configuration for programs.',
  'proxy-up': 'There is no proxy in drbdts.',
  'proxy-down': 'There is no proxy in drbdts.',
  'sh-mod-parms': 'There is no kernel module: nothing has to be loaded.',
  'sh-b-pri': '`become-primary-on` is carried out by drbdtsd.',
  'sh-lr-of': 'Stacked resources are not available.',
  'fence-peer': 'Handlers are run by drbdtsd.',
  'unfence-peer': 'Handlers are run by drbdtsd.',
};

export function registerDrbdadm({ add, run }: Registry): void {
  add(`role ${resourceArgument}`, 'print MINE/PEER, for example Primary/Secondary', 'drbdadm role r0').action(
    run(async (context, resources: string[]) => {
      const codes: number[] = [];
      for (const name of resources) {
        try {
          for (const target of await resolveTargets(context, [name])) {
            const { resources: found } = await context.api.status(target.resource);
            printLines(
              context.stdout,
              found.flatMap((resource) => volumesIn(resource, target).map((volume) => roleByDevice(resource, volume))),
            );
          }
        } catch (error) {
          const known = name === 'all' ? null : roleOfSilentDaemon(context, parseTarget(name), error);
          if (known === null) codes.push(reportFailure(context, error, name));
          else printLines(context.stdout, known);
        }
      }
      return worstExitCode(codes);
    }),
  );

  add('status [resource]', 'print roles, disks and connections as drbdsetup does', 'drbdadm status r0').action(
    run(async (context, resource: string | undefined) => {
      const reply = await fetchStatus(context, resource);
      if (resource !== undefined && resource !== 'all' && reply.resources.every(({ up }) => !up)) {
        throw new CliError([`${resource}: No such resource`, `  It is down: \`drbdadm up ${resource}\`.`], exitCodes.configuration);
      }
      printLines(context.stdout, formatDrbdadmStatus(reply));
      return exitCodes.ok;
    }),
  );

  add('dump [resource...]', 'print resources in the syntax of drbd.conf; secrets masked', 'drbdadm dump r0').action(
    run(async (context, names: string[]) => {
      const local = readLocal(context);
      const wanted = names.length === 0 || names.includes('all') ? localResourceNames(local) : names;
      for (const name of wanted) {
        localSideOf(local, name);
        const resource = local.config.resources.find((candidate) => candidate.name === name);
        if (resource !== undefined) printLines(context.stdout, formatDrbdConf(resource, local.node, local.config.file));
      }
      return exitCodes.ok;
    }),
  );

  add('sh-nop', 'do nothing but read the configuration', 'drbdadm sh-nop').action(
    run(async (context) => {
      readLocal(context);
      return exitCodes.ok;
    }),
  );

  add(`sh-resource ${resourceArgument}`, 'print the name of the resource that a minor belongs to', 'drbdadm sh-resource minor-0').action(
    run(async (context, names: string[]) => {
      const local = readLocal(context);
      for (const name of names) {
        const minor = /^minor-(\d+)$/.exec(name)?.[1];
        const found = localResourceNames(local).find((candidate) =>
          minor === undefined ? candidate === name : localSideOf(local, candidate).volumes.some((volume) => volume.minor === Number(minor)),
        );
        printLines(context.stdout, [found ?? localSideOf(local, name).name]);
      }
      return exitCodes.ok;
    }),
  );

  add(`sh-md-idx ${resourceArgument}`, 'print the index of the meta-data', 'drbdadm sh-md-idx r0').action(
    run(async (context, names: string[]) => {
      const local = readLocal(context);
      for (const target of names.map(parseTarget)) {
        const { volumes } = localSideOf(local, target.resource);
        const chosen = volumes.filter(({ volume }) => target.volume === null || volume === target.volume);
        if (chosen.length === 0) throw new CliError([`drbdadm: ${formatTarget(target)}: No such volume`], exitCodes.usage);
        printLines(
          context.stdout,
          chosen.map(({ metaIndex }) => String(metaIndex)),
        );
      }
      return exitCodes.ok;
    }),
  );

  for (const [name, instead] of Object.entries(unsupported)) {
    add(`${name} [words...]`, `not available: ${instead}`, `drbdadm ${name} r0`)
      .allowUnknownOption()
      .action(
        run(async () => {
          throw new CliError([`drbdadm: '${name}' is not available with drbdts`, `  ${instead}`], exitCodes.usage);
        }),
      );
  }
}
