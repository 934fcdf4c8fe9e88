/**
 * Runs all tests: node:test files below dist/test/{unit,property,process,interop} and, if built, the C++ test binary. Arguments are parts
 * of paths to choose by (`core_test` chooses the C++ tests). The last line is `N passed, N failed`, with `, N skipped` when there are any.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..', '..');
const nativeTest = join(root, 'native', 'build', 'Release', 'core_test');
const concurrency = 2;
/** real processes in namespaces of their own: most of their time is waiting, so two files at a time, after the others */
const waiting = ['process', 'interop'];
/** whole clusters: two at a time as well, but not beside what loads the machine */
const clusters = /process\/cluster(?!-check|-groups|-freeze)[^/]*$/;
/** these load the machine, or are about how quickly something is noticed: one at a time, at the end */
const alone = /(memory-pressure|fio-verify|heartbeats|member-vip|net-native|net-vrrp|process\/vrrp|kernel-peer|faults|demo|cluster-freeze)[^/]*$/;

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

function testFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .flatMap((name) => {
      const path = join(directory, name);
      if (statSync(path).isDirectory()) return testFiles(path);
      return name.endsWith('.test.js') ? [path] : [];
    });
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}

function describeError(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (cause instanceof Error) return cause.stack ?? cause.message;
  return String(cause);
}

/** Runs files, prints failures and skips in full and one line per file, with how long it took. */
async function runFiles(files: string[], parallel: number, totals: Totals): Promise<void> {
  if (files.length === 0) return;
  const perFile = new Map<string, Totals>();
  const begin = performance.now();
  const seconds = new Map<string, number>();
  const stream = run({ files, concurrency: parallel });
  const count = (reported: string | undefined, kind: keyof Totals): void => {
    totals[kind] += 1;
    // A test that a helper module defines is reported under that module.
    const file = (files.length === 1 ? files[0] : reported) ?? '';
    const own = perFile.get(file) ?? { passed: 0, failed: 0, skipped: 0 };
    own[kind] += 1;
    perFile.set(file, own);
  };
  /** a file is reported as a test of its own and a suite is not a test: only what failed without an inner failure is news */
  const isContainer = (data: { name: string; details: { type?: string | undefined } }): boolean =>
    data.details.type === 'suite' || files.includes(data.name) || files.includes(join(root, data.name));
  for await (const event of stream) {
    // a test at the top of a file; several of one file run one after the other
    if ((event.type === 'test:pass' || event.type === 'test:fail') && event.data.nesting === 0) {
      const { file = '', details } = event.data;
      seconds.set(file, (seconds.get(file) ?? 0) + details.duration_ms / 1000);
    }
    if (event.type === 'test:pass') {
      const { data } = event;
      if (isContainer(data)) continue;
      if (data.skip !== undefined && data.skip !== false) {
        count(data.file, 'skipped');
        console.log(`skipped: ${data.name} (${data.skip === true ? 'no reason given' : data.skip})`);
      } else count(data.file, 'passed');
    } else if (event.type === 'test:fail') {
      const { data } = event;
      const code = (data.details.error as { failureType?: string } | undefined)?.failureType;
      if (code === 'subtestsFailed') continue;
      count(data.file ?? data.name, 'failed');
      console.log(`FAILED: ${data.name} (${relative(root, data.file ?? '')})\n${indent(describeError(data.details.error))}`);
    } else if (event.type === 'test:stderr' || event.type === 'test:stdout') {
      process.stdout.write(event.data.message);
    }
  }
  for (const file of files) {
    const took = files.length === 1 ? (performance.now() - begin) / 1000 : (seconds.get(file) ?? 0);
    const own = perFile.get(file) ?? { passed: 0, failed: 0, skipped: 0 };
    console.log(
      `${own.failed > 0 ? 'FAILED' : 'ok    '} ${relative(join(root, 'dist', 'test'), file)}: ${own.passed} passed, ${own.failed} failed, ${own.skipped} skipped, ${took.toFixed(1)} s`,
    );
  }
}

/** doctest's last lines tell how many cases passed; a crash without them is one failure. */
async function runNative(totals: Totals): Promise<void> {
  const child = spawn(nativeTest, ['--no-colors=true'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const begin = performance.now();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', resolve);
  });
  const match = /test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed(?:\s*\|\s*(\d+) skipped)?/.exec(output);
  const passed = Number(match?.[2] ?? 0);
  let failed = Number(match?.[3] ?? 0);
  if (code !== 0 && failed === 0) failed = 1;
  totals.passed += passed;
  totals.failed += failed;
  totals.skipped += Number(match?.[4] ?? 0);
  if (failed > 0) console.log(`FAILED: native tests (exit ${code ?? 'by signal'})\n${indent(output)}`);
  console.log(`${failed > 0 ? 'FAILED' : 'ok    '} native core_test: ${passed} passed, ${failed} failed, ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

const filters = process.argv.slice(2);
const chosen = (path: string): boolean => filters.length === 0 || filters.some((part) => path.includes(part));
const filesOf = (names: string[]): string[] =>
  names.flatMap((name) => testFiles(join(here, name))).filter((file) => chosen(relative(root, file)));
const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
if (chosen(nativeTest)) {
  if (existsSync(nativeTest)) await runNative(totals);
  else console.log(`native tests are not built (${relative(root, nativeTest)}); npm run build:native builds them`);
}
await runFiles(filesOf(['unit', 'property']), concurrency, totals);
const files = filesOf(waiting);
await runFiles(files.filter((file) => !alone.test(file) && !clusters.test(file)), concurrency, totals);
await runFiles(files.filter((file) => clusters.test(file)), concurrency, totals);
for (const file of files.filter((each) => alone.test(each))) await runFiles([file], 1, totals);
if (totals.passed + totals.failed + totals.skipped === 0) {
  console.log(`no test matches ${filters.join(' ')}`);
  totals.failed = 1;
}
console.log(`${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}`);
process.exitCode = totals.failed > 0 ? 1 : 0;
