/** drbdadm's own spellings on the command line, turned into those of drbdts (pure). */

/** Options that were renamed; `--name=value` keeps its value. */
const renamedOptions: Readonly<Record<string, string>> = {
  '-c': '--config',
  '--config-file': '--config',
  '--overwrite-data-of-peer': '--force',
};

/** Commands of older versions. */
const renamedCommands: Readonly<Record<string, string>> = {
  state: 'role',
  'adjust-with-progress': 'adjust',
  'wait-con-int': 'wait-connect',
};

function renameOption(argument: string): string {
  const [name = '', ...value] = argument.split('=');
  const renamed = renamedOptions[name];
  return renamed === undefined ? argument : [renamed, ...value].join('=');
}

/**
 * `drbdadm -- --overwrite-data-of-peer primary r0` (until 8.3) becomes `primary --force r0`, `-c FILE` becomes `--config FILE`, `state r0`
 * becomes `role r0`. What is not known stays as it is, so that it is refused by name.
 */
export function translateArguments(args: readonly string[]): string[] {
  const result: string[] = [];
  /** options between `--` and the command: they belong to the command. */
  const held: string[] = [];
  let holding = false;
  let command = false;
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? '';
    if (command) result.push(renameOption(argument));
    else if (argument === '--') holding = true;
    else if (argument.startsWith('-')) {
      (holding ? held : result).push(renameOption(argument));
      // the option takes a word
      if (argument === '-c' || argument === '--config-file' || argument === '--config' || argument === '--socket' || argument === '--node')
        result.push(args[++index] ?? '');
    } else {
      command = true;
      result.push(renamedCommands[argument] ?? argument, ...held.splice(0));
    }
  }
  return [...result, ...held];
}
