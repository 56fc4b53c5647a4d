import { resolve } from 'node:path';
import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { askOperators } from '../reconcile/ask-operators.ts';
import { chooseRollback } from '../reconcile/rollback-choice.ts';
import { nameStepsDown } from '../reconcile/steps-down.ts';
import { waitForVersion } from '../reconcile/wait-for-version.ts';
import { BaseCommand } from './base.ts';

export class RollbackCommand extends BaseCommand {
  static override paths = [['rollback']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Go back to an earlier version of a module at once.',
    details: `
      With \`--local\`, on one root and from what is kept on its disk: git, the registry and the database
      may all be away. The module is held at that version, so that the reconciler does not undo it, until
      \`ringlock unhold\`; where the ring has a database, the hold covers all of its replicas as soon as
      it answers.

      Without \`--to\` it is the version before the one that runs; twice goes two back. The schema follows
      only by the steps down that are marked as safe; \`--with-down\` runs all of them, having named them
      and been told \`--yes\`.
    `,
    examples: [
      [
        'Back by one, in a pod',
        '$0 rollback orders --local --root /srv/modules --reason "refunds"',
      ],
    ],
  });

  module = Option.String({ name: 'module' });
  root = Option.String('--root', { description: 'The root of a pod.' });
  local = Option.Boolean('--local', false, { description: 'On this root, from its own disk.' });
  to = Option.String('--to', { description: 'The version (default: the one before).' });
  reason = Option.String('--reason', 'rolled back', {
    description: 'Why, for whoever finds it (rolled back).',
  });
  withDown = Option.Boolean('--with-down', false, {
    description: 'Run also the steps down of the schema that are not marked as safe.',
  });
  yes = Option.Boolean('--yes', false, { description: 'Yes, run the steps down that are named.' });

  async run(): Promise<number> {
    if (this.root === undefined || !this.local) {
      throw badInput('root-not-given', 'on which root to roll back was not given', {
        hint: 'Give --local --root DIR. For a whole ring by commit: git revert, or ringlock hold.',
      });
    }
    const root = resolve(this.cwd, this.root);
    const { alias, from, entry } = await chooseRollback(root, this.module, this.to);
    if (this.withDown) {
      const steps = await nameStepsDown(root, alias, from, entry);
      for (const step of steps) this.say(`  down ${alias} ${step}`);
      if (!this.yes) {
        throw badInput('not-confirmed', `--with-down would run ${steps.length} steps down`, {
          hint: 'They may lose data. Give --yes to run them.',
        });
      }
    }
    const { reason, withDown } = this;
    const request = { kind: 'hold' as const, alias, entry, reason, withDown };
    const to = { root, ring: undefined, databaseUrl: undefined, cwd: this.cwd, wait: true };
    await askOperators(to, request);
    const generation = await this.progress(`rolling ${alias} back`, () =>
      waitForVersion(root, alias, entry.version),
    );
    this.answer({ alias, from, to: entry.version, generation, held: true });
    this.say(`${alias} is at ${entry.version} again (was ${from}), and held there`);
    this.say(`  → ringlock unhold ${alias} --local --root ${this.root}`);
    return 0;
  }
}
