import { realpathSync } from 'node:fs';
import { Command } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { installHooks } from '../git/hooks/install.ts';
import { BaseCommand } from './base.ts';

export class HooksInstallCommand extends BaseCommand {
  static override paths = [['hooks', 'install']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Put ringlock’s git hooks and its merge driver in place.',
    details:
      'Respects core.hooksPath. A hook that is there already is kept as <hook>.before-ringlock and runs first. The merge driver is told to this clone’s git, and its files to .gitattributes. Installing again changes nothing.',
    examples: [['In a clone of the platform', '$0 hooks install']],
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const status = await installHooks(repository, realpathSync(process.argv[1] ?? ''));
    this.answer(status);
    this.say(`The hooks are in ${status.directory}.`);
    for (const { name, chained } of status.hooks) {
      if (chained) this.say(`  ${name}: your own hook runs first (${name}.before-ringlock)`);
    }
    this.say('git merges locks, rings and tenants with ringlock: commit .gitattributes.');
    return 0;
  }
}
