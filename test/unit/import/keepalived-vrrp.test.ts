/** keepalived.conf as `vrrp:`: what is written means the same, both nodes in one file, and nothing is dropped in silence. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { explainSection } from '../../../src/cluster/vrrp/explain-section.js';
import { parseConfig } from '../../../src/config/load.js';
import type { VrrpSection } from '../../../src/config/vrrp-types.js';
import type { ImportOutcome } from '../../../src/import/run.js';
import { dual, web } from './vrrp-originals.js';
import { type Files, host, imported, lines, network, only, short } from './world.js';

const f = 'keepalived.conf';
const view = host({
  node: 'one',
  networks: [network('eth0', '172.29.80.67/16'), network('eth1', '10.29.8.67/24')],
  paths: { '/etc/keepalived/master.sh': {}, '/etc/keepalived/backup.sh': {}, '/etc/keepalived/fault.sh': {}, '/opt/notify.sh': {}, '/x': {} },
  programs: ['killall'],
});

/** The files of two nodes. */
function pair(one: string, two: string): ImportOutcome {
  return imported({ 'one.keepalived.conf': one, 'two.keepalived.conf': two }, view, { nodes: new Map([['one.keepalived.conf', ['one']], ['two.keepalived.conf', ['two']]]) });
}

function sectionOf({ yaml, findings, complete }: ImportOutcome): VrrpSection {
  assert.ok(complete, lines(findings));
  const { config, problems } = parseConfig(yaml, 'drbdts.yaml', null);
  const section = config?.vrrp;
  assert.ok(section, problems.map(({ message }) => message).join('\n'));
  return section;
}

/** One node's file around a body of an instance. */
const alone = (body: string, before = ''): string => `${before}vrrp_instance V {\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {\n  172.29.0.9/16\n }\n${body}\n}\n`;
const of = (text: string): VrrpSection['instances'][number] => {
  const [instance] = sectionOf(imported({ [f]: text }, view)).instances;
  assert.ok(instance);
  return instance;
};
const lostOf = (text: string): string => lines(only(imported({ [f]: text }, view).findings, 'lost', 'warning', 'error'));

