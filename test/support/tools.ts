/** The small native programs of test/native/support, compiled on first use. */
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { must } from './exec.js';
import { nativeSupport, toolDir } from './paths.js';

export type Tool = 'lossy_disk' | 'ack_writer' | 'link_probe';

const running = new Map<Tool, Promise<string>>();

async function build(tool: Tool): Promise<string> {
  const source = join(nativeSupport, `${tool}.cc`);
  const binary = join(toolDir, tool);
  if (existsSync(binary) && statSync(binary).mtimeMs >= statSync(source).mtimeMs) return binary;
  mkdirSync(toolDir, { recursive: true });
  // several test processes may build at once: each its own file, the last rename wins
  const temporary = `${binary}.${process.pid}`;
  await must(['g++', '-std=c++20', '-O2', '-Wall', '-Wextra', source, '-o', temporary, '-pthread']);
  renameSync(temporary, binary);
  return binary;
}

/** Path of a built tool. */
export function tool(name: Tool): Promise<string> {
  const known = running.get(name);
  if (known !== undefined) return known;
  const building = build(name);
  running.set(name, building);
  return building;
}
