/** witness: what the arbiter on the third host knows of this cluster. Asks it directly; drbdtsd need not run. */
import { readKeyFile } from '../../arbiter/key-file.js';
import type { WitnessStatus } from '../../arbiter/messages.js';
import { askWitnessStatus, type WitnessPlace } from '../../arbiter/witness-client.js';
import { loadConfig, requireConfig } from '../../config/load.js';
import { parseAddress } from '../../config/schema.js';
import { formatAddress } from '../../config/types.js';
import { drbdtsError } from '../../shared/errors.js';
import { choosePainter, type Painter } from '../color.js';
import { type CliContext, printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { alignColumns } from '../format-columns.js';
import type { Registry } from './command.js';

interface WitnessOptions {
  readonly address?: string;
  readonly keyFile?: string;
  readonly cluster?: string;
}

const timeoutMs = 3000;

/** Where to ask: what the command line says, else what drbdts.yaml says. */
function placeOf(context: CliContext, options: WitnessOptions): WitnessPlace {
  if (options.address !== undefined && options.keyFile !== undefined && options.cluster !== undefined) {
    const address = parseAddress(options.address);
    if (address === null)
      throw drbdtsError('ERR_INVALID_ARGUMENT', { values: { problem: `'${options.address}' is no address; write 192.168.42.14:7795` } });
    return { address, cluster: options.cluster, key: readKeyFile(options.keyFile), timeoutMs };
  }
  const { config: file, node } = context.options;
  const { cluster } = requireConfig(loadConfig(file, node ?? null), file);
  if (cluster === null || cluster.arbiter.kind !== 'witness')
    throw drbdtsError('ERR_NO_WITNESS', { values: { arbiter: cluster?.arbiter.kind ?? 'none' } });
  const { arbiter } = cluster;
  return { address: arbiter.address, cluster: cluster.name, key: readKeyFile(arbiter.keyFile), timeoutMs: arbiter.timeoutMs };
}

/** Head lines, then one row per record. */
export function formatWitnessStatus(status: WitnessStatus, address: string, paint: Painter): string[] {
  const { cluster, version, startedAt, incarnation, requests, dropped, records } = status;
  const drops = Object.entries(dropped).map(([reason, count]) => `${count} ${reason}`);
  const rows = records.map(({ key, nodes, vouched, record }) => [
    key,
    String(record.epoch),
    paint(record.inSync.length === nodes.length ? 'good' : 'busy', record.inSync.join(',')),
    record.holder === '' ? '-' : record.holder,
    vouched ? 'yes' : paint('bad', 'no'),
  ]);
  const waiting = records.filter((record) => !record.vouched).length;
  return [
    `witness at ${address}: cluster ${cluster}, version ${version}, up since ${startedAt}, incarnation ${incarnation}`,
    `${requests} requests, dropped: ${drops.length === 0 ? 'none' : drops.join(', ')}`,
    ...(rows.length === 0 ? ['no record yet: no node has asked'] : alignColumns([['key', 'epoch', 'in-sync', 'holder', 'vouched'], ...rows])),
    ...(waiting === 0
      ? []
      : [`${waiting} of ${records.length} not vouched for since the witness started: both nodes, or one that serves alone, have to be seen first`]),
  ];
}

export function registerWitness({ group }: Registry): void {
  const { add, run } = group('witness', 'ask the witness that keeps the in-sync set of this cluster');
  add(
    'status',
    'show what the witness has recorded',
    'drbdts witness status\ndrbdts witness status --address 127.0.0.1:7795 --key-file /etc/drbdts/store.key --cluster store --json',
  )
    .option('--address <host:port>', 'another witness than that of the configuration')
    .option('--key-file <file>', 'its key')
    .option('--cluster <name>', 'name of the cluster there')
    .action(
      run(async (context, options: WitnessOptions) => {
        const place = placeOf(context, options);
        const status = await askWitnessStatus(place);
        const paint = choosePainter(context.stdout.isTTY === true, context.env);
        if (context.options.json === true) printJson(context.stdout, status);
        else printLines(context.stdout, formatWitnessStatus(status, formatAddress(place.address), paint));
        return exitCodes.ok;
      }),
    );
}
