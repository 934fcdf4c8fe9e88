/** Swap files and loop devices that lie on files of a mount: they hold it, and no process does. */
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { isBelow, type MountEntry, unescapeField } from '../../shared/mount-table.js';
import type { ProgramResult } from '../../shared/run-program.js';

export interface LoopBelow {
  readonly name: string;
  readonly file: string;
  /** `major:minor` of the loop device. */
  readonly device: string;
}

const losetupReply = z.object({
  loopdevices: z.array(z.object({ name: z.string(), 'back-file': z.string().nullable(), 'back-maj:min': z.string().nullable(), 'maj:min': z.string() })),
});

function swapFiles(mount: MountEntry): string[] {
  let text = '';
  try {
    text = readFileSync('/proc/swaps', 'utf8');
  } catch {
    // a kernel without swap
  }
  const files = text.split('\n').slice(1).map((line) => unescapeField(line.split(/\s+/)[0] ?? ''));
  return files.filter((file) => isBelow(file, mount.mountPoint));
}

/** Quick look, so that nothing is run when there is none. The name alone does not prove it: it may be another namespace's. */
function mayHaveLoops(mount: MountEntry): boolean {
  let names: string[] = [];
  try {
    names = readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
  } catch {
    return false;
  }
  return names.some((name) => {
    try {
      return isBelow(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim(), mount.mountPoint);
    } catch {
      return false;
    }
  });
}

/** `run` runs a program with the caller's time limit. */
export async function filesBelow(
  mount: MountEntry,
  run: (argv: readonly string[]) => Promise<ProgramResult>,
): Promise<{ swap: string[]; loops: LoopBelow[] }> {
  const swap = swapFiles(mount);
  if (!mayHaveLoops(mount)) return { swap, loops: [] };
  const result = await run(['losetup', '--list', '--json', '-O', 'NAME,BACK-FILE,BACK-MAJ:MIN,MAJ:MIN']);
  let reply: unknown = null;
  try {
    reply = JSON.parse(result.stdout.toString('utf8'));
  } catch {
    return { swap, loops: [] };
  }
  const parsed = losetupReply.safeParse(reply);
  if (!parsed.success) return { swap, loops: [] };
  const loops = parsed.data.loopdevices
    .filter((loop) => loop['back-maj:min']?.trim() === mount.device && isBelow(loop['back-file'] ?? '', mount.mountPoint))
    .map((loop) => ({ name: loop.name, file: loop['back-file'] ?? '', device: loop['maj:min'].trim() }));
  return { swap, loops };
}
