/** Bash completion, written from the command table so that it never lags behind it. */
import type { Argument, Command } from 'commander';

const takesResource = (command: Command): boolean =>
  command.registeredArguments.some((argument: Argument) => argument.name() === 'resource');

const takesFile = (command: Command): boolean =>
  [command, ...command.commands].some((one) => one.registeredArguments.some((argument: Argument) => argument.name() === 'file'));

const optionFlags = (command: Command): string[] =>
  command.options
    .filter((option) => !option.hidden)
    .flatMap((option) => [option.short, option.long])
    .filter((flag) => typeof flag === 'string');

/** The completion script for bash. */
export function bashCompletion(program: Command): string {
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const names = [...commands.map((command) => command.name()), 'help'].sort();
  const globals = [...optionFlags(program), '--help'];
  const cases = commands.map((command) => {
    const subcommands = command.commands.map((sub) => sub.name()).filter((name) => name !== 'help');
    const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
    const words = [...subcommands, ...choices, ...optionFlags(command)];
    return `    ${command.name()}) words="${words.join(' ')}"${takesResource(command) ? ' resources=1' : ''}${takesFile(command) ? ' files=1' : ''} ;;`;
  });
  return `# bash completion for drbdts
# Written by \`drbdts completion bash\`; install as /usr/share/bash-completion/completions/drbdts.

_drbdts() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
  local command='' words='' resources='' files='' index skip=''
  case $prev in
    --socket | --config | --output | --key-output | --against) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --node | --start | --size | --al-stripes | --al-stripe-size-kB | --wfc-timeout | -t | --witness | --address) COMPREPLY=(); return ;;
  esac
  for ((index = 1; index < COMP_CWORD; index++)); do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case \${COMP_WORDS[index]} in
      --socket | --config | --node) skip=1 ;;
      -*) ;;
      *) command=\${COMP_WORDS[index]}; break ;;
    esac
  done
  case $command in
    '' | help) words="${names.join(' ')}" ;;
${cases.join('\n')}
  esac
  if [[ $cur == -* ]]; then
    words="$words ${globals.join(' ')}"
  elif [[ -n $resources ]]; then
    words="$words all $(drbdts sh-resources 2>/dev/null)"
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; [[ -n $files && $cur != -* ]] && compgen -f -- "$cur")
}

complete -F _drbdts drbdts
`;
}
