/** drbdts cluster ...: the cluster manager of this node. */
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { checkup } from '../../checkup/checkup.js';
import type { ClusterReply, ClusterStatus, ClusterVerb, ClusterRequest } from '../../control/cluster-messages.js';
import { choosePainter } from '../color.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { formatCheckup } from '../format-checkup.js';
import { formatClusterStatus, formatHistory } from '../format-cluster.js';
import { parseOption } from '../usage.js';
import type { Registry } from './command.js';

const clearScreen = '\u001b[H\u001b[J';
const defaultWaitS = 120;

interface WaitOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
}

/** Calls a verb and says what was set in motion. */
async function call(context: CliContext, verb: ClusterVerb, request: ClusterRequest): Promise<ClusterReply> {
  const reply = await context.cluster.verb(verb, request);
  if (context.options.json === true) printJson(context.stdout, reply);
  else printLines(context.stdout, reply.output);
  return reply;
}

/** Waits until `done` is true of the status; a group that fails meanwhile ends the wait. */
async function waitFor(context: CliContext, options: WaitOptions, what: string, done: (status: ClusterStatus) => boolean): Promise<number> {
  if (options.wait === false) return exitCodes.ok;
  const limitS = options.timeout ?? defaultWaitS;
  const ended = AbortSignal.any([context.interrupted, AbortSignal.timeout(limitS * 1000)]);
  let last: ClusterStatus | null = null;
  while (!ended.aborted) {
    try {
      for await (const status of context.cluster.watch(ended)) {
        last = status;
        if (done(status)) return exitCodes.ok;
      }
    } catch (error) {
      // clusterd may be restarted meanwhile
      if (last === null) throw error;
      await delay(200, undefined, { signal: ended }).catch(() => {});
    }
  }
  if (context.interrupted.aborted) return exitCodes.ok;
  const details = last === null ? [] : last.groups.map((group) => `  ${group.name}: ${group.phase}, ${group.why}${group.failure === '' ? '' : `; ${group.failure}`}`);
  throw new CliError([`${what}: not done after ${limitS} s; it goes on in the background`, ...details], exitCodes.timeout);
}

const startedOn = (status: ClusterStatus, group: string, node: string): boolean =>
  status.groups.some((one) => one.name === group && one.node === node && (node === status.node ? one.phase : one.peerPhase) === 'started');