describe('the files of both nodes', () => {
  it('a web server with one address: priorities by node, the check is a condition', () => {
    const outcome = pair(web('one'), web('two'));
    const section = sectionOf(outcome);
    const [instance] = section.instances;
    assert.deepEqual([instance?.name, instance?.routerId, instance?.version, instance?.intervalMs, instance?.password], ['WEB', 80, 2, 2000, '1111']);
    assert.deepEqual(Object.entries(instance?.nodes ?? {}).map(([node, { priority, interface: device }]) => [node, priority, device]), [['one', 100, 'eth0'], ['two', 85, 'eth0']]);
    assert.deepEqual(instance?.addresses.map(({ address, prefix }) => `${address}/${prefix}`), ['172.29.80.100/32']);
    assert.deepEqual(instance?.track, [{ kind: 'script', script: 'check_httpd', weight: 0, reverse: false }]);
    assert.deepEqual(section.scripts.map(({ command, intervalMs, timeoutMs }) => [command, intervalMs, timeoutMs]), [['killall -0 httpd', 2000, 2000]]);
    assert.deepEqual([instance?.notify.master, instance?.notify.backup, instance?.notify.fault], ['/etc/keepalived/master.sh', '/etc/keepalived/backup.sh', '/etc/keepalived/fault.sh']);
    // mail alone is lost, each line of it by its place
    const mail = ['2:1', '6:1', '7:1', '8:1'];
    assert.deepEqual(short(only(outcome.findings, 'lost')), ['one', 'two'].flatMap((node) => mail.map((place) => `${node}.keepalived.conf:${place} IMPORT_NO_MAIL`)));
  });

  it('means what `vrrp explain` says of it', () => {
    const text = explainSection(sectionOf(pair(web('one'), web('two'))), 'one', new Map()).join('\n');
    // two intervals and more than a third of one for the other: 3 * 2 s + (256 - 85) / 256 s
    assert.match(text, /one is to be master, priority 100/);
    assert.match(text, /If one dies .*: two is master 4\.67 s to 6\.67 s later/);
    assert.match(text, /If script check_httpd fails on one: that counts after 0 s to 4 s, one drops the addresses and is in fault; two is master/);
    assert.match(text, /When one comes back it takes over again/);
  });

  it('dual master on two networks: four instances, the doubled priority is found, the rest is well', () => {
    const outcome = pair(dual('one'), dual('two'));
    const section = sectionOf(outcome);
    assert.deepEqual(
      section.instances.map(({ name, multicastGroup, nodes }) => [name, multicastGroup, nodes['one']?.priority, nodes['two']?.priority, nodes['one']?.interface]),
      [
        ['Outside_1', '224.0.0.111', 100, 100, 'eth1'],
        ['Outside_2', '224.0.0.111', 95, 100, 'eth1'],
        ['Inside_1', '224.0.0.111', 100, 95, 'eth0'],
        ['Inside_2', '224.0.0.111', 95, 100, 'eth0'],
      ],
    );
    assert.deepEqual(short(only(outcome.findings, 'error')), ['two.keepalived.conf:22:14 IMPORT_SAME_PRIORITY']);
    const text = explainSection(section, 'one', new Map()).join('\n');
    assert.match(text, /Outside_1:[\s\S]*Attention, equal priorities: one and two[\s\S]*Outside_2:/);
    assert.match(text, /Inside_1:[\s\S]*If script chk_proxy fails on one: that counts after 2 s to 6 s, its priority is then 90 = 100 base, -10 script chk_proxy, below the 95 of two: two is master/);
  });

  it('a word that has grown together with its quote is found at its line and column, and only it is missing', () => {
    const outcome = pair(dual('one'), dual('two', true));
    const found = only(outcome.findings, 'error').filter(({ code }) => code === 'IMPORT_UNKNOWN_WORD');
    assert.deepEqual(short(found), ['two.keepalived.conf:36:5 IMPORT_UNKNOWN_WORD']);
    assert.match(lines(found), /Did you mean 'notify_fault', a blank, and then the quote/);
    assert.equal(sectionOf(outcome).instances.length, 4);
    assert.ok(short(outcome.findings).includes('two.keepalived.conf:18:1 IMPORT_NODES_DIFFER'), lines(outcome.findings));
  });

  it('interfaces and sources may differ, everything else may not', () => {
    const outcome = pair(alone(' priority 150\n mcast_src_ip 172.29.0.1\n advert_int 1\n'), alone(' priority 100\n mcast_src_ip 172.29.0.2\n advert_int 3\n').replace('eth0', 'ens3'));
    const [instance] = sectionOf(outcome).instances;
    assert.deepEqual(instance?.nodes, { one: { interface: 'eth0', priority: 150, source: '172.29.0.1', peers: [] }, two: { interface: 'ens3', priority: 100, source: '172.29.0.2', peers: [] } });
    assert.equal(instance?.intervalMs, 1000);
    assert.deepEqual(short(only(outcome.findings, 'lost')), ['two.keepalived.conf:9:13 IMPORT_NODES_DIFFER']);
    assert.match(lines(outcome.findings), /advert-interval of V differs: '3s' on two, '1s' on one; `vrrp:` has one for all nodes, and that of one is written/);
  });

  it('unicast peers become addresses by node, with and without unicast_src_ip', () => {
    const unicast = (own: string, peer: string, tell: boolean, rest = ''): string => alone(`${tell ? ` unicast_src_ip ${own}\n` : ''} unicast_peer {\n  ${peer}\n${rest} }\n priority ${own.endsWith('1') ? 150 : 100}\n`);
    for (const tell of [true, false]) {
      const [instance] = sectionOf(pair(unicast('10.9.0.1', '10.9.0.2', tell), unicast('10.9.0.2', '10.9.0.1', tell))).instances;
      assert.deepEqual(Object.entries(instance?.nodes ?? {}).map(([node, { source, peers }]) => [node, source, peers]), [['one', '10.9.0.1', ['10.9.0.2']], ['two', '10.9.0.2', ['10.9.0.1']]]);
      assert.deepEqual(instance?.unicast, { ttl: 255, minTtl: null, checkSource: false });
    }
    // a third one that is in no file stays a peer of both
    const [third] = sectionOf(pair(unicast('10.9.0.1', '10.9.0.2', true, '  10.9.0.3\n'), unicast('10.9.0.2', '10.9.0.1', true, '  10.9.0.3\n'))).instances;
    assert.deepEqual(third?.nodes['two']?.peers, ['10.9.0.1', '10.9.0.3']);
  });

  it('an instance that one node has not is not started half: the result is refused', () => {
    const other = alone(' priority 100\n').replace('virtual_router_id 5', 'virtual_router_id 9').replace('vrrp_instance V', 'vrrp_instance W').replace('0.9/16', '0.10/16');
    const outcome = pair(`${alone(' priority 150\n')}${other}`, alone(' priority 100\n'));
    assert.equal(outcome.complete, false);
    assert.match(lines(outcome.findings), /W \(virtual_router_id 9 on eth0\) is not in two\.keepalived\.conf/);
    assert.match(lines(outcome.findings), /the result is not complete: W priority/);
  });

  it('one name for two files is found by router id', () => {
    const [instance, ...more] = sectionOf(pair(alone(' priority 150\n'), alone(' priority 100\n').replace('vrrp_instance V', 'vrrp_instance OTHER'))).instances;
    assert.deepEqual([instance?.name, more.length], ['V', 0]);
  });
});

