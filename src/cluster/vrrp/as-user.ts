/** Another user for a script. */
import { runProgram } from '../../shared/run-program.js';

export interface AsUser {
  /** goes before the program. */
  readonly prefix: readonly string[];
  /** why it can not be done, '' when it can. */
  readonly problem: string;
}

const known = new Map<string, AsUser>();

async function idOf(flag: '-u' | '-g', user: string): Promise<string> {
  const { exitCode, stdout } = await runProgram(['id', flag, user]);
  return exitCode === 0 ? stdout.toString('utf8').trim() : '';
}

/** What has to stand before a program so that it runs as `user` (`NAME` or `NAME:GROUP`, '' for the present one). An answer is remembered when it is good. */
export async function asUser(user: string): Promise<AsUser> {
  if (user === '') return { prefix: [], problem: '' };
  const before = known.get(user);
  if (before !== undefined) return before;
  const [name = '', group = ''] = user.split(':');
  const [uid, gid] = [await idOf('-u', name), group === '' ? await idOf('-g', name) : group];
  if (uid === '' || gid === '') return { prefix: [], problem: `there is no user ${name}` };
  const answer: AsUser = { prefix: ['setpriv', '--reuid', uid, '--regid', gid, '--init-groups', '--'], problem: '' };
  known.set(user, answer);
  return answer;
}
