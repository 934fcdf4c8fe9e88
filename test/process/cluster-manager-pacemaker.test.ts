/** Real Pacemaker and Corosync on two nodes with fencing: the volume as a promotable clone, with file system and address on top. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Boot, installFile, installForClusterManagers, powerOff } from '../support/boot.js';
import { Host } from '../support/host.js';
import { withLab } from '../support/lab.js';
import { Pair } from '../support/pair.js';
import { labUnavailable, programsUnavailable, projectRoot } from '../support/paths.js';
import { waitFor } from '../support/wait.js';

const skip =
  labUnavailable() || programsUnavailable('/usr/sbin/pacemakerd', '/usr/sbin/corosync', '/usr/lib/ocf/resource.d/heartbeat/Filesystem', '/usr/sbin/fence_dummy');

function corosyncConf(nodes: readonly { name: string; address: string }[]): string {
  const list = nodes.map(({ name, address }, index) => `  node {\n    name: ${name}\n    nodeid: ${index + 1}\n    ring0_addr: ${address}\n  }\n`);
  const two = nodes.length === 2 ? '  two_node: 1\n  wait_for_all: 0\n' : '';
  return (
    'totem {\n  version: 2\n  cluster_name: store\n  transport: udpu\n  token: 2000\n}\n' +
    `nodelist {\n${list.join('')}}\n` +
    `quorum {\n  provider: corosync_votequorum\n${two}}\n` +
    'system {\n  sched_rr: no\n}\n' +
    'logging {\n  to_stderr: yes\n  to_syslog: no\n}\n'
  );
}

/** The resources of the test, as `cibadmin` takes them. The clone prefers `home` a little. */
function resources(vip: string, home: string): string {
  const nv = (set: string, values: Record<string, string>): string =>
    Object.entries(values)
      .map(([name, value]) => `<nvpair id="${set}-${name}" name="${name}" value="${value}"/>`)
      .join('');
  const op = (id: string, name: string, interval: string, timeout: string, role = ''): string =>
    `<op id="${id}-${name}${role}" name="${name}" interval="${interval}" timeout="${timeout}"${role === '' ? '' : ` role="${role}"`}/>`;
  return `<configuration>
  <crm_config><cluster_property_set id="options">${nv('options', { 'stonith-enabled': 'true', 'no-quorum-policy': 'ignore' })}</cluster_property_set></crm_config>
  <resources>
    <clone id="store-clone">
      <meta_attributes id="store-meta">${nv('store-meta', {
        'promotable': 'true', 'promoted-max': '1', 'promoted-node-max': '1', 'clone-max': '2', 'clone-node-max': '1', 'notify': 'true',
      })}</meta_attributes>
      <primitive id="store" class="ocf" provider="drbdts" type="drbdts">
        <instance_attributes id="store-attr">${nv('store-attr', { resource: 'r0' })}</instance_attributes>
        <operations>${op('store', 'monitor', '5s', '20s', 'Promoted')}${op('store', 'monitor', '6s', '20s', 'Unpromoted')}${op('store', 'start', '0', '60s')}${op('store', 'promote', '0', '60s')}${op('store', 'demote', '0', '60s')}${op('store', 'stop', '0', '60s')}</operations>
      </primitive>
    </clone>
    <primitive id="fencing" class="stonith" type="fence_dummy">
      <instance_attributes id="fencing-attr">${nv('fencing-attr', { status_file: '/run/fence_dummy.status', pcmk_host_list: 'alpha,beta' })}</instance_attributes>
    </primitive>
    <group id="service">
      <primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem">
        <instance_attributes id="fs-attr">${nv('fs-attr', { device: '/dev/drbd0', directory: '/var/store', fstype: 'ext4' })}</instance_attributes>
        <operations>${op('fs', 'start', '0', '60s')}${op('fs', 'stop', '0', '60s')}</operations>
      </primitive>
      <primitive id="vip" class="ocf" provider="heartbeat" type="IPaddr2">
        <instance_attributes id="vip-attr">${nv('vip-attr', { ip: vip, cidr_netmask: '24', nic: 'eth0' })}</instance_attributes>
      </primitive>
    </group>
  </resources>
  <constraints>
    <rsc_colocation id="service-where" score="INFINITY" rsc="service" rsc-role="Started" with-rsc="store-clone" with-rsc-role="Promoted"/>
    <rsc_order id="service-when" first="store-clone" first-action="promote" then="service" then-action="start"/>
    <rsc_location id="home" rsc="store-clone" role="Promoted" node="${home}" score="50"/>
  </constraints>
</configuration>`;
}

