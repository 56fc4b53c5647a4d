import { badInput } from './errors.ts';

export interface CompletedCommand {
  /** `['ring', 'list']`. */
  readonly words: readonly string[];
  readonly description: string;
  readonly options: readonly CompletedOption[];
}

export interface CompletedOption {
  /** `['-m', '--message']`. */
  readonly names: readonly string[];
  readonly description: string;
}

/** A completion script for a shell. @throws RinglockError `unknown-shell` */
export function completionScript(shell: string, commands: readonly CompletedCommand[]): string {
  const named = commands.filter(({ words }) => words.length > 0);
  if (shell === 'bash') return bashScript(named);
  // zsh runs bash's completions through its own bashcompinit.
  if (shell === 'zsh') {
    return `#compdef ringlock\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(named)}`;
  }
  if (shell === 'fish') return fishScript(named);
  throw badInput(
    'unknown-shell',
    `${JSON.stringify(shell)} is no shell known here, expected bash, zsh or fish`,
  );
}

/** The words before the current one say what may come: commands, subcommands or options. */
function bashScript(commands: readonly CompletedCommand[]): string {
  const cases = [...wordsAfter(commands)].map(
    ([before, words]) => `    '${before}') words='${words.join(' ')}' ;;`,
  );
  return `# bash completion of ringlock
_ringlock() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$before $word" in
${[...wordsAfter(commands).keys()]
  .filter((before) => before !== '')
  .map((before) => `      '${before.includes(' ') ? before : ` ${before}`}') before='${before}' ;;`)
  .join('\n')}
    esac
  done
  case "$before" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _ringlock ringlock
`;
}

function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = [...wordsAfter(commands).keys()].flatMap((before) => {
    const seen = before.split(' ').filter(Boolean);
    const condition = seen.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const when = `-n '${condition || '__fish_use_subcommand'}'`;
    const next = commands.filter(
      ({ words }) =>
        words.length > seen.length && seen.every((word, index) => words[index] === word),
    );
    const names = new Map(next.map((each) => [each.words[seen.length] ?? '', each.description]));
    const options = commands.find(({ words }) => words.join(' ') === before)?.options ?? [];
    return [
      ...[...names].map(
        ([name, text]) => `complete -c ringlock -f ${when} -a ${name} -d ${quote(text)}`,
      ),
      ...options.map(({ names: spellings, description }) => {
        const flags = spellings.map((name) =>
          name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
        );
        return `complete -c ringlock ${when} ${flags.join(' ')} -d ${quote(description)}`;
      }),
    ];
  });
  return `# fish completion of ringlock\n${lines.join('\n')}\n`;
}

/** Words typed so far → what may come after them; `''` is the start. */
function wordsAfter(commands: readonly CompletedCommand[]): Map<string, string[]> {
  const after = new Map<string, string[]>();
  const add = (before: string, words: readonly string[]) => {
    after.set(before, [...new Set([...(after.get(before) ?? []), ...words])].sort());
  };
  for (const { words, options } of commands) {
    for (const [index, word] of words.entries()) add(words.slice(0, index).join(' '), [word]);
    add(
      words.join(' '),
      options.flatMap(({ names }) => names),
    );
  }
  return after;
}

function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&').replaceAll('\n', ' ')}'`;
}
