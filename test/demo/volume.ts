/**
 * `npm run demo -- --volume`: two hosts with a 1 GiB disk each become a mirrored /store; the Primary dies, the other one takes over with every
 * file, all by hand; the first comes back and is resynced.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { renderConfig } from '../support/config.js';
import { assertSameContents, gib, makeDisk } from '../support/disk.js';
import { run } from '../support/exec.js';
import { Host } from '../support/host.js';
import type { Lab } from '../support/lab.js';
import { Link } from '../support/link.js';
import { cliMain, daemonMain } from '../support/paths.js';
import { waitFor } from '../support/wait.js';
import type { Screen } from './screen.js';
import { makeMountPoint } from './services.js';

const socket = '/run/drbdts/drbdtsd.sock';
const configFile = '/etc/drbdts/drbdts.yaml';
const store = '/store';
const documents = ['/usr/share/doc', '/usr/share/man', '/usr/share/perl', '/etc'];

/** One number over names and contents of all files below a directory. */
const checksumCommand = (dir: string): string => `cd ${dir} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64`;

/** Appends numbered lines with fsync and prints each number once it is on disk. */
const journalProgram = `
import { openSync, writeSync, fsyncSync } from 'node:fs';
const fd = openSync('${store}/journal', 'a');
for (let i = 1; ; i++) { writeSync(fd, 'entry ' + i + '\\n'); fsyncSync(fd); process.stdout.write(i + '\\n'); }
`;

/** Its steps, for the screen. */
export const volumeSteps = 11;

