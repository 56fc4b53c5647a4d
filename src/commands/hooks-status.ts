import { Command } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { hooksStatus } from '../git/hooks/install.ts';
import { BaseCommand } from './base.ts';

export class HooksStatusCommand extends BaseCommand {
  static override paths = [['hooks', 'status']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Show whether the git hooks are in place; exits 1 when one is not.',
    examples: [['In a clone of the platform', '$0 hooks status']],
  });

  async run(): Promise<number> {
    const status = await hooksStatus(await findRepository(this.cwd));
    this.answer(status);
    this.say(status.directory);
    for (const { name, state, chained } of status.hooks) {
      this.say(`  ${name}: ${state}${chained ? ', after the hook that was there before' : ''}`);
    }
    if (!status.installed) this.say('Put them in place with: ringlock hooks install');
    return status.installed ? 0 : 1;
  }
}
