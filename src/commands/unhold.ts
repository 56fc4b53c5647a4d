import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { unholdModule } from '../git/ring-holds.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { BaseCommand } from './base.ts';

export class UnholdCommand extends BaseCommand {
  static override paths = [['unhold']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Let a held module move again in a ring.',
    details:
      'Takes the hold out of manifests/<ring>.ring.yaml; the next lock follows the module again.',
    examples: [['Unhold', 'ringlock unhold orders --ring canary']],
  });

  module = Option.String({ name: 'module' });
  ring = Option.String('--ring', { required: true, description: 'The ring.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const freed = await unholdModule(repository, snapshot, this.ring, this.module);
    this.answer(freed);
    this.say(`${freed.file} holds ${freed.alias} no longer (it was at ${freed.version})`);
    this.say('  → ringlock lock, then commit');
    return 0;
  }
}
