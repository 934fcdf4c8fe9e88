/** What is wrong in one keepalived.conf, seen from this host (pure). keepalived itself starts with most of it. */
import { isInNetwork } from '../shared/network.js';
import type { Report } from './findings.js';
import type { Word } from './keepalived-lines.js';
import type { Keepalived, ScriptCall, VipLine, VirtualServer, VrrpInstance, VrrpScript } from './keepalived-model.js';
import { type HostView, placeText } from './sources.js';
import { suggestion } from './suggest.js';

const passBytesMax = 8;
const weak = new Set(['1111', '1234', 'password', 'secret', 'PASSWORD']);

export const priorityOf = (instance: VrrpInstance): number => {
  const given = Number(instance.priority?.text ?? Number.NaN);
  return Number.isInteger(given) && given >= 1 && given <= 255 ? given : instance.priority === null && instance.state?.text === 'MASTER' ? 255 : 100;
};
export const isVersion3 = (file: Keepalived, instance: VrrpInstance): boolean => (instance.version?.text ?? file.version) === '3' || instance.vips[0]?.family === 6;

function lintAuthentication(file: Keepalived, instance: VrrpInstance, report: Report): void {
  const { authentication } = instance;
  if (authentication === null) return;
  const { type, pass, place } = authentication;
  if (isVersion3(file, instance)) report('IMPORT_PASS_V3', place);
  if (type === null || pass === null) report('IMPORT_PASS_MISSING', place, { what: type === null ? 'auth_type' : 'auth_pass' });
  if (type !== null && !['PASS', 'AH'].includes(type.text)) report('IMPORT_RANGE', type, { word: 'auth_type', value: type.text, what: 'PASS or AH', hint: 'Write `auth_type PASS`.' });
  if (pass === null) return;
  const bytes = new TextEncoder().encode(pass.text).length;
  if (bytes > passBytesMax) report('IMPORT_PASS_LONG', pass, { bytes });
  if (weak.has(pass.text)) report('IMPORT_PASS_WEAK', pass, { value: pass.text });
}

function lintTimes(instance: VrrpInstance, report: Report): void {
  const { advertInt } = instance;
  if (advertInt === null) return;
  const seconds = Number(advertInt.text);
  if (seconds < 0.01 || seconds > 255) report('IMPORT_RANGE', advertInt, { word: 'advert_int', value: advertInt.text, what: 'a time of 0.01 to 255 seconds', hint: 'Write seconds.' });
  else if (seconds > 30) report('IMPORT_TIMING', advertInt, { problem: `advert_int counts seconds: a takeover lasts more than ${Math.round(3 * seconds)} s`, hint: 'Write 1, or less with version 3.' });
}

function lintState(instance: VrrpInstance, report: Report): void {
  const { state } = instance;
  if (state !== null && !['MASTER', 'BACKUP'].includes(state.text)) report('IMPORT_STATE', state, { value: state.text });
  if (state?.text !== 'MASTER') return;
  if (instance.nopreempt !== null) report('IMPORT_PREEMPT', instance.nopreempt, { word: 'nopreempt' });
  if (instance.preemptDelay !== null) report('IMPORT_PREEMPT', instance.preemptDelay, { word: 'preempt_delay' });
}

function lintVip(instance: VrrpInstance, vip: VipLine, host: HostView, report: Report): void {
  if (host.networks.some(({ address }) => address === vip.address)) {
    report('IMPORT_VIP_OWN', vip.place, { address: vip.address });
    return;
  }
  const name = vip.interface === '' ? (instance.interface?.text ?? '') : vip.interface;
  // a link that has no address of the family says nothing
  const networks = host.networks.filter((network) => network.interface === name && network.family === vip.family && !/^fe80:/i.test(network.address));
  if (networks.length === 0 || networks.some((network) => isInNetwork(vip.family, vip.address, network.address, network.prefix))) return;
  report('IMPORT_VIP_NETWORK', vip.place, { address: vip.address, interface: name, networks: networks.slice(0, 4).map(({ address, prefix }) => `${address}/${prefix}`).join(', ') });
}

