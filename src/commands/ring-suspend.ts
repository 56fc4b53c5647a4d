import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { suspendRing } from '../git/ring-suspension.ts';
import { BaseCommand } from './base.ts';

export class RingSuspendCommand extends BaseCommand {
  static override paths = [['ring', 'suspend']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Let a ring watch and report, and change nothing.',
    details: `
      Writes the suspension, with its reason, into manifests/<ring>.ring.yaml, comments and order kept.
      Once that is on the ring's branch, every reconciler of the ring leaves its disk, its application
      and its database as they are, whatever the lock says, until \`ringlock ring resume\`.

      A ring that is suspended already keeps the reason that it has.
    `,
    examples: [
      ['An incident', 'ringlock ring suspend edge --reason "checkout is slow, looking" --commit'],
    ],
  });

  ring = Option.String({ name: 'ring' });
  reason = Option.String('--reason', { required: true, description: 'Why, for whoever finds it.' });
  commit = Option.Boolean('--commit', false, {
    description: "Commit the ring's file, and nothing else.",
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const { ring, reason, commit } = this;
    const done = await suspendRing(repository, ring, reason, new Date(), { commit });
    this.answer({ ...done, commit: done.commit ?? null });
    if (!done.changed) {
      const { reason: why = 'no reason given', since, by } = done.suspension ?? {};
      const who = `${since === undefined ? '' : `, since ${since}`}${by === undefined ? '' : `, by ${by}`}`;
      this.say(`${ring} is suspended already${who}: ${why}; nothing changed`);
      return 0;
    }
    this.say(`${done.file} suspends ${ring}: ${reason}`);
    if (done.commit !== undefined) this.say(`committed as ${done.commit.slice(0, 12)}`);
    for (const step of done.next) this.say(`  → ${step}`);
    return 0;
  }
}
