/** How the demo shows what it does: numbered steps, the commands as typed, their output, ticks. */
import { styleText } from 'node:util';
import type { Host } from '../support/host.js';

type Style = Parameters<typeof styleText>[0];

export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #colour: boolean;
  #step = 0;
  readonly #steps: number;
  readonly #begin = Date.now();

  constructor(steps: number, out: NodeJS.WriteStream = process.stdout) {
    this.#steps = steps;
    this.#out = out;
    this.#colour = out.isTTY === true && process.env['NO_COLOR'] === undefined;
  }

  paint(style: Style, text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false } as never) : text;
  }

  print(text = ''): void {
    this.#out.write(`${text}\n`);
  }

  step(title: string): void {
    this.#step += 1;
    this.print();
    this.print(this.paint('bold', `[${this.#step}/${this.#steps}] ${title}`));
  }

  say(text: string): void {
    this.print(this.paint('dim', `    ${text}`));
  }

  /** A command as its user would type it. */
  typed(host: string, command: string): void {
    this.print(`  ${this.paint('cyan', `root@${host}:~#`)} ${command}`);
  }

  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) if (line !== '') this.print(`    ${line}`);
  }

  done(text: string): void {
    const seconds = ((Date.now() - this.#begin) / 1000).toFixed(0);
    this.print(`  ${this.paint('green', '✔')} ${text} ${this.paint('dim', `(${seconds} s)`)}`);
  }

  failed(text: string): void {
    this.print(`  ${this.paint('red', '✘')} ${text}`);
  }

  /** Shows a command, runs it on the host and shows what it prints. */
  async type(host: Host, command: string, options: { quiet?: boolean } = {}): Promise<string> {
    this.typed(host.name, command);
    const result = await host.run(['sh', '-c', command], { timeoutMs: 300_000 });
    if (options.quiet !== true || result.code !== 0) this.output(`${result.stdout}${result.stderr}`);
    if (result.code !== 0) throw new Error(`on ${host.name}: \`${command}\` ended with exit code ${result.code}`);
    return result.stdout;
  }

  /** Redraws lines in place on a terminal; elsewhere prints them when they are the last. */
  live(lines: readonly string[], previous: number, last: boolean): number {
    if (this.#out.isTTY !== true) {
      if (last) for (const line of lines) this.print(`    ${line}`);
      return 0;
    }
    if (previous > 0) this.#out.write(`\x1b[${previous}A\x1b[J`);
    for (const line of lines) this.print(`    ${line}`);
    return lines.length;
  }
}
