/** keepalived.conf: the parser, each planted mistake at its place, two nodes against each other. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatFinding } from '../../../src/import/findings.js';
import { readKeepalived } from '../../../src/import/keepalived.js';
import type { Keepalived } from '../../../src/import/keepalived-model.js';
import { checked, type Files, host, lines, memory, network, only, short } from './world.js';

const f = 'keepalived.conf';
const notify = (indent = ''): string => ['master', 'backup', 'fault'].map((state) => `${indent}notify_${state} "/etc/keepalived/notify.sh ${state}"\n`).join('');
const view = host({
  networks: [network('eth0', '172.16.8.67/24'), network('eth1', '10.16.8.67/24')],
  paths: { '/etc/keepalived/notify.sh': {}, '/usr/bin/killall': {}, '/opt/insecure.sh': { insecure: '/opt' }, '/opt/plain.sh': { executable: false } },
  programs: ['killall'],
});
const instance = (name: string, state: string, body = '', options: { vrid?: number; priority?: number; vip?: string; interface?: string } = {}): string =>
  `vrrp_instance ${name} {\n    state ${state}\n    interface ${options.interface ?? 'eth1'}\n    virtual_router_id ${options.vrid ?? 171}\n    priority ${options.priority ?? 100}\n    advert_int 1\n    authentication {\n        auth_type PASS\n        auth_pass renwole0\n    }\n    virtual_ipaddress {\n        ${options.vip ?? '10.16.8.100'}\n    }\n${body}}\n`;
const globals = 'global_defs {\n   enable_script_security\n   script_user root\n}\n';
const good = `${globals}${instance('External_1', 'MASTER', notify('    '))}`;

function model(files: Files, node = 'master1'): Keepalived {
  const text = files[f] ?? '';
  return readKeepalived({ path: f, text, mode: null }, memory(files), host({ node }), (code, place) => {
    if (code !== 'IMPORT_CONDITION') assert.fail(`${code} ${JSON.stringify(place)}`);
  });
}

describe('the language', () => {
  it('a good file has no findings', () => assert.deepEqual(checked({ [f]: good }, view).map(formatFinding), []));

  it('comments, quotes, blocks on the next line, tabs, escapes', () => {
    const text = 'vrrp_instance A # one\n{\n\tinterface eth0 ! two\n virtual_router_id 5\n notify "/bin/x \'a b\' #no comment !none" \n authentication\n {\n auth_type PASS\n auth_pass a\\#b\n }\n virtual_ipaddress { 10.0.0.1/24 dev eth0 label eth0:1 }\n}\n';
    const [one] = model({ [f]: text }).instances;
    assert.deepEqual([one?.interface?.text, one?.vrid?.text, one?.authentication?.pass?.text], ['eth0', '5', 'a#b']);
    assert.equal(one?.calls[0]?.words[0]?.text, "/bin/x 'a b' #no comment !none");
    assert.deepEqual(one?.vips.map(({ address, prefix, interface: dev }) => [address, prefix, dev]), [['10.0.0.1', 24, 'eth0']]);
  });

  it('definitions, in braces and bare, of several lines', () => {
    const text = '$PRIO=150\n$NET=10.0.0\n$BODY= \\\n    interface eth7 \\\n    priority $PRIO\nvrrp_instance A {\n $BODY\n virtual_router_id 9\n virtual_ipaddress {\n ${NET}.7/24\n }\n}\n';
    const [one] = model({ [f]: text }).instances;
    assert.deepEqual([one?.interface?.text, one?.priority?.text, one?.vips[0]?.address], ['eth7', '150', '10.0.0.7']);
    assert.equal(one?.interface?.line, 7);
  });

  it('conditions hold for the name of the host', () => {
    const text = 'vrrp_instance A {\n@high priority 170\n@low priority 85\n@^high advert_int 3\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n';
    const of = (node: string): unknown => model({ [f]: text }, node).instances.map(({ priority, advertInt }) => [priority?.text, advertInt?.text]);
    assert.deepEqual([of('high'), of('low.example.org')], [[['170', undefined]], [['85', '3']]]);
  });

  it('sequences and lists', () => {
    const text = 'vrrp_instance A {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n ~SEQ(x, 1, 3) 10.0.0.$x/24\n ~SEQ(x, 2) ~SEQ(y, 8, 9) 10.$x.0.$y\n ~SEQx(h, 10, 11) fd00::$h/64\n ~LST({a,b},{1,2},{3,4}) 10.9.$a.$b\n }\n}\n';
    assert.deepEqual(model({ [f]: text }).instances[0]?.vips.map(({ address }) => address), ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.1.0.8', '10.1.0.9', '10.2.0.8', '10.2.0.9', 'fd00::a', 'fd00::b', '10.9.1.2', '10.9.3.4']);
  });

  it('includes, with places in the included file', () => {
    const files = { [f]: 'include conf.d/*.conf\n', 'conf.d/a.conf': good, 'conf.d/b.conf': 'vrrp_instanze B {\n}\n' };
    assert.deepEqual(short(only(checked(files, view, {}, [f]), 'error')), ['conf.d/b.conf:1:1 IMPORT_UNKNOWN_WORD']);
  });

  it('an include that comes back to itself', () => {
    const files = { [f]: `include ${f}\ninclude a.conf\n`, 'a.conf': `include ${f}\n` };
    assert.deepEqual(short(checked(files, view, {}, [f])), ['keepalived.conf:1:9 IMPORT_INCLUDE_LOOP', 'a.conf:1:9 IMPORT_INCLUDE_LOOP']);
  });

  it('a definition that grows without end is stopped', () => {
    const text = `$A=${'x'.repeat(500)}\n${Array.from({ length: 12 }, (_, index) => `$${String.fromCharCode(66 + index)}=${`$${String.fromCharCode(65 + index)} `.repeat(40)}\n`).join('')}vrrp_instance $M {\n}\n`;
    assert.ok(lines(checked({ [f]: text }, view)).includes('IMPORT_TOO_MUCH'));
  });
});

const mistakes: readonly (readonly [string, string, string, RegExp])[] = [
  [good.replace('notify_fault "', 'notify_"'), '20:5', 'IMPORT_UNKNOWN_WORD', /unknown word 'notify_"'.*Did you mean 'notify_fault', a blank/],
  [good.replace('notify_fault', 'notify_falt'), '20:5', 'IMPORT_UNKNOWN_WORD', /Did you mean 'notify_fault'/],
  [good.replace('    priority', '    Priority'), '9:5', 'IMPORT_UNKNOWN_WORD', /Did you mean 'priority'/],
  [good.replace('vrrp_instance', 'vrrp_instanc'), '5:1', 'IMPORT_UNKNOWN_WORD', /Did you mean 'vrrp_instance'/],
  [good.replace('    state', '    delay_loop 6\n    state'), '6:5', 'IMPORT_MISPLACED', /belongs into virtual_server/],
  [good.replace('renwole0\n    }', 'renwole0'), '11:5', 'IMPORT_BRACE_OPEN', /'authentication'/],
  [good.replace(/\}\n$/, `${instance('Two', 'BACKUP', '', { vrid: 9, vip: '10.16.8.9' })}`), '5:1', 'IMPORT_BRACE_OPEN', /'vrrp_instance External_1'/],
  [good.replace(/\}\n$/, ''), '5:1', 'IMPORT_BRACE_OPEN', /'vrrp_instance External_1'/],
  [`${good}}\n`, '22:1', 'IMPORT_BRACE_EXTRA', /opening/],
  [good.replace('master"', 'master'), '18:19', 'IMPORT_QUOTE', /never ends/],
  [good.replace('state MASTER', 'state MASTER // the first'), '6:18', 'IMPORT_SLASH_COMMENT', /#/],
  [good.replace('state MASTER', 'state Master'), '6:11', 'IMPORT_STATE', /Master/],
  [good.replace('virtual_router_id 171', 'virtual_router_id 256'), '8:23', 'IMPORT_RANGE', /1 to 255/],
  [good.replace('priority 100', 'priority 0'), '9:14', 'IMPORT_RANGE', /1 to 255/],
  [good.replace('priority 100', 'priority high'), '9:14', 'IMPORT_RANGE', /'high'/],
  [good.replace('advert_int 1', 'advert_int 1s'), '10:16', 'IMPORT_RANGE', /without a unit/],
  [good.replace('advert_int 1', 'advert_int 100'), '10:16', 'IMPORT_TIMING', /counts seconds/],
  [good.replace('priority 100', 'priority 100 200'), '9:18', 'IMPORT_EXTRA_VALUE', /'200'/],
  [good.replace('priority 100', 'priority'), '9:5', 'IMPORT_MISSING_VALUE', /a number/],
  [good.replace('    priority', '    priority 90\n    priority'), '10:5', 'IMPORT_DUPLICATE', /keepalived\.conf:9:5/],
  [good.replace('    virtual_router_id 171\n', ''), '5:1', 'IMPORT_VRID_MISSING', /External_1/],
  [`${good}${instance('Two', 'BACKUP', '', { vip: '10.16.8.101' })}`, '25:23', 'IMPORT_VRID_TWICE', /External_1 already \(keepalived\.conf:8:23\)/],
  [`${good}${instance('External_1', 'BACKUP', '', { vrid: 5, vip: '10.16.8.101' })}`, '22:1', 'IMPORT_DUPLICATE', /keepalived\.conf:5:1/],
  [good.replace('10.16.8.100', '10.17.8.100'), '16:9', 'IMPORT_VIP_NETWORK', /eth1, which has 10\.16\.8\.67\/24/],
  [good.replace('10.16.8.100', '10.16.8.67'), '16:9', 'IMPORT_VIP_OWN', /address of this host/],
  [good.replace('10.16.8.100', '10.16.8.'), '16:9', 'IMPORT_ADDRESS', /10\.16\.8\./],
  [good.replace('eth1', 'eth9'), '7:15', 'IMPORT_INTERFACE', /eth9/],
  [good.replace('renwole0', 'renwole01'), '13:19', 'IMPORT_PASS_LONG', /9 bytes/],
  [good.replace('renwole0', '1111'), '13:19', 'IMPORT_PASS_WEAK', /1111/],
  [good.replace('"/etc/keepalived/notify.sh fault"', '"/etc/keepalived/fault.sh"'), '20:18', 'IMPORT_SCRIPT_MISSING', /fault\.sh' is not there/],
  [good.replace('"/etc/keepalived/notify.sh fault"', '/opt/plain.sh'), '20:18', 'IMPORT_SCRIPT_MODE', /chmod 755/],
  [good.replace('"/etc/keepalived/notify.sh fault"', '/opt/insecure.sh').replace('   script_user root\n', ''), '19:18', 'IMPORT_SCRIPT_INSECURE', /may change \/opt/],
  [good.replace('    state', '    track_script {\n        chk_ngnix\n    }\n    state').replace('vrrp_instance', 'vrrp_script chk_nginx {\n    script "killall -0 nginx"\n}\nvrrp_instance'), '10:9', 'IMPORT_SCRIPT_UNKNOWN', /Did you mean 'chk_nginx'/],
  [`vrrp_script chk_nginx {\n    script "killall -0 nginx"\n}\n${good}`, '1:13', 'IMPORT_SCRIPT_UNUSED', /never runs/],
  [good.replace('state MASTER', 'state MASTER\n    nopreempt'), '7:5', 'IMPORT_PREEMPT', /no effect/],
  [`${good}vrrp_sync_group G {\n  group {\n    External_2\n  }\n}\n`, '24:5', 'IMPORT_SYNC', /Did you mean 'External_1'/],
  ['virtual_server 10.0.0.1 80 {\n lb_kind DR\n real_server 10.0.0.2 8080 {\n }\n}\n', '3:2', 'IMPORT_REAL_PORT', /8080/],
  ['virtual_server 10.0.0.1 80 {\n quorum 2\n hysteresis 2\n real_server 10.0.0.2 80 {\n TCP_CHEK {\n }\n }\n}\n', '5:2', 'IMPORT_UNKNOWN_WORD', /Did you mean 'TCP_CHECK'/],
];
describe('mistakes in keepalived.conf', () => {
  for (const [text, place, code, words] of mistakes) {
    it(`${code} at ${place}: ${words.source}`, () => {
      const findings = checked({ [f]: text }, view);
      const hits = findings.filter((found) => found.code === code);
      assert.deepEqual(short(hits), [`${f}:${place} ${code}`], lines(findings));
      assert.match(lines(hits), words);
    });
  }

  it('one missing brace is one finding', () => assert.deepEqual(short(checked({ [f]: good.replace('renwole0\n    }', 'renwole0') }, view)), [`${f}:11:5 IMPORT_BRACE_OPEN`]));
});

describe('the files of two nodes', () => {
  const chk = 'vrrp_script chk_nginx {\n    script "/usr/bin/killall -0 nginx"\n    interval 2\n    weight -10\n    fall 2\n    rise 2\n}\n';
  const track = '    track_script {\n    chk_nginx\n    }\n';
  const pair = (a: string, b: string): string[] => short(only(checked({ 'a.keepalived.conf': globals + a, 'b.keepalived.conf': globals + b }, view), 'error'));

  it('100 and 95 with a weight of -10 move the address', () => {
    assert.deepEqual(pair(chk + instance('V', 'MASTER', track), chk + instance('V', 'BACKUP', track, { priority: 95 })), []);
  });
  it('100 - 10 is not below 85', () => {
    const files = { 'a.keepalived.conf': chk + instance('V', 'MASTER', track), 'b.keepalived.conf': chk + instance('V', 'BACKUP', track, { priority: 85 }) };
    const found = checked(files, view).filter(({ code }) => code === 'IMPORT_WEIGHT_SMALL');
    assert.deepEqual(short(found), ['a.keepalived.conf:4:12 IMPORT_WEIGHT_SMALL']);
    assert.match(lines(found), /100 - 10 = 90, and b\.keepalived\.conf has 85.*: -16\./);
  });
  it('the same priority on both', () => {
    assert.deepEqual(pair(instance('External_1', 'MASTER'), instance('External_1', 'BACKUP')), ['b.keepalived.conf:9:14 IMPORT_SAME_PRIORITY']);
  });
  it('state MASTER without the highest priority', () => {
    assert.deepEqual(pair(instance('V', 'MASTER', '', { priority: 90 }), instance('V', 'BACKUP')), ['a.keepalived.conf:6:11 IMPORT_MASTER_LOW']);
  });
  it('interval, password and addresses that differ, without showing the password', () => {
    const other = instance('V', 'BACKUP', '', { priority: 90, vip: '10.16.8.101' }).replace('advert_int 1', 'advert_int 2').replace('renwole0', 'renwole9');
    assert.deepEqual(pair(instance('V', 'MASTER'), other), ['b.keepalived.conf:10:16 IMPORT_PEER_DIFFERS', 'b.keepalived.conf:13:19 IMPORT_PEER_DIFFERS', 'b.keepalived.conf:16:9 IMPORT_PEER_DIFFERS']);
    assert.doesNotMatch(lines(checked({ 'a.keepalived.conf': instance('V', 'MASTER'), 'b.keepalived.conf': other }, view)), /renwole/);
  });
  it('an instance that the other node has not', () => {
    const findings = checked({ 'a.keepalived.conf': good, 'b.keepalived.conf': good.replace('171', '99').replace('External_1', 'Other') }, view);
    assert.deepEqual(short(findings.filter(({ code }) => code === 'IMPORT_PEER_MISSING')), ['a.keepalived.conf:5:1 IMPORT_PEER_MISSING', 'b.keepalived.conf:5:1 IMPORT_PEER_MISSING']);
  });

  it('dual master on two networks as its user had it: the doubled priority is found', () => {
    const four = (states: readonly string[], priorities: readonly number[]): string =>
      ['External_1', 'External_2', 'Internal_1', 'Internal_2']
        .map((name, index) => instance(name, states[index] ?? '', notify('    '), { vrid: [171, 172, 191, 192][index] ?? 0, priority: priorities[index] ?? 0, interface: index < 2 ? 'eth1' : 'eth0', vip: `${index < 2 ? '10.16' : '172.16'}.8.${100 + (index % 2)}` }))
        .join('');
    const found = pair(four(['MASTER', 'BACKUP', 'MASTER', 'BACKUP'], [100, 95, 100, 95]), four(['BACKUP', 'MASTER', 'BACKUP', 'MASTER'], [100, 100, 95, 100]));
    assert.deepEqual(found, ['b.keepalived.conf:9:14 IMPORT_SAME_PRIORITY']);
  });

  it('a piece with a script serves both files', () => {
    const files = { 'a.keepalived.conf': globals + instance('V', 'MASTER', track), 'b.keepalived.conf': globals + instance('V', 'BACKUP', track, { priority: 95 }), 'chk.keepalived.conf': chk };
    assert.deepEqual(short(only(checked(files, view), 'error')), []);
  });
});
