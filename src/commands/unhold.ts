import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { findRepository } from '../git/git-command.ts';
import { readPlatform } from '../git/platform-snapshot.ts';
import { unholdModule } from '../git/ring-holds.ts';
import { workTree } from '../git/tree-snapshot.ts';
import { askOperators } from '../reconcile/ask-operators.ts';
import { BaseCommand } from './base.ts';

export class UnholdCommand extends BaseCommand {
  static override paths = [['unhold']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Let a held module move again in a ring.',
    details: `
      Takes the hold out of manifests/<ring>.ring.yaml; the next lock follows the module again.

      With \`--local\` it ends a hold that \`ringlock rollback --local\` has made: in a pod (\`--root\`), or
      for a ring through its database (\`--ring\` with \`--database-url\`, DATABASE_URL or
      DATABASE_URL_FILE).
    `,
    examples: [
      ['Unhold', '$0 unhold orders --ring canary'],
      ['After a rollback', '$0 unhold orders --local --root /srv/modules'],
    ],
  });

  module = Option.String({ name: 'module' });
  ring = Option.String('--ring', { description: 'The ring.' });
  local = Option.Boolean('--local', false, { description: 'A hold that a rollback has made.' });
  root = Option.String('--root', { description: 'The root of a pod, with --local.' });
  databaseUrl = Option.String('--database-url', {
    description: "The ring's database, with --local.",
  });
  wait = Option.Boolean('--wait', true, { description: 'Wait until it is taken (default).' });

  async run(): Promise<number> {
    if (this.local) {
      const asked = await askOperators(this, { kind: 'unhold', alias: this.module });
      this.answer(asked);
      this.say(asked.message);
      return 0;
    }
    if (this.ring === undefined) {
      throw badInput('ring-not-given', 'in which ring it is held was not given', {
        hint: 'Give --ring NAME, or --local with --root DIR for a hold that a rollback has made.',
      });
    }
    const repository = await findRepository(this.cwd);
    const snapshot = await readPlatform(repository, await workTree(repository));
    const freed = await unholdModule(repository, snapshot, this.ring, this.module);
    this.answer(freed);
    this.say(`${freed.file} holds ${freed.alias} no longer (it was at ${freed.version})`);
    this.say('  → ringlock lock, then commit');
    return 0;
  }
}
