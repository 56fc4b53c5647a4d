import { Command, Option } from 'clipanion';
import { findRepository } from '../git/git-command.ts';
import { approveVersion } from '../promotion/approve-version.ts';
import { BaseCommand } from './base.ts';

export class RingApproveCommand extends BaseCommand {
  static override paths = [['ring', 'approve']];
  static override usage = Command.Usage({
    category: 'Operate',
    description: 'Approve a version for a ring, with a signed tag.',
    details: `
      Makes the tag \`approve/<ring>/<alias>@<version>/<you>\`, signed as your git is set up to sign
      (gpg.format, user.signingKey). Its text names the digest that the ring before pins, so that it
      approves these bytes and no others. Push it as the answer says: it counts where \`ring promote\`
      has the tag and your public key.

      An approval is taken back by deleting its tag, before the promotion.
    `,
    examples: [
      ['What canary has now', '$0 ring approve orders --ring edge'],
      ['A version by name', '$0 ring approve orders@1.1.0 --ring edge --reason "tested by hand"'],
    ],
  });

  module = Option.String({ name: 'alias[@version]' });
  ring = Option.String('--ring', { required: true, description: 'The ring it may come to.' });
  reason = Option.String('--reason', { description: 'Why, for whoever reads the tag.' });

  async run(): Promise<number> {
    const repository = await findRepository(this.cwd);
    const made = await approveVersion(repository, this.module, this.ring, this.reason);
    this.answer(made);
    this.say(`${made.alias} ${made.version} is approved for ${made.ring}: tag ${made.tag}`);
    this.say(`  ${made.sha256}`);
    this.say(`Next: ${made.push}`);
    return 0;
  }
}
