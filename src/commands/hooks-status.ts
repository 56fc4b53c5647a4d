import { Command } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { hooksStatus } from '../git/hooks/install.ts';
import { BaseCommand } from './base.ts';

export class HooksStatusCommand extends BaseCommand {
  static override paths = [['hooks', 'status']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Show whether the git hooks and the merge driver are in place; exits 1 when not.',
    examples: [['In a clone of the platform', '$0 hooks status']],
  });

  async run(): Promise<number> {
    const status = await hooksStatus(await findRepository(this.cwd));
    this.answer(status);
    this.say(status.directory);
    for (const { name, state, chained } of status.hooks) {
      this.say(`  ${name}: ${state}${chained ? ', after the hook that was there before' : ''}`);
    }
    const { configuration, attributes } = status.mergeDriver;
    this.say(`merge driver: ${configuration}`);
    for (const { pattern, state } of attributes) {
      if (state === 'missing') this.say(`  ${pattern}: not in .gitattributes`);
      if (state === 'other') this.say(`  ${pattern}: .gitattributes gives it another merge`);
    }
    if (!status.installed) this.say('Put them in place with: ringlock hooks install');
    return status.installed ? 0 : 1;
  }
}