/** Starts Corosync and Pacemaker as their init scripts would. */
async function startCluster(boot: Boot): Promise<void> {
  await boot.sh('install -d -m 755 /run/corosync && install -d -o hacluster -g haclient -m 750 /run/crm /run/resource-agents');
  await boot.spawn(['corosync', '-f'], 'corosync.log');
  await waitFor(`corosync of ${boot.host.name}`, async () => (await boot.run(['corosync-quorumtool', '-s'])).stdout.includes('Quorate:'));
  await boot.spawn(['pacemakerd'], 'pacemaker.log');
}

const serves = async (boot: Boot, vip: string): Promise<boolean> =>
  (await boot.run(['mountpoint', '-q', '/var/store'])).code === 0 && (await boot.must(['ip', '-4', 'address', 'show'])).includes(`${vip}/24`);

const role = async (host: Host): Promise<string> => (await host.running.resource()).role;

test('a promotable clone with file system and address: standby, return, loss of a node', { skip, timeout: 400_000 }, async () => {
  await withLab('pacemaker', async (lab) => {
    const pair = await Pair.create(lab, { names: ['alpha', 'beta'] });
    const { a, b, link } = pair;
    const vip = link.address.a.replace(/\d+$/, '100');
    const boots = new Map<Host, Boot>();
    const bootOf = (host: Host): Boot => boots.get(host) as Boot;
    const nodes = [{ name: a.name, address: link.address.a }, { name: b.name, address: link.address.b }];
    for (const host of [a, b]) {
      host.socket = '/run/drbdts/drbdtsd.sock';
      installForClusterManagers(host);
      installFile(host, '/etc/drbdts/drbdts.yaml', readFileSync(host.configFile, 'utf8'));
      installFile(host, '/etc/corosync/corosync.conf', corosyncConf(nodes));
      boots.set(host, await Boot.start(host));
      for (const log of ['root/var/log/pacemaker/pacemaker.log', 'corosync.log']) lab.note(() => tail(join(host.dir, log)));
    }
    await pair.upInSync();
    await a.drbdts('primary', 'r0');
    await a.must(['mkfs.ext4', '-q', '/dev/drbd0']);
    await a.drbdts('secondary', 'r0');
    await pair.both((host) => host.drbdts('down', 'r0'));

    await pair.both((host) => startCluster(bootOf(host)));
    await waitFor(
      'both nodes are online',
      async () => /Online: \[ alpha beta \]/.test((await bootOf(a).run(['crm_mon', '-1'])).stdout),
      90_000,
      async () => (await bootOf(a).run(['crm_mon', '-1'])).stdout,
    );
    await bootOf(a).must(['cibadmin', '--replace', '--scope', 'configuration', '--xml-text', await merged(bootOf(a), resources(vip, a.name))]);
    const state = async (): Promise<string> => (await bootOf(b).run(['crm_mon', '-1', '-A', '-r', '-f'])).stdout;
    const servedBy = (host: Host, timeoutMs = 90_000): Promise<boolean> =>
      waitFor(`${host.name} serves`, () => serves(bootOf(host), vip), timeoutMs, state);

    await servedBy(a);
    assert.equal(await role(a), 'Primary');
    await waitFor('beta is up as Secondary', async () => (await b.running.resource()).up && (await role(b)) === 'Secondary', 60_000, state);
    await bootOf(a).sh('echo before >/var/store/file && sync');
    await pair.inSync();

    // standby: everything is stopped in order and the clone promoted on the other node
    await bootOf(a).must(['crm_standby', '-N', a.name, '-v', 'on']);
    await servedBy(b);
    assert.equal(await role(a), 'Secondary');
    assert.equal(await bootOf(b).must(['cat', '/var/store/file']), 'before\n');
    assert.equal((await bootOf(a).run(['mountpoint', '-q', '/var/store'])).code === 0, false);
    await bootOf(b).sh('echo on-beta >/var/store/second && sync');

    // back: the preference moves it home once the data are in sync there
    await bootOf(a).must(['crm_standby', '-N', a.name, '-D']);
    await servedBy(a);
    assert.equal(await bootOf(a).must(['cat', '/var/store/second']), 'on-beta\n');
    await bootOf(a).sh('echo last >/var/store/third && sync');
    await pair.inSync();

    // the node is lost, cable and all
    await link.unplug();
    await powerOff(bootOf(a));
    await servedBy(b);
    assert.equal(await role(b), 'Primary');
    assert.equal(await bootOf(b).must(['cat', '/var/store/third']), 'last\n');
    assert.match(await bootOf(b).must(['stonith_admin', '--history', a.name]), /(reboot|off) of alpha successful/);
  });
});

