/** explain: more about a code that a refusal named. */
import { explainCheck } from '../../checkup/findings.js';
import { explainImport } from '../../import/findings.js';
import { errorTable, explain } from '../../shared/errors.js';
import { printJson, printLines } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { CliError } from '../failure.js';
import { alignColumns } from '../format-columns.js';
import type { Registry } from './command.js';

export function registerExplain({ add, run }: Registry): void {
  add(
    'explain [code]',
    'tell more about a code: -2, 119, ERR_NO_META_DATA; without one list them all',
    'drbdts explain -2\ndrbdts explain ERR_NO_META_DATA',
  )
    // a state refusal is a negative number: not an option
    .allowUnknownOption()
    .action(
      run(async (context, code: string | undefined) => {
        if (code === undefined) {
          if (context.options.json === true) printJson(context.stdout, errorTable);
          else
            printLines(
              context.stdout,
              alignColumns(errorTable.map((entry) => [entry.code, String(entry.drbdCode ?? '-'), entry.message.split('\n')[0] ?? ''])),
            );
          return exitCodes.ok;
        }
        const text = explain(code) ?? explainCheck(code) ?? explainImport(code);
        if (text === null)
          throw new CliError([`drbdts: there is no code '${code}'`, '  `drbdts explain` lists them all.'], exitCodes.usage);
        printLines(context.stdout, [text.trimEnd()]);
        return exitCodes.ok;
      }),
    );
}
