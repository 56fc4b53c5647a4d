import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { createModule } from '../git/new-module.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { BaseCommand } from './base.ts';

export class NewCommand extends BaseCommand {
  static override paths = [['new']];
  static override usage = Command.Usage({
    category: 'Develop',
    description: 'Write a small module to start from.',
    details: `
      Makes modules/<Name>/ with module.json, changelog, README, one source file and one test. The
      alias is the name in kebab-case: StoreShopify becomes store-shopify.
    `,
    examples: [['A module', 'ringlock new StoreShopify']],
  });

  name = Option.String({ name: 'Name' });
  root = Option.String('--root', { description: 'Another package root than the first.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const date = new Date().toISOString().slice(0, 10);
    const made = await createModule(repository, snapshot, this.name, this.root, date);
    this.answer(made);
    this.say(`${made.path} is the module ${made.alias} 0.1.0`);
    for (const file of made.files) this.say(`  ${file}`);
    this.say('  → ringlock lock, then commit');
    return 0;
  }
}
