/** A resource in drbd.conf's syntax, as `drbdadm dump` prints it: only what differs from the defaults. Pure. */
import { type OptionValue, type OptionValues, optionTable, type Section } from '../../config/options.js';
import type { HostConfig, HostVolume, ResourceConfig } from '../../config/types.js';

const indent = (lines: readonly string[]): string[] => lines.map((line) => `    ${line}`);
const section = (head: string, lines: readonly string[]): string[] => [`${head} {`, ...indent(lines), '}'];

/** Words that drbd.conf does not take as they are are quoted. */
const word = (value: string): string => (/^[\w./:-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`);

function formatValue(value: OptionValue): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' ? String(value) : word(value);
}

function options(name: Section, values: OptionValues): string[] {
  const set = optionTable.filter((option) => option.section === name && option.name in values && values[option.name] !== option.default);
  const width = Math.max(0, ...set.map((option) => option.name.length));
  return set.map((option) => {
    const secret = option.kind === 'string' && option.secret === true;
    return `${option.name.padEnd(width)} ${secret ? '"********"' : formatValue(values[option.name] ?? '')};`;
  });
}

/** The protocol has a line of its own, whether it is the default or not. */
function withoutProtocol({ protocol: _, ...net }: OptionValues): OptionValues {
  return net;
}

const sectionUnlessEmpty = (head: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : section(head, lines));

function metaDisk(volume: HostVolume): string {
  if (volume.metaIndex === 'internal') return 'internal';
  return volume.metaIndex === 'flexible' ? word(volume.metaDisk) : `${word(volume.metaDisk)} [${volume.metaIndex}]`;
}

const volumeLines = (volume: HostVolume): string[] => [
  `device           ${word(volume.device)} minor ${volume.minor};`,
  `disk             ${word(volume.disk)};`,
  `meta-disk        ${metaDisk(volume)};`,
];

function hostLines(host: HostConfig): string[] {
  const { family, host: address, port } = host.address;
  const [only, ...others] = host.volumes;
  const implicit = only !== undefined && others.length === 0 && only.volume === 0;
  const volumes = implicit ? volumeLines(only) : host.volumes.flatMap((volume) => section(`volume ${volume.volume}`, volumeLines(volume)));
  return section(`on ${word(host.name)}`, [
    ...volumes,
    `address          ${family === 6 ? `ipv6 [${address}]` : `ipv4 ${address}`}:${port};`,
  ]);
}

/** The resource as a section of drbd.conf. */
export function formatDrbdConf(resource: ResourceConfig, node: string, file: string): string[] {
  const [first] = resource.volumes;
  const handlers = Object.entries(resource.handlers).map(([name, command]) => `${name} "${command.replaceAll(/["\\]/g, '\\$&')}";`);
  return [
    `# resource ${resource.name} on ${node}: not ignored, not stacked`,
    `# defined at ${file}`,
    ...section(`resource ${resource.name}`, [
      ...resource.hosts.flatMap(hostLines),
      ...section('net', [`protocol ${resource.protocol};`, ...options('net', withoutProtocol(resource.net))]),
      ...sectionUnlessEmpty('disk', first === undefined ? [] : options('disk', first.disk)),
      ...sectionUnlessEmpty('startup', options('startup', resource.startup)),
      ...sectionUnlessEmpty('handlers', handlers),
    ]),
    '',
  ];
}
