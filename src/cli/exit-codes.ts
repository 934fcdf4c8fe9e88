/**
 * Exit codes of the command line, those of drbdadm 8.4 (drbd-protocol §5.8). A refusal of the daemon carries its own code in
 * the reply; here are the ones the command line decides by itself.
 */
export const exitCodes = {
  ok: 0,
  /** Usage error, unknown command, a resource that is not in the configuration, an answer that was not `yes`. */
  usage: 1,
  /** import: written, but something was lost or wrong. */
  lost: 3,
  /** wait-connect, wait-sync: time is over. */
  timeout: 5,
  /** Errors of the configuration, objects that do not exist. */
  configuration: 10,
  /** Daemon not running (8.4: module missing), configuration file missing, internal error. */
  internal: 20,
  /** Wrong use of a command that drbdadm never had, as sysexits.h numbers it. */
  wrongUse: 64,
} as const;

/** Exit code of a command over several resources: the worst one, 0 only when all went well. */
export function worstExitCode(codes: Iterable<number>): number {
  let worst = 0;
  for (const code of codes) worst = Math.max(worst, code);
  return worst;
}
