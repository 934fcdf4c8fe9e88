/** The table of all options as Markdown (pure), for resources/docs/configuration.md; a test keeps both equal. */
import { type OptionSpec, optionsOf, sections } from './options.js';
import { formatNumber, unitWords } from './units.js';

const appliesWords: Record<OptionSpec['applies'], string> = {
  online: 'at once',
  reconnect: 'with a new connection',
  reattach: 'by detach and attach',
  resize: 'as a resize',
  'when-read': 'when needed next',
};

function values(spec: OptionSpec): string {
  switch (spec.kind) {
    case 'number':
      return `${spec.min} to ${spec.max} ${spec.unit === 'count' ? '' : `(${unitWords[spec.unit]})`}`.trim();
    case 'enum':
      return spec.values.map((value) => (value === '' ? '`""`' : `\`${value}\``)).join(', ');
    case 'boolean':
      return 'yes, no';
    case 'string':
      return `text, at most ${spec.maxBytes} bytes`;
  }
}

function defaultOf(spec: OptionSpec): string {
  if (spec.kind === 'number') return `${spec.default}${spec.unit === 'ds' || spec.unit === 'KiB/s' ? ` (${formatNumber(spec.default, spec.unit)})` : ''}`;
  if (spec.kind === 'boolean') return spec.default ? 'yes' : 'no';
  return spec.default === '' ? 'none' : `\`${spec.default}\``;
}

/** One table per section. */
export function optionReference(): string {
  return sections
    .map((section) => {
      const rows = optionsOf(section).map((spec) => `| \`${spec.name}\` | ${spec.summary} | ${values(spec)} | ${defaultOf(spec)} | ${appliesWords[spec.applies]} |`);
      return `### ${section}\n\n| option | meaning | values | default | \`adjust\` applies it |\n|---|---|---|---|---|\n${rows.join('\n')}\n`;
    })
    .join('\n');
}