/** The indented blocks of resources/docs/cluster-managers.md that begin with `first`, as they would be typed. */
function snippet(first: string): string {
  const lines = readFileSync(join(projectRoot, 'resources/docs/cluster-managers.md'), 'utf8').split('\n');
  const begin = lines.findIndex((line) => line.startsWith(`    ${first}`));
  assert.notEqual(begin, -1, `the page has no block that begins with ${first}`);
  const end = lines.findIndex((line, index) => index > begin && !line.startsWith('    '));
  return `${lines.slice(begin, end).map((line) => line.slice(4)).join('\n')}\n`;
}

/** What of a configuration the snippets are about. */
const essentials = (cib: string): string[] =>
  [
    /<primitive [^>]*type="drbdts"/, /name="promotable" value="true"/, /name="promoted-max" value="1"/, /name="notify" value="true"/, /name="resource" value="r0"/,
    /<op [^>]*role="Promoted"/, /<op [^>]*role="Unpromoted"/, /<group id="service">[\s\S]*type="Filesystem"[\s\S]*type="IPaddr2"[\s\S]*<\/group>/,
    /<rsc_colocation [^>]*with-rsc-role="Promoted"/, /<rsc_order [^>]*first-action="promote"/, /<primitive [^>]*type="fence_dummy"/, /name="stonith-enabled" value="true"/,
  ].flatMap((pattern) => (pattern.test(cib) ? [] : [pattern.source]));

for (const [shell, program, commands] of [
  ['crmsh', '/usr/sbin/crm', ['crm --force configure load update snippet']],
  ['pcs', '/usr/sbin/pcs', ["sed 's/^pcs /pcs -f cib /' snippet | sh -e"]],
] as const) {
  test(`the commands of the page for ${shell} make a valid configuration`, { skip: skip || programsUnavailable(program), timeout: 120_000 }, async () => {
    await withLab(`pacemaker-${shell}`, async (lab) => {
      const host = await Host.create(lab, 'alpha');
      installForClusterManagers(host);
      installFile(host, '/etc/drbdts/drbdts.yaml', 'resources: {}\n');
      const boot = await Boot.start(host);
      writeFileSync(join(host.dir, 'snippet'), snippet(shell === 'crmsh' ? 'primitive store' : 'pcs resource create store') + snippet(shell === 'crmsh' ? 'primitive fencing' : 'pcs stonith create'));
      await boot.sh('cibadmin --empty >cib');
      for (const command of commands) await boot.sh(`export CIB_file=$PWD/cib; ${command}`);
      assert.deepEqual(essentials(await boot.must(['cat', 'cib'])), []);
      await boot.must(['crm_verify', '--xml-file', 'cib']);
    });
  });
}

/** The present configuration with the sections of `xml` instead of its own; the list of nodes stays. */
async function merged(boot: Boot, xml: string): Promise<string> {
  const nodes = await boot.must(['cibadmin', '--query', '--scope', 'nodes']);
  return xml.replace('<resources>', `${nodes}<resources>`);
}

function tail(file: string): string {
  try {
    return `--- ${file}\n${readFileSync(file, 'utf8').trimEnd().split('\n').slice(-40).join('\n')}`;
  } catch {
    return '';
  }
}
