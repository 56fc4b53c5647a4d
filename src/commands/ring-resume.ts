import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { resumeRing } from '../git/ring-suspension.ts';
import { BaseCommand } from './base.ts';

export class RingResumeCommand extends BaseCommand {
  static override paths = [['ring', 'resume']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Let a suspended ring follow its lock again.',
    details: `
      Takes the suspension out of manifests/<ring>.ring.yaml. Once that is on the ring's branch, its
      reconcilers go to what the lock pins by then.
    `,
    examples: [['After an incident', 'ringlock ring resume edge --commit']],
  });

  ring = Option.String({ name: 'ring' });
  commit = Option.Boolean('--commit', false, {
    description: "Commit the ring's file, and nothing else.",
  });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const done = await resumeRing(repository, this.ring, { commit: this.commit });
    const { suspension: ended, ...rest } = done;
    this.answer({ ...rest, ended: ended ?? null, commit: done.commit ?? null });
    if (!done.changed) {
      this.say(`${this.ring} is not suspended; nothing changed`);
      return 0;
    }
    const { reason = 'no reason given', since } = ended ?? {};
    const was = since === undefined ? reason : `${reason}, since ${since}`;
    this.say(`${done.file} suspends ${this.ring} no longer (${was})`);
    if (done.commit !== undefined) this.say(`committed as ${done.commit.slice(0, 12)}`);
    for (const step of done.next) this.say(`  → ${step}`);
    return 0;
  }
}
