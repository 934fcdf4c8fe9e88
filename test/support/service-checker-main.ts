/**
 * Looks at two nodes from outside, one after the other without end, and says whether both ever served at once: the process behind
 * service-checker.ts. Knows nothing of the cluster: addresses come from the kernel's table of local addresses, mounts from the kernel's mount
 * table, roles from the volume daemon's socket. Commands on standard input: `mark TEXT`, `stop`. One JSON object per line on standard output.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import type { ResourceStatus, StatusReply } from '../../src/control/messages.js';
import { type CheckedNode, type CheckerConfig, type Reading, servesTwice, summaryOf } from './service-readings.js';

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as CheckerConfig;
const answerMs = 150;

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** A local address of that network namespace, whatever its processes and cables do. */
function hasAddress(pid: number, address: string): boolean {
  const lines = read(`/proc/${pid}/net/fib_trie`).split('\n');
  return lines.some((line, index) => line.endsWith(`-- ${address}`) && (lines[index + 1] ?? '').includes('/32 host LOCAL'));
}

function hasMount(pid: number, point: string): boolean {
  return read(`/proc/${pid}/mountinfo`).split('\n').some((line) => line.split(' ')[4] === point);
}

const agents = new Map<string, Agent>();

function ask(node: CheckedNode): Promise<ResourceStatus | null> {
  const agent = agents.get(node.name) ?? new Agent({ keepAlive: true, maxSockets: 1 });
  agents.set(node.name, agent);
  return new Promise((resolve) => {
    const call = request({ socketPath: node.socket, path: `/v1/status/${node.resource}`, agent, timeout: answerMs }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('error', () => resolve(null));
      response.on('end', () => {
        try {
          resolve((JSON.parse(body) as StatusReply).resources[0] ?? null);
        } catch {
          resolve(null);
        }
      });
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', () => resolve(null));
    call.end();
  });
}

async function readingOf(node: CheckedNode): Promise<Reading> {
  const status = await ask(node);
  // after the answer, which is the part that takes time: so all is of one moment
  return {
    node: node.name,
    atMs: Date.now(),
    vip: hasAddress(node.pid, node.vip),
    mount: hasMount(node.pid, node.mount),
    answered: status !== null,
    role: status?.role ?? '',
    connection: status?.connection ?? '',
    suspended: status?.volumes.some((volume) => volume.suspended.length > 0) ?? false,
    deviceUp: status?.volumes.some((volume) => volume.deviceUp) ?? false,
  };
}

const say = (line: Record<string, unknown>): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);
let ending = false;
createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'stop') ending = true;
  else if (line.startsWith('mark ')) say({ mark: line.slice(5), atMs: Date.now() });
}).on('close', () => {
  ending = true;
});

const last: Reading[] = [];
const shown = new Map<string, string>();
let readings = 0;
let gapMaxMs = 0;
/** what was said of late: one that lasts is said again, because what else is the case meanwhile may change. */
const said = new Map<string, number>();
const sayAgainMs = 200;
for (let turn = 0; !ending; turn++) {
  const node = config.nodes[turn % config.nodes.length];
  if (node === undefined) break;
  const begin = performance.now();
  const reading = await readingOf(node);
  const before = last.findLast((each) => each.node === node.name);
  if (before !== undefined) gapMaxMs = Math.max(gapMaxMs, reading.atMs - before.atMs);
  last.push(reading);
  if (last.length > 3) last.shift();
  readings += 1;
  const summary = summaryOf(reading);
  if (shown.get(node.name) !== summary) say({ reading });
  shown.set(node.name, summary);
  for (const violation of servesTwice(last)) {
    if (reading.atMs - (said.get(violation) ?? 0) < sayAgainMs) continue;
    say({ violation, readings: last });
    said.set(violation, reading.atMs);
  }
  const rest = config.everyMs / config.nodes.length - (performance.now() - begin);
  await new Promise((resolve) => setTimeout(resolve, Math.max(1, rest)));
}
say({ end: true, readings, gapMaxMs });
process.exit(0);
