import { Command, Option } from 'clipanion';
import { badInput } from '../errors.ts';
import { chooseForRoot } from '../reconcile/choose-for-root.ts';
import { nameStepsDown } from '../reconcile/steps-down.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BasePinCommand } from './base-pin.ts';

export class RollbackCommand extends BasePinCommand {
  static override paths = [['rollback']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Go back to an earlier version of a module, in a ring or at once on a root.',
    details: `
      Without \`--to\` it is the version before the present one in the history of the ring's lock; twice
      goes two back. A pinned ring gets its lock entry of before. A ring that tracks modules/ gets that
      and a committed hold, since its lock would follow the code again; \`ringlock unhold\` ends it.

      With \`--root\` one root goes back at once, from what is kept on its disk: git, the registry and the
      database may all be away. The module is held at that version, so that the reconciler does not undo
      it, until \`ringlock unhold --local\`; where the ring has a database, the hold covers all of its
      replicas as soon as it answers. The schema follows only by the steps down that are marked as safe;
      \`--with-down\` runs all of them, having named them and been told \`--yes\`. \`--local\` only asks
      the reconciler that runs there, and takes no version from a clone.
    `,
    examples: [
      ['A ring, by commit', '$0 rollback orders --ring stable --commit'],
      [
        'Back by one, in a pod',
        '$0 rollback orders --local --root /srv/modules --reason "refunds"',
      ],
    ],
  });

  module = Option.String({ name: 'module' });
  local = Option.Boolean('--local', false, { description: 'On this root, from its own disk.' });
  to = Option.String('--to', { description: 'The version (default: the one before).' });
  withDown = Option.Boolean('--with-down', false, {
    description: 'With --root: run also the steps down of the schema that are not marked as safe.',
  });
  yes = Option.Boolean('--yes', false, { description: 'Yes, run the steps down that are named.' });

  async run(): Promise<number> {
    const { module, to: version } = this;
    if (this.root === undefined) {
      if (this.local || this.withDown) {
        throw badInput('root-not-given', 'on which root to roll back was not given', {
          hint: 'Give --root DIR. For a whole ring by commit leave --local and --with-down out.',
        });
      }
      return this.changeLock({ command: 'rollback', module, version, force: false });
    }
    const root = this.rootPath(this.root);
    const cwd = this.local ? undefined : this.cwd;
    const chosen = await chooseForRoot({
      ...{ command: 'rollback', root, module, version, cwd },
      openPackages,
    });
    const { alias, from = '', entry } = chosen;
    if (this.withDown) await this.#confirmStepsDown(root, chosen);
    const { withDown, reason = 'rolled back' } = this;
    const wanted = { root, alias, entry, reason, withDown, onlyAsk: this.local };
    return this.changeRoot(wanted, from);
  }

  async #confirmStepsDown(
    root: string,
    { alias, from = '', entry }: Awaited<ReturnType<typeof chooseForRoot>>,
  ): Promise<void> {
    const steps = await nameStepsDown(root, alias, from, entry);
    for (const step of steps) this.say(`  down ${alias} ${step}`);
    if (this.yes) return;
    throw badInput('not-confirmed', `--with-down would run ${steps.length} steps down`, {
      hint: 'They may lose data. Give --yes to run them.',
    });
  }
}
