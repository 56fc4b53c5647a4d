import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { promoteModule } from '../git/promote-module.ts';
import { openPackages } from '../source/registry/registry-packages.ts';
import { BaseCommand } from './base.ts';

export class RingPromoteCommand extends BaseCommand {
  static override paths = [['ring', 'promote']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: "Copy one module's pin from a ring to the ring that promotes from it.",
    details: `
      Computes the digest of the pinned git tree again before it copies the lock entry; every other
      byte of the target's lock stays. Refused: a platform or dependency that the target lacks, a
      target that does not promote from the source, a held module, a version that moves backwards.

      Promoting what the target pins already changes nothing and says so.
    `,
    examples: [
      ['After a day in canary', 'ringlock ring promote orders --from canary --to edge'],
      [
        'Only see whether it would go',
        'ringlock ring promote orders --from canary --to edge --dry-run',
      ],
    ],
  });

  alias = Option.String({ name: 'alias' });
  from = Option.String('--from', { required: true, description: 'The ring that has it.' });
  to = Option.String('--to', { required: true, description: 'The ring that gets it.' });
  dryRun = Option.Boolean('--dry-run', false, { description: 'Decide, and write nothing.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const options = { write: !this.dryRun, openPackages };
    const done = await promoteModule(repository, this.alias, this.from, this.to, options);
    const { before, after, changed, file } = done;
    const message = `Promote ${this.alias} ${after.version} from ${this.from} to ${this.to}`;
    const next = `git commit -m ${JSON.stringify(message)} -- ${file}`;
    this.answer({
      ...{
        alias: this.alias,
        from: this.from,
        to: this.to,
        changed,
        written: changed && !this.dryRun,
      },
      ...{ before: before ?? null, after, file, next: changed ? next : null },
    });
    if (!changed) {
      this.say(`${this.to} has ${this.alias} ${after.version} already; nothing changed`);
      return 0;
    }
    const was = before === undefined ? 'new there' : `was ${before.version}`;
    this.say(
      `${file}: ${this.alias} ${after.version} (${was})${this.dryRun ? ', not written' : ''}`,
    );
    if (!this.dryRun) this.say(`Next: ${next}`);
    return 0;
  }
}