/** Gives the host what an installed package would: the commands in PATH, /etc/drbdts, /store. */
async function install(host: Host, config: string): Promise<void> {
  const bin = join(host.dir, 'bin');
  const etc = join(host.dir, 'etc');
  mkdirSync(bin);
  for (const [name, main] of [['drbdts', cliMain], ['drbdtsd', daemonMain]] as const) {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`, { mode: 0o755 });
  }
  await host.sh(`cp -a /etc ${etc} && mkdir -p ${etc}/drbdts && mount --bind ${etc} /etc`);
  writeFileSync(join(etc, 'drbdts/drbdts.yaml'), config);
  host.configFile = configFile;
  host.socket = socket;
  host.env['PATH'] = `${bin}:${process.env['PATH'] ?? ''}`;
}

/** Follows a resync on the screen until both disks are UpToDate. */
async function followResync(screen: Screen, host: Host): Promise<void> {
  let drawn = 0;
  let most = 0;
  const table = async (): Promise<string[]> => (await host.drbdts('status')).split('\n').slice(2);
  screen.typed(host.name, 'drbdts status --watch');
  await waitFor(
    'the resync ends',
    async () => {
      const volume = await host.running.volume();
      most = Math.max(most, volume.resync?.totalKib ?? 0);
      const finished = volume.connection === 'Connected' && volume.disk === 'UpToDate' && volume.peerDisk === 'UpToDate';
      drawn = screen.live(await table(), drawn, finished);
      return finished;
    },
    300_000,
  );
  if (most > 0) screen.say(`${(most / 1024).toFixed(1)} MiB of 1024 MiB had to be copied`);
}

/** Goes through it; throws when something did not hold. */
export async function volumeDemo(lab: Lab, screen: Screen): Promise<void> {
  screen.step('Two hosts, a cable between them, a disk of 1 GiB in each');
  const alpha = await Host.create(lab, 'alpha');
  const beta = await Host.create(lab, 'beta');
  const link = await Link.create(alpha, beta);
  makeMountPoint(lab, store);
  const disks = [alpha, beta].map((host) => makeDisk(join(host.dir, 'disk'), gib)) as [string, string];
  const config = renderConfig({
    hosts: [
      { name: 'alpha', address: `${link.address.a}:7788`, volumes: [{ device: '/dev/drbd0', disk: disks[0] }] },
      { name: 'beta', address: `${link.address.b}:7788`, volumes: [{ device: '/dev/drbd0', disk: disks[1] }] },
    ],
    net: { 'ping-int': 2, 'connect-int': 2, timeout: 15 },
    disk: { 'c-max-rate': '1G', 'c-fill-target': '1M' },
  });
  await install(alpha, config);
  await install(beta, config);
  await screen.type(alpha, `ls -lh ${disks[0]}`);
  await screen.type(alpha, `cat ${configFile}`);
  screen.done('hosts alpha and beta are there; both have this configuration');

  screen.step('Start the daemon');
  for (const host of [alpha, beta]) {
    screen.typed(host.name, 'systemctl start drbdts');
    await host.startDaemon();
  }
  screen.done('drbdtsd answers on both');

  screen.step('Create the meta-data and bring the resource up');
  for (const host of [alpha, beta]) await screen.type(host, 'drbdts create-md r0');
  for (const host of [alpha, beta]) await screen.type(host, 'drbdts up r0');
  await screen.type(alpha, 'drbdts wait-connect r0');
  await screen.type(alpha, 'drbdts status');
  screen.done('connected; nobody has said yet whose data count');

  screen.step('Alpha\'s data count: first full resync');
  await screen.type(alpha, 'drbdts primary --force r0');
  await followResync(screen, alpha);
  screen.done('both disks are UpToDate');

  screen.step('A file system on the mirror');
  await screen.type(alpha, 'mkfs.ext4 -q /dev/drbd0');
  await screen.type(alpha, `mount /dev/drbd0 ${store}`);
  let source = '';
  for (const candidate of documents) {
    const usedMib = Number((await run(['du', '-sm', candidate])).stdout.split('\t')[0]);
    if (source === '' && usedMib >= 1 && usedMib < 600) source = candidate;
  }
  await screen.type(alpha, `cp -a ${source} ${store}/doc && sync`);
  const before = (await screen.type(alpha, checksumCommand(`${store}/doc`))).trim();
  await screen.type(alpha, `df -h ${store} && drbdts status`);
  screen.done(`${source} is copied to ${store}`);

  screen.step('Alpha dies while it writes');
  const writer = alpha.spawn([process.execPath, '--input-type=module', '-e', journalProgram], ['ignore', 'pipe', 'ignore']);
  let acknowledged = 0;
  createInterface({ input: writer.stdout as NodeJS.ReadableStream }).on('line', (line) => (acknowledged = Number(line)));
  screen.typed('alpha', `while true; do i=$((i + 1)); echo "entry $i" >> ${store}/journal; sync ${store}/journal; done`);
  await waitFor('some journal entries are written', () => acknowledged >= 200, 60_000);
  await link.unplug();
  await alpha.powerOff();
  writer.kill('SIGKILL');
  const lastEntry = acknowledged;
  screen.done(`power and network of alpha are gone; ${lastEntry} journal entries had been acknowledged`);

  screen.step('Beta takes over');
  await beta.running.waitState({ connection: 'WFConnection', peerRole: 'Unknown' }, 60_000);
  await screen.type(beta, 'drbdts status');
  await screen.type(beta, 'drbdts primary r0');
  await screen.type(beta, `mount /dev/drbd0 ${store}`);
  screen.done(`${store} is served by beta`);

  screen.step('Is everything there?');
  const after = (await screen.type(beta, checksumCommand(`${store}/doc`))).trim();
  const found = Number((await screen.type(beta, `tail -n 1 ${store}/journal`)).trim().split(' ')[1]);
  if (after !== before) throw new Error(`checksums differ: ${before} on alpha, ${after} on beta`);
  if (!(found >= lastEntry)) throw new Error(`journal entry ${lastEntry} was acknowledged and is lost; the last one is ${found}`);
  screen.done('checksums are equal');
  screen.done(`all ${lastEntry} acknowledged journal entries are there`);

  screen.step('Work goes on at beta, alpha comes back');
  await screen.type(beta, `dd if=/dev/urandom of=${store}/new-file bs=1M count=32 conv=fsync status=none`);
  await link.plug();
  screen.typed('alpha', 'systemctl start drbdts');
  await alpha.startDaemon();
  await screen.type(alpha, 'drbdts up r0');
  await followResync(screen, beta);
  screen.done('alpha has caught up');

  screen.step('Back to alpha, planned this time');
  const newFile = (await screen.type(beta, `sha256sum ${store}/new-file`)).split(' ')[0];
  await screen.type(beta, `umount ${store} && drbdts secondary r0`);
  await screen.type(alpha, `drbdts primary r0 && mount /dev/drbd0 ${store}`);
  const back = (await screen.type(alpha, checksumCommand(`${store}/doc`))).trim();
  const backNew = (await screen.type(alpha, `sha256sum ${store}/new-file`)).split(' ')[0];
  if (back !== before || backNew !== newFile) throw new Error('checksums differ after the way back');
  screen.done('same files on alpha, what beta wrote included');

  screen.step('End');
  await screen.type(alpha, `umount ${store} && drbdts secondary r0`);
  const usableBytes = (await alpha.running.volume()).sizeKib * 1024;
  for (const host of [alpha, beta]) await screen.type(host, 'drbdts down r0');
  screen.typed('alpha', `cmp -n ${usableBytes} ${disks[0]} ${disks[1]}`);
  assertSameContents(disks[0], disks[1], usableBytes);
  screen.done('both disks are equal, byte for byte');
}
