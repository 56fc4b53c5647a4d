import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { holdModule } from '../git/ring-holds.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { BaseCommand } from './base.ts';

export class HoldCommand extends BaseCommand {
  static override paths = [['hold']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Keep a module at its version in a ring.',
    details:
      `
      Writes the hold, with its reason, into manifests/<ring>.ring.yaml, comments and order kept; once
      committed, ` +
      'the lock command' +
      ` leaves the entry of the lock as it is until ` +
      'unhold' +
      `.
    `,
    examples: [['Hold', 'ringlock hold orders --ring canary --reason "1.4 loses refunds"']],
  });

  module = Option.String({ name: 'module' });
  ring = Option.String('--ring', { required: true, description: 'The ring.' });
  reason = Option.String('--reason', { required: true, description: 'Why, for whoever finds it.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const { ring, module, reason } = this;
    const held = await holdModule(repository, snapshot, ring, module, reason, new Date());
    this.answer(held);
    this.say(`${held.file} holds ${held.alias} at ${held.version}`);
    this.say(`  → git commit -m "Hold ${held.alias} in ${ring}" ${held.file}`);
    return 0;
  }
}
