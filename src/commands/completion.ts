import { Command, Option } from 'clipanion';
import { completionScript } from '../completion-script.ts';
import { BaseCommand } from './base.ts';

export class CompletionCommand extends BaseCommand {
  static override paths = [['completion']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Print a completion script for a shell.',
    details: 'For bash, zsh or fish; made from the commands and options that there are.',
    examples: [
      ['bash', 'ringlock completion bash > /etc/bash_completion.d/ringlock'],
      ['fish', 'ringlock completion fish > ~/.config/fish/completions/ringlock.fish'],
    ],
  });

  shell = Option.String({ name: 'bash|zsh|fish' });

  async run(): Promise<number> {
    const commands = this.cli.definitions().map(({ path, description, options }) => ({
      words: path.split(' ').slice(1),
      description: description?.trim() ?? '',
      options: options.map(({ definition, description: text }) => ({
        // As help shows it: `-m,--message #0`.
        names: definition.replace(/ .*$/, '').split(','),
        description: text?.trim() ?? '',
      })),
    }));
    const script = completionScript(this.shell, commands);
    this.answer({ script });
    this.say(script.trimEnd());
    return 0;
  }
}
