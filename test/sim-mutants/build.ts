/** Builds the simulator around a mutated core: what a patch touches is compiled apart, everything else comes from the build of the unmutated one. */
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../support/exec.js';
import { projectRoot } from '../support/paths.js';
import type { Mutant } from './mutant.js';

const release = join(projectRoot, 'native/build/Release');
const scratch = join(projectRoot, 'native/build/mutants');
const pristineCore = join(scratch, 'core');
const objects = join(scratch, 'objects');
/** The simulator over the core as it is. */
export const unmutated = join(scratch, 'sim-unmutated');

function objectsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return objectsBelow(path);
    return entry.name.endsWith('.o') ? [path] : [];
  });
}

/** Copies the core and the simulator as they were built last, so that a build meanwhile does no harm. */
export function prepareScratch(): void {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  cpSync(join(projectRoot, 'native/core'), pristineCore, { recursive: true });
  for (const part of ['core', 'sim']) cpSync(join(release, 'obj.target', part), join(objects, part), { recursive: true });
  copyFileSync(join(release, 'sim'), unmutated);
}

/** The last commit that changed the core, or a word that there is none. */
export async function coreCommit(): Promise<string> {
  const git = async (...argv: string[]): Promise<string> => (await run(['git', ...argv], { cwd: projectRoot })).stdout.trim();
  const commit = await git('log', '-1', '--format=%h of %cs', '--', 'native/core');
  const changed = (await git('status', '--porcelain', '--', 'native/core')) !== '';
  return commit === '' ? 'not under version control' : `${commit}${changed ? ', with changes that are not committed' : ''}`;
}

/** A copy of the core to break, for one mutant at a time. */
export class Bench {
  private readonly folder: string;
  private readonly core: string;

  constructor(name: string) {
    this.folder = join(scratch, name);
    this.core = join(this.folder, 'native/core');
    cpSync(pristineCore, this.core, { recursive: true });
  }

  private async must(argv: readonly string[]): Promise<void> {
    const result = await run(argv, { cwd: this.folder, timeoutMs: 600_000 });
    if (result.code !== 0) throw new Error(`${result.command} ended with ${result.code}:\n${result.stdout}${result.stderr}`.trimEnd());
  }

  /** Applies the patch, builds, takes the patch back. Returns the path of the mutated simulator; throws if the patch no longer fits or builds. */
  async build(mutant: Mutant): Promise<string> {
    const compiler = process.env['CXX'] ?? 'g++';
    const cached = process.env['DRBDTS_NO_CCACHE'] === undefined && (await run(['ccache', '--version'])).code === 0;
    const program = join(this.folder, 'sim-mutated');
    try {
      await this.must(['patch', '-p1', '--fuzz=3', '--no-backup-if-mismatch', '--quiet', '-i', mutant.file]);
      const replaced = new Map<string, string>();
      for (const source of mutant.sources) {
        const object = join(this.folder, source.replace(/\.cc$/, '.o'));
        await this.must([...(cached ? ['ccache'] : []), compiler, '-std=c++20', '-O2', '-fPIC', '-fno-exceptions', '-fno-rtti', '-fno-omit-frame-pointer', '-w', '-Inative', '-c',
          join('native/core', source), '-o', object]);
        replaced.set(join(objects, 'core/core', source.replace(/\.cc$/, '.o')), object);
      }
      const all = objectsBelow(objects).map((object) => replaced.get(object) ?? object);
      await this.must([compiler, '-pthread', '-s', '-o', program, ...all]);
    } finally {
      for (const source of mutant.sources) copyFileSync(join(pristineCore, source), join(this.core, source));
    }
    return program;
  }
}
