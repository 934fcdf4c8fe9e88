/**
 * `npm run demo`: a cluster under a live load and faults, or (`--volume`) a volume failed over by hand. Everything is real but the hosts, which
 * are namespaces of this machine, and is removed at the end, after Ctrl-C too.
 */
import { existsSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { Lab } from '../support/lab.js';
import { labUnavailable } from '../support/paths.js';
import { type Fault, faults } from './cases.js';
import { clusterDemo } from './cluster-demo.js';
import { Screen } from './screen.js';
import { servicePrograms } from './services.js';
import { volumeDemo, volumeSteps } from './volume.js';

interface Options {
  readonly only: Fault[];
  readonly volume?: true;
  readonly json?: true;
}

function addFault(name: string, before: Fault[]): Fault[] {
  const found = faults.find((fault) => fault.name === name);
  if (found === undefined) throw new InvalidArgumentError(`Cases are: ${faults.map((fault) => fault.name).join(', ')}.`);
  return [...before, found];
}

const options = new Command('npm run demo --')
  .description('Two nodes, a witness and a client in network namespaces: MariaDB and nginx on a mirrored /store behind one address, a client that\nnever stops, and one fault after the other. Ends with 0 only if no acknowledged row was lost and never two nodes served.')
  .option('--only <case>', `only this case, may be repeated: ${faults.map(({ name }) => name).join(', ')}`, addFault, [] as Fault[])
  .option('--volume', 'the volume alone: two hosts, failed over by hand, checksums compared')
  .option('--json', 'one JSON document on standard output; everything else goes to standard error')
  .parse()
  .opts<Options>();

const chosen = options.only.length > 0 ? options.only : faults;
const screen = new Screen(options.volume === true ? volumeSteps : chosen.length + 2, options.json === true ? process.stderr : process.stdout);
const missing = options.volume === true ? [] : servicePrograms.filter((program) => !existsSync(program));
const unavailable = labUnavailable() || (missing.length > 0 && `${missing.join(', ')} missing; run: npm run setup -- demo`);
if (unavailable !== false) {
  screen.failed(`the demo can not run here: ${unavailable}`);
  process.exit(1);
}
const lab = new Lab('demo');
let code = 0;
try {
  if (options.volume === true) {
    await volumeDemo(lab, screen);
    screen.print();
    screen.print(screen.paint(['bold', 'green'], 'A failed-over /store with equal checksums. Cleaning up.'));
  } else {
    const report = await clusterDemo(lab, screen, chosen);
    if (options.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    if (report.problems.length > 0) code = 1;
    for (const problem of report.problems) screen.failed(problem);
    screen.print();
    if (code === 0) screen.print(screen.paint(['bold', 'green'], 'No acknowledged row was lost, and never did two nodes serve. Cleaning up.'));
  }
} catch (error) {
  code = 1;
  if (lab.closing) screen.failed('interrupted; cleaning up');
  else screen.failed(error instanceof Error ? (lab.explain(error) as Error).message : String(error));
} finally {
  try {
    await lab.close();
  } catch (error) {
    code = 1;
    screen.failed(String(error));
  }
}
process.exit(code);