describe('one file', () => {
  it('is for its node alone, and says how the other one is given', () => {
    const outcome = imported({ [f]: web('one') }, view);
    assert.deepEqual(Object.keys(sectionOf(outcome).instances[0]?.nodes ?? {}), ['one']);
    const [found] = outcome.findings.filter(({ code }) => code === 'IMPORT_OTHER_NODE');
    assert.equal(found?.severity, 'lost');
    assert.match(found?.remedy ?? '', /drbdts import one=keepalived\.conf NAME=FILE/);
  });
  it('a name that is only in the path has to be confirmed', () => {
    const outcome = imported({ 'ka67.keepalived.conf': web('one') }, view);
    assert.deepEqual(Object.keys(sectionOf(outcome).instances[0]?.nodes ?? {}), ['ka67']);
    assert.ok(outcome.findings.some(({ code, severity }) => code === 'IMPORT_NODE_NAME' && severity === 'lost'));
  });
  it('conditions make it one for several nodes', () => {
    const [instance] = sectionOf(imported({ [f]: alone('@one priority 150\n@two priority 100\n@two interface ens3\n').replace(' interface eth0\n', '@one interface eth0\n') }, view)).instances;
    assert.deepEqual(Object.entries(instance?.nodes ?? {}).map(([node, { priority, interface: device }]) => [node, priority, device]), [['one', 150, 'eth0'], ['two', 100, 'ens3']]);
  });
  it('a line for a node that is not in the result is named', () => {
    const outcome = imported({ [f]: alone('@high priority 150\n@low priority 100\n') }, view, { nodes: new Map([[f, ['high']]]) });
    assert.deepEqual(short(outcome.findings).filter((text) => text.endsWith('IMPORT_CONDITION_LEFT')), [`${f}:8:6 IMPORT_CONDITION_LEFT`]);
  });
});

