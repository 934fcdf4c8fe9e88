/** Services: there, able to run, and started by nobody else. Pure. */
import type { GroupConfig, ServiceMember } from '../config/cluster-types.js';
import type { KeyPath } from '../config/places.js';
import { isBelow, mountAt } from '../shared/mount-table.js';
import type { PathFact } from './facts.js';
import { membersOf, runsHere, type Scene } from './scene.js';

/** Where heartbeat looks for a script, in this order; the last one is the place where it belongs. */
export const scriptDirectories = ['/etc/ha.d/resource.d', '/etc/init.d'] as const;
const ocfRoot = '/usr/lib/ocf';

export const agentPath = (provider: string, agent: string): string => `${ocfRoot}/resource.d/${provider}/${agent}`;
export const scriptPaths = (script: string): string[] => (script.startsWith('/') ? [script] : scriptDirectories.map((directory) => `${directory}/${script}`));

/** The program of a shell command when it is written with its whole path; '' otherwise (what a shell makes of a word is not guessed). */
export const programOf = (command: string): string => /^\s*(\/[^\s;|&()<>"'$`\\]+)/.exec(command)?.[1] ?? '';

function problemOf(path: PathFact): string {
  if (path.kind === 'missing') return 'is not there';
  if (path.kind !== 'file') return 'is not a program';
  return path.executable ? '' : 'is not executable';
}

function judgeUnit(scene: Scene, unit: string, group: string, path: KeyPath): void {
  const { facts, report } = scene;
  const at = [...path, 'systemd'];
  const found = facts.units?.get(unit);
  if (facts.units === null || found?.enabled === '') report('CHECK_UNIT_MISSING', at, { unit });
  if (found === undefined) return;
  if (/^masked/.test(found.enabled)) report('CHECK_UNIT_MASKED', at, { unit });
  if (/^(enabled|enabled-runtime)$/.test(found.enabled)) report('CHECK_AT_BOOT', at, { service: unit, how: `systemctl is-enabled: ${found.enabled}`, remedy: `systemctl disable ${unit}` });
  if (found.active && !runsHere(scene, group)) report('CHECK_SERVICE_RUNS', at, { unit });
}

function judgeScript(scene: Scene, script: string, path: KeyPath): void {
  const { facts, report } = scene;
  const at = [...path, 'lsb'];
  const places = scriptPaths(script).map((place) => facts.paths.get(place)).filter((fact) => fact !== undefined);
  const present = places.filter(({ kind }) => kind !== 'missing');
  if (places.length > 0 && !present.some((fact) => problemOf(fact) === '')) {
    const [first] = present;
    report('CHECK_SCRIPT', at, { script, reason: first === undefined ? `is not there (${scriptPaths(script).join(', ')})` : problemOf(first) });
  }
  const link = facts.bootLinks.get(script);
  if (link !== undefined) report('CHECK_AT_BOOT', at, { service: script, how: link, remedy: `update-rc.d ${script.split('/').at(-1)} disable` });
}

/** What lies on a file system of the group is there only while the group runs here. */
function isOnGroup({ facts }: Scene, group: GroupConfig, file: string): boolean {
  return group.members.some((member) => member.kind === 'filesystem' && isBelow(file, member.mountPoint) && mountAt(facts.mounts, member.mountPoint) === undefined);
}

function judgeService(scene: Scene, member: ServiceMember & { name: string }, group: GroupConfig, path: KeyPath): void {
  const { facts, report } = scene;
  const { service } = member;
  switch (service.kind) {
    case 'systemd':
      judgeUnit(scene, service.unit, group.name, path);
      return;
    case 'lsb':
      if (!isOnGroup(scene, group, service.script)) judgeScript(scene, service.script, path);
      return;
    case 'ocf': {
      const found = facts.paths.get(agentPath(service.provider, service.agent));
      const reason = found === undefined ? '' : problemOf(found);
      if (reason !== '') report('CHECK_AGENT', [...path, 'ocf'], { agent: `${service.provider}:${service.agent}`, reason });
      return;
    }
    case 'command':
      for (const key of ['start', 'stop', 'monitor'] as const) {
        const program = programOf(service[key]);
        const found = facts.paths.get(program);
        if (program === '' || found === undefined || isOnGroup(scene, group, program)) continue;
        const reason = problemOf(found);
        if (reason !== '') report('CHECK_COMMAND', [...path, 'command', key], { command: program, reason });
      }
      if (service.monitor === '') report('CHECK_NO_MONITOR', [...path, 'command'], { member: member.name });
  }
}

export function judgeServices(scene: Scene): void {
  for (const { group, member, path } of membersOf(scene.config)) if (member.kind === 'service') judgeService(scene, member, group, path);
  const { command } = scene.cluster.selfFence;
  const program = programOf(command);
  const found = scene.facts.paths.get(program);
  const reason = program === '' || found === undefined ? '' : problemOf(found);
  if (reason !== '') scene.report('CHECK_COMMAND', ['cluster', 'self-fence', 'command'], { command: program, reason });
}
