import { Command } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { uninstallHooks } from '../git/hooks/install.ts';
import { BaseCommand } from './base.ts';

export class HooksUninstallCommand extends BaseCommand {
  static override paths = [['hooks', 'uninstall']];
  static override usage = Command.Usage({
    category: 'Develop',
    description:
      'Take ringlock’s git hooks and merge driver away, and put back those that were there before.',
    examples: [['In a clone of the platform', '$0 hooks uninstall']],
  });

  async run(): Promise<number> {
    const status = await uninstallHooks(await findRepository(this.cwd));
    this.answer(status);
    this.say(`ringlock’s hooks are gone from ${status.directory}, and git merges locks as text.`);
    return 0;
  }
}