function lintInstances(file: Keepalived, host: HostView, report: Report): void {
  const vrids = new Map<string, VrrpInstance>();
  const names = new Map<string, VrrpInstance>();
  const addresses = new Map<string, { readonly instance: VrrpInstance; readonly place: Word }>();
  for (const instance of file.instances) {
    const { name, place, vrid } = instance;
    const same = names.get(name);
    if (same === undefined) names.set(name, instance);
    else report('IMPORT_DUPLICATE', place, { word: `vrrp_instance ${name}`, first: placeText(same.place) });
    if (vrid === null) report('IMPORT_VRID_MISSING', place, { name });
    if (instance.interface === null && !instance.unicast) report('IMPORT_INTERFACE_NONE', place, { name });
    if (!instance.hasVipBlock) report('IMPORT_VIP_NONE', place, { name });
    if (instance.interface !== null && !host.interfaces.includes(instance.interface.text)) report('IMPORT_INTERFACE', instance.interface, { interface: instance.interface.text });
    const key = `${instance.interface?.text ?? ''} ${vrid?.text ?? ''} ${instance.vips[0]?.family ?? 4}`;
    const first = vrids.get(key);
    if (vrid !== null && first !== undefined && !(instance.unicast && first.unicast)) report('IMPORT_VRID_TWICE', vrid, { vrid: vrid.text, interface: instance.interface?.text ?? '', other: first.name, first: placeText(first.vrid ?? first.place) });
    else if (vrid !== null) vrids.set(key, instance);
    for (const vip of instance.vips) {
      const owner = addresses.get(vip.address);
      if (owner !== undefined) report('IMPORT_VIP_TWICE', vip.place, { address: vip.address, other: owner.instance.name, first: placeText(owner.place) });
      else addresses.set(vip.address, { instance, place: vip.place });
      lintVip(instance, vip, host, report);
    }
    lintState(instance, report);
    lintTimes(instance, report);
    lintAuthentication(file, instance, report);
  }
}

/** Words of a call: a quoted script holds its arguments. */
const commandOf = ({ words }: ScriptCall): string[] => words.flatMap((word) => word.text.trim().split(/\s+/)).filter((part) => part !== '');