describe('what an instance says', () => {
  const cases: readonly (readonly [string, (instance: VrrpSection['instances'][number]) => unknown, unknown])[] = [
    [' state MASTER\n', ({ nodes }) => nodes['one']?.priority, 255],
    ['', ({ nodes }) => nodes['one']?.priority, 100],
    [' nopreempt\n', ({ preempt }) => preempt, false],
    [' state MASTER\n priority 100\n nopreempt\n', ({ preempt }) => preempt, true],
    [' preempt_delay 2.5\n', ({ preemptDelayMs }) => preemptDelayMs, 2500],
    [' version 3\n advert_int 0.25\n', ({ version, intervalMs }) => [version, intervalMs], [3, 250]],
    [' virtual_ipaddress_excluded {\n fd00::1/64\n }\n', ({ addresses }) => addresses.map(({ address, advertised }) => [address, advertised]), [['172.29.0.9', true], ['fd00::1', false]]],
    [' virtual_ipaddress {\n 172.29.0.10/16 dev eth1 label eth1:w\n }\n', ({ addresses }) => addresses.slice(1).map(({ interfaces, label }) => [interfaces['one'], label]), [['eth1', 'eth1:w']]],
    [' garp_master_delay 1\n garp_master_repeat 2\n garp_master_refresh 30\n garp_master_refresh_repeat 3\n garp_lower_prio_repeat 4\n garp_lower_prio_delay 0\n', ({ announce }) => announce, { frames: 2, gapMs: 0, repeatAfterMs: 1000, lowerFrames: 4, lowerRepeatAfterMs: 0, refreshMs: 30_000, refreshFrames: 3 }],
    [' down_timer_adverts 5\n lower_prio_no_advert\n higher_prio_send_advert true\n dont_track_primary\n', ({ downAdverts, answerLower, answerHigher, trackPrimary }) => [downAdverts, answerLower, answerHigher, trackPrimary], [5, false, true, false]],
    [' lower_prio_no_advert false\n', ({ answerLower }) => answerLower, true],
    [' track_interface {\n eth0\n eth1 weight -20 reverse\n }\n', ({ track }) => track, [{ kind: 'interface', interface: 'eth1', weight: -20, reverse: true }]],
    [' mcast_dst_ip 224.0.0.99\n', ({ multicastGroup }) => multicastGroup, '224.0.0.99'],
    [' notify "/x a" web www\n notify_master_rx_lower_pri /x web www\n', ({ notify }) => [notify.any, notify.user, notify.masterRxLowerPri], ['/x a', 'web:www', '/x']],
    [' authentication {\n auth_type PASS\n auth_pass 123456789\n }\n', ({ password }) => password, '12345678'],
    [' version 3\n v3_checksum_as_v2\n', ({ pseudoHeader }) => pseudoHeader, false],
  ];
  for (const [body, pick, wanted] of cases) it(JSON.stringify(body.trim()), () => assert.deepEqual(pick(of(alone(body))), wanted));

  it('what global_defs says holds for each', () => {
    const instance = of(alone(' garp_master_repeat 9\n', 'global_defs {\n vrrp_version 3\n vrrp_garp_master_repeat 2\n vrrp_garp_master_delay 3\n vrrp_garp_interval 0.005\n vrrp_startup_delay 4\n vrrp_notify_fifo /run/f\n vrrp_notify_priority_changes\n script_user web\n vrrp_down_timer_adverts 2\n}\n'));
    assert.deepEqual([instance.version, instance.announce.frames, instance.announce.repeatAfterMs, instance.announce.gapMs, instance.startDelayMs, instance.notify.fifo, instance.notify.fifoPriorities, instance.downAdverts], [3, 9, 3000, 5, 4000, '/run/f', true, 2]);
  });

  it('files and processes that are tracked', () => {
    const before = 'track_file drain {\n file /run/drain\n weight -3\n}\nvrrp_track_process p {\n process nginx\n quorum 2\n weight 7\n}\nvrrp_track_process q {\n process haproxy -db\n full_command\n}\n';
    assert.deepEqual(of(alone(' track_file {\n drain\n }\n track_process {\n p\n q weight 4\n }\n', before)).track, [
      { kind: 'process', process: 'nginx', fullCommand: false, quorum: 2, weight: 7, reverse: false },
      { kind: 'process', process: 'haproxy -db', fullCommand: true, quorum: 1, weight: 4, reverse: false },
      { kind: 'file', file: '/run/drain', weight: -3, reverse: false },
    ]);
  });

  it('groups that move together, with what they call', () => {
    const second = alone('').replace('vrrp_instance V', 'vrrp_instance W').replace('_id 5', '_id 6').replace('0.9/16', '0.10/16');
    const section = sectionOf(imported({ [f]: `${alone('')}${second}vrrp_sync_group G {\n group {\n V\n W\n }\n notify_master /x\n sync_group_tracking_weight\n}\n` }, view));
    assert.deepEqual(section.syncGroups.map(({ name, instances, notify, trackingWeight }) => [name, instances, notify.master, trackingWeight]), [['G', ['V', 'W'], '/x', true]]);
  });
});