export function registerCluster(registry: Registry): void {
  const { add, run } = registry.group('cluster', 'groups of services: where they run, moving them, what was decided and why');
  add('status', 'show nodes, links, groups and their members', 'drbdts cluster status\ndrbdts cluster status --watch\ndrbdts cluster status --json')
    .option('-w, --watch [seconds]', 'redraw at every change and at this interval (2 s)', parseOption('--watch', 1))
    .action(
      run(async (context, options: { watch?: number }) => {
        const paint = choosePainter(context.stdout.isTTY === true, context.env);
        const json = context.options.json === true;
        if (options.watch === undefined) {
          const status = await context.cluster.status();
          if (json) printJson(context.stdout, status);
          else printLines(context.stdout, formatClusterStatus(status, paint));
          return exitCodes.ok;
        }
        const draw = (status: ClusterStatus): void => {
          if (!json && context.stdout.isTTY === true) context.stdout.write(clearScreen);
          printLines(context.stdout, json ? [JSON.stringify(status)] : formatClusterStatus(status, paint));
        };
        const again = setInterval(() => void context.cluster.status().then(draw, () => {}), options.watch * 1000);
        try {
          for await (const status of context.cluster.watch(context.interrupted)) draw(status);
        } finally {
          clearInterval(again);
        }
        return exitCodes.ok;
      }),
    );
  add('move <group> [node]', 'move a group to the other node, or to the one named; it stays there', 'drbdts cluster move web\ndrbdts cluster move web master2')
    .option('--no-wait', 'do not wait until it runs there')
    .option('--timeout <s>', 'how long to wait, in seconds (120)', parseOption('--timeout', 1))
    .action(
      run(async (context, group: string, node: string | undefined, options: WaitOptions) => {
        await call(context, 'move', { group, ...(node === undefined ? {} : { node }) });
        const pinned = (status: ClusterStatus): string => status.groups.find((one) => one.name === group)?.pinned ?? '';
        return waitFor(context, options, `move of ${group}`, (status) => startedOn(status, group, node ?? pinned(status)));
      }),
    );
  add('standby [node]', 'give up all groups and take none, until `online`', 'drbdts cluster standby\ndrbdts cluster standby master2')
    .option('--no-wait', 'do not wait until it has given them up')
    .option('--timeout <s>', 'how long to wait, in seconds (120)', parseOption('--timeout', 1))
    .action(
      run(async (context, node: string | undefined, options: WaitOptions) => {
        await call(context, 'standby', node === undefined ? {} : { node });
        return waitFor(context, options, 'standby', (status) => status.groups.every((group) => group.node !== (node ?? status.node)));
      }),
    );
  add('online [node]', 'end standby: groups may run there again', 'drbdts cluster online').action(
    run(async (context, node: string | undefined) => {
      await call(context, 'online', node === undefined ? {} : { node });
      return exitCodes.ok;
    }),
  );
  add(
    'takeover [which]',
    'take groups over to this node: all, local (at home here) or foreign (at home on the other node)',
    'drbdts cluster takeover\ndrbdts cluster takeover local',
  )
    .option('--no-wait', 'do not wait until they run here')
    .option('--timeout <s>', 'how long to wait, in seconds (120)', parseOption('--timeout', 1))
    .action(
      run(async (context, which: string | undefined, options: WaitOptions) => {
        const wanted = which ?? 'all';
        if (wanted !== 'all' && wanted !== 'local' && wanted !== 'foreign') {
          throw new CliError([`takeover ${wanted}: expected all, local or foreign`], exitCodes.usage);
        }
        const before = await context.cluster.status();
        await call(context, 'takeover', { which: wanted });
        return waitFor(context, options, 'takeover', (status) =>
          status.groups.every((group) => group.pinned !== before.node || startedOn(status, group.name, before.node)),
        );
      }),
    );
  add('maintenance <on|off>', 'on: touch nothing, whatever happens; off: look after the groups again', 'drbdts cluster maintenance on').action(
    run(async (context, word: string) => {
      if (word !== 'on' && word !== 'off') throw new CliError([`maintenance ${word}: expected on or off`], exitCodes.usage);
      await call(context, 'maintenance', { on: word === 'on' });
      return exitCodes.ok;
    }),
  );
  add('cleanup [group]', 'forget failures, after a repair: the group may run where it failed', 'drbdts cluster cleanup\ndrbdts cluster cleanup web').action(
    run(async (context, group: string | undefined) => {
      await call(context, 'cleanup', group === undefined ? {} : { group });
      return exitCodes.ok;
    }),
  );
  add('history', 'print what this node decided, and why', 'drbdts cluster history\ndrbdts cluster history --limit 20')
    .option('--limit <n>', 'the last that many (100)', parseOption('--limit', 1))
    .action(
      run(async (context, options: { limit?: number }) => {
        const { entries } = await context.cluster.history(options.limit ?? 100);
        if (context.options.json === true) printJson(context.stdout, { entries });
        else printLines(context.stdout, formatHistory(entries, choosePainter(context.stdout.isTTY === true, context.env)));
        return exitCodes.ok;
      }),
    );
  add(
    'check [file]',
    'find what will hurt before the start: the configuration against this host and the other node; needs no daemon',
    'drbdts cluster check\ndrbdts cluster check ./drbdts.yaml --against ./drbdts.yaml.of-master2',
  )
    .option('--against <file>', "the other node's file: name the keys that differ")
    .action(
      run(async (context, argument: string | undefined, options: { against?: string }) => {
        const { api, cluster } = context;
        const result = await checkup({
          file: argument ?? context.options.config,
          node: context.options.node ?? hostname(),
          against: options.against ?? '',
          sources: { drbdtsd: () => api.status(), clusterd: () => cluster.status(), history: () => cluster.history(1000) },
        });
        if (context.options.json === true) printJson(context.stdout, result);
        else printLines(context.stdout, formatCheckup(result, choosePainter(context.stdout.isTTY === true, context.env)));
        return result.findings.some(({ severity }) => severity === 'error') ? exitCodes.configuration : exitCodes.ok;
      }),
    );
}
