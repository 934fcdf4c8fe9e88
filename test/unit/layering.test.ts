/** Who imports whom (resources/docs/architecture.md). Directions only; a file may always use its own folder. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

const typescriptMayUse: Record<string, readonly string[]> = {
  shared: [],
  config: ['shared'],
  control: ['shared'],
  arbiter: ['shared', 'config'],
  checkup: ['shared', 'config', 'control', 'arbiter'],
  daemon: ['shared', 'config', 'control', 'arbiter'],
  cluster: ['shared', 'config', 'control', 'arbiter'],
  witness: ['shared', 'config', 'control', 'arbiter'],
  import: ['shared', 'config'],
  cli: ['shared', 'config', 'control', 'arbiter', 'checkup', 'import'],
};

const nativeMayUse: Record<string, readonly string[]> = {
  core: [],
  io: ['core'],
  frontend: ['core', 'io'],
  engine: ['core', 'io', 'frontend'],
  addon: ['core', 'io', 'frontend', 'engine'],
  net: [],
  keeper: [],
  fuzz: ['core'],
  sim: ['core'],
};

function files(directory: string, pattern: RegExp): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return files(path, pattern);
    return pattern.test(name) ? [path] : [];
  });
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

describe('TypeScript', () => {
  const sources = files(join(root, 'src'), /\.ts$/);
  it('there is something to look at', () => assert.ok(sources.length > 20));

  it('folders import only what is below them', () => {
    const wrong: string[] = [];
    for (const file of sources) {
      const [own = ''] = relative(join(root, 'src'), file).split('/');
      assert.ok(own in typescriptMayUse, `src/${own} has no place in the layering`);
      for (const target of matches(readFileSync(file, 'utf8'), /(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
        const [folder = ''] = relative(join(root, 'src'), normalize(join(dirname(file), target))).split('/');
        if (folder !== own && !typescriptMayUse[own]?.includes(folder)) wrong.push(`${relative(root, file)} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('each native binary is loaded by one file', () => {
    const loaders = sources.filter((file) => /\.node['"`]/.test(readFileSync(file, 'utf8'))).map((file) => relative(root, file));
    assert.deepEqual(loaders.sort(), ['src/cluster/net-native.ts', 'src/daemon/addon.ts']);
  });

  it('a wall clock that is set back a year decides nothing: it is read for texts only', () => {
    // times that are shown: of log lines, events, dumps, a confirmation, and when a witness was started
    const texts = ['cluster/history', 'daemon/arbiters', 'daemon/daemon', 'daemon/event-hub', 'daemon/meta-verbs', 'shared/clock', 'shared/log', 'witness/server'];
    const readers = sources.filter((file) => /\bDate\b/.test(readFileSync(file, 'utf8').replace(/\/\/.*|\/\*[\s\S]*?\*\//g, '')));
    const values = readers.filter((file) => /Date\.now|valueOf\(|\+new Date/.test(readFileSync(file, 'utf8')));
    assert.deepEqual(values.map((file) => relative(root, file)), []);
    const others = readers.map((file) => relative(join(root, 'src'), file).replace(/\.ts$/, '')).filter((name) => !texts.includes(name));
    assert.deepEqual(others, []);
    const native = files(join(root, 'native'), /\.(h|cc)$/).filter((file) => !/\/(build|sim|fuzz|test)\//.test(file));
    // the kernel stamps packets with the wall clock only: their age is read from it, between bounds that the clock of time since boot sets
    const stamps = ['native/net/clocks.h'];
    assert.deepEqual(native.filter((file) => /CLOCK_REALTIME|system_clock|gettimeofday|\btime\(nullptr\)/.test(readFileSync(file, 'utf8'))).map((file) => relative(root, file)), stamps);
  });

  it('pure files use nothing of the system', () => {
    const pure = [
      'config/check',
      'config/diff',
      'config/options',
      'config/suggest',
      'config/units',
      'config/places',
      'arbiter/messages',
      'arbiter/register',
      'daemon/arbitration',
      'daemon/arbitration-status',
      'daemon/events',
      'daemon/proc-drbd',
      'daemon/state-lines',
      'daemon/wait',
      'daemon/keeper',
      'daemon/status',
      'checkup/differences',
      'checkup/findings',
      'checkup/judge',
      'checkup/judge-cluster',
      'checkup/judge-network',
      'checkup/judge-services',
      'checkup/judge-storage',
      'checkup/parse',
      'cluster/arp',
      'cluster/frames',
      'cluster/gap-history',
      'cluster/membership',
      'cluster/membership-types',
      'cluster/placement',
      'cluster/report',
      'cluster/decide',
      'cluster/ndp',
      'cluster/rejects',
      'cluster/vrrp/codec',
      'cluster/vrrp/explain',
      'cluster/vrrp/explain-section',
      'cluster/vrrp/hearing',
      'cluster/vrrp/machine',
      'cluster/vrrp/machine-state',
      'cluster/vrrp/rules',
      'cluster/vrrp/snapshot',
      'cluster/vrrp/sync',
      'cluster/vrrp/track',
      'cluster/vrrp/types',
      'control/sse',
      'import/drbd-include',
      'import/drbd-map',
      'import/drbd-options',
      'import/drbd-parse',
      'import/findings',
      'import/kind',
      'import/map-cluster',
      'import/map-groups',
      'import/run',
      'import/wildcards',
      'import/write',
      'cluster/group',
      'cluster/group-plan',
      'cluster/group-step',
      'cluster/group-types',
      'shared/terms',
      'shared/error-table',
    ];
    const wrong = pure.filter((name) =>
      /from 'node:|process\.[a-z]|Date\.now|Math\.random/.test(readFileSync(join(root, 'src', `${name}.ts`), 'utf8')),
    );
    assert.deepEqual(wrong, []);
  });

  it('no cycles', () => {
    const uses = new Map<string, string[]>();
    for (const file of sources) {
      // what is only a type is gone at run time
      const text = readFileSync(file, 'utf8').replace(/^import type [\s\S]*?;$/gm, '');
      uses.set(
        file,
        matches(text, /from '(\.[^']+)'/g).map((target) => normalize(join(dirname(file), target)).replace(/\.js$/, '.ts')),
      );
    }
    const done = new Set<string>();
    const visit = (file: string, path: string[]): void => {
      if (path.includes(file))
        assert.fail(`cycle: ${[...path.slice(path.indexOf(file)), file].map((name) => relative(root, name)).join(' -> ')}`);
      if (done.has(file)) return;
      for (const next of uses.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
  });
});

describe('C++', () => {
  const sources = files(join(root, 'native'), /\.(h|cc)$/).filter((file) => !file.includes('/build/'));

  it('folders include only what is below them', () => {
    const wrong: string[] = [];
    for (const file of sources) {
      const [own = ''] = relative(join(root, 'native'), file).split('/');
      if (!(own in nativeMayUse)) {
        wrong.push(`native/${own} has no place in the layering`);
        continue;
      }
      for (const target of matches(readFileSync(file, 'utf8'), /^\s*#\s*include\s+"([^"]+)"/gm)) {
        const [folder = ''] = target.split('/');
        if (target.startsWith('.') || (folder !== own && !nativeMayUse[own]?.includes(folder)))
          wrong.push(`${relative(root, file)} includes ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('core is pure: no system headers, threads or clocks', () => {
    const forbidden =
      /^(sys\/|linux\/|netinet\/|arpa\/|unistd\.h|fcntl\.h|pthread\.h|time\.h|ctime|thread|chrono|mutex|shared_mutex|condition_variable|future|fstream|iostream|filesystem|csignal|signal\.h|liburing\.h|poll\.h)/;
    const wrong: string[] = [];
    for (const file of sources.filter((name) => relative(root, name).startsWith('native/core/'))) {
      for (const target of matches(readFileSync(file, 'utf8'), /^\s*#\s*include\s+<([^>]+)>/gm)) {
        if (forbidden.test(target)) wrong.push(`${relative(root, file)} includes <${target}>`);
      }
    }
    assert.deepEqual(wrong, []);
  });
});