/** `what` is what goes missing with the script; `asRoot`: nobody else was named to run it. */
function lintCall(call: ScriptCall, what: string, asRoot: boolean, host: HostView, report: Report): void {
  const [place] = call.words;
  const [program = ''] = commandOf(call);
  if (place === undefined || program === '') return;
  if (!program.startsWith('/')) {
    if (/[/<|>$&;(]/.test(program)) return;
    report('IMPORT_SCRIPT_PATH', place, { path: program });
    if (host.program(program) === null) report('IMPORT_SCRIPT_MISSING', place, { path: program, what });
    return;
  }
  const view = host.path(program);
  if (view?.kind !== 'file') report('IMPORT_SCRIPT_MISSING', place, { path: program, what });
  else if (!view.executable) report('IMPORT_SCRIPT_MODE', place, { path: program });
  else if (asRoot && view.insecure !== '') report('IMPORT_SCRIPT_INSECURE', place, { path: program, part: view.insecure });
}

function lintScript(file: Keepalived, script: VrrpScript, host: HostView, report: Report): void {
  const { call, place, name } = script;
  if (call === null) {
    report('IMPORT_MISSING_VALUE', place, { word: `vrrp_script ${name}`, what: '`script`' });
    return;
  }
  lintCall(call, 'the check', !script.user && !file.scriptUser, host, report);
  const words = commandOf(call);
  if (/(?:^|\/)killall$/.test(words[0] ?? '') && words.includes('-0')) report('IMPORT_SCRIPT_KILLALL', call.words[0] ?? place, { command: words.join(' ') });
  if (script.weight !== null) {
    const weight = Number(script.weight.text);
    if (!Number.isInteger(weight) || Math.abs(weight) > 253) report('IMPORT_RANGE', script.weight, { word: 'weight', value: script.weight.text, what: 'a number from -253 to 253', hint: 'A negative weight is subtracted while the script fails.' });
  }
  const [interval, timeout] = [Number(script.interval?.text ?? 1), Number(script.timeout?.text ?? 0)];
  if (script.timeout !== null && timeout > interval) report('IMPORT_TIMING', script.timeout, { problem: `timeout (${timeout} s) is longer than interval (${interval} s): runs are left out meanwhile`, hint: 'Make it shorter.' });
}

function lintScripts(file: Keepalived, shared: readonly VrrpScript[], host: HostView, report: Report): void {
  const known = new Map([...shared, ...file.scripts].map((script) => [script.name, script]));
  const seen = new Map<string, VrrpScript>();
  const used = new Set<string>();
  for (const { scripts } of [...file.instances, ...file.sync]) {
    for (const { name, place } of scripts) {
      used.add(name);
      if (!known.has(name)) report('IMPORT_SCRIPT_UNKNOWN', place, { kind: 'vrrp_script', name, hint: () => suggestion(name, [...known.keys()].slice(0, 200), `Add \`vrrp_script ${name} {...}\`, or remove the line.`) });
    }
  }
  for (const script of file.scripts) {
    const first = seen.get(script.name);
    if (first !== undefined) report('IMPORT_DUPLICATE', script.place, { word: `vrrp_script ${script.name}`, first: placeText(first.place) });
    seen.set(script.name, script);
    if (!used.has(script.name) && file.instances.length > 0) report('IMPORT_SCRIPT_UNUSED', script.place, { name: script.name });
    lintScript(file, script, host, report);
  }
  const calls = [...file.calls, ...file.instances.flatMap((one) => one.calls), ...file.sync.flatMap((one) => one.calls), ...file.virtual.flatMap((one) => [...one.calls, ...one.real.flatMap((real) => real.calls)])];
  for (const call of calls) lintCall(call, `\`${call.keyword}\``, !file.scriptUser, host, report);
  const first = file.scripts[0]?.call?.words[0] ?? calls[0]?.words[0];
  if (first !== undefined && !file.scriptSecurity && !file.scriptUser) report('IMPORT_SCRIPT_SECURITY', first);
}

function lintVirtual(virtual: VirtualServer, report: Report): void {
  const { name, place, kind, port } = virtual;
  if (virtual.real.length === 0) report('IMPORT_REAL_NONE', place, { name });
  const seen = new Map<string, Word>();
  for (const real of virtual.real) {
    const first = seen.get(real.name);
    if (first !== undefined) report('IMPORT_REAL_TWICE', real.place, { name: real.name, first: placeText(first) });
    else seen.set(real.name, real.place);
    if (['DR', 'TUN'].includes(kind?.text ?? '') && real.port !== '' && port !== '' && real.port !== port) report('IMPORT_REAL_PORT', real.place, { kind: kind?.text ?? '', real: real.port, virtual: port });
  }
  if (kind !== null && !['NAT', 'DR', 'TUN'].includes(kind.text)) report('IMPORT_RANGE', kind, { word: 'lb_kind', value: kind.text, what: 'NAT, DR or TUN', hint: 'Write one of them, in capital letters.' });
  const [quorum, hysteresis] = [Number(virtual.quorum?.text ?? 1), Number(virtual.hysteresis?.text ?? 0)];
  if (virtual.hysteresis !== null && hysteresis >= quorum) report('IMPORT_HYSTERESIS', virtual.hysteresis, { hysteresis, quorum });
}

/** Everything that shows in one file. `shared` are scripts of other files that were given with it. */
export function lintKeepalived(file: Keepalived, shared: readonly VrrpScript[], host: HostView, report: Report): void {
  lintInstances(file, host, report);
  lintScripts(file, shared, host, report);
  const names = new Set(file.instances.map(({ name }) => name));
  for (const group of file.sync) {
    for (const member of group.members) {
      if (!names.has(member.text)) report('IMPORT_SYNC', member, { name: group.name, instance: member.text, hint: () => suggestion(member.text, [...names].slice(0, 200), 'Correct the name, or remove it.') });
    }
  }
  for (const virtual of file.virtual) lintVirtual(virtual, report);
  if (file.mailTo !== null && !file.smtpAlert && file.instances.length > 0 && !file.instances.some(({ smtpAlert }) => smtpAlert)) report('IMPORT_MAIL', file.mailTo);
}