describe('what has no equivalent', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [alone(' use_vmac\n'), `${f}:7:2 IMPORT_NOT_HERE`, /gratuitous ARP/],
    [alone(' smtp_alert\n'), `${f}:7:2 IMPORT_NO_MAIL`, /notify: any:/],
    [alone(' virtual_routes {\n 10.0.0.0/8 dev eth0\n }\n'), `${f}:7:2 IMPORT_NOT_HERE`, /ip route/],
    [alone(' authentication {\n auth_type AH\n auth_pass x\n }\n'), `${f}:8:12 IMPORT_AUTH_AH`, /without authentication/],
    [alone(' advert_int 0.5\n'), `${f}:7:13 IMPORT_TIME_RANGE`, /the import writes 1s/],
    [alone(' strict_mode\n'), `${f}:7:2 IMPORT_NOT_HERE`, /RFC/],
    [alone(' virtual_ipaddress {\n 172.29.0.10/16 brd 172.29.255.255\n }\n'), `${f}:8:17 IMPORT_ADDRESS_OPTION`, /brd 172\.29\.255\.255/],
    [alone(' virtual_ipaddress {\n fd00::1/64\n }\n'), `${f}:8:2 IMPORT_LEFT_OUT`, /one family/],
    [alone('', 'static_routes {\n 10.0.0.0/8 dev eth0\n}\n'), `${f}:1:1 IMPORT_NOT_HERE`, /systemd-networkd/],
    [alone('', 'vrrp_track_process p {\n process a\n quorum_max 0\n}\n'), `${f}:3:2 IMPORT_LEFT_OUT`, /quorum_max/],
    [alone('', 'virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n'), `${f}:1:1 IMPORT_LVS`, /virtual_server 10\.0\.0\.1 80/],
    [alone(' notify_master "/x" a\n notify_fault "/x" b\n'), `${f}:8:20 IMPORT_SCRIPT_USERS`, /b, other scripts of the block as a/],
    ['vrrp_instance V {\n interface eth0\n virtual_ipaddress {\n 172.29.0.9\n }\n}\n', `${f}:1:1 IMPORT_LEFT_OUT`, /no virtual_router_id/],
    [`vrrp_script s {\n script "</dev/tcp/127.0.0.1/80"\n}\n${alone(' track_script {\n s\n }\n')}`, `${f}:2:9 IMPORT_BASH`, /bash -c/],
    [alone('').replace('vrrp_instance V', 'vrrp_instance "V 1"'), `${f}:1:15 IMPORT_NAME_CHANGED`, /'V_1'/],
  ];
  for (const [text, place, words] of cases) {
    it(`${place}: ${words.source}`, () => {
      const outcome = imported({ [f]: text }, view);
      assert.ok(short(outcome.findings).includes(place), lines(outcome.findings));
      assert.match(lines(outcome.findings), words);
      assert.equal(outcome.complete, true, lines(outcome.findings));
    });
  }

  it('a switch that is off loses nothing', () => assert.doesNotMatch(lostOf(alone(' smtp_alert off\n strict_mode false\n')), /smtp_alert|strict_mode/));

  it('a piece with a script serves both nodes, and alone is nothing', () => {
    const piece = 'vrrp_script chk {\n script "killall -0 x"\n weight -60\n}\n';
    const track = ' track_script {\n chk\n }\n';
    const files = { 'chk.keepalived.conf': piece, 'one.keepalived.conf': alone(` priority 150\n${track}`), 'two.keepalived.conf': alone(` priority 100\n${track}`) };
    assert.deepEqual(sectionOf(imported(files, view)).instances[0]?.track, [{ kind: 'script', script: 'chk', weight: -60, reverse: false }]);
    const nothing = imported({ 'chk.keepalived.conf': piece }, view);
    assert.equal(nothing.yaml, '');
    assert.ok(short(nothing.findings).includes('chk.keepalived.conf:1:1 IMPORT_LEFT_OUT'));
  });
});

