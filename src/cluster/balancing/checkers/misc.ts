/** A program of the operator's that checks. It is run without a shell, with the place of the real server in its environment. */
import type { BalancingCheck } from '../../../config/balancing-types.js';
import { runProgram } from '../../../shared/run-program.js';
import { asUser } from '../../vrrp/as-user.js';
import type { CheckTarget } from './checker.js';

/** After SIGTERM, until SIGKILL. */
const graceMs = 2000;

export async function checkMisc(check: Extract<BalancingCheck, { type: 'misc' }>, { address, port, signal }: CheckTarget): Promise<{ detail: string; weight: number | null }> {
  const account = await asUser(check.user);
  if (account.problem !== '') throw new Error(account.problem);
  const env = { DRBDTS_REAL_ADDRESS: address, DRBDTS_REAL_PORT: String(port) };
  const { exitCode, how, tail } = await runProgram([...account.prefix, ...check.argv], { signal, graceMs, env });
  const last = tail.split('\n').at(-1)?.trim().slice(0, 120) ?? '';
  const detail = `${how === 'exit' && exitCode !== 128 ? `exit status ${exitCode}` : 'ended by a signal'}${last === '' ? '' : `: ${last}`}`;
  if (how !== 'exit') throw new Error(detail);
  if (exitCode === 0) return { detail, weight: null };
  // 126 to 128 are ours and the system's: it could not be started, or was ended
  if (check.dynamic && exitCode >= 2 && exitCode < 126) return { detail, weight: exitCode - 2 };
  throw new Error(detail);
}
