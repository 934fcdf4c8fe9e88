/** Runs one member inside the namespaces of a host: reads `{action, level, timeoutMs, hardAbort}` lines, answers each with a line. */
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { createMember } from '../../src/cluster/members/create.js';
import type { MemberConfig } from '../../src/config/cluster-types.js';
import { ControlClient } from '../../src/control/client.js';
import { systemClock } from '../../src/shared/clock.js';
import { DrbdtsError } from '../../src/shared/errors.js';
import { createLog } from '../../src/shared/log.js';
import { IpNet } from './ip-net.js';

interface Setup {
  config: MemberConfig;
  runDir: string;
  socket: string;
  cgroupParent: string;
}
interface Request {
  action: 'probe' | 'start' | 'stop' | 'monitor';
  level: 'orderly' | 'kill' | 'cut';
  timeoutMs: number;
}

const { config, runDir, socket, cgroupParent } = JSON.parse(process.argv[2] ?? '') as Setup;
mkdirSync(runDir, { recursive: true, mode: 0o700 });
let said: string[] = [];
const stream = new Writable({
  write(chunk: Buffer, _encoding, done) {
    said.push(chunk.toString().trim());
    done();
  },
});
const member = createMember(config, {
  node: 'test',
  group: 'web',
  log: createLog('info', { stream, journal: true }),
  clock: systemClock,
  control: new ControlClient(socket),
  net: new IpNet(),
  volumes: [],
  runDir,
  cgroupParent,
  mayServe: () => true,
});

async function answer(request: Request): Promise<unknown> {
  const signal = AbortSignal.timeout(request.timeoutMs);
  said = [];
  const begin = performance.now();
  const end = (): { ms: number; log: string[] } => ({ ms: performance.now() - begin, log: said });
  try {
    if (request.action === 'probe') return { ok: true, found: await member.probe(signal), ...end() };
    if (request.action === 'stop') await member.stop(request.level, signal);
    else await member[request.action](signal);
    return { ok: true, ...end() };
  } catch (error) {
    const code = error instanceof DrbdtsError ? error.code : 'none';
    return { ok: false, code, reason: error instanceof Error ? error.message : String(error), ...end() };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
}
member.close();
process.exit(0);