/** Lines that begin with a word, without those that are inside of a block which is named as a whole. */
function keywordLines(text: string): { line: number; column: number; word: string }[] {
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/[#!].*/, '').replace(/^\s*@\S+/, (condition) => ' '.repeat(condition.length));
    const hit = /^(\s*)([A-Za-z_][\w-]*)/.exec(line);
    return hit === null ? [] : [{ line: index + 1, column: (hit[1] ?? '').length + 1, word: hit[2] ?? '' }];
  });
}

/** From the line of each block that a finding names as lost up to its closing brace. */
function lostBlocks(text: string, starts: ReadonlySet<number>): Set<number> {
  const inside = new Set<number>();
  let [depth, until] = [0, Number.POSITIVE_INFINITY];
  text.split('\n').forEach((raw, index) => {
    const line = raw.replace(/[#!].*/, '');
    if (starts.has(index + 1) && until === Number.POSITIVE_INFINITY) until = depth;
    if (until !== Number.POSITIVE_INFINITY) inside.add(index + 1);
    depth += (line.match(/\{/g) ?? []).length - (line.match(/\}/g) ?? []).length;
    if (depth <= until && (line.includes('}') || !line.includes('{'))) until = Number.POSITIVE_INFINITY;
  });
  return inside;
}

function unaccounted(files: Files): string[] {
  const outcome = imported(files, view);
  const text = files[f] ?? '';
  const mapped = new Set(outcome.mapped.map(({ line, column }) => `${line}:${column}`));
  const named = new Set(outcome.findings.map(({ line }) => line));
  const whole = lostBlocks(text, new Set(only(outcome.findings, 'lost').filter(({ code }) => ['IMPORT_LVS', 'IMPORT_NO_MAIL', 'IMPORT_NOT_HERE', 'IMPORT_LEFT_OUT'].includes(code)).map(({ line }) => line)));
  return keywordLines(text).flatMap(({ line, column, word }) => (mapped.has(`${line}:${column}`) || named.has(line) || whole.has(line) ? [] : [`${line}:${column} ${word}`]));
}

describe('nothing is dropped in silence', () => {
  it('of the originals', () => {
    for (const text of [web('one'), dual('one'), dual('two')]) assert.deepEqual(unaccounted({ [f]: text }), []);
  });
  it('the check itself sees a line that is neither taken nor named', () => {
    const outcome = imported({ [f]: web('one') }, view);
    assert.ok(outcome.mapped.some(({ line }) => line === 15) && keywordLines(web('one')).length > 20);
  });
});

const samples = [process.env['DRBDTS_KEEPALIVED_SAMPLES'] ?? '', '/usr/share/doc/keepalived/samples'].find((path) => existsSync(path));
describe("Debian's samples", { skip: samples === undefined ? 'keepalived is not installed' : false }, () => {
  for (const name of samples === undefined ? [] : readdirSync(samples).filter((one) => one.startsWith('keepalived.conf'))) {
    const files = { [f]: readFileSync(join(samples ?? '', name), 'utf8') };
    it(`${name}: every word is known, every line is taken or named, the result passes the check`, () => {
      const outcome = imported(files, view);
      const structure = outcome.findings.filter(({ code }) => /UNKNOWN_WORD|MISPLACED|BRACE|QUOTE/.test(code));
      // its sync group lacks the `group` block, which versions of today want
      assert.deepEqual(short(structure), name.endsWith('lvs_syncd') ? [`${f}:4:3 IMPORT_UNKNOWN_WORD`, `${f}:5:3 IMPORT_UNKNOWN_WORD`] : []);
      assert.deepEqual(unaccounted(files), []);
      assert.ok(only(outcome.findings, 'lost').length > 0);
      assert.equal(outcome.complete, true, lines(outcome.findings));
      assert.equal(outcome.yaml !== '', /vrrp_instance/.test(files[f] ?? ''));
    });
  }
});
