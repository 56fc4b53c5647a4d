import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { removeRing } from '../git/remove-ring.ts';
import { BaseCommand } from './base.ts';

export class RingRemoveCommand extends BaseCommand {
  static override paths = [['ring', 'remove']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Remove a ring that nothing needs any more: its file, lock and overlay.',
    details: `
      Refused, with everything that is in the way at once, while tenants sit on the ring, other rings
      promote from it, it is the default, another overlay is built from its own, or git does not have
      what would be deleted.

      The cluster is not touched: its pods go on serving what they have, and report that their ring is
      gone. Delete them with \`kubectl delete -k overlays/rings/<name>\` before.
    `,
    examples: [
      ['After its tenants have moved', 'ringlock ring remove beta'],
      ['And commit that', 'ringlock ring remove beta --commit'],
    ],
  });

  ring = Option.String({ name: 'name' });
  commit = Option.Boolean('--commit', false, { description: 'Commit that, and nothing else.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const done = await removeRing(repository, this.ring, { commit: this.commit });
    const { ring, removed, namespace, commit, next } = done;
    this.answer({ ...done, commit: commit ?? null });
    for (const path of removed) this.say(`removed  ${path}`);
    if (commit !== undefined) this.say(`committed as ${commit.slice(0, 12)}`);
    if (namespace !== null) {
      this.say(
        `what remains: the namespace ${namespace} with its pods, if it was not deleted before`,
      );
      this.say(`  → kubectl delete namespace ${namespace}`);
    }
    this.say(`what remains: the history of ${ring} in the audit database`);
    for (const step of next) this.say(`  → ${step}`);
    return 0;
  }
}
