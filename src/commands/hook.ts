import { Command, Option } from 'clipanion';
import { runHook } from '../git/hooks/run-hook.ts';
import { BaseCommand } from './base.ts';

export class HookCommand extends BaseCommand {
  static override paths = [['hook']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Do the work of a git hook; the shims of `hooks install` call it.',
    details:
      'pre-commit and pre-merge-commit refuse what breaks the version rules and stage the tracking rings’ locks; pre-push checks every pushed branch again; post-commit and post-rewrite warn.',
    examples: [['Check what is staged, and stage the locks', '$0 hook pre-commit']],
  });

  name = Option.String({ name: 'NAME' });
  args = Option.Proxy();

  async run(): Promise<number> {
    const { allowed, messages } = await runHook({
      cwd: this.cwd,
      name: this.name,
      args: this.args,
      environment: process.env,
      readInput: () => readAll(this.context.stdin),
    });
    this.answer({ hook: this.name, allowed, messages });
    if (!this.json) {
      for (const message of messages) this.context.stderr.write(`ringlock: ${message}\n`);
    }
    return allowed ? 0 : 1;
  }
}

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}
